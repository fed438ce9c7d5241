#include "client/cpp/src/address.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace weir::detail {
namespace {

constexpr int kConnectMs = 3000;

std::string variable(const char* name) {
  const char* const value = std::getenv(name);
  return value ? value : "";
}

constexpr const char* kForms = "an address is unix:PATH or tcp:HOST:PORT";

int dial_unix(const std::string& path, std::string& why) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty()) return why = std::string("there is no address: set $WEIR_ADDRESS; ") + kForms, -1;
  if (path.size() >= sizeof address.sun_path) return why = "its path is longer than 107 bytes", -1;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd >= 0 && connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return fd;
  why = std::strerror(errno);
  if (path[0] != '/') why.append("; ").append(kForms);
  if (fd >= 0) close(fd);
  return -1;
}

bool connects(int fd, const addrinfo& to) {
  if (connect(fd, to.ai_addr, to.ai_addrlen) == 0) return true;
  if (errno != EINPROGRESS) return false;
  pollfd wait{fd, POLLOUT, 0};
  int error = 0;
  socklen_t size = sizeof error;
  if (poll(&wait, 1, kConnectMs) != 1)
    error = ETIMEDOUT;
  else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
    error = errno;
  errno = error;
  return error == 0;
}

int dial_tcp(const std::string& host, const std::string& port, std::string& why) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (host.empty() || port.empty()) return why = kForms, -1;
  if (const int error = getaddrinfo(host.c_str(), port.c_str(), &hints, &found); error != 0)
    return why = gai_strerror(error), -1;
  int fd = -1;
  for (const addrinfo* a = found; a && fd < 0; a = a->ai_next) {
    fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->ai_protocol);
    if (fd >= 0 && connects(fd, *a)) break;
    why = std::strerror(errno);
    if (fd >= 0) close(fd);
    fd = -1;
  }
  freeaddrinfo(found);
  const int on = 1, give_up_ms = 30'000;
  if (fd >= 0) {
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &give_up_ms, sizeof give_up_ms);
  }
  return fd;
}

}  // namespace

Address find_address(const std::string& configured) {
  std::string text = configured;
  if (text.empty()) text = variable("WEIR_ADDRESS");
  if (text.empty()) text = variable("WEIR_SOCKET");
  if (text.empty() && geteuid() == 0) text = "/run/weir/weir.sock";
  if (text.empty() && variable("XDG_RUNTIME_DIR")[0] == '/')
    text = variable("XDG_RUNTIME_DIR") + "/weir/weir.sock";
  Address address;
  if (text.compare(0, 4, "tcp:") == 0) {
    const size_t colon = text.rfind(':');
    address.host = colon > 4 ? text.substr(4, colon - 4) : "";
    address.port = text.substr(colon + 1);
    if (address.host.size() > 2 && address.host.front() == '[')
      address.host = address.host.substr(1, address.host.size() - 2);
    return address;
  }
  address.unix_socket = true;
  address.path = text.compare(0, 5, "unix:") == 0 ? text.substr(5) : text;
  return address;
}

std::string text_of(const Address& address) {
  return address.unix_socket ? "unix:" + address.path : "tcp:" + address.host + ":" + address.port;
}

int dial(const Address& address, std::string& why) {
  return address.unix_socket ? dial_unix(address.path, why) : dial_tcp(address.host, address.port, why);
}

}  // namespace weir::detail
