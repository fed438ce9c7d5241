#include "agent/process/context_memory.h"

#include <functional>
#include <iterator>

#include "agent/core/check.h"

namespace weir {

std::shared_ptr<ContextMemory> make_context_memory() { return std::make_shared<ContextMemory>(); }

void ContextMemory::expire(int64_t now_ns, const Limits& limits) {
  while (!entries_.empty() && now_ns - entries_.back().used_ns >= limits.idle_ns) {
    evict(std::prev(entries_.end()), limits);
  }
}

const std::string* ContextMemory::find(std::string_view key) const {
  const auto at = index_.find(key);
  return at == index_.end() ? nullptr : &at->second->text;
}

bool ContextMemory::was_evicted(std::string_view key) const {
  return last_grave_.contains(std::hash<std::string_view>()(key));
}

void ContextMemory::remember(std::string_view key, std::string_view text, int64_t now_ns,
                             const Limits& limits) {
  auto at = index_.find(key);
  if (at == index_.end()) {
    entries_.push_front({std::string(key), {}, now_ns});
    at = index_.emplace(entries_.front().key, entries_.begin()).first;
    bytes_ += key.size();
  }
  Entry& entry = *at->second;
  bytes_ = bytes_ - entry.text.size() + text.size();
  entry.text.assign(text);
  // What is counted is the size: capacity left from a larger context must not be much more than that.
  if (entry.text.capacity() > 2 * text.size() + 1024) entry.text.shrink_to_fit();
  entry.used_ns = now_ns;
  entries_.splice(entries_.begin(), entries_, at->second);

  if (text.size() > kContextBytesMax) evict(entries_.begin(), limits);
  while (!entries_.empty() &&
         (int64_t(entries_.size()) > limits.max_traces || int64_t(bytes_) > limits.max_context_bytes)) {
    evict(std::prev(entries_.end()), limits);
  }
}

void ContextMemory::forget(std::string_view key, const Limits& limits) {
  const auto at = index_.find(key);
  if (at != index_.end())
    evict(at->second, limits);
  else
    bury(key, limits);
}

void ContextMemory::evict(Order::iterator entry, const Limits& limits) {
  bury(entry->key, limits);
  bytes_ -= entry->key.size() + entry->text.size();
  WEIR_CHECK(index_.erase(entry->key) == 1);
  entries_.erase(entry);
  WEIR_CHECK(index_.size() == entries_.size());
}

void ContextMemory::bury(std::string_view key, const Limits& limits) {
  const uint64_t hash = std::hash<std::string_view>()(key);
  graves_.push_back({hash, ++burials_});
  last_grave_[hash] = burials_;
  while (int64_t(graves_.size()) > limits.max_traces && !graves_.empty()) {
    const auto last = last_grave_.find(graves_.front().hash);
    if (last != last_grave_.end() && last->second == graves_.front().number) last_grave_.erase(last);
    graves_.pop_front();
  }
}

}  // namespace weir
