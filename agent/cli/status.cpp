#include <CLI/CLI.hpp>
#include <chrono>
#include <thread>

#include "agent/cli/command.h"
#include "agent/cli/console.h"
#include "agent/cli/control_client.h"
#include "agent/cli/json_text.h"
#include "agent/cli/status_view.h"
#include "agent/core/clock.h"

namespace weir::cli {
namespace {

struct StatusFlags {
  std::string output = "text", control;
};

constexpr std::chrono::milliseconds kRateWindow(300);

/// One snapshot has no rates: a second one follows shortly after.
int show(const ControlClient& client, const std::string& first) {
  const int64_t began_ns = system_clock().monotonic_ns();
  std::this_thread::sleep_for(kRateWindow);
  const auto second = client.status();
  if (!second) return say("weir status: {}", second.error().message), second.error().exit_code;
  const double seconds = double(system_clock().monotonic_ns() - began_ns) / 1e9;
  const auto before = nlohmann::json::parse(first, nullptr, false),
             now = nlohmann::json::parse(*second, nullptr, false);
  if (!now.is_object()) return say("weir status: the answer is not a JSON object"), kFailure;
  return write_out(status_view(before, now, seconds, colour_on_stdout())) ? kOk : kFailure;
}

int status(const StatusFlags& flags) {
  const auto path = control_path(flags.control);
  if (!path) return say("weir status: {}", path.error().message), path.error().exit_code;
  const ControlClient client(*path);
  const auto first = client.status();
  if (!first) return say("weir status: {}", first.error().message), first.error().exit_code;
  if (flags.output == "text") return show(client, *first);
  std::string text = *first;
  while (text.ends_with('\n')) text.pop_back();
  return write_out((stdout_is_terminal() ? terminal_safe(text) : text) + "\n") ? kOk : kFailure;
}

}  // namespace

void add_status(CLI::App& app, Action& action) {
  auto flags = std::make_shared<StatusFlags>();
  CLI::App* command = app.add_subcommand("status", "Show sources, streams, journal, sinks and the balance");
  add_output_flag(*command, flags->output, {"text", "json"});
  add_control_flag(*command, flags->control);
  command->footer(R"(Examples:
  weir status
  weir status -o json | jq '.sinks[].lag_records'
  watch -n1 weir status)");
  command->callback([flags, &action] { action = [flags] { return status(*flags); }; });
}

}  // namespace weir::cli
