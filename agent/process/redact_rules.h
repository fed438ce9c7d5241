#pragma once
#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agent/core/record.h"

namespace re2 {
class RE2;
}

namespace weir {

/// Exact key names.
class NameSet {
 public:
  explicit NameSet(const std::vector<std::string>& names);
  bool empty() const { return names_.empty(); }
  bool contains(std::string_view name) const {
    for (int i = first_[slot(name)]; i >= 0; i = names_[size_t(i)].next) {
      if (names_[size_t(i)].text == name) return true;
    }
    return false;
  }
  /// Is `path`, or a part of it between dots, one of the names?
  bool contains_part(std::string_view path) const;

 private:
  struct Name {
    std::string text;
    int next;  // of the same slot
  };
  static constexpr size_t kSlots = 256;
  /// Most keys that are not listed meet an empty slot.
  static size_t slot(std::string_view name) {
    if (name.empty()) return 0;
    return (size_t(uint8_t(name.front())) * 7 + size_t(uint8_t(name.back())) * 31 + name.size() * 57) %
           kSlots;
  }
  std::vector<Name> names_;
  std::array<int, kSlots> first_;
  size_t parts_max_ = 1;  // dots of the name that has most, and one
};

/// Value patterns (RE2).
class PatternSet {
 public:
  /// All of them have passed check_pattern().
  explicit PatternSet(const std::vector<std::string>& patterns);
  ~PatternSet();
  bool empty() const { return patterns_.empty(); }
  /// Sets `found` to what any pattern matches in `text`, in order; overlaps are one. Each pattern looks at
  /// the text as it is, not at what another one would leave. False: nothing. Work is bounded: a text that
  /// gives too many matches for its length counts as one match from end to end.
  bool find(std::string_view text, std::vector<Span>& found) const;
  /// Is there a match in `text`?
  bool matches(std::string_view text) const;

 private:
  bool add_matches(const re2::RE2& pattern, std::string_view text, std::vector<Span>& found) const;

  std::vector<std::unique_ptr<const re2::RE2>> patterns_;
  std::unique_ptr<const re2::RE2>
      any_;  // all in one, to say no with one search; null: one pattern, or too large
};

}  // namespace weir
