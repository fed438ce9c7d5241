#include "agent/app/agent.h"

#include <CLI/CLI.hpp>

#include "agent/cli/command.h"

namespace weir::cli {

void add_agent(CLI::App& app, Action& action) {
  struct Flags {
    ConfigFlags config;
    bool watch = false;
    int ready_fd = -1;
  };
  auto flags = std::make_shared<Flags>();
  CLI::App* command = app.add_subcommand("agent", "Run the agent");
  add_config_flags(*command, flags->config);
  command->add_flag("--watch", flags->watch, "Reload when a file of the configuration changes");
  command
      ->add_option("--ready-fd", flags->ready_fd,
                   "Write a line feed to this descriptor when ready, and close it")
      ->type_name("N")
      ->check(CLI::Range(0, 1 << 20).description(""));
  command->footer(
      R"(Without --config: /etc/weir/weir.yaml if there, else the built-in configuration (a Unix socket in,
everything to stdout). SIGTERM and SIGINT stop, SIGHUP reloads, SIGUSR1 reopens files.

Examples:
  weir agent
  weir agent --config /etc/weir --watch
  weir agent --config weir.yaml --set journal.max_bytes=64MiB
  weir agent --config weir.yaml --trace-path /tmp/trace.jsonl)");
  command->callback([flags, &action] {
    action = [flags] {
      const std::optional<ConfigRequest> request = config_request("weir agent", flags->config);
      return request ? run_agent({*request, flags->watch, flags->ready_fd}) : kUsage;
    };
  });
}

}  // namespace weir::cli
