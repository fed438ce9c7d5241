#pragma once
#include <string>

#include "agent/core/result.h"

namespace weir {

struct ListenAddress {
  std::string host, port;
};

/// `127.0.0.1:4320`, `[::1]:4320`, `localhost:0`.
Result<ListenAddress> split_address(const std::string& text);
/// Can nobody on another machine reach it?
bool is_loopback(const std::string& host);

struct ListeningPort {
  int fd = -1;          ///< non-blocking, the caller's
  std::string address;  ///< with the real port where 0 was asked for
};
/// Binds and listens. An error names the address and says what to do.
Result<ListeningPort> listen_port(const std::string& scheme, const std::string& bind);
/// What that would fail at; nobody can connect meanwhile.
Result<void> check_port(const std::string& scheme, const std::string& bind);

}  // namespace weir
