#pragma once
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <future>
#include <thread>

#include "agent/core/thread_name.h"

namespace weir {

/// The one thread of sources, sessions and processors (architecture.md section 4).
class PipeThread {
 public:
  PipeThread()
      : work_(io_.get_executor()), thread_([this] {
          name_this_thread("pipe");
          io_.run();
        }) {}
  ~PipeThread() { stop(); }
  /// No handler runs after this. Safe twice.
  void stop() {
    work_.reset();
    io_.stop();
    if (thread_.joinable()) thread_.join();
  }
  boost::asio::io_context& io() { return io_; }

  /// Runs `fn` there, between two turns, and waits for its result. Not from the pipe thread itself.
  template <class Fn>
  auto call(Fn&& fn) {
    std::packaged_task<decltype(fn())()> task(std::forward<Fn>(fn));
    auto result = task.get_future();
    boost::asio::post(io_, [&task] { task(); });
    return result.get();
  }

 private:
  boost::asio::io_context io_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  std::thread thread_;
};

}  // namespace weir
