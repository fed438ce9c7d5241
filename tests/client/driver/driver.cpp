// A program with the native client that does what its standard input says, for
// tests/integration/test_cpp_*.py. Each line: a command and numbers; each is answered by one line.
//   log N           N logs {n}, numbered on        -> ok
//   patient N       the same, waiting for room     -> microseconds it took
//   spans N         N failed spans                 -> ok
//   lengths N       four records for each length of text from 0 to N - 1 -> ok
//   relay T N       T threads that log N in all, in turns, each one number more -> ok
//   threads T N     T threads, each logs N         -> ok
//   count N         adds N to a counter            -> ok
//   flush MS        -> done | late
//   stats           -> JSON
//   time N          N logs, each timed -> the p99.9 in microseconds
//   paced N NS      N logs, one every NS ns        -> p50, p99, p99.9 of the calls in nanoseconds
//   fork N          the child logs N and ends      -> its exit code
//   forever         logs on and on, told of each on standard output: `N`
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <thread>
#include <vector>

#include "weir/weir.h"

namespace {

uint64_t next = 1;
weir::Counter counter("driver.count", "1", {{"kind", "test"}});

void log_some(long count) {
  for (long i = 0; i < count; ++i, ++next)
    WEIR_INFO("n {n}", weir::arg("n", next), weir::arg("text", "a \"b\" \xc3\xa9"));
}

/// Of each kind that has texts: a site's log, a log made at run time, a failed span, a step.
void lengths(size_t max) {
  for (size_t n = 0; n < max; ++n) {
    const std::string text(n, 'x');
    WEIR_INFO("site {text}", weir::arg("text", text));
    weir::log(weir::Level::info, text, "run time");
    weir::Span("span").set("text", text).error("E", text);
    weir::Step("step").ctx_set("text", text);
  }
}

void relay(long count, long all) {
  std::mutex mutex;
  std::condition_variable changed;
  long turn = 0;
  std::vector<std::thread> runners;
  for (long t = 0; t < count; ++t)
    runners.emplace_back([&, t] {
      for (long i = t; i < all; i += count) {
        std::unique_lock lock(mutex);
        changed.wait(lock, [&] { return turn == i; });
        WEIR_INFO("relay", weir::arg("i", i));
        ++turn;
        changed.notify_all();
      }
    });
  for (auto& t : runners) t.join();
}

void threads(long count, long each) {
  std::vector<std::thread> all;
  for (long t = 0; t < count; ++t)
    all.emplace_back([=] {
      for (long i = 0; i < each; ++i) WEIR_INFO("thread", weir::arg("t", t), weir::arg("i", i));
    });
  for (auto& t : all) t.join();
}

/// Of `count` logs, one every `pace_ns`: what each took, in nanoseconds, sorted.
std::vector<long> timed(long count, long pace_ns) {
  using Clock = std::chrono::steady_clock;
  std::vector<long> took(size_t(count), 0);
  auto due = Clock::now();
  for (long& ns : took) {
    auto begin = Clock::now();
    while (begin < due) begin = Clock::now();
    log_some(1);
    ns = long((Clock::now() - begin).count());
    due += std::chrono::nanoseconds(pace_ns);
  }
  std::sort(took.begin(), took.end());
  return took;
}

long quantile(const std::vector<long>& sorted, double of) {
  return sorted[size_t(double(sorted.size() - 1) * of)];
}

void print_paced(long count, long pace_ns) {
  const std::vector<long> took = timed(count, pace_ns);
  std::printf("%ld %ld %ld\n", quantile(took, 0.5), quantile(took, 0.99), quantile(took, 0.999));
}

long patient_us(long count) {
  const weir::WaitForRoom wait;
  const auto begin = std::chrono::steady_clock::now();
  log_some(count);
  return long((std::chrono::steady_clock::now() - begin).count() / 1000);
}

int fork_and_log(long count) {
  const pid_t child = fork();
  if (child == 0) {
    log_some(count);
    // Not exit(): to the leak sanitizer what threads of the parent had is lost here.
    _exit(weir::flush(std::chrono::seconds(20)) ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);
}

void print_stats() {
  const weir::Stats s = weir::stats();
  const char* const names[] = {"none", "frames", "ring", "lines"};
  std::printf(
      "{\"transport\":\"%s\",\"rings\":%lu,\"dropped\":%lu,\"sent\":%lu,\"acknowledged\":%lu,\"rejected\":%"
      "lu,"
      "\"connections\":%lu}\n",
      names[int(s.transport)], (unsigned long)s.rings, (unsigned long)s.dropped, (unsigned long)s.sent,
      (unsigned long)s.acknowledged, (unsigned long)s.rejected, (unsigned long)s.connections);
}

void obey(const char* what, long a, long b) {
  const std::string command = what;
  if (command == "flush") return void(std::puts(weir::flush(std::chrono::milliseconds(a)) ? "done" : "late"));
  if (command == "stats") return print_stats();
  if (command == "time") return void(std::printf("%ld\n", quantile(timed(a, 0), 0.999) / 1000));
  if (command == "paced") return print_paced(a, b);
  if (command == "patient") return void(std::printf("%ld\n", patient_us(a)));
  if (command == "fork") return void(std::printf("%d\n", fork_and_log(a)));
  if (command == "log") log_some(a);
  if (command == "lengths") lengths(size_t(a));
  if (command == "relay") relay(a, b);
  if (command == "threads") threads(a, b);
  if (command == "count") counter.add(uint64_t(a));
  for (long i = 0; command == "spans" && i < a; ++i) weir::Span("work").set("i", i).error("E", "failed");
  while (command == "forever") {
    log_some(1);
    std::printf("%lu\n", (unsigned long)next - 1);
    std::fflush(stdout);
  }
  std::puts("ok");
}

}  // namespace

/// The child of a fork starts a thread of its own, which the thread sanitizer only watches when it is told
/// to.
extern "C" const char* __tsan_default_options() { return "die_after_fork=0"; }

int main(int argc, char** argv) {
  weir::Options options;
  options.service = "driver";
  if (argc > 1) options.address = argv[1];
  if (argc > 2) options.ack = argv[2];
  weir::configure(options);
  char line[256];
  while (std::fgets(line, sizeof line, stdin)) {
    char what[32] = "";
    long a = 0, b = 0;
    std::sscanf(line, "%31s %ld %ld", what, &a, &b);
    obey(what, a, b);
    std::fflush(stdout);
  }
}
