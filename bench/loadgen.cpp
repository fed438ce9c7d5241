// loadgen: sends COUNT lines of FILE over CONNECTIONS connections as fast as they are taken, then half-closes
// and waits until the receiver has closed every connection (weir: everything is in its journal then).
//   loadgen unix:PATH|tcp:HOST:PORT FILE COUNT CONNECTIONS batch|one
// batch: whole lines, up to 64 KiB per write. one: one write per line. FILE is mapped and touched before the
// clock starts, and each connection starts elsewhere in it. At most 8 threads: each serves its connections in
// turn. Prints one JSON line: records, bytes, send_s, total_s, start_ns (CLOCK_MONOTONIC), cpu_s (user and
// system, while it sent).
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <thread>
#include <vector>

#include "bench/sender.h"

namespace {

constexpr size_t kBatchBytes = 65536;
constexpr size_t kThreadsMax = 8;

double cpu_s() {
  rusage used;
  getrusage(RUSAGE_SELF, &used);
  return double(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
         double(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

struct Lines {
  const char* data;
  std::vector<size_t> ends;  ///< ends[i]: behind line i - 1; ends[0] = 0
  size_t count() const { return ends.size() - 1; }
};

Lines load(const char* path) {
  const int fd = open(path, O_RDONLY);
  struct stat st;
  if (fd < 0 || fstat(fd, &st)) fail(path);
  Lines lines{static_cast<const char*>(
                  mmap(nullptr, size_t(st.st_size), PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0)),
              {0}};
  for (const char *p = lines.data, *end = p + st.st_size; p < end;) {
    p = static_cast<const char*>(std::memchr(p, '\n', size_t(end - p))) + 1;
    lines.ends.push_back(size_t(p - lines.data));
  }
  return lines;
}

/// One connection and what it still has to send: `left` lines from `line` on, around the end of the file.
struct alignas(64) Load {
  int fd;
  size_t line, left;
  size_t bytes = 0;

  /// One line, or as many as a batch takes.
  void send_some(const Lines& lines, bool one) {
    size_t next = line + 1;
    while (!one && next < lines.count() && next - line < left &&
           lines.ends[next + 1] - lines.ends[line] <= kBatchBytes)
      ++next;
    const char* p = lines.data + lines.ends[line];
    for (size_t rest = lines.ends[next] - lines.ends[line]; rest > 0;) {
      const ssize_t n = write(fd, p, rest);
      if (n < 0 && errno != EINTR) fail("write");
      if (n > 0) p += n, rest -= size_t(n), bytes += size_t(n);
    }
    left -= next - line;
    line = next == lines.count() ? 0 : next;
  }
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) return std::fputs("usage: loadgen ADDRESS FILE COUNT CONNECTIONS batch|one\n", stderr), 64;
  std::signal(SIGPIPE, SIG_IGN);
  const Lines lines = load(argv[2]);
  const size_t count = size_t(std::atol(argv[3])), connections = size_t(std::atol(argv[4]));
  const bool one = std::string(argv[5]) == "one";
  std::vector<Load> loads;
  for (size_t i = 0; i < connections; ++i)
    loads.push_back(
        {dial(argv[1]), lines.count() / connections * i, count / connections + (i < count % connections)});

  const size_t threads = std::min(connections, kThreadsMax);
  std::vector<std::thread> senders;
  const double cpu_before = cpu_s();
  const int64_t start = now_ns();
  for (size_t t = 0; t < threads; ++t)
    senders.emplace_back([&, t] {
      for (bool more = true; more;) {
        more = false;
        for (size_t i = t; i < loads.size(); i += threads)
          if (loads[i].left > 0) loads[i].send_some(lines, one), more = true;
      }
    });
  for (std::thread& sender : senders) sender.join();
  const int64_t sent = now_ns();
  const double cpu = cpu_s() - cpu_before;
  for (const Load& load : loads) shutdown(load.fd, SHUT_WR);
  char sink[4096];
  for (const Load& load : loads)
    while (read(load.fd, sink, sizeof sink) > 0) {
    }
  const int64_t closed = now_ns();
  size_t total = 0;
  for (const Load& load : loads) total += load.bytes;
  std::printf(R"({"records":%zu,"bytes":%zu,"send_s":%.6f,"total_s":%.6f,"start_ns":%lld,"cpu_s":%.6f})"
              "\n",
              count, total, double(sent - start) / 1e9, double(closed - start) / 1e9,
              static_cast<long long>(start), cpu);
}
