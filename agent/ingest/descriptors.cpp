#include "agent/ingest/descriptors.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>

namespace weir {

IoStep Descriptors::read_some(int socket, std::span<char> into) {
  // More than these the kernel closes itself.
  alignas(cmsghdr) char control[CMSG_SPACE(kWaitingMax * sizeof(int))];
  iovec bytes{into.data(), into.size()};
  msghdr message{};
  message.msg_iov = &bytes, message.msg_iovlen = 1;
  message.msg_control = control, message.msg_controllen = sizeof control;
  ssize_t n;
  do n = ::recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  while (n < 0 && errno == EINTR);
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return {IoStep::Kind::want_read, 0, {}};
  if (n < 0) return {IoStep::Kind::failed, 0, std::strerror(errno)};
  bool any = false;
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
      ring::Descriptor descriptor(fd);
      any = true;
      if (i == 0 && waiting_.size() < kWaitingMax) waiting_.push_back(std::move(descriptor));
    }
  }
  if (!any && (message.msg_flags & MSG_CTRUNC) && waiting_.size() < kWaitingMax)
    waiting_.emplace_back(ring::Descriptor::kLost);
  if (n == 0) return {IoStep::Kind::closed, 0, {}};
  return {IoStep::Kind::done, size_t(n), {}};
}

ring::Descriptor Descriptors::take() {
  if (waiting_.empty()) return ring::Descriptor();
  ring::Descriptor first = std::move(waiting_.front());
  waiting_.pop_front();
  return first;
}

}  // namespace weir
