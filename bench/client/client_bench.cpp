// What a call of the native client costs the calling thread, beside other ways to log: ./dev bench client
//   client_bench [unix:PATH]     an agent that reads the rings; else a thread here reads them, as it would:
//                                it copies what is there, publishes the tail, sleeps 1 ms
#include <fcntl.h>
#include <spdlog/async.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/spdlog.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <string>
#include <thread>

#include "bench/client/measure.h"
#include "client/cpp/src/process.h"
#include "weir/weir.h"

namespace {

constexpr size_t kCalls = 500'000;
constexpr double kPauseNs = 2000;

std::atomic<bool> stop{false};
std::atomic<uint64_t> drained{0};

void drain() {
  bench::pin(1);
  std::vector<char> copy(1 << 20);
  while (!stop) {
    for (weir::detail::Ring* r = weir::detail::process.rings.load(); r; r = r->next) {
      const uint64_t tail = r->header->tail.load(), head = r->header->head.load(std::memory_order_acquire);
      if (head - tail <= copy.size())
        std::memcpy(copy.data(), r->data + (tail & (r->capacity - 1)), head - tail);
      drained += head - tail;
      r->header->tail.store(head, std::memory_order_release);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

template <class F>
void bytes_of(const char* name, F&& f) {
  const uint64_t before = weir::detail::thread.head;
  f();
  std::printf("%-46s %9lu bytes\n", name, (unsigned long)(weir::detail::thread.head - before));
}

void log4(size_t i) {
  WEIR_INFO("order {id} accepted: {price} for {who} ({items})", weir::arg("id", uint64_t(i)),
            weir::arg("price", 12.5), weir::arg("items", 3), weir::arg("who", "c-1234"));
}

uint64_t start;  // of spans; a program takes it when the work begins

void span8(size_t i) {
  WEIR_SPAN("charge", start, weir::arg("id", uint64_t(i)), weir::arg("price", 12.5), weir::arg("items", 3),
            weir::arg("ok", true), weir::arg("method", "card"), weir::arg("currency", "EUR"),
            weir::arg("try", 1), weir::arg("shop", uint64_t(17)));
}

void raii_span8(size_t i) {
  weir::Span span("charge");
  span.set("id", uint64_t(i)).set("price", 12.5).set("items", 3).set("ok", true);
  span.set("method", "card").set("currency", "EUR").set("try", 1).set("shop", uint64_t(17));
}

weir::Counter counter("bench.calls");
weir::Gauge gauge("bench.depth");

uint64_t dropped() {
  static const weir::ring::RingHeader* last = nullptr;
  static uint64_t in_it = 0, before_it = 0;  // under pressure the thread changes its ring
  const auto* const header = weir::detail::thread.header;
  if (header != last) before_it += std::exchange(in_it, 0), last = header;
  if (header) in_it = header->dropped.load(std::memory_order_relaxed);
  return before_it + in_it;
}

void of_weir() {
  bytes_of("weir log, 4 arguments", [] { log4(1); });
  bytes_of("weir span, 8 attributes", [] { span8(1); });
  bytes_of("weir RAII span, 8 set()", [] { raii_span8(1); });
  bench::Table table;
  table.add("reading the clock (rdtsc) alone", kCalls, kPauseNs, [](size_t) { start = __rdtsc(); });
  table.add("weir log, 4 arguments", kCalls, kPauseNs, log4, dropped);
  table.add("weir span, 8 attributes", kCalls, kPauseNs, span8, dropped);
  table.add("weir RAII span with ids, 8 set()", kCalls, kPauseNs, raii_span8, dropped);
  table.add("weir counter", kCalls, kPauseNs, [](size_t) { counter.add(); });
  table.add(
      "weir gauge", kCalls, kPauseNs, [](size_t i) { gauge.set(double(i)); }, dropped);
  table.run();
  bench::burst("weir log, 4 arguments", 1000, log4, dropped);
  bench::burst("weir span, 8 attributes", 500, span8, dropped);
  bench::burst("weir counter", 1000, [](size_t) { counter.add(); });
  const weir::Stats stats = weir::stats();
  std::printf("weir: dropped %lu, transport %s\n", (unsigned long)stats.dropped,
              stats.transport == weir::Transport::ring ? "ring" : "drain thread");
}

/// Where no syslog daemon listens: a /dev of this process's own, in which somebody reads and forgets.
bool make_dev_log() {
  const uid_t uid = getuid();
  if (unshare(CLONE_NEWNS | (uid == 0 ? 0 : CLONE_NEWUSER)) != 0) return false;
  if (mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return false;
  if (mount("weir-bench", "/dev", "tmpfs", 0, nullptr) != 0) return false;
  const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{AF_UNIX, "/dev/log"};
  if (fd < 0 || bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return false;
  std::thread([fd] {
    bench::pin(1);
    for (char text[8192]; recv(fd, text, sizeof text, 0) >= 0;) {
    }
  }).detach();
  return true;
}

/// In a process of its own, for the sake of make_dev_log().
void of_syslog() {
  std::fflush(stdout);
  const pid_t child = fork();
  if (child < 0) std::abort();
  if (child != 0) {
    waitpid(child, nullptr, 0);
    return;
  }
  const bool daemon = access("/dev/log", W_OK) == 0;
  if (!daemon && !make_dev_log()) {
    std::printf("%-46s no /dev/log here, and none can be made\n", "syslog(3)");
  } else {
    bench::Table table;
    table.add(daemon ? "syslog(3), 4 arguments" : "syslog(3), 4 arguments, its reader forgets", kCalls / 10,
              4 * kPauseNs,
              [](size_t i) { syslog(LOG_INFO, "order %zu accepted: %g for %s (%d)", i, 12.5, "c-1234", 3); });
    table.run();
  }
  std::fflush(stdout);
  _exit(0);
}

void of_others(const std::string& directory) {
  spdlog::init_thread_pool(8192, 1);
  auto logger = spdlog::basic_logger_mt<spdlog::async_factory>("bench", directory + "/spdlog.log", true);
  bench::Table table;
  table.add("spdlog async, 4 arguments", kCalls / 10, 4 * kPauseNs,
            [&](size_t i) { logger->info("order {} accepted: {} for {} ({})", i, 12.5, "c-1234", 3); });
  const int file = open((directory + "/json").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  table.add("a JSON line written to a file", kCalls / 10, 4 * kPauseNs, [&](size_t i) {
    timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    char line[256];
    const int n =
        std::snprintf(line, sizeof line,
                      "{\"stream\":\"log\",\"ts\":%ld%09ld,\"level\":\"info\",\"message\":\"order accepted\","
                      "\"attributes\":{\"id\":%zu,\"price\":%g,\"items\":%d,\"who\":\"%s\"}}\n",
                      long(now.tv_sec), now.tv_nsec, i, 12.5, 3, "c-1234");
    if (write(file, line, size_t(n)) != n) std::abort();
  });
  table.run();
  close(file);
  std::fflush(stdout);
  spdlog::shutdown();
}

}  // namespace

int main(int argc, char** argv) {
  weir::Options options;
  options.address = argc > 1 ? argv[1] : "unix:/nonexistent/weir.sock";
  weir::configure(options);
  start = weir::span_clock();
  log4(0);
  bench::pin(0);
  std::thread reader;
  if (argc == 1) {
    reader = std::thread(drain);
  } else if (weir::flush(std::chrono::seconds(2)); weir::stats().transport != weir::Transport::ring) {
    std::fprintf(stderr, "client_bench: no agent reads the rings at %s: start one, or give no address\n",
                 argv[1]);
    return 69;
  }
  of_weir();
  of_syslog();
  char directory[] = "/tmp/weir-client-bench-XXXXXX";
  if (!mkdtemp(directory)) return 1;
  of_others(directory);
  stop = true;
  if (reader.joinable()) reader.join();
  for (const char* name : {"/spdlog.log", "/json"}) unlink((std::string(directory) + name).c_str());
  rmdir(directory);
}
