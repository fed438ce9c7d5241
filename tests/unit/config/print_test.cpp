#include "tests/unit/config/fixture.h"

using namespace weir;
using namespace weir::test;

namespace {

void check_same(const Config& a, const Config& b) {
  CHECK(a.listen == b.listen);
  CHECK(a.sinks == b.sinks);
  CHECK(a.streams == b.streams);
  CHECK(a.journal == b.journal);
  CHECK(a.limits == b.limits);
  CHECK(a.clients == b.clients);
  CHECK(a.quarantine == b.quarantine);
  CHECK(a.log == b.log);
  CHECK(a.data_dir == b.data_dir);
  CHECK(a.control_path == b.control_path);
  CHECK(a.drain_timeout_ns == b.drain_timeout_ns);
  CHECK(a.hash == b.hash);
}

}  // namespace

TEST_CASE("what is printed reads back to the same configuration") {
  Workspace w;
  w.set("W_ODD", "/tmp/a \"b\"\\ $HOME ${X} #c: \n\t\x01\xc3\xbc");
  for (const char* text : {
           "",
           "listen: {}\nsinks: {}",
           "runtime: {tracing: {sink: {name: trace_stdout}}}",
           "streams: {log: {enabled: false, signature: {mode: hash}, context_diff: {mode: whitelist}, sinks: "
           "['null', '7']}}\n"
           "sinks: {'null': {type: file, path: \"${W_ODD}\", flush_every_ms: null, flush_every_n: 3}, 7: "
           "{type: stdout}}",
           "streams: {trace: {context_diff: {mode: full, whitelist: [a.b, 'c, d', 'no'], max_context_bytes: "
           "1025, idle: "
           "90s}}}\nlisten: {u: {type: unix, path: /u, mode: 0600, owner: 'true'}, t: {type: tcp, bind: "
           "'[::1]:0'}}",
           "streams: {log: {set: {overwrite: true, service: '5', attributes.n: 5.50, 'a.$x.${y}': '$$ "
           "${W_ODD}', "
           "flag: true, word: 'true'}, redact: {keys: ['a b'], paths: [a.b], patterns: ['\\d+$', '$${x}', "
           "'(?i)\"q\"'], replace: ''}, sample: {ratio: 0.10, keep_errors: false}}, trace: {redact: {}, "
           "sample: "
           "{ratio: 1e-3}}}",
           "drain_timeout: 0\njournal: {max_bytes: 1GB}\nclients: {memory: 36h}\nquarantine: {raw: false}",
       }) {
    CAPTURE(text);
    const Config config = w.good(text);
    const std::string printed = print_config(config, listener_types(), sink_types());
    CAPTURE(printed);
    check_same(config, w.good(printed));
  }
}

TEST_CASE("the printed form is plain YAML with the units it is read with") {
  Workspace w;
  const Config config =
      w.good("streams: {log: {sinks: [c]}}\nsinks: {c: {type: stdout}}\ncontrol: {path: /c}\ndata_dir: /d");
  CHECK(print_config(config, listener_types(), sink_types()) == R"(listen:
  local:
    type: unix
    path: /tmp/weir_test.sock
    mode: 0660
    owner: null
    stamp: false
control:
  path: /c
data_dir: /d
drain_timeout: 1s
metrics:  # `GET /metrics` (Prometheus, OpenMetrics), `/healthz` and `/readyz` over TCP, beside the control socket.
  bind: null
  insecure: false
journal:  # Where records wait for their sinks, and the tape that `weir tail -n` reads.
  type: memory
  path: null
  max_bytes: 64MiB
limits:  # What a producer may send.
  record_bytes_max: 256KiB
  per_uid:
    connections: null
    memory: null
    bytes_per_s: null
clients:  # What is remembered of clients that number their records.
  memory: 1d
  max: 100000
quarantine:  # Refused records, in `data_dir/quarantine`.
  raw: true
log:  # The agent's own log on stderr.
  level: info
streams:
  trace:  # no sink: kept on the tape only
    enabled: true
    sinks: []
    signature: {mode: type_only}
    context_diff:
      mode: full
      max_value_len: 256
      snapshots: true
      max_traces: 10000
      max_context_bytes: 16MiB
      idle: 10m
  log:
    enabled: true
    sinks: [c]
  telemetry:  # no sink: kept on the tape only
    enabled: true
    sinks: []
  monitoring:  # no sink: kept on the tape only
    enabled: true
    sinks: []
sinks:
  c:
    type: stdout
    format: null
)");
}

TEST_CASE("the reference names every option of every table with its default and limits") {
  const std::string reference = config_reference(listener_types(), sink_types());
  for (const char* row : {"### `listen.<name>: {type: unix}`", "| `path` | path | required | The socket. |",
                          "| `mode` | file mode | `0660` | Its mode. |", "Also written `type: jsonl`.",
                          "| `write_mode` | `auto`, `line`, `batch` | `auto` | How. |",
                          "| `flush_every_n` | integer | null | Records. At least `1`. |", "## `journal`",
                          "| `drain_timeout` | duration (`250ms`) | `1s` |",
                          "## `streams.<name>.context_diff`", "| `whitelist` | list of text | `[]` |"}) {
    CAPTURE(row);
    CHECK(reference.find(row) != std::string::npos);
  }
}
