#include "tests/unit/config/fixture.h"

using namespace weir;
using namespace weir::test;

TEST_CASE("an option that belongs into a group is told which") {
  Workspace w;
  w.use(
      {{.name = "file",
        .aliases = {},
        .sentence = "A file.",
        .options = {{.name = "path", .type = OptionType::path, .sentence = "Where to.", .required = true},
                    {.name = "rotate.max_bytes", .default_text = "", .sentence = "Bytes.", .nullable = true},
                    {.name = "rotate.keep", .default_text = "", .sentence = "Files.", .nullable = true}}}});
  const std::string said = joined(
      w.mistakes("sinks: {a: {type: file, path: /a, max_bytes: 1, kepe: 2}}\nstreams: {log: {sinks: [a]}}"));
  CAPTURE(said);
  CHECK(said.find("sinks.a.max_bytes: is not known here (did you mean rotate.max_bytes?)") !=
        std::string::npos);
  CHECK(said.find("sinks.a.kepe: is not known here (did you mean rotate.keep?)") != std::string::npos);
}

TEST_CASE("all mistakes of a file are found at once, each at its line and column, in order") {
  Workspace w;
  const auto found = w.mistakes(R"(listne:
  local: {type: unix, path: /run/w.sock}
listen:
  local: {type: unixx, path: /run/w.sock}
  net: {type: tcp, bind: nowhere}
journal: {type: tape, max_bytes: 512KiB}
drain_timeout: 250
streams:
  trace:
    enabled: yes
    context_diff: {mode: ful, max_vale_len: 3}
    sinks: [consle, console, console]
  logs: {sinks: [console]}
sinks:
  console: {type: stdout, colour: true}
  archive: {type: file, flush_every_n: 0}
  bad name: {type: stdout}
  remote: {type: otlp}
log: {level: wran}
web: {}
)");
  CHECK(
      joined(found) ==
      "weir.yaml:1:1: listne: is not known here (did you mean listen?)\n"
      "weir.yaml:4:17: listen.local.type: \"unixx\" is not a type: write one of unix, tcp (did you mean "
      "unix?)\n"
      "weir.yaml:5:26: listen.net.bind: needs a port: write 127.0.0.1:4320\n"
      "weir.yaml:6:17: journal.type: must be memory or disk, not \"tape\"\n"
      "weir.yaml:6:34: journal.max_bytes: must be at least 1MiB, not 512KiB\n"
      "weir.yaml:7:16: drain_timeout: needs a unit: write 250ms or 250s\n"
      "weir.yaml:10:14: streams.trace.enabled: must be true or false, not \"yes\"\n"
      "weir.yaml:11:26: streams.trace.context_diff.mode: must be none, whitelist or full, not \"ful\" (did "
      "you mean "
      "full?)\n"
      "weir.yaml:11:31: streams.trace.context_diff.max_vale_len: is not known here (did you mean "
      "max_value_len?)\n"
      "weir.yaml:12:13: streams.trace.sinks[0]: there is no sink named \"consle\": add it under sinks (did "
      "you mean "
      "console?)\n"
      "weir.yaml:12:30: streams.trace.sinks[2]: names console a second time: leave it out\n"
      "weir.yaml:13:3: streams.logs: is not a stream's name here (did you mean log?)\n"
      "weir.yaml:15:27: sinks.console.colour: is not known here\n"
      "weir.yaml:16:12: sinks.archive.path: path is missing. Where to.\n"
      "weir.yaml:16:40: sinks.archive.flush_every_n: must be at least 1, not 0\n"
      "weir.yaml:17:13: sinks.bad name: is not a name: up to 64 letters, digits, _ . and - are taken\n"
      "weir.yaml:18:18: sinks.remote.type: otlp is not in this build yet: write one of file, jsonl, stdout\n"
      "weir.yaml:19:14: log.level: must be trace, debug, info, warn or error, not \"wran\" (did you mean "
      "warn?)\n"
      "weir.yaml:20:1: web: is not in this build yet: leave it out\n");
}

TEST_CASE("a key named twice, a key that is no word, tags and merge keys are mistakes, at any level") {
  Workspace w;
  const auto found = w.mistakes(R"(log: {level: info}
log: {level: warn}
sinks:
  a:
    type: stdout
    type: file
  ~: {type: stdout}
  [x]: {type: stdout}
  b: !!int 5
  c:
    <<: {type: stdout}
streams:
  log: {sinks: [a], sinks: [a]}
)");
  CHECK(joined(found) ==
        "weir.yaml:2:1: log: named twice, first in line 1: keep one\n"
        "weir.yaml:6:5: sinks.a.type: named twice, first in line 5: keep one\n"
        "weir.yaml:7:3: sinks: a key must not be null: put it in quotes\n"
        "weir.yaml:8:3: sinks: a key must be a word\n"
        "weir.yaml:9:6: sinks.b: tags such as !!int are not taken: write the value alone\n"
        "weir.yaml:9:6: sinks.b: must be a map such as {type: file}\n"
        "weir.yaml:11:5: sinks.c.<<: merge keys are not taken: write the keys out\n"
        "weir.yaml:11:5: sinks.c.type: type is missing: write one of file, jsonl, stdout\n"
        "weir.yaml:13:21: streams.log.sinks: named twice, first in line 13: keep one\n");
}

TEST_CASE("values of the wrong shape are told what is wanted") {
  Workspace w;
  const auto found = w.mistakes(R"(journal: 5
data_dir: [a]
drain_timeout: {}
quarantine: {raw: }
listen: [a]
streams:
  trace: [x]
  log: {sinks: a}
  telemetry: {sinks: [[a], {b: c}]}
  monitoring: {sinks: }
)");
  CHECK(joined(found) ==
        "weir.yaml:1:10: journal: must be a map, not one value\n"
        "weir.yaml:2:11: data_dir: must be a path, not a list\n"
        "weir.yaml:3:16: drain_timeout: must be a duration such as 250ms, not a map\n"
        "weir.yaml:4:19: quarantine.raw: has no value: write true or false, or leave the line out\n"
        "weir.yaml:5:9: listen: must be a map, not a list\n"
        "weir.yaml:7:10: streams.trace: must be a map, not a list\n"
        "weir.yaml:8:16: streams.log.sinks: must be a list: write [a]\n"
        "weir.yaml:9:23: streams.telemetry.sinks[0]: must be a word, not a list\n"
        "weir.yaml:9:28: streams.telemetry.sinks[1]: must be a word, not a map\n"
        "weir.yaml:10:23: streams.monitoring.sinks: has no value: write a list such as [a, b], or leave the "
        "line out\n");
  CHECK(joined(w.mistakes("- a\n- b\n")) ==
        "weir.yaml:1:1: must be a map of sections such as listen, streams and sinks\n");
}

TEST_CASE("an option without a value is shown at its key, not at whatever comes next") {
  Workspace w;
  CHECK(joined(w.mistakes("log:\n  level:\n\n# more\njournal: {}\n")) ==
        "weir.yaml:2:3: log.level: has no value: write a word, or leave the line out\n");
}

TEST_CASE("words of the design that this build does not have get that answer") {
  Workspace w;
  const auto found = w.mistakes(R"(streams:
  trace: {sinks: [f]}
sinks:
  f: {type: file, path: p}
listen:
  n: {type: ring}
web: {}
)");
  REQUIRE(found.size() == 2);
  for (const std::string& line : found) CHECK(line.find("is not in this build yet") != std::string::npos);
}

TEST_CASE("a disk journal has its own size and place, and a least size") {
  Workspace w;
  const auto loaded = w.load({.files = {w.file("a.yaml", "data_dir: /d\njournal: {type: disk}\n")}});
  REQUIRE(loaded.config);
  CHECK(loaded.config->journal.integer("max_bytes") == int64_t(4) << 30);
  CHECK(loaded.config->journal.text("path") == "/d/journal");
  CHECK(joined(w.mistakes("journal: {type: disk, max_bytes: 4MiB}\n")) ==
        "weir.yaml:1:34: journal.max_bytes: must be at least 8MiB for a disk journal, which is made of "
        "segments of 1MiB or more\n");
}

TEST_CASE("syntax errors stand at their place, and what they hide is not blamed on others") {
  Workspace w;
  CHECK(joined(w.mistakes("log: {level: info\nsinks: [\n")).starts_with("weir.yaml:2:"));
  CHECK(joined(w.mistakes("log:\n\tlevel: info\n")).find("(indent with spaces, not with tabs)") !=
        std::string::npos);
  CHECK(
      joined(w.mistakes("sinks: {a: {type: ${X}}}")) ==
      "weir.yaml:1:20: not YAML: end of map flow not found (within { } and [ ] put \"${...}\" in quotes)\n");
  CHECK(joined(w.mistakes("sinks: {a: {type: file, path: /x/{stream}.jsonl}}"))
            .ends_with("(within { } and [ ] put what has a { in it in quotes)\n"));
  CHECK(joined(w.mistakes("log: {}\n---\nlog: {}\n")) ==
        "weir.yaml:2:1: a second document begins here: one document in a file\n");
  const std::string broken = w.file("a.yaml", "sinks: {a: {type: stdout}\n");
  const std::string user = w.file("b.yaml", "streams: {log: {sinks: [a], sinsk: 1}}\n");
  const auto found = w.lines(w.load({.files = {broken, user}}));
  REQUIRE(found.size() == 2);  // not: no sink named a
  CHECK(found[0].starts_with("a.yaml:"));
  CHECK(found[1] == "b.yaml:1:29: streams.log.sinsk: is not known here (did you mean sinks?)");
}

TEST_CASE("depth and aliases have limits") {
  Workspace w;
  std::string deep = "x: ";
  for (int i = 0; i < 70; ++i) deep += "[";
  CHECK(joined(w.mistakes(deep)).find("deeper than 64 levels") != std::string::npos);
  std::string bomb = "a: &a0 [x,x,x,x,x,x,x,x,x,x]\n";
  for (int i = 1; i < 9; ++i) {
    const std::string last = "*a" + std::to_string(i - 1);
    bomb += "b" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + last;
    for (int j = 1; j < 10; ++j) bomb += "," + last;
    bomb += "]\n";
  }
  CHECK(joined(w.mistakes(bomb)).find("more than 50000 values") != std::string::npos);
  CHECK(joined(w.mistakes("a: &x [*x]")).find("stands inside the value it refers to") != std::string::npos);
  CHECK_FALSE(w.mistakes(std::string(20'000, '[')).empty());
  CHECK_FALSE(w.mistakes(std::string(20'000, '{')).empty());
}

TEST_CASE("two owners of one place are refused") {
  Workspace w;
  const auto found = w.mistakes(R"(listen:
  a: {type: unix, path: /run/x.sock}
  b: {type: unix, path: /run/../run/x.sock}
  c: {type: tcp, bind: 'localhost:1'}
  d: {type: tcp, bind: 'localhost:1'}
  e: {type: tcp, bind: 'localhost:0'}
  f: {type: tcp, bind: 'localhost:0'}
control: {path: /run/x.sock}
streams: {log: {sinks: [g, h]}}
sinks:
  g: {type: file, path: out.jsonl}
  h: {type: jsonl, path: ./out.jsonl}
)");
  CHECK(joined(found) ==
        "weir.yaml:3:25: listen.b.path: /run/../run/x.sock is already used by listen.a.path: choose another\n"
        "weir.yaml:5:24: listen.d.bind: localhost:1 is already used by listen.c.bind: choose another\n"
        "weir.yaml:8:17: control.path: /run/x.sock is already used by listen.a.path: choose another\n"
        "weir.yaml:12:26: sinks.h.path: ./out.jsonl is already used by sinks.g.path: choose another\n");
}

TEST_CASE("the journal must hold two of the longest records") {
  Workspace w;
  CHECK(joined(w.mistakes("journal: {max_bytes: 2MiB}\nlimits: {record_bytes_max: 8MiB}")) ==
        "weir.yaml:1:22: journal.max_bytes: must be at least twice limits.record_bytes_max: write 16MiB or "
        "more\n");
  CHECK(w.mistakes("journal: {max_bytes: 1MiB}\nlimits: {record_bytes_max: 512KiB}").empty());
  CHECK(joined(w.mistakes("limits: {record_bytes_max: 9MiB}")) ==
        "weir.yaml:1:28: limits.record_bytes_max: must be at most 8MiB, not 9MiB\n");
}

TEST_CASE("a file that is missing, a directory without YAML, and one that anybody may write are refused") {
  Workspace w;
  CHECK(w.lines(w.load({.files = {w.root() + "/none.yaml"}})) ==
        Lines{"none.yaml:1:1: cannot be read: No such file or directory"});
  const std::string loose = w.file("loose.yaml", "log: {}");
  ::chmod(loose.c_str(), 0666);
  CHECK(w.lines(w.load({.files = {loose}})) ==
        Lines{"loose.yaml:1:1: refused, anybody may write to it: chmod o-w loose.yaml"});
  std::filesystem::create_directory(w.root() + "/empty");
  CHECK(w.lines(w.load({.files = {w.root() + "/empty"}})) ==
        Lines{"empty:1:1: holds no *.yaml file: there is nothing to read"});
  CHECK(w.load({.files = {"/dev/null"}}).config.has_value());
}

TEST_CASE("a control path too long for a socket is refused") {
  Workspace w;
  CHECK(joined(w.mistakes("control: {path: /" + std::string(120, 'x') + "}")) ==
        "weir.yaml:1:17: control.path: is longer than 107 bytes, too long for a socket: choose a shorter "
        "one\n");
}
