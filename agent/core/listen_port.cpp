#include "agent/core/listen_port.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

namespace weir {
namespace {

constexpr int kBacklog = 1024;

/// A socket that has the address, and listens if `listening`: the caller's.
Result<int> bind_port(const std::string& scheme, const std::string& text, bool listening) {
  auto address = split_address(text);
  if (!address) return fail(text + ": " + address.error().message);
  addrinfo hints{}, *found = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  int error = getaddrinfo(address->host.c_str(), address->port.c_str(), &hints, &found);
  if (error != 0) return fail(scheme + ":" + text + ": " + gai_strerror(error));
  std::unique_ptr<addrinfo, void (*)(addrinfo*)> guard(found, freeaddrinfo);
  int fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  int on = 1;
  if (fd >= 0) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (fd >= 0 && bind(fd, found->ai_addr, found->ai_addrlen) == 0 &&
      (!listening || listen(fd, kBacklog) == 0))
    return fd;
  std::string error_text = "cannot listen on " + scheme + ":" + text + ": " + std::strerror(errno);
  if (errno == EADDRINUSE) error_text += "; another program has this port: stop it, or choose another port";
  if (fd >= 0) ::close(fd);
  return fail(error_text);
}

}  // namespace

Result<ListenAddress> split_address(const std::string& text) {
  size_t colon = text.rfind(':');
  if (colon == text.npos || colon == 0 || colon + 1 == text.size())
    return fail("must be HOST:PORT, as 127.0.0.1:4320 or [::1]:4320");
  ListenAddress out{text.substr(0, colon), text.substr(colon + 1)};
  if (out.host.front() == '[' && out.host.back() == ']')
    out.host = out.host.substr(1, out.host.size() - 2);
  else if (out.host.find(':') != text.npos)
    return fail("an IPv6 address needs brackets: [" + out.host + "]:" + out.port);
  bool digits = out.port.find_first_not_of("0123456789") == text.npos && out.port.size() <= 5;
  if (!digits || std::stoi(out.port) > 65535) return fail("the port must be a number from 0 to 65535");
  return out;
}

bool is_loopback(const std::string& host) {
  in6_addr six;
  in_addr four;
  if (host == "localhost") return true;
  if (inet_pton(AF_INET, host.c_str(), &four) == 1) return (ntohl(four.s_addr) >> 24) == 127;
  return inet_pton(AF_INET6, host.c_str(), &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
}

Result<void> check_port(const std::string& scheme, const std::string& text) {
  auto fd = bind_port(scheme, text, false);
  if (!fd) return tl::unexpected(fd.error());
  ::close(*fd);
  return {};
}

Result<ListeningPort> listen_port(const std::string& scheme, const std::string& text) {
  auto fd = bind_port(scheme, text, true);
  if (!fd) return tl::unexpected(fd.error());
  sockaddr_storage bound{};
  socklen_t length = sizeof bound;
  getsockname(*fd, reinterpret_cast<sockaddr*>(&bound), &length);
  char host[NI_MAXHOST], port[NI_MAXSERV];
  getnameinfo(reinterpret_cast<sockaddr*>(&bound), length, host, sizeof host, port, sizeof port,
              NI_NUMERICHOST | NI_NUMERICSERV);
  std::string shown = bound.ss_family == AF_INET6 ? "[" + std::string(host) + "]" : host;
  return ListeningPort{*fd, shown + ":" + port};
}

}  // namespace weir
