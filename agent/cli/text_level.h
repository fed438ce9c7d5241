#pragma once
#include <cstdint>
#include <optional>
#include <string_view>

namespace weir::cli {

/// The level that a line of plain text gives itself, in the usual words at the usual places: `trace`,
/// `debug`, `info`, `warn`, `error`, `fatal`; empty when the line does not say. A word within a sentence does
/// not count: everything before it must be what stands in front of a level (a time, a process, a thread, a
/// logger, a separator), and a word in small letters needs a colon or brackets, or a time of day directly
/// before it. Colours of terminals are looked through. Reads the beginning of the line only; any bytes; no
/// allocation.
std::string_view guess_level(std::string_view line_untrusted);

/// ` INFO`, `  WARN:`: is the first word, behind white space, a level in capitals?
bool begins_with_level(std::string_view line_untrusted);

/// The time at the beginning of the line, when it is in RFC 3339 form with its zone (`[` before it is
/// allowed): nanoseconds since the epoch.
std::optional<int64_t> leading_time(std::string_view line_untrusted);

/// `Type: message` or `Type` alone, as the last line of a Python traceback has it.
bool is_exception_line(std::string_view line_untrusted);

}  // namespace weir::cli
