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
