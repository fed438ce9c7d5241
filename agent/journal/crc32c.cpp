#include "agent/journal/crc32c.h"

#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace weir {
namespace {

constexpr uint32_t kPolynomial = 0x82f63b78;  // reflected

constexpr std::array<uint32_t, 256> make_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = crc & 1 ? crc >> 1 ^ kPolynomial : crc >> 1;
    table[i] = crc;
  }
  return table;
}

uint32_t by_table(uint32_t crc, const unsigned char* p, size_t bytes) {
  static constexpr auto table = make_table();
  for (; bytes > 0; --bytes) crc = table[(crc ^ *p++) & 0xff] ^ crc >> 8;
  return crc;
}

#if defined(__x86_64__)
/// Moves a CRC over `kLane` bytes of zeros: by four tables, one for each of its bytes.
constexpr size_t kLane = 1024;
std::array<std::array<uint32_t, 256>, 4> make_shift_tables() {
  std::array<std::array<uint32_t, 256>, 4> tables{};
  const unsigned char zeros[kLane] = {};
  for (int byte = 0; byte < 4; ++byte)
    for (uint32_t i = 0; i < 256; ++i) tables[size_t(byte)][i] = by_table(i << 8 * byte, zeros, kLane);
  return tables;
}

/// Three lanes at a time: the instruction takes a new operand each cycle, but answers after three.
__attribute__((target("sse4.2"))) uint32_t by_instruction(uint32_t crc, const unsigned char* p,
                                                          size_t bytes) {
  static const auto shift = make_shift_tables();
  const auto over_lane = [&](uint64_t c) {
    return shift[0][c & 0xff] ^ shift[1][c >> 8 & 0xff] ^ shift[2][c >> 16 & 0xff] ^ shift[3][c >> 24 & 0xff];
  };
  const auto word = [](const unsigned char* at) {
    uint64_t w;
    std::memcpy(&w, at, sizeof w);
    return w;
  };
  uint64_t a = crc;
  for (; bytes >= 3 * kLane; bytes -= 3 * kLane, p += 3 * kLane) {
    uint64_t b = 0, c = 0;
    for (size_t i = 0; i < kLane; i += 8) {
      a = _mm_crc32_u64(a, word(p + i));
      b = _mm_crc32_u64(b, word(p + kLane + i));
      c = _mm_crc32_u64(c, word(p + 2 * kLane + i));
    }
    a = over_lane(over_lane(a) ^ b) ^ c;
  }
  for (; bytes >= 8; bytes -= 8, p += 8) a = _mm_crc32_u64(a, word(p));
  for (; bytes > 0; --bytes) a = _mm_crc32_u8(uint32_t(a), *p++);
  return uint32_t(a);
}
#endif

}  // namespace

uint32_t crc32c(uint32_t crc, const void* data, size_t bytes) {
  const auto* p = static_cast<const unsigned char*>(data);
#if defined(__x86_64__)
  static const bool has_instruction = __builtin_cpu_supports("sse4.2");
  if (has_instruction) return ~by_instruction(~crc, p, bytes);
#endif
  return ~by_table(~crc, p, bytes);
}

}  // namespace weir
