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

/// One run of the simulator: everything in it follows from `seed`.
RunResult run_seed(uint64_t seed);

/// Makes getrandom() and std::random_device of this program follow from a seed, too.
void seed_system_randomness(uint64_t seed);

}  // namespace weir::test
