#include "agent/process/set_fields.h"

#include "tests/unit/process/run_processor.h"

using namespace weir;

namespace {

std::string set(const SetOptions& options, std::string_view record) {
  const auto processor = make_set(options);
  test::Runner runner(*processor);
  return std::string(runner.run(record));
}

}  // namespace

TEST_CASE("several paths below one missing object make one object, in the order of the configuration") {
  const SetOptions options{.entries = {{"a.b.c", "1"}, {"x", "2"}, {"a.b.d", "3"}, {"a.e", "4"}}};
  CHECK(set(options, R"({})") == R"({"a":{"b":{"c":1,"d":3},"e":4},"x":2})");
  CHECK(set(options, R"({"a":{"b":{ }}})") == R"({"a":{"b":{ "c":1,"d":3},"e":4},"x":2})");
  CHECK(set(options, R"({"a":{"b":[],"e":0},"x":0})") == R"({"a":{"b":[],"e":0},"x":0})");
}

TEST_CASE("a record that has everything gets no edit") {
  const auto processor = make_set({.entries = {{"service", "\"s\""}, {"attributes.a", "1"}}});
  test::Runner runner(*processor);
  const std::string_view record = R"({"service":"x","attributes":{"a":null}})";
  CHECK(runner.run(record) == record);
  CHECK_FALSE(runner.edited());
}

TEST_CASE("null is absent in reserved fields only") {
  const SetOptions options{.entries = {{"service", "1"}, {"team", "2"}, {"o.p", "3"}}};
  CHECK(set(options, R"({"service":null,"team":null,"o":null})") == R"({"service":1,"team":null,"o":null})");
}

TEST_CASE("names that need escapes are written with them") {
  CHECK(set({.entries = {{"a\"b.c\n", "1"}}}, "{}") == R"({"a\"b":{"c\n":1}})");
  CHECK(set({.entries = {{"a\"b.c\n", "1"}}}, R"({"a\u0022b":{"c\u000a":2}})") ==
        R"({"a\u0022b":{"c\u000a":2}})");
}

TEST_CASE("what decides where a record goes, and what the agent or the producer alone can know, is refused") {
  for (const char* path :
       {"stream", "trace_id", "ts", "ctx", "ctx_after", "ctx_id", "ctx_after.x", "msg_in.value", "msg_out",
        "_id", "_peer.uid", "", ".a", "a.", "a..b", "service.x", "attributes", "duration_ms"}) {
    CAPTURE(path);
    CHECK(refuse_set(path, "\"text\"") != "");
  }
  for (const char* path :
       {"service", "status", "level", "attributes.a.b", "error.type", "contexts", "messages", "a"}) {
    CAPTURE(path);
    CHECK(refuse_set(path, "\"text\"") == "");
  }
  CHECK(refuse_set("service", "5") == "takes text: put the value in quotes");
  CHECK(refuse_set("line_no", "5") == "");
  CHECK(refuse_set("line_no", "5.0") == "takes a whole number");
  CHECK(refuse_set("duration_ms", "5.5") == "");
}

TEST_CASE("set does not allocate on the steady path") {
  const auto processor =
      make_set({.entries = {{"service", "\"s\""}, {"attributes.a", "1"}, {"n.m", "true"}}});
  test::Runner runner(*processor);
  runner.once();
  const auto all = [&] {
    for (const char* record :
         {R"({"stream":"log"})", R"({"attributes":{"b":[1,2]},"service":null,"n":{"\u006d":1}})"})
      runner.run(record);
  };
  for (int i = 0; i < 3; ++i) all();
  const uint64_t before = test::allocations();
  for (int i = 0; i < 50; ++i) all();
  CHECK(test::allocations() == before);
}
