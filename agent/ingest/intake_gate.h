#pragma once
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "agent/core/frame_handler.h"

namespace weir {

namespace asio = boost::asio;
inline constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);

/// Back-pressure: closed while the journal is full; while it has failed, to all but those who listen when
/// they are told. Sessions wait here before they read. Pipe thread only.
class IntakeGate {
 public:
  explicit IntakeGate(asio::io_context& io) : timer_(io, asio::steady_timer::time_point::max()) {}
  bool is_open() const { return state_ == Intake::taken; }
  bool is_open_to(const Producer& producer) const {
    return is_open() || (state_ == Intake::refused && producer.listens());
  }
  void close() { state_ = Intake::pause; }
  void open() { set(Intake::taken); }
  /// As the handler has answered for what waits.
  void set(Intake answer) {
    if (answer == state_) return;
    state_ = answer;
    if (answer != Intake::pause) timer_.cancel();
  }
  /// The journal has failed, and something waits for it to get on.
  bool refused() const { return state_ == Intake::refused; }
  /// Wakes who waits, whether the gate is open or not (they look for themselves).
  void wake() { timer_.cancel(); }
  /// Until it is opened, or wake().
  asio::awaitable<void> wait() {
    if (!is_open()) co_await timer_.async_wait(kAwait);
  }

 private:
  Intake state_ = Intake::taken;
  asio::steady_timer timer_;
};

}  // namespace weir
