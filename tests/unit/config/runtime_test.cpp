#include "tests/unit/config/fixture.h"

using namespace weir;
using namespace weir::test;

namespace {

constexpr char kSeed[] = R"(runtime:
  tracing:
    enabled: true
    signature: {mode: type_only}
    context_diff: {mode: whitelist, whitelist: [run_id, scenario_id]}
    sink:
      name: trace_jsonl
      settings: {path: trace.jsonl, write_mode: line, flush_every_n: 1, fsync_every_n: null}
)";

}  // namespace

TEST_CASE("the seed tree is taken as it stands") {
  Workspace w;
  const Config config = w.good(kSeed);
  const StreamConfig& trace = stream(config, Stream::trace);
  CHECK(trace.enabled);
  CHECK(trace.signature->mode == SignatureMode::type_only);
  CHECK(trace.context_diff->mode == ContextDiffMode::whitelist);
  CHECK(trace.context_diff->whitelist == Lines{"run_id", "scenario_id"});
  CHECK(trace.sinks == Lines{"trace_jsonl"});
  REQUIRE(config.sinks.size() == 1);
  CHECK(config.sinks[0].type == "file");
  CHECK(config.sinks[0].settings.text("path") == "trace.jsonl");
  CHECK(config.sinks[0].settings.text("write_mode") == "line");
  CHECK(config.sinks[0].settings.integer("flush_every_n") == 1);
  CHECK(config.sinks[0].settings.null("fsync_every_n"));
  CHECK(stream(config, Stream::log).sinks.empty());
  CHECK(config.notes.empty());
}

TEST_CASE("a tree that names little: enabled, no context, no sink") {
  Workspace w;
  for (const char* text :
       {"runtime: {tracing: {}}", "runtime: {tracing: }", "runtime: {tracing: {context_diff: {}}}",
        "runtime: {tracing: {sink: null, context_diff: {max_value_len: 8}}}"}) {
    CAPTURE(text);
    const Config config = w.good(text);
    CHECK(stream(config, Stream::trace).enabled);
    CHECK(stream(config, Stream::trace).context_diff->mode == ContextDiffMode::none);
    CHECK(stream(config, Stream::trace).sinks.empty());
    CHECK(config.sinks.empty());
  }
  CHECK(stream(w.good("runtime: {}"), Stream::trace).context_diff->mode == ContextDiffMode::full);
  CHECK_FALSE(stream(w.good("runtime: {tracing: {enabled: false}}"), Stream::trace).enabled);
}

TEST_CASE("trace_stdout becomes a sink of that name") {
  Workspace w;
  const Config config = w.good("runtime: {tracing: {sink: {name: trace_stdout}}}");
  CHECK(stream(config, Stream::trace).sinks == Lines{"trace_stdout"});
  CHECK(sink(config, "trace_stdout").type == "stdout");
}

TEST_CASE("what belongs to the framework is ignored, with one note for each group, whatever it holds") {
  Workspace w;
  const Config config = w.good(R"(nodes: {a: "${FRAMEWORK_SYNTAX"}
version: 3
log: {level: warn}
runtime:
  strict: true
  tracing: {}
  pipeline: [a, b]
sinks: {}
)");
  CHECK(config.log.text("level") == "warn");
  CHECK(joined(w.notes(config)) ==
        "weir.yaml:1:1: ignored, belongs to the framework: nodes, version\n"
        "weir.yaml:5:3: runtime: ignored, belongs to the framework: strict, pipeline\n");
}

TEST_CASE("mistakes in the tree are shown where it was written") {
  Workspace w;
  CHECK(
      joined(w.mistakes(R"(runtime:
  tracing:
    enabeld: true
    signature: {mode: typ_only}
    context_diff: {mod: full}
    sinks: [a]
    sink:
      nmae: x
      name: trace_jsonl
      settings:
        paht: trace.jsonl
        write_mode: lines
        type: file
        compress: gzip
)")) ==
      "weir.yaml:3:5: runtime.tracing.enabeld: is not known here (did you mean enabled?)\n"
      "weir.yaml:4:23: runtime.tracing.signature.mode: must be type_only, type_and_identity or hash, not "
      "\"typ_only\" "
      "(did you mean type_only?)\n"
      "weir.yaml:5:20: runtime.tracing.context_diff.mod: is not known here (did you mean mode?)\n"
      "weir.yaml:6:5: runtime.tracing.sinks: is not known here (did you mean sink?)\n"
      "weir.yaml:8:7: runtime.tracing.sink.nmae: is not known here (did you mean name?)\n"
      "weir.yaml:11:9: runtime.tracing.sink.settings.path: path is missing. Where to.\n"
      "weir.yaml:11:9: runtime.tracing.sink.settings.paht: is not known here (did you mean path?)\n"
      "weir.yaml:12:21: runtime.tracing.sink.settings.write_mode: must be auto, line or batch, not \"lines\" "
      "(did you "
      "mean line?)\n"
      "weir.yaml:13:9: runtime.tracing.sink.settings.type: is not known here\n"
      "weir.yaml:14:9: runtime.tracing.sink.settings.compress: is not known here\n");
}

TEST_CASE("other adapters are refused by name") {
  Workspace w;
  const auto with = [&](const std::string& name) {
    return joined(w.mistakes("runtime: {tracing: {sink: {name: " + name + "}}}"));
  };
  const std::string at = "weir.yaml:1:34: runtime.tracing.sink.name: ";
  CHECK(with("log_stdout") ==
        at + "log_stdout is an adapter of another stream: write trace_stdout or trace_jsonl\n");
  CHECK(with("otel_otlp") == at + "otel_otlp is not in this build yet: write trace_stdout or trace_jsonl\n");
  CHECK(with("trace_jsnol") == at + "\"trace_jsnol\" is not a trace adapter: write trace_stdout or "
                                    "trace_jsonl (did you mean trace_jsonl?)\n");
  CHECK(joined(w.mistakes("runtime: {tracing: {sink: {settings: {}}}}")) ==
        "weir.yaml:1:27: runtime.tracing.sink.name: must name an adapter: trace_stdout or trace_jsonl\n");
}

TEST_CASE("two set-ups of one stream and a taken sink name are mistakes") {
  Workspace w;
  CHECK(joined(w.mistakes("runtime: {tracing: {}}\nstreams: {trace: {}}")) ==
        "weir.yaml:2:11: streams.trace: runtime.tracing at weir.yaml:1:11 sets up this stream already: keep "
        "one of the two\n");
  CHECK(joined(w.mistakes(
            "runtime: {tracing: {sink: {name: trace_stdout}}}\nsinks: {trace_stdout: {type: stdout}}")) ==
        "weir.yaml:2:9: sinks.trace_stdout: runtime.tracing.sink has this name already: rename this sink\n");
}

TEST_CASE("other streams of weir's own stand beside the tree") {
  Workspace w;
  const Config config =
      w.good(std::string(kSeed) + "streams: {log: {sinks: [c]}}\nsinks: {c: {type: stdout}}\n");
  CHECK(stream(config, Stream::log).sinks == Lines{"c"});
  CHECK(stream(config, Stream::trace).sinks == Lines{"trace_jsonl"});
}

TEST_CASE("--set reaches into the tree and onto what it was translated to") {
  Workspace w;
  const Config config =
      w.good(kSeed, {.sets = {"runtime.tracing.sink.settings.path=a.jsonl",
                              "streams.trace.context_diff.mode=full", "sinks.trace_jsonl.write_mode=batch"}});
  CHECK(sink(config, "trace_jsonl").settings.text("path") == "a.jsonl");
  CHECK(sink(config, "trace_jsonl").settings.text("write_mode") == "batch");
  CHECK(stream(config, Stream::trace).context_diff->mode == ContextDiffMode::full);
}

TEST_CASE("the command line overrides the tree") {
  Workspace w;
  CHECK_FALSE(stream(w.good(kSeed, {.tracing = false}), Stream::trace).enabled);
  const Config config =
      w.good("runtime: {tracing: {enabled: false, sink: {name: trace_stdout}}}", {.trace_path = "t.jsonl"});
  CHECK(stream(config, Stream::trace).enabled);
  CHECK(stream(config, Stream::trace).sinks == Lines{"trace_jsonl"});
  CHECK(config.sinks.size() == 1);
}
