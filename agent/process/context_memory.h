#pragma once
#include <cstdint>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "agent/process/context_diff.h"

namespace weir {

/// See context_diff.h. Keys are opaque; contexts are whole JSON objects as text.
class ContextMemory {
 public:
  struct Limits {
    int64_t max_traces, max_context_bytes, idle_ns;
  };
  /// One context over this is not remembered: small ctx_set records must not pile up a context that each of
  /// them then writes out twice.
  static constexpr size_t kContextBytesMax = 1 << 20;

  bool empty() const { return entries_.empty(); }
  size_t size() const { return entries_.size(); }
  size_t bytes() const { return bytes_; }

  /// Forgets every context that has been idle for limits.idle_ns.
  void expire(int64_t now_ns, const Limits& limits);
  /// The last context of `key`, nullptr when there is none. Valid until the next remember() or forget().
  const std::string* find(std::string_view key) const;
  /// Was the context of `key` thrown out for a limit?
  bool was_evicted(std::string_view key) const;
  /// Replaces the context of `key` and makes it the most recent one; `text` is no view of what find()
  /// returned. Throws out the least recent ones while a limit is passed, in the end this one too.
  void remember(std::string_view key, std::string_view text, int64_t now_ns, const Limits& limits);
  /// Throws the context of `key` out, as for a limit.
  void forget(std::string_view key, const Limits& limits);

 private:
  struct Entry {
    std::string key, text;
    int64_t used_ns;
  };
  using Order = std::list<Entry>;
  struct Tombstone {
    uint64_t hash, number;
  };
  void evict(Order::iterator entry, const Limits& limits);
  void bury(std::string_view key, const Limits& limits);

  Order entries_;  // most recently used first
  std::unordered_map<std::string_view, Order::iterator> index_;
  size_t bytes_ = 0;
  // Evicted ids, oldest out first. A key buried again is counted by its last burial only.
  std::list<Tombstone> graves_;
  std::unordered_map<uint64_t, uint64_t> last_grave_;
  uint64_t burials_ = 0;
};

}  // namespace weir
