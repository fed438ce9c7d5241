#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace weir {

/// The acknowledgements that one connection is still owed: numbers, and the journal's mark behind each. No
/// allocation once it has been as long as it gets.
class AckQueue {
 public:
  /// More turns than this wait together: the last acknowledgement covers those that follow, a little later.
  static constexpr size_t kEntriesMax = 64;

  bool empty() const { return begin_ == entries_.size(); }
  void clear() { entries_.clear(), begin_ = 0; }
  /// Everything up to `seq`, the last `records` of it new, lies before `mark` of the journal. Neither number
  /// is smaller than the time before. `since_ns`: when they were read.
  void add(uint64_t seq, uint64_t mark, uint64_t records = 0, int64_t since_ns = 0) {
    if (!empty() && (entries_.back().mark == mark || entries_.size() - begin_ == kEntriesMax)) {
      Entry& last = entries_.back();
      last.seq = seq, last.mark = mark, last.records += records;
      return;
    }
    if (entries_.size() == kEntriesMax) {
      entries_.erase(entries_.begin(), entries_.begin() + ptrdiff_t(begin_));
      begin_ = 0;
    }
    entries_.push_back({seq, mark, records, since_ns});
  }
  /// Takes out what `has_reached(mark)` holds for, from the front; `taken(records, since_ns)` hears of each.
  /// The number to acknowledge; 0: none.
  template <class HasReached, class Taken>
  uint64_t take(HasReached has_reached, Taken taken) {
    uint64_t seq = 0;
    while (!empty() && has_reached(entries_[begin_].mark)) {
      const Entry& entry = entries_[begin_++];
      seq = entry.seq;
      taken(entry.records, entry.since_ns);
    }
    if (empty()) clear();
    return seq;
  }

 private:
  struct Entry {
    uint64_t seq, mark, records;
    int64_t since_ns;
  };
  std::vector<Entry> entries_;  // those before begin_ are done
  size_t begin_ = 0;
};

}  // namespace weir
