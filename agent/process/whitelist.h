#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agent/process/context_side.h"

namespace weir {

/// What a whitelist finds in one context. Reused from record to record; points to the members of the side.
struct Selection {
  /// A member to keep, inside of `ancestor_count` ancestors, outermost first.
  struct Leaf {
    const Member* member = nullptr;
    const Member* ancestors = nullptr;
    uint32_t ancestor_count = 0;
  };
  std::vector<const Member*> found;  ///< one per entry of the whitelist, nullptr: not there
  std::vector<Leaf> leaves;          ///< in the order sent, none inside another
  std::vector<Member>
      chains;  ///< of entries found inside of objects: ancestors, then the leaf. Never regrows
};

/// The entries of `context_diff.whitelist`, compiled (records.md section 5).
class Whitelist {
 public:
  struct Entry {
    std::string text;
    std::string quoted;  ///< as a JSON string literal
    bool dotted = false;
    int next = -1;  ///< entry of the same slot
  };
  explicit Whitelist(const std::vector<std::string>& entries);

  /// Sorted by code point, no entry twice: the order of ctx_diff.
  const std::vector<Entry>& entries() const { return entries_; }
  /// Index of the entry that is exactly `key`, -1 when there is none.
  int find(std::string_view key) const {
    for (int i = first_[slot(key)]; i >= 0; i = entries_[size_t(i)].next) {
      if (entries_[size_t(i)].text == key) return i;
    }
    return -1;
  }
  /// Is `found` of entry `index` a key of the context itself?
  bool is_top_level(const ContextSide& side, size_t index, const Member& found) const {
    // What lies deeper is named by the end of its entry only.
    return !entries_[index].dotted || json::string_is(side.of(found.key), entries_[index].text);
  }
  /// Resolves every entry in `side`: as a key first, at every level, then split at its dots.
  void select(const ContextSide& side, Selection& out);
  /// Only the members whose whole key is an entry (for a ctx_diff that was sent).
  void select_whole_keys(const ContextSide& side, Selection& out);

 private:
  static constexpr size_t kSlots = 256;
  /// Most keys that are not listed meet an empty slot.
  static size_t slot(std::string_view key) {
    if (key.empty()) return 0;
    return (size_t(uint8_t(key.front())) * 7 + size_t(uint8_t(key.back())) * 31 + key.size() * 57) % kSlots;
  }
  bool descend(const ContextSide& side, Span object, std::string_view path);
  bool resolve(const ContextSide& side, std::string_view path);

  std::vector<Entry> entries_;
  std::array<int, kSlots> first_;  // first entry of each slot, -1: none
  std::vector<uint32_t> dotted_;
  size_t chain_members_max_ = 0;  // of all dotted entries together
  std::vector<Member> chain_;     // of the resolution under way: ancestors, then the leaf
  std::string key_scratch_;
};

}  // namespace weir
