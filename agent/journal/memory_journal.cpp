#include "agent/journal/memory_journal.h"

#include <algorithm>

#include "agent/core/check.h"
#include "agent/core/uuid.h"

namespace weir {

namespace {

/// Transactions of one block are merged up to this many records: a cursor addresses records, not
/// transactions.
constexpr uint32_t kMergedRecordsMax = 1024;
constexpr size_t kSpareBlocksMax = 2;
constexpr size_t kSpareBlockBytesMax = 1 << 20;

}  // namespace

/// Blocks that the last reader has let go are used again: their pages are warm and cost no page faults.
class BlockPool {
 public:
  static std::shared_ptr<Block> take(const std::shared_ptr<BlockPool>& pool, size_t bytes) {
    std::unique_ptr<Block> block;
    {
      std::lock_guard lock(pool->mutex_);
      if (!pool->spare_.empty() && pool->spare_.back()->capacity() >= bytes) {
        block = std::move(pool->spare_.back());
        pool->spare_.pop_back();
      }
    }
    if (!block) block = std::make_unique<Block>(bytes);
    block->clear();
    return {block.release(), [pool](Block* done) { pool->give_back(std::unique_ptr<Block>(done)); }};
  }

 private:
  void give_back(std::unique_ptr<Block> block) {
    std::lock_guard lock(mutex_);
    if (spare_.size() < kSpareBlocksMax && block->capacity() <= kSpareBlockBytesMax)
      spare_.push_back(std::move(block));
  }
  std::mutex mutex_;
  std::vector<std::unique_ptr<Block>> spare_;
};

MemoryJournal::MemoryJournal(uint64_t bytes_max)
    : uuid_(random_uuid()), bytes_max_(bytes_max), pool_(std::make_shared<BlockPool>()) {}

MemoryJournal::~MemoryJournal() { WEIR_CHECK(cursors_.empty()); }

Position MemoryJournal::end() const {
  std::lock_guard lock(mutex_);
  return position_;
}

uint64_t MemoryJournal::secured() const {
  std::lock_guard lock(mutex_);
  Position least = position_;
  for (const MemoryCursor* c : cursors_)
    if (c->limit_.when_full == WhenFull::block && c->lag_records() > 0) least = std::min(least, c->position_);
  return least;
}

void MemoryJournal::on_space(std::function<void()> callback) {
  std::lock_guard lock(mutex_);
  on_space_ = std::move(callback);
}

size_t MemoryJournal::block_bytes() const { return std::clamp<size_t>(bytes_max_ / 16, 64 << 10, 1 << 20); }

std::shared_ptr<Block> MemoryJournal::new_block(size_t bytes_min) {
  std::lock_guard lock(mutex_);
  return BlockPool::take(pool_, std::max(block_bytes(), bytes_min + 2 * sizeof(IndexEntry)));
}

/// True when no `block` cursor still has records of its streams in the oldest block.
bool MemoryJournal::front_block_is_free() const {
  if (entries_.empty()) return false;
  const Block* front = entries_.front().t.block.get();
  size_t n = 1;
  while (n < entries_.size() && entries_[n].t.block.get() == front) ++n;
  const Totals& behind = n < entries_.size() ? entries_[n].before : totals_;
  for (const MemoryCursor* c : cursors_)
    if (c->limit_.when_full == WhenFull::block && c->between(c->at_, behind).records > 0) return false;
  return true;
}

bool MemoryJournal::evict_front_block() {
  if (!front_block_is_free()) return false;
  std::shared_ptr<Block> block = entries_.front().t.block;
  while (!entries_.empty() && entries_.front().t.block == block) {
    entries_.pop_front();
    ++first_entry_number_;
    held_bytes_ -= sizeof(Entry);
  }
  held_bytes_ -= block->capacity();
  return true;
}

bool MemoryJournal::make_room(size_t bytes) {
  while (held_bytes_ + bytes > bytes_max_)
    if (entries_.empty() || !evict_front_block()) return entries_.empty();  // one block is always allowed
  return true;
}

/// False when a `block` cursor would be more behind than it may.
bool MemoryJournal::lag_allows(const Totals& more) {
  bool allowed = true;
  for (MemoryCursor* c : cursors_)
    if (c->limit_.max_lag_bytes != UINT64_MAX) allowed = c->within_lag(more) && allowed;
  return allowed;
}

AppendResult MemoryJournal::append(Transaction& t) {
  if (t.entry_count == 0) return AppendResult::taken;
  std::lock_guard lock(mutex_);
  bool new_block = entries_.empty() || entries_.back().t.block != t.block;
  size_t bytes = sizeof(Entry) + (new_block ? t.block->capacity() : 0);
  if (!lag_allows(t.totals) || (new_block && !make_room(bytes))) {
    full_ = true, wanted_bytes_ = new_block ? bytes : 0, wanted_totals_ = t.totals;
    for (MemoryCursor* c : cursors_) c->tell(totals_);  // those that wait for a full step give up waiting
    return AppendResult::full;
  }
  full_ = false;
  if (!new_block && entries_.back().t.entry_count + t.entry_count <= kMergedRecordsMax) {
    Transaction& last = entries_.back().t;
    WEIR_CHECK(last.first_entry + last.entry_count == t.first_entry);
    last.entry_count += t.entry_count;
    last.totals += t.totals;
  } else {
    entries_.push_back({t, position_, totals_});
    held_bytes_ += bytes;
  }
  position_ += t.entry_count;
  totals_ += t.totals;
  t.block.reset();
  for (MemoryCursor* c : cursors_) c->tell(t.totals);
  return AppendResult::taken;
}

std::unique_ptr<Cursor> MemoryJournal::open_cursor(std::string_view, StreamSet streams, StartAt start,
                                                   LagLimit limit) {
  std::lock_guard lock(mutex_);
  auto cursor = std::make_unique<MemoryCursor>(*this, streams, limit);
  if (start == StartAt::oldest) {
    cursor->start_at(oldest(), oldest_totals(), first_entry_number_, 0);
  } else if (entries_.empty()) {
    cursor->start_at(position_, totals_, first_entry_number_, 0);
  } else {
    cursor->start_at(position_, totals_, first_entry_number_ + entries_.size() - 1,
                     entries_.back().t.entry_count);
  }
  cursors_.push_back(cursor.get());
  return cursor;
}

JournalStatus MemoryJournal::status() const {
  std::lock_guard lock(mutex_);
  JournalStatus s;
  s.type = "memory";
  s.bytes = held_bytes_, s.bytes_max = bytes_max_;
  s.oldest_ns = entries_.empty() ? 0 : entries_.front().t.received_ns;
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

void MemoryJournal::tell_space(std::unique_lock<std::mutex>& lock) {
  bool room = full_ && lag_allows(wanted_totals_) && make_room(wanted_bytes_);
  if (!room) return;
  full_ = false;
  auto callback = on_space_;
  lock.unlock();
  if (callback) callback();
}

std::unique_ptr<Journal> make_memory_journal(uint64_t bytes_max) {
  return std::make_unique<MemoryJournal>(bytes_max);
}

}  // namespace weir
