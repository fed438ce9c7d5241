#include "agent/ring/text_out.h"

#include <cmath>

namespace weir::ring::out {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

/// Bytes of the well-formed UTF-8 sequence at `p` (Unicode table 3-7), 0 when there is none.
size_t sequence(const unsigned char* p, size_t left) {
  const size_t bytes = p[0] >= 0xF0 ? 4 : p[0] >= 0xE0 ? 3 : 2;
  if (p[0] < 0xC2 || p[0] > 0xF4 || left < bytes) return 0;
  const unsigned char low = p[0] == 0xE0 ? 0xA0 : p[0] == 0xF0 ? 0x90 : 0x80;
  const unsigned char high = p[0] == 0xED ? 0x9F : p[0] == 0xF4 ? 0x8F : 0xBF;
  if (p[1] < low || p[1] > high) return 0;
  for (size_t i = 2; i < bytes; ++i)
    if ((p[i] & 0xC0) != 0x80) return 0;
  return bytes;
}

/// A number with at most six decimals, as most are that people make; null: it is none. What has no more than
/// 15 digits is the only such decimal of its double, so no shorter one is there to be found.
char* few_decimals(char* to, double value) {
  const double size = std::abs(value);
  if (!(size >= 1e-3 && size < 1e9)) return nullptr;
  const auto millionths = uint64_t(size * 1e6 + 0.5);
  if (double(millionths) / 1e6 != size) return nullptr;
  if (value < 0) *to++ = '-';
  to = integer(to, uint32_t(millionths / 1'000'000));
  char digits[8];
  eight_digits(digits, uint32_t(millionths % 1'000'000));  // the first two are zeros
  std::memcpy(to, digits + 1, 7);
  *to = '.';
  to += 7;
  while (to[-1] == '0') --to;
  return to;
}

}  // namespace

char* special(char* to, const char*& from, const char* end) {
  const auto byte = static_cast<unsigned char>(*from);
  if (byte >= 0x80) {
    const size_t bytes = sequence(reinterpret_cast<const unsigned char*>(from), size_t(end - from));
    to = copy(to, bytes == 0 ? kReplacement : std::string_view(from, bytes));
    from += bytes == 0 ? 1 : bytes;
    return to;
  }
  ++from;
  if (byte >= 0x20) {
    if (byte == '"' || byte == '\\') *to++ = '\\';
    *to++ = char(byte);
    return to;
  }
  constexpr char kShort[] = "uuuuuuuubtnufruu";
  *to++ = '\\';
  const char letter = byte < 16 ? kShort[byte] : 'u';
  *to++ = letter;
  if (letter != 'u') return to;
  to = copy(to, "00");
  return hex(to, reinterpret_cast<const char*>(&byte), 1);
}

char* number(char* to, double value, bool mark) {
  if (!std::isfinite(value))
    return copy(to, std::isnan(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity");
  char* end;
  if (std::abs(value) < 1e15 && double(int64_t(value)) == value && (value != 0 || !std::signbit(value))) {
    end = integer(to, int64_t(value));
  } else if (char* const few = few_decimals(to, value)) {
    return few;
  } else {
    end = std::to_chars(to, to + kNumberBytesMax, value).ptr;
    if (std::string_view(to, size_t(end - to)).find_first_of(".e") != std::string_view::npos) return end;
  }
  return mark ? copy(end, ".0") : end;
}

std::string escaped(std::string_view text) {
  std::string padded(text);
  padded.append(kSlack, '\0');
  std::string result(text.size() * kTextGrowth + kSlack, '\0');
  result.resize(size_t(out::text(result.data(), {padded.data(), text.size()}) - result.data()));
  return result;
}

}  // namespace weir::ring::out
