#include "tests/unit/config/fixture.h"

using namespace weir;
using namespace weir::test;

TEST_CASE("an empty file names nothing, and everything not named has its default") {
  Workspace w;
  w.set("WEIR_SOCKET", "/tmp/some/where.sock");
  const Config config = w.good("");
  REQUIRE(config.listen.size() == 1);
  CHECK(config.listen[0].name == "local");
  CHECK(config.listen[0].type == "unix");
  CHECK(config.listen[0].settings.text("path") == "/tmp/some/where.sock");
  CHECK(config.control_path == "/tmp/some/control.sock");
  CHECK(config.journal.text("type") == "memory");
  CHECK(config.journal.integer("max_bytes") == 64 << 20);
  CHECK(config.limits.integer("record_bytes_max") == 256 << 10);
  CHECK(config.clients.integer("memory") == 86'400'000'000'000);
  CHECK(config.clients.integer("max") == 100'000);
  CHECK(config.quarantine.boolean("raw"));
  CHECK(config.log.text("level") == "info");
  CHECK(config.drain_timeout_ns == 1'000'000'000);
  CHECK(config.sinks.empty());
  for (Stream name : kStreams) {
    CHECK(stream(config, name).enabled);
    CHECK(stream(config, name).sinks.empty());
  }
  CHECK(stream(config, Stream::trace).signature == SignatureOptions{});
  CHECK(stream(config, Stream::trace).context_diff == ContextDiffOptions{});
  CHECK_FALSE(stream(config, Stream::log).context_diff.has_value());
  CHECK(config.files == Lines{w.root() + "/weir.yaml"});
  CHECK(joined(w.notes(config)) ==
        "weir.yaml:1:1: sinks: none is named: `weir tail` shows records, and they are kept nowhere. Write "
        "sinks: {} "
        "if that is meant\n");
  CHECK(w.good("sinks: {}").notes.empty());
}

TEST_CASE("a file of comments, or of sections without a value, names nothing either") {
  Workspace w;
  const Config empty = w.good("");
  CHECK(w.good("# nothing\n").hash == empty.hash);
  CHECK(w.good("listen:\nstreams:\n  trace:\nsinks:\njournal:\n").hash == empty.hash);
}

TEST_CASE("without any file every stream goes to standard output") {
  if (::access("/etc/weir/weir.yaml", F_OK) == 0) return;  // a machine where weir is installed
  Workspace w;
  const Config config = w.must(w.load({}));
  CHECK(config.files.empty());
  REQUIRE(config.sinks.size() == 1);
  CHECK(config.sinks[0].type == "stdout");
  for (Stream name : kStreams) CHECK(stream(config, name).sinks == Lines{config.sinks[0].name});
  CHECK(stream(config, Stream::trace).context_diff->mode == ContextDiffMode::full);
}

TEST_CASE("weir's own configuration is read as it is written") {
  Workspace w;
  const Config config = w.good(R"(
listen:
  local: {type: unix, path: /run/a/in.sock, mode: 0600}
  net: {type: tcp, bind: "127.0.0.1:4320"}
journal: {type: memory, max_bytes: 16MiB}
data_dir: /var/lib/other
drain_timeout: 250ms
streams:
  trace:
    signature: {mode: hash}
    context_diff: {mode: whitelist, whitelist: [run_id, scenario_id], snapshots: false, idle: 5m}
    sinks: [trace_file]
  log: {enabled: false, sinks: [console], signature: {}}
sinks:
  trace_file: {type: jsonl, path: trace.jsonl, write_mode: line, fsync_every_n: null}
  console: {type: stdout, format: pretty}
)");
  CHECK(config.listen[0].settings.integer("mode") == 0600);
  CHECK(config.listen[1].settings.text("bind") == "127.0.0.1:4320");
  CHECK(config.control_path == "/run/a/control.sock");
  CHECK(config.data_dir == "/var/lib/other");
  CHECK(config.drain_timeout_ns == 250'000'000);
  const StreamConfig& trace = stream(config, Stream::trace);
  CHECK(trace.signature->mode == SignatureMode::hash);
  CHECK(trace.context_diff->mode == ContextDiffMode::whitelist);
  CHECK(trace.context_diff->whitelist == Lines{"run_id", "scenario_id"});
  CHECK_FALSE(trace.context_diff->snapshots);
  CHECK(trace.context_diff->idle_ns == 300'000'000'000);
  CHECK_FALSE(stream(config, Stream::log).enabled);
  CHECK(stream(config, Stream::log).signature.has_value());
  CHECK(sink(config, "trace_file").type == "file");  // never the alias
  CHECK(sink(config, "trace_file").settings.text("write_mode") == "line");
  CHECK(sink(config, "trace_file").settings.null("fsync_every_n"));
  CHECK(sink(config, "trace_file").settings.integer("flush_every_ms") == 100);
  CHECK(sink(config, "trace_file").where.line == 15);
}

TEST_CASE("a nullable option may be set to null, and an aliased value counts where it is used") {
  Workspace w;
  const Config config = w.good(R"(
sinks:
  a: &base {type: file, path: a, flush_every_ms: null}
streams:
  log: {sinks: &names [a]}
  trace: {sinks: *names}
)");
  CHECK(sink(config, "a").settings.null("flush_every_ms"));
  CHECK(stream(config, Stream::trace).sinks == Lines{"a"});
}

TEST_CASE("the ingest socket: WEIR_SOCKET, else root's place, else the user's, else an error") {
  Workspace w;
  w.set("WEIR_SOCKET", "/x/y.sock");
  CHECK(default_ingest_socket() == std::string("/x/y.sock"));
  w.set("WEIR_SOCKET", "");
  w.set("XDG_RUNTIME_DIR", "/run/user/7");
  CHECK(default_ingest_socket() ==
        std::string(geteuid() == 0 ? "/run/weir/weir.sock" : "/run/user/7/weir/weir.sock"));
  w.set("XDG_STATE_HOME", "/home/u/state");
  CHECK(default_data_dir() == std::string(geteuid() == 0 ? "/var/lib/weir" : "/home/u/state/weir"));
  w.set("XDG_RUNTIME_DIR", std::nullopt);
  if (geteuid() != 0)
    CHECK(default_ingest_socket().error().message ==
          "there is no default place for the ingest socket here: set $WEIR_SOCKET");
}

TEST_CASE("the control socket lies beside the first unix listener, whatever stands before it") {
  Workspace w;
  CHECK(w.good("listen: {n: {type: tcp, bind: 'a:1'}, u: {type: unix, path: /p/q.sock}}").control_path ==
        "/p/control.sock");
  CHECK(w.good("listen: {n: {type: tcp, bind: 'a:1'}}").control_path == "/tmp/control.sock");
  CHECK(w.good("control: {path: /c.sock}").control_path == "/c.sock");
}

TEST_CASE("--set of the listener that is there when no file names one") {
  Workspace w;
  w.set("WEIR_SOCKET", "/tmp/some/where.sock");
  const Config moded = w.good("", {.sets = {"listen.local.mode=0666"}});
  REQUIRE(moded.listen.size() == 1);
  CHECK(moded.listen[0].type == "unix");
  CHECK(moded.listen[0].settings.text("path") == "/tmp/some/where.sock");
  CHECK(w.good("", {.sets = {"listen.local.path=/tmp/other.sock"}}).control_path == "/tmp/control.sock");
  CHECK(w.good("", {.sets = {"listen.local.bind=127.0.0.1:0", "listen.local.type=tcp"}}).listen[0].type ==
        "tcp");
  CHECK(w.load_text("listen: {n: {type: tcp, bind: '127.0.0.1:1'}}", {.sets = {"listen.local.mode=0666"}})
            .errors.size() == 1);
}

TEST_CASE("notes: a sink nobody names, a whitelist that is not read, one that keeps nothing, no listener") {
  Workspace w;
  const Config config = w.good(R"(listen: {}
streams:
  trace: {context_diff: {whitelist: [a]}}
  log: {context_diff: {mode: whitelist}}
sinks:
  idle: {type: stdout}
)");
  CHECK(joined(w.notes(config)) ==
        "weir.yaml:1:9: listen: names no listener: nothing can come in\n"
        "weir.yaml:3:37: streams.trace.context_diff.whitelist: is read with mode: whitelist only, so it "
        "changes nothing "
        "here\n"
        "weir.yaml:4:30: streams.log.context_diff.mode: without a whitelist beside it nothing is kept\n"
        "weir.yaml:6:9: sinks.idle: no stream names this sink: it gets no records\n");
}

TEST_CASE("--tracing overrides the file either way") {
  Workspace w;
  const std::string off = "streams: {trace: {enabled: false}}";
  CHECK(stream(w.good(off, {.tracing = true}), Stream::trace).enabled);
  CHECK_FALSE(stream(w.good("", {.tracing = false}), Stream::trace).enabled);
}

TEST_CASE("--trace-path enables tracing and puts one file in place of its sinks; no other stream notices") {
  Workspace w;
  const Config config = w.good(R"(
streams:
  trace: {enabled: false, sinks: [old, shared, trace_jsonl]}
  log: {sinks: [shared]}
sinks:
  old: {type: file, path: old.jsonl}
  shared: {type: stdout}
  trace_jsonl: {type: file, path: x.jsonl, write_mode: line}
)",
                               {.trace_path = "/tmp/${NOT_A_VARIABLE}.jsonl"});
  CHECK(stream(config, Stream::trace).enabled);
  CHECK(stream(config, Stream::trace).sinks == Lines{"trace_jsonl"});
  CHECK(stream(config, Stream::log).sinks == Lines{"shared"});
  REQUIRE(config.sinks.size() == 2);  // `old` would only make an empty file
  CHECK(sink(config, "trace_jsonl").settings.text("path") == "/tmp/${NOT_A_VARIABLE}.jsonl");
  CHECK(sink(config, "trace_jsonl").settings.text("write_mode") == "auto");
}

TEST_CASE("the hash tells configurations apart and does not depend on how they are written") {
  Workspace w;
  const Config one = w.good("journal: {max_bytes: 64MiB}\nlog: {level: warn}");
  CHECK(one.hash.size() == 16);
  CHECK(one.hash == w.good("log: {level: warn}").hash);
  CHECK(one.hash != w.good("log: {level: error}").hash);
}
