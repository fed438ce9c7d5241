#include "agent/core/latency.h"

#include <doctest/doctest.h>

#include <numeric>

using namespace weir;

namespace {

uint64_t count(const LatencySnapshot& s) {
  return std::accumulate(s.counts.begin(), s.counts.end(), uint64_t(0));
}

}  // namespace

TEST_CASE("a duration falls into the first bucket whose bound it does not exceed") {
  LatencyHistogram h;
  h.add(-5), h.add(0), h.add(10'000), h.add(10'001, 3), h.add(60'000'000'000), h.add(60'000'000'001);
  const LatencySnapshot s = h.snapshot();
  CHECK(s.counts[0] == 3);
  CHECK(s.counts[1] == 3);
  CHECK(s.counts[kLatencyBoundsNs.size() - 1] == 1);
  CHECK(s.counts[kLatencyBoundsNs.size()] == 1);
  CHECK(count(s) == 8);
  CHECK(s.sum_s == doctest::Approx(120.000040004));
}

TEST_CASE("many added at once are what they are one by one") {
  LatencyHistogram one_by_one, at_once;
  {
    LatencyHistogram::Batch batch(at_once);
    uint64_t seed = 1;
    for (int i = 0; i < 1000; ++i) {
      seed = seed * 6364136223846793005u + 1442695040888963407u;
      const int64_t ns = int64_t(seed >> (20 + seed % 40));
      one_by_one.add(ns, seed % 7), batch.add(ns, seed % 7);
    }
  }
  CHECK(one_by_one.snapshot().counts == at_once.snapshot().counts);
  CHECK(one_by_one.snapshot().sum_s == doctest::Approx(at_once.snapshot().sum_s));
}
