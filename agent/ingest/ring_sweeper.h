#pragma once
#include <boost/asio/posix/stream_descriptor.hpp>
#include <memory>
#include <vector>

#include "agent/core/clock.h"
#include "agent/ingest/intake_gate.h"
#include "agent/ingest/waiting_list.h"
#include "agent/ring/ring_set.h"

namespace weir {

/// Sweeps the rings of all connections: every millisecond where something comes; a process that has been
/// silent for 100 ms is left alone until its doorbell rings, or (it might not) 100 ms have passed. No thread
/// of its own: between two turns of the pipe thread. Nothing is swept while the journal is full. Held by its
/// coroutine and by the sessions that have rings.
class RingSweeper final : public Waiter, public std::enable_shared_from_this<RingSweeper> {
 public:
  static constexpr int64_t kNapNs = 1'000'000;
  static constexpr int64_t kSilentNs = 100'000'000;  ///< then it naps deeply; and how deeply

  RingSweeper(asio::io_context& io, IntakeGate& gate, WaitingList& waiting, const Clock& clock)
      : io_(io), gate_(gate), waiting_(waiting), clock_(clock), timer_(io) {}

  ring::RingTools& tools() { return tools_; }
  /// From now on, until remove(). `on_change`: finished() of the set may have become true.
  void add(std::shared_ptr<ring::RingSet> set, std::function<void()> on_change);
  /// Null: it will be listened to. Else why not.
  const char* set_doorbell(ring::RingSet& set, ring::Descriptor eventfd);
  void remove(ring::RingSet& set);
  /// Look at it at once.
  void hurry(ring::RingSet& set);
  void on_progress() override;

 private:
  using Doorbell = asio::posix::stream_descriptor;
  enum class Sleep {
    awake,
    falling,  ///< it knows that it has to ring; one more look
    deep,
  };
  struct Watched {
    std::shared_ptr<ring::RingSet> set;
    std::function<void()> on_change;
    std::unique_ptr<Doorbell> doorbell;
    Sleep sleep = Sleep::awake;
    int64_t last_record_ns = 0;
    int64_t look_ns = 0;  ///< deep: when next
    bool armed = false;   ///< waits for the doorbell
    bool removed = false;
  };
  static asio::awaitable<void> run(std::shared_ptr<RingSweeper> self);
  bool sweep_all(int64_t& next_ns);
  bool sweep_one(Watched& w, int64_t now_ns);
  void fall_asleep(Watched& w, int64_t now_ns);
  void wake(Watched& w);
  void await_doorbell(const std::shared_ptr<Watched>& w);
  std::shared_ptr<Watched> find(const ring::RingSet& set) const;

  asio::io_context& io_;
  IntakeGate& gate_;
  WaitingList& waiting_;
  const Clock& clock_;
  asio::steady_timer timer_;
  ring::RingTools tools_;
  std::vector<std::shared_ptr<Watched>> watched_;
  bool running_ = false;
};

}  // namespace weir
