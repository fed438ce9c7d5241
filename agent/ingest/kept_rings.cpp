#include "agent/ingest/kept_rings.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include "agent/core/clock.h"
#include "agent/core/log.h"

namespace weir {
namespace {

constexpr auto kLook = std::chrono::seconds(1);

}  // namespace

KeptRings::KeptRings(IngestContext& context, FrameHandler& handler, Producer producer)
    : context_(context),
      handler_(handler),
      producer_(std::move(producer)),
      link_(
          context, handler, producer_, producer_.peer.uid ? context.shares.of(*producer_.peer.uid) : nullptr,
          [this] { timer_.cancel(); },
          [this](const char*) { context_.violations.add(producer_.peer, system_clock().monotonic_ns()); }),
      writer_(producer_.peer.pid),
      timer_(context.io) {}

bool KeptRings::start(KeptGroup& group, std::function<void(KeptRings&)> on_end) {
  Hello hello;
  hello.client_id = group.card.client().client_id;
  hello.level = AckLevel::none;
  hello.taken_over = [self = weak_from_this()] {
    const auto rings = self.lock();
    if (!rings || rings->producer_.client->pid != rings->producer_.peer.pid) return;
    rings->said_hello_ = true;
    rings->link_.uncount();  // what it attaches now is, and this is over soon
  };
  hello.service = producer_.service = group.card.client().service;
  if (const auto welcome = handler_.on_hello(producer_, std::move(hello)); !welcome) {
    log::error("{}: what was kept of its rings cannot be read: {}", producer_.peer.address,
               welcome.error().message);
    return false;
  }
  link_.adopt(group, RingLink::Adopt::parts);
  log::info("{}: {} rings of before are read on", producer_.peer.address, link_.ring_count());
  on_end_ = std::move(on_end);
  asio::co_spawn(context_.io, run(shared_from_this()), asio::detached);
  return true;
}

void KeptRings::drain() {
  draining_ = true;
  timer_.cancel();
}

void KeptRings::stop() {
  stopped_ = true;
  timer_.cancel();
}

/// The process is gone, or is back, by now for up to a second: it has attached them anew, or was refused that
/// and sends what they hold itself, which must not come twice for ever. Another one with the name of one that
/// has died is not it.
bool KeptRings::is_over() {
  if (draining_ || link_.ring_count() == 0) return true;
  const ClientState& client = *producer_.client;
  if (said_hello_ || (client.owner != &producer_ && client.pid == producer_.peer.pid)) return true;
  return writer_.is_gone(link_.written());
}

asio::awaitable<void> KeptRings::run(std::shared_ptr<KeptRings> self) {
  KeptRings& s = *self;
  bool finishing = false;
  while (!s.stopped_ && !(finishing && s.link_.finished())) {
    if (!finishing && s.is_over()) {
      finishing = true;
      s.link_.finish();
      continue;
    }
    s.timer_.expires_after(kLook);
    co_await s.timer_.async_wait(kAwait);
  }
  s.link_.close();
  s.handler_.on_close(s.producer_);
  s.on_end_(s);
}

}  // namespace weir
