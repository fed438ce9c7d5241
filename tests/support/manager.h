#pragma once
#include <doctest/doctest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "tests/support/temp_dir.h"

namespace weir::test {

/// A service manager's socket, as long as it lives; what it is told comes out line by line.
class Manager {
 public:
  Manager() : path_(dir_ / "notify"), fd_(socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path_.copy(address.sun_path, sizeof address.sun_path - 1);
    REQUIRE(bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    setenv("NOTIFY_SOCKET", path_.c_str(), 1);
  }
  ~Manager() {
    unsetenv("NOTIFY_SOCKET");
    unsetenv("FDSTORE");
    close(fd_);
  }
  /// The next word of it; empty: it was told nothing more.
  std::string next() const {
    char text[512];
    const ssize_t n = recv(fd_, text, sizeof text, 0);
    return n < 0 ? "" : std::string(text, size_t(n));
  }

 private:
  TempDir dir_;
  const std::string path_;
  const int fd_;
};

}  // namespace weir::test
