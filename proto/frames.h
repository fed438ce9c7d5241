#pragma once
// Layout of the framed protocol (proto/WIRE.md), shared by the agent and its clients. C++17, no dependency.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>

namespace weir::frames {

/// The first bytes of a connection that speaks frames, and of the answer to it.
inline constexpr std::string_view kMagic{"WEIR\x01", 5};
inline constexpr size_t kHeaderBytes = 8;
/// A payload has at most limits.record_bytes_max and this.
inline constexpr size_t kPayloadSlackBytes = 64 << 10;
inline constexpr uint8_t kCritical = 1;  ///< flag: who does not know the type must not go on

enum Type : uint8_t {
  kHello = 1,
  kWelcome = 2,
  kRing = 3,
  kSite = 4,
  kStr = 5,
  kRecBin = 6,
  kRecJson = 7,
  kDrops = 8,
  kSync = 9,
  kBye = 10,
  kAck = 11,
  kNack = 12,
  kPolicy = 13,
  kError = 14,
  kReject = 15,
};

/// Of NACK; smaller codes are reasons of REJECT.
enum NackCode : uint16_t { kFull = 100, kFailed = 101, kNotYours = 102 };

/// Little-endian, at any address.
template <class T>
T load(const char* bytes) {
  static_assert(std::is_unsigned_v<T>);
  T value = 0;
  for (size_t i = 0; i < sizeof value; ++i)
    value = T(value | T(T(static_cast<unsigned char>(bytes[i])) << 8 * i));
  return value;
}
template <class T>
void append(std::string& out, T value) {
  static_assert(std::is_unsigned_v<T>);
  for (size_t i = 0; i < sizeof value; ++i) out += char(value >> 8 * i & 0xff);
}

/// A frame's first eight bytes; its payload follows.
inline void append_header(std::string& out, Type type, size_t payload_bytes, uint8_t flags = 0) {
  append(out, uint32_t(payload_bytes));
  append(out, uint8_t(type));
  append(out, flags);
  append(out, uint16_t(0));
}

}  // namespace weir::frames
