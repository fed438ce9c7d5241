#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>

#include "agent/cli/command.h"
#include "agent/cli/config_errors.h"
#include "agent/cli/console.h"
#include "agent/cli/control_client.h"
#include "agent/cli/json_text.h"
#include "agent/cli/table.h"
#include "agent/ingest/listeners.h"
#include "agent/sinks/sink.h"

namespace weir::cli {
namespace {

using nlohmann::json;

struct PlanFlags {
  std::vector<std::string> files;
  bool drain = false, drop_lag = false, require_reachable = false;
  std::string output = "text", control;
};

struct ActionLook {
  std::string_view action, sign, colour, counted;
};
constexpr ActionLook kActions[] = {{"create", "+", kGreen, "to create"},
                                   {"change", "~", kYellow, "to change"},
                                   {"drain", "-", kYellow, "to drain"},
                                   {"remove", "-", kRed, "to remove"},
                                   {"keep", "", kDim, "to keep"}};

const ActionLook& look_of(const std::string& action) {
  const auto found = std::ranges::find_if(kActions, [&](const ActionLook& l) { return l.action == action; });
  return found == std::end(kActions) ? kActions[std::size(kActions) - 1] : *found;
}

/// The agent has another working directory.
std::string absolute(const std::string& file) {
  std::error_code error;
  const auto path = std::filesystem::absolute(file, error);
  return error ? file : path.lexically_normal().string();
}

/// Mistakes as `weir check` prints them: in files as they were named.
void restore_names(std::vector<ConfigError>& errors, const std::vector<std::string>& files) {
  for (ConfigError& e : errors)
    for (const std::string& file : files) {
      const std::string whole = absolute(file);
      if (e.where.file == whole || e.where.file.starts_with(whole.ends_with('/') ? whole : whole + "/")) {
        e.where.file = file + e.where.file.substr(whole.size());
        break;
      }
    }
}

std::string lag_text(const json& change) {
  const uint64_t records = count_of(change, "lag_records");
  if (records == 0) return {};
  return fmt::format("{} {}, {}", with_commas(records), plural(records, "record", "records"),
                     short_bytes(count_of(change, "lag_bytes")));
}

std::string table_of(const json& components) {
  Table table({{"", false, 1}, {"COMPONENT", false, 28}, {"ACTION"}, {"BACKLOG"}, {"OPTIONS", false, 40}});
  const bool colour = colour_on_stdout();
  for (const auto& [name, change] : components.items()) {
    const std::string result = text_of(change, "result");
    const bool refused = result == "refused", restart = result == "needs a restart";
    const ActionLook& look = look_of(text_of(change, "action"));
    const std::string_view paint = refused ? kRed : restart ? kYellow : look.colour;
    const std::string action = refused ? "refused" : restart ? "restart" : text_of(change, "action");
    table.add_row({{std::string(refused || restart ? "!" : look.sign), paint},
                   {terminal_safe(name)},
                   {terminal_safe(action), paint},
                   {lag_text(change)},
                   {joined_options(change)}});
    const std::string message = text_of(change, "message");
    if (!message.empty() && !refused) table.add_note(terminal_safe(message), kDim);
  }
  std::string out;
  if (!table.empty()) table.render(out, colour);
  return out;
}

/// `Plan: 1 to create, 2 to change; generation 3 runs.`
std::string summary_of(const json& body, const std::string& result) {
  std::string counts;
  using Text = const std::string&;
  const auto count = [&](auto&& is_counted, std::string_view one, std::string_view many) {
    uint64_t n = 0;
    for (const json& change : member(body, "components"))
      if (is_counted(text_of(change, "action"), text_of(change, "result"))) ++n;
    if (n > 0) counts += fmt::format("{}{} {}", counts.empty() ? "" : ", ", n, plural(n, one, many));
  };
  const auto is_done = [](Text how) { return how == "ok" || how == "draining"; };
  for (const ActionLook& look : kActions)
    count([&](Text action, Text how) { return action == look.action && is_done(how); }, look.counted,
          look.counted);
  count([](Text, Text how) { return how == "needs a restart"; }, "needs a restart", "need a restart");
  count([](Text, Text how) { return how == "refused"; }, "refused", "refused");
  const std::string_view word = result == "refused"     ? "Refused"
                                : result == "unchanged" ? "Nothing to do"
                                                        : "Plan";
  return fmt::format("{}: {}; generation {} runs.\n", word, counts, count_of(body, "generation"));
}

int report(const PlanFlags& flags, const HttpAnswer& answer) {
  const json body = json::parse(answer.body, nullptr, false);
  const std::string result = text_of(body, "result");
  if (result.empty()) return say("weir plan: {}", problem_text(answer)), kFailure;
  std::vector<ConfigError> errors = errors_from_json(member(body, "errors"));
  restore_names(errors, flags.files);
  const bool mistakes = std::ranges::any_of(errors, is_mistake);
  if (mistakes && flags.output == "json")
    write_out(errors_as_json(errors));
  else if (mistakes)
    print_errors(errors);
  else if (flags.output == "json")
    write_out(json_text(nlohmann::ordered_json::parse(answer.body)));
  else if (member(body, "components").is_object())
    write_out(table_of(member(body, "components")) + summary_of(body, result));
  if (mistakes) {
    say("weir plan: {} {}; nothing would be applied", errors.size(),
        plural(errors.size(), "mistake", "mistakes"));
    return kConfiguration;
  }
  for (const ConfigError& e : errors) say("weir plan: refused: {}", e.message);
  return result == "refused" ? kFailure : kOk;
}

/// Without an agent there is nothing to compare with; what can be said is what `weir check` says.
int check_alone(const PlanFlags& flags, const ControlError& unreachable) {
  const LoadedConfig loaded =
      load_config({.files = flags.files}, listener_component_types(), sink_component_types());
  if (!loaded.config) {
    if (flags.output == "json")
      write_out(errors_as_json(loaded.errors));
    else
      print_errors(loaded.errors);
    const size_t n = loaded.errors.size();
    say("weir plan: no agent runs; {} {}, as `weir check` finds them", n, plural(n, "mistake", "mistakes"));
    return kConfiguration;
  }
  say("weir plan: {}", unreachable.message);
  say("weir plan: `weir check` finds no mistake; an agent started on this would create all of it");
  return unreachable.exit_code;
}

int plan(const PlanFlags& flags) {
  const auto path = control_path(flags.control);
  if (!path) return say("weir plan: {}", path.error().message), path.error().exit_code;
  json files = json::array();
  for (const std::string& file : flags.files) files.push_back(absolute(file));
  const json request{{"files", std::move(files)},
                     {"drain", flags.drain},
                     {"drop_lag", flags.drop_lag},
                     {"require_reachable", flags.require_reachable}};
  const auto answer =
      ControlClient(*path).post("/v1/plan", request.dump(-1, ' ', false, json::error_handler_t::replace), -1);
  if (answer) return report(flags, *answer);
  return answer.error().exit_code == kUnreachable
             ? check_alone(flags, answer.error())
             : (say("weir plan: {}", answer.error().message), answer.error().exit_code);
}

}  // namespace

void add_plan(CLI::App& app, Action& action) {
  auto flags = std::make_shared<PlanFlags>();
  CLI::App* command = app.add_subcommand("plan", "Show what a reload would do, without doing it");
  command->add_option("FILE", flags->files, "Instead of the files the agent was started with");
  CLI::Option* drain = command->add_flag("--drain", flags->drain, "As of a reload with --drain");
  command->add_flag("--drop-lag", flags->drop_lag, "As of a reload with --drop-lag")->excludes(drain);
  command->add_flag("--require-reachable", flags->require_reachable,
                    "As of a reload with --require-reachable");
  add_output_flag(*command, flags->output, {"text", "json"});
  add_control_flag(*command, flags->control);
  command->footer(
      R"(The agent reads the files, with its own environment and its own --set, and asks of itself all that a
reload asks before it touches anything.

Exit codes: 0 a reload would be taken; 78 the files have mistakes, printed as by `weir check`;
1 refused for another reason; 69 no agent runs.

Examples:
  weir plan weir.yaml
  weir plan                               what `weir reload` would do now
  weir plan weir.yaml -o json | jq '.components | map_values(.action)')");
  command->callback([flags, &action] { action = [flags] { return plan(*flags); }; });
}

}  // namespace weir::cli
