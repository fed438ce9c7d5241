#pragma once
// Times each call by the processor's counter, and prints percentiles in ns.
#include <sched.h>
#include <x86intrin.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <functional>
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
  }
  double ns_per_tick;
};

/// Ticks of measuring nothing, median; subtracted. It is another one while the machine is slower.
inline uint64_t overhead() {
  std::vector<uint64_t> empty;
  for (int i = 0; i < 20000; ++i) {
    const uint64_t t = ticks();
    empty.push_back(ticks() - t);
  }
  std::nth_element(empty.begin(), empty.begin() + 10000, empty.end());
  return empty[10000];
}

inline const Clock& clock() {
  static const Clock c;
  return c;
}

inline uint64_t none_dropped() { return 0; }

struct Percentiles {
  double p50 = 0, p99 = 0, p999 = 0;  ///< ns
};

/// `calls` calls of f(i), `pause_ns` of other work between them (a program logs now and then, not all the
/// time). A call that found no room is counted by `dropped`, and is not among the figures.
template <class F>
Percentiles round(size_t calls, double pause_ns, F&& f, uint64_t (*dropped)()) {
  const Clock& c = clock();
  const uint64_t pause = uint64_t(pause_ns / c.ns_per_tick), nothing = overhead();
  std::vector<uint32_t> took;
  took.reserve(calls);
  for (size_t i = 0; i < calls + calls / 10; ++i) {
    for (const uint64_t until = __rdtsc() + pause; __rdtsc() < until;) _mm_pause();
    const uint64_t before = dropped();
    const uint64_t begin = ticks();
    f(i);
    const uint64_t all = ticks() - begin;
    const uint64_t net = all > nothing ? all - nothing : 0;
    if (i >= calls / 10 && dropped() == before) took.push_back(uint32_t(std::min<uint64_t>(net, UINT32_MAX)));
  }
  std::sort(took.begin(), took.end());
  const auto at = [&](double share) {
    return took.empty() ? 0 : double(took[size_t(double(took.size() - 1) * share)]) * c.ns_per_tick;
  };
  return {at(0.5), at(0.99), at(0.999)};
}

/// A shared machine is slower at times, by a factor of two, for seconds. So all calls take turns, kRounds
/// times. Shown are each one's round with the least p50, and the p50 of its slowest.
class Table {
 public:
  static constexpr size_t kRounds = 10;

  template <class F>
  void add(const char* name, size_t calls, double pause_ns, F f, uint64_t (*dropped)() = none_dropped) {
    rows_.push_back({name, [=] { return round(calls / kRounds, pause_ns, f, dropped); }, dropped, 0, {}});
  }
  void run() {
    for (size_t i = 0; i < kRounds; ++i) {
      for (Row& row : rows_) {
        const uint64_t before = row.dropped();
        row.rounds.push_back(row.measure());
        row.lost += row.dropped() - before;
      }
    }
    std::printf("%-46s %9s %9s %9s %9s %9s  (ns)\n", "", "p50", "p99", "p99.9", "worst p50", "dropped");
    for (Row& row : rows_) {
      std::sort(row.rounds.begin(), row.rounds.end(), [](auto& a, auto& b) { return a.p50 < b.p50; });
      const Percentiles& best = row.rounds.front();
      std::printf("%-46s %9.0f %9.0f %9.0f %9.0f %9lu\n", row.name, best.p50, best.p99, best.p999,
                  row.rounds.back().p50, (unsigned long)row.lost);
    }
    std::fflush(stdout);
  }

 private:
  struct Row {
    const char* name;
    std::function<Percentiles()> measure;
    uint64_t (*dropped)();
    uint64_t lost;
    std::vector<Percentiles> rounds;
  };
  std::vector<Row> rows_;
};

/// `count` calls without a pause, 200 times: the median of the means, of the bursts that found room for all.
template <class F>
void burst(const char* name, size_t count, F&& f, uint64_t (*dropped)() = none_dropped) {
  const Clock& c = clock();
  std::vector<double> means;
  for (int run = 0; run < 200; ++run) {
    for (const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(4);
         std::chrono::steady_clock::now() < until;)
      _mm_pause();
    const uint64_t before = dropped();
    const uint64_t begin = ticks();
    for (size_t i = 0; i < count; ++i) f(i);
    const uint64_t all = ticks() - begin;
    if (dropped() == before) means.push_back(double(all) * c.ns_per_tick / double(count));
  }
  std::sort(means.begin(), means.end());
  std::printf("%-46s %9.1f each (median of %zu bursts of %zu)\n", name,
              means.empty() ? 0 : means[means.size() / 2], means.size(), count);
  std::fflush(stdout);
}

}  // namespace bench
