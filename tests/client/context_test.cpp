#include <doctest/doctest.h>
#include <spdlog/spdlog.h>

#include <map>

#include "client/c/include/weir.h"
#include "client/cpp/src/policy.h"
#include "tests/client/fake_reader.h"
#include "weir/spdlog_sink.h"
#include "weir/weir.h"

using namespace weir;
using test::stable;
using test::take_all;

namespace {

using Headers = std::map<std::string, std::string>;

TraceContext from(const Headers& headers) {
  return extract([&](const char* name) {
    const auto found = headers.find(name);
    return found == headers.end() ? std::string_view() : std::string_view(found->second);
  });
}

Headers injected() {
  Headers out;
  inject([&](const char* name, std::string_view value) { out[name] = value; });
  return out;
}

bool has(const std::string& line, const std::string& part) { return line.find(part) != line.npos; }

const std::string kParent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

}  // namespace

TEST_CASE("a traceparent that came in goes on, with the program's own span as parent") {
  take_all();
  const TraceContext context = from(
      {{"traceparent", kParent}, {"tracestate", "a=b"}, {"baggage", "k=v"}, {"X-Correlation-ID", "c-9"}});
  {
    const ContextScope scope(context);
    CHECK(injected() == Headers{{"traceparent", kParent},
                                {"tracestate", "a=b"},
                                {"baggage", "k=v"},
                                {"X-Correlation-ID", "c-9"},
                                {"X-Trace-ID", "4bf92f3577b34da6a3ce929d0e0e4736"}});
    weir::Span span("inside");
    const Headers out = injected();
    CHECK(out.at("traceparent").substr(0, 36) == kParent.substr(0, 36));
    CHECK(out.at("traceparent").substr(36, 16) != kParent.substr(36, 16));
  }
  CHECK(injected().empty());
  const auto lines = take_all();
  REQUIRE(lines.size() == 1);
  CHECK(has(lines[0], R"("trace_id":"4bf92f3577b34da6a3ce929d0e0e4736")"));
  CHECK(has(lines[0], R"("parent_span_id":"00f067aa0ba902b7","correlation_id":"c-9")"));
}

TEST_CASE("a malformed traceparent is as if it were not there") {
  for (const std::string& bad :
       {std::string(), std::string("00-0"), kParent + "x", "ff" + kParent.substr(2), "zz" + kParent.substr(2),
        std::string("00-00000000000000000000000000000000-00f067aa0ba902b7-01"),
        std::string("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01"),
        std::string("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01")}) {
    CAPTURE(bad);
    CHECK(!from({{"traceparent", bad}}).has_trace);
  }
  CHECK(from({{"traceparent", "01" + kParent.substr(2) + "-more"}}).has_trace);
}

TEST_CASE("X-Trace-ID serves where there is no traceparent") {
  CHECK(from({{"X-Trace-ID", "4bf92f3577b34da6a3ce929d0e0e4736"}}).has_trace);
  const TraceContext text = from({{"X-Trace-ID", "order 7"}});
  CHECK(!text.has_trace);
  take_all();
  const ContextScope scope(text);
  CHECK(injected() == Headers{{"X-Trace-ID", "order 7"}});
  { const Step step("s"); }
  CHECK(has(take_all().at(0), R"("trace_id":"order 7")"));
}

TEST_CASE("correlation scopes nest") {
  take_all();
  const CorrelationScope outer("outer");
  {
    const CorrelationScope inner("inner");
    WEIR_INFO("a");
  }
  WEIR_INFO("b");
  const auto lines = take_all();
  CHECK(has(lines.at(0), R"("correlation_id":"inner")"));
  CHECK(has(lines.at(1), R"("correlation_id":"outer")"));
}

TEST_CASE("a step has its members in order, and its logs carry its trace") {
  take_all();
  {
    weir::Step step("price");
    step.trace_id("4bf92f3577b34da6a3ce929d0e0e4736").scenario("orders").index(1).line_no(7).work_index(0);
    step.msg_in({"Order", "o-1"}).msg_out({"Priced"}).msg_out({"Priced", "o-2", "ff"});
    step.ctx_before("a", 1)
        .ctx_before("b", "x")
        .ctx_after("a", 2.5)
        .ctx_after("c", Json{"[1]"})
        .set("k", true);
    WEIR_INFO("inside");
    step.error("E", "message \"m\"", "f.cpp:1", "stack");
  }
  const auto lines = take_all();
  REQUIRE(lines.size() == 2);
  CHECK(has(lines[0], R"("trace_id":"4bf92f3577b34da6a3ce929d0e0e4736")"));
  std::string line = stable(lines[1]);
  CHECK(line.find(
            R"({"stream":"trace","trace_id":ID,"span_id":ID,"scenario":"orders","line_no":7,"step_index":1,)"
            R"("step_name":"price","work_index":0,"t_enter":")") == 0);
  line = line.substr(line.find("\"status\""));
  CHECK(
      line ==
      R"("status":"error","error":{"type":"E","message":"message \"m\"","where":"f.cpp:1","stack":"stack"},)"
      R"("msg_in":{"type_name":"Order","identity":"o-1","hash":null},)"
      R"("msg_out":[{"type_name":"Priced","identity":null,"hash":null},{"type_name":"Priced",)"
      R"("identity":"o-2","hash":"ff"}],"msg_out_count":2,"ctx_before":{"a":1,"b":"x"},)"
      R"("ctx_after":{"a":2.5,"c":[1]},"attributes":{"k":true}})");
}

TEST_CASE("keys of contexts that the agent would throw away are not written") {
  const auto step_line = [] {
    take_all();
    weir::Step("s").ctx_set("a", 1).ctx_set("b", 2).ctx_set("c", 3).ctx_unset("a").ctx_unset("d").end();
    return take_all().at(0);
  };
  detail::set_policy(
      detail::parse_policy(R"({"trace":{"context_diff":"whitelist","whitelist":["a","b.x"]}})"));
  CHECK(has(step_line(), R"("ctx_set":{"a":1,"b":2},"ctx_unset":["a"])"));
  detail::set_policy(detail::parse_policy(R"({"trace":{"context_diff":"none"}})"));
  CHECK(has(step_line(), R"("ctx_set":{}})"));
  detail::set_policy(detail::parse_policy(R"({"log":{"enabled":false},"trace":{"context_diff":"full"}})"));
  CHECK(has(step_line(), R"("ctx_set":{"a":1,"b":2,"c":3},"ctx_unset":["a","d"])"));
}

TEST_CASE("a step that is too long keeps what matters and is marked") {
  take_all();
  weir::Step step("big");
  step.ctx("huge", std::string(100'000, 'x')).error("E", "m");
  step.end();
  const std::string line = take_all().at(0);
  CHECK(has(line, R"("error":{"type":"E","message":"m"},"ctx":{"huge":"xxxx)"));
  CHECK(has(line, R"(xxxx"},"shortened":true})"));
  take_all();
  const std::string json = "[" + std::string(100'000, ' ') + "]";
  weir::Step("cannot be cut").ctx("huge", weir::Json{json}).error("E", "m").end();
  CHECK(has(take_all().at(0), R"("error":{"type":"E","message":"m"},"ctx":null,"shortened":true})"));
}

TEST_CASE("boundaries and alerts") {
  take_all();
  weir::ingress("http.in", {"Bytes"}, "t-1");
  weir::egress("http.out", {"Answer"}, "t-1");
  weir::monitor({"rule", "critical", "firing", "too slow", 2.5, 1});
  const auto lines = take_all();
  REQUIRE(lines.size() == 3);
  CHECK(lines[0].find(
            R"({"stream":"trace","kind":"ingress","trace_id":"t-1","step_name":"http.in","t_enter":")") == 0);
  CHECK(has(lines[1], R"("status":"ok","msg_out":[{"type_name":"Answer","identity":null,"hash":null}]})"));
  CHECK(stable(lines[2]) ==
        R"({"stream":"monitoring","ts":N,"rule":"rule","severity":"critical","state":"firing",)"
        R"("value":2.5,"threshold":1.0,"message":"too slow"})");
}

TEST_CASE("the C interface: a call site whose types change still logs") {
  take_all();
  const char* const null = nullptr;
  for (const weir_arg& a :
       {weir_u64("v", 1), weir_u64("v", 2), weir_text("v", "three"), weir_text("v", null)})
    weir_log(WEIR_LEVEL_WARN, "v is {v}", a);
  const auto lines = take_all();
  REQUIRE(lines.size() == 4);
  CHECK(has(lines[1], R"("level":"warn","message":"v is 2","attributes":{"v":2}})"));
  CHECK(has(lines[2], R"("attributes":{"v":"three"})"));
  CHECK(has(lines[3], R"("attributes":{"v":""})"));
}

TEST_CASE("the C interface takes no handle for granted") {
  take_all();
  weir_span_set(nullptr, weir_i64("a", 1));
  weir_span_end(nullptr);
  weir_step_error(nullptr, nullptr, nullptr, nullptr, nullptr);
  weir_step_end(nullptr);
  weir_counter_add(nullptr, 1);
  weir_log_text(WEIR_LEVEL_INFO, nullptr, nullptr);
  weir_stats stats{};
  stats.size = sizeof stats;
  weir_get_stats(&stats);
  CHECK(stats.rings >= 1);
  CHECK(take_all().size() == 1);
}

TEST_CASE("what a program logs with spdlog comes along") {
  take_all();
  spdlog::logger logger("app", std::make_shared<weir::SpdlogSink>());
  logger.warn("{} of {}", 1, "two");
  CHECK(stable(take_all().at(0)) ==
        R"({"stream":"log","ts":N,"level":"warn","logger":"app","message":"1 of two"})");
}
