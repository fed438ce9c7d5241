#pragma once
#include <functional>
#include <memory>

#include "agent/ingest/ring_link.h"
#include "agent/ingest/session.h"

namespace weir {

/// The rings of a process whose connection has ended with the agent before this one: read on until its client
/// attaches them anew, which takes them over one by one, or until it is gone and all of it is journalled.
/// Held by its coroutine. Pipe thread only.
class KeptRings : public std::enable_shared_from_this<KeptRings> {
 public:
  /// With nobody there who hears of it, this is taken for the end of the process, too.
  static constexpr int kQuietLooksMax = 60;  ///< one a second

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
  asio::steady_timer timer_;
  std::function<void(KeptRings&)> on_end_;
  int quiet_looks_ = 0;
  bool draining_ = false, stopped_ = false;
};

}  // namespace weir
