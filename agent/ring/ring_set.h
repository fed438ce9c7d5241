#pragma once
#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/core/frame_handler.h"
#include "agent/ring/arena.h"
#include "agent/ring/ring.h"
#include "agent/ring/ring_clock.h"
#include "agent/ring/transcode.h"
#include "proto/ring.h"

namespace weir::ring {

/// What all sets of the pipe thread share.
struct RingTools {
  RingClock clock;
  Transcoder transcoder;
  std::vector<char> record;  ///< the one in hand
  size_t rings = 0;          ///< attached, all sets together
};

/// What an attempt to attach came to: the answer to the client's RING frame.
struct Attached {
  RingCode code = kAttached;
  std::string text;
  bool follows = false;  ///< a refusal that is the consequence of one before
};

struct Swept {
  Intake intake = Intake::taken;
  uint64_t records = 0;
  bool more = false;  ///< it stopped before everything due was through
};

/// The rings of one process (one connection), read as one source: merged by their records' clocks, up to the
/// moment a sweep began. Pipe thread only; no waiting, no timers: agent/ingest/ring_sweeper.h calls.
class RingSet {
 public:
  static constexpr size_t kRingsMax = 1024;  ///< of a connection
  static constexpr size_t kAllRingsMax =
      8192;  ///< of the agent: each is three of a process's 65,530 mappings
  static constexpr size_t kSweepBytesMax = 256 << 10;

  /// `owner` is the connection's producer, which has said hello; it, `handler` and `tools` outlive the set.
  RingSet(FrameHandler& handler, const Producer& owner, RingTools& tools);
  ~RingSet();
  RingSet(const RingSet&) = delete;
  RingSet& operator=(const RingSet&) = delete;

  /// `fd`: -1, none came; Descriptor::kLost, see there. Does not keep it; what is to be done with a doorbell
  /// is the caller's affair. `bytes_left`: how much memory may still be attached.
  Attached attach(uint8_t what, uint64_t ring_id, int fd, uint64_t bytes_left);

  /// Has nothing changed since the last sweep, which found nothing?
  bool is_quiet() const {
    return std::ranges::all_of(rings_, [](auto& ring) { return ring->is_quiet(); });
  }
  /// A thread has made a ring that has not come yet: a sweep could take what other threads wrote after its
  /// first records. True for kRingAwaitedNs at most. Before each sweep.
  bool awaits_ring(int64_t monotonic_ns);
  static constexpr int64_t kRingAwaitedNs = 20'000'000;
  /// Of all rings, as seen by the last sweep: changes whenever a client has written, or dropped, something.
  uint64_t written() const;
  /// At most kSweepBytesMax, and a record.
  Swept sweep();
  /// After each sweep that was taken, and when the journal has got on: tells clients what is safe.
  void publish();
  /// Something taken is not safe yet.
  bool waits() const;
  void set_napping(bool napping);

  /// Its client is gone: what is committed now is taken, nothing after that.
  void finish();
  bool finishing() const { return finishing_; }
  /// Everything is taken, and safe.
  bool finished() const;

  /// Lets go of all rings and says so. Before the handler goes; without it they are only unmapped.
  void close();

  size_t ring_count() const { return rings_.size(); }
  uint64_t bytes() const { return bytes_; }
  /// Called for each violation, within sweep().
  std::function<void(const char* what)> on_violation;
  /// Called when a ring is let go of: it was closed, another reader has taken it over, or close().
  std::function<void(uint64_t ring_id)> on_gone;

 private:
  struct Next {
    int64_t ns;
    Ring* ring;
    bool operator<(const Next& other) const { return ns > other.ns; }  // the earliest is the heap's front
  };
  Attached attach_arena(int fd, uint64_t bytes_left);
  Attached attach_ring(int fd, uint64_t ring_id, uint64_t bytes_left);
  void look(int64_t cut_ns);
  void look_ahead(Ring& ring, int64_t cut_ns);
  Intake take(Ring& ring);
  void count_dropped(Ring& ring);
  void let_go_of_closed();
  void detach(Ring& ring);
  void uncount(const Ring& ring);
  void violation(Ring& ring, const char* what);

  FrameHandler& handler_;
  const Producer& owner_;
  RingTools& tools_;
  const AckLevel safe_;
  std::unique_ptr<Arena> arena_;
  std::vector<std::unique_ptr<Ring>> rings_;
  std::vector<Next> heap_;
  bool has_doorbell_ = false, finishing_ = false;
  uint64_t bytes_ = 0;
  uint64_t newest_ = 0;   // number of the newest ring that has come, or does not come
  uint64_t awaited_ = 0;  // number of the one that is to come; 0: none
  int64_t awaited_since_ns_ = 0;
  std::optional<int64_t> cut_ns_;  // of the sweep that waits
};

}  // namespace weir::ring
