#include "tests/unit/config/fixture.h"

using namespace weir;
using namespace weir::test;

TEST_CASE("later files win for values and lists, maps are merged deep") {
  Workspace w;
  const std::string base = w.file("base.yaml", R"(
streams:
  trace: {sinks: [a, b], signature: {mode: hash}}
  log: {sinks: [a]}
sinks: {a: {type: file, path: a.jsonl, write_mode: line}, b: {type: stdout}}
log: {level: warn}
)");
  const std::string over = w.file("over.yaml", R"(
streams: {trace: {sinks: [b]}}
sinks: {a: {path: other.jsonl}}
log:
)");
  const Config config = w.must(w.load({.files = {base, over}}));
  CHECK(stream(config, Stream::trace).sinks == Lines{"b"});
  CHECK(stream(config, Stream::trace).signature->mode == SignatureMode::hash);
  CHECK(stream(config, Stream::log).sinks == Lines{"a"});
  CHECK(sink(config, "a").settings.text("path") == "other.jsonl");
  CHECK(sink(config, "a").settings.text("write_mode") == "line");
  CHECK(config.log.text("level") == "warn");
  CHECK(config.files == Lines{base, over});
}

TEST_CASE("a directory means its yaml files in name order, hidden ones left out") {
  Workspace w;
  w.file("d/20.yaml", "log: {level: error}");
  w.file("d/10.yaml", "log: {level: debug}\ndrain_timeout: 2s");
  w.file("d/.hidden.yaml", "nonsense: [");
  w.file("d/notes.txt", "nonsense: [");
  const Config config = w.must(w.load({.files = {w.root() + "/d"}}));
  CHECK(config.log.text("level") == "error");
  CHECK(config.drain_timeout_ns == 2'000'000'000);
  CHECK(config.files == Lines{w.root() + "/d/10.yaml", w.root() + "/d/20.yaml"});
}

TEST_CASE("a mistake after merging stands in the file that wrote it") {
  Workspace w;
  const std::string base = w.file("base.yaml", "sinks: {a: {type: stdout, fromat: json}}\n");
  const std::string over = w.file("over.yaml", "\nsinks:\n  a: {format: jsno}\n");
  CHECK(joined(w.lines(w.load({.files = {base, over}}))) ==
        "base.yaml:1:27: sinks.a.fromat: is not known here (did you mean format?)\n"
        "over.yaml:3:15: sinks.a.format: must be auto, json or pretty, not \"jsno\" (did you mean json?)\n");
}

TEST_CASE("--set comes on top of files, in YAML's own form") {
  Workspace w;
  const Config config =
      w.good("journal: {max_bytes: 8MiB}\nsinks: {a.b: {type: file, path: x}}",
             {.sets = {"journal.max_bytes=16MiB", "streams.log.sinks=[c, a.b]", "sinks.c={type: stdout}",
                       "sinks.\"a.b\".path=/tmp/y=z", "log.level=debug", "log.level=warn"}});
  CHECK(config.journal.integer("max_bytes") == 16 << 20);
  CHECK(stream(config, Stream::log).sinks == Lines{"c", "a.b"});
  CHECK(sink(config, "a.b").settings.text("path") == "/tmp/y=z");
  CHECK(config.log.text("level") == "warn");
}

TEST_CASE("--set applies on top of the embedded default") {
  if (::access("/etc/weir/weir.yaml", F_OK) == 0) return;
  Workspace w;
  const Config config = w.must(w.load({.sets = {"streams.log.enabled=false"}}));
  CHECK_FALSE(stream(config, Stream::log).enabled);
  CHECK(stream(config, Stream::log).sinks == Lines{"console"});
}

TEST_CASE("mistakes in --set are numbered by argument, with the column of the value") {
  Workspace w;
  CHECK(joined(w.mistakes("", {.sets = {"journal.max_bytes=1", "nonsense", "a..b=1", "jurnal.type=memory",
                                        "log.level=[", "limits.x=1"}})) ==
        "--set:1:19: journal.max_bytes: must be at least 1MiB, not 1\n"
        "--set:2:1: \"nonsense\" is not key=value: write --set journal.max_bytes=64MiB\n"
        "--set:3:1: \"a..b=1\" is not key=value: write --set journal.max_bytes=64MiB\n"
        "--set:4:1: jurnal: is not known here (did you mean journal?)\n"
        "--set:5:11: not YAML: end of sequence flow not found\n"
        "--set:6:1: limits.x: is not known here\n");
}

TEST_CASE("what was read is told, and what could not be, so that it can be watched") {
  Workspace w;
  const std::string value = w.file("secret/name", "a.jsonl\n");
  const std::string one = w.file("d/1.yaml", "sinks: {a: {type: file, path: '${file:" + value + "}'}}");
  const auto read = [&](const std::string& missing) {
    std::string all;
    for (const ConfigInput& input : w.load({.files = {w.root() + "/d", missing}}).inputs)
      all += (input.is_configuration ? "" : "value ") + input.path + "\n";
    return all;
  };
  const std::string missing = w.root() + "/none.yaml";
  CHECK(read(missing) == w.root() + "/d\n" + one + "\n" + missing + "\nvalue " + value + "\n");
}
