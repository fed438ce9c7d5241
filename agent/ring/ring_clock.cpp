#include "agent/ring/ring_clock.h"

#include <ctime>

#if defined(__x86_64__)
#include <cpuid.h>
#include <x86intrin.h>
#endif

namespace weir::ring {
namespace {

constexpr int64_t kFirstNs = 2'000'000;  // long enough for a rate that is right to some 20 ppm
constexpr int64_t kRefreshNs = 1'000'000'000;

int64_t time_ns(clockid_t clock) {
  timespec t;
  clock_gettime(clock, &t);
  return int64_t(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
}

uint64_t tsc() {
#if defined(__x86_64__)
  return __rdtsc();
#else
  return 0;
#endif
}

}  // namespace

bool RingClock::has_tsc() {
#if defined(__x86_64__)
  unsigned a, b, c, d;
  return __get_cpuid(0x80000007, &a, &b, &c, &d) && (d & (1u << 8)) != 0;
#else
  return false;
#endif
}

/// The narrowest of a few: one in which nothing came between.
RingClock::Reading RingClock::read() {
  Reading best;
  uint64_t width = UINT64_MAX;
  for (int i = 0; i < 5; ++i) {
    Reading r;
    const uint64_t before = tsc();
    r.monotonic_ns = time_ns(CLOCK_MONOTONIC), r.wall_ns = time_ns(CLOCK_REALTIME);
    const uint64_t after = tsc();
    if (after - before >= width) continue;
    width = after - before;
    r.tsc = before + width / 2;
    best = r;
  }
  return best;
}

RingClock::RingClock() : first_(read()) {
  if (!has_tsc()) return;
  Reading now = first_;
  while (now.monotonic_ns - first_.monotonic_ns < kFirstNs) now = read();
  measure(now);
}

void RingClock::measure(const Reading& now) {
  tsc_ = now.tsc, ns_ = now.wall_ns, refreshed_ns_ = now.monotonic_ns;
  if (const uint64_t ticks = now.tsc - first_.tsc; ticks > 0)
    rate_ = int64_t((__int128(now.monotonic_ns - first_.monotonic_ns) << kRateBits) / ticks);
}

void RingClock::refresh() {
  if (!has_tsc() || time_ns(CLOCK_MONOTONIC) - refreshed_ns_ < kRefreshNs) return;
  measure(read());
}

int64_t RingClock::now_ns() const { return time_ns(CLOCK_REALTIME); }

}  // namespace weir::ring
