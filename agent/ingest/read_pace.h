#pragma once
#include <cstddef>
#include <cstdint>

namespace weir {

/// When a TCP connection should be left alone for a moment. A program that writes each record by itself would
/// wake the agent for each, and pay for that: over loopback a write that wakes a reader costs it several
/// times one that does not (docs/decisions/0011-waking-and-pausing.md). When a connection has been emptied
/// several times, soon one after the other and of little each time, the next look at it waits until some
/// records have gathered, and so on while they do. A record that comes alone never waits. One for each
/// connection; no clock but the time given.
class ReadPace {
 public:
  static constexpr int64_t kPauseNs = 1000'000;
  static constexpr int kTimesBefore = 8;            ///< it was emptied so often
  static constexpr size_t kLittleBytes = 64 << 10;  ///< of fewer than this
  static constexpr int64_t kSoonNs = 100'000;       ///< within this of the time before
  static constexpr size_t kWorthBytes = 4 << 10;    ///< a pause that gathered fewer was not worth it

  /// Something was read.
  void read(size_t bytes) { bytes_ += bytes; }
  /// Nothing more is there: how long to wait before the next look, 0: until something comes.
  int64_t emptied(int64_t monotonic_ns) {
    const size_t bytes = bytes_;
    bytes_ = 0;
    if (hurried_ == kTimesBefore) {
      if (bytes >= kWorthBytes) return kPauseNs;
      hurried_ = 0;
    } else {
      const bool hurried = bytes > 0 && bytes < kLittleBytes && monotonic_ns - last_ns_ < kSoonNs;
      hurried_ = hurried ? hurried_ + 1 : 0;
    }
    last_ns_ = monotonic_ns;
    return hurried_ == kTimesBefore ? kPauseNs : 0;
  }

 private:
  size_t bytes_ = 0;  // since it was emptied last
  int64_t last_ns_ = INT64_MIN / 2;
  int hurried_ = 0;  // times in a row; at kTimesBefore it pauses
};

}  // namespace weir
