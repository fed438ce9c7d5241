#pragma once
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace weir {

namespace asio = boost::asio;
inline constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);

/// Back-pressure: closed while the journal is full. Sessions wait here before they read. Pipe thread only.
class IntakeGate {
 public:
  explicit IntakeGate(asio::io_context& io) : timer_(io, asio::steady_timer::time_point::max()) {}
  bool is_open() const { return open_; }
  void close() { open_ = false; }
  void open() {
    open_ = true;
    timer_.cancel();
  }
  /// Wakes who waits, whether the gate is open or not (they look for themselves).
  void wake() { timer_.cancel(); }
  /// Until open() or wake().
  asio::awaitable<void> wait() {
    if (!open_) co_await timer_.async_wait(kAwait);
  }

 private:
  bool open_ = true;
  asio::steady_timer timer_;
};

}  // namespace weir
