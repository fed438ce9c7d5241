#include "agent/cli/session_socket.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace weir::cli {

void write_session(int socket, SendSession& session) {
  while (!session.outgoing().empty()) {
    const std::string_view out = session.outgoing();
    const ssize_t n = ::send(socket, out.data(), out.size(), MSG_NOSIGNAL);
    if (n <= 0) return;
    session.wrote(size_t(n));
  }
}

std::optional<std::string> read_session(int socket, SendSession& session) {
  std::array<char, 64 << 10> bytes;
  for (;;) {
    const ssize_t n = ::recv(socket, bytes.data(), bytes.size(), 0);
    if (n == 0) return "";
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno == EAGAIN ? std::nullopt : std::optional<std::string>(std::strerror(errno));
    session.feed({bytes.data(), size_t(n)});
  }
}

}  // namespace weir::cli
