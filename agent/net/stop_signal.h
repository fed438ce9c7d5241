#pragma once
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <functional>
#include <stop_token>
#include <system_error>

namespace weir {

/// A descriptor that becomes readable when a stop is asked for: for poll(2) beside sockets.
class StopSignal {
 public:
  explicit StopSignal(std::stop_token stop)
      : callback_(std::move(stop), [this] { eventfd_write(event_.fd, 1); }) {}
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;
  int fd() const { return event_.fd; }

 private:
  struct Event {
    Event() : fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
      if (fd < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
    }
    ~Event() { ::close(fd); }
    const int fd;
  };
  Event event_;  // before the callback, which uses it until it is gone
  std::stop_callback<std::function<void()>> callback_;
};

}  // namespace weir
