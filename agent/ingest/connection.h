#pragma once
#include <boost/asio/posix/stream_descriptor.hpp>
#include <chrono>
#include <memory>

#include "agent/ingest/intake_gate.h"
#include "agent/net/byte_stream.h"

namespace weir {

/// A ByteStream on the pipe thread: whoever serves it waits here. Pipe thread only.
class Connection {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  Connection(asio::io_context& io, std::unique_ptr<ByteStream> stream)
      : stream_(std::move(stream)), waiter_(std::make_shared<Descriptor>(io, stream_->fd())), timer_(io) {}
  ~Connection() { close(); }

  ByteStream& stream() { return *stream_; }
  int fd() const { return stream_->fd(); }
  /// Until it can go on with a step that answered `want`, or until cancel().
  asio::awaitable<void> wait(IoStep::Kind want) {
    co_await waiter_->async_wait(
        want == IoStep::Kind::want_write ? Descriptor::wait_write : Descriptor::wait_read, kAwait);
  }
  /// The same, at most until `deadline`; false when that has passed.
  asio::awaitable<bool> wait_until(IoStep::Kind want, TimePoint deadline) {
    timer_.expires_at(deadline);
    // Its handler may run when this connection is gone: a timer that has expired cannot be cancelled.
    timer_.async_wait([waiter = waiter_](boost::system::error_code error) {
      boost::system::error_code ignored;
      if (!error && waiter->is_open()) waiter->cancel(ignored);
    });
    co_await wait(want);
    timer_.cancel();
    co_return std::chrono::steady_clock::now() < deadline;
  }
  /// Until `deadline` or cancel(), whatever arrives.
  asio::awaitable<void> sleep_until(TimePoint deadline) {
    timer_.expires_at(deadline);
    co_await timer_.async_wait(kAwait);
  }
  /// Leaves it alone for so long, or until cancel(); what arrives meanwhile wakes nobody: each wake-up would
  /// cost the sender a system call's time.
  asio::awaitable<void> pause(std::chrono::nanoseconds time) {
    waiter_->release();
    timer_.expires_after(time);
    co_await timer_.async_wait(kAwait);
    if (stream_) waiter_->assign(fd());
  }
  /// Wakes who waits.
  void cancel() {
    boost::system::error_code ignored;
    timer_.cancel();
    if (waiter_->is_open()) waiter_->cancel(ignored);
  }
  /// Safe twice.
  void close() {
    if (!stream_) return;
    timer_.cancel();
    if (waiter_->is_open()) waiter_->release();
    stream_.reset();
  }

 private:
  using Descriptor = asio::posix::stream_descriptor;
  std::unique_ptr<ByteStream> stream_;
  std::shared_ptr<Descriptor> waiter_;  // waits only: the descriptor is the stream's
  asio::steady_timer timer_;
};

}  // namespace weir
