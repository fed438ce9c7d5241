#include <arpa/inet.h>
#include <netdb.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "agent/core/socket_path.h"
#include "agent/ingest/listener.h"

namespace weir {
namespace {

constexpr int kBacklog = 1024;

std::vector<Option> with_common(std::vector<Option> own) {
  own.push_back({"default_stream",
                 OptionType::choice,
                 "",
                 "Stream of records that name none; null: they are refused as `no_stream`.",
                 {"trace", "log", "telemetry", "monitoring"},
                 INT64_MIN,
                 INT64_MAX,
                 false,
                 true});
  own.push_back({"stamp", OptionType::boolean, "false",
                 "Adds `_peer` (uid and pid, from the kernel), `_received` and `_id` to each record."});
  return own;
}

UnixSocketOptions rights_of(const Settings& s) {
  UnixSocketOptions options;
  options.mode = mode_t(s.integer("mode"));
  if (!s.null("owner")) options.owner = s.text("owner");
  if (!s.null("group")) options.group = s.text("group");
  return options;
}

Result<void> change_unix_listener(const Settings& s) {
  return set_socket_rights(s.text("path"), rights_of(s));
}

Result<ListenSocket> open_unix_listener(const Settings& s) {
  auto fd = listen_unix(s.text("path"), rights_of(s));
  if (!fd) return tl::unexpected(fd.error());
  return ListenSocket{*fd, "unix:" + s.text("path"), s.text("path")};
}

struct HostPort {
  std::string host, port;
};

/// `127.0.0.1:4320`, `[::1]:4320`, `localhost:0`.
Result<HostPort> split_address(const std::string& text) {
  size_t colon = text.rfind(':');
  if (colon == text.npos || colon == 0 || colon + 1 == text.size())
    return fail("must be HOST:PORT, as 127.0.0.1:4320 or [::1]:4320");
  HostPort out{text.substr(0, colon), text.substr(colon + 1)};
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

std::vector<std::pair<std::string, std::string>> validate_tcp(const Settings& s) {
  auto address = split_address(s.text("bind"));
  if (!address) return {{"bind", address.error().message}};
  if (!is_loopback(address->host) && !s.boolean("insecure"))
    return {{"bind", address->host + " can be reached from outside and this listener has no TLS: bind "
                                     "127.0.0.1, or write `insecure: true` "
                                     "next to it if the network is trusted"}};
  return {};
}

std::vector<std::pair<std::string, std::string>> validate_unix(const Settings& s) {
  if (s.text("path").empty()) return {{"path", "must not be empty"}};
  if (s.text("path").size() >= sizeof(sockaddr_un::sun_path))
    return {{"path", "is longer than the " + std::to_string(sizeof(sockaddr_un::sun_path) - 1) +
                         " bytes that a socket path may have"}};
  return {};
}

Result<ListenSocket> open_tcp_listener(const Settings& s) {
  auto address = split_address(s.text("bind"));
  if (!address) return fail(s.text("bind") + ": " + address.error().message);
  addrinfo hints{}, *found = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  int error = getaddrinfo(address->host.c_str(), address->port.c_str(), &hints, &found);
  if (error != 0) return fail("tcp:" + s.text("bind") + ": " + gai_strerror(error));
  std::unique_ptr<addrinfo, void (*)(addrinfo*)> guard(found, freeaddrinfo);
  int fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  int on = 1;
  if (fd >= 0) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (fd < 0 || bind(fd, found->ai_addr, found->ai_addrlen) != 0 || listen(fd, kBacklog) != 0) {
    std::string text = "cannot listen on tcp:" + s.text("bind") + ": " + std::strerror(errno);
    if (errno == EADDRINUSE) text += "; another program has this port: stop it, or choose another port";
    if (fd >= 0) ::close(fd);
    return fail(text);
  }
  sockaddr_storage bound{};
  socklen_t length = sizeof bound;
  getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &length);
  char host[NI_MAXHOST], port[NI_MAXSERV];
  getnameinfo(reinterpret_cast<sockaddr*>(&bound), length, host, sizeof host, port, sizeof port,
              NI_NUMERICHOST | NI_NUMERICSERV);
  std::string shown = bound.ss_family == AF_INET6 ? "[" + std::string(host) + "]" : host;
  return ListenSocket{fd, "tcp:" + shown + ":" + port, ""};
}

}  // namespace

const std::vector<ListenerType>& listener_types() {
  static const std::vector<ListenerType> types{
      {{"unix",
        {},
        "A Unix stream socket. Who sends is known from the kernel (SO_PEERCRED).",
        with_common({
            {"path",
             OptionType::path,
             "",
             "Socket file. A stale one is replaced, a live one is refused; a missing directory is made.",
             {},
             INT64_MIN,
             INT64_MAX,
             true},
            {"mode", OptionType::file_mode, "0660",
             "Permissions of the socket file: who may write may send."},
            {"owner",
             OptionType::string,
             "",
             "User name or number that owns the socket file; null: the agent's.",
             {},
             INT64_MIN,
             INT64_MAX,
             false,
             true},
            {"group",
             OptionType::string,
             "",
             "Group name or number of the socket file; null: the agent's.",
             {},
             INT64_MIN,
             INT64_MAX,
             false,
             true},
        }),
        validate_unix},
       "path",
       open_unix_listener,
       change_unix_listener},
      {{"tcp",
        {},
        "A TCP port on a loopback address.",
        with_common({
            {"bind",
             OptionType::string,
             "",
             "HOST:PORT to listen on; port 0 takes a free one (the ready line shows it).",
             {},
             INT64_MIN,
             INT64_MAX,
             true},
            {"insecure", OptionType::boolean, "false",
             "Allows an address that others can reach, without TLS."},
        }),
        validate_tcp},
       "bind",
       open_tcp_listener,
       nullptr},
  };
  return types;
}

}  // namespace weir
