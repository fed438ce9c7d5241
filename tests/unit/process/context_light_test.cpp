// The light form of contexts: `ctx`, `ctx_set`, `ctx_unset` and what the agent remembers for them.
#include <memory>
#include <string>

#include "agent/process/context_diff.h"
#include "agent/process/context_memory.h"
#include "tests/unit/process/run_processor.h"

using namespace weir;
using weir::test::Runner;

namespace {

struct Light {
  explicit Light(ContextDiffOptions o = {}, std::shared_ptr<ContextMemory> m = make_context_memory())
      : memory(std::move(m)), processor(make_context_diff(o, memory, clock)), runner(*processor) {}
  std::string run(std::string_view record) { return std::string(runner.run(record)); }
  bool reset(std::string_view record) { return run(record).find("\"ctx_reset\":true") != std::string::npos; }

  ManualClock clock;
  std::shared_ptr<ContextMemory> memory;
  std::unique_ptr<Processor> processor;
  Runner runner;
};

ContextDiffOptions whitelist(std::vector<std::string> entries) {
  return {.mode = ContextDiffMode::whitelist, .whitelist = std::move(entries)};
}

}  // namespace

TEST_CASE("ctx alone gives before, after and diff from the context remembered of the trace") {
  Light light;
  CHECK(
      light.run(R"({"trace_id":"t","ctx":{"a":1},"status":"ok"})") ==
      R"({"trace_id":"t","status":"ok","ctx_before":{},"ctx_after":{"a":1},"ctx_diff":{"a":{"before":null,"after":1}}})");
  CHECK(light.run(R"({"trace_id":"t","ctx":{"a":2,"b":3}})") ==
        R"({"trace_id":"t","ctx_before":{"a":1},"ctx_after":{"a":2,"b":3},)"
        R"("ctx_diff":{"a":{"before":1,"after":2},"b":{"before":null,"after":3}}})");
}

TEST_CASE("ctx_set and ctx_unset change the context remembered") {
  Light light;
  light.run(R"({"trace_id":"t","ctx":{"a":1,"b":2,"c":3}})");
  CHECK(
      light.run(R"({"trace_id":"t","ctx_set":{"b":20,"d":4},"ctx_unset":["a","none"]})") ==
      R"({"trace_id":"t","ctx_before":{"a":1,"b":2,"c":3},"ctx_after":{"b":20,"c":3,"d":4},)"
      R"("ctx_diff":{"a":{"before":1,"after":null},"b":{"before":2,"after":20},"d":{"before":null,"after":4}}})");
  CHECK(
      light.run(R"({"trace_id":"t","ctx_unset":["c"]})") ==
      R"({"trace_id":"t","ctx_before":{"b":20,"c":3,"d":4},"ctx_after":{"b":20,"d":4},"ctx_diff":{"c":{"before":3,"after":null}}})");
  CHECK(light.run(R"({"trace_id":"t","ctx_set":{}})") ==
        R"({"trace_id":"t","ctx_before":{"b":20,"d":4},"ctx_after":{"b":20,"d":4},"ctx_diff":{}})");
}

TEST_CASE("keys of ctx_set and ctx_unset compare decoded") {
  Light light;
  light.run(R"({"trace_id":"t","ctx":{"run_id":1,"x":2}})");
  CHECK(light.run(R"({"trace_id":"t","ctx_set":{"run\u005fid":5},"ctx_unset":["\u0078"]})") ==
        R"({"trace_id":"t","ctx_before":{"run_id":1,"x":2},"ctx_after":{"run\u005fid":5},)"
        R"("ctx_diff":{"run\u005fid":{"before":1,"after":5},"x":{"before":2,"after":null}}})");
}

TEST_CASE("ctx beside ctx_set and ctx_unset is the base, then set, then unset") {
  Light light;
  light.run(R"({"trace_id":"t","ctx":{"old":1}})");
  CHECK(
      light.run(R"({"trace_id":"t","ctx_unset":["a","n"],"ctx_set":{"b":2,"n":3},"ctx":{"a":1,"b":1}})") ==
      R"({"trace_id":"t","ctx_before":{"old":1},"ctx_after":{"b":2},"ctx_diff":{"b":{"before":null,"after":2},"old":{"before":1,"after":null}}})");
}

TEST_CASE("a ctx_set for a trace met for the first time starts empty and carries ctx_reset") {
  Light light;
  CHECK(
      light.run(R"({"trace_id":"t","ctx_set":{"a":1}})") ==
      R"({"trace_id":"t","ctx_before":{},"ctx_after":{"a":1},"ctx_diff":{"a":{"before":null,"after":1}},"ctx_reset":true})");
  CHECK(light.run(R"({"trace_id":"u","ctx_unset":["a"]})") ==
        R"({"trace_id":"u","ctx_before":{},"ctx_after":{},"ctx_diff":{},"ctx_reset":true})");
  CHECK(!light.reset(R"({"trace_id":"t","ctx_set":{"a":2}})"));
  CHECK(!light.reset(R"({"trace_id":"new","ctx":{"a":2},"ctx_set":{"b":1}})"));
}

TEST_CASE("fields that were sent as null are filled in place") {
  Light light;
  CHECK(light.run(R"({"ctx_diff":null,"ctx_after":null,"trace_id":"t","ctx":{"a":1},"ctx_before":null})") ==
        R"({"ctx_diff":{"a":{"before":null,"after":1}},"ctx_after":{"a":1},"trace_id":"t","ctx_before":{}})");
  CHECK(
      light.run(R"({"trace_id":"t","ctx_diff":{"lie":1},"ctx":{"a":2}})") ==
      R"({"trace_id":"t","ctx_diff":{"a":{"before":1,"after":2}},"ctx_before":{"a":1},"ctx_after":{"a":2}})");
}

TEST_CASE("light fields that are null count as absent and are removed") {
  Light light;
  CHECK(light.run(R"({"ctx":null,"trace_id":"t","ctx_set":null,"ctx_unset":null})") == R"({"trace_id":"t"})");
  CHECK(light.run(R"({"ctx":null})") == "{}");
  CHECK(
      light.run(R"({"trace_id":"t","ctx":null,"ctx_set":{"a":1},"ctx_unset":null})") ==
      R"({"trace_id":"t","ctx_before":{},"ctx_after":{"a":1},"ctx_diff":{"a":{"before":null,"after":1}},"ctx_reset":true})");
}

TEST_CASE("explicit snapshots win over light fields, which are removed") {
  Light light;
  CHECK(light.run(
            R"({"trace_id":"t","ctx":{"x":1},"ctx_set":{"y":1},"ctx_before":{"a":1},"ctx_after":{"a":1}})") ==
        R"({"trace_id":"t","ctx_before":{"a":1},"ctx_after":{"a":1},"ctx_diff":{}})");
  CHECK(light.run(R"({"trace_id":"t","ctx_after":{"a":1},"ctx":{"x":1}})") ==
        R"({"trace_id":"t","ctx_after":{"a":1}})");
  CHECK(light.memory->empty());
}

TEST_CASE(
    "whitelist, none and snapshots false apply to the light form, and the memory holds the whole context") {
  const auto memory = make_context_memory();
  Light first(whitelist({"a", "o.x"}), memory);
  CHECK(first.run(R"({"trace_id":"t","ctx":{"a":1,"b":1,"o":{"x":1,"y":1}}})") ==
        R"({"trace_id":"t","ctx_before":{},"ctx_after":{"a":1,"o":{"x":1}},)"
        R"("ctx_diff":{"a":{"before":null,"after":1},"o.x":{"before":null,"after":1}}})");
  Light second({.mode = ContextDiffMode::none}, memory);
  CHECK(second.run(R"({"trace_id":"t","ctx_set":{"b":2},"ctx_before":null})") ==
        R"({"trace_id":"t","ctx_before":null,"ctx_after":null,"ctx_diff":null})");
  Light third({.snapshots = false}, memory);
  CHECK(third.run(R"({"trace_id":"t","ctx_set":{"b":3},"ctx_after":null})") ==
        R"({"trace_id":"t","ctx_after":null,"ctx_before":null,"ctx_diff":{"b":{"before":2,"after":3}}})");
  Light fourth({}, memory);
  CHECK(
      fourth.run(R"({"trace_id":"t","ctx_set":{}})") ==
      R"({"trace_id":"t","ctx_before":{"a":1,"b":3,"o":{"x":1,"y":1}},"ctx_after":{"a":1,"b":3,"o":{"x":1,"y":1}},"ctx_diff":{}})");
  CHECK(Light({.mode = ContextDiffMode::none}).run(R"({"trace_id":"t","ctx_set":{}})") ==
        R"({"trace_id":"t","ctx_before":null,"ctx_after":null,"ctx_diff":null,"ctx_reset":true})");
}

TEST_CASE("long strings are cut on the way out and remembered whole") {
  Light light({.max_value_len = 3});
  CHECK(
      light.run(R"({"trace_id":"t","ctx":{"a":"abcd"}})") ==
      R"~({"trace_id":"t","ctx_before":{},"ctx_after":{"a":"abc...(truncated)"},"ctx_diff":{"a":{"before":null,"after":"abc...(truncated)"}}})~");
  CHECK(
      light.run(R"({"trace_id":"t","ctx":{"a":"abcd"}})") ==
      R"~({"trace_id":"t","ctx_before":{"a":"abc...(truncated)"},"ctx_after":{"a":"abc...(truncated)"},"ctx_diff":{}})~");
  CHECK(light.run(R"({"trace_id":"t","ctx_set":{"a":"abce"}})") ==
        R"~({"trace_id":"t","ctx_before":{"a":"abc...(truncated)"},"ctx_after":{"a":"abc...(truncated)"},)~"
        R"~("ctx_diff":{"a":{"before":"abc...(truncated)","after":"abc...(truncated)"}}})~");
}

TEST_CASE("ctx_id parts the branches of one trace and stays in the record") {
  Light light;
  light.run(R"({"trace_id":"t","ctx_id":"left","ctx":{"a":1}})");
  light.run(R"({"trace_id":"t","ctx_id":"right","ctx":{"a":2}})");
  CHECK(light.run(R"({"trace_id":"t","ctx_id":"left","ctx_set":{}})") ==
        R"({"trace_id":"t","ctx_id":"left","ctx_before":{"a":1},"ctx_after":{"a":1},"ctx_diff":{}})");
  CHECK(light.reset(R"({"trace_id":"t","ctx_set":{}})"));
}

TEST_CASE("a ctx_id and a trace_id of the same text are different, a number is its text") {
  Light light;
  light.run(R"({"ctx_id":"7","ctx":{"a":1}})");
  CHECK(light.reset(R"({"trace_id":"7","ctx_set":{}})"));
  CHECK(light.memory->size() == 2);
  CHECK(!light.reset(R"({"ctx_id":"\u0037","ctx_set":{}})"));
  light.run(R"({"trace_id":8,"ctx":{}})");
  CHECK(!light.reset(R"({"trace_id":"8","ctx_set":{}})"));
}

TEST_CASE("a null ctx_id is absent") {
  Light light;
  light.run(R"({"trace_id":"t","ctx":{"a":1}})");
  CHECK(!light.reset(R"({"ctx_id":null,"trace_id":"t","ctx_set":{}})"));
}

TEST_CASE("without any id before is empty and nothing is remembered") {
  Light light;
  CHECK(light.run(R"({"ctx":{"a":1}})") ==
        R"({"ctx_before":{},"ctx_after":{"a":1},"ctx_diff":{"a":{"before":null,"after":1}}})");
  CHECK(
      light.run(R"({"ctx_set":{"a":1}})") ==
      R"({"ctx_before":{},"ctx_after":{"a":1},"ctx_diff":{"a":{"before":null,"after":1}},"ctx_reset":true})");
  CHECK(light.memory->empty());
}

TEST_CASE("the least recently used trace is evicted at max_traces, and its next record says so") {
  Light light({.max_traces = 2});
  light.run(R"({"trace_id":"a","ctx":{"n":1}})");
  light.run(R"({"trace_id":"b","ctx":{"n":1}})");
  light.run(R"({"trace_id":"a","ctx_set":{"n":2}})");
  light.run(R"({"trace_id":"c","ctx":{"n":1}})");  // b goes
  CHECK(light.memory->size() == 2);
  CHECK(
      light.run(R"({"trace_id":"b","ctx":{"n":5}})") ==  // a goes
      R"({"trace_id":"b","ctx_before":{},"ctx_after":{"n":5},"ctx_diff":{"n":{"before":null,"after":5}},"ctx_reset":true})");
  CHECK(!light.reset(R"({"trace_id":"b","ctx":{"n":6}})"));
  CHECK(!light.reset(R"({"trace_id":"c","ctx":{"n":6}})"));
  CHECK(light.reset(R"({"trace_id":"a","ctx":{"n":6}})"));
}

TEST_CASE("only max_traces evicted ids are remembered as such") {
  Light light({.max_traces = 2});
  for (const char id : {'a', 'b', 'c', 'd', 'e'})
    light.run(std::string(R"({"trace_id":")") + id + R"(","ctx":{}})");
  // d and e are held, b and c are known as evicted, a is forgotten: it looks new.
  CHECK(!light.reset(R"({"trace_id":"a","ctx":{}})"));
  CHECK(light.reset(R"({"trace_id":"c","ctx":{}})"));
}

TEST_CASE("the oldest contexts go when max_context_bytes is passed, at last the new one itself") {
  Light light({.max_context_bytes = 100});
  const std::string value(40, 'x');
  light.run(R"({"trace_id":"a","ctx":{"v":")" + value + "\"}}");
  light.run(R"({"trace_id":"b","ctx":{"v":")" + value + "\"}}");
  CHECK(light.memory->size() == 2);
  light.run(R"({"trace_id":"b","ctx":{"v":")" + value + value + "\"}}");
  CHECK(light.memory->size() == 1);
  CHECK(light.memory->bytes() <= 100);
  CHECK(light.reset(R"({"trace_id":"a","ctx":{}})"));
  light.run(R"({"trace_id":"b","ctx":{"v":")" + value + value + value + "\"}}");
  CHECK(light.memory->empty());
  CHECK(light.memory->bytes() == 0);
  CHECK(light.reset(R"({"trace_id":"b","ctx":{"v":1}})"));
}

TEST_CASE("an idle trace is evicted by the monotonic clock") {
  Light light({.idle_ns = 1000});
  light.run(R"({"trace_id":"a","ctx":{}})");
  light.clock.advance_ns(999);
  CHECK(!light.reset(R"({"trace_id":"a","ctx":{}})"));
  light.clock.advance_ns(999);
  CHECK(!light.reset(R"({"trace_id":"a","ctx_set":{}})"));
  light.clock.advance_ns(1000);
  CHECK(light.reset(R"({"trace_id":"a","ctx":{}})"));
}

TEST_CASE("a record with snapshots moves the memory along only where its id is remembered") {
  Light light;
  light.run(R"({"trace_id":"t","ctx_before":{},"ctx_after":{"a":1}})");
  CHECK(light.memory->empty());
  light.run(R"({"trace_id":"t","ctx":{"a":1}})");
  light.run(R"({"trace_id":"t","ctx_before":{"a":1},"ctx_after":{"a":2}})");
  light.run(R"({"trace_id":"t","ctx_before":{"a":1},"ctx_after":null})");
  light.run(R"({"trace_id":"u","ctx_before":{},"ctx_after":{"a":1}})");
  CHECK(light.memory->size() == 1);
  CHECK(
      light.run(R"({"trace_id":"t","ctx_set":{"a":3}})") ==
      R"({"trace_id":"t","ctx_before":{"a":2},"ctx_after":{"a":3},"ctx_diff":{"a":{"before":2,"after":3}}})");
}

TEST_CASE("the memory survives a reload, and the limits are those of the processor in use") {
  const auto memory = make_context_memory();
  {
    Light old({}, memory);
    for (int i = 0; i < 10; ++i) old.run("{\"trace_id\":" + std::to_string(i) + R"(,"ctx":{"n":1}})");
  }
  Light light({.max_traces = 3}, memory);
  CHECK(!light.reset(R"({"trace_id":"9","ctx_set":{"n":2}})"));
  CHECK(memory->size() == 3);
}

TEST_CASE("a client's own ctx_reset gives way to the agent's") {
  Light light;
  CHECK(light.run(R"({"trace_id":"t","ctx_reset":false,"ctx_set":{}})") ==
        R"({"trace_id":"t","ctx_reset":true,"ctx_before":{},"ctx_after":{},"ctx_diff":{}})");
}

TEST_CASE("a context that ctx_set grew past the limits of a record is written but not remembered") {
  Light light({.max_context_bytes = 64 << 20});
  std::string keys;
  for (int i = 0; i < 1000; ++i) keys += (i == 0 ? "\"k" : ",\"k") + std::to_string(i) + "\":1";
  light.run(R"({"trace_id":"t","ctx":{)" + keys + "}}");
  std::string more;
  for (int i = 0; i < 25; ++i) more += (i == 0 ? "\"m" : ",\"m") + std::to_string(i) + "\":1";
  CHECK(!light.reset(R"({"trace_id":"t","ctx_set":{)" + more + "}}"));
  CHECK(light.memory->empty());
  CHECK(light.reset(R"({"trace_id":"t","ctx_set":{"a":1}})"));

  const std::string value(ContextMemory::kContextBytesMax / 2, 'x');
  light.run(R"({"trace_id":"u","ctx":{"a":")" + value + "\"}}");
  CHECK(!light.reset(R"({"trace_id":"u","ctx_set":{"b":")" + value + "\"}}"));
  CHECK(light.reset(R"({"trace_id":"u","ctx_set":{"c":1}})"));
}

TEST_CASE("the light form costs no allocation for a trace that is known") {
  Light light;
  light.runner.once();
  const auto step = [&] {
    light.runner.run(
        R"({"trace_id":"0123456789abcdef0123456789abcdef","ctx":{"a":1,"text":"some words that are not short","o":{"x":1}}})");
    light.runner.run(
        R"({"trace_id":"0123456789abcdef0123456789abcdef","ctx_set":{"a":2,"b":3},"ctx_unset":["text"]})");
    light.runner.run(
        R"({"trace_id":"0123456789abcdef0123456789abcdef","ctx_before":{"a":2},"ctx_after":{"a":1}})");
  };
  for (int i = 0; i < 5; ++i) step();
  const uint64_t before = test::allocations();
  for (int i = 0; i < 100; ++i) step();
  CHECK(test::allocations() == before);
}
