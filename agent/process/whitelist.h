#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agent/process/context_side.h"

namespace weir {

/// What a whitelist finds in one context. Reused from record to record.
struct Selection {
  struct Found {
    Span key, value;
    JsonType type = JsonType::null;
    bool present = false;
    bool top_level = false;  ///< the entry is a key of the context itself
  };
  /// A member to keep, inside of ancestors [first_ancestor, +ancestor_count).
  struct Leaf {
    Span key, value;
    uint32_t first_ancestor = 0, ancestor_count = 0;
  };
  std::vector<Found> found;       ///< one per entry of the whitelist
  std::vector<Leaf> leaves;       ///< in the order sent, none inside another
  std::vector<Member> ancestors;  ///< outermost first
};

/// The entries of `context_diff.whitelist`, compiled (records.md section 5).
class Whitelist {
 public:
  struct Entry {
    std::string text;
    std::string quoted;  ///< as a JSON string literal
    bool dotted = false;
  };
  explicit Whitelist(const std::vector<std::string>& entries);

  /// Sorted by code point, no entry twice: the order of ctx_diff.
  const std::vector<Entry>& entries() const { return entries_; }
  /// Index of the entry that is exactly `key`, -1 when there is none.
  int find(std::string_view key) const;
  /// Resolves every entry in `side`: as a key first, at every level, then split at its dots.
  void select(const ContextSide& side, Selection& out);
  /// Only the members whose whole key is an entry (for a ctx_diff that was sent).
  void select_whole_keys(const ContextSide& side, Selection& out);

 private:
  bool descend(const ContextSide& side, Span object, std::string_view path);
  bool resolve(const ContextSide& side, std::string_view path);

  std::vector<Entry> entries_;
  std::vector<std::vector<uint32_t>> by_length_;  // entries of that many bytes
  std::vector<uint32_t> dotted_;
  std::vector<Member> chain_;  // of the resolution under way: ancestors, then the leaf
  std::string key_scratch_;
};

}  // namespace weir
