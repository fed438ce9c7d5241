#pragma once
#include <optional>
#include <string>

#include "agent/cli/send_session.h"

namespace weir::cli {

/// Sends what the session has for the agent, as far as the socket (non-blocking) takes it. That the
/// connection is broken shows when reading, behind what the agent still said.
void write_session(int socket, SendSession& session);

/// Feeds the session what the agent has said. Returned when the connection is at its end: the system's error,
/// empty where the agent closed in order.
std::optional<std::string> read_session(int socket, SendSession& session);

}  // namespace weir::cli
