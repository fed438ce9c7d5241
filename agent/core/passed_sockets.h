#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace weir {

/// A listening socket that the service manager keeps open while the agent is away (sd_listen_fds(3)).
struct PassedSocket {
  int fd = -1;          ///< a duplicate, the caller's; non-blocking
  std::string address;  ///< `/path`, `127.0.0.1:4320`, `[::1]:4320`
};

/// Takes over what was passed, from the environment. Once, before there are threads.
void adopt_passed_sockets();

/// A descriptor that an agent before this one has had kept (FDSTORE=1), under a name that begins so.
inline constexpr std::string_view kStoredPrefix = "weir.";
struct StoredDescriptor {
  std::string name;
  int fd = -1;  ///< the caller's
};
/// All of them, once. Any thread.
std::vector<StoredDescriptor> take_stored_descriptors();

/// The one of this name (FileDescriptorName=), else the one that is bound to this address. It is never
/// unlinked, nor are its rights changed (interface.md section 7).
std::optional<PassedSocket> passed_socket(std::string_view name, std::string_view address);

}  // namespace weir
