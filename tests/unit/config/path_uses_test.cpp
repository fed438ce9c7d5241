#include <algorithm>

#include "tests/unit/config/fixture.h"

using namespace weir;
using namespace weir::test;

namespace {

/// `kind path key line:column`, sorted.
std::vector<std::string> uses_of(const LoadedConfig& loaded) {
  std::vector<std::string> out;
  for (const PathUse& use : loaded.paths) {
    constexpr const char* kinds[] = {"read", "output", "data", "socket"};
    out.push_back(std::string(kinds[int(use.kind)]) + " " + use.path + " " + use.key + " " +
                  std::to_string(use.where.line) + ":" + std::to_string(use.where.column));
  }
  std::ranges::sort(out);
  return out;
}

}  // namespace

TEST_CASE("every place that a configuration names is known with where it was written") {
  Workspace w;
  const std::string word = w.file("word", "hello");
  const auto loaded = w.load({.files = {w.file("a.yaml", R"(data_dir: /d
journal: {type: disk}
listen:
  a: {type: unix, path: /run/a/in.sock}
  b: {type: tcp, bind: "127.0.0.1:0"}
streams:
  log: {set: {word: "${file:)" + word + R"(}"}}
sinks:
  f: {type: jsonl, path: /out/sub/f.jsonl}
  g: {type: jsonl, path: "/out/x{stream}y/{service}.jsonl"}
  h: {type: jsonl, path: "plain.jsonl"}
  i: {type: jsonl, path: "/out/{{stream}}/f.jsonl"}
)")}});
  REQUIRE(loaded.config);
  CHECK(uses_of(loaded) == std::vector<std::string>{
                               "data /d data_dir 1:11",
                               "data /d/journal journal.path 1:1",
                               "output . sinks.h.path 11:26",
                               "output /out sinks.g.path 10:26",
                               "output /out/sub sinks.f.path 9:26",
                               "output /out/{stream} sinks.i.path 12:26",
                               "read " + word + " streams.log.set.word 7:21",
                               "socket /run/a control.path 1:1",
                               "socket /run/a listen.a.path 4:25",
                           });
}

TEST_CASE("a file that cannot be read is known, too") {
  Workspace w;
  const auto loaded =
      w.load({.files = {w.file("a.yaml", "data_dir: /d\nstreams: {log: {set: {a: '${file:/no/such}'}}}\n")}});
  CHECK_FALSE(loaded.config);
  CHECK(uses_of(loaded)[1] == "read /no/such streams.log.set.a 2:26");
}

TEST_CASE("the sandbox is absent, or has its lists, and is printed as it was written") {
  Workspace w;
  const auto none = w.load({.files = {w.file("a.yaml", "data_dir: /d\n")}});
  REQUIRE(none.config);
  CHECK_FALSE(none.config->sandbox);
  CHECK(sandbox_place(*none.config) == "none");
  CHECK(print_config(*none.config, listener_types(), sink_types()).find("sandbox") == std::string::npos);
  const auto empty = w.load({.files = {w.file("b.yaml", "data_dir: /d\nsandbox: {}\n")}});
  REQUIRE(empty.config->sandbox);
  CHECK(empty.config->hash != none.config->hash);
  const auto both =
      w.load({.files = {w.file("c.yaml", "data_dir: /d\nsandbox: {write: [/a, b], read: [/c]}\n")},
              .sets = {"sandbox={}"}});
  REQUIRE(both.config->sandbox);
  CHECK(sandbox_place(*both.config) == "{write: [/a, b], read: [/c]}");
}
