#pragma once
#include "agent/config/config.h"

namespace weir {

struct AgentOptions {
  ConfigRequest config;
  bool watch = false;  ///< reloads when the files of the configuration change
  int ready_fd = -1;   ///< `\n` is written to it and it is closed when the agent is ready
};

/// Runs the agent in the foreground until SIGTERM or SIGINT; SIGHUP reloads. Returns the exit code
/// (interface.md section 1).
int run_agent(AgentOptions options);

}  // namespace weir
