#include <CLI/CLI.hpp>

#include "agent/app/sandbox_rules.h"
#include "agent/cli/command.h"
#include "agent/cli/config_errors.h"
#include "agent/cli/console.h"
#include "agent/cli/control_client.h"
#include "agent/cli/json_text.h"
#include "agent/ingest/listeners.h"
#include "agent/sinks/sink.h"

namespace weir::cli {
namespace {

struct CheckFlags {
  ConfigFlags config;
  std::vector<std::string> files;
  std::string output = "text";
  bool print = false, reference = false;
};

std::string names_of(const std::vector<std::string>& files) {
  std::string names;
  for (const std::string& file : files) names += (names.empty() ? "" : ", ") + file;
  return names.empty() ? "built-in configuration" : names;
}

/// The agent that runs at this configuration's control socket may have a sandbox, and not be able to reload
/// it.
std::vector<ConfigError> outside_of_running(const LoadedConfig& loaded) {
  constexpr int kPatienceMs = 1000;
  const auto answer = ControlClient(loaded.config->control_path).get("/v1/status", kPatienceMs);
  if (!answer || answer->status != 200) return {};
  const auto status = nlohmann::json::parse(answer->body, nullptr, false);
  const auto& now = member(status, "sandbox");
  Sandbox sandbox;
  sandbox.landlock = int(count_of(now, "landlock"));
  for (const auto& path : member(now, "write"))
    if (path.is_string()) sandbox.paths.write.push_back(path);
  for (const auto& path : member(now, "read"))
    if (path.is_string()) sandbox.paths.read.push_back(path);
  return outside_of(sandbox, loaded.paths);
}

int check(const CheckFlags& flags) {
  const auto listeners = listener_component_types(), sinks = sink_component_types();
  if (flags.reference) return write_out(config_reference(listeners, sinks)) ? kOk : kFailure;
  std::optional<ConfigRequest> request = config_request("weir check", flags.config);
  if (!request) return kUsage;
  request->files.insert(request->files.begin(), flags.files.begin(), flags.files.end());

  const LoadedConfig loaded = load_config(*request, listeners, sinks);
  if (flags.output == "json") write_out(errors_as_json(loaded.errors));
  if (!loaded.config) {
    if (flags.output != "json") print_errors(loaded.errors);
    const size_t n = loaded.errors.size();
    say("{}: {} {}", names_of(request->files), n, plural(n, "mistake", "mistakes"));
    return kConfiguration;
  }
  for (const std::string& note : loaded.config->notes) say("note: {}", note);
  for (const ConfigError& outside : outside_of_running(loaded)) say("note: {}", outside.text());
  if (flags.print) write_out(print_config(*loaded.config, listeners, sinks));
  say("{}: ok", names_of(loaded.config->files));
  return kOk;
}

}  // namespace

void add_check(CLI::App& app, Action& action) {
  auto flags = std::make_shared<CheckFlags>();
  CLI::App* command = app.add_subcommand("check", "Check a configuration and list every mistake");
  command->add_option("FILE", flags->files, "As --config");
  add_config_flags(*command, flags->config);
  CLI::Option* print =
      command->add_flag("--print", flags->print, "Print the effective configuration as YAML");
  add_output_flag(*command, flags->output, {"text", "json"});
  command->get_option("--output")->excludes(print);
  command->add_flag("--reference", flags->reference, "Print config/REFERENCE.md")->group("");
  command->footer(
      R"(Mistakes go to stdout, one per line, as FILE:LINE:COL: PATH: TEXT;
with any of them the exit code is 78.

Examples:
  weir check weir.yaml
  weir check --print                      what the built-in configuration says
  weir check weir.yaml -o json | jq .)");
  command->callback([flags, &action] { action = [flags] { return check(*flags); }; });
}

}  // namespace weir::cli
