// What reader and floor share: one thread that takes connections, reads, and hands whole lines on.
#pragma once
#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>
#include <string>
#include <vector>

namespace bench {

constexpr size_t kReadBytes = 256 << 10;
constexpr size_t kSpareBytes = 64;  // readable behind what is handed on

[[noreturn]] inline void fail(const char* what) {
  std::perror(what);
  std::exit(1);
}

/// `address` is unix:PATH or tcp:PORT; `real` gets what a client dials.
inline int listen_on(const std::string& address, std::string& real) {
  if (address.rfind("unix:", 0) == 0) {
    sockaddr_un at{};
    at.sun_family = AF_UNIX;
    std::strncpy(at.sun_path, address.c_str() + 5, sizeof at.sun_path - 1);
    unlink(at.sun_path);
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (bind(fd, reinterpret_cast<sockaddr*>(&at), sizeof at) || listen(fd, SOMAXCONN)) fail(address.c_str());
    real = address;
    return fd;
  }
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(uint16_t(std::atoi(address.c_str() + 4)));
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (bind(fd, reinterpret_cast<sockaddr*>(&at), sizeof at) || listen(fd, SOMAXCONN)) fail(address.c_str());
  socklen_t size = sizeof at;
  getsockname(fd, reinterpret_cast<sockaddr*>(&at), &size);
  real = "tcp:127.0.0.1:" + std::to_string(ntohs(at.sin_port));
  return fd;
}

inline int open_output(const char* path) {
  const int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
  if (fd < 0) fail(path);
  return fd;
}

/// Changes `parts`.
inline void write_all(int fd, std::vector<iovec>& parts) {
  for (size_t i = 0; i < parts.size();) {
    const ssize_t n = writev(fd, parts.data() + i, int(std::min<size_t>(parts.size() - i, IOV_MAX)));
    if (n < 0) fail("write");
    for (auto done = size_t(n); done > 0;) {
      const size_t step = std::min(done, parts[i].iov_len);
      parts[i].iov_base = static_cast<char*>(parts[i].iov_base) + step;
      parts[i].iov_len -= step;
      done -= step;
      if (parts[i].iov_len == 0) ++i;
    }
  }
}

/// Several short reads, one right after the other: more is on its way in small pieces. A pause lets it
/// gather, and spares the sender from waking somebody up with each write. Records that come now and then
/// never wait.
class Pause {
 public:
  void after_read(size_t bytes) {
    if (bytes >= kShortBytes) {
      short_reads_ = 0;
      return;
    }
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    const int64_t now_ns = t.tv_sec * 1'000'000'000ll + t.tv_nsec;
    short_reads_ = now_ns - last_ns_ < kSoonNs ? short_reads_ + 1 : 0;
    last_ns_ = now_ns;
    if (short_reads_ < kShortReads) return;
    const timespec pause{0, kPauseNs};
    nanosleep(&pause, nullptr);
    last_ns_ += kPauseNs;
  }

 private:
  static constexpr size_t kShortBytes = 32 << 10;
  static constexpr int kShortReads = 8;
  static constexpr int64_t kSoonNs = 100'000;
  static constexpr int64_t kPauseNs = 1'000'000;
  int short_reads_ = 0;
  int64_t last_ns_ = 0;
};

/// Says "ready ADDRESS", then serves until SIGTERM. on_lines(char* begin, size_t bytes): whole lines,
/// kSpareBytes behind them may be read and written.
template <class OnLines>
void serve(const std::string& address, bool pauses, OnLines on_lines) {
  static volatile std::sig_atomic_t stopped = 0;
  struct sigaction on_term {};
  on_term.sa_handler = [](int) { stopped = 1; };
  sigaction(SIGTERM, &on_term, nullptr);
  std::string real;
  const int listener = listen_on(address, real);
  const int poll = epoll_create1(EPOLL_CLOEXEC);
  const auto watch = [&](int fd) {
    epoll_event event{EPOLLIN, {.fd = fd}};
    if (epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event)) fail("epoll_ctl");
  };
  watch(listener);
  std::printf("ready %s\n", real.c_str());
  std::fflush(stdout);

  std::vector<std::string> unfinished;  // by descriptor: the part of a last line that is there already
  std::vector<char> buffer(2 * kReadBytes + kSpareBytes);
  epoll_event events[64];
  Pause pause;
  while (!stopped) {
    const int ready = epoll_wait(poll, events, 64, -1);
    for (int i = 0; i < ready; ++i) {
      const int fd = events[i].data.fd;
      if (fd == listener) {
        const int taken = accept(listener, nullptr, nullptr);
        if (taken < 0) fail("accept");
        if (unfinished.size() <= size_t(taken)) unfinished.resize(size_t(taken) + 1);
        watch(taken);
        continue;
      }
      std::string& head = unfinished[size_t(fd)];
      if (head.size() > kReadBytes) head.clear();  // longer than any record may be
      std::memcpy(buffer.data(), head.data(), head.size());
      const ssize_t got = read(fd, buffer.data() + head.size(), kReadBytes);
      if (got <= 0) {
        head = {};
        close(fd);
        continue;
      }
      const size_t have = head.size() + size_t(got);
      const auto* last = static_cast<const char*>(memrchr(buffer.data(), '\n', have));
      const size_t whole = last ? size_t(last + 1 - buffer.data()) : 0;
      head.assign(buffer.data() + whole, have - whole);
      if (whole > 0) on_lines(buffer.data(), whole);
      if (pauses) pause.after_read(size_t(got));
    }
  }
}

}  // namespace bench
