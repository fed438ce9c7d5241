#pragma once
// Where the agent listens.
#include <string>

namespace weir::detail {

struct Address {
  bool unix_socket = false;
  std::string path;        ///< of a Unix socket
  std::string host, port;  ///< of TCP
};

/// Of `unix:PATH`, `tcp:HOST:PORT`, a path, or empty: $WEIR_ADDRESS, $WEIR_SOCKET, else where the agent
/// listens by default (docs: /run/weir/weir.sock for root, $XDG_RUNTIME_DIR/weir/weir.sock). Without path and
/// host: nowhere.
Address find_address(const std::string& configured);

/// As it is configured.
std::string text_of(const Address& address);

/// A connected, non-blocking descriptor; -1: the agent is not there, and `why` says what came of it. TCP
/// waits up to three seconds.
int dial(const Address& address, std::string& why);

}  // namespace weir::detail
