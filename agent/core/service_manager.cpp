#include "agent/core/service_manager.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>

namespace weir {
namespace {

/// False: there is no such address.
bool address_of(sockaddr_un& address, socklen_t& bytes) {
  const char* const path = std::getenv("NOTIFY_SOCKET");
  if (!path || (path[0] != '/' && path[0] != '@')) return false;
  const size_t length = std::strlen(path);
  address.sun_family = AF_UNIX;
  if (length >= sizeof address.sun_path) return false;
  std::memcpy(address.sun_path, path, length);
  if (path[0] == '@') address.sun_path[0] = '\0';
  bytes = socklen_t(offsetof(sockaddr_un, sun_path) + length);
  return true;
}

bool send(const std::string& state, int fd, int flags) {
  sockaddr_un address{};
  iovec text{const_cast<char*>(state.data()), state.size()};
  msghdr message{};
  message.msg_name = &address, message.msg_iov = &text, message.msg_iovlen = 1;
  if (!address_of(address, message.msg_namelen)) return false;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof fd)] = {};
  if (fd >= 0) {
    message.msg_control = control, message.msg_controllen = sizeof control;
    cmsghdr* const rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET, rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof fd);
    std::memcpy(CMSG_DATA(rights), &fd, sizeof fd);
  }
  const int socket_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (socket_fd < 0) return false;
  const timeval patience{1, 0};
  setsockopt(socket_fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  const bool sent = sendmsg(socket_fd, &message, MSG_NOSIGNAL | flags) >= 0;
  close(socket_fd);
  return sent;
}

}  // namespace

bool has_service_manager() {
  sockaddr_un address{};
  socklen_t bytes = 0;
  return address_of(address, bytes);
}

void tell_service_manager(const std::string& state, int fd) { send(state, fd, 0); }
bool try_tell_service_manager(const std::string& state, int fd) { return send(state, fd, MSG_DONTWAIT); }

}  // namespace weir
