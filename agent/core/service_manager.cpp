#include "agent/core/service_manager.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
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

/// One for all: when there are no descriptors left it is needed most.
int notify_socket() {
  static const int fd = [] {
    const int made = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const timeval patience{1, 0};
    if (made >= 0) setsockopt(made, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    return made;
  }();
  return fd;
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
  return sendmsg(notify_socket(), &message, MSG_NOSIGNAL | flags) >= 0;
}

}  // namespace

bool has_service_manager() {
  sockaddr_un address{};
  socklen_t bytes = 0;
  return address_of(address, bytes);
}

void tell_service_manager(const std::string& state, int fd) { send(state, fd, 0); }
Told try_tell_service_manager(const std::string& state, int fd) {
  if (send(state, fd, MSG_DONTWAIT)) return Told::yes;
  return errno == EAGAIN || errno == ENOBUFS || errno == ETOOMANYREFS ? Told::no_room : Told::unreachable;
}

}  // namespace weir
