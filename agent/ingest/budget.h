#pragma once
#include <algorithm>
#include <cstdint>

namespace weir {

/// So many at once after a quiet time, then one in each `each_ns`.
struct Budget {
  int64_t at_once, each_ns;
  int64_t until_ns = 0;  ///< those so far have used up the time up to then

  bool is_full(int64_t now_ns) const { return until_ns <= now_ns - at_once * each_ns; }
  /// False: there are not that many now, and none is taken.
  bool take(int64_t now_ns, int64_t count = 1) {
    const int64_t next_ns = std::max(until_ns, now_ns - at_once * each_ns) + count * each_ns;
    if (next_ns > now_ns) return false;
    until_ns = next_ns;
    return true;
  }
};

}  // namespace weir
