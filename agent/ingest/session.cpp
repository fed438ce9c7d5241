#include "agent/ingest/session.h"

#include <sys/socket.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <cerrno>

#include "agent/core/json.h"
#include "agent/core/log.h"
#include "agent/ingest/control_line.h"

namespace weir {
namespace {

constexpr auto kLinger = std::chrono::milliseconds(500);
constexpr auto kBudgetRetry = std::chrono::milliseconds(10);

}  // namespace

Session::Session(IngestContext& context, FrameHandler& handler, int fd, Producer producer)
    : context_(context),
      handler_(handler),
      socket_(context.io, fd),
      producer_(std::move(producer)),
      reader_(context.buffer) {
  ++producer_.stats->connections;
}

Session::~Session() { --producer_.stats->connections; }

void Session::start(std::function<void(Session&)> on_end) {
  on_end_ = std::move(on_end);
  asio::co_spawn(context_.io, session_loop(shared_from_this()), asio::detached);
}

void Session::wake() {
  boost::system::error_code ignored;
  socket_.cancel(ignored);
}

void Session::drain() {
  draining_ = true;
  wake();
}

void Session::stop() {
  stopped_ = true;
  wake();
  context_.gate.wake();
}

void Session::push_policy(const std::string& policy) {
  if (!acknowledged_ || ending()) return;
  out_ += "{\"weir\":\"policy\",\"policy\":" + policy + "}\n";
  wake();
}

void Session::on_taken_over() {
  out_ += "{\"weir\":\"bye\",\"reason\":\"taken_over\"}\n";
  closing_ = true;
  wake();
}

asio::awaitable<void> Session::session_loop(std::shared_ptr<Session> self) {
  Session& s = *self;
  try {
    co_await serve(s);
  } catch (
      const std::exception& e) {  // of a library, as out of memory: this connection ends, the others go on
    log::error("{}: connection closed: {}", s.producer_.peer.address, e.what());
  }
  s.handler_.on_close(s.producer_);
  boost::system::error_code ignored;
  s.socket_.close(ignored);
  s.on_end_(s);
}

asio::awaitable<void> Session::serve(Session& s) {
  while (!s.ending() && !(s.end_of_input_ && !s.backlog_)) {
    co_await s.send_replies();
    if (s.ending()) break;
    if (!s.context_.gate.is_open()) {
      co_await s.context_.gate.wait();
    } else if (s.backlog_) {
      s.reader_.resume();
      co_await s.turn();
      co_await asio::post(s.context_.io, kAwait);
    } else if (s.fill()) {
      co_await s.turn();
      // One read per turn: the others come next.
      co_await asio::post(s.context_.io, kAwait);
    } else {
      co_await s.wait_readable();
    }
  }
  co_await s.send_replies();
  if (s.closing_ && !s.stopped_) co_await s.linger();
}

asio::awaitable<void> Session::wait_readable() {
  if (!reader_.may_read() && !draining_) {
    asio::steady_timer timer(context_.io, kBudgetRetry);
    co_await timer.async_wait(kAwait);
    co_return;
  }
  co_await socket_.async_wait(asio::posix::stream_descriptor::wait_read, kAwait);
}

/// Has the other side closed, with nothing more to read?
bool Session::hung_up() {
  char byte;
  ssize_t n = ::recv(socket_.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

/// Reads once. False: nothing is there now. At the end of the connection end_of_input_ is set.
bool Session::fill() {
  if (!reader_.may_read() && !draining_ && !hung_up()) return false;
  auto space = reader_.space();
  ssize_t n;
  do n = ::recv(socket_.native_handle(), space.data(), space.size(), MSG_DONTWAIT);
  while (n < 0 && errno == EINTR);
  if (n > 0) {
    reader_.filled(size_t(n));
    return true;
  }
  bool would_block = n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
  if (!would_block || draining_) {
    end_of_input_ = true;
    return true;
  }
  reader_.put_aside();
  return false;
}

/// Hands over the lines that are there, ends the turn, says what is to be said. The shared buffer is not used
/// beyond the first await.
asio::awaitable<void> Session::turn() {
  feed();
  if (end_of_input_ && !backlog_) feed_last();
  reader_.put_aside();
  co_await wait_taken();
  if (stopped_ && !context_.gate.is_open()) co_return;
  add_replies();
  if (control_.empty()) co_return;
  std::string control = std::move(control_);
  control_.clear();
  on_control(control);
}

asio::awaitable<void> Session::wait_taken() {
  if (handler_.on_turn_end(producer_) == Intake::taken) co_return;
  context_.gate.close();
  while (!context_.gate.is_open() && !stopped_) co_await context_.gate.wait();
}

void Session::feed() {
  backlog_ = true;  // until the reader has no more lines
  Line line;
  while (reader_.next(line)) {
    bool control = acknowledged_ ? is_control_line(line.payload) : first_line_ && is_hello_line(line.payload);
    first_line_ = false;
    if (control) {
      control_ = line.payload;
      return;
    }
    if (line.too_long) {
      handler_.on_bad_frame(producer_, Reason::too_long, line.payload, line.length);
      continue;
    }
    Intake intake = handler_.on_frame(producer_, line.payload);
    if (intake == Intake::again) reader_.put_back();
    if (intake != Intake::taken) return;
  }
  backlog_ = false;
}

void Session::feed_last() {
  Line line;
  if (!reader_.last(line)) return;
  bool control = acknowledged_ ? is_control_line(line.payload) : first_line_ && is_hello_line(line.payload);
  if (control)
    control_ = line.payload;
  else if (line.too_long)
    handler_.on_bad_frame(producer_, Reason::truncated, line.payload, line.length);
  else if (handler_.on_last_frame(producer_, line.payload) == Intake::again) {
    reader_.put_back();
    backlog_ = true;
  }
}

void Session::add_replies() {
  if (!acknowledged_) return;
  if (wants_replies_) {
    for (const RejectNote& r : producer_.rejects) {
      out_ += "{\"weir\":\"reject\",\"seq\":" + std::to_string(r.seq) + ",\"reason\":\"";
      out_ += reason_name(r.fault.reason);
      out_ += "\",\"offset\":" + std::to_string(r.fault.offset) + ",\"detail\":";
      json::append_quoted(out_, r.fault.detail);
      out_ += "}\n";
    }
    if (producer_.next_seq - 1 > told_seq_) {
      told_seq_ = producer_.next_seq - 1;
      out_ += "{\"weir\":\"ack\",\"seq\":" + std::to_string(told_seq_) + "}\n";
    }
  }
  producer_.rejects.clear();
}

void Session::on_control(const std::string& text) {
  auto line = parse_control_line(text);
  if (!line) {
    std::string_view reason = first_word(line.error().message);
    return say_error(reason, std::string_view(line.error().message).substr(reason.size() + 2));
  }
  switch (line->kind) {
    case ControlLine::Kind::hello: {
      auto self = weak_from_this();
      line->hello.taken_over = [self] {
        if (auto session = self.lock()) session->on_taken_over();
      };
      auto welcome = handler_.on_hello(producer_, std::move(line->hello));
      if (!welcome) return say_error(welcome.error().message, "this client_id belongs to another user");
      acknowledged_ = true;
      wants_replies_ = line->level != AckLevel::none;
      told_seq_ = producer_.next_seq - 1;
      out_ += welcome_line(*line, producer_, *welcome, context_.buffer.record_bytes_max, handler_.policy());
      return;
    }
    case ControlLine::Kind::sync:
      out_ += "{\"weir\":\"synced\",\"id\":" + line->id +
              ",\"seq\":" + std::to_string(producer_.next_seq - 1) + "}\n";
      return;
    case ControlLine::Kind::bye:
      closing_ = true;
      return;
  }
}

void Session::say_error(std::string_view reason, std::string_view detail) {
  log::sampled(log::Level::warn, "control_line", "{}: connection closed: {}", producer_.peer.address, detail);
  out_ += "{\"weir\":\"error\",\"reason\":";
  json::append_quoted(out_, reason);
  out_ += ",\"detail\":";
  json::append_quoted(out_, detail);
  out_ += "}\n";
  closing_ = true;
}

asio::awaitable<void> Session::send_replies() {
  size_t sent = 0;
  while (sent < out_.size() && !stopped_) {
    ssize_t n =
        ::send(socket_.native_handle(), out_.data() + sent, out_.size() - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n > 0) {
      sent += size_t(n);
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      out_.erase(0, sent);  // more may be added while we wait
      sent = 0;
      co_await socket_.async_wait(asio::posix::stream_descriptor::wait_write, kAwait);
    } else if (errno != EINTR) {
      break;  // the client does not read any more; what it sent still counts
    }
  }
  out_.clear();
  if (out_.capacity() > 4096) out_.shrink_to_fit();
}

/// Closing with unread bytes resets a TCP connection, and the reset may overtake our last words: read them
/// away for a moment.
asio::awaitable<void> Session::linger() {
  ::shutdown(socket_.native_handle(), SHUT_WR);
  asio::steady_timer deadline(context_.io, kLinger);
  deadline.async_wait([self = shared_from_this()](boost::system::error_code error) {
    if (!error) self->stop();
  });
  while (!stopped_) {
    auto space = reader_.space();
    ssize_t n = ::recv(socket_.native_handle(), space.data(), space.size(), MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) break;
    if (n < 0)
      co_await socket_.async_wait(asio::posix::stream_descriptor::wait_read, kAwait);
    else
      co_await asio::post(context_.io, kAwait);
  }
  deadline.cancel();
}

}  // namespace weir
