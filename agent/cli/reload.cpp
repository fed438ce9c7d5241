#include <CLI/CLI.hpp>
#include <algorithm>

#include "agent/cli/command.h"
#include "agent/cli/config_errors.h"
#include "agent/cli/console.h"
#include "agent/cli/control_client.h"
#include "agent/cli/json_text.h"

namespace weir::cli {
namespace {

struct ReloadFlags {
  bool wait = false, drain = false, drop_lag = false, require_reachable = false;
  std::string output = "text", control;
};

void print_components(const nlohmann::json& components) {
  std::string out;
  for (const auto& [name, what] : components.items()) {
    const std::string result = text_of(what, "result"), message = text_of(what, "message");
    if (text_of(what, "action") == "keep" && result == "ok") continue;
    out += fmt::format("  {}: {}", terminal_safe(name), terminal_safe(text_of(what, "action")));
    const std::string options = joined_options(what);
    if (!options.empty()) out += " " + options;
    if (!result.empty() && result != "ok") out += ", " + terminal_safe(result);
    if (!message.empty()) out += " (" + terminal_safe(message) + ")";
    out += '\n';
  }
  write_out(out);
}

int report_refusal(const std::vector<ConfigError>& errors, uint64_t generation) {
  if (!errors.empty() && std::all_of(errors.begin(), errors.end(), is_mistake)) {
    const size_t n = errors.size();
    say("weir reload: refused, {} {}; generation {} keeps running", n, plural(n, "mistake", "mistakes"),
        generation);
    return kConfiguration;
  }
  for (const ConfigError& e : errors)
    if (!is_mistake(e)) say("weir reload: {}", e.message);
  say("weir reload: refused; generation {} keeps running", generation);
  return kFailure;
}

int report(const ReloadFlags& flags, const HttpAnswer& answer) {
  const nlohmann::json body = nlohmann::json::parse(answer.body, nullptr, false);
  const std::string result = text_of(body, "result");
  if (result.empty()) return say("weir reload: {}", problem_text(answer)), kFailure;
  const std::vector<ConfigError> errors = errors_from_json(member(body, "errors"));
  const uint64_t generation = count_of(body, "generation");
  const bool refused = result == "refused";
  if (flags.output == "json") {
    write_out(json_text(nlohmann::ordered_json::parse(answer.body)));
  } else {
    std::vector<ConfigError> mistakes;
    std::copy_if(errors.begin(), errors.end(), std::back_inserter(mistakes), is_mistake);
    print_errors(mistakes);
    if (!refused)
      write_out(fmt::format("{}, generation {}, configuration {}\n", terminal_safe(result), generation,
                            terminal_safe(text_of(body, "config_hash"))));
    if (!refused && member(body, "components").is_object()) print_components(member(body, "components"));
  }
  return refused ? report_refusal(errors, generation) : kOk;
}

int reload(const ReloadFlags& flags) {
  const auto path = control_path(flags.control);
  if (!path) return say("weir reload: {}", path.error().message), path.error().exit_code;
  const nlohmann::json request{{"wait", flags.wait},
                               {"drain", flags.drain},
                               {"drop_lag", flags.drop_lag},
                               {"require_reachable", flags.require_reachable}};
  // A replaced sink may take as long as its drain does.
  const auto answer = ControlClient(*path).post("/v1/reload", request.dump(), -1);
  if (!answer) return say("weir reload: {}", answer.error().message), answer.error().exit_code;
  return report(flags, *answer);
}

}  // namespace

void add_reload(CLI::App& app, Action& action) {
  auto flags = std::make_shared<ReloadFlags>();
  CLI::App* command = app.add_subcommand("reload", "Make the agent read its configuration again");
  command->add_flag("--wait", flags->wait, "Return when replaced sinks have drained");
  CLI::Option* drain =
      command->add_flag("--drain", flags->drain, "Removed sinks deliver what they still have");
  command->add_flag("--drop-lag", flags->drop_lag, "Removed sinks give up what they still have")
      ->excludes(drain);
  command->add_flag("--require-reachable", flags->require_reachable,
                    "Refuse when the receiver of a sink cannot be connected to");
  add_output_flag(*command, flags->output, {"text", "json"});
  add_control_flag(*command, flags->control);
  command->footer(
      R"(Exit codes: 0 applied or unchanged; 78 the file has mistakes (each is printed, nothing changed);
1 refused for another reason.

Examples:
  weir check weir.yaml && weir reload
  weir reload --wait)");
  command->callback([flags, &action] { action = [flags] { return reload(*flags); }; });
}

}  // namespace weir::cli
