#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "agent/net/byte_stream.h"

namespace weir {
namespace {

class SocketStream final : public ByteStream {
 public:
  explicit SocketStream(int fd) : fd_(fd) { fcntl(fd_, F_SETFL, fcntl(fd_, F_GETFL) | O_NONBLOCK); }
  ~SocketStream() override { ::close(fd_); }

  int fd() const override { return fd_; }
  IoStep handshake() override { return {}; }

  IoStep read_some(std::span<char> into) override {
    ssize_t n;
    do n = ::recv(fd_, into.data(), into.size(), MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n == 0) return {IoStep::Kind::closed, 0, {}};
    return outcome(n, IoStep::Kind::want_read);
  }

  IoStep write_some(std::string_view from) override {
    ssize_t n;
    do n = ::send(fd_, from.data(), from.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return outcome(n, IoStep::Kind::want_write);
  }

  void shutdown_write() noexcept override { ::shutdown(fd_, SHUT_WR); }
  bool short_read_empties() const override { return true; }

 private:
  static IoStep outcome(ssize_t n, IoStep::Kind wait) {
    if (n >= 0) return {IoStep::Kind::done, size_t(n), {}};
    if (errno == EAGAIN || errno == EWOULDBLOCK) return {wait, 0, {}};
    return {IoStep::Kind::failed, 0, std::strerror(errno)};
  }

  const int fd_;
};

}  // namespace

std::unique_ptr<ByteStream> make_socket_stream(int fd) { return std::make_unique<SocketStream>(fd); }

}  // namespace weir
