#pragma once
#include <cstdint>
#include <string>

namespace weir {

/// Time as an argument. Safe to call from any thread. Timers use monotonic_ns only; wall_ns is for stamping.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual int64_t monotonic_ns() const = 0;  ///< nanoseconds, never goes back
  virtual int64_t wall_ns() const = 0;       ///< nanoseconds since the Unix epoch, UTC
};

/// CLOCK_MONOTONIC and CLOCK_REALTIME. Lives as long as the process.
const Clock& system_clock();

/// Set by hand, for tests.
class ManualClock final : public Clock {
 public:
  int64_t monotonic_ns() const override { return monotonic_ns_; }
  int64_t wall_ns() const override { return wall_ns_; }
  void advance_ns(int64_t ns) { monotonic_ns_ += ns, wall_ns_ += ns; }

 private:
  int64_t monotonic_ns_ = 1;
  int64_t wall_ns_ = 1'700'000'000'000'000'000;
};

/// RFC 3339 UTC with nanoseconds and `Z`: exactly 30 bytes. Writes no NUL. Returns out + 30.
char* format_rfc3339(char* out, int64_t wall_ns);
std::string rfc3339(int64_t wall_ns);

}  // namespace weir
