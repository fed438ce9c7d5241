// A small life of the agent, and what would be left of it at each of its calls of Io: when it is killed
// there, and when the power goes, in all ways in which a disk forgets. From each of these states it must come
// up, and go on as promised.
#include <doctest/doctest.h>

#include "agent/core/log.h"
#include "tests/sim/random_run.h"
#include "tests/sim/world.h"

using namespace weir;
using namespace weir::test;

namespace {

constexpr int64_t kMillisecond = 1'000'000;

SimState small_state() {
  SimState state;
  for (unsigned client = 0; client < 3; ++client) {
    ClientLedger ledger;
    ledger.client = client;
    ledger.numbered = client < 2;
    ledger.level = client == 0 ? AckLevel::durable : client == 1 ? AckLevel::buffered : AckLevel::none;
    state.ledgers.push_back(std::move(ledger));
  }
  state.segment_bytes = 16 << 10;
  state.journal_bytes_max = 64 << 10;
  state.sinks.push_back({.name = "file", .rotate_bytes = 5'000});
  state.sinks.push_back({.name = "traces", .streams = {Stream::trace}});
  state.sinks.push_back({.name = "collected", .file = false, .streams = {Stream::log}});
  return state;
}

/// What happens, one step after the other.
void live(World& world, int rounds) {
  for (int round = 0; round < rounds; ++round) {
    world.state().clock.advance_ns(round % 8 == 7 ? 6'000 * kMillisecond : 3 * kMillisecond);
    world.send(size_t(round % 3), 4 + uint64_t(round % 5));
    world.step_write();
    if (round % 3 == 0) world.step_sync();
    if (round % 4 == 1) world.step_checkpoint();
    for (size_t sink = 0; sink < world.sink_count(); ++sink)
      if ((round + int(sink)) % 2 == 0) world.step_sink(sink);
    world.look();
  }
}

}  // namespace

TEST_CASE("from whatever a crash leaves at any call, the agent comes up and keeps what it promised") {
  log::process_logger().set_level(log::Level::error);
  seed_system_randomness(1);
  std::vector<PowerCut> cuts;
  for (const auto data :
       {PowerCut::Data::lost, PowerCut::Data::kept, PowerCut::Data::mixed, PowerCut::Data::torn})
    for (const auto changes : {PowerCut::Changes::lost, PowerCut::Changes::kept, PowerCut::Changes::prefix})
      cuts.push_back({data, changes, changes});
  cuts.push_back({PowerCut::Data::lost, PowerCut::Changes::kept, PowerCut::Changes::lost});
  cuts.push_back({PowerCut::Data::kept, PowerCut::Changes::lost, PowerCut::Changes::kept});
  ManualClock clock;
  SimDisk disk(clock);
  disk.make_directories("/data"), disk.make_directories("/out");
  World world(small_state(), std::move(disk));
  SimRandom random(1);
  uint64_t states = 0, failures = 0;
  const auto survive = [&](World& left, const SimCall& call, const std::string& what) {
    ++states;
    try {
      left.start(states % 2 == 0);
      left.drain_and_judge();
    } catch (const SimFailure& failure) {
      if (++failures <= 20)
        FAIL_CHECK("call " << call.number << " (kind " << int(call.kind) << ", " << call.path << "), " << what
                           << ": " << std::string(failure.what()));
    }
  };
  world.disk.on_call = [&](const SimCall& call) {
    survive(*world.if_killed(), call, "killed");
    for (size_t cut = 0; cut < cuts.size(); ++cut)
      survive(*world.if_power_cut(random, cuts[cut]), call, "power cut " + std::to_string(cut));
  };
  world.start();
  live(world, 45);
  world.disk.on_call = nullptr;
  MESSAGE(states << " states, " << world.state().ledgers[0].sent << " records of the first client");
  CHECK(states >= 10'000);
  CHECK(failures == 0);
  world.drain_and_judge();
}
