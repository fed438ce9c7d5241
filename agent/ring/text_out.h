#pragma once
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

/// One character of text that cannot be copied as it is: escaped, or a sequence of UTF-8, or what stands for
/// bytes that are none (U+FFFD each). `from` moves on.
char* special(char* to, const char*& from, const char* end);

/// Contents of a JSON string. Up to 8 bytes behind `from` are read.
inline char* text(char* to, std::string_view from) {
  constexpr uint64_t kOnes = 0x0101010101010101, kHigh = 0x8080808080808080;
  const char* p = from.data();
  const char* const end = p + from.size();
  while (p < end) {
    uint64_t word;
    std::memcpy(&word, p, 8);
    std::memcpy(to, &word, 8);
    const auto zero = [](uint64_t x) { return (x - kOnes) & ~x & kHigh; };
    // Never wrong about the first byte it names; those behind it may be named for nothing.
    uint64_t found = (word & kHigh) | ((word - kOnes * 0x20) & ~word & kHigh) | zero(word ^ kOnes * '"') |
                     zero(word ^ kOnes * '\\');
    const size_t left = size_t(end - p);
    if (left < 8) found |= uint64_t(0x80) << 8 * left;
    if (found == 0) {
      p += 8, to += 8;
      continue;
    }
    const size_t clean = size_t(__builtin_ctzll(found)) / 8;
    p += clean, to += clean;
    if (p < end) to = special(to, p, end);
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
