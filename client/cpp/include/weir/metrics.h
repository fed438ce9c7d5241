#pragma once
// Metrics: objects with a fixed name, unit and labels, best static.
//   static weir::Counter accepted("orders.accepted", "1", {{"route", "/orders"}});
//   accepted.add();
#include <initializer_list>

#include "weir/site.h"

namespace weir {

/// A label of a metric. String literals.
struct Label {
  const char* key;
  const char* value;
};

/// At most four; what is beyond is left out.
using Labels = std::initializer_list<Label>;

namespace detail {
inline constexpr size_t kLabelsMax = 4;

struct Metric {
  constexpr Metric(ring::RecordKind kind, const char* name, const char* unit, Labels all)
      : site{kind, ring::Level::info, name, unit, "", {0}} {
    for (const Label& label : all)
      if (labels_count < kLabelsMax) labels[labels_count++] = label;
  }
  /// False: it could not be written, which is counted as a drop unless `quiet`.
  bool write(double value, bool quiet = false) noexcept;

  Site site;
  Label labels[kLabelsMax]{};
  size_t labels_count = 0;
};

/// An addition that a signal handler of this thread cannot get between; only this thread writes the cell.
inline void add_to_cell(std::atomic<uint64_t>& cell, uint64_t n) noexcept {
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
  asm volatile("addq %1, %0" : "+m"(cell) : "er"(n) : "cc");
#else
  cell.fetch_add(n, std::memory_order_relaxed);
#endif
}
}  // namespace detail

/// Goes up. What all threads add becomes one record a second (a delta), at flush() and at the program's end.
/// It must live as long as the program.
class Counter {
 public:
  constexpr explicit Counter(const char* name, const char* unit = "", Labels labels = {})
      : metric_(ring::RecordKind::counter, name, unit, labels) {}
  Counter(const Counter&) = delete;
  Counter& operator=(const Counter&) = delete;

  void add(uint64_t n = 1) noexcept {
    detail::Thread& t = detail::thread;
    const uint32_t index = index_.load(std::memory_order_relaxed);
    if (__builtin_expect(t.cells && index, 1))
      detail::add_to_cell(t.cells[index], n);
    else
      add_slowly(t, n);
  }

 private:
  friend struct CounterAccess;
  void add_slowly(detail::Thread& t, uint64_t n) noexcept;

  detail::Metric metric_;
  std::atomic<uint32_t> index_{0};   ///< of its cell in each thread; 0: none
  std::atomic<uint64_t> shared_{0};  ///< what found no cell
  uint64_t written_ = 0;             ///< of the sum of all cells and shared_
  Counter* next_ = nullptr;
  bool listed_ = false;
};

/// A value that is what it is now: each set() is a record.
class Gauge {
 public:
  constexpr explicit Gauge(const char* name, const char* unit = "", Labels labels = {})
      : metric_(ring::RecordKind::gauge, name, unit, labels) {}
  void set(double value) noexcept { metric_.write(value); }

 private:
  detail::Metric metric_;
};

/// Single observations of a distribution: each record() is a record.
class Histogram {
 public:
  constexpr explicit Histogram(const char* name, const char* unit = "", Labels labels = {})
      : metric_(ring::RecordKind::histogram, name, unit, labels) {}
  void record(double value) noexcept { metric_.write(value); }

 private:
  detail::Metric metric_;
};

}  // namespace weir
