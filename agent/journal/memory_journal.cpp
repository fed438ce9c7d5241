#include <algorithm>

#include "agent/core/uuid.h"
#include "agent/journal/tail_journal.h"

namespace weir {
namespace {

/// Survives nothing, costs nothing: all there is is the tail.
class MemoryJournal final : public TailJournal {
 public:
  explicit MemoryJournal(uint64_t bytes_max) : TailJournal(random_uuid(), bytes_max) {}

  AppendResult append(Transaction& t) override;
  Position written() const override { return end(); }
  Position synced() const override { return 0; }
  uint64_t mark() const override { return end(); }
  uint64_t reached(AckLevel level) const override { return level <= AckLevel::received ? end() : 0; }
  AckLevel level_max() const override { return AckLevel::received; }
  uint64_t secured() const override;
  JournalStatus status() const override;
  void set_bytes_max(uint64_t bytes_max) override;

 private:
  Boundary oldest() const override {
    return entries_.empty() ? Boundary{position_, totals_} : entries_.front().before;
  }
  bool room_for_wanted() override { return lag_allows(wanted_totals_) && make_room(wanted_bytes_); }
  bool front_block_is_free() const;
  bool make_room(size_t bytes);
};

/// True when no `block` cursor still has records of its streams in the oldest block.
bool MemoryJournal::front_block_is_free() const {
  const Block* front = entries_.front().block.get();
  auto behind = std::ranges::find_if(entries_, [&](const TailEntry& e) { return e.block.get() != front; });
  return !held_by_cursor(behind == entries_.end() ? totals_ : behind->before.totals);
}

bool MemoryJournal::make_room(size_t bytes) {
  while (held_bytes_ + bytes > bytes_max_) {
    if (entries_.empty()) return true;  // one block is always allowed
    if (!front_block_is_free()) return false;
    pop_front_block();
  }
  return true;
}

AppendResult MemoryJournal::append(Transaction& t) {
  if (t.entry_count == 0) return AppendResult::taken;
  std::lock_guard lock(mutex_);
  const bool same_block = !entries_.empty() && entries_.back().block == t.block;
  const size_t bytes = same_block ? 0 : bytes_of(t);
  if (!lag_allows(t.totals) || (!same_block && !make_room(bytes))) {
    refuse(bytes, t.totals);
    return AppendResult::full;
  }
  full_ = false;
  push(t);
  t.block.reset();
  tell(t.totals);
  return AppendResult::taken;
}

uint64_t MemoryJournal::secured() const {
  std::lock_guard lock(mutex_);
  return passed_by_all();
}

JournalStatus MemoryJournal::status() const {
  std::lock_guard lock(mutex_);
  JournalStatus s;
  s.type = "memory";
  s.bytes = held_bytes_, s.bytes_max = bytes_max_;
  s.oldest_ns = entries_.empty() ? 0 : entries_.front().received_ns;
  s.written = position_;
  s.state = full_ ? "full" : "ok";
  s.totals = totals_;
  return s;
}

void MemoryJournal::set_bytes_max(uint64_t bytes_max) {
  std::unique_lock lock(mutex_);
  bytes_max_ = bytes_max;
  make_room(0);
  tell_space(lock);
}

}  // namespace

std::unique_ptr<Journal> make_memory_journal(uint64_t bytes_max) {
  return std::make_unique<MemoryJournal>(bytes_max);
}

}  // namespace weir
