#pragma once
#include <sys/types.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>

#include "agent/ingest/budget.h"
#include "agent/ingest/input_buffer.h"

namespace weir {

/// What one user may take of a listener with known users (security.md, ingest); 0: no limit.
struct UidLimits {
  uint64_t connections = 0;
  uint64_t memory = 0;       ///< bytes held for its unfinished lines
  uint64_t bytes_per_s = 0;  ///< read from all its connections together; what it sends faster waits
};

/// What one user takes at present.
struct UidShare {
  uint64_t connections = 0;
  AsideShare aside;
  int64_t allowance = 0;  ///< bytes that may still be read now; below 0: read ahead of time
  int64_t refilled_ns = 0;
};

/// All users that have connections. Pipe thread only.
class UidShares {
 public:
  void set_limits(const UidLimits& limits) {
    limits_ = limits;
    for (auto& [uid, share] : shares_)
      if (auto alive = share.lock()) apply(*alive);
  }
  bool full(uid_t uid) { return limits_.connections > 0 && of(uid)->connections >= limits_.connections; }
  std::shared_ptr<UidShare> of(uid_t uid) {
    std::erase_if(shares_, [&](const auto& entry) { return entry.first != uid && entry.second.expired(); });
    auto share = shares_[uid].lock();
    if (!share) {
      share = std::make_shared<UidShare>();
      apply(*share);
      shares_[uid] = share;
    }
    return share;
  }
  /// Of descriptors that the service manager keeps: may this user have so many more kept now? (Whoever comes
  /// again is the same user.)
  bool may_keep(uid_t uid, int64_t now_ns, int64_t count) {
    std::erase_if(kept_,
                  [&](const auto& entry) { return entry.first != uid && entry.second.is_full(now_ns); });
    return kept_.try_emplace(uid, Budget{4096, 2'000'000}).first->second.take(now_ns, count);
  }
  /// How long its connections have to wait before they read again; 0: not at all. A second's worth may come
  /// at once.
  int64_t wait_ns(UidShare& share, int64_t now_ns) const {
    if (limits_.bytes_per_s == 0) {
      share.allowance = 0, share.refilled_ns = now_ns;  // what is read without a limit is not owed later
      return 0;
    }
    const auto rate = double(limits_.bytes_per_s);
    const double more = double(now_ns - share.refilled_ns) / 1e9 * rate;
    share.allowance = int64_t(std::min(rate, double(share.allowance) + more));
    share.refilled_ns = now_ns;
    return share.allowance > 0 ? 0 : int64_t(double(1 - share.allowance) / rate * 1e9);
  }

 private:
  void apply(UidShare& share) const {
    share.aside.bytes_max = limits_.memory > 0 ? size_t(limits_.memory) : SIZE_MAX;
  }
  UidLimits limits_;
  std::map<uid_t, std::weak_ptr<UidShare>> shares_;
  std::map<uid_t, Budget> kept_;
};

}  // namespace weir
