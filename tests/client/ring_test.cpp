#include <doctest/doctest.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <thread>

#include "tests/client/fake_reader.h"
#include "weir/weir.h"

using namespace weir;
using test::lines_with;
using test::stable;
using test::take_all;

namespace {

std::string only(std::vector<std::string> lines) {
  REQUIRE(lines.size() == 1);
  return stable(lines[0]);
}

enum class Colour : uint8_t { red = 1 };

}  // namespace

TEST_CASE("a static initialiser can log") {
  CHECK(lines_with(test::before_main, "\"message\":\"before main\"") == 1);
}

TEST_CASE("a log has its arguments in the message and as attributes") {
  take_all();
  const std::string id = "o-7";
  WEIR_INFO("order {id} accepted in {ms} ms", weir::arg("id", id), weir::arg("ms", 3.5), weir::arg("n", -4),
            weir::arg("big", uint64_t(1) << 63), weir::arg("ok", true), weir::arg("colour", Colour::red),
            weir::arg("none", nullptr), weir::arg("json", weir::Json{"[1,{}]"}));
  CHECK(
      only(take_all()) ==
      R"({"stream":"log","ts":N,"level":"info","message":"order o-7 accepted in 3.5 ms","attributes":{"id":"o-7",)"
      R"("ms":3.5,"n":-4,"big":9223372036854775808,"ok":true,"colour":1,"none":null,"json":[1,{}]}})");
}

TEST_CASE("the clock of a log is the time of its commit") {
  take_all();
  timespec before, after;
  clock_gettime(CLOCK_REALTIME, &before);
  WEIR_WARN("now");
  clock_gettime(CLOCK_REALTIME, &after);
  const std::string line = take_all().at(0);
  const int64_t ts = std::stoll(line.substr(line.find("\"ts\":") + 5));
  CHECK(ts > before.tv_sec * 1'000'000'000 + before.tv_nsec - 1'000'000);
  CHECK(ts < after.tv_sec * 1'000'000'000 + after.tv_nsec + 1'000'000);
}

TEST_CASE("what is too long is cut on a code point and marked") {
  take_all();
  std::string text(100'000, 'x');
  text += "\xc3\xa9";
  WEIR_INFO("long", weir::arg("text", text));
  weir::Span("long span").set("a", text).set("b", 1).end();
  const auto lines = take_all();
  REQUIRE(lines.size() == 2);
  for (const auto& line : lines) CHECK(line.find(",\"shortened\":true}") == line.size() - 18);
  CHECK(lines[0].size() > 60'000);
}

TEST_CASE("what the agent has refused is in the statistics, after the ring is gone, too") {
  take_all();
  const uint64_t before = weir::stats().rejected;
  WEIR_INFO("refused");
  detail::thread.header->rejected += 2;
  CHECK(weir::stats().rejected == before + 2);
  detail::thread.header->rejected -= 2;
  std::thread([] {
    WEIR_INFO("refused");
    detail::thread.header->rejected += 3;
  }).join();
  take_all();
  detail::free_finished_rings();
  CHECK(weir::stats().rejected == before + 3);
}

TEST_CASE("a full ring drops the newest and counts exactly") {
  take_all();
  std::thread([] {
    int written = 0;
    for (; weir::detail::thread.header == nullptr || weir::detail::thread.header->dropped == 0; ++written)
      WEIR_INFO("fill {i}", weir::arg("i", written));
    for (int i = 0; i < 1000; ++i) WEIR_INFO("fill {i}", weir::arg("i", i));
    const uint64_t ordinary = weir::detail::thread.header->dropped;
    CHECK(ordinary == 1001);
    WEIR_ERROR("an error still has room");
    { weir::Span("failed").error("E", "m"); }
    CHECK(weir::detail::thread.header->dropped == ordinary);
    while (weir::detail::thread.header->dropped == ordinary) WEIR_ERROR("more errors");
    const auto lines = take_all();
    CHECK(lines_with(lines, "\"fill ") == size_t(written - 1));
    CHECK(lines_with(lines, "an error still has room") == 1);
    CHECK(lines_with(lines, "\"name\":\"failed\"") == 1);
    WEIR_INFO("room again");
    CHECK(lines_with(take_all(), "room again") == 1);
  }).join();
}

TEST_CASE("records survive going round the ring many times") {
  std::thread([] {
    uint64_t seen = 0, written = 0;
    for (int round = 0; round < 40; ++round) {
      for (int i = 0; i < 500; ++i, ++written)
        WEIR_INFO("round", weir::arg("n", written),
                  weir::arg("pad", std::string_view("abcdefghijklmn", round % 14)));
      for (const std::string& line : take_all()) {
        const size_t at = line.find("\"n\":");
        if (at != line.npos && line.find("\"round\"") != line.npos)
          CHECK(std::stoull(line.substr(at + 4)) == seen++);
      }
    }
    CHECK(seen == written);
  }).join();
}

TEST_CASE("many threads write without losing each other's records") {
  take_all();
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t)
    threads.emplace_back([t] {
      for (int i = 0; i < 1000; ++i) WEIR_INFO("many", weir::arg("t", t), weir::arg("i", i));
    });
  for (auto& t : threads) t.join();
  CHECK(lines_with(take_all(), "\"many\"") == 8000);
}

TEST_CASE("a thread that ends marks its ring closed") {
  weir::ring::RingHeader* header = nullptr;
  int fd = -1;
  std::thread([&] {
    WEIR_INFO("last words");
    fd = dup(weir::detail::thread.ring->fd);
  }).join();
  test::MappedRing mapped(fd);
  header = mapped.header;
  CHECK(header->closed == 1);
  CHECK(mapped.records().size() >= 1);
  close(fd);
  take_all();
}

TEST_CASE("rings of ended threads do not pile up while the agent is away, and what was in them is counted") {
  take_all();
  const uint64_t before = stats().dropped;
  for (int i = 0; i < 300; ++i) std::thread([] { WEIR_INFO("short life"); }).join();
  while (stats().rings > detail::kWaitingRingsMax + 5) flush(std::chrono::milliseconds(1));
  const size_t kept = lines_with(take_all(), "short life");
  CHECK(kept >= detail::kWaitingRingsMax - 1);
  CHECK(kept + stats().dropped - before == 300);
}

TEST_CASE("a record of a signal handler that comes while one is written is dropped and counted") {
  take_all();
  static const auto handler = [](int) { WEIR_INFO("from a handler"); };
  std::signal(SIGUSR1, handler);
  WEIR_INFO("warm");
  raise(SIGUSR1);
  CHECK(lines_with(take_all(), "from a handler") == 1);
  const uint64_t before = detail::thread.header->dropped;
  {
    const detail::Busy busy(detail::thread);
    raise(SIGUSR1);
  }
  CHECK(detail::thread.header->dropped == before + 1);
  CHECK(take_all().empty());
  std::signal(SIGUSR1, SIG_DFL);
}

TEST_CASE("a storm of signals loses nothing uncounted") {
  take_all();
  std::thread([] {
    static std::atomic<uint64_t> calls;
    calls = 0;
    std::signal(SIGUSR1, [](int) {
      ++calls;
      WEIR_INFO("storm");
    });
    WEIR_INFO("storm");
    ++calls;
    const pthread_t target = pthread_self();
    std::atomic<bool> stop{false};
    std::thread sender([&] {
      for (int i = 0; i < 2000; ++i) pthread_kill(target, SIGUSR1);
      stop = true;
    });
    uint64_t seen = 0;
    while (!stop) {
      for (int i = 0; i < 50; ++i, ++calls) WEIR_INFO("storm");
      seen += lines_with(take_all(), "\"storm\"");
    }
    sender.join();
    std::signal(SIGUSR1, SIG_IGN);
    seen += lines_with(take_all(), "\"storm\"");
    CHECK(seen + detail::thread.header->dropped == calls.load());
  }).join();
}

TEST_CASE("counters: additions of all threads become one delta") {
  static weir::Counter counter("orders", "1", {{"route", "/x"}});
  take_all();
  counter.add(2);
  std::thread([] { counter.add(40); }).join();
  take_all();
  counter.add();
  detail::write_counters();
  CHECK(
      only(take_all()) ==
      R"({"stream":"telemetry","ts":N,"name":"orders","type":"counter","temporality":"delta","value":1,"unit":"1",)"
      R"("attributes":{"route":"/x"}})");
  detail::write_counters();
  CHECK(take_all().empty());
}

TEST_CASE("gauges and histograms are records") {
  static weir::Gauge gauge("depth");
  static weir::Histogram histogram("latency", "ms");
  take_all();
  gauge.set(2.5);
  histogram.record(12);
  const auto lines = take_all();
  REQUIRE(lines.size() == 2);
  CHECK(stable(lines[0]) == R"({"stream":"telemetry","ts":N,"name":"depth","type":"gauge","value":2.5})");
  CHECK(stable(lines[1]) ==
        R"({"stream":"telemetry","ts":N,"name":"latency","type":"histogram","value":12,"unit":"ms"})");
}

TEST_CASE("the memory is sealed as the agent wants it, and the child of a fork has its own") {
  WEIR_INFO("before the fork");
  CHECK(fcntl(detail::thread.ring->fd, F_GET_SEALS) == (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL));
  take_all();
  const uint64_t parent_ring = detail::thread.header->ring_id;
  static weir::Counter counter("forked");
  counter.add(5);
  const pid_t child = fork();
  if (child == 0) {
    WEIR_INFO("before the fork");
    bool good = detail::thread.header->ring_id != parent_ring &&
                detail::process.arena.header->pid == uint32_t(getpid());
    counter.add(2);
    detail::write_counters();
    const auto lines = take_all();
    good = good && lines_with(lines, "before the fork") == 1 && lines_with(lines, "\"value\":2}") == 1;
    _exit(good ? 0 : 1);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(status == 0);
  CHECK(take_all().empty());
  WEIR_INFO("the parent goes on");
  CHECK(lines_with(take_all(), "the parent goes on") == 1);
}

TEST_CASE("every committed record of a killed process can be read from its memory") {
  for (int run = 0; run < 30; ++run) {
    int told[2];
    REQUIRE(pipe(told) == 0);
    const pid_t child = fork();
    if (child == 0) {
      bool told_all = true;
      for (uint64_t i = 1; told_all && i <= 5000; ++i) {
        WEIR_INFO("n", weir::arg("i", i));
        if (i == 1) told_all = write(told[1], &detail::thread.ring->fd, sizeof(int)) == sizeof(int);
        told_all = told_all && write(told[1], &i, sizeof i) == sizeof i;
      }
      pause();
      _exit(2);
    }
    close(told[1]);
    int fd = -1;
    REQUIRE(read(told[0], &fd, sizeof fd) == sizeof fd);
    const int memory = open(("/proc/" + std::to_string(child) + "/fd/" + std::to_string(fd)).c_str(), O_RDWR);
    REQUIRE(memory >= 0);
    uint64_t told_of = 0;
    for (int i = 0; i < 1 + run * 37; ++i) REQUIRE(read(told[0], &told_of, sizeof told_of) == sizeof told_of);
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    while (read(told[0], &told_of, sizeof told_of) == ssize_t(sizeof told_of)) {
    }
    close(told[0]);
    uint64_t last = 0;
    for (const std::string& record : test::MappedRing(memory).records()) {
      uint64_t i = 0;
      std::memcpy(&i, record.data() + sizeof(ring::RecordHeader) + 1, sizeof i);
      CHECK(i == ++last);
    }
    CHECK(last >= told_of);
    close(memory);
  }
}
