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
using test::stable;
using test::take_all;

namespace {

std::string only(std::vector<std::string> lines) {
  REQUIRE(lines.size() == 1);
  return stable(lines[0]);
}

size_t lines_with(const std::vector<std::string>& lines, const std::string& text) {
  return size_t(std::count_if(lines.begin(), lines.end(), [&](auto& l) { return l.find(text) != l.npos; }));
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

TEST_CASE("spans nest, and logs in them carry their ids") {
  take_all();
  {
    weir::Span outer("outer");
    outer.set("n", 1).set("who", "x");
    weir::Span inner("inner");
    WEIR_INFO("inside");
    inner.error("Declined", "no funds");
  }
  const auto lines = take_all();
  REQUIRE(lines.size() == 3);
  CHECK(stable(lines[0]) ==
        R"({"stream":"log","ts":N,"level":"info","message":"inside","trace_id":ID,"span_id":ID})");
  CHECK(stable(lines[1]).find(
            R"({"stream":"trace","kind":"span","name":"inner","trace_id":ID,"span_id":ID,)"
            R"("parent_span_id":ID,"start":N,"end":N,"status":"error","error":{"type":"Declined",)"
            R"("message":"no funds","where":")") == 0);
  CHECK(stable(lines[2]) ==
        R"({"stream":"trace","kind":"span","name":"outer","trace_id":ID,"span_id":ID,"start":N,)"
        R"("end":N,"status":"ok","attributes":{"n":1,"who":"x"}})");
  const auto id = [](const std::string& line, const std::string& key) {
    return line.substr(line.find("\"" + key + "\":\"") + key.size() + 4, 16);
  };
  CHECK(id(lines[1], "parent_span_id") == id(lines[2], "span_id"));
  CHECK(id(lines[0], "span_id") == id(lines[1], "span_id"));
}

TEST_CASE("a span may set other keys each time") {
  take_all();
  for (int i = 0; i < 3; ++i) {
    weir::Span span("varies");
    if (i > 0) span.set("a", i);
    if (i > 1) span.set("b", "text");
  }
  const auto lines = take_all();
  CHECK(lines[0].find("attributes") == std::string::npos);
  CHECK(lines[1].find(R"("attributes":{"a":1})") != std::string::npos);
  CHECK(lines[2].find(R"("attributes":{"a":2,"b":"text"})") != std::string::npos);
}

TEST_CASE("a span's keys come in any of several orders, again and again") {
  take_all();
  std::vector<std::string> wanted;
  for (int i = 0; i < 60; ++i) {
    const int way = (i * 7) % 5;
    weir::Span span("orders");
    span.set("a", 1);
    if (way == 1) span.set("b", true);
    if (way == 2) span.set("b", 2.5);
    if (way == 3) span.set("c", "x").set("b", "text");
    if (way < 4) span.set("d", 4).set("e", nullptr);
    static const char* const middle[] = {"", R"(,"b":true)", R"(,"b":2.5)", R"(,"c":"x","b":"text")"};
    wanted.push_back(R"("attributes":{"a":1)" +
                     (way < 4 ? std::string(middle[way]) + R"(,"d":4,"e":null)" : std::string()) + "}}");
  }
  const auto lines = take_all();
  REQUIRE(lines.size() == wanted.size());
  for (size_t i = 0; i < lines.size(); ++i) CHECK(lines[i].find(wanted[i]) != std::string::npos);
}

TEST_CASE("literals of every length arrive whole") {
  take_all();
  {
    weir::Span span("literals");
    span.set("0", "").set("1", "a").set("2", "ab").set("3", "abc").set("4", "abcd").set("5", "abcde");
    span.set("7", "abcdefg").set("8", "abcdefgh").set("9", "abcdefghi").set("15", "abcdefghijklmno");
    span.set("16", "abcdefghijklmnop").set("17", "abcdefghijklmnopq").set("cut", "ab\0cd");
  }
  CHECK(
      take_all().at(0).find(
          R"({"0":"","1":"a","2":"ab","3":"abc","4":"abcd","5":"abcde","7":"abcdefg","8":"abcdefgh",)"
          R"("9":"abcdefghi","15":"abcdefghijklmno","16":"abcdefghijklmnop","17":"abcdefghijklmnopq","cut":"ab"})") !=
      std::string::npos);
}

TEST_CASE("what a span is told after its end has no effect, and its ids can still be asked for") {
  take_all();
  weir::Span span("ended");
  span.set("large", std::string(4000, 'x'));
  const std::string trace(reinterpret_cast<const char*>(span.trace_id()), 16);
  span.end();
  span.set("late", 1).set("later", "text").error("E", "late");
  span.end();
  CHECK(trace == std::string(reinterpret_cast<const char*>(span.trace_id()), 16));
  const auto lines = take_all();
  REQUIRE(lines.size() == 1);
  CHECK(lines[0].find("late") == std::string::npos);
}

TEST_CASE("more keys or values than a span takes are left out, and that is said") {
  take_all();
  static const char* const keys[] = {"k0",  "k1",  "k2",  "k3",  "k4",  "k5",  "k6",  "k7",  "k8",
                                     "k9",  "k10", "k11", "k12", "k13", "k14", "k15", "k16", "k17",
                                     "k18", "k19", "k20", "k21", "k22", "k23", "k24", "k25", "k26",
                                     "k27", "k28", "k29", "k30", "k31", "k32", "k33"};
  for (size_t round = 0; round < 2; ++round) {
    weir::Span span("many");
    for (const char* key : keys) span.set(key, 1);
  }
  for (const auto& line : take_all()) {
    CHECK(line.find(R"("k31":1},"shortened":true})") != std::string::npos);
    CHECK(line.find("k32") == std::string::npos);
  }
}

TEST_CASE("what a span is told ends at kValuesBytesMax, however its values grow") {
  take_all();
  {
    weir::CorrelationScope correlation(std::string(128, 'c'));
    weir::Span outer("outer");
    weir::Span span("grows");
    span.set("a", std::string(7000, 'a')).set("b", std::string(2000, 'b')).set("c", std::string(5200, 'c'));
    span.set("d", 1).error(std::string(255, 't'), std::string(2048, 'm'));
  }
  const std::string line = take_all().at(0);
  const size_t c = line.find(R"("c":")") + 5;
  const size_t kept = 7000 + 2000 + line.find('"', c) - c + 3 * 2;  // each text has its length before it
  CHECK(kept <= weir::Span::kValuesBytesMax);
  CHECK(kept > weir::Span::kValuesBytesMax - 8);
  CHECK(line.find(R"("shortened":true)") != std::string::npos);
  CHECK(line.find(R"("d":)") == std::string::npos);
}

TEST_CASE("a JSON value too long for its length is null, and that is said") {
  take_all();
  const std::string json = "[\"" + std::string(70'000, 'j') + "\"]";
  weir::Span("json").set("value", weir::Json{json}).set("n", 1);
  WEIR_INFO("json", weir::arg("value", weir::Json{json}), weir::arg("n", 1));
  const auto lines = take_all();
  REQUIRE(lines.size() == 2);
  for (const auto& line : lines) {
    CHECK(line.find(R"({"value":null,"n":1})") != std::string::npos);
    CHECK(line.find(R"("shortened":true)") != std::string::npos);
  }
}

TEST_CASE("a pointer to a span's ids is good for as long as the span is there") {
  take_all();
  weir::Span span("ids");
  span.set("a", std::string(600, 'a'));
  const uint8_t* const trace = span.trace_id();
  const uint8_t* const id = span.span_id();
  const std::string ids(reinterpret_cast<const char*>(trace), 24);
  for (const size_t bytes : {size_t(3000), size_t(7000)}) span.set("b", std::string(bytes, 'b'));
  CHECK(span.trace_id() == trace);
  CHECK(span.span_id() == id);
  span.end();
  CHECK(std::string(reinterpret_cast<const char*>(trace), 24) == ids);
}

TEST_CASE("a span has parent, correlation id, error and many bytes of values at once") {
  take_all();
  for (const size_t bytes : {size_t(5), size_t(300), size_t(390), size_t(2000), size_t(11'000)}) {
    weir::CorrelationScope correlation("corr-1");
    weir::Span outer("outer");
    weir::Span inner("inner");
    inner.set("text", std::string(bytes, 'y')).set("n", 7).error("Declined", "no funds");
  }
  const auto lines = take_all();
  REQUIRE(lines.size() == 10);
  for (size_t i = 0; i < lines.size(); i += 2) {
    for (const char* part : {R"("parent_span_id":")", R"("correlation_id":"corr-1")", R"("n":7})",
                             R"("status":"error","error":{"type":"Declined","message":"no funds")"})
      CHECK(lines[i].find(part) != std::string::npos);
    CHECK(lines[i].find("shortened") == std::string::npos);
  }
}

TEST_CASE("threads that meet new shapes at once agree on them") {
  take_all();
  std::atomic<int> waiting{0};
  const auto work = [&](int) {
    ++waiting;
    while (waiting < 4) std::this_thread::yield();
    for (int i = 0; i < 64; ++i) {
      weir::Span span("shared");
      for (int bit = 0; bit < 6; ++bit) {
        static const char* const names[] = {"b0", "b1", "b2", "b3", "b4", "b5"};
        if (i >> bit & 1) span.set(names[bit], i);
      }
    }
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back(work, i);
  for (auto& t : threads) t.join();
  const auto lines = take_all();
  CHECK(lines.size() == 4 * 64);
  CHECK(lines_with(lines, R"("attributes":{"b0":63,"b1":63,"b2":63,"b3":63,"b4":63,"b5":63}})") == 4);
  CHECK(lines_with(lines, R"("attributes":{"b1":10,"b3":10}})") == 4);
}

TEST_CASE("spans of more kinds than there is room for are dropped and counted") {
  take_all();
  const pid_t child = fork();  // its kinds of spans are not those of the other tests
  if (child == 0) {
    size_t written = 0;
    for (int round = 0; round < 2; ++round)
      for (unsigned kind = 0; kind < 8192; ++kind) {
        static const char* const names[] = {"0", "1", "2", "3",  "4",  "5", "6",
                                            "7", "8", "9", "10", "11", "12"};
        weir::Span span("kinds");
        for (unsigned bit = 0; bit < 13; ++bit)
          if (kind >> bit & 1) span.set(names[bit], 1);
        span.end();
        if (kind % 64 == 0) written += take_all().size();
      }
    written += take_all().size();
    const bool good = written + detail::thread.header->dropped == 2 * 8192 &&
                      detail::span_shapes.count == detail::kShapesMax && written <= 2 * detail::kShapesMax &&
                      written > 2 * (detail::kShapesMax - 300);
    _exit(good ? 0 : 1);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(status == 0);
}

TEST_CASE("a span with its start given") {
  take_all();
  const uint64_t start = weir::span_clock();
  WEIR_SPAN("decode", start, weir::arg("bytes", 12u));
  CHECK(only(take_all()) ==
        R"({"stream":"trace","kind":"span","name":"decode","trace_id":ID,"span_id":ID,"start":N,)"
        R"("end":N,"status":"ok","attributes":{"bytes":12}})");
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
