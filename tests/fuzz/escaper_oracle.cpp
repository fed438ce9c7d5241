#include <algorithm>
#include <nlohmann/json.hpp>

#include "agent/core/json.h"
#include "agent/sinks/pretty.h"
#include "tests/fuzz/oracles.h"

namespace weir::test {
namespace {

/// Of UTF-8 text, so that one mistake is not made twice: by nlohmann's rules.
bool is_utf8(const std::string& text) {
  try {
    nlohmann::json(text).dump();
    return true;
  } catch (const nlohmann::json::exception&) {
    return false;
  }
}

/// What a terminal would obey, or show where it does not stand (security.md); `\n` apart.
std::string harmful(std::string_view text) {
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if ((c < 0x20 && c != '\n') || c == 0x7F) return "control " + std::to_string(c);
    const auto next = [&](size_t n) {
      return i + n < text.size() ? static_cast<unsigned char>(text[i + n]) : 0u;
    };
    if (c == 0xC2 && next(1) >= 0x80 && next(1) <= 0x9F) return "C1 control";
    const unsigned last = next(2);
    if (c == 0xE2 && next(1) == 0x80 && (last == 0x8E || last == 0x8F || (last >= 0xA8 && last <= 0xAE)))
      return "bidi control";
    if (c == 0xE2 && next(1) == 0x81 && last >= 0xA6 && last <= 0xA9) return "bidi isolate";
    if (c == 0xD8 && next(1) == 0x9C) return "Arabic letter mark";
  }
  return {};
}

/// Colours are all that may be left of escapes.
std::string without_colours(std::string text) {
  for (size_t at = 0; (at = text.find("\x1b[", at)) != text.npos;) {
    const size_t end = text.find_first_not_of("0123456789;", at + 2);
    if (end == text.npos || text[end] != 'm') return text;
    text.erase(at, end + 1 - at);
  }
  return text;
}

std::string check_quoted(const std::string& text) {
  std::string quoted, back;
  json::append_quoted(quoted, text);
  json::decode_string(quoted, back);
  if (back != text) return "not read back by ourselves: " + quoted;
  const auto value = nlohmann::json::parse(quoted, nullptr, false);
  if (is_utf8(text) != value.is_string()) return "not read back by nlohmann: " + quoted;
  if (value.is_string() && value.get<std::string>() != text) return "read back as something else: " + quoted;
  return {};
}

std::string check_terminal(const std::string& text) {
  std::string safe;
  json::append_terminal_safe(safe, text);
  if (std::string wrong = harmful(safe); !wrong.empty()) return wrong + " on a terminal: " + safe;
  if (safe.find('\n') != safe.npos) return "a line feed on a terminal";
  if (!is_utf8(safe)) return "no UTF-8 on a terminal";
  return {};
}

}  // namespace

std::string check_escaper(std::string_view input) {
  const std::string text(input);
  if (std::string wrong = check_quoted(text); !wrong.empty()) return wrong;
  if (std::string wrong = check_terminal(text); !wrong.empty()) return wrong;
  const std::string record =
      record_of(text, {"message", "service", "logger", "step", "level", "ts", "error", text});
  std::string safe;
  json::append_terminal_safe(safe, record);
  if (nlohmann::json::parse(safe, nullptr, false) != nlohmann::json::parse(record, nullptr, false))
    return "another record on a terminal: " + safe;
  for (const bool colour : {false, true}) {
    std::string pretty;
    append_pretty(pretty, record, colour);
    if (!pretty.ends_with('\n')) return "no line feed behind a pretty record";
    if (std::string wrong = harmful(colour ? without_colours(pretty) : pretty); !wrong.empty())
      return wrong + " in a pretty record: " + pretty;
    if (!is_utf8(pretty)) return "no UTF-8 in a pretty record";
  }
  std::string line;
  append_text(line, record);
  if (line.find('\n') != line.size() - 1) return "not one line of text: " + line;
  if (std::string wrong = harmful(line); !wrong.empty()) return wrong + " in a line of text: " + line;
  return is_utf8(line) ? "" : "no UTF-8 in a line of text";
}

}  // namespace weir::test
