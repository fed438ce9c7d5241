#pragma once
#include <string>

namespace weir {

/// Is there one that listens ($NOTIFY_SOCKET)?
bool has_service_manager();

/// Tells it `state` (sd_notify(3)), with a descriptor that it is to keep, or -1. Waits for a second at most;
/// nothing where there is none.
void tell_service_manager(const std::string& state, int fd = -1);
enum class Told { yes, no_room, unreachable };
/// The same without waiting. unreachable: errno.
Told try_tell_service_manager(const std::string& state, int fd);

}  // namespace weir
