#pragma once
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

/// Writing JSON into memory that has room. Each takes where to write, returns the byte behind it, and may
/// write up to kSlack bytes further.
namespace weir::ring::out {

inline constexpr size_t kSlack = 16;
inline constexpr size_t kNumberBytesMax = 32;
/// What a byte of text may become.
inline constexpr size_t kTextGrowth = 6;

inline char* copy(char* to, std::string_view text) {
  std::memcpy(to, text.data(), text.size());
  return to + text.size();
}
template <size_t N>
char* copy(char* to, const char (&text)[N]) {
  std::memcpy(to, text, N - 1);
  return to + N - 1;
}

/// Copies kSlack bytes; how many of them, from the first on, may stand in a JSON string as they are.
inline size_t copy_clean(char* to, const char* from) {
  static_assert(kSlack == 16);
#if defined(__SSE2__)
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), bytes);
  // As signed numbers, control characters and what is not ASCII are both less than a space.
  const __m128i other = _mm_or_si128(
      _mm_cmplt_epi8(bytes, _mm_set1_epi8(' ')),
      _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('"')), _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\'))));
  return size_t(__builtin_ctz(unsigned(_mm_movemask_epi8(other)) | 1u << kSlack));
#else
  std::memcpy(to, from, kSlack);
  size_t clean = 0;
  while (clean < kSlack && from[clean] >= ' ' && from[clean] != '"' && from[clean] != '\\') ++clean;
  return clean;
#endif
}

/// One character of text that cannot be copied as it is: escaped, or a sequence of UTF-8, or what stands for
/// bytes that are none (U+FFFD each). `from` moves on.
char* special(char* to, const char*& from, const char* end);

/// Contents of a JSON string. Up to kSlack bytes behind `from` are read.
inline char* text(char* to, std::string_view from) {
  const char* p = from.data();
  const char* const end = p + from.size();
  while (p < end) {
    const size_t clean = copy_clean(to, p);
    const size_t left = size_t(end - p), done = clean < left ? clean : left;
    p += done, to += done;
    if (clean < kSlack && p < end) to = special(to, p, end);
  }
  return to;
}

struct DecimalPairs {
  char of[100][2];
  constexpr DecimalPairs() : of() {
    for (int i = 0; i < 100; ++i) of[i][0] = char('0' + i / 10), of[i][1] = char('0' + i % 10);
  }
};
inline constexpr DecimalPairs kDecimalPairs;

/// Eight digits with leading zeros. The four pairs do not wait for each other.
inline char* eight_digits(char* to, uint32_t value) {
  const uint32_t high = value / 10'000, low = value % 10'000;
  std::memcpy(to, kDecimalPairs.of[high / 100], 2), std::memcpy(to + 2, kDecimalPairs.of[high % 100], 2);
  std::memcpy(to + 4, kDecimalPairs.of[low / 100], 2), std::memcpy(to + 6, kDecimalPairs.of[low % 100], 2);
  return to + 8;
}
inline char* integer(char* to, uint64_t value) {
  constexpr uint64_t kEight = 100'000'000;
  if (value < kEight) return std::to_chars(to, to + kNumberBytesMax, uint32_t(value)).ptr;
  to = integer(to, value / kEight);
  return eight_digits(to, uint32_t(value % kEight));
}
inline char* integer(char* to, int64_t value) {
  if (value >= 0) return integer(to, uint64_t(value));
  *to = '-';
  return integer(to + 1, ~uint64_t(value) + 1);
}
inline char* integer(char* to, uint32_t value) { return integer(to, uint64_t(value)); }
inline char* integer(char* to, int32_t value) { return integer(to, int64_t(value)); }

/// Without quotes for what is no number. `mark`: a number that is whole is shown as 1.0, not as 1.
char* number(char* to, double value, bool mark);

/// Two digits for each byte there is.
struct HexDigits {
  char of[256][2];
  constexpr HexDigits() : of() {
    constexpr char kHex[] = "0123456789abcdef";
    for (int i = 0; i < 256; ++i) of[i][0] = kHex[i / 16], of[i][1] = kHex[i % 16];
  }
};
inline constexpr HexDigits kHexDigits;

inline char* hex(char* to, const char* bytes, size_t count) {
#if defined(__SSE2__)
  for (; count >= 8; count -= 8, bytes += 8, to += 16) {
    const __m128i eight = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes));
    const __m128i high = _mm_and_si128(_mm_srli_epi16(eight, 4), _mm_set1_epi8(15));
    const __m128i digits = _mm_unpacklo_epi8(high, _mm_and_si128(eight, _mm_set1_epi8(15)));
    const __m128i letters =
        _mm_and_si128(_mm_cmpgt_epi8(digits, _mm_set1_epi8(9)), _mm_set1_epi8('a' - '0' - 10));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to),
                     _mm_add_epi8(_mm_add_epi8(digits, _mm_set1_epi8('0')), letters));
  }
#endif
  for (size_t i = 0; i < count; ++i)
    std::memcpy(to + 2 * i, kHexDigits.of[static_cast<unsigned char>(bytes[i])], 2);
  return to + 2 * count;
}

/// Text that is made once and written often: kSlack bytes may be read behind it, so that copying it is a few
/// moves and no call.
class Constant {
 public:
  Constant(std::string text = {}) : padded_(std::move(text)), size_(padded_.size()) {  // NOLINT: it is text
    padded_.append(kSlack, '\0');
  }
  size_t size() const { return size_; }
  std::string_view view() const { return {padded_.data(), size_}; }

 private:
  std::string padded_;
  size_t size_;
};
inline char* copy(char* to, const Constant& text) {
  static_assert(kSlack == 16);
  const char* const from = text.view().data();
  for (size_t i = 0; i < text.size(); i += kSlack) std::memcpy(to + i, from + i, kSlack);
  return to + text.size();
}

/// For what is made once.
std::string escaped(std::string_view text);

}  // namespace weir::ring::out
