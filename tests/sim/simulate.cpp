// Any number of seeds of the simulator, from one on: ./dev sim [SEEDS] [--seed N] [--from N] [--log]
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "agent/core/log.h"
#include "tests/sim/random_run.h"

using namespace weir;

namespace {

uint64_t current_seed = 0;

/// An assertion of the code under test.
void say_seed(int) {
  std::printf("seed %llu: an assertion failed\n  again: ./dev sim --seed %llu --log\n",
              static_cast<unsigned long long>(current_seed), static_cast<unsigned long long>(current_seed));
  std::fflush(stdout);
  std::_Exit(2);
}

}  // namespace

int main(int argc, char** argv) {
  uint64_t seeds = 1000, first = 1;
  bool loud = false;
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word == "--seed" && i + 1 < argc)
      first = std::strtoull(argv[++i], nullptr, 10), seeds = 1;
    else if (word == "--from" && i + 1 < argc)
      first = std::strtoull(argv[++i], nullptr, 10);
    else if (word == "--log")
      loud = true;
    else
      seeds = std::strtoull(argv[i], nullptr, 10);
  }
  log::process_logger().set_level(loud ? log::Level::debug : log::Level::error);
  if (!loud && !std::freopen("/dev/null", "w", stderr)) return 1;
  std::signal(SIGABRT, say_seed);
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  test::RunResult total;
  uint64_t failed = 0;
  for (uint64_t seed = first; seed < first + seeds; ++seed) {
    current_seed = seed;
    const test::RunResult r = test::run_seed(seed);
    total.records += r.records, total.lives += r.lives, total.power_cuts += r.power_cuts;
    total.faults += r.faults, total.resent += r.resent, total.judged += r.judged, total.calls += r.calls;
    if (!r.failure.empty()) {
      ++failed;
      std::printf("seed %llu, step %llu: %s\n  again: ./dev sim --seed %llu\n",
                  static_cast<unsigned long long>(seed), static_cast<unsigned long long>(r.step),
                  r.failure.c_str(), static_cast<unsigned long long>(seed));
    }
    if ((seed - first + 1) % 500 == 0) {
      std::printf("%llu of %llu seeds\n", static_cast<unsigned long long>(seed - first + 1),
                  static_cast<unsigned long long>(seeds));
      std::fflush(stdout);
    }
  }
  std::printf(
      "%llu seeds, %llu failed: %llu records sent, %llu sent again, %llu lines judged, %llu lives (%llu "
      "power cuts), %llu troubles, %llu calls of Io\n",
      static_cast<unsigned long long>(seeds), static_cast<unsigned long long>(failed),
      static_cast<unsigned long long>(total.records), static_cast<unsigned long long>(total.resent),
      static_cast<unsigned long long>(total.judged), static_cast<unsigned long long>(total.lives),
      static_cast<unsigned long long>(total.power_cuts), static_cast<unsigned long long>(total.faults),
      static_cast<unsigned long long>(total.calls));
  return failed == 0 ? 0 : 1;
}
