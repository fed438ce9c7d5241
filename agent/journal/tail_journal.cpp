#include "agent/journal/tail_journal.h"

#include <algorithm>

#include "agent/core/check.h"

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

TailJournal::TailJournal(std::string uuid, uint64_t bytes_max)
    : uuid_(std::move(uuid)), bytes_max_(bytes_max), pool_(std::make_shared<BlockPool>()) {}

TailJournal::~TailJournal() { WEIR_CHECK(cursors_.empty()); }

Position TailJournal::end() const {
  std::lock_guard lock(mutex_);
  return position_;
}

void TailJournal::on_space(std::function<void()> callback) {
  std::lock_guard lock(mutex_);
  on_space_ = std::move(callback);
}

size_t TailJournal::block_bytes() const { return std::clamp<size_t>(bytes_max_ / 16, 64 << 10, 1 << 20); }

std::shared_ptr<Block> TailJournal::new_block(size_t bytes_min) {
  std::lock_guard lock(mutex_);
  return BlockPool::take(pool_, std::max(block_bytes(), bytes_min + 2 * sizeof(IndexEntry)));
}

Boundary TailJournal::boundary_after(Position position) const {
  auto next =
      std::ranges::upper_bound(entries_, position, {}, [](const TailEntry& e) { return e.before.position; });
  return next == entries_.end() ? visible() : next->before;
}

Result<void> TailJournal::load(Position, std::vector<TailEntry>&, std::unique_ptr<TapePlace>&) {
  WEIR_CHECK(false);  // what lies before the tail is gone
  return {};
}

/// What an append adds to held_bytes_.
size_t TailJournal::bytes_of(const Transaction& t) const {
  const bool new_block = entries_.empty() || entries_.back().block != t.block;
  return sizeof(TailEntry) + (new_block ? t.block->capacity() : 0);
}

void TailJournal::push(const Transaction& t) {
  const size_t bytes = bytes_of(t);
  TailEntry* last = entries_.empty() ? nullptr : &entries_.back();
  if (last && last->block == t.block && last->entry_count + t.entry_count <= kMergedRecordsMax) {
    WEIR_CHECK(last->first_entry + last->entry_count == t.first_entry);
    last->entry_count += t.entry_count;
    last->totals += t.totals;
  } else {
    entries_.push_back(
        {t.block, t.first_entry, t.entry_count, t.received_ns, t.totals, {position_, totals_}});
    held_bytes_ += bytes;
  }
  arrivals_.add(position_, t.received_ns);
  position_ += t.entry_count;
  totals_ += t.totals;
}

void TailJournal::pop_front_block() {
  const std::shared_ptr<Block> block = entries_.front().block;
  while (!entries_.empty() && entries_.front().block == block) {
    entries_.pop_front();
    held_bytes_ -= sizeof(TailEntry);
  }
  held_bytes_ -= block->capacity();
}

bool TailJournal::held_by_cursor(const Totals& upto) const {
  return std::ranges::any_of(cursors_, [&](const TailCursor* c) {
    return c->limit_.when_full == WhenFull::block && c->between(c->place_.at.totals, upto).records > 0;
  });
}

Position TailJournal::passed_by_all() const {
  Position least = position_;
  for (const TailCursor* c : cursors_)
    if (c->limit_.when_full == WhenFull::block && c->between(c->place_.at.totals, totals_).records > 0)
      least = std::min(least, c->place_.at.position);
  return least;
}

/// False when a `block` cursor would be more behind than it may.
bool TailJournal::lag_allows(const Totals& more) {
  bool allowed = true;
  for (TailCursor* c : cursors_)
    if (c->limit_.max_lag_bytes != UINT64_MAX) allowed = c->within_lag(more) && allowed;
  return allowed;
}

void TailJournal::tell(const Totals& more) {
  for (TailCursor* c : cursors_) c->tell(more);
}

/// An append answers `full`.
void TailJournal::refuse(size_t bytes, const Totals& totals) {
  full_ = true, wanted_bytes_ = bytes, wanted_totals_ = totals;
  tell(totals_);  // those that wait for a full step give up waiting
}

std::unique_ptr<Cursor> TailJournal::open_cursor(std::string_view name, StreamSet streams, StartAt start,
                                                 LagLimit limit) {
  auto cursor = std::make_unique<TailCursor>(*this, std::string(name), streams, limit);
  bool known;
  {
    std::lock_guard lock(mutex_);
    known = restore(*cursor);
    if (!known) cursor->place_.at = start == StartAt::oldest ? oldest() : Boundary{position_, totals_};
    cursor->candidate_ = cursor->place_;
    if (cursor->secured_.stretches.empty()) cursor->secured_ = cursor->place_;
    cursors_.push_back(cursor.get());
  }
  // From here on nothing that is appended for it can be taken for something from before its time.
  if (cursor->kept_ && !known) checkpoint(true);
  return cursor;
}

void TailJournal::tell_space(std::unique_lock<std::mutex>& lock) {
  if (!full_ || !room_for_wanted()) return;
  full_ = false;
  auto callback = on_space_;
  lock.unlock();
  if (callback) callback();
}

}  // namespace weir
