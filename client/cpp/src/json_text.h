#pragma once
// JSON text, appended to a std::string or a Buffer (anything with append(const char*, size_t)).
#include <charconv>
#include <cmath>
#include <cstdint>
#include <ctime>
#include <string_view>

namespace weir::detail {

template <class Out>
void append(Out& out, std::string_view text) {
  out.append(text.data(), text.size());
}

/// Length of the UTF-8 sequence that begins here; 0: it is none (RFC 3629).
inline size_t utf8_length(std::string_view s) {
  const auto at = [&](size_t i) { return i < s.size() ? uint8_t(s[i]) : 0u; };
  const auto follows = [&](size_t i) { return (at(i) & 0xc0) == 0x80; };
  const unsigned a = at(0), b = at(1);
  if (a < 0x80) return 1;
  if (a >= 0xc2 && a < 0xe0) return follows(1) ? 2 : 0;
  if (a >= 0xe0 && a < 0xf0) {
    const bool good = follows(1) && follows(2) && !(a == 0xe0 && b < 0xa0) && !(a == 0xed && b >= 0xa0);
    return good ? 3 : 0;
  }
  if (a < 0xf0 || a > 0xf4 || !follows(1) || !follows(2) || !follows(3)) return 0;
  return (a == 0xf0 && b < 0x90) || (a == 0xf4 && b >= 0x90) ? 0 : 4;
}

/// What stands between the quotes. What is not UTF-8 becomes U+FFFD.
template <class Out>
void append_escaped(Out& out, std::string_view s) {
  size_t begin = 0, i = 0;
  while (i < s.size()) {
    const uint8_t c = uint8_t(s[i]);
    if (c >= 0x20 && c < 0x80 && c != '"' && c != '\\') {
      ++i;
      continue;
    }
    const size_t n = c < 0x80 ? 0 : utf8_length(s.substr(i));
    if (n > 0) {
      i += n;
      continue;
    }
    append(out, s.substr(begin, i - begin));
    if (c >= 0x80) {
      append(out, "\xef\xbf\xbd");
    } else if (c == '"' || c == '\\') {
      const char escape[2] = {'\\', char(c)};
      append(out, {escape, 2});
    } else {
      const char* const digits = "0123456789abcdef";
      const char escape[6] = {'\\', 'u', '0', '0', digits[c >> 4], digits[c & 15]};
      append(out, {escape, 6});
    }
    begin = ++i;
  }
  append(out, s.substr(begin));
}

template <class Out>
void append_quoted(Out& out, std::string_view s) {
  append(out, "\"");
  append_escaped(out, s);
  append(out, "\"");
}

template <class Out, class T>
void append_integer(Out& out, T value) {
  char text[24];
  append(out, {text, size_t(std::to_chars(text, text + sizeof text, value).ptr - text)});
}

/// The shortest text that reads back as the same; what JSON has no number for is a string. `fraction`: with
/// `.` or `e` in any case, so that it is seen to be a double (records.md section 9).
template <class Out>
void append_double(Out& out, double value, bool fraction = true) {
  if (std::isnan(value)) return append(out, "\"NaN\"");
  if (std::isinf(value)) return append(out, value > 0 ? "\"Infinity\"" : "\"-Infinity\"");
  char text[32];
  const std::string_view number(text, size_t(std::to_chars(text, text + sizeof text, value).ptr - text));
  append(out, number);
  if (fraction && number.find_first_of(".e") == number.npos) append(out, ".0");
}

template <class Out>
void append_hex(Out& out, const char* bytes, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    const char* const digits = "0123456789abcdef";
    const char two[2] = {digits[uint8_t(bytes[i]) >> 4], digits[uint8_t(bytes[i]) & 15]};
    append(out, {two, 2});
  }
}

/// Quoted, RFC 3339 with nanoseconds, of nanoseconds since the epoch.
template <class Out>
void append_time(Out& out, uint64_t ns) {
  const time_t seconds = time_t(ns / 1'000'000'000);
  tm parts;
  gmtime_r(&seconds, &parts);
  char text[32];
  const size_t n = strftime(text, sizeof text, "\"%Y-%m-%dT%H:%M:%S.", &parts);
  append(out, {text, n});
  char fraction[11] = "";
  uint64_t rest = ns % 1'000'000'000;
  for (int i = 8; i >= 0; --i, rest /= 10) fraction[i] = char('0' + rest % 10);
  append(out, {fraction, 9});
  append(out, "Z\"");
}

}  // namespace weir::detail
