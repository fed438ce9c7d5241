#include "client/cpp/src/json_read.h"

#include <charconv>
#include <cstdint>

namespace weir::detail {
namespace {

constexpr std::string_view kSpace = " \t\r\n";

void skip_space(std::string_view& s) {
  const size_t n = s.find_first_not_of(kSpace);
  s.remove_prefix(n == s.npos ? s.size() : n);
}

/// Takes the value that `s` begins with off it: brackets balance outside of strings. Empty: there is none.
std::string_view take_value(std::string_view& s) {
  skip_space(s);
  size_t depth = 0, i = 0;
  for (; i < s.size(); ++i) {
    const char c = s[i];
    if (c == '"') {
      for (++i; i < s.size() && s[i] != '"'; ++i)
        if (s[i] == '\\') ++i;
      if (i >= s.size()) break;
    } else if (c == '{' || c == '[') {
      ++depth;
    } else if (c == '}' || c == ']') {
      if (depth == 0) break;
      --depth;
    } else if (depth == 0 && (c == ',' || c == ':' || kSpace.find(c) != kSpace.npos)) {
      break;
    } else {
      continue;
    }
    if (depth == 0) {
      ++i;
      break;
    }
  }
  const std::string_view value = s.substr(0, i < s.size() ? i : s.size());
  s.remove_prefix(value.size());
  return value;
}

bool take(std::string_view& s, char c) {
  skip_space(s);
  if (s.empty() || s[0] != c) return false;
  s.remove_prefix(1);
  return true;
}

void append_utf8(std::string& out, unsigned code) {
  if (code < 0x80) {
    out += char(code);
  } else if (code < 0x800) {
    out += char(0xc0 | code >> 6);
    out += char(0x80 | (code & 63));
  } else {
    out += char(0xe0 | code >> 12);
    out += char(0x80 | (code >> 6 & 63));
    out += char(0x80 | (code & 63));
  }
}

}  // namespace

std::string_view json_member(std::string_view s, std::string_view key) {
  if (!take(s, '{')) return {};
  do {
    const std::string_view name = take_value(s);
    if (name.empty() || !take(s, ':')) return {};
    const std::string_view value = take_value(s);
    if (json_string(name) == key) return value;
  } while (take(s, ','));
  return {};
}

std::vector<std::string_view> json_elements(std::string_view s) {
  std::vector<std::string_view> out;
  if (!take(s, '[')) return out;
  do {
    const std::string_view value = take_value(s);
    if (value.empty()) break;
    out.push_back(value);
  } while (take(s, ','));
  return out;
}

std::string json_string(std::string_view s) {
  std::string out;
  if (s.size() < 2 || s.front() != '"' || s.back() != '"') return out;
  s = s.substr(1, s.size() - 2);
  for (size_t i = 0; i < s.size(); ++i) {
    if (s[i] != '\\' || i + 1 == s.size()) {
      out += s[i];
      continue;
    }
    const char c = s[++i];
    const size_t plain = std::string_view("bfnrt").find(c);
    unsigned code = 0;
    if (c == 'u' && i + 4 < s.size()) {
      std::from_chars(s.data() + i + 1, s.data() + i + 5, code, 16);
      append_utf8(out, code);
      i += 4;
    } else {
      out += plain == std::string_view::npos ? c : "\b\f\n\r\t"[plain];
    }
  }
  return out;
}

uint64_t json_number(std::string_view s, uint64_t otherwise) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), value);
  return error == std::errc() && end == s.data() + s.size() ? value : otherwise;
}

}  // namespace weir::detail
