#pragma once
#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

/// What the commands share for talking to people: data to stdout, everything else to stderr, colour and
/// progress only on a terminal (architecture.md section 8).
namespace weir::cli {

bool stdout_is_terminal();
bool stderr_is_terminal();
/// stdout is a terminal and $NO_COLOR is not set.
bool colour_on_stdout();

/// Whole `text`; false: nobody reads it any more.
bool write_out(std::string_view text);
void write_err(std::string_view text);

/// One line to stderr, escaped: what it says may hold names and messages from elsewhere.
void say_line(std::string_view line);
template <class... Args>
void say(fmt::format_string<Args...> format, Args&&... args) {
  say_line(fmt::format(format, std::forward<Args>(args)...));
}

/// Escaped against terminal injection.
std::string terminal_safe(std::string_view text);
std::string with_commas(uint64_t n);       ///< 1234567 -> `1,234,567`
std::string short_bytes(uint64_t bytes);   ///< `12.3 MiB`
std::string short_span(uint64_t seconds);  ///< `3h 12m`
std::string_view plural(uint64_t n, std::string_view one, std::string_view many);

}  // namespace weir::cli
