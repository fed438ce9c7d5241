#pragma once
#include <functional>
#include <string>
#include <string_view>

#include "agent/config/config.h"

namespace CLI {
class App;
}

namespace weir::cli {

/// Exit codes (interface.md section 1).
inline constexpr int kOk = 0, kFailure = 1, kUsage = 64, kUnreachable = 69, kConfiguration = 78;

/// What the command line asked for; run after parsing, outside CLI11.
using Action = std::function<int()>;

/// Each declares one subcommand and, when it is chosen, sets `action`.
void add_agent(CLI::App& app, Action& action);
void add_config(CLI::App& app, Action& action);
void add_check(CLI::App& app, Action& action);
void add_status(CLI::App& app, Action& action);
void add_top(CLI::App& app, Action& action);
void add_tail(CLI::App& app, Action& action);
void add_doctor(CLI::App& app, Action& action);
void add_send(CLI::App& app, Action& action);
void add_plan(CLI::App& app, Action& action);
void add_reload(CLI::App& app, Action& action);
void add_demo(CLI::App& app, Action& action);
void add_fsck(CLI::App& app, Action& action);
void add_replay(CLI::App& app, Action& action);

/// --config, --set, --tracing, --trace-path: the same for every command that reads a configuration.
struct ConfigFlags {
  std::vector<std::string> files, sets;
  std::string tracing, trace_path;
  bool trace_path_given = false;
};
void add_config_flags(CLI::App& command, ConfigFlags& flags);
/// Says on stderr what is wrong and returns nothing for combinations that are a usage error.
std::optional<ConfigRequest> config_request(std::string_view command, const ConfigFlags& flags);

/// `--control PATH`
void add_control_flag(CLI::App& command, std::string& path);
/// `-o json|...`
void add_output_flag(CLI::App& command, std::string& format, std::vector<std::string> choices);

}  // namespace weir::cli
