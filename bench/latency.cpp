// latency: how long an idle agent takes from a record's last byte to its line in the file.
//   latency unix:PATH|tcp:HOST:PORT FILE OUTPUT SAMPLES
// One connection. Sends a line of FILE, looks at OUTPUT without pause until it has grown by a whole line,
// waits between 0.2 and 2 ms, sends the next one. The clock starts before the write. It looks with the lowest
// priority there is (SCHED_IDLE), so that it takes no processor from the agent. Prints one JSON line: the
// percentiles in microseconds. The first records only warm up.
#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <string>
#include <vector>

#include "bench/sender.h"

namespace {

constexpr size_t kWarmUp = 100;
constexpr int64_t kPauseMinNs = 200'000, kPauseMaxNs = 2'000'000, kGiveUpNs = 5'000'000'000;

/// Until OUTPUT is longer than `size` and ends in a line feed; its new size.
off_t wait_for_line(int output, off_t size, int64_t give_up_ns) {
  for (;;) {
    struct stat st;
    char last;
    if (fstat(output, &st)) fail("fstat");
    if (st.st_size > size && pread(output, &last, 1, st.st_size - 1) == 1 && last == '\n') return st.st_size;
    if (now_ns() > give_up_ns)
      return std::fputs("latency: a record did not arrive\n", stderr), std::exit(1), 0;
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) return std::fputs("usage: latency ADDRESS FILE OUTPUT SAMPLES\n", stderr), 64;
  const sched_param lowest{};
  if (sched_setscheduler(0, SCHED_IDLE, &lowest)) fail("sched_setscheduler");
  std::ifstream file(argv[2]);
  const auto samples = size_t(std::atol(argv[4]));
  const int to = dial(argv[1]);
  int output = open(argv[3], O_RDONLY);
  for (const int64_t until = now_ns() + kGiveUpNs; output < 0 && now_ns() < until;)
    output = open(argv[3], O_RDONLY);
  if (output < 0) fail(argv[3]);
  off_t size = lseek(output, 0, SEEK_END);
  std::vector<double> us;
  uint64_t random = 0x9E3779B97F4A7C15u;
  std::string line;
  for (size_t i = 0; i < kWarmUp + samples && std::getline(file, line); ++i) {
    line += '\n';
    const int64_t start = now_ns();
    if (write(to, line.data(), line.size()) != ssize_t(line.size())) fail("write");
    size = wait_for_line(output, size, start + kGiveUpNs);
    if (i >= kWarmUp) us.push_back(double(now_ns() - start) / 1e3);
    random = random * 6364136223846793005u + 1442695040888963407u;
    const timespec pause{0, kPauseMinNs + int64_t((random >> 33) % (kPauseMaxNs - kPauseMinNs))};
    nanosleep(&pause, nullptr);
  }
  std::sort(us.begin(), us.end());
  const auto at = [&](double share) {
    return us[std::min(us.size() - 1, size_t(share * double(us.size())))];
  };
  std::printf(R"({"samples":%zu,"p50_us":%.1f,"p90_us":%.1f,"p99_us":%.1f,"p999_us":%.1f,"max_us":%.1f})"
              "\n",
              us.size(), at(0.50), at(0.90), at(0.99), at(0.999), us.back());
}
