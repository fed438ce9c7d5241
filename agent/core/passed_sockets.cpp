#include "agent/core/passed_sockets.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <utility>
#include <vector>

#include "agent/core/log.h"

namespace weir {
namespace {

constexpr int kFirst = 3;

struct Passed {
  std::string name;
  PassedSocket socket;
};
std::vector<Passed>& all() {
  static std::vector<Passed> sockets;
  return sockets;
}

std::vector<StoredDescriptor>& stored() {
  static std::vector<StoredDescriptor> descriptors;
  return descriptors;
}

std::string text_of(const char* variable) {
  const char* value = std::getenv(variable);
  return value ? value : "";
}

/// Empty: it is no listening stream socket.
std::string address_of(int fd) {
  int type = 0, listening = 0;
  socklen_t length = sizeof type;
  if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) != 0 || type != SOCK_STREAM) return {};
  if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) != 0 || !listening) return {};
  sockaddr_storage bound{};
  length = sizeof bound;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &length) != 0) return {};
  char host[INET6_ADDRSTRLEN];
  if (bound.ss_family == AF_UNIX) return reinterpret_cast<const sockaddr_un&>(bound).sun_path;
  if (bound.ss_family == AF_INET) {
    const auto& in = reinterpret_cast<const sockaddr_in&>(bound);
    inet_ntop(AF_INET, &in.sin_addr, host, sizeof host);
    return std::string(host) + ":" + std::to_string(ntohs(in.sin_port));
  }
  if (bound.ss_family == AF_INET6) {
    const auto& in = reinterpret_cast<const sockaddr_in6&>(bound);
    inet_ntop(AF_INET6, &in.sin6_addr, host, sizeof host);
    return "[" + std::string(host) + "]:" + std::to_string(ntohs(in.sin6_port));
  }
  return {};
}

}  // namespace

void adopt_passed_sockets() {
  const std::string pid = text_of("LISTEN_PID"), count = text_of("LISTEN_FDS");
  std::string names = text_of("LISTEN_FDNAMES");
  for (const char* variable : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}) unsetenv(variable);
  if (pid != std::to_string(getpid())) return;
  for (int fd = kFirst; fd < kFirst + std::atoi(count.c_str()); ++fd) {
    const size_t colon = names.find(':');
    std::string name = names.substr(0, colon);
    names = colon == names.npos ? "" : names.substr(colon + 1);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    if (name.starts_with(kStoredPrefix)) {
      stored().push_back({std::move(name), fd});
      continue;
    }
    std::string address = address_of(fd);
    if (address.empty()) {
      log::warn(
          "descriptor {} ({}) that the service manager has passed is no listening stream socket; it is "
          "closed",
          fd, name);
      close(fd);
      continue;
    }
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    all().push_back({std::move(name), {fd, std::move(address)}});
  }
}

std::vector<StoredDescriptor> take_stored_descriptors() { return std::exchange(stored(), {}); }

std::optional<PassedSocket> passed_socket(std::string_view name, std::string_view address) {
  auto found = std::ranges::find(all(), name, &Passed::name);
  if (found == all().end())
    found = std::ranges::find_if(all(), [&](const Passed& p) { return p.socket.address == address; });
  if (found == all().end()) return {};
  const int fd = fcntl(found->socket.fd, F_DUPFD_CLOEXEC, 0);
  if (fd < 0) return {};
  return PassedSocket{fd, found->socket.address};
}

}  // namespace weir
