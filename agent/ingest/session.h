#pragma once
#include <boost/asio/posix/stream_descriptor.hpp>
#include <functional>
#include <memory>
#include <string>

#include "agent/core/frame_handler.h"
#include "agent/ingest/intake_gate.h"
#include "agent/ingest/line_reader.h"

namespace weir {

/// What all sessions of the pipe thread share.
struct IngestContext {
  asio::io_context& io;
  IntakeGate& gate;
  ReadBuffer& buffer;
};

/// One connection of the line protocol, plain or acknowledged (interface.md section 2): one coroutine,
/// session_loop(). Pipe thread only. The coroutine keeps it alive; drain(), stop() and push_policy() come
/// from the listener.
class Session : public std::enable_shared_from_this<Session> {
 public:
  /// Owns `fd`, a non-blocking connected socket.
  Session(IngestContext& context, FrameHandler& handler, int fd, Producer producer);
  ~Session();
  /// `on_end` is called once, when the connection is closed.
  void start(std::function<void(Session&)> on_end);
  /// Read until nothing is there, then close.
  void drain();
  /// Close at once; what was read is kept.
  void stop();
  void push_policy(const std::string& policy);
  Producer& producer() { return producer_; }

 private:
  static asio::awaitable<void> session_loop(std::shared_ptr<Session> self);
  static asio::awaitable<void> serve(Session& s);
  asio::awaitable<void> turn();
  asio::awaitable<void> wait_readable();
  asio::awaitable<void> wait_taken();
  asio::awaitable<void> send_replies();
  asio::awaitable<void> linger();
  bool fill();
  bool hung_up();
  void feed();
  void feed_last();
  void add_replies();
  void on_control(const std::string& text);
  void say_error(std::string_view reason, std::string_view detail);
  void on_taken_over();
  void wake();
  bool ending() const { return stopped_ || closing_; }

  IngestContext& context_;
  FrameHandler& handler_;
  asio::posix::stream_descriptor socket_;
  Producer producer_;
  LineReader reader_;
  std::function<void(Session&)> on_end_;
  std::string out_;        ///< replies not sent yet; nothing is read while there are any
  std::string control_;    ///< a control line that feed() came to: handled when the lines before it are in
  uint64_t told_seq_ = 0;  ///< highest number acknowledged to the client
  bool first_line_ = true;
  bool acknowledged_ = false;   ///< the first line was a hello
  bool wants_replies_ = false;  ///< level above `none`
  bool backlog_ = false;        ///< feed() stopped before the lines it had were through
  bool end_of_input_ = false, draining_ = false;
  bool closing_ = false;  ///< send what is to be said, then close
  bool stopped_ = false;
};

}  // namespace weir
