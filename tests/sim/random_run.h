#pragma once
#include <cstdint>
#include <string>

namespace weir::test {

struct RunResult {
  std::string failure;  ///< empty: all was well
  uint64_t step = 0;    ///< at which it ended
  // What happened, so that a run in which nothing does is noticed.
  uint64_t records = 0, lives = 0, power_cuts = 0, faults = 0, resent = 0, judged = 0, calls = 0;
};

/// What goes wrong too, where that is not yet borne.
struct RunOptions {
  bool outputs_fail_to_sync = false;  ///< fdatasync of an output file
  bool faults_at_start = false;       ///< of the journal's files, while it looks at what is there
};

/// One run of the simulator: everything in it follows from `seed` and options.
RunResult run_seed(uint64_t seed, RunOptions options = {});

/// Makes getrandom() and std::random_device of this program follow from a seed, too.
void seed_system_randomness(uint64_t seed);

}  // namespace weir::test
