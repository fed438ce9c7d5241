#include "agent/core/clock.h"

#include <cstring>
#include <ctime>

namespace weir {
namespace {

class SystemClock final : public Clock {
 public:
  int64_t monotonic_ns() const override { return read(CLOCK_MONOTONIC); }
  int64_t wall_ns() const override { return read(CLOCK_REALTIME); }

 private:
  static int64_t read(clockid_t id) {
    timespec t;
    clock_gettime(id, &t);
    return int64_t(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
  }
};

void put_digits(char* out, int64_t value, int digits) {
  for (int i = digits; i-- > 0; value /= 10) out[i] = char('0' + value % 10);
}

}  // namespace

const Clock& system_clock() {
  static const SystemClock clock;
  return clock;
}

char* format_rfc3339(char* out, int64_t wall_ns) {
  int64_t rest = wall_ns % 1'000'000'000;
  time_t seconds = wall_ns / 1'000'000'000;
  if (rest < 0) rest += 1'000'000'000, --seconds;
  tm parts;
  gmtime_r(&seconds, &parts);
  std::memcpy(out, "0000-00-00T00:00:00.000000000Z", 30);
  put_digits(out, parts.tm_year + 1900, 4);
  put_digits(out + 5, parts.tm_mon + 1, 2);
  put_digits(out + 8, parts.tm_mday, 2);
  put_digits(out + 11, parts.tm_hour, 2);
  put_digits(out + 14, parts.tm_min, 2);
  put_digits(out + 17, parts.tm_sec, 2);
  put_digits(out + 20, rest, 9);
  return out + 30;
}

std::string rfc3339(int64_t wall_ns) {
  char text[30];
  return std::string(text, format_rfc3339(text, wall_ns));
}

}  // namespace weir
