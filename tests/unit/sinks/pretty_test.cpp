#include "agent/sinks/pretty.h"

#include <doctest/doctest.h>

#include <string>

#include "agent/sinks/pretty_fields.h"

using namespace weir;

namespace {

std::string pretty(std::string_view line, bool colour = false) {
  std::string out;
  append_pretty(out, line, colour);
  return out;
}

bool contains(const std::string& text, std::string_view part) { return text.find(part) != text.npos; }

std::string span(const std::string& rest) {
  return R"({"stream":"trace","trace_id":"4bf92f3577b34da6","step_name":"decide","service":"orders",)"
         R"("t_enter":"2026-01-02T03:04:05.678901234Z","duration_ms":12.34)" +
         rest + "}";
}

}  // namespace

TEST_CASE("a span is one line: time, stream, step, trace, duration, service, diff") {
  CHECK(
      pretty(span(R"(,"status":"ok","ctx_diff":{"decision":{"before":"new","after":"approved"}})") + "\n") ==
      "03:04:05.678 trace      decide       4bf92f35   12.3ms orders     decision: \"new\" -> "
      "\"approved\"\n");
}

TEST_CASE("several changes are separated by commas") {
  CHECK(contains(
      pretty(span(R"(,"ctx_diff":{"a":{"before":null,"after":1.50},"b":{"before":[1],"after":{"x":2}}})")),
      "a: null -> 1.50, b: [1] -> {\"x\":2}\n"));
}

TEST_CASE("a long diff goes on below, an entry is never split") {
  std::string diff;
  for (int i = 0; i < 5; ++i)
    diff += (i ? "," : "") + ("\"key" + std::to_string(i)) +
            R"(":{"before":"twenty characters...","after":"new"})";
  const std::string out = pretty(span(",\"ctx_diff\":{" + diff + "}"));
  CHECK(contains(out, ",\n               key"));
  for (int i = 0; i < 5; ++i)
    CHECK(contains(out, "key" + std::to_string(i) + ": \"twenty characters...\" -> \"new\""));
}

TEST_CASE("no change shows nothing") {
  const std::string bare = pretty(span(""));
  CHECK(pretty(span(",\"ctx_diff\":null")) == bare);
  CHECK(pretty(span(",\"ctx_diff\":{}")) == bare);
  CHECK(bare == "03:04:05.678 trace      decide       4bf92f35   12.3ms orders\n");
}

TEST_CASE("a failing step says type, message and place") {
  const std::string error =
      R"(,"status":"error","error":{"type":"ValueError","message":"no price","where":"price.py:41"})";
  CHECK(contains(pretty(span(error)), "ValueError: no price at price.py:41\n"));
  CHECK(contains(pretty(span(error), true), "\x1b[31mValueError: no price\x1b[0m"));
  CHECK(contains(pretty(span(",\"status\":\"error\",\"error\":null")), "orders     failed\n"));
  CHECK(contains(pretty(span(",\"error\":{\"code\":7}")), "{\"code\":7}\n"));
}

TEST_CASE("ingress and egress are marked") {
  CHECK(contains(pretty(R"({"stream":"trace","kind":"ingress","msg_in":{"type_name":"Order"}})"),
                 "trace      > ingress    -                            ingress Order\n"));
  CHECK(contains(pretty(R"({"stream":"trace","kind":"egress","step_name":"publish"})"), "< publish"));
}

TEST_CASE("a log shows level, message, attributes and correlation id") {
  CHECK(pretty(R"({"stream":"logs","level":"WARN","message":"slow","ts":1700000000000000000,)"
               R"("correlation_id":"c-1","attributes":{"n":3,"url":"/x"}})") ==
        "22:13:20.000 log        WARN         -                            slow  n=3 url=\"/x\"  [c-1]\n");
  CHECK(contains(pretty(R"({"stream":"log","msg":"short form"})"), "short form  [no-correlation]\n"));
  CHECK(contains(pretty(R"({"stream":"log","temperature":5})"), R"({"stream":"log","temperature":5})"));
}

TEST_CASE("a metric shows name, value and unit") {
  CHECK(contains(
      pretty(R"({"stream":"telemetry","type":"gauge","name":"queue.depth","value":1E+2,"unit":"items"})"),
      "telemetry  gauge        -                            queue.depth 1E+2 items\n"));
  CHECK(contains(pretty(R"({"stream":"telemetry","name":"latency","count":3,"sum":12.5})"),
                 "latency count=3 sum=12.5"));
}

TEST_CASE("an alert shows rule and state") {
  CHECK(contains(
      pretty(R"({"stream":"monitoring","severity":"critical","rule":"slo","state":"firing","value":7,)"
             R"("threshold":5,"message":"too slow"})"),
      "slo firing  too slow  value 7, threshold 5\n"));
}

TEST_CASE("times with offsets are shown in UTC, unreadable ones as they are") {
  CHECK(contains(pretty(R"({"stream":"log","ts":"2026-01-02T03:04:05+02:00","message":"a"})"),
                 "01:04:05.000 log"));
  CHECK(contains(pretty(R"({"stream":"log","ts":"yesterday","message":"a"})"), "yesterday    log"));
  CHECK(contains(pretty(R"({"stream":"log","ts":1e400,"message":"a"})"), "1e400        log"));
  CHECK(contains(pretty(R"({"stream":"log","message":"a"})"), "--:--:--.--- log"));
}

TEST_CASE("a duration is taken from the times where none was sent") {
  CHECK(contains(
      pretty(R"({"stream":"trace","name":"GET","start":1700000000000000000,"end":1700000001250000000})"),
      "1.25s"));
  CHECK(format_duration_ms(0.25) == "0.25ms");
  CHECK(format_duration_ms(999.96) == "1000.0ms");
}

TEST_CASE("no byte of a record is obeyed by the terminal") {
  const std::string evil = R"("\u001b[2J\u009b1m\u202ex\u2028)" + std::string("\x7f\xc2\x85\"");
  for (std::string key :
       {"stream",    "service",     "trace_id",       "step_name", "name",   "message",  "msg",
        "level",     "severity",    "kind",           "status",    "error",  "ctx_diff", "ts",
        "t_enter",   "duration_ms", "correlation_id", "rule",      "state",  "unit",     "value",
        "threshold", "type",        "attributes",     "msg_in",    "msg_out"})
    for (std::string stream : {"trace", "log", "telemetry", "monitoring"})
      for (const std::string& value :
           {evil, "{" + evil + ":" + evil + "}", "{\"k\":{\"before\":" + evil + "}}",
            "{\"type\":" + evil + ",\"message\":" + evil + ",\"where\":" + evil + "}",
            "[{\"type_name\":" + evil + "}]"}) {
        const std::string head = key == "stream" ? "{" : "{\"stream\":\"" + stream + "\",";
        const std::string out = pretty(head + "\"" + key + "\":" + value + "}");
        for (char c : out) REQUIRE((c == '\n' || (c >= 0x20 && c < 0x7f)));
      }
  CHECK(contains(pretty("{\"stream\":\"log\",\"message\":\"\\u001b[2J\"}"), "\\u001b[2J"));
  CHECK(contains(pretty("{\"stream\":\"log\",\"message\":\"a\\nb\"}"), "a\\nb"));
}

TEST_CASE("any field may have any type") {
  for (std::string key : {"service", "trace_id", "step_name", "message", "level", "kind", "status", "error",
                          "ctx_diff", "t_enter", "duration_ms", "correlation_id", "attributes", "msg_in"})
    for (std::string value :
         {"null", "true", "5", "\"\"", "[]", "{}", "[[1]]", "{\"a\":{\"b\":null}}", "[{}]"})
      for (std::string stream : {"trace", "log", "telemetry", "monitoring"}) {
        const std::string out = pretty("{\"stream\":\"" + stream + "\",\"" + key + "\":" + value + "}");
        CHECK(out.back() == '\n');
      }
  CHECK(contains(pretty(R"({"stream":"log","message":{"a":1}})"), R"({"a":1})"));
  CHECK(contains(pretty(R"({"stream":"trace","ctx_diff":{"k":5}})"), "k: 5"));
  CHECK(pretty("not a record\x1b\n") == "not a record\\u001b\n");
  CHECK(pretty("{}") ==
        "--:--:--.---                         -                            {}  [no-correlation]\n");
}

TEST_CASE("keys are compared decoded") {
  CHECK(contains(pretty(R"({"\u0073tream":"log","messag\u0065":"hi","l\u0065vel":"info"})"),
                 "log        info         -"));
}

TEST_CASE("odd keys keep their quotes") {
  CHECK(contains(
      pretty(
          R"({"stream":"trace","ctx_diff":{"a b":{"before":1,"after":2},"d\u0065c":{"before":1,"after":2}}})"),
      R"("a b": 1 -> 2, dec: 1 -> 2)"));
}

namespace {

std::string text(std::string_view line) {
  std::string out;
  append_text(out, line);
  return out;
}

}  // namespace

TEST_CASE("text: a log is time, level, origin, message, attributes and correlation id") {
  CHECK(
      text(
          R"({"stream":"log","ts":"2026-11-22T05:04:05.1239+02:00","level":"warn","service":"orders",)"
          R"("logger":"db","message":"slow query","attributes":{"ms":120,"q":"a b"},"correlation_id":"c-1"})") ==
      "2026-11-22T03:04:05.123Z WARN  [orders/db] slow query  ms=120 q=\"a b\"  c-1\n");
  CHECK(text(R"({"stream":"log","ts":1795316645000000000,"message":"hi"})") ==
        "2026-11-22T03:04:05.000Z -     [-] hi  no-correlation\n");
  CHECK(text(R"({"stream":"log","level":"Information","logger":"x","msg":"m"})") ==
        "- INFO  [x] m  no-correlation\n");
}

TEST_CASE("text: a step with its whole trace id and its diff, however long, is one line") {
  std::string diff;
  for (int i = 0; i < 50; ++i)
    diff += (i ? ",\"k" : "\"k") + std::to_string(i) + R"(":{"before":1,"after":"some longer text"})";
  const std::string line = text(span(R"(,"ctx_diff":{)" + diff + "}"));
  CHECK(line.starts_with(
      "2026-01-02T03:04:05.678Z TRACE [orders] decide 4bf92f3577b34da6 12.3ms k0: 1 -> \"some"));
  CHECK(line.find('\n') == line.size() - 1);
}

TEST_CASE("text: telemetry and monitoring") {
  CHECK(
      text(
          R"({"stream":"telemetry","ts":"2026-11-22T03:04:05Z","service":"q","name":"depth","value":17,"unit":"1"})") ==
      "2026-11-22T03:04:05.000Z TELEMETRY [q] depth 17 1\n");
  CHECK(
      text(
          R"({"stream":"monitoring","ts":"2026-11-22T03:04:05Z","severity":"critical","rule":"r","state":"firing"})") ==
      "2026-11-22T03:04:05.000Z CRITICAL [-] r firing\n");
}

TEST_CASE("text: whatever a record holds, it is one line that a terminal can show") {
  const std::string hostile = R"(\n\r\u0000\u001b[2J\u0085\u202e\u2028\t)";
  for (const char* key :
       {"ts", "level", "service", "logger", "message", "correlation_id", "severity", "stream"}) {
    const std::string line =
        text("{\"stream\":\"log\",\"message\":\"m\",\"" + std::string(key) + "\":\"" + hostile + "\"}");
    CAPTURE(line);
    CHECK(line.find('\n') == line.size() - 1);
    for (char c : line.substr(0, line.size() - 1)) CHECK((c >= 0x20 && c != 0x7f));
    CHECK(line.find("\xE2\x80") == line.npos);
  }
  CHECK(text("not json \x1b") == "not json \\u001b\n");
}
