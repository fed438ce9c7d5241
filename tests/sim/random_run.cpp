#include "tests/sim/random_run.h"

#include "agent/core/log.h"
#include "tests/sim/world.h"

namespace weir::test {
namespace {

constexpr int64_t kMillisecond = 1'000'000;

/// What a seed decides: how big everything is, what goes wrong how often, and then each step.
class RandomRun {
 public:
  explicit RandomRun(uint64_t seed) : random_(seed), world_(make_state(), make_disk()) {}

  RunResult run() {
    RunResult result;
    try {
      if (log::process_logger().enabled(log::Level::debug))
        world_.disk.on_call = [](const SimCall& call) {
          constexpr std::string_view kNames[] = {"open",   "read", "write", "allocate", "truncate",
                                                 "sync",   "sync", "stat",  "mkdir",    "rename",
                                                 "unlink", "list", "close"};
          if (call.kind != IoCall::read && call.kind != IoCall::stat && call.kind != IoCall::close)
            log::debug("sim:     {} {} {}", call.number, kNames[size_t(call.kind)], call.path);
        };
      world_.start();
      const size_t steps = 100 + below(900);
      for (; result.step < steps; ++result.step) {
        step();
        world_.look();
      }
      settle();
    } catch (const SimFailure& failure) {
      result.failure = failure.what();
    }
    for (const ClientLedger& ledger : world_.state().ledgers) result.records += ledger.sent;
    result.lives = lives_, result.power_cuts = power_cuts_, result.faults = faults_;
    result.resent = world_.resent, result.judged = world_.judged_lines, result.calls = world_.disk.calls;
    return result;
  }

 private:
  size_t below(size_t n) { return size_t(random_() % n); }
  bool one_in(size_t n) { return below(n) == 0; }

  SimState make_state() {
    SimState state;
    const size_t clients = 1 + below(5);
    for (size_t c = 0; c < clients; ++c) {
      ClientLedger ledger;
      ledger.client = unsigned(c);
      ledger.numbered = !one_in(4);
      ledger.level = ledger.numbered ? AckLevel(1 + below(3)) : AckLevel::none;
      state.ledgers.push_back(std::move(ledger));
    }
    state.segment_bytes = (16 + below(64)) << 10;
    state.journal_bytes_max = state.segment_bytes * (3 + below(20));
    crash_every_ = one_in(3) ? 0 : 20 + below(200);
    flips_ = one_in(5);
    fault_every_ = one_in(3) ? 0 : 20 + below(100);
    state.sinks.push_back({.name = "file", .rotate_bytes = 2'000 + below(60'000)});
    if (one_in(2))
      state.sinks.push_back({.name = "traces", .streams = {Stream::trace}, .rotate_bytes = 10'000'000});
    state.sinks.push_back({.name = "collected",
                           .file = false,
                           .streams = {Stream::log},
                           .limit = one_in(2) ? WhenFull::block : WhenFull::drop_oldest});
    return state;
  }

  SimDisk make_disk() {
    SimDisk disk(clock_);
    disk.make_directories("/data");
    disk.make_directories("/out");
    return disk;
  }

  void step() {
    if (crash_every_ > 0 && one_in(crash_every_)) return crash();
    if (fault_every_ > 0 && one_in(fault_every_)) return trouble();
    if (one_in(60)) return reload();
    switch (below(12)) {
      case 0:
      case 1:
      case 2:
      case 3: {
        const size_t client = below(world_.state().ledgers.size());
        const uint64_t records = 1 + below(one_in(10) ? 200 : 8);
        const bool taken = world_.send(client, records);
        log::debug("sim: client {} sends {}: {}", client, records, taken);
        break;
      }
      case 4:
      case 5:
        log::debug("sim: write {}", world_.step_write());
        break;
      case 6:
        log::debug("sim: sync {}", world_.step_sync());
        break;
      case 7:
        log::debug("sim: checkpoint {}", world_.step_checkpoint());
        break;
      case 8:
        world_.state().clock.advance_ns(int64_t(below(one_in(10) ? 8'000 : 60)) * kMillisecond);
        break;
      default: {
        if (world_.sink_count() == 0) break;
        const size_t sink = below(world_.sink_count());
        log::debug("sim: sink {} {}", sink, world_.step_sink(sink));
      }
    }
  }

  void crash() {
    ++lives_;
    const size_t kind = below(5);
    log::debug("sim: {}", kind < 2 ? "kill" : kind == 2 ? "stop" : "power cut");
    // Only in what a checkpoint says is durable: elsewhere a power cut may have done it.
    const bool flip = flips_ && one_in(3) && world_.settle();
    switch (kind) {
      case 0:
      case 1:
        world_.kill();
        break;
      case 2:
        world_.stop();
        break;
      default:
        ++power_cuts_;
        world_.cut_power(random_, {.data = PowerCut::Data(below(4)),
                                   .lengths = PowerCut::Changes(below(3)),
                                   .names = PowerCut::Changes(below(3))});
    }
    if (one_in(2)) world_.disk.faults = nullptr;
    if (flip) world_.flip_bit_in_sealed_segment(random_);
    world_.start(one_in(2));
    if (one_in(4)) crash();
  }

  void trouble() {
    ++faults_;
    SimDisk& disk = world_.disk;
    const size_t kind = below(9);
    log::debug("sim: trouble {}", kind);
    switch (kind) {
      case 0:
        disk.faults = fail_calls(IoCall::sync, one_in(2) ? "/out" : "/data", {EIO}, 1 + int(below(5)));
        break;
      case 1:
        disk.faults =
            fail_calls(IoCall(below(13)), "/", {one_in(2) ? EIO : ENOSPC}, 1 + int(below(3)), int(below(10)));
        break;
      case 2:
        disk.faults = fail_some(random_(), unsigned(1 + below(100)),
                                {IoCall::write, IoCall::sync, IoCall::allocate, IoCall::open});
        break;
      case 3:
        disk.capacity_bytes = disk.used_bytes() + below(200'000);
        break;
      case 4:
        world_.collecting_failure = [random = SimRandom(random_())]() mutable -> std::optional<uint64_t> {
          if (random() % 3 != 0) return std::nullopt;
          return random() % 20;
        };
        break;
      case 5:
        if (flips_ && world_.settle()) world_.flip_bit_in_sealed_segment(random_);
        break;
      case 6:
        disk.faults = fail_calls(IoCall::open, "/out", {EACCES}, 1 + int(below(40)));
        break;
      default:
        disk.faults = nullptr, disk.capacity_bytes = UINT64_MAX;
        world_.collecting_failure = [] { return std::nullopt; };
    }
    if (!disk.faults) return;
    disk.faults = [faults = disk.faults](const SimCall& call) -> std::optional<SimFault> {
      const auto fault = faults(call);
      if (fault)
        log::debug("sim: call {} of kind {} on {}: error {}, {} bytes", call.number, int(call.kind),
                   call.path, fault->error, fault->bytes);
      return fault;
    };
  }

  void reload() {
    const size_t sinks = world_.sink_count();
    const size_t kind = below(5);
    log::debug("sim: reload {}", kind);
    switch (kind) {
      case 0:
        world_.set_journal_bytes_max(world_.state().segment_bytes * (3 + below(20)));
        break;
      case 1:
        world_.apply_pipeline();
        break;
      case 2:
        if (sinks > 0)
          world_.set_lag_limit(below(sinks), {one_in(2) ? WhenFull::block : WhenFull::drop_oldest,
                                              one_in(2) ? UINT64_MAX : 20'000 + below(500'000)});
        break;
      case 3:
        if (sinks < 5)
          world_.add_sink({.name = "extra" + std::to_string(++extras_),
                           .file = one_in(2),
                           .limit = one_in(2) ? WhenFull::block : WhenFull::drop_oldest,
                           .from_start = false});
        break;
      default:
        if (sinks > 1 && one_in(2)) world_.remove_sink(below(sinks));
    }
  }

  /// The end: all is judged; sometimes once more after a restart of whatever kind, which must change nothing.
  void settle() {
    log::debug("sim: the end");
    world_.drain_and_judge();
    if (one_in(3)) return;
    ++lives_;
    if (one_in(2))
      world_.kill();
    else
      world_.cut_power(random_, {});
    world_.start(one_in(2));
    world_.drain_and_judge();
  }

  SimRandom random_;
  ManualClock clock_;
  size_t crash_every_ = 0, fault_every_ = 0, extras_ = 0;
  bool flips_ = false;
  uint64_t lives_ = 1, power_cuts_ = 0, faults_ = 0;
  World world_;
};

}  // namespace

RunResult run_seed(uint64_t seed) {
  seed_system_randomness(seed);
  return RandomRun(seed).run();
}

}  // namespace weir::test
