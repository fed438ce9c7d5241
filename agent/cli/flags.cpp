#include <CLI/CLI.hpp>

#include "agent/cli/command.h"
#include "agent/cli/console.h"

namespace weir::cli {

void add_config_flags(CLI::App& command, ConfigFlags& flags) {
  command.add_option("--config", flags.files, "A file, or a directory of *.yaml; may be given several times")
      ->type_name("F")
      ->allow_extra_args(false);
  command
      .add_option("--set", flags.sets,
                  "Override one value, as sinks.archive.path=/tmp/a.jsonl; may be repeated")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  command
      .add_option("--tracing", flags.tracing, "enable or disable the trace stream, whatever the file says")
      ->type_name("enable|disable")
      ->check(CLI::IsMember({"enable", "disable"}).description(""));
  command
      .add_option_function<std::string>(
          "--trace-path",
          [&flags](const std::string& path) { flags.trace_path = path, flags.trace_path_given = true; },
          "Write the trace stream to this JSONL file only; implies --tracing enable")
      ->type_name("PATH");
}

std::optional<ConfigRequest> config_request(std::string_view command, const ConfigFlags& flags) {
  if (flags.tracing == "disable" && flags.trace_path_given) {
    say("{}: --tracing disable contradicts --trace-path; leave one of them out", command);
    return std::nullopt;
  }
  if (flags.trace_path_given && flags.trace_path.empty()) {
    say("{}: --trace-path needs a path", command);
    return std::nullopt;
  }
  ConfigRequest request{flags.files, flags.sets, std::nullopt, std::nullopt};
  if (!flags.tracing.empty()) request.tracing = flags.tracing == "enable";
  if (flags.trace_path_given) request.trace_path = flags.trace_path;
  return request;
}

void add_control_flag(CLI::App& command, std::string& path) {
  command
      .add_option(
          "--control", path,
          "The agent's control socket (default: $WEIR_CONTROL, else control.sock beside the ingest socket)")
      ->type_name("PATH");
}

void add_output_flag(CLI::App& command, std::string& format, std::vector<std::string> choices) {
  std::string names;
  for (const std::string& choice : choices) names += (names.empty() ? "" : "|") + choice;
  command.add_option("-o,--output", format, "Form of the output")
      ->type_name(names)
      ->check(CLI::IsMember(std::move(choices)).description(""));
}

}  // namespace weir::cli
