#include "tests/unit/config/fixture.h"

using namespace weir;
using namespace weir::test;

namespace {

/// Of records.md section 8, less the exporter that is not built.
constexpr char kTree[] = R"(runtime:
  observability:
    tracing:
      exporters:
        - kind: jsonl
          enabled: true
          settings: {path: trace_business.jsonl, trace_slice: logical}
        - kind: otel_otlp
          enabled: false
          settings: {otlp: {endpoint: "http://127.0.0.1:4318/v1/traces"}, service: {service_name: stream-kernel}}
    logging:
      exporters: [{kind: stdout}, {kind: file_plain, settings: {path: app.log}}]
)";

/// The fixture's sinks with `format: text` and `trace_slice`.
struct Sinks : Workspace {
  Sinks() {
    std::vector<ComponentType> types = sink_types();
    for (ComponentType& type : types) {
      for (Option& option : type.options)
        if (option.name == "format") option.choices.push_back("text");
      type.options.push_back({.name = "trace_slice",
                              .type = OptionType::choice,
                              .default_text = "all",
                              .sentence = "Which steps.",
                              .choices = {"all", "business_logic", "platform_internals"}});
    }
    use(std::move(types));
  }
};

ConfigRequest started() {
  ConfigRequest request;
  request.started_wall_ns = 1'767'225'601'999'999'999;  // 2026-01-01T00:00:01Z
  request.pid = 4711;
  return request;
}

std::string tracing(const std::string& exporters) {
  return "runtime: {observability: {tracing: {exporters: [" + exporters + "]}}}";
}

std::string path_of(Sinks& w, const std::string& exporter, std::string_view name) {
  return sink(w.good(tracing(exporter), started()), name).settings.text("path");
}

}  // namespace

TEST_CASE("the observability tree is taken as it stands") {
  Sinks w;
  const Config config = w.good(kTree);
  const StreamConfig& trace = stream(config, Stream::trace);
  CHECK(trace.enabled);
  CHECK(trace.context_diff->mode == ContextDiffMode::none);
  CHECK(trace.sinks == Lines{"tracing_jsonl"});
  CHECK(stream(config, Stream::log).sinks == Lines{"logging_stdout", "logging_file_plain"});
  CHECK_FALSE(stream(config, Stream::log).context_diff.has_value());
  CHECK(stream(config, Stream::telemetry).sinks.empty());
  REQUIRE(config.sinks.size() == 3);
  CHECK(sink(config, "tracing_jsonl").type == "file");
  CHECK(sink(config, "tracing_jsonl").settings.text("format") == "jsonl");
  CHECK(sink(config, "tracing_jsonl").settings.text("path") == "trace_business.jsonl");
  CHECK(sink(config, "tracing_jsonl").settings.text("trace_slice") == "business_logic");
  CHECK(sink(config, "logging_stdout").type == "stdout");
  CHECK(sink(config, "logging_stdout").settings.null("format"));
  CHECK(sink(config, "logging_file_plain").type == "file");
  CHECK(sink(config, "logging_file_plain").settings.text("format") == "text");
  CHECK(sink(config, "logging_file_plain").settings.text("path") == "app.log");
  CHECK(config.notes.empty());
}

TEST_CASE("every section, words of the stream, and sections that name nothing") {
  Sinks w;
  const Config config = w.good(R"(runtime:
  observability:
    tracing: {context_diff: {mode: full}, signature: {mode: hash}}
    logging: {enabled: false, exporters: []}
    telemetry: {exporters: [{kind: stdout_plain, settings: {}}]}
    monitoring:
)");
  CHECK(stream(config, Stream::trace).context_diff->mode == ContextDiffMode::full);
  CHECK(stream(config, Stream::trace).signature->mode == SignatureMode::hash);
  CHECK_FALSE(stream(config, Stream::log).enabled);
  CHECK(stream(config, Stream::telemetry).sinks == Lines{"telemetry_stdout_plain"});
  CHECK(sink(config, "telemetry_stdout_plain").settings.text("format") == "text");
  CHECK(stream(config, Stream::monitoring).enabled);
  CHECK(config.sinks.size() == 1);
  for (const char* text : {"runtime: {observability: {}}", "runtime: {observability: }"})
    CHECK(w.good(text).sinks.empty());
}

TEST_CASE("names of sinks are counted, and step aside for one that is taken") {
  Sinks w;
  const Config config =
      w.good(tracing("{kind: stdout}, {kind: stdout}, {kind: jsonl, settings: {path: a}}") +
             "\nsinks: {tracing_stdout_2: {type: stdout}}\nstreams: {log: {sinks: [tracing_stdout_2]}}");
  CHECK(stream(config, Stream::trace).sinks == Lines{"tracing_stdout", "tracing_stdout_3", "tracing_jsonl"});
}

TEST_CASE("adapters' names are kinds of their own stream") {
  Sinks w;
  const Config config = w.good(R"(runtime:
  observability:
    tracing: {exporters: [{kind: trace_jsonl, settings: {path: a}}]}
    logging: {exporters: [{kind: log_stdout}]}
    telemetry: {exporters: [{kind: telemetry_jsonl, settings: {path: b}}]}
    monitoring: {exporters: [{kind: monitoring_stdout}]}
)");
  CHECK(sink(config, "tracing_jsonl").type == "file");
  CHECK(sink(config, "logging_stdout").type == "stdout");
  CHECK(sink(config, "telemetry_jsonl").type == "file");
  CHECK(sink(config, "monitoring_stdout").type == "stdout");
  CHECK(joined(w.mistakes(tracing("{kind: log_jsonl}"))) ==
        "weir.yaml:1:56: runtime.observability.tracing.exporters[0].kind: log_jsonl is an adapter of another "
        "stream: write trace_jsonl, or jsonl\n");
}

TEST_CASE("without a path the file is named by the agent's start, the same at every load") {
  Sinks w;
  CHECK(path_of(w, "{kind: jsonl}", "tracing_jsonl") == "logs/tracing_20260101T000001Z_pid4711.jsonl");
  CHECK(path_of(w, "{kind: file_plain}", "tracing_file_plain") ==
        "logs/tracing_20260101T000001Z_pid4711.log");
  CHECK(path_of(w, "{kind: jsonl, settings: {file_prefix: kernel-7}}", "tracing_jsonl") ==
        "logs/kernel-7_20260101T000001Z_pid4711.jsonl");
  w.set("PREFIX", "from.env");
  CHECK(path_of(w, "{kind: jsonl, settings: {file_prefix: \"${PREFIX}\"}}", "tracing_jsonl") ==
        "logs/from.env_20260101T000001Z_pid4711.jsonl");
  CHECK(path_of(w, "{kind: jsonl, settings: {file_prefix: x, path: a}}", "tracing_jsonl") == "a");
  const std::string two = tracing("{kind: jsonl}, {kind: file_plain}");
  CHECK(w.good(two, started()).hash == w.good(two, started()).hash);
  CHECK(sink(w.good(two), "tracing_jsonl")
            .settings.text("path")
            .ends_with("_pid" + std::to_string(getpid()) + ".jsonl"));
  CHECK(joined(w.mistakes(tracing("{kind: jsonl, settings: {file_prefix: ../x}}"))) ==
        "weir.yaml:1:87: runtime.observability.tracing.exporters[0].settings.file_prefix: must be part of a "
        "file's name: up to 64 letters, digits, _ . and - are taken\n");
}

TEST_CASE("kinds without a sink are refused where they stand, unless they are off") {
  Sinks w;
  for (const std::string kind :
       {"otel_otlp", "otel_otlp_logical", "otel_otlp_topology", "opentracing_bridge"}) {
    CHECK(joined(w.mistakes(tracing("{kind: stdout}, {kind: " + kind + "}"))) ==
          "weir.yaml:1:72: runtime.observability.tracing.exporters[1].kind: " + kind +
              " is not in this build yet: write jsonl, stdout, stdout_plain or file_plain, or enabled: false "
              "beside it\n");
    CHECK(w.good(tracing("{kind: " + kind + ", enabled: false, settings: {any: [thing]}}")).sinks.empty());
  }
  w.set("ON", "false");
  CHECK(w.good(tracing("{kind: otel_otlp, enabled: \"${ON}\"}")).sinks.empty());
  CHECK(joined(w.mistakes(tracing("{kind: jsnol}"))) ==
        "weir.yaml:1:56: runtime.observability.tracing.exporters[0].kind: \"jsnol\" is not a kind: write "
        "jsonl, "
        "stdout, stdout_plain or file_plain (did you mean jsonl?)\n");
}

TEST_CASE("settings of other kinds beside ours are left alone") {
  Sinks w;
  const Config config = w.good(tracing(
      "{kind: jsonl, settings: {path: a, service: {service_name: s}, otlp: {endpoint: \"http://x\"}}}"));
  CHECK(sink(config, "tracing_jsonl").settings.text("path") == "a");
}

TEST_CASE("mistakes in the observability tree are shown where it was written, all at once") {
  Sinks w;
  CHECK(
      joined(w.mistakes(R"(runtime:
  observability:
    tracign: {}
    tracing:
      enabeld: true
      sinks: [a]
      exporters:
        - kind: jsonl
          setings: {}
          settings: {paht: a, type: file, write_mode: lines}
        - {enabled: perhaps, kind: stdout}
        - {settings: {}}
        - stdout
        - {kind: stdout_plain, settings: {format: json, path: a}}
    logging: {exporters: {kind: stdout}}
    telemetry: 5
)")) ==
      "weir.yaml:3:5: runtime.observability.tracign: is not known here (did you mean tracing?)\n"
      "weir.yaml:5:7: runtime.observability.tracing.enabeld: is not known here (did you mean enabled?)\n"
      "weir.yaml:6:7: runtime.observability.tracing.sinks: is not known here (did you mean exporters?)\n"
      "weir.yaml:9:11: runtime.observability.tracing.exporters[0].setings: is not known here (did you mean "
      "settings?)\n"
      "weir.yaml:10:22: runtime.observability.tracing.exporters[0].settings.paht: is not known here (did you "
      "mean path?)\n"
      "weir.yaml:10:31: runtime.observability.tracing.exporters[0].settings.type: is not known here\n"
      "weir.yaml:10:55: runtime.observability.tracing.exporters[0].settings.write_mode: must be auto, line "
      "or "
      "batch, not \"lines\" (did you mean line?)\n"
      "weir.yaml:11:21: runtime.observability.tracing.exporters[1].enabled: must be true or false, not "
      "\"perhaps\"\n"
      "weir.yaml:12:11: runtime.observability.tracing.exporters[2].kind: must name a kind: jsonl, stdout, "
      "stdout_plain or file_plain\n"
      "weir.yaml:13:11: runtime.observability.tracing.exporters[3]: must be a map of kind, enabled and "
      "settings\n"
      "weir.yaml:14:43: runtime.observability.tracing.exporters[4].settings.format: is text with kind "
      "stdout_plain: leave it out\n"
      "weir.yaml:14:57: runtime.observability.tracing.exporters[4].settings.path: is not known here\n"
      "weir.yaml:15:26: runtime.observability.logging.exporters: must be a list such as [{kind: jsonl, "
      "settings: {path: a.jsonl}}]\n"
      "weir.yaml:16:16: runtime.observability.telemetry: must be a map\n");
}

TEST_CASE("two set-ups of one stream name both places") {
  Sinks w;
  CHECK(joined(w.mistakes(
            "runtime:\n  observability: {tracing: {exporters: [{kind: stdout}]}}\n  tracing: {}\n")) ==
        "weir.yaml:2:19: runtime.observability.tracing: runtime.tracing at weir.yaml:3:3 sets up this stream "
        "already: keep one of the two\n");
  CHECK(joined(w.mistakes("runtime: {observability: {logging: {}}}\nstreams: {log: {enabled: true}}")) ==
        "weir.yaml:2:11: streams.log: runtime.observability.logging at weir.yaml:1:27 sets up this stream "
        "already: keep one of the two\n");
  const Config config =
      w.good("runtime: {tracing: {}, observability: {logging: {exporters: [{kind: stdout}]}}}");
  CHECK(stream(config, Stream::log).sinks == Lines{"logging_stdout"});
}

TEST_CASE("two exporters of one file are a mistake at the second") {
  Sinks w;
  CHECK(joined(w.mistakes(tracing("{kind: jsonl}, {kind: jsonl}"), started())) ==
        "weir.yaml:1:64: runtime.observability.tracing.exporters[1].settings.path: "
        "logs/tracing_20260101T000001Z_pid4711.jsonl is already used by "
        "runtime.observability.tracing.exporters[0].settings.path: choose another\n");
}

TEST_CASE("the command line overrides the observability tree") {
  Sinks w;
  const Config config = w.good(kTree, {.trace_path = "t.jsonl"});
  CHECK(stream(config, Stream::trace).sinks == Lines{"trace_jsonl"});
  CHECK(config.sinks.size() == 3);
  CHECK_FALSE(stream(w.good(kTree, {.tracing = false}), Stream::trace).enabled);
  CHECK(sink(w.good(kTree, {.sets = {"sinks.tracing_jsonl.write_mode=batch"}}), "tracing_jsonl")
            .settings.text("write_mode") == "batch");
}

TEST_CASE("aliases of a slice are understood") {
  Sinks w;
  w.set("SLICE", "topology");
  for (const auto& [written, meant] :
       std::map<std::string, std::string>{{"full", "all"},
                                          {"logical", "business_logic"},
                                          {"topology", "platform_internals"},
                                          {"all", "all"},
                                          {"business_logic", "business_logic"},
                                          {"\"${SLICE}\"", "platform_internals"}}) {
    const Config config =
        w.good("runtime: {tracing: {sink: {name: trace_stdout, settings: {trace_slice: " + written + "}}}}");
    CHECK(sink(config, "trace_stdout").settings.text("trace_slice") == meant);
  }
}
