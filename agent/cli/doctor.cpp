#include "agent/cli/doctor.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>

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

struct DoctorFlags {
  ConfigFlags config;
  std::string output = "text", control;
};

std::string_view word(Verdict verdict) {
  return verdict == Verdict::ok ? "ok" : verdict == Verdict::warn ? "warn" : "fail";
}

bool print_json(const Findings& findings) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const Finding& f : findings.all())
    list.push_back(
        {{"check", f.check},
         {"result", word(f.verdict)},
         {"message", f.text},
         {"remedy", f.remedy.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(f.remedy)}});
  return write_out(json_text(list));
}

bool print_text(const Findings& findings) {
  size_t width = 0;
  for (const Finding& f : findings.all()) width = std::max(width, f.check.size());
  const bool colour = colour_on_stdout();
  std::string out;
  for (const Finding& f : findings.all()) {
    const std::string_view shade = f.verdict == Verdict::ok     ? kGreen
                                   : f.verdict == Verdict::warn ? kYellow
                                                                : kRed;
    const std::string name = terminal_safe(f.check);
    out += paint(fmt::format("{:4}", word(f.verdict)), shade, colour) +
           fmt::format("  {:{}}  {}\n", name, width, terminal_safe(f.text));
    if (!f.remedy.empty()) out += fmt::format("{:{}}  -> {}\n", "", width + 6, terminal_safe(f.remedy));
  }
  return write_out(out);
}

std::string names_of(const std::vector<std::string>& files) {
  std::string names;
  for (const std::string& file : files) names += (names.empty() ? "" : ", ") + file;
  return names.empty() ? "built-in configuration" : names;
}

void check_configuration(const LoadedConfig& loaded, Findings& out) {
  for (const ConfigError& e : loaded.errors)
    out.fail("config", e.text(), "correct it; `weir check` shows the mistakes alone");
  if (!loaded.config) return;
  out.ok("config", names_of(loaded.config->files));
  for (const std::string& note : loaded.config->notes)
    out.warn("config", note, "`weir check` shows the notes alone");
}

/// Where the agent is asked: --control or $WEIR_CONTROL, else where the configuration has it, else the usual
/// place.
std::string control_of(const DoctorFlags& flags, const LoadedConfig& loaded) {
  const char* const variable = std::getenv("WEIR_CONTROL");
  if (loaded.config && flags.control.empty() && !(variable && *variable)) return loaded.config->control_path;
  return control_path(flags.control).value_or("");
}

/// What the agent that runs was started with, where nothing else is asked for.
void take_files_of(const SeenAgent& agent, ConfigRequest& request, LoadedConfig& loaded) {
  if (!agent.runs() || !agent.status.contains("config_files")) return;
  for (const auto& file : agent.status["config_files"])
    if (file.is_string()) request.files.push_back(file);
  if (request.files.empty()) return;
  loaded = load_config(request, listener_component_types(), sink_component_types());
}

int doctor(const DoctorFlags& flags) {
  std::optional<ConfigRequest> request = config_request("weir doctor", flags.config);
  if (!request) return kUsage;
  LoadedConfig loaded = load_config(*request, listener_component_types(), sink_component_types());
  const SeenAgent agent = look_at_agent(control_of(flags, loaded));
  if (flags.config.files.empty()) take_files_of(agent, *request, loaded);
  Findings findings;
  check_configuration(loaded, findings);
  if (loaded.config) {
    check_agent(agent, *loaded.config, findings);
    check_listeners(agent, *loaded.config, findings);
    check_files(agent, *loaded.config, findings);
    check_receivers(*loaded.config, findings);
  }
  check_limits(agent, loaded.config ? &*loaded.config : nullptr, findings);
  check_sandbox(agent, findings);
  check_service(agent, findings);
  check_kernel(findings);
  check_clock(findings);
  if (!(flags.output == "json" ? print_json(findings) : print_text(findings))) return kFailure;
  const size_t fails = findings.count(Verdict::fail), warnings = findings.count(Verdict::warn);
  say("weir doctor: {} {}, {} {}", fails, plural(fails, "failure", "failures"), warnings,
      plural(warnings, "warning", "warnings"));
  return !loaded.config ? kConfiguration : fails > 0 ? kFailure : kOk;
}

}  // namespace

size_t Findings::count(Verdict verdict) const {
  return size_t(std::ranges::count(all_, verdict, &Finding::verdict));
}

void add_doctor(CLI::App& app, Action& action) {
  auto flags = std::make_shared<DoctorFlags>();
  CLI::App* command =
      app.add_subcommand("doctor", "Look for what is wrong here, or will be, and say what to do about it");
  add_config_flags(*command, flags->config);
  add_output_flag(*command, flags->output, {"text", "json"});
  add_control_flag(*command, flags->control);
  command->footer(
      R"(Looks, changes nothing; an agent need not run. Without --config it looks at what the agent that runs was
started with. Start it as the user of the agent, or as root.
Exit code 0: nothing fails; 1: something does; 78: the configuration is wrong.

Examples:
  weir doctor
  weir doctor --config weir.yaml
  weir doctor -o json | jq '.[] | select(.result != "ok")')");
  command->callback([flags, &action] { action = [flags] { return doctor(*flags); }; });
}

}  // namespace weir::cli
