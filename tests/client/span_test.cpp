#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "tests/client/fake_reader.h"
#include "weir/weir.h"

using namespace weir;
using test::lines_with;
using test::stable;
using test::take_all;

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
  CHECK(lines_with(lines, R"("name":"shared")") == 4 * 64);
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

TEST_CASE("of a key that is set again the last value counts") {
  take_all();
  for (int i = 0; i < 2; ++i) {
    weir::Span span("again");
    span.set("status", "new").set("n", 1).set("status", "done").set("status", 3).error("E", "m");
  }
  WEIR_INFO("{a}", weir::arg("a", 1), weir::arg("b", 2), weir::arg("a", "x"));
  weir::Step("again").set("a", 1).set("b", 2).set("a", "longer").set("c", 3).ctx_set("k", 1).ctx_set("k", 2);
  const auto lines = take_all();
  REQUIRE(lines.size() == 4);
  CHECK(lines[0].find(R"("attributes":{"n":1,"status":3}})") != std::string::npos);
  CHECK(lines[1].find(R"("attributes":{"n":1,"status":3}})") != std::string::npos);
  CHECK(lines[2].find(R"("message":"x","attributes":{"b":2,"a":"x"}})") != std::string::npos);
  CHECK(lines[3].find(R"("ctx_set":{"k":2},"attributes":{"a":"longer","b":2,"c":3}})") != std::string::npos);
}

TEST_CASE("long texts of a step's contexts are cut, the rest stays") {
  take_all();
  std::string escapes;
  for (int i = 0; i < 20'000; ++i) escapes += "\xc3\xa9\n\x01\"";
  {
    weir::Step step("long");
    step.ctx_before("x", 1).ctx_before("long", std::string(300'000, 'x'));
    step.ctx_after("x", 2).ctx_after("escapes", escapes).ctx_after("short", "\xc3\xa9");
    step.set("a", 7).error("E", "message");
  }
  const std::string line = take_all().at(0);
  CHECK(line.find(R"("ctx_before":{"x":1,"long":"xxxx)") != std::string::npos);
  CHECK(line.find(R"("ctx_after":{"x":2,"escapes":")") != std::string::npos);
  CHECK(line.find("\"short\":\"\xc3\xa9\"},\"attributes\":{\"a\":7},\"shortened\":true}") !=
        std::string::npos);
  CHECK(line.find(R"("error":{"type":"E","message":"message"})") != std::string::npos);
  const size_t begin = line.find(R"("escapes":")") + 11, end = line.find(R"(","short")");
  const std::string unit = "\xc3\xa9\\u000a\\u0001\\\"";
  bool same = true;
  for (size_t i = begin; i < end; ++i) same = same && line[i] == unit[(i - begin) % unit.size()];
  CHECK(same);
  CHECK(line.size() > 32 << 10);
}

TEST_CASE("a cut leaves pairs of surrogates whole") {
  take_all();
  for (size_t before = 0; before < 12; ++before) {
    std::string json = "\"" + std::string(before, 'x');
    for (int i = 0; i < 6'000; ++i) json += "\\ud83d\\ude00";
    weir::Step("surrogates").ctx("text", weir::Json{json + "\""});
    const std::string line = take_all().at(0);
    CHECK(line.find("\\ude00\"},\"shortened\":true}") != std::string::npos);
  }
}

TEST_CASE("a step takes any number of keys, each once") {
  take_all();
  {
    weir::Step step("keys");
    for (int round = 0; round < 2; ++round)
      for (int i = 0; i < 100; ++i) step.set("key" + std::to_string(i), 1000 * round + i);
  }
  const std::string line = take_all().at(0);
  CHECK(line.find(R"("key0":1000,"key1":1001,)") != std::string::npos);
  CHECK(line.find(R"("key98":1098,"key99":1099}})") != std::string::npos);
}

TEST_CASE("a span with its start given") {
  take_all();
  const uint64_t start = weir::span_clock();
  WEIR_SPAN("decode", start, weir::arg("bytes", 12u));
  CHECK(stable(take_all().at(0)) ==
        R"({"stream":"trace","kind":"span","name":"decode","trace_id":ID,"span_id":ID,"start":N,)"
        R"("end":N,"status":"ok","attributes":{"bytes":12}})");
}
