// Some seeds of the simulator in every test run; ./dev sim runs any number.
#include <doctest/doctest.h>

#include "agent/core/log.h"
#include "tests/sim/random_run.h"

using namespace weir;

TEST_CASE("through crashes, power cuts, faults and reloads nothing is lost, torn or doubled (seeds)") {
  log::process_logger().set_level(log::Level::error);
  test::RunResult total;
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    const test::RunResult r = test::run_seed(seed);
    CAPTURE(seed);
    CAPTURE(r.step);
    CHECK_MESSAGE(r.failure.empty(), r.failure << "; again: ./dev sim --seed " << seed << " --log");
    total.records += r.records, total.power_cuts += r.power_cuts, total.resent += r.resent;
    total.faults += r.faults, total.judged += r.judged, total.lives += r.lives;
  }
  // That things did happen.
  CHECK(total.records > 50'000);
  CHECK(total.judged > total.records);
  CHECK(total.resent > 1000);
  CHECK(total.power_cuts > 100);
  CHECK(total.lives > 2 * total.power_cuts);
  CHECK(total.faults > 500);
}

TEST_CASE("the same seed is the same run") {
  log::process_logger().set_level(log::Level::error);
  for (const uint64_t seed : {7, 8, 9}) {
    const test::RunResult a = test::run_seed(seed), b = test::run_seed(seed);
    CHECK(a.calls == b.calls);
    CHECK(a.records == b.records);
    CHECK(a.judged == b.judged);
    CHECK(a.failure == b.failure);
  }
}
