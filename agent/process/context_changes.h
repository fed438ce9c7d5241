#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/process/context_side.h"

namespace weir {

/// Keys that sides know by index, sorted: finding one costs a binary search, so hostile key orders stay
/// cheap.
class KeyIndex {
 public:
  void clear() { keys_.clear(); }
  void add(std::string_view raw_key, uint32_t index) { keys_.push_back({raw_key, index}); }
  void sort();
  int find(std::string_view raw_key) const;  ///< -1 when it is not there
  const std::vector<std::pair<std::string_view, uint32_t>>& keys() const { return keys_; }

 private:
  std::vector<std::pair<std::string_view, uint32_t>> keys_;
};

/// Do two values differ? An empty text is an absent one and counts as null.
bool differ(std::string_view before, std::string_view after);

/// A key whose value differs.
struct Change {
  const Member* before;  ///< nullptr: absent
  const Member* after;
};

/// The differences of two whole contexts. Reused from record to record.
class ContextChanges {
 public:
  /// Sorted by key. Valid until the next call, and as long as the members of both sides.
  const std::vector<Change>& compute(const ContextSide& before, const ContextSide& after) {
    return collect(before, after, false);
  }
  /// The same for every key, whether its value differs or not.
  const std::vector<Change>& pair(const ContextSide& before, const ContextSide& after) {
    return collect(before, after, true);
  }

 private:
  const std::vector<Change>& collect(const ContextSide& before, const ContextSide& after, bool all);
  void add(const ContextSide& before, const Member* b, const ContextSide& after, const Member* a, bool all);

  std::vector<Change> changes_;
  KeyIndex rest_before_, rest_after_;
};

/// The context after `ctx_set` and `ctx_unset`: keys of the base keep their place, new ones follow.
class ContextMerge {
 public:
  /// `unset` is the array text, or empty. The result is valid until the next call.
  ContextSide apply(const ContextSide& base, const ContextSide& set, std::string_view unset);

 private:
  void emit(const ContextSide& side, const Member& member);

  std::string text_;
  std::vector<Member> members_;
  KeyIndex set_, unset_;
  std::vector<bool> used_;
};

}  // namespace weir
