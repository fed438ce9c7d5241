#pragma once
#include <cstdint>

#include "proto/ring.h"

namespace weir::ring {

/// What time a ring's clock shows. The time stamp counter is measured against the system's clocks now and
/// then: its rate by the monotonic one, which never jumps, its place by the wall clock.
class RingClock {
 public:
  RingClock();
  /// Is the counter a clock at all here: the same on all cores, at one rate?
  static bool has_tsc();
  /// Measures again, when the last time is long ago.
  void refresh();
  /// Nanoseconds since the epoch, for any value.
  int64_t ns(ClockKind kind, uint64_t clock) const {
    if (kind == ClockKind::realtime) return int64_t(clock & INT64_MAX);
    const auto ticks = int64_t(clock - tsc_);
    return int64_t((uint64_t(ns_) + uint64_t((__int128(ticks) * rate_) >> kRateBits)) & INT64_MAX);
  }
  int64_t now_ns() const;

 private:
  static constexpr int kRateBits = 32;
  struct Reading {
    uint64_t tsc = 0;
    int64_t monotonic_ns = 0, wall_ns = 0;
  };
  static Reading read();
  void measure(const Reading& now);
  Reading first_;
  uint64_t tsc_ = 0;  // of the last reading
  int64_t ns_ = 0;    // wall clock then
  int64_t rate_ = 0;  // nanoseconds of a tick, times 2^kRateBits
  int64_t refreshed_ns_ = 0;
};

}  // namespace weir::ring
