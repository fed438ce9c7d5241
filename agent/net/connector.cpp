#include "agent/net/connector.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "agent/core/check.h"

namespace weir {

void Connector::start() {
  cancel();
  error_.clear();
  deadline_ns_ = clock_.monotonic_ns() + endpoint_.connect_timeout_ns;
  phase_ = Phase::resolving;
}

void Connector::cancel() noexcept {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
  stream_.reset();
  lookup_.reset();  // it ends by itself
  addresses_.clear();
  next_address_ = 0;
  phase_ = Phase::idle;
}

Connector::State Connector::failed(std::string error) {
  cancel();
  error_ = std::move(error);
  return State::failed;
}

Connector::State Connector::step() {
  for (;;) {
    const Phase before = phase_;
    const State state = step_once();
    if (state != State::waiting) return state;
    if (phase_ == before) break;
  }
  if (clock_.monotonic_ns() < deadline_ns_) return State::waiting;
  return failed(timeout_text());
}

Connector::State Connector::step_once() {
  switch (phase_) {
    case Phase::resolving:
      return resolved();
    case Phase::connecting:
      return check_connected();
    case Phase::tunnel_request:
      return step_tunnel_request();
    case Phase::tunnel_answer:
      return step_tunnel_answer();
    case Phase::handshake:
      return step_handshake();
    case Phase::idle:
      break;
  }
  return failed("not connecting");
}

Connector::State Connector::resolved() {
  if (!lookup_) {
    auto lookup = endpoint_.resolver->start();
    if (!lookup) return failed(lookup.error().message);
    lookup_ = std::move(*lookup);
  }
  if (!lookup_->done()) return State::waiting;
  const auto found = std::exchange(lookup_, nullptr);
  if (!found->result()) return failed(found->result().error().message);
  addresses_ = *found->result();
  next_address_ = 0;
  return try_next_address();
}

Connector::State Connector::try_next_address() {
  while (next_address_ < addresses_.size()) {
    const SocketAddress& address = addresses_[next_address_++];
    fd_ = ::socket(address.bytes.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd_ < 0) {
      error_ = "cannot connect to " + address.text() + ": " + std::strerror(errno);
      continue;
    }
    const int on = 1;
    setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    // Each address gets its share of what time is left, so that a silent one costs not all of it.
    const int64_t now = clock_.monotonic_ns();
    address_deadline_ns_ = now + (deadline_ns_ - now) / int64_t(addresses_.size() - next_address_ + 1);
    phase_ = Phase::connecting;
    if (::connect(fd_, reinterpret_cast<const sockaddr*>(&address.bytes), address.length) == 0)
      return connected_tcp();
    if (errno == EINPROGRESS || errno == EINTR) return State::waiting;
    error_ = "cannot connect to " + address.text() + ": " + std::strerror(errno);
    ::close(fd_);
    fd_ = -1;
  }
  return failed(error_);
}

Connector::State Connector::check_connected() {
  pollfd ready{fd_, POLLOUT, 0};
  const bool late = clock_.monotonic_ns() >= address_deadline_ns_;
  if (::poll(&ready, 1, 0) <= 0 && !late) return State::waiting;
  int error = 0;
  socklen_t length = sizeof error;
  if (ready.revents == 0)
    error = ETIMEDOUT;
  else if (getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &length) != 0)
    error = errno;
  if (error == 0) return connected_tcp();
  error_ = "cannot connect to " + addresses_[next_address_ - 1].text() + ": " + std::strerror(error);
  ::close(fd_);
  fd_ = -1;
  return try_next_address();
}

Connector::State Connector::connected_tcp() {
  const HttpUrl& url = endpoint_.url;
  if (!url.tls) {
    stream_ = make_socket_stream(std::exchange(fd_, -1));
    return State::connected;
  }
  if (!endpoint_.proxy) {
    stream_ = endpoint_.tls->wrap(std::exchange(fd_, -1), endpoint_.server_name);
    phase_ = Phase::handshake;
    return State::waiting;
  }
  // RFC 9110 section 9.3.6.
  const std::string target = bracketed(url.host) + ":" + std::to_string(url.port);
  tunnel_request_ =
      "CONNECT " + target + " HTTP/1.1\r\nHost: " + target + "\r\nUser-Agent: weir/" WEIR_VERSION "\r\n";
  if (!endpoint_.proxy->authorization.empty())
    tunnel_request_ += "Proxy-Authorization: " + endpoint_.proxy->authorization + "\r\n";
  tunnel_request_ += "\r\n";
  sent_ = 0;
  stream_ = make_socket_stream(std::exchange(fd_, -1));
  phase_ = Phase::tunnel_request;
  return State::waiting;
}

Connector::State Connector::step_tunnel_request() {
  while (sent_ < tunnel_request_.size()) {
    const IoStep step = stream_->write_some(std::string_view(tunnel_request_).substr(sent_));
    if (step.is(IoStep::Kind::want_write)) return State::waiting;
    if (!step.is(IoStep::Kind::done))
      return failed("the proxy " + endpoint_.proxy->shown() + " closed the connection: " + step.error);
    sent_ += step.bytes;
  }
  reader_.reset(clock_.wall_ns(), true);
  phase_ = Phase::tunnel_answer;
  return State::waiting;
}

Connector::State Connector::step_tunnel_answer() {
  const std::string proxy = "the proxy " + endpoint_.proxy->shown();
  for (;;) {
    char buffer[4096];
    const IoStep step = stream_->read_some(buffer);
    if (step.is(IoStep::Kind::want_read)) return State::waiting;
    if (!step.is(IoStep::Kind::done))
      return failed(proxy + " closed the connection" + (step.error.empty() ? "" : ": " + step.error));
    const auto state = reader_.feed(std::string_view(buffer, step.bytes));
    if (state == HttpResponseReader::State::failed) return failed(proxy + ": its answer: " + reader_.error());
    if (state == HttpResponseReader::State::more) continue;
    reader_.answer().from_proxy = true;
    if (reader_.answer().status / 100 != 2) {
      cancel();
      return State::refused;
    }
    // TLS begins with us: a byte more than the answer is nothing that belongs here.
    if (!reader_.can_go_on()) return failed(proxy + " does not keep the connection it has opened");
    const int own = fcntl(stream_->fd(), F_DUPFD_CLOEXEC, 0);
    if (own < 0) return failed(std::string("cannot take over the connection: ") + std::strerror(errno));
    stream_ = endpoint_.tls->wrap(own, endpoint_.server_name);
    phase_ = Phase::handshake;
    return State::waiting;
  }
}

Connector::State Connector::step_handshake() {
  IoStep step = stream_->handshake();
  want_write_ = step.is(IoStep::Kind::want_write);
  if (want_write_ || step.is(IoStep::Kind::want_read)) return State::waiting;
  if (step.is(IoStep::Kind::done)) return State::connected;
  const bool untrusted = step.is(IoStep::Kind::untrusted);
  failed(step.is(IoStep::Kind::closed) ? "the connection was closed during the TLS handshake"
         : untrusted                   ? std::move(step.error)
                                       : "TLS handshake: " + step.error);
  return untrusted ? State::untrusted : State::failed;
}

pollfd Connector::waits_for() const {
  switch (phase_) {
    case Phase::resolving:
      return {lookup_ ? lookup_->fd() : -1, POLLIN, 0};
    case Phase::connecting:
      return {fd_, POLLOUT, 0};
    case Phase::tunnel_request:
      return {stream_->fd(), POLLOUT, 0};
    case Phase::handshake:
      return {stream_->fd(), short(want_write_ ? POLLOUT : POLLIN), 0};
    case Phase::tunnel_answer:
      return {stream_->fd(), POLLIN, 0};
    case Phase::idle:
      break;
  }
  return {-1, 0, 0};
}

std::string Connector::timeout_text() const {
  const std::string what = phase_ == Phase::resolving ? "looking up " + endpoint_.resolver->host()
                           : phase_ == Phase::connecting
                               ? "connecting to " + addresses_[next_address_ - 1].text()
                           : phase_ == Phase::handshake ? "the TLS handshake"
                                                        : "asking the proxy " + endpoint_.proxy->shown();
  return what + " took longer than connect_timeout";
}

}  // namespace weir
