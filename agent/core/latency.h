#pragma once
#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace weir {

/// Upper bounds of the buckets, in nanoseconds; one more bucket takes what is longer.
inline constexpr std::array<int64_t, 20> kLatencyBoundsNs{
    10'000,      25'000,        50'000,        100'000,       250'000,        500'000,       1'000'000,
    2'500'000,   5'000'000,     10'000'000,    25'000'000,    50'000'000,     100'000'000,   250'000'000,
    500'000'000, 1'000'000'000, 2'500'000'000, 5'000'000'000, 10'000'000'000, 60'000'000'000};

/// What a LatencyHistogram held at one moment.
struct LatencySnapshot {
  std::array<uint64_t, kLatencyBoundsNs.size() + 1> counts{};  ///< of each bucket alone
  double sum_s = 0;
};

/// How long something took, counted in fixed buckets. Any thread adds, any thread reads; nothing waits and
/// nothing is allocated. Some twenty nanoseconds each: once per turn, batch or request, never per record.
class LatencyHistogram {
 public:
  /// `n` of them took `ns`; less than nothing (a clock was set back) counts as nothing.
  void add(int64_t ns, uint64_t n = 1) noexcept {
    counts_[bucket_of(ns)].fetch_add(n, std::memory_order_relaxed);
    sum_s_.fetch_add(seconds(ns) * double(n), std::memory_order_relaxed);
  }
  LatencySnapshot snapshot() const noexcept {
    LatencySnapshot out;
    for (size_t i = 0; i < counts_.size(); ++i) out.counts[i] = counts_[i].load(std::memory_order_relaxed);
    out.sum_s = sum_s_.load(std::memory_order_relaxed);
    return out;
  }

  /// Adds many at once: those in a row that fall into the same bucket cost one.
  class Batch {
   public:
    explicit Batch(LatencyHistogram& histogram) : histogram_(histogram) {}
    Batch(const Batch&) = delete;
    Batch& operator=(const Batch&) = delete;
    ~Batch() { flush(); }
    void add(int64_t ns, uint64_t n) noexcept {
      if (const size_t bucket = bucket_of(ns); bucket != bucket_) flush(), bucket_ = bucket;
      count_ += n, sum_s_ += seconds(ns) * double(n);
    }

   private:
    void flush() noexcept {
      if (count_ == 0) return;
      histogram_.counts_[bucket_].fetch_add(count_, std::memory_order_relaxed);
      histogram_.sum_s_.fetch_add(sum_s_, std::memory_order_relaxed);
      count_ = 0, sum_s_ = 0;
    }
    LatencyHistogram& histogram_;
    size_t bucket_ = 0;
    uint64_t count_ = 0;
    double sum_s_ = 0;
  };

 private:
  static size_t bucket_of(int64_t ns) noexcept {
    return size_t(std::lower_bound(kLatencyBoundsNs.begin(), kLatencyBoundsNs.end(), ns) -
                  kLatencyBoundsNs.begin());
  }
  static double seconds(int64_t ns) noexcept { return double(std::max<int64_t>(0, ns)) / 1e9; }

  std::array<std::atomic<uint64_t>, kLatencyBoundsNs.size() + 1> counts_{};
  std::atomic<double> sum_s_ = 0;
};

}  // namespace weir
