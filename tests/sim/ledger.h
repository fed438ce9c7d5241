#pragma once
#include <array>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "agent/core/ack_level.h"
#include "tests/sim/sim_record.h"

namespace weir::test {

/// What one client has sent, and what it was promised (delivery.md section 2). Outlives every crash.
struct ClientLedger {
  unsigned client = 0;
  bool numbered = true;
  AckLevel level = AckLevel::received;  ///< what it waits for
  uint64_t sent = 0;                    ///< highest number that was ever handed over
  uint64_t acked = 0;                   ///< what it has forgotten, because its level was reached
  std::array<uint64_t, 4> promised{};   ///< by level: everything up to there has it
  /// (from, to], none within another: gone by right, because no level that survived was reached. May be there
  /// all the same.
  std::map<uint64_t, uint64_t> excused;

  struct Handed {
    uint64_t mark, number;
  };
  std::deque<Handed> handed;  ///< of this life of the agent, not durable yet

  std::string id() const { return "client-" + std::to_string(client); }
  bool is_excused(uint64_t number) const {
    const auto behind = excused.lower_bound(number);  // keyed by `to`
    return behind != excused.end() && behind->second < number;
  }
  void excuse(uint64_t from, uint64_t to) {
    std::erase_if(excused, [&](const auto& e) { return e.second >= from && e.first <= to; });
    if (to > from) excused[to] = from;
  }
  uint64_t promised_at(AckLevel wanted) const { return promised[size_t(wanted)]; }
};

/// What a reader got of one sink, in order: whole lines without their line feeds.
struct Delivered {
  std::vector<std::string> lines;
  StreamSet streams = StreamSet::all();
  bool once = true;          ///< no record twice, ever
  bool from_start = true;    ///< nothing before it began is missing
  uint64_t missing_max = 0;  ///< so many records may be missing: they are counted as dropped
};

/// Empty, or what is wrong with what was delivered when everything sent has been handed over and drained.
std::string judge(const std::vector<ClientLedger>& ledgers, const Delivered& delivered);

}  // namespace weir::test
