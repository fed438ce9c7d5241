#include <CLI/CLI.hpp>

#include "agent/cli/command.h"
#include "agent/cli/config_errors.h"
#include "agent/cli/console.h"
#include "agent/core/options.h"
#include "agent/ingest/listeners.h"
#include "agent/sinks/sink.h"

namespace weir::cli {
namespace {

struct ExplainFlags {
  ConfigFlags config;
  std::string key, output = "text";
};

std::string as_text(const ConfigExplanation& e) {
  std::string out = e.key + " = " + e.value + "\n";
  if (e.written.empty()) out += "  the default: nothing names it\n";
  for (size_t i = 0; i < e.written.size(); ++i) {
    const auto& w = e.written[i];
    out += "  " + w.place + ": " + w.text;
    if (i > 0) out += e.merged ? " (merged)" : " (lost)";
    out += "\n";
  }
  if (!e.note.empty()) out += "  " + e.note + "\n";
  return out;
}

int explain(const ExplainFlags& flags) {
  const auto listeners = listener_component_types(), sinks = sink_component_types();
  std::optional<ConfigRequest> request = config_request("weir config explain", flags.config);
  if (!request) return kUsage;
  const LoadedConfig loaded = load_config(*request, listeners, sinks);
  if (!loaded.config) {
    print_errors(loaded.errors);
    return kConfiguration;
  }
  std::vector<std::string> known;
  const auto e = explain_config(*request, *loaded.config, listeners, sinks, flags.key, known);
  if (!e) {
    const std::vector<std::string_view> words(known.begin(), known.end());
    const std::string_view near = did_you_mean(flags.key, words);
    say("weir config explain: there is no {}{}; `weir check --print` shows every key", flags.key,
        near.empty() ? "" : fmt::format(" (did you mean {}?)", near));
    return kFailure;
  }
  return write_out(flags.output == "json" ? explanation_json(*e) + "\n" : as_text(*e)) ? kOk : kFailure;
}

}  // namespace

void add_config(CLI::App& app, Action& action) {
  auto flags = std::make_shared<ExplainFlags>();
  CLI::App* config = app.add_subcommand("config", "Explain the configuration");
  config->require_subcommand(1);
  CLI::App* command = config->add_subcommand("explain", "Where a value comes from, and what lost against it");
  command->add_option("KEY", flags->key, "As in --set: sinks.archive.path")->required();
  add_config_flags(*command, flags->config);
  add_output_flag(*command, flags->output, {"text", "json"});
  command->footer(
      R"(The value in force first, then every place that names it, the winner before those that lost.

Examples:
  weir config explain journal.max_bytes --config weir.yaml
  weir config explain sinks.out.path --config /etc/weir --set sinks.out.path=/tmp/x
  weir config explain streams.trace -o json | jq .written)");
  command->callback([flags, &action] { action = [flags] { return explain(*flags); }; });
}

}  // namespace weir::cli
