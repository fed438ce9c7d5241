#pragma once
#include <cstdint>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>

namespace weir {

/// The requests that HTTP sources have taken, by their `Idempotency-Key`: one that comes again is answered
/// and not taken again. Bounded in number and in time, the least recently seen goes first. Pipe thread only.
class IdempotencyKeys {
 public:
  enum class State { in_progress, done };
  struct Entry {
    State state = State::in_progress;
    uint64_t records = 0, rejected = 0;  ///< of the request that was taken
    uint64_t mark = 0;                   ///< the journal's end behind it
    int64_t seen_ns = 0;
    const void* owner = nullptr;  ///< whose request is in progress
    size_t fingerprint = 0;       ///< of its body
  };
  void set_limits(int64_t memory_ns, size_t max) { memory_ns_ = memory_ns, max_ = max; }

  /// Null: not known.
  Entry* find(std::string_view key, int64_t now_ns) {
    forget(now_ns);
    auto found = index_.find(std::string(key));
    if (found == index_.end()) return nullptr;
    order_.splice(order_.begin(), order_, found->second);
    found->second->second.seen_ns = now_ns;
    return &found->second->second;
  }
  void begin(std::string_view key, int64_t now_ns, const void* owner, size_t fingerprint) {
    order_.emplace_front(std::string(key), Entry{State::in_progress, 0, 0, 0, now_ns, owner, fingerprint});
    index_[order_.front().first] = order_.begin();
    forget(now_ns);
  }
  /// What `owner` had in progress was not taken: as if it had never come.
  void drop(std::string_view key, const void* owner) {
    auto found = index_.find(std::string(key));
    if (found == index_.end()) return;
    const Entry& entry = found->second->second;
    if (entry.state == State::done || entry.owner != owner) return;
    order_.erase(found->second);
    index_.erase(found);
  }

 private:
  void forget(int64_t now_ns) {
    while (!order_.empty() && (order_.size() > max_ || now_ns - order_.back().second.seen_ns > memory_ns_)) {
      index_.erase(order_.back().first);
      order_.pop_back();
    }
  }
  std::list<std::pair<std::string, Entry>> order_;  ///< most recently seen first
  std::unordered_map<std::string, std::list<std::pair<std::string, Entry>>::iterator> index_;
  int64_t memory_ns_ = INT64_MAX;
  size_t max_ = 100'000;
};

}  // namespace weir
