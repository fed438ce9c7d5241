#include "agent/ingest/stream_session.h"

#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <cerrno>

#include "agent/core/clock.h"
#include "agent/core/log.h"

namespace weir {
namespace {

constexpr auto kLinger = std::chrono::milliseconds(500);
constexpr int64_t kBudgetRetryNs = 10'000'000;
constexpr int64_t kWaitNsMax = 100'000'000;  // so that stop() and drain() are seen
constexpr auto kWelcomeWait = std::chrono::seconds(1);

}  // namespace

StreamSession::StreamSession(IngestContext& context, FrameHandler& handler,
                             std::unique_ptr<ByteStream> stream, Producer producer, const Settings&)
    : Session(context, handler, std::move(stream), std::move(producer)),
      input_(context.buffer, share_ ? &share_->aside : nullptr) {}

/// What the other connection is not told of is known to the one that takes over.
void StreamSession::on_taken_over() {
  acks_.clear();
  last_words_.clear();
  protocol_->replies().bye(last_words_, "taken_over");
  closing_ = true;
  connection_.cancel();
}

asio::awaitable<void> StreamSession::serve() {
  while (!ending() && !handing_over_ && !(end_of_input_ && !backlog_)) {
    co_await send_replies();
    if (ending() || is_refused()) break;
    if (!context_.gate.is_open_to(producer_)) {
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
    } else if (!handing_over_) {
      resting_ = true;
      note_idle();
      co_await wait_readable();
      resting_ = false;
    }
  }
  if (!producer_.client) co_await wait_written();
  co_await wait_acknowledged();
  co_await finish_rings();
  acks_.clear();
  unlink();
  out_ += last_words_;
  co_await send_replies();
  if (handing_over_ && !closing_) {
    co_await hand_over();
    co_return;
  }
  if (closing_ && !stopped_) co_await linger();
  connection_.stream().shutdown_write();  // so that over TLS an end can be told from a cut
}

/// Another connection of its process was the third.
bool StreamSession::is_refused() {
  if (context_.violations.empty() ||
      !context_.violations.refuses(producer_.peer, system_clock().monotonic_ns()))
    return false;
  closing_ = true;
  return true;
}

/// Of frames on a socket of this machine.
void StreamSession::make_rings() {
  if (!producer_.peer.uid) return;
  rings_ = std::make_unique<RingLink>(
      context_, handler_, producer_, share_, [this] { connection_.cancel(); },
      [this](const char* what) { on_violation(what); });
}

/// False: too few bytes are here to tell. Whatever only begins like frames is lines.
bool StreamSession::choose_protocol() {
  const std::string_view begin(input_.data(), std::min(input_.size(), frames::kMagic.size()));
  if (begin == frames::kMagic) {
    input_.take(begin.size());
    out_ += frames::kMagic;
    make_rings();
    protocol_ = make_frame_protocol(input_, handler_, producer_, rings_ != nullptr);
  } else if (end_of_input_ || !frames::kMagic.starts_with(begin)) {
    protocol_ = make_line_protocol(input_, handler_, producer_);
  }
  return protocol_ != nullptr;
}

/// 0: it may read now. Else it is another one's turn, or this user has read his share of the second.
int64_t StreamSession::wait_ns() {
  if (draining_) return 0;
  if (!input_.may_read()) return kBudgetRetryNs;
  return share_ ? context_.shares.wait_ns(*share_, system_clock().monotonic_ns()) : 0;
}

asio::awaitable<void> StreamSession::wait_readable() {
  if (const int64_t wait = wait_ns(); wait > 0) {
    asio::steady_timer timer(context_.io, std::chrono::nanoseconds(std::min(wait, kWaitNsMax)));
    co_await timer.async_wait(kAwait);
    co_return;
  }
  co_await connection_.wait(wants_);
}

/// Has the other side closed, with nothing more to read?
bool StreamSession::hung_up() {
  char byte;
  ssize_t n = ::recv(connection_.fd(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

/// Reads once. False: nothing is there now. At the end of the connection end_of_input_ is set.
bool StreamSession::fill() {
  pause_ns_ = 0;
  if (wait_ns() > 0 && !hung_up()) return false;
  set_busy();
  const std::span<char> space = input_.space();
  IoStep step = rings_ ? rings_->read_some(connection_.fd(), space) : connection_.stream().read_some(space);
  if (step.is(IoStep::Kind::done)) {
    input_.filled(step.bytes);
    // A local socket costs its writer the same either way; who waits for replies must not wait longer.
    if (!producer_.peer.uid && !producer_.client && connection_.stream().short_read_empties()) {
      pace_.read(step.bytes);
      if (step.bytes < space.size()) pause_ns_ = pace_.emptied(system_clock().monotonic_ns());
    }
    if (share_) share_->allowance -= int64_t(step.bytes);
    return true;
  }
  const bool waits = step.is(IoStep::Kind::want_read) || step.is(IoStep::Kind::want_write);
  if (waits && draining_ && may_hand_over()) {
    handing_over_ = true;
    input_.put_aside();
    return false;
  }
  if (!waits || draining_) {
    end_of_input_ = true;
    return true;
  }
  wants_ = step.kind;
  input_.put_aside();
  return false;
}

/// Hands over what is there, ends the turn, says what is to be said. The shared buffer is not used beyond the
/// first await.
asio::awaitable<void> StreamSession::turn() {
  if (!protocol_ && !choose_protocol()) {
    input_.put_aside();
    co_return;
  }
  if (tells()) turn_began_ns_ = system_clock().monotonic_ns();
  backlog_ = !protocol_->feed();
  if (end_of_input_ && !backlog_) backlog_ = !protocol_->feed_last();
  protocol_->end_turn();
  input_.put_aside();
  co_await end_turn();
  mark_ = handler_.journal_mark();
  if (stopped_ && !context_.gate.is_open_to(producer_)) co_return;
  if (closing_) co_return;
  add_replies();
  if (auto request = protocol_->take_request()) co_await obey(std::move(*request));
}

/// Refusals first, then the acknowledgement that covers them, when it is due.
void StreamSession::add_replies() {
  const bool given_back = producer_.given_back();
  if (given_back) give_up_from(producer_.client->last_seq + 1);
  if (tells()) {
    for (const RejectNote& note : producer_.rejects) protocol_->replies().reject(out_, note);
    const uint64_t seq = producer_.next_seq - 1;
    if (seq > owed_seq_)
      acks_.add(owed_seq_ = seq, producer_.client->mark, producer_.records - owed_records_, turn_began_ns_);
    owed_records_ = producer_.records;
    acknowledge();
    if (given_back) protocol_->replies().nack(out_, producer_.next_seq, frames::kFailed);
  }
  producer_.rejects.clear();
}

/// The journal has failed: the client sends again what was given back, and everything behind it.
void StreamSession::give_up_from(uint64_t seq) {
  producer_.next_seq = seq;
  std::erase_if(producer_.rejects, [seq](const RejectNote& note) { return note.seq >= seq; });
  protocol_->discard();
}

void StreamSession::acknowledge() {
  int64_t now_ns = 0;
  const uint64_t seq =
      acks_.take([this](uint64_t mark) { return handler_.has_reached(mark, producer_.level); },
                 [&](uint64_t records, int64_t since_ns) {
                   if (now_ns == 0) now_ns = system_clock().monotonic_ns();
                   context_.acknowledged.add(now_ns - since_ns, records);
                 });
  if (seq > 0) protocol_->replies().ack(out_, told_seq_ = seq);
  if (!acks_.empty()) context_.waiting.add(*this);
}

/// Serve() may be waiting for more to read, or at the gate: what the socket takes goes out from here.
void StreamSession::on_progress() {
  unlink();
  acknowledge();
  send_now();
  if (sleeping_ || !out_.empty())
    connection_.cancel();
  else
    note_idle();
}

void StreamSession::send_now() {
  if (!out_.empty()) set_busy();
  while (!out_.empty() && !sending_ && !stopped_) {
    const IoStep step = connection_.stream().write_some(out_);
    if (!step.is(IoStep::Kind::done)) break;
    out_.erase(0, step.bytes);
  }
}

/// Until everything that was taken is acknowledged; after a nack nobody counts on that.
asio::awaitable<void> StreamSession::wait_acknowledged() {
  for (;;) {
    co_await send_replies();
    if (acks_.empty() || stopped_ || protocol_->discarding()) break;
    co_await wait_progress(Connection::TimePoint::max());
  }
}

/// That the connection ends is all a plain client is told: everything is in the journal (interface.md section
/// 2).
asio::awaitable<void> StreamSession::wait_written() {
  const AckLevel level = std::min(handler_.level_max(), AckLevel::buffered);
  const uint64_t mark = handler_.journal_mark();
  while (!stopped_ && !handler_.has_reached(mark, level))
    co_await wait_progress(Connection::TimePoint::max());
}

/// Until the journal has got on, cancel(), or `deadline`. Whoever calls has looked just before.
asio::awaitable<void> StreamSession::wait_progress(Connection::TimePoint deadline) {
  context_.waiting.add(*this);
  sleeping_ = true;
  co_await connection_.sleep_until(deadline);
  sleeping_ = false;
}

asio::awaitable<void> StreamSession::obey(Request request) {
  switch (request.kind) {
    case Request::Kind::hello:
      co_await welcome(std::move(request.hello));
      break;
    case Request::Kind::sync:
      co_await wait_acknowledged();
      if (ending()) break;
      protocol_->replies().synced(out_, request.text,
                                  protocol_->discarding() ? told_seq_ : producer_.next_seq - 1);
      break;
    case Request::Kind::bye:
      closing_ = true;
      break;
    case Request::Kind::jump:
      if (protocol_->discarding()) break;
      handler_.on_jump(producer_, request.number);
      break;
    case Request::Kind::ring:
      rings_->attach(request.text, protocol_->replies(), out_);
      if (!rings_->all_kept()) keep_no_more();
      if (!rings_->key().empty()) keep_as(rings_->key()), keep_now();
      break;
    case Request::Kind::drops:
      on_dropped(request);
      break;
    case Request::Kind::error:
      say_error(request.text);
      break;
  }
}

asio::awaitable<void> StreamSession::welcome(Hello hello) {
  co_await wait_acknowledged();
  if (ending()) co_return;
  acks_.clear();
  welcomed_ = false;
  hello.taken_over = [self = weak_from_this()] {
    if (auto session = self.lock()) static_cast<StreamSession&>(*session).on_taken_over();
  };
  producer_.service = hello.service;
  const auto welcome = handler_.on_hello(producer_, std::move(hello));
  if (!welcome) {
    say_error(welcome.error().message + ": this client_id belongs to another user");
    co_return;
  }
  protocol_->on_welcome();
  owed_seq_ = told_seq_ = producer_.next_seq - 1;
  // A client may take last_seq for an acknowledgement of what another connection brought.
  const auto deadline = std::chrono::steady_clock::now() + kWelcomeWait;
  const uint64_t mark = producer_.client->mark;
  while (!handler_.has_reached(mark, welcome->level) && !ending() &&
         std::chrono::steady_clock::now() < deadline)
    co_await wait_progress(deadline);
  if (ending()) co_return;
  welcomed_ = true;
  if (!kept_key_.empty()) keep_as(kept_key_);  // it may be another client now
  protocol_->replies().welcome(out_,
                               {producer_.client->identity->client_id, welcome->level, welcome->last_seq,
                                context_.buffer.record_bytes_max, handler_.policy(), rings_ != nullptr});
  // With rings it is kept together with them.
  if (!rings_ && context_.kept.available() && context_.kept.admits_new()) keep_now();
}

/// What is committed in its rings belongs to the connection, as what lies in its socket does.
asio::awaitable<void> StreamSession::finish_rings() {
  if (!rings_) co_return;
  rings_->finish();
  while (!rings_->finished() && !stopped_) co_await connection_.sleep_until(Connection::TimePoint::max());
}

/// What a client of its own language gets wrong it gets wrong again: after three times it is let alone.
void StreamSession::on_violation(std::string_view) {
  if (!context_.violations.add(producer_.peer, system_clock().monotonic_ns()) || closing_) return;
  protocol_->replies().error(last_words_, "violations", "this process has broken the protocol three times");
  closing_ = true;
  connection_.cancel();
}

void StreamSession::on_dropped(const Request& request) {
  uint64_t& dropped = producer_.client->dropped;
  dropped += std::min(request.number, UINT64_MAX - dropped);
  log::sampled(log::Level::warn, "client_drops", "{}: the client says it dropped {} records: {}",
               producer_.peer.address, request.number, request.text);
}

/// `text`: `REASON_WORD: detail`.
void StreamSession::say_error(std::string_view text) {
  const std::string_view reason = text.substr(0, text.find(':'));
  const std::string_view detail = text.substr(std::min(reason.size() + 2, text.size()));
  log::sampled(log::Level::warn, "protocol", "{}: connection closed: {}", producer_.peer.address, detail);
  constexpr std::string_view kViolations[] = {"bad_frame", "bad_hello", "too_long", "unknown_frame"};
  if (rings_ && std::ranges::count(kViolations, reason)) {  // frames of a process
    closing_ = true;
    on_violation(reason);
  }
  protocol_->replies().error(last_words_, reason, detail);
  closing_ = true;
}

asio::awaitable<void> StreamSession::send_replies() {
  sending_ = true;
  if (!out_.empty()) set_busy();
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
  sending_ = false;
  out_.clear();
  if (out_.capacity() > 4096) out_.shrink_to_fit();
}

/// Closing with unread bytes resets a TCP connection, and the reset may overtake our last words: read them
/// away for a moment.
asio::awaitable<void> StreamSession::linger() {
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
