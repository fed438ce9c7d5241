#include "agent/process/context_diff.h"

#include <string>
#include <vector>

#include "tests/unit/process/run_processor.h"

using namespace weir;
using weir::test::Runner;

namespace {

std::string run(const ContextDiffOptions& options, std::string_view record) {
  ManualClock clock;
  const auto processor = make_context_diff(options, make_context_memory(), clock);
  return std::string(Runner(*processor).run(record));
}
std::string none(std::string_view record) { return run({.mode = ContextDiffMode::none}, record); }
std::string full(std::string_view record) { return run({}, record); }
std::string listed(std::vector<std::string> whitelist, std::string_view record) {
  return run({.mode = ContextDiffMode::whitelist, .whitelist = std::move(whitelist)}, record);
}

/// ctx_diff alone of a full diff of two contexts.
std::string diff(std::string_view before, std::string_view after) {
  const std::string head = "{\"ctx_before\":" + std::string(before) + ",\"ctx_after\":" + std::string(after);
  const std::string out = full(head + "}");
  const std::string key = ",\"ctx_diff\":";
  REQUIRE(out.starts_with(head + key));
  return out.substr(head.size() + key.size(), out.size() - head.size() - key.size() - 1);
}

}  // namespace

TEST_CASE("full keeps all keys and adds the diff at the end of the record") {
  CHECK(
      full(R"({"ctx_before":{"a":1,"b":2},"ctx_after":{"a":1,"b":3},"status":"ok"})") ==
      R"({"ctx_before":{"a":1,"b":2},"ctx_after":{"a":1,"b":3},"status":"ok","ctx_diff":{"b":{"before":2,"after":3}}})");
}

TEST_CASE("whitelist keeps only the listed keys and computes the diff over them") {
  CHECK(listed({"b", "c"}, R"({"ctx_before":{"a":1,"b":2,"c":0},"ctx_after":{"c":0,"a":2,"b":3}})") ==
        R"({"ctx_before":{"b":2,"c":0},"ctx_after":{"c":0,"b":3},"ctx_diff":{"b":{"before":2,"after":3}}})");
}

TEST_CASE("none makes every context field that was sent null and adds nothing") {
  CHECK(none(R"({"ctx_before":{"a":1},"ctx_after":{"a":2},"ctx_diff":{},"x":1})") ==
        R"({"ctx_before":null,"ctx_after":null,"ctx_diff":null,"x":1})");
  CHECK(none(R"({"ctx_before":{"a":1},"ctx_after":null})") == R"({"ctx_before":null,"ctx_after":null})");
  CHECK(none(R"({"ctx_diff":{"a":1}})") == R"({"ctx_diff":null})");
  CHECK(none(R"({"x":1})") == R"({"x":1})");
}

TEST_CASE("a diff without differences is an empty object") {
  CHECK(diff(R"({"a":1})", R"({"a":1})") == "{}");
  CHECK(diff("{}", "{}") == "{}");
}

TEST_CASE("the keys of a diff are sorted by code point") {
  CHECK(diff(R"({"z":1,"A":1,"a":1,"é":1,"aa":1})", R"({"z":2,"A":2,"a":2,"é":2,"aa":2})") ==
        R"({"A":{"before":1,"after":2},"a":{"before":1,"after":2},"aa":{"before":1,"after":2},)"
        R"("z":{"before":1,"after":2},"é":{"before":1,"after":2}})");
  CHECK(
      diff(R"({})", "{\"\xF0\x9F\x98\x80\":1,\"\xEE\x80\x80\":2}") ==
      "{\"\xEE\x80\x80\":{\"before\":null,\"after\":2},\"\xF0\x9F\x98\x80\":{\"before\":null,\"after\":1}}");
}

TEST_CASE("a key that is absent on one side counts as null there") {
  CHECK(diff(R"({"a":1})", R"({"b":2})") ==
        R"({"a":{"before":1,"after":null},"b":{"before":null,"after":2}})");
  CHECK(diff(R"({"a":null})", R"({"b":null})") == "{}");
  CHECK(diff(R"({"a":null})", R"({"a":0})") == R"({"a":{"before":null,"after":0}})");
}

TEST_CASE("values differ as JSON values and not as text") {
  CHECK(diff(R"({"a":{"x":1,"y":[1,2]}})", R"({"a":{ "y":[1.0,2e0] , "x":1}})") == "{}");
  CHECK(diff(R"({"a":[1,2]})", R"({"a":[2,1]})") == R"({"a":{"before":[1,2],"after":[2,1]}})");
  CHECK(diff(R"({"a":1,"b":1.0,"c":1e0})", R"({"a":1.0,"b":1e0,"c":1})") == "{}");
  CHECK(diff(R"({"a":9007199254740993})", R"({"a":9007199254740992})") ==
        R"({"a":{"before":9007199254740993,"after":9007199254740992}})");
  CHECK(diff(R"({"a":"\u0041"})", R"({"a":"A"})") == "{}");
  CHECK(diff(R"({"a":"1"})", R"({"a":1})") == R"({"a":{"before":"1","after":1}})");
  CHECK(diff(R"({"a":true})", R"({"a":false})") == R"({"a":{"before":true,"after":false}})");
}

TEST_CASE("keys compare decoded, and the diff spells them as they were sent") {
  CHECK(diff(R"({"run\u005fid":1})", R"({"run_id":2})") == R"({"run_id":{"before":1,"after":2}})");
  CHECK(diff(R"({"run_id":1})", R"({"run\u005fid":2})") == R"({"run\u005fid":{"before":1,"after":2}})");
  CHECK(diff(R"({"run\u005fid":1})", R"({})") == R"({"run\u005fid":{"before":1,"after":null}})");
  CHECK(
      listed({"run_id"}, R"({"ctx_before":{"run\u005fid":1,"x":1},"ctx_after":{"run\u005fid":2}})") ==
      R"({"ctx_before":{"run\u005fid":1},"ctx_after":{"run\u005fid":2},"ctx_diff":{"run\u005fid":{"before":1,"after":2}}})");
}

TEST_CASE("values in a diff keep their spelling") {
  CHECK(diff(R"({"a":622.60,"b":{"k" : [ 1 ]}})", R"({"a":1E+2,"b":"\u00e9"})") ==
        R"({"a":{"before":622.60,"after":1E+2},"b":{"before":{"k" : [ 1 ]},"after":"\u00e9"}})");
}

TEST_CASE("a ctx_diff that the client sent beside both snapshots is replaced in place, null too") {
  CHECK(full(R"({"ctx_diff":{"lie":1},"ctx_before":{"a":1},"ctx_after":{"a":2},"x":1})") ==
        R"({"ctx_diff":{"a":{"before":1,"after":2}},"ctx_before":{"a":1},"ctx_after":{"a":2},"x":1})");
  CHECK(full(R"({"ctx_before":{},"ctx_diff":null,"ctx_after":{}})") ==
        R"({"ctx_before":{},"ctx_diff":{},"ctx_after":{}})");
}

TEST_CASE("a null snapshot beside an object is an empty context and stays null") {
  CHECK(full(R"({"ctx_before":null,"ctx_after":{"a":1}})") ==
        R"({"ctx_before":null,"ctx_after":{"a":1},"ctx_diff":{"a":{"before":null,"after":1}}})");
  CHECK(listed({"a"}, R"({"ctx_before":{"b":2,"a":1},"ctx_after":null})") ==
        R"({"ctx_before":{"a":1},"ctx_after":null,"ctx_diff":{"a":{"before":1,"after":null}}})");
  CHECK(listed({"b.c"}, R"({"ctx_before":null,"ctx_after":{"b":{"c":1}}})") ==
        R"({"ctx_before":null,"ctx_after":{"b":{"c":1}},"ctx_diff":{"b.c":{"before":null,"after":1}}})");
}

TEST_CASE("both snapshots null, or only one of them sent: filtered, no diff computed") {
  CHECK(full(R"({"ctx_before":null,"ctx_after":null})") == R"({"ctx_before":null,"ctx_after":null})");
  CHECK(full(R"({"ctx_after":{"a":1,"b":2}})") == R"({"ctx_after":{"a":1,"b":2}})");
  CHECK(listed({"b"}, R"({"ctx_after":{"a":1,"b":2}})") == R"({"ctx_after":{"b":2}})");
  CHECK(listed({"b"}, R"({"ctx_before":{"a":1,"b":2}})") == R"({"ctx_before":{"b":2}})");
  CHECK(full(R"({"x":1})") == R"({"x":1})");
}

TEST_CASE("only ctx_diff sent: its keys are compared whole with the entries, their order kept") {
  const std::string_view sent =
      R"({"ctx_diff":{"z":{"before":1,"after":2},"decision.status":{"before":1,"after":2},"decision":3,"a":4}})";
  CHECK(full(sent) == sent);
  CHECK(listed({"a", "decision.status", "z"}, sent) ==
        R"({"ctx_diff":{"z":{"before":1,"after":2},"decision.status":{"before":1,"after":2},"a":4}})");
  CHECK(listed({"decision"}, sent) == R"({"ctx_diff":{"decision":3}})");
  CHECK(listed({}, sent) == R"({"ctx_diff":{}})");
  CHECK(listed({"a"}, R"({"ctx_diff":{"b":{"a":1},"a":2},"ctx_after":{"a":1,"c":1}})") ==
        R"({"ctx_diff":{"a":2},"ctx_after":{"a":1}})");
  CHECK(listed({"a"}, R"({"ctx_diff":{"a":2,"b":1},"ctx_before":null,"ctx_after":null})") ==
        R"({"ctx_diff":{"a":2},"ctx_before":null,"ctx_after":null})");
}

TEST_CASE("an empty whitelist keeps nothing") {
  CHECK(listed({}, R"({"ctx_before":{"a":1},"ctx_after":{"a":2}})") ==
        R"({"ctx_before":{},"ctx_after":{},"ctx_diff":{}})");
}

TEST_CASE("filtered objects keep the order that was sent, and entries may repeat") {
  CHECK(
      listed({"c", "a", "c"}, R"({"ctx_before":{"c":1,"b":1,"a":1},"ctx_after":{"a":2,"b":1,"c":2}})") ==
      R"({"ctx_before":{"c":1,"a":1},"ctx_after":{"a":2,"c":2},"ctx_diff":{"a":{"before":1,"after":2},"c":{"before":1,"after":2}}})");
}

TEST_CASE("a filter that keeps everything makes no edit") {
  ManualClock clock;
  const auto processor =
      make_context_diff({.mode = ContextDiffMode::whitelist, .whitelist = {"a", "b", "o.x", "o.y"}},
                        make_context_memory(), clock);
  Runner runner(*processor);
  runner.run(R"({"ctx_after": { "b" : 2 ,	"a":1 , "o" : { "y":1, "x" : [ ] } } })");
  CHECK(!runner.edited());
  runner.run(R"({"ctx_before": { } })");
  CHECK(!runner.edited());
  runner.run(R"({"ctx_diff": { "a" : 1 } })");
  CHECK(!runner.edited());
}

TEST_CASE("white space inside of what is kept stays") {
  CHECK(listed({"a", "b", "d"}, R"({"ctx_after": { "a" : 1 , "b" : [ 2 ] , "c":3, "d" : 4 } })") ==
        R"({"ctx_after": { "a" : 1 , "b" : [ 2 ],"d" : 4 } })");
}

TEST_CASE("a dotted entry holds before and after nested and the diff under the entry as written") {
  CHECK(
      listed(
          {"decision.status"},
          R"({"ctx_before":{"run_id":1,"decision":{"status":"new","by":"x"}},"ctx_after":{"decision":{"by":"y","status":"ok"}}})") ==
      R"({"ctx_before":{"decision":{"status":"new"}},"ctx_after":{"decision":{"status":"ok"}},)"
      R"("ctx_diff":{"decision.status":{"before":"new","after":"ok"}}})");
}

TEST_CASE("dotted entries into one object hold their union, in the order sent") {
  CHECK(
      listed(
          {"o.c", "o.a", "z", "o.d.e"},
          R"({"ctx_before":{"z":1,"o":{"a":1,"b":1,"c":1,"d":{"f":1,"e":1}},"y":1},"ctx_after":{"o":{"d":{"e":2,"g":1},"c":2,"a":1}}})") ==
      R"({"ctx_before":{"z":1,"o":{"a":1,"c":1,"d":{"e":1}}},"ctx_after":{"o":{"d":{"e":2},"c":2,"a":1}},)"
      R"("ctx_diff":{"o.c":{"before":1,"after":2},"o.d.e":{"before":1,"after":2},"z":{"before":1,"after":null}}})");
}

TEST_CASE("a dotted entry that finds nothing adds nothing") {
  CHECK(
      listed({"o.x", "s.x", "l.x", "n.x"},
             R"({"ctx_before":{"o":{"y":1},"s":"x","l":["x"],"n":null},"ctx_after":{"o":{"x":1,"y":1}}})") ==
      R"({"ctx_before":{},"ctx_after":{"o":{"x":1}},"ctx_diff":{"o.x":{"before":null,"after":1}}})");
}

TEST_CASE("a key that itself contains a dot is matched first as it is, at every level") {
  CHECK(listed({"a.b"}, R"({"ctx_before":{"a":{"b":1},"a.b":2},"ctx_after":{"a":{"b":1}}})") ==
        R"({"ctx_before":{"a.b":2},"ctx_after":{"a":{"b":1}},"ctx_diff":{"a.b":{"before":2,"after":1}}})");
  CHECK(
      listed({"a.b.c"}, R"({"ctx_before":{"a":{"b":{"c":1},"b.c":2}},"ctx_after":{"a.b":{"c":3}}})") ==
      R"({"ctx_before":{"a":{"b.c":2}},"ctx_after":{"a.b":{"c":3}},"ctx_diff":{"a.b.c":{"before":2,"after":3}}})");
}

TEST_CASE("an object and a member of it may both be listed") {
  CHECK(listed({"a.b", "a"}, R"({"ctx_before":{"a":{"b":1,"c":1}},"ctx_after":{"a":{"b":2,"c":1}}})") ==
        R"({"ctx_before":{"a":{"b":1,"c":1}},"ctx_after":{"a":{"b":2,"c":1}},)"
        R"("ctx_diff":{"a":{"before":{"b":1,"c":1},"after":{"b":2,"c":1}},"a.b":{"before":1,"after":2}}})");
}

TEST_CASE("snapshots false keeps only the diff") {
  const ContextDiffOptions options{.snapshots = false};
  CHECK(run(options, R"({"ctx_before":{"a":1},"ctx_after":{"a":2}})") ==
        R"({"ctx_before":null,"ctx_after":null,"ctx_diff":{"a":{"before":1,"after":2}}})");
  CHECK(run(options, R"({"ctx_before":null,"ctx_after":{"a":2}})") ==
        R"({"ctx_before":null,"ctx_after":null,"ctx_diff":{"a":{"before":null,"after":2}}})");
  CHECK(run(options, R"({"ctx_diff":{"a":1}})") == R"({"ctx_diff":{"a":1}})");
  CHECK(run({.mode = ContextDiffMode::whitelist, .whitelist = {"o.a"}, .snapshots = false},
            R"({"ctx_before":{"o":{"a":1}},"ctx_after":{"o":{"a":2,"b":1}}})") ==
        R"({"ctx_before":null,"ctx_after":null,"ctx_diff":{"o.a":{"before":1,"after":2}}})");
}

TEST_CASE("a longer string is cut behind exactly max_value_len code points") {
  const auto cut = [](std::string_view value, int64_t max = 5) {
    const std::string head = R"({"ctx_after":{"a":)", tail = "}}";
    const std::string out = run({.max_value_len = max}, head + std::string(value) + tail);
    return out.substr(head.size(), out.size() - head.size() - tail.size());
  };
  CHECK(cut(R"("12345")") == R"("12345")");
  CHECK(cut(R"~("123456")~") == R"~("12345...(truncated)")~");
  CHECK(cut(R"("äöüßé")") == R"("äöüßé")");
  CHECK(cut(R"~("äöüßéx")~") == R"~("äöüßé...(truncated)")~");
  CHECK(cut(R"("\n\t\"\\\/")") == R"("\n\t\"\\\/")");
  CHECK(cut(R"~("\n\t\"\\\/\/")~") == R"~("\n\t\"\\\/...(truncated)")~");
  CHECK(cut(R"("\u00e91234")") == R"("\u00e91234")");
  CHECK(cut(R"("1234\u00e9")") == R"("1234\u00e9")");
  CHECK(cut(R"~("1234\u00e96")~") == R"~("1234\u00e9...(truncated)")~");
  CHECK(cut(R"("1234\ud83d\ude00")") == R"("1234\ud83d\ude00")");
  CHECK(cut(R"~("1234\uD83D\uDE006")~") == R"~("1234\uD83D\uDE00...(truncated)")~");
  CHECK(cut(R"~("1234😀6")~") == R"~("1234😀...(truncated)")~");
  CHECK(cut(R"~("12345\ud83d\ude00")~") == R"~("12345...(truncated)")~");
  CHECK(cut(R"~("1234\ud7ff6")~") == R"~("1234\ud7ff...(truncated)")~");
  CHECK(cut(R"~("1")~", 0) == R"~("...(truncated)")~");
  CHECK(cut(R"("")", 0) == R"("")");
  CHECK(cut("12345678") == "12345678");
}

TEST_CASE("strings are cut at any depth of a kept value, keys never") {
  CHECK(
      run({.max_value_len = 3},
          R"({"ctx_after":{"long_key":["abcd", {"nested_key" : "abcde","s":"abc"}],"longer":1}})") ==
      R"~({"ctx_after":{"long_key":["abc...(truncated)", {"nested_key" : "abc...(truncated)","s":"abc"}],"longer":1}})~");
}

TEST_CASE("strings outside of contexts are not cut") {
  const std::string_view record = R"({"message":"a long message","error":{"stack":"a long stack"}})";
  CHECK(run({.max_value_len = 3}, record) == record);
}

TEST_CASE("max_value_len defaults to 256 code points") {
  const std::string fits(256, 'x');
  const std::string record = R"({"ctx_after":{"a":")" + fits;
  CHECK(full(record + "\"}}") == record + "\"}}");
  CHECK(full(record + "x\"}}") == record + "...(truncated)\"}}");
}

TEST_CASE("the diff is computed on whole values and cut afterwards") {
  CHECK(run({.max_value_len = 3}, R"({"ctx_before":{"a":"abcd"},"ctx_after":{"a":"abce"}})") ==
        R"~({"ctx_before":{"a":"abc...(truncated)"},"ctx_after":{"a":"abc...(truncated)"},)~"
        R"~("ctx_diff":{"a":{"before":"abc...(truncated)","after":"abc...(truncated)"}}})~");
  CHECK(
      run({.mode = ContextDiffMode::whitelist, .whitelist = {"o.a", "b"}, .max_value_len = 3},
          R"({"ctx_before":{"o":{"a":"abcd","x":"abcd"},"b":["abcdef"]},"ctx_after":{"o":{"a":"abce"},"b":["abcdef"]}})") ==
      R"~({"ctx_before":{"o":{"a":"abc...(truncated)"},"b":["abc...(truncated)"]},"ctx_after":{"o":{"a":"abc...(truncated)"},"b":["abc...(truncated)"]},)~"
      R"~("ctx_diff":{"o.a":{"before":"abc...(truncated)","after":"abc...(truncated)"}}})~");
}

TEST_CASE("a ctx_diff that was sent is cut too") {
  CHECK(run({.max_value_len = 3}, R"({"ctx_diff":{"key_a":{"before":"abcd","after":null},"b":1}})") ==
        R"~({"ctx_diff":{"key_a":{"before":"abc...(truncated)","after":null},"b":1}})~");
}

TEST_CASE("entries with quotes and control characters are quoted in the diff") {
  CHECK(
      listed({"a.\"\n"}, R"({"ctx_before":{"a":{"\"\n":1}},"ctx_after":{"a":{"\"\u000a":2}}})") ==
      R"({"ctx_before":{"a":{"\"\n":1}},"ctx_after":{"a":{"\"\u000a":2}},"ctx_diff":{"a.\"\n":{"before":1,"after":2}}})");
}

TEST_CASE("shapes of a great many keys come out alike, planned or not") {
  ManualClock clock;
  const auto processor = make_context_diff({}, make_context_memory(), clock);
  Runner runner(*processor);
  for (int shape = 0; shape < 40; ++shape) {
    std::string context = "\"last" + std::to_string(shape) + "\":[1]";
    for (int i = 0; i < 600; ++i) context += ",\"" + std::to_string(i) + (i % 20 == 0 ? "\":\"x\"" : "\":{}");
    const std::string out(runner.run("{\"ctx_before\":{" + context + "},\"ctx_after\":{\"0\":2," +
                                     context.substr(context.find(",\"1\"") + 1) + "}}"));
    CHECK(out.find(R"("ctx_diff":{"0":{"before":"x","after":2},"last)") != out.npos);
  }
}

TEST_CASE("snapshots cost no allocation in any mode") {
  const std::string record =
      R"({"trace_id":"0123456789abcdef0123456789abcdef","ctx_before":{"order_id":1,"d":{"x":1,"y":2},"note":"a text that is cut","esc\u0061ped":1},)"
      R"("ctx_after":{"order_id":2,"esc\u0061ped":2,"d":{"y":3,"x":1},"note":"a text that is cut too","new":[1,2]}})";
  for (const auto mode : {ContextDiffMode::none, ContextDiffMode::whitelist, ContextDiffMode::full}) {
    ManualClock clock;
    const auto processor = make_context_diff(
        {.mode = mode, .whitelist = {"order_id", "d.y", "note", "escaped"}, .max_value_len = 5},
        make_context_memory(), clock);
    Runner runner(*processor);
    runner.once();
    for (int i = 0; i < 3; ++i) runner.run(record);
    const uint64_t before = test::allocations();
    for (int i = 0; i < 100; ++i) runner.run(record);
    CHECK(test::allocations() == before);
  }
}
