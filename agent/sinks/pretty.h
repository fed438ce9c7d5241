#pragma once
#include <string>
#include <string_view>

namespace weir {

/// Appends one record as a line (or a few) for people: time, stream, level or step, duration, service,
/// message, context diff (`decision: "new" -> "approved"`), error, correlation id. `line` is a finished
/// record; a line feed at its end is ignored. Everything of the record is escaped against terminal injection
/// (security.md). Ends in a line feed.
void append_pretty(std::string& out, std::string_view line, bool colour);

/// `format: text`: exactly one line, for files that people and other programs read. Date and time in full, no
/// colour, the same escaping; then level (or stream), `[service/logger]`, and for a log its message, its
/// attributes and its correlation id.
void append_text(std::string& out, std::string_view line);

}  // namespace weir
