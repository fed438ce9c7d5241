#include "agent/cli/connect.h"

#include <fmt/format.h>
#include <netdb.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "agent/config/config.h"

namespace weir::cli {
namespace {

Result<Fd> connect_fd(int family, const sockaddr* address, socklen_t length, int timeout_ms = -1) {
  Fd fd(socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  // It limits connect() too; everything that is sent later is sent without waiting.
  const timeval limit{timeout_ms / 1000, timeout_ms % 1000 * 1000};
  if (timeout_ms > 0) setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  if (fd.get() < 0 || connect(fd.get(), address, length) != 0) return fail(std::strerror(errno));
  return fd;
}

Result<Fd> connect_tcp(const std::string& host, const std::string& port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int code = getaddrinfo(host.c_str(), port.c_str(), &hints, &found); code != 0)
    return fail(gai_strerror(code));
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> list(found, freeaddrinfo);
  Result<Fd> last = fail("no address");
  for (const addrinfo* a = found; a != nullptr; a = a->ai_next)
    if (last = connect_fd(a->ai_family, a->ai_addr, a->ai_addrlen); last) break;
  return last;
}

}  // namespace

Fd::~Fd() {
  if (fd_ >= 0) close(fd_);
}

Result<Fd> connect_unix(const std::string& path, int timeout_ms) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path || path.find('\0') != path.npos)
    return fail(fmt::format("a socket path has 1 to {} bytes", sizeof address.sun_path - 1));
  path.copy(address.sun_path, path.size());
  return connect_fd(AF_UNIX, reinterpret_cast<const sockaddr*>(&address), sizeof address, timeout_ms);
}

std::string IngestAddress::text() const {
  if (!path.empty()) return "unix:" + path;
  const bool v6 = host.find(':') != host.npos;
  return "tcp:" + (v6 ? "[" + host + "]" : host) + ":" + port;
}

Result<IngestAddress> parse_ingest_address(std::string_view text) {
  if (text.starts_with("unix:") && text.size() > 5) return IngestAddress{std::string(text.substr(5)), {}, {}};
  if (text.starts_with('/')) return IngestAddress{std::string(text), {}, {}};
  if (text.starts_with("tcp:")) {
    text.remove_prefix(4);
    const size_t colon = text.rfind(':');
    if (colon != text.npos && colon > 0 && colon + 1 < text.size()) {
      std::string_view host = text.substr(0, colon);
      if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
      return IngestAddress{{}, std::string(host), std::string(text.substr(colon + 1))};
    }
  }
  return fail("an address is unix:PATH or tcp:HOST:PORT");
}

Result<IngestAddress> ingest_address(const std::string& to) {
  if (!to.empty()) return parse_ingest_address(to);
  Result<std::string> path = default_ingest_socket();
  if (!path) return fail(path.error().message + ", or name the agent's address with --to");
  return IngestAddress{*path, {}, {}};
}

Result<Fd> connect_ingest(const IngestAddress& address) {
  Result<Fd> fd = address.path.empty() ? connect_tcp(address.host, address.port) : connect_unix(address.path);
  if (fd) return fd;
  return fail(
      fmt::format("no agent takes records at {} ({}); start one with `weir agent`, or name another address "
                  "with --to",
                  address.text(), fd.error().message));
}

}  // namespace weir::cli
