#pragma once
#include <sys/types.h>

#include <optional>
#include <string>

#include "agent/core/result.h"

namespace weir {

struct UnixSocketOptions {
  mode_t mode = 0660;
  std::optional<std::string> owner, group;  ///< names or numbers
};

/// Binds and listens: a non-blocking descriptor, or an error that names the path (security.md, files). The
/// directory is made when missing (0700; 0755 for /run/weir) and refused when it is a link or another user's;
/// a stale socket file is replaced; anything else at the path is left unharmed and refused.
Result<int> listen_unix(const std::string& path, const UnixSocketOptions& options);
/// What that would fail at because of what is there already; makes and removes nothing.
Result<void> check_unix_address(const std::string& path);
/// Makes what is missing of it, as listen_unix() does.
void make_socket_directory(const std::string& directory);
/// Gives the socket file at `path` its rights.
Result<void> set_socket_rights(const std::string& path, const UnixSocketOptions& options);

}  // namespace weir
