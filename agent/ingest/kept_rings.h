#pragma once
#include <functional>
#include <memory>

#include "agent/ingest/ring_link.h"
#include "agent/ingest/ring_writer.h"
#include "agent/ingest/session.h"

namespace weir {

/// The rings of a process whose connection has ended with the agent before this one: read on until its client
/// attaches them anew, which takes them over one by one, or until nobody can write to them any more and all
/// of it is journalled. Their memory is counted as their user's until he attaches it himself again. Held by
/// its coroutine. Pipe thread only.
class KeptRings : public std::enable_shared_from_this<KeptRings> {
 public:
  /// `producer` is as the card of `group` says.
  KeptRings(IngestContext& context, FrameHandler& handler, Producer producer);
  /// Before any client can say hello. `on_end` is called once, unless this answers false: there is nothing.
  bool start(KeptGroup& group, std::function<void(KeptRings&)> on_end);
  /// Take what is committed now, and end.
  void drain();
  void stop();

 private:
  static asio::awaitable<void> run(std::shared_ptr<KeptRings> self);
  bool is_over();

  IngestContext& context_;
  FrameHandler& handler_;
  Producer producer_;
  RingLink link_;
  RingWriter writer_;
  asio::steady_timer timer_;
  std::function<void(KeptRings&)> on_end_;
  bool draining_ = false, stopped_ = false;
  bool said_hello_ = false;  ///< somebody, as this client, on a connection of his own
};

}  // namespace weir
