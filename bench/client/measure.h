#pragma once
// Times each call by the processor's counter, and prints percentiles in ns.
#include <sched.h>
#include <x86intrin.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <vector>

namespace bench {

inline void pin(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  sched_setaffinity(0, sizeof set, &set);
}

/// Waits until what came before is done; what comes later does not begin earlier.
inline uint64_t ticks() {
  _mm_lfence();
  const uint64_t t = __rdtsc();
  _mm_lfence();
  return t;
}

class Clock {
 public:
  Clock() {
    const auto begin = std::chrono::steady_clock::now();
    const uint64_t from = ticks();
    while (std::chrono::steady_clock::now() - begin < std::chrono::milliseconds(50)) {
    }
    const std::chrono::duration<double, std::nano> ns = std::chrono::steady_clock::now() - begin;
    ns_per_tick = ns.count() / double(ticks() - from);
    std::vector<uint64_t> empty;
    for (int i = 0; i < 20000; ++i) {
      const uint64_t t = ticks();
      empty.push_back(ticks() - t);
    }
    std::nth_element(empty.begin(), empty.begin() + 10000, empty.end());
    overhead = empty[10000];
  }
  double ns_per_tick;
  uint64_t overhead;  ///< ticks of measuring nothing, median; subtracted
};

inline const Clock& clock() {
  static const Clock c;
  return c;
}

/// `calls` calls of f(i), `pause_ns` of other work between them (a program logs now and then, not all the
/// time).
template <class F>
void measure(const char* name, size_t calls, double pause_ns, F&& f) {
  const Clock& c = clock();
  const uint64_t pause = uint64_t(pause_ns / c.ns_per_tick);
  std::vector<uint32_t> took(calls);
  const size_t warm_up = calls / 10;
  for (size_t i = 0; i < warm_up + calls; ++i) {
    for (const uint64_t until = __rdtsc() + pause; __rdtsc() < until;) _mm_pause();
    const uint64_t begin = ticks();
    f(i);
    const uint64_t all = ticks() - begin;
    const uint64_t net = all > c.overhead ? all - c.overhead : 0;
    if (i >= warm_up) took[i - warm_up] = uint32_t(std::min<uint64_t>(net, UINT32_MAX));
  }
  std::sort(took.begin(), took.end());
  const auto at = [&](double share) {
    return double(took[size_t(double(calls - 1) * share)]) * c.ns_per_tick;
  };
  std::printf("%-46s %9.0f %9.0f %9.0f\n", name, at(0.5), at(0.99), at(0.999));
  std::fflush(stdout);
}

/// `count` calls without a pause: the mean in ns.
template <class F>
void burst(const char* name, size_t count, F&& f) {
  const Clock& c = clock();
  std::vector<double> means;
  for (int run = 0; run < 200; ++run) {
    for (const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(4);
         std::chrono::steady_clock::now() < until;)
      _mm_pause();
    const uint64_t begin = ticks();
    for (size_t i = 0; i < count; ++i) f(i);
    means.push_back(double(ticks() - begin) * c.ns_per_tick / double(count));
  }
  std::sort(means.begin(), means.end());
  std::printf("%-46s %9.1f each (median of 200 bursts of %zu)\n", name, means[100], count);
  std::fflush(stdout);
}

}  // namespace bench
