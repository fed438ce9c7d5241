#pragma once
#include <algorithm>
#include <string>
#include <string_view>

namespace weir {

/// RFC 4648 section 4, with padding.
inline void append_base64(std::string& out, std::string_view bytes) {
  constexpr char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (size_t i = 0; i < bytes.size(); i += 3) {
    size_t n = std::min<size_t>(3, bytes.size() - i);
    unsigned word = 0;
    for (size_t j = 0; j < 3; ++j) word = word << 8 | (j < n ? (unsigned char)bytes[i + j] : 0u);
    for (size_t j = 0; j < 4; ++j) out += j <= n ? digits[word >> (18 - 6 * j) & 63] : '=';
  }
}

/// Strict: no overlong forms, no surrogates, nothing above U+10FFFF (RFC 3629).
inline bool is_utf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    auto at = [&](size_t k) { return i + k < text.size() ? (unsigned char)text[i + k] : 0u; };
    auto tail = [&](size_t k) { return (at(k) & 0xC0u) == 0x80u; };
    unsigned c = at(0);
    if (c < 0x80) {
      i += 1;
    } else if (c >= 0xC2 && c < 0xE0 && tail(1)) {
      i += 2;
    } else if (c >= 0xE0 && c < 0xF0 && tail(1) && tail(2) && !(c == 0xE0 && at(1) < 0xA0) &&
               !(c == 0xED && at(1) >= 0xA0)) {
      i += 3;
    } else if (c >= 0xF0 && c < 0xF5 && tail(1) && tail(2) && tail(3) && !(c == 0xF0 && at(1) < 0x90) &&
               !(c == 0xF4 && at(1) >= 0x90)) {
      i += 4;
    } else {
      return false;
    }
  }
  return true;
}

}  // namespace weir
