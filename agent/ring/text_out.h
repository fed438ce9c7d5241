#pragma once
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

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

template <class T>
char* integer(char* to, T value) {
  return std::to_chars(to, to + kNumberBytesMax, value).ptr;
}

/// Without quotes for what is no number. `mark`: a number that is whole is shown as 1.0, not as 1.
char* number(char* to, double value, bool mark);

inline char* hex(char* to, const char* bytes, size_t count) {
  constexpr char kHex[] = "0123456789abcdef";
  for (size_t i = 0; i < count; ++i) {
    const auto byte = static_cast<unsigned char>(bytes[i]);
    *to++ = kHex[byte >> 4], *to++ = kHex[byte & 15];
  }
  return to;
}

/// For what is made once.
std::string escaped(std::string_view text);

}  // namespace weir::ring::out
