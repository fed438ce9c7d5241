#include "agent/cli/text_records.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "agent/core/text.h"

using namespace weir::cli;
using Json = nlohmann::json;
using Strings = std::vector<std::string>;

namespace {

constexpr int64_t kNow = 1'767'225'600'000'000'000;  // 2026-01-01T00:00:00Z

struct Text {
  Strings records;
  std::vector<uint64_t> lines, counts;
  TextRecords maker;
  uint64_t line = 0;

  explicit Text(std::string_view service = "")
      : maker(service, [this](const TextRecord& r) {
          records.emplace_back(r.json);
          lines.push_back(r.line);
          counts.push_back(r.lines);
        }) {}
  void take(std::string_view text) { maker.take({text, "-", ++line}, kNow); }
  Text& all(const Strings& texts) {
    for (const std::string& text : texts) take(text);
    maker.flush();
    return *this;
  }
  Strings messages() const {
    Strings out;
    for (const std::string& record : records) out.push_back(Json::parse(record).at("message"));
    return out;
  }
};

Strings messages(const Strings& texts) { return Text().all(texts).messages(); }
std::string joined(const Strings& texts) {
  std::string out;
  for (const std::string& text : texts) out += (out.empty() ? "" : "\n") + text;
  return out;
}

const std::string kTs = R"("ts":"2026-01-01T00:00:00.000000000Z",)";

}  // namespace

TEST_CASE("a line becomes a log record with time, level, service and the line unchanged") {
  CHECK(Text("cron").all({"ERROR one \"quoted\"\ttab\r"}).records ==
        Strings{R"({"stream":"log",)" + kTs +
                R"("level":"error","service":"cron","message":"ERROR one \"quoted\"\ttab"})"});
  CHECK(Text().all({"plain"}).records == Strings{R"({"stream":"log",)" + kTs + R"("message":"plain"})"});
  CHECK(Text("a\"b").all({"x"}).records ==
        Strings{R"({"stream":"log",)" + kTs + R"("service":"a\"b","message":"x"})"});
  CHECK(
      Text().all({"2026-03-01T12:00:00+01:00 hi"}).records ==
      Strings{
          R"({"stream":"log","ts":"2026-03-01T11:00:00.000000000Z","message":"2026-03-01T12:00:00+01:00 hi"})"});
}

TEST_CASE("bytes that JSON cannot hold are escaped or replaced, never dropped") {
  CHECK(Text().all({std::string("a\0b\x1b[31mc\x7f", 10)}).records ==
        Strings{R"({"stream":"log",)" + kTs + "\"message\":\"a\\u0000b\\u001b[31mc\x7f\"}"});
  const std::string r = "\xEF\xBF\xBD";
  // One for each maximal part, as Python's errors="replace".
  CHECK(messages({"\xff|\xc3|\xe2\x82|\xf0\x9f\x98|\xc0\xaf|\xed\xa0\x80|\xf5|\xc3\xa9"}) ==
        Strings{r + "|" + r + "|" + r + "|" + r + "|" + r + r + "|" + r + r + r + "|" + r + "|\xc3\xa9"});
}

TEST_CASE("objects that the agent takes stay byte for byte") {
  CHECK(Text("s")
            .all({R"({"stream":"log","service":"t","message":"x"})", R"(  {"a" : 1.50} )", "{}",
                  R"({"stream" : "trace"})", R"({"service":null,"m":1})"})
            .records == Strings{R"({"stream":"log","service":"t","message":"x"})",
                                R"(  {"a" : 1.50,"stream":"log","service":"s"})",
                                R"({"stream":"log","service":"s"})", R"({"stream" : "trace","service":"s"})",
                                R"({"service":null,"m":1,"stream":"log"})"});
  CHECK(Text().all({"{}", R"({"a":1})"}).records ==
        Strings{R"({"stream":"log"})", R"({"a":1,"stream":"log"})"});
}

TEST_CASE("what only looks like a record, and what the agent would refuse or obey, goes as text") {
  const Strings texts{"{",
                      "{a: 1}",
                      R"({"a":1)",
                      R"({"a":1} x)",
                      R"([{"a":1}])",
                      R"("x")",
                      "5",
                      R"({"a":1,"a":2})",
                      R"({"message":5})",
                      R"({"stream":"stdout"})",
                      R"({"stream":null})",
                      R"({"weir":"bye"})",
                      "{\"a\":\"\x01\"}"};
  CHECK(messages(texts) == texts);
}

TEST_CASE("a stack trace is one record") {
  for (const Strings& trace : std::vector<Strings>{
           {"Exception in thread \"main\" java.lang.IllegalStateException: x", "\tat a.B.c(B.java:1)",
            "\tat a.B.main(B.java:2)", "Caused by: java.io.IOException: y", "\tat a.B.d(B.java:9)",
            "\t... 2 more", "... 3 more"},
           {"Traceback (most recent call last):", "  File \"x.py\", line 1, in f", "    g()",
            "ValueError: bad"},
           {"Traceback (most recent call last):", "KeyboardInterrupt"},
           {"ERROR:root:failed", "Traceback (most recent call last):", "  File \"x.py\", line 1, in f",
            "a.b.Error: bad"},
           {"Traceback (most recent call last):", "  File \"x.py\", line 1, in f", "KeyError: 1", "",
            "During handling of the above exception, another exception occurred:", "",
            "Traceback (most recent call last):", "  File \"x.py\", line 2, in f", "ValueError: bad"},
           {"panic: boom", "", "goroutine 1 [running]:", "main.work(0x1, 0x2)", "\t/x.go:8 +0x1d",
            "main.(*T).Run(...)", "\t/x.go:9", "panic({0x45, 0x46})", "\t/y.go:1", "created by main.main",
            "\t/x.go:1", "", "goroutine 7 [select]:", "main.other()", "\t/z.go:1"},
           {"Error: {", "  code: 5", "}"},
           {"[ 1,", "  2", "]);"}}) {
    CAPTURE(joined(trace));
    Strings between{"before"};
    between.insert(between.end(), trace.begin(), trace.end());
    between.push_back("after");
    CHECK(messages(between) == Strings{"before", joined(trace), "after"});
  }
}

TEST_CASE("a fold ends at the first line that does not continue it") {
  CHECK(messages({"a", " b", "c"}) == Strings{"a\n b", "c"});
  CHECK(messages({" a", " b"}) == Strings{" a\n b"});
  CHECK(messages({"a", "", " b", "   ", "c"}) == Strings{"a", " b", "c"});
  CHECK(messages({"a", "}"}) == Strings{"a", "}"});
  CHECK(messages({"ERROR [main] boom", "\tat x", " INFO [main] fine", " WARN: odd", "  INFORMAL"}) ==
        Strings{"ERROR [main] boom\n\tat x", " INFO [main] fine", " WARN: odd\n  INFORMAL"});
  CHECK(messages({"INFO fine", "Traceback (most recent call last):", "  f", "E: x"}) ==
        Strings{"INFO fine", "Traceback (most recent call last):\n  f\nE: x"});
  CHECK(messages({"Traceback (most recent call last):", "  f", "12:00 no type"}) ==
        Strings{"Traceback (most recent call last):\n  f", "12:00 no type"});
  CHECK(messages({"Traceback (most recent call last):", "  f", "E: x", "Other: y"}) ==
        Strings{"Traceback (most recent call last):\n  f\nE: x", "Other: y"});
  CHECK(messages({"panic: x", "", "exit status 2"}) == Strings{"panic: x", "exit status 2"});
  Text text;
  text.take("a");
  text.take(R"({"b":1})");
  CHECK(text.records.size() == 2);
  CHECK_FALSE(text.maker.open());
  text.take("c");
  text.maker.flush();  // the input was quiet
  text.take(" d");
  text.maker.flush();
  text.maker.flush();
  CHECK(text.records.size() == 4);
  CHECK(text.lines == std::vector<uint64_t>{1, 2, 3, 4});
}

TEST_CASE("lines are counted, blank ones are not") {
  CHECK(Text().all({"a", " b", " c", "", "{}", "d"}).counts == std::vector<uint64_t>{3, 1, 1});
}

TEST_CASE("no record is larger than the agent takes, and nothing is lost") {
  for (const std::string& piece :
       Strings{"x", "\xc3\xa9", "\xf0\x9f\x98\x80", "\"", std::string(1, '\0'), "\xff", "a\tb"})
    for (size_t max : {400u, 401u, 402u, 403u, 1000u}) {
      CAPTURE(piece);
      CAPTURE(max);
      Text text("svc");
      text.maker.set_record_bytes_max(max);
      std::string line = "ERROR ";
      while (line.size() < 3000) line += piece;
      text.all({line, " continued", "next"});
      std::string whole, wanted;
      append_message(wanted, line + "\n continued", SIZE_MAX);
      for (size_t i = 0; i + 1 < text.records.size(); ++i) {
        const std::string& record = text.records[i];
        CHECK(record.size() <= max);
        if (i + 3 < text.records.size()) CHECK(record.size() > max - 8);
        CHECK(weir::is_utf8(record));
        const Json parsed = Json::parse(record);
        if (parsed["message"] != " continued") CHECK(parsed["level"] == "error");
        whole += parsed["message"].get<std::string>();
      }
      const std::string decoded = Json::parse("\"" + wanted + "\"");
      CHECK((whole == decoded || whole == decoded.substr(0, decoded.find('\n')) + " continued"));
      CHECK(text.messages().back() == "next");
    }
}

TEST_CASE("a fold that becomes too large goes on in the next record, at a line") {
  Text text;
  text.maker.set_record_bytes_max(400);
  Strings lines{"ERROR first"};
  for (int n = 0; n < 100; ++n) lines.push_back("  at frame " + std::to_string(n));
  text.all(lines);
  CHECK(text.records.size() > 3);
  CHECK(joined(text.messages()) == joined(lines));
  uint64_t count = 0;
  for (size_t i = 0; i < text.records.size(); ++i) {
    CHECK(text.records[i].size() <= 400);
    count += text.counts[i];
  }
  CHECK(count == 101);
}

TEST_CASE("an object that is too large with what is added goes as text") {
  Text text;
  text.maker.set_record_bytes_max(300);
  const std::string fits = R"({"a":")" + std::string(300 - 8 - 15, 'x') + "\"}";
  text.all({fits, fits.substr(0, 6) + "x" + fits.substr(6)});
  CHECK(text.records[0].size() == 300);
  CHECK(Json::parse(text.records[0]).count("message") == 0);
  CHECK(Json::parse(text.records[1]).count("message") == 1);
}
