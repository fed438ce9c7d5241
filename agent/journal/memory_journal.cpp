#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>

#include "agent/journal/journal.h"

namespace weir {

uint64_t Totals::records_of(StreamSet set) const {
  uint64_t sum = 0;
  for (Stream s : kStreams)
    if (set.has(s)) sum += records[size_t(s)];
  return sum;
}

uint64_t Totals::bytes_of(StreamSet set) const {
  uint64_t sum = 0;
  for (Stream s : kStreams)
    if (set.has(s)) sum += bytes[size_t(s)];
  return sum;
}

Totals& operator+=(Totals& to, const Totals& more) {
  for (size_t i = 0; i < kStreamCount; ++i) {
    to.records[i] += more.records[i];
    to.bytes[i] += more.bytes[i];
  }
  return to;
}

namespace {

/// Transactions of one block are merged up to this many records: a cursor addresses records, not transactions.
constexpr uint32_t kMergedRecordsMax = 1024;
constexpr size_t kSpareBlocksMax = 2;
constexpr size_t kSpareBlockBytesMax = 1 << 20;

class MemoryCursor;

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
    if (spare_.size() < kSpareBlocksMax && block->capacity() <= kSpareBlockBytesMax) spare_.push_back(std::move(block));
  }
  std::mutex mutex_;
  std::vector<std::unique_ptr<Block>> spare_;
};

class MemoryJournal final : public Journal {
 public:
  explicit MemoryJournal(uint64_t bytes_max) : bytes_max_(bytes_max) {}
  ~MemoryJournal() override { WEIR_CHECK(cursors_.empty()); }

  AppendResult append(Transaction& t) override;
  std::shared_ptr<Block> new_block(size_t bytes_min) override;
  Position written() const override {
    std::lock_guard lock(mutex_);
    return position_;
  }
  Position synced() const override { return 0; }
  std::unique_ptr<Cursor> open_cursor(std::string_view, StreamSet streams, StartAt start, WhenFull when_full) override;
  JournalStatus status() const override;
  void on_space(std::function<void()> callback) override {
    std::lock_guard lock(mutex_);
    on_space_ = std::move(callback);
  }
  void set_bytes_max(uint64_t bytes_max) override;

 private:
  friend class MemoryCursor;
  struct Entry {
    Transaction t;
    Position first;  ///< position before its first record
    Totals before;   ///< totals before it
  };
  Position oldest() const { return entries_.empty() ? position_ : entries_.front().first; }
  const Totals& oldest_totals() const { return entries_.empty() ? totals_ : entries_.front().before; }
  bool front_block_is_free() const;
  bool evict_front_block();
  bool make_room(size_t block_bytes);
  size_t block_bytes() const { return std::clamp<size_t>(bytes_max_ / 16, 64 << 10, 1 << 20); }
  void wake() {
    if (waiting_ > 0) appended_.notify_all();
  }
  /// Unlocks, and tells the appender if there is room now.
  void tell_space(std::unique_lock<std::mutex>& lock);

  mutable std::mutex mutex_;
  std::condition_variable_any appended_;
  int waiting_ = 0;
  std::deque<Entry> entries_;
  uint64_t first_entry_number_ = 0;  ///< number of entries_.front() since the beginning
  uint64_t held_bytes_ = 0;          ///< capacity of the blocks in entries_, and the entries themselves
  uint64_t bytes_max_;
  Position position_ = 0;
  Totals totals_;
  std::vector<MemoryCursor*> cursors_;
  std::shared_ptr<BlockPool> pool_ = std::make_shared<BlockPool>();
  std::function<void()> on_space_;
  bool full_ = false;
  size_t wanted_bytes_ = 0;  ///< what the append that answered `full` needs
};

/// Its place is kept lazily: when the journal has dropped what it has not read, that shows (and is counted) at the next look.
class MemoryCursor final : public Cursor {
 public:
  MemoryCursor(MemoryJournal& journal, StreamSet streams, WhenFull when_full)
      : journal_(journal), when_full_(when_full), streams_(streams) {}
  ~MemoryCursor() override {
    std::unique_lock lock(journal_.mutex_);
    std::erase(journal_.cursors_, this);
    journal_.tell_space(lock);
  }

  bool next(BatchView& out, const BatchLimits& limits, int64_t wait_ns, std::stop_token stop) override;
  void commit(const BatchView& batch) override;
  CursorStatus status() const override {
    std::lock_guard lock(journal_.mutex_);
    return status_locked();
  }
  void flush() override {
    std::lock_guard lock(journal_.mutex_);
    flush_until_ = journal_.position_;
    journal_.appended_.notify_all();
  }
  void set_streams(StreamSet streams) override {
    std::unique_lock lock(journal_.mutex_);
    streams_ = streams;
    journal_.tell_space(lock);
  }
  void set_when_full(WhenFull when_full) override {
    std::unique_lock lock(journal_.mutex_);
    when_full_ = when_full;
    journal_.tell_space(lock);
  }
  void end_here() override {
    std::lock_guard lock(journal_.mutex_);
    ended_ = true, flush_until_ = journal_.position_;
    end_ = journal_.totals_, end_position_ = journal_.position_;
    journal_.appended_.notify_all();
  }

 private:
  friend class MemoryJournal;
  void start_at(Position position, const Totals& totals, uint64_t entry_number, uint32_t record) {
    position_ = position, at_ = totals, entry_number_ = entry_number, record_ = record;
  }
  const Totals& end_totals() const { return ended_ ? end_ : journal_.totals_; }
  uint64_t lag_records() const {
    uint64_t end = end_totals().records_of(streams_), at = at_.records_of(streams_);
    return end > at ? end - at : 0;
  }
  void skip_what_was_dropped();
  bool ready(const BatchLimits& limits) const;
  void fill(BatchView& out, const BatchLimits& limits, uint64_t records_max) const;
  CursorStatus status_locked() const;

  MemoryJournal& journal_;
  WhenFull when_full_;
  StreamSet streams_;
  Position position_ = 0;      ///< committed
  Totals at_;                  ///< totals at position_
  uint64_t entry_number_ = 0;  ///< where position_ is: this entry of the journal,
  uint32_t record_ = 0;        ///< this record of it
  uint64_t passed_ = 0, dropped_ = 0;
  bool ended_ = false;
  Position flush_until_ = 0;  ///< up to here no step is waited for
  Totals end_;
  Position end_position_ = 0;
  bool out_ = false;  ///< a batch was handed out and not committed yet: it is alive whatever the journal drops
  Position out_end_ = 0;
  Totals out_covered_;
  uint64_t out_records_ = 0;
};

// ---- journal

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
  for (const MemoryCursor* c : cursors_) {
    if (c->when_full_ != WhenFull::block) continue;
    const Totals& end = c->ended_ && c->end_.records_of(c->streams_) < behind.records_of(c->streams_) ? c->end_ : behind;
    if (c->at_.records_of(c->streams_) < end.records_of(c->streams_)) return false;
  }
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

AppendResult MemoryJournal::append(Transaction& t) {
  WEIR_CHECK(t.entry_count > 0);
  std::lock_guard lock(mutex_);
  bool new_block = entries_.empty() || entries_.back().t.block != t.block;
  size_t bytes = sizeof(Entry) + (new_block ? t.block->capacity() : 0);
  if (new_block && !make_room(bytes)) {
    full_ = true, wanted_bytes_ = bytes;
    appended_.notify_all();  // cursors that wait for a full step give up waiting
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
  wake();
  return AppendResult::taken;
}

std::unique_ptr<Cursor> MemoryJournal::open_cursor(std::string_view, StreamSet streams, StartAt start,
                                                   WhenFull when_full) {
  std::lock_guard lock(mutex_);
  auto cursor = std::make_unique<MemoryCursor>(*this, streams, when_full);
  if (start == StartAt::oldest) {
    cursor->start_at(oldest(), oldest_totals(), first_entry_number_, 0);
  } else if (entries_.empty()) {
    cursor->start_at(position_, totals_, first_entry_number_, 0);
  } else {
    cursor->start_at(position_, totals_, first_entry_number_ + entries_.size() - 1, entries_.back().t.entry_count);
  }
  cursors_.push_back(cursor.get());
  return cursor;
}

JournalStatus MemoryJournal::status() const {
  std::lock_guard lock(mutex_);
  return {"memory",   held_bytes_, bytes_max_,           entries_.empty() ? 0 : entries_.front().t.received_ns,
          position_, 0,           full_ ? "full" : "ok", totals_};
}

void MemoryJournal::set_bytes_max(uint64_t bytes_max) {
  std::unique_lock lock(mutex_);
  bytes_max_ = bytes_max;
  make_room(0);
  tell_space(lock);
}

void MemoryJournal::tell_space(std::unique_lock<std::mutex>& lock) {
  bool room = full_ && make_room(wanted_bytes_);
  if (!room) return;
  full_ = false;
  auto callback = on_space_;
  lock.unlock();
  if (callback) callback();
}

// ---- cursor

void MemoryCursor::skip_what_was_dropped() {
  if (position_ > journal_.oldest()) return;  // equal: only its entry has to be found anew
  uint64_t lag = lag_records();
  uint64_t gone = std::min(lag, journal_.oldest_totals().records_of(streams_) - at_.records_of(streams_));
  dropped_ += gone, passed_ += gone;
  start_at(journal_.oldest(), journal_.oldest_totals(), journal_.first_entry_number_, 0);
}

bool MemoryCursor::ready(const BatchLimits& limits) const {
  uint64_t lag = lag_records();
  return lag > 0 && (lag >= limits.records_step || position_ < flush_until_ || journal_.full_);
}

bool MemoryCursor::next(BatchView& out, const BatchLimits& limits, int64_t wait_ns, std::stop_token stop) {
  using std::chrono::nanoseconds;
  using std::chrono::steady_clock;
  std::unique_lock lock(journal_.mutex_);
  out.slices.clear();
  out_ = false;
  auto deadline = steady_clock::now() + nanoseconds(wait_ns < 0 ? INT64_C(1) << 60 : wait_ns);
  auto wait_until = [&](auto time, auto condition) {
    ++journal_.waiting_;
    bool met = journal_.appended_.wait_until(lock, stop, time, condition);
    --journal_.waiting_;
    return met;
  };
  skip_what_was_dropped();
  if (lag_records() == 0) {
    if (wait_ns == 0 || ended_) return false;
    wait_until(deadline, [&] { return lag_records() > 0 || ended_; });
    skip_what_was_dropped();
    if (lag_records() == 0 || stop.stop_requested()) return false;
  }
  // The first record is there; a step may still have to fill up, at most for `linger`.
  if (!ready(limits)) {
    auto linger = limits.linger_ns < 0 ? deadline : std::min(deadline, steady_clock::now() + nanoseconds(limits.linger_ns));
    wait_until(linger, [&] { return ready(limits); });
    skip_what_was_dropped();
    if (limits.linger_ns < 0 && !ready(limits) && !stop.stop_requested()) return false;
  }
  if (stop.stop_requested()) return false;
  uint64_t records = std::min(lag_records(), limits.records_max);
  if (records > limits.records_step) records -= records % limits.records_step;
  fill(out, limits, records);
  if (out.empty()) return false;
  out_ = true, out_end_ = out.end, out_covered_ = out.covered, out_records_ = out.records;
  return true;
}

void MemoryCursor::fill(BatchView& out, const BatchLimits& limits, uint64_t records_max) const {
  out.streams = streams_;
  out.begin = out.end = position_;
  out.records = out.bytes = 0;
  out.covered = {};
  uint32_t record = record_;
  for (uint64_t n = entry_number_ - journal_.first_entry_number_; n < journal_.entries_.size(); ++n, record = 0) {
    const Transaction& t = journal_.entries_[n].t;
    uint64_t matching = t.totals.records_of(streams_), bytes = t.totals.bytes_of(streams_);
    bool whole = record == 0 && out.records + matching <= records_max &&
                 (out.bytes + bytes <= limits.bytes_max || matching == 0) &&
                 (!ended_ || out.end + t.entry_count <= end_position_);
    if (whole) {
      if (matching) out.slices.push_back({t.block, t.first_entry, t.entry_count});
      out.records += matching, out.bytes += bytes, out.end += t.entry_count;
      out.covered += t.totals;
      continue;
    }
    BatchSlice slice{t.block, t.first_entry + record, 0};
    for (; record < t.entry_count; ++record) {
      const IndexEntry& e = t.block->entry(t.first_entry + record);
      bool mine = streams_.has(e.stream);
      if (ended_ && out.end >= end_position_) break;
      if (mine && (out.records == records_max || (out.records > 0 && out.bytes + e.length > limits.bytes_max))) break;
      if (mine) ++out.records, out.bytes += e.length;
      ++out.covered.records[size_t(e.stream)], out.covered.bytes[size_t(e.stream)] += e.length;
      ++slice.entry_count, ++out.end;
    }
    if (slice.entry_count) out.slices.push_back(std::move(slice));
    if (record < t.entry_count) break;
  }
}

void MemoryCursor::commit(const BatchView& batch) {
  std::unique_lock lock(journal_.mutex_);
  WEIR_CHECK(out_ && batch.begin == position_ && batch.end == out_end_);
  out_ = false;
  at_ += batch.covered;
  passed_ += batch.records;
  position_ = batch.end;
  if (position_ <= journal_.oldest()) {
    skip_what_was_dropped();
  } else {
    uint64_t n = std::max(entry_number_, journal_.first_entry_number_) - journal_.first_entry_number_;
    while (n < journal_.entries_.size() && journal_.entries_[n].first + journal_.entries_[n].t.entry_count < position_) ++n;
    entry_number_ = journal_.first_entry_number_ + n;
    record_ = n < journal_.entries_.size() ? uint32_t(position_ - journal_.entries_[n].first) : 0;
  }
  journal_.tell_space(lock);
}

CursorStatus MemoryCursor::status_locked() const {
  CursorStatus s;
  s.position = position_, s.dropped_lag = dropped_, s.passed = passed_;
  Totals at = at_;
  uint64_t in_hand = 0, in_hand_bytes = 0;
  if (position_ < journal_.oldest()) {
    if (out_) {
      at += out_covered_;
      in_hand = out_records_, in_hand_bytes = out_covered_.bytes_of(streams_);
      s.position = out_end_;
    }
    if (s.position < journal_.oldest()) {
      const Totals& oldest = journal_.oldest_totals();
      uint64_t end = end_totals().records_of(streams_), from = at.records_of(streams_);
      uint64_t gone = std::min(end > from ? end - from : 0, oldest.records_of(streams_) - from);
      s.dropped_lag += gone, s.passed += gone;
      at = oldest;
      s.position = journal_.oldest();
    }
  }
  const Totals& end = end_totals();
  uint64_t end_records = end.records_of(streams_), at_records = at.records_of(streams_);
  uint64_t end_bytes = end.bytes_of(streams_), at_bytes = at.bytes_of(streams_);
  s.lag_records = (end_records > at_records ? end_records - at_records : 0) + in_hand;
  s.lag_bytes = (end_bytes > at_bytes ? end_bytes - at_bytes : 0) + in_hand_bytes;
  s.routed = s.passed + s.lag_records;
  return s;
}

}  // namespace

std::unique_ptr<Journal> make_memory_journal(uint64_t bytes_max) { return std::make_unique<MemoryJournal>(bytes_max); }

}  // namespace weir
