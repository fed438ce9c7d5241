#include "agent/ingest/line_session.h"

#include <sys/socket.h>

#include <boost/asio/post.hpp>
#include <cerrno>

#include "agent/core/clock.h"
#include "agent/core/json.h"
#include "agent/core/log.h"
#include "agent/ingest/control_line.h"

namespace weir {
namespace {

constexpr auto kLinger = std::chrono::milliseconds(500);
constexpr int64_t kBudgetRetryNs = 10'000'000;
constexpr int64_t kWaitNsMax = 100'000'000;  // so that stop() and drain() are seen

}  // namespace

LineSession::LineSession(IngestContext& context, FrameHandler& handler, std::unique_ptr<ByteStream> stream,
                         Producer producer, const Settings&)
    : Session(context, handler, std::move(stream), std::move(producer)),
      input_(context.buffer, share_ ? &share_->aside : nullptr),
      reader_(input_) {}

void LineSession::push_policy(const std::string& policy) {
  if (!acknowledged_ || ending()) return;
  out_ += "{\"weir\":\"policy\",\"policy\":" + policy + "}\n";
  connection_.cancel();
}

void LineSession::on_taken_over() {
  out_ += "{\"weir\":\"bye\",\"reason\":\"taken_over\"}\n";
  closing_ = true;
  connection_.cancel();
}

asio::awaitable<void> LineSession::serve() {
  while (!ending() && !(end_of_input_ && !backlog_)) {
    co_await send_replies();
    if (ending()) break;
    if (!context_.gate.is_open()) {
      co_await context_.gate.wait();
    } else if (backlog_) {
      input_.resume();
      co_await turn();
      co_await asio::post(context_.io, kAwait);
    } else if (fill()) {
      co_await turn();
      // One read per turn: the others come next.
      if (pause_ns_ > 0 && !draining_ && !ending())
        co_await connection_.pause(std::chrono::nanoseconds(pause_ns_));
      else
        co_await asio::post(context_.io, kAwait);
    } else {
      co_await wait_readable();
    }
  }
  co_await send_replies();
  if (closing_ && !stopped_) co_await linger();
  connection_.stream().shutdown_write();  // so that over TLS an end can be told from a cut
}

/// 0: it may read now. Else it is another one's turn, or this user has read his share of the second.
int64_t LineSession::wait_ns() {
  if (draining_) return 0;
  if (!input_.may_read()) return kBudgetRetryNs;
  return share_ ? context_.shares.wait_ns(*share_, system_clock().monotonic_ns()) : 0;
}

asio::awaitable<void> LineSession::wait_readable() {
  if (const int64_t wait = wait_ns(); wait > 0) {
    asio::steady_timer timer(context_.io, std::chrono::nanoseconds(std::min(wait, kWaitNsMax)));
    co_await timer.async_wait(kAwait);
    co_return;
  }
  co_await connection_.wait(wants_);
}

/// Has the other side closed, with nothing more to read?
bool LineSession::hung_up() {
  char byte;
  ssize_t n = ::recv(connection_.fd(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

/// Reads once. False: nothing is there now. At the end of the connection end_of_input_ is set.
bool LineSession::fill() {
  pause_ns_ = 0;
  if (wait_ns() > 0 && !hung_up()) return false;
  const std::span<char> space = input_.space();
  IoStep step = connection_.stream().read_some(space);
  if (step.is(IoStep::Kind::done)) {
    input_.filled(step.bytes);
    // A local socket costs its writer the same either way; who waits for replies must not wait longer.
    if (!producer_.peer.uid && !acknowledged_ && connection_.stream().short_read_empties()) {
      pace_.read(step.bytes);
      if (step.bytes < space.size()) pause_ns_ = pace_.emptied(system_clock().monotonic_ns());
    }
    if (share_) share_->allowance -= int64_t(step.bytes);
    return true;
  }
  const bool waits = step.is(IoStep::Kind::want_read) || step.is(IoStep::Kind::want_write);
  if (!waits || draining_) {
    end_of_input_ = true;
    return true;
  }
  wants_ = step.kind;
  input_.put_aside();
  return false;
}

/// Hands over the lines that are there, ends the turn, says what is to be said. The shared buffer is not used
/// beyond the first await.
asio::awaitable<void> LineSession::turn() {
  feed();
  if (end_of_input_ && !backlog_) feed_last();
  reader_.end_turn();
  input_.put_aside();
  co_await end_turn();
  if (stopped_ && !context_.gate.is_open()) co_return;
  add_replies();
  if (control_.empty()) co_return;
  std::string control = std::move(control_);
  control_.clear();
  on_control(control);
}

void LineSession::feed() {
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

void LineSession::feed_last() {
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

void LineSession::add_replies() {
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

void LineSession::on_control(const std::string& text) {
  auto line = parse_control_line(text);
  if (!line) {
    std::string_view reason = first_word(line.error().message);
    return say_error(reason, std::string_view(line.error().message).substr(reason.size() + 2));
  }
  switch (line->kind) {
    case ControlLine::Kind::hello: {
      line->hello.taken_over = [self = weak_from_this()] {
        if (auto session = self.lock()) static_cast<LineSession&>(*session).on_taken_over();
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

void LineSession::say_error(std::string_view reason, std::string_view detail) {
  log::sampled(log::Level::warn, "control_line", "{}: connection closed: {}", producer_.peer.address, detail);
  out_ += "{\"weir\":\"error\",\"reason\":";
  json::append_quoted(out_, reason);
  out_ += ",\"detail\":";
  json::append_quoted(out_, detail);
  out_ += "}\n";
  closing_ = true;
}

asio::awaitable<void> LineSession::send_replies() {
  while (!out_.empty() && !stopped_) {
    IoStep step = connection_.stream().write_some(out_);
    if (step.is(IoStep::Kind::done)) {
      out_.erase(0, step.bytes);
    } else if (step.is(IoStep::Kind::want_write) || step.is(IoStep::Kind::want_read)) {
      co_await connection_.wait(step.kind);
    } else {
      break;  // the client does not read any more; what it sent still counts
    }
  }
  out_.clear();
  if (out_.capacity() > 4096) out_.shrink_to_fit();
}

/// Closing with unread bytes resets a TCP connection, and the reset may overtake our last words: read them
/// away for a moment.
asio::awaitable<void> LineSession::linger() {
  connection_.stream().shutdown_write();
  const auto deadline = std::chrono::steady_clock::now() + kLinger;
  while (!stopped_ && std::chrono::steady_clock::now() < deadline) {
    auto space = input_.space();
    ssize_t n = ::recv(connection_.fd(), space.data(), space.size(), MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) break;
    if (n > 0)
      co_await asio::post(context_.io, kAwait);
    else if (!co_await connection_.wait_until(IoStep::Kind::want_read, deadline))
      break;
  }
}

}  // namespace weir
