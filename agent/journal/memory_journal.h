#pragma once
// Internal to agent/journal: the journal in memory and its cursors (docs/decisions/0001-memory-journal.md).
#include <condition_variable>
#include <deque>
#include <mutex>
#include <vector>

#include "agent/journal/journal.h"

namespace weir {

class BlockPool;
class MemoryCursor;

class MemoryJournal final : public Journal {
 public:
  explicit MemoryJournal(uint64_t bytes_max);
  ~MemoryJournal() override;

  AppendResult append(Transaction& t) override;
  std::shared_ptr<Block> new_block(size_t bytes_min) override;
  const std::string& uuid() const override { return uuid_; }
  Position end() const override;
  Position written() const override { return end(); }
  Position synced() const override { return 0; }
  uint64_t mark() const override { return end(); }
  uint64_t reached(AckLevel level) const override { return level <= AckLevel::received ? end() : 0; }
  AckLevel level_max() const override { return AckLevel::received; }
  uint64_t secured() const override;
  std::unique_ptr<Cursor> open_cursor(std::string_view name, StreamSet streams, StartAt start,
                                      LagLimit limit) override;
  JournalStatus status() const override;
  void on_space(std::function<void()> callback) override;
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
  bool make_room(size_t bytes);
  bool lag_allows(const Totals& more);
  size_t block_bytes() const;
  /// Unlocks, and tells the appender if there is room now.
  void tell_space(std::unique_lock<std::mutex>& lock);

  const std::string uuid_;
  mutable std::mutex mutex_;
  std::deque<Entry> entries_;
  uint64_t first_entry_number_ = 0;  ///< number of entries_.front() since the beginning
  uint64_t held_bytes_ = 0;          ///< capacity of the blocks in entries_, and the entries themselves
  uint64_t bytes_max_;
  Position position_ = 0;
  Totals totals_;
  std::vector<MemoryCursor*> cursors_;
  std::shared_ptr<BlockPool> pool_;
  std::function<void()> on_space_;
  bool full_ = false;
  size_t wanted_bytes_ = 0;  ///< what the append that answered `full` needs
  Totals wanted_totals_;     ///< its records
};

/// Its place is kept lazily: when the journal has dropped what it has not read, that shows (and is counted)
/// at its next look. Everything under the journal's lock.
class MemoryCursor final : public Cursor {
 public:
  MemoryCursor(MemoryJournal& journal, StreamSet streams, LagLimit limit);
  ~MemoryCursor() override;
  bool next(BatchView& out, const BatchLimits& limits, int64_t wait_ns, std::stop_token stop) override;
  void commit(const BatchView& batch, std::string_view note) override;
  CursorStatus status() const override;
  void flush() override;
  void wake() override;
  void set_streams(StreamSet streams) override;
  void set_lag_limit(LagLimit limit) override;
  void end_here() override;

 private:
  friend class MemoryJournal;
  /// A stretch of the journal in which it reads these streams. The last one may be open.
  struct Stretch {
    StreamSet streams;
    bool open = true;
    Position end = 0;
    Totals end_totals;
  };
  struct Sum {
    uint64_t records = 0, bytes = 0;
  };
  /// A place at the beginning of an entry.
  struct Mark {
    Position position = 0;
    Totals totals;
    uint64_t entry_number = 0;
  };
  void start_at(Position position, const Totals& totals, uint64_t entry_number, uint32_t record);
  void move_to(Position position, const Totals& totals);
  /// What of its streams lies between `from` and `upto`, stretch by stretch.
  Sum between(const Totals& from, const Totals& upto) const;
  uint64_t lag_records() const { return between(at_, journal_.totals_).records; }
  /// Skips what is more than its limit (drop_oldest), `more` included that is about to be appended.
  bool within_lag(const Totals& more);
  bool ended() const { return !stretches_.back().open; }
  void close_stretch();
  Mark oldest() const;
  void catch_up();
  void tell(const Totals& more);
  bool ready(const BatchLimits& limits) const;
  void fill(BatchView& out, const BatchLimits& limits) const;

  MemoryJournal& journal_;
  LagLimit limit_;
  std::deque<Stretch> stretches_;  ///< the first is where it reads now; never empty
  Position position_ = 0;          ///< committed
  Totals at_;                      ///< totals at position_
  uint64_t entry_number_ = 0;      ///< where position_ is: this entry of the journal,
  uint32_t record_ = 0;            ///< this record of it
  uint64_t passed_ = 0, dropped_ = 0;
  Mark given_up_;             ///< what lies before is more than its LagLimit: dropped at its next look
  Position flush_until_ = 0;  ///< up to here no step is waited for
  bool woken_ = false;
  std::condition_variable_any wake_;
  bool waiting_ = false;               ///< next() sleeps until there is something to do
  const BatchLimits* step_ = nullptr;  ///< and then until there is a full step of these
  bool out_ =
      false;  ///< a batch was handed out and not committed yet: it is alive whatever the journal drops
  Position out_end_ = 0;
  Totals out_covered_;
};

}  // namespace weir
