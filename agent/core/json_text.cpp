#include <algorithm>

#include "agent/core/json.h"

namespace weir::json {
namespace {

void append_hex4(std::string& out, uint32_t code) {
  constexpr char kHex[] = "0123456789abcdef";
  const char text[6] = {
      '\\', 'u', kHex[code >> 12 & 15], kHex[code >> 8 & 15], kHex[code >> 4 & 15], kHex[code & 15]};
  out.append(text, 6);
}

/// Length of the well-formed UTF-8 sequence at `p` (Unicode table 3-7), 0 when there is none; `code` is its
/// character.
size_t utf8_sequence(const unsigned char* p, size_t left, uint32_t& code) {
  if (p[0] < 0x80) return code = p[0], 1;
  const size_t length = p[0] >= 0xF0 ? 4 : p[0] >= 0xE0 ? 3 : 2;
  if (p[0] < 0xC2 || p[0] > 0xF4 || left < length) return 0;
  code = p[0] & (0xFFu >> (length + 1));
  for (size_t i = 1; i < length; ++i) {
    if ((p[i] & 0xC0) != 0x80) return 0;
    code = code << 6 | (p[i] & 63u);
  }
  constexpr uint32_t kLowest[] = {0, 0, 0x80, 0x800, 0x10000};
  if (code < kLowest[length] || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) return 0;
  return length;
}

bool unsafe_on_terminal(uint32_t c) {
  return c < 0x20 || (c >= 0x7F && c <= 0x9F) || c == 0x061C || c == 0x200E || c == 0x200F ||
         (c >= 0x2028 && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069);
}

}  // namespace

void append_quoted(std::string& out, std::string_view text) {
  out += '"';
  size_t done = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c >= 0x20 && c != '"' && c != '\\') continue;
    out.append(text, done, i - done);
    done = i + 1;
    switch (c) {
      case '"':
      case '\\':
        out += '\\', out += char(c);
        break;
      case '\b':
        out += "\\b";
        break;
      case '\f':
        out += "\\f";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        append_hex4(out, c);
    }
  }
  out.append(text, done);
  out += '"';
}

void append_terminal_safe(std::string& out, std::string_view line) {
  const auto* const p = reinterpret_cast<const unsigned char*>(line.data());
  size_t done = 0;
  for (size_t i = 0; i < line.size();) {
    if (p[i] >= 0x20 && p[i] < 0x7F) {
      ++i;
      continue;
    }
    uint32_t code = 0;
    const size_t length = utf8_sequence(p + i, line.size() - i, code);
    if (length == 0)
      code = 0xFFFD;  // not UTF-8 after all: a raw byte could still be a control of an 8-bit terminal
    if (length == 0 || unsafe_on_terminal(code)) {
      out.append(line, done, i - done);
      append_hex4(out, code);
      done = i + std::max<size_t>(length, 1);
    }
    i += std::max<size_t>(length, 1);
  }
  out.append(line, done);
}

}  // namespace weir::json
