#pragma once
#include <cstddef>
#include <cstdint>

namespace weir {

/// When a TCP connection should be left alone for a moment. A program that writes each record by itself would
/// wake the agent for each, and pay for that: over loopback a write that wakes a reader costs it four times
/// one that does not (docs/performance.md). After several short reads, one soon after the other, the next one
/// waits until some records have gathered, and so on while they do. A record that comes alone never waits.
/// One for each connection; no clock but the time given.
class ReadPace {
 public:
  static constexpr int64_t kPauseNs = 200'000;
  static constexpr int kReadsBefore = 8;           ///< so many short reads in a row
  static constexpr size_t kShortBytes = 64 << 10;  ///< a read of fewer is short
  static constexpr int64_t kSoonNs = 100'000;  ///< and it counts when it follows the one before within this
  static constexpr size_t kWorthBytes = 4 << 10;  ///< a pause that gathered fewer was not worth it

  /// After a read of `bytes` into `room`: how long to wait before the next one, 0: not at all.
  int64_t after_read(size_t bytes, size_t room, int64_t monotonic_ns) {
    if (hurried_ == kReadsBefore) {
      if (bytes == room) return 0;  // there is more
      if (bytes >= kWorthBytes) return kPauseNs;
      hurried_ = 0;
    } else {
      hurried_ = bytes < kShortBytes && monotonic_ns - last_ns_ < kSoonNs ? hurried_ + 1 : 0;
    }
    last_ns_ = monotonic_ns;
    return hurried_ == kReadsBefore ? kPauseNs : 0;
  }

 private:
  int64_t last_ns_ = INT64_MIN / 2;
  int hurried_ = 0;  // short reads in a row; at kReadsBefore it pauses
};

}  // namespace weir
