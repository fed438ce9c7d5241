#include "agent/ingest/session.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include "agent/core/log.h"

namespace weir {
namespace {

constexpr auto kHandshakeMax = std::chrono::seconds(10);

}  // namespace

Session::Session(IngestContext& context, FrameHandler& handler, std::unique_ptr<ByteStream> stream,
                 Producer producer)
    : context_(context),
      handler_(handler),
      connection_(context.io, std::move(stream)),
      producer_(std::move(producer)) {
  ++producer_.stats->connections;
  if (producer_.peer.uid) share_ = context_.shares.of(*producer_.peer.uid);
  if (share_) ++share_->connections;
}

Session::~Session() {
  --producer_.stats->connections;
  if (share_) --share_->connections;
}

void Session::start(std::function<void(Session&)> on_end) {
  on_end_ = std::move(on_end);
  asio::co_spawn(context_.io, session_loop(shared_from_this()), asio::detached);
}

void Session::drain() {
  draining_ = true;
  connection_.cancel();
}

void Session::stop() {
  stopped_ = true;
  connection_.cancel();
  context_.gate.wake();
}

asio::awaitable<void> Session::session_loop(std::shared_ptr<Session> self) {
  Session& s = *self;
  try {
    const bool ready = co_await s.handshake();
    if (ready) co_await s.serve();
  } catch (
      const std::exception& e) {  // of a library, as out of memory: this connection ends, the others go on
    log::error("{}: connection closed: {}", s.producer_.peer.address, e.what());
  }
  s.let_go();
  s.handler_.on_close(s.producer_);
  s.connection_.close();
  s.on_end_(s);
}

asio::awaitable<bool> Session::handshake() {
  const auto deadline = std::chrono::steady_clock::now() + kHandshakeMax;
  while (!stopped_) {
    IoStep step = connection_.stream().handshake();
    if (step.is(IoStep::Kind::done)) co_return true;
    const bool waits = step.is(IoStep::Kind::want_read) || step.is(IoStep::Kind::want_write);
    bool in_time = false;
    if (waits) in_time = co_await connection_.wait_until(step.kind, deadline);
    if (in_time) continue;
    log::sampled(log::Level::warn, "tls", "{}: connection refused: {}", producer_.peer.address,
                 waits                           ? "no TLS handshake within 10 s"
                 : step.is(IoStep::Kind::closed) ? "closed within the TLS handshake"
                                                 : step.error);
    break;
  }
  co_return false;
}

asio::awaitable<void> Session::end_turn() {
  context_.gate.set(handler_.on_turn_end(producer_));
  while (!context_.gate.is_open_to(producer_) && !stopped_) co_await context_.gate.wait();
}

}  // namespace weir
