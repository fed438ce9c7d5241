#pragma once
#include <deque>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "agent/journal/disk_journal.h"
#include "agent/pipeline/pipeline.h"
#include "tests/sim/ledger.h"
#include "tests/sim/stepped_sink.h"
#include "tests/support/sim_disk.h"

namespace weir::test {

/// Something that must be true is not.
struct SimFailure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// A sink of the configuration.
struct SimSinkConfig {
  std::string name;
  bool file = true;  ///< else a CollectingSink
  StreamSet streams = StreamSet::all();
  LagLimit limit = {WhenFull::block};
  uint64_t rotate_bytes = 20'000;
  bool from_start = true;  ///< it was there before the first record
  bool ended = false;      ///< taken out of the configuration
  bool drained = false;    ///< after that, and what it delivered is durable
  bool abandoned = false;  ///< that, and its agent did not see it drained: nobody cares for its file
  std::vector<std::string> received = {};  ///< what a CollectingSink took
};

/// What outlives the agent, but for the disk. Can be copied.
struct SimState {
  ManualClock clock;
  std::vector<ClientLedger> ledgers;
  std::deque<SimSinkConfig> sinks;  ///< sinks that run refer to theirs
  uint64_t journal_bytes_max = 1 << 20;
  uint64_t segment_bytes = 32 << 10;
  int boot = 1;
  bool damaged = false;  ///< bits were flipped: what is counted as damaged may be missing
  /// A full segment that nobody waited for could not be synced: what is in it may be damaged after a power
  /// cut, and nobody was told that it is durable.
  bool sync_failed = false;
};

/// One agent on a simulated disk, its clients and its sinks, one step at a time (the threads' work is done by
/// whoever calls the functions). Each function may throw SimFailure: the oracle's word (delivery.md section
/// 2).
class World {
 public:
  World(SimState state, SimDisk disk);
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  /// The agent comes up, its clients say hello. `resend`: clients go on from what they know themselves, not
  /// from what they are told. It must come up whatever the disk holds; with faults it is tried once more
  /// without them.
  void start(bool resend = false);
  bool is_up() const { return life_ != nullptr; }
  void stop();  ///< SIGTERM
  void kill();  ///< SIGKILL
  void cut_power(SimRandom& random, const PowerCut& how);

  /// What would be left if that happened now, in the middle of a call of Io even: a world without an agent.
  std::unique_ptr<World> if_killed() const;
  std::unique_ptr<World> if_power_cut(SimRandom& random, const PowerCut& how) const;

  /// One turn of one client: so many records, fewer when the agent pauses. False: it takes nothing just now.
  bool send(size_t client, uint64_t records);
  bool step_write();
  bool step_sync();
  bool step_checkpoint();
  /// Everything is durable now, and a checkpoint says so.
  bool settle();
  bool step_sink(size_t sink);
  size_t sink_count() const;
  /// Acknowledgements arrive; all balances are looked at.
  void look();

  // Reload.
  void set_journal_bytes_max(uint64_t bytes);
  void set_lag_limit(size_t sink, LagLimit limit);
  void add_sink(SimSinkConfig config);
  void remove_sink(size_t sink);
  void apply_pipeline();

  /// A bit of a segment that is not written to any more. False: there is none.
  bool flip_bit_in_sealed_segment(SimRandom& random);

  /// Faults end, everything is sent (again) and drained; then judged.
  void drain_and_judge();

  const SimState& state() const { return state_; }
  SimState& state() { return state_; }
  SimDisk disk;
  /// How many of a batch a CollectingSink takes before it fails; nothing: it does not.
  std::function<std::optional<uint64_t>()> collecting_failure = [] { return std::nullopt; };
  uint64_t welcomes = 0, resent = 0, judged_lines = 0;  ///< for whoever wants to know that something happened

 private:
  struct Life;
  static constexpr const char* kJournalPath = "/data/journal";
  void open_sinks();
  std::unique_ptr<SteppedSink> make_sink(SimSinkConfig& config);
  void hello(size_t client, bool resend);
  void turn_ended(Intake intake);
  void look_at_files() const;
  void say_state(const char* when) const;
  void end_of_life(AckLevel survives);
  Delivered delivered_by(const SimSinkConfig& config) const;
  bool is_drained() const;

  SimState state_;
  std::unique_ptr<Life> life_;
};

}  // namespace weir::test
