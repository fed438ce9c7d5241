#include "agent/sinks/pretty_fields.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <ctime>

#include "agent/core/clock.h"

namespace weir {
namespace {

/// `count` digits at `text[at]`, or -1.
int digits(std::string_view text, size_t at, size_t count) {
  int value = 0;
  if (at + count > text.size()) return -1;
  for (size_t i = at; i < at + count; ++i) {
    if (text[i] < '0' || text[i] > '9') return -1;
    value = value * 10 + (text[i] - '0');
  }
  return value;
}

/// The `Z`, `+02:00` or `-02:00` that ends a time, in seconds.
std::optional<int64_t> parse_offset(std::string_view text) {
  if (text == "Z" || text == "z") return 0;
  const int hours = digits(text, 1, 2), minutes = digits(text, 4, 2);
  if (text.size() != 6 || (text[0] != '+' && text[0] != '-') || text[3] != ':' || hours < 0 || minutes < 0)
    return std::nullopt;
  return (text[0] == '-' ? -1 : 1) * (hours * 3600 + minutes * 60);
}

std::optional<int64_t> parse_rfc3339(std::string_view text) {
  tm parts{};
  parts.tm_year = digits(text, 0, 4) - 1900, parts.tm_mon = digits(text, 5, 2) - 1;
  parts.tm_mday = digits(text, 8, 2), parts.tm_hour = digits(text, 11, 2);
  parts.tm_min = digits(text, 14, 2), parts.tm_sec = digits(text, 17, 2);
  // Years that nanoseconds in 64 bits can hold.
  if (text.size() < 20 || parts.tm_year < -200 || parts.tm_year > 350 || parts.tm_mon < 0 ||
      parts.tm_mday < 0 || parts.tm_hour < 0 || parts.tm_min < 0 || parts.tm_sec < 0)
    return std::nullopt;
  size_t at = 19;
  int64_t fraction_ns = 0;
  if (text[at] == '.') {
    int64_t unit = 100'000'000;
    for (++at; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at, unit /= 10)
      fraction_ns += (text[at] - '0') * unit;
  }
  const std::optional<int64_t> offset = parse_offset(text.substr(at));
  if (!offset) return std::nullopt;
  return (int64_t(timegm(&parts)) - *offset) * 1'000'000'000 + fraction_ns;
}

std::optional<double> parse_number(std::string_view value) {
  double number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (error != std::errc() || end != value.data() + value.size() || !std::isfinite(number))
    return std::nullopt;
  return number;
}

}  // namespace

std::string safe(std::string_view json_text) {
  std::string out;
  json::append_terminal_safe(out, json_text);
  return out;
}

std::string shown(std::string_view value) {
  if (value.empty() || value == "null") return {};
  if (value[0] != '"') return safe(value);
  std::string contents, out;
  json::decode_string(value, contents);
  for (std::string_view rest = contents;;) {
    const size_t stop = rest.find_first_of("\n\t");
    json::append_terminal_safe(out, rest.substr(0, stop));
    if (stop == rest.npos) return out;
    out += rest[stop] == '\n' ? "\\n" : "\\t";
    rest.remove_prefix(stop + 1);
  }
}

std::string shown_key(std::string_view literal) {
  std::string contents;
  json::decode_string(literal, contents);
  for (char c : contents) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                       c == '_' || c == '-' || c == '.' || c == '/' || c < 0;
    if (!plain) return safe(literal);
  }
  return contents.empty() ? "\"\"" : safe(contents);
}

std::string first_code_points(std::string text, size_t count) {
  for (size_t i = 0; i < text.size(); ++i)
    if ((text[i] & 0xC0) != 0x80 && count-- == 0) return text.substr(0, i);
  return text;
}

std::optional<int64_t> parse_time(std::string_view value) {
  if (value.empty()) return std::nullopt;
  if (value[0] == '"') {
    std::string contents;
    json::decode_string(value, contents);
    return parse_rfc3339(contents);
  }
  int64_t ns = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), ns);
  if (error != std::errc() || end != value.data() + value.size()) return std::nullopt;
  return ns;
}

std::string format_duration_ms(double ms) {
  if (std::abs(ms) >= 1000) return fmt::format("{:.2f}s", ms / 1000);
  if (std::abs(ms) >= 10 || ms == 0) return fmt::format("{:.1f}ms", ms);
  return fmt::format("{:.2f}ms", ms);
}

PrettyFields::PrettyFields(std::string_view line) {
  line.remove_prefix(line.find('{'));
  members_.reserve(24);
  for (json::Members m(line.data(), {0, uint32_t(line.size())}); m.next();) {
    const Member& member = m.member();
    std::string_view key = member.key.of(line);
    if (member.key_escaped) {
      json::decode_string(key, decoded_keys_.emplace_back());
      key = decoded_keys_.back();
    } else {
      key = key.substr(1, key.size() - 2);
    }
    members_.emplace_back(key, member.value.of(line));
  }
}

std::string_view PrettyFields::raw(std::string_view key) const {
  for (const auto& [name, value] : members_)
    if (name == key) return value;
  return {};
}

bool PrettyFields::has(std::string_view key) const {
  const std::string_view value = raw(key);
  return !value.empty() && value != "null";
}

std::string_view PrettyFields::time_key() const {
  for (std::string_view key : {"ts", "t_enter", "start", "t_exit", "end"})
    if (has(key)) return key;
  return {};
}

std::string PrettyFields::time_of_day() const {
  const std::string_view key = time_key();
  if (key.empty()) return "--:--:--.---";
  const std::optional<int64_t> ns = parse_time(raw(key));
  return ns && *ns >= 0 ? rfc3339(*ns).substr(11, 12) : first_code_points(text(key), 12);
}

std::string PrettyFields::date_time() const {
  const std::string_view key = time_key();
  if (key.empty()) return "-";
  const std::optional<int64_t> ns = parse_time(raw(key));
  if (ns && *ns >= 0) return rfc3339(*ns).substr(0, 23) + 'Z';
  std::string sent = first_code_points(text(key), 35);
  std::erase(sent, ' ');
  return sent.empty() ? "-" : sent;
}

std::string PrettyFields::duration() const {
  if (has("duration_ms")) {
    const std::optional<double> ms = parse_number(raw("duration_ms"));
    return ms ? format_duration_ms(*ms) : text("duration_ms");
  }
  for (auto [enter, exit] : {std::pair("t_enter", "t_exit"), std::pair("start", "end")}) {
    const std::optional<int64_t> from = parse_time(raw(enter)), to = parse_time(raw(exit));
    if (from && to) return format_duration_ms((double(*to) - double(*from)) / 1e6);
  }
  return {};
}

std::string PrettyFields::type_name(std::string_view key) const {
  std::string_view signature = raw(key);
  if (!signature.empty() && signature[0] == '[') {
    json::Members elements(signature.data(), {0, uint32_t(signature.size())});
    signature = elements.next() ? elements.member().value.of(signature) : std::string_view();
  }
  if (signature.empty() || signature[0] != '{') return {};
  return shown(json::find_key(signature, "type_name"));
}

}  // namespace weir
