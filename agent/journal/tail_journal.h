#pragma once
// Internal to agent/journal: what the journal in memory and the one on disk share
// (docs/decisions/0001-memory-journal.md, 0012-disk-journal.md).
#include <condition_variable>
#include <deque>
#include <mutex>
#include <vector>

#include "agent/journal/journal.h"

namespace weir {

class BlockPool;
class TailCursor;

/// A place between two records whose totals are known.
struct Boundary {
  Position position = 0;
  Totals totals;
};

/// Records in a row, in one block.
struct TailEntry {
  std::shared_ptr<Block> block;
  uint32_t first_entry = 0, entry_count = 0;
  int64_t received_ns = 0;  ///< wall clock
  Totals totals;            ///< of these alone
  Boundary before;
  Position end() const { return before.position + entry_count; }
};

/// When the records that were appended last came in. Entries are merged, so theirs is of their first record
/// alone.
class ArrivalTimes {
 public:
  void add(Position begin, int64_t received_ns) {
    if (count_ > 0 && received_ns >= last().ns && received_ns - last().ns < kStepNs) return;
    ring_[count_++ % kSize] = {begin, received_ns};
  }
  /// At most kStepNs too early; 0: longer ago than is remembered.
  int64_t of(Position position) const {
    uint64_t low = count_ > kSize ? count_ - kSize : 0, high = count_;
    while (low < high) {
      const uint64_t middle = low + (high - low) / 2;
      if (ring_[middle % kSize].begin <= position)
        low = middle + 1;
      else
        high = middle;
    }
    const bool known = low > 0 && low + kSize > count_;
    return known ? ring_[(low - 1) % kSize].ns : 0;
  }

 private:
  static constexpr uint64_t kSize = 4096;
  static constexpr int64_t kStepNs = 500'000;
  struct Arrival {
    Position begin = 0;
    int64_t ns = 0;
  };
  const Arrival& last() const { return ring_[(count_ - 1) % kSize]; }
  std::vector<Arrival> ring_ = std::vector<Arrival>(kSize);
  uint64_t count_ = 0;
};

/// A stretch of the journal in which a cursor reads these streams. The last one may be open.
struct Stretch {
  StreamSet streams;
  bool open = true;
  Boundary end = {};
};

/// Where a cursor stands, and how it got there: what a checkpoint holds of it.
struct CursorPlace {
  Boundary at;                    ///< committed
  std::deque<Stretch> stretches;  ///< the first is where it reads now; never empty
  uint64_t passed = 0, dropped = 0, damaged = 0;
  std::string note;
};

/// Where a cursor reads on in the files. Its reader's alone.
struct TapePlace {
  virtual ~TapePlace() = default;
};

/// The newest transactions in memory (the tail), and cursors over them and whatever lies before.
class TailJournal : public Journal {
 public:
  explicit TailJournal(std::string uuid, uint64_t bytes_max);
  ~TailJournal() override;

  std::shared_ptr<Block> new_block(size_t bytes_min) override;
  const std::string& uuid() const override { return uuid_; }
  Position end() const override;
  std::unique_ptr<Cursor> open_cursor(std::string_view name, StreamSet streams, StartAt start,
                                      LagLimit limit) override;
  void on_space(std::function<void()> callback) override;

 protected:
  friend class TailCursor;
  // All of these under mutex_, but for load() and changed().
  /// What can be read: cursors see nothing behind it.
  virtual Boundary visible() const { return {position_, totals_}; }
  virtual Boundary oldest() const = 0;
  /// What lies before was let go of; what is missing behind it is damage.
  virtual Position let_go() const { return oldest().position; }
  /// The next boundary behind `position`; the end of what is visible if there is none.
  virtual Boundary boundary_after(Position position) const;
  /// Is there room for an append that was refused?
  virtual bool room_for_wanted() = 0;
  /// A new cursor gets what was kept for its name. False: it begins as `start` says.
  virtual bool restore(TailCursor&) { return false; }
  virtual bool keeps_cursors() const { return false; }
  /// A cursor that is kept goes.
  virtual void park(TailCursor&) {}
  /// Reads entries from the files, from the one that holds `from` or the next readable one on. Empty: there
  /// is none. An error passes; it is worth another try.
  virtual Result<void> load(Position from, std::vector<TailEntry>& window, std::unique_ptr<TapePlace>& place);
  /// A cursor has moved on, or its limits have changed.
  virtual void changed() {}
  virtual bool checkpoint(bool durable) { return (void)durable, true; }
  virtual bool wait_durable(Position upto, std::stop_token stop) { return (void)upto, (void)stop, true; }

  Position tail_begin() const { return entries_.empty() ? position_ : entries_.front().before.position; }
  /// Adds it to the tail; cursors are not told.
  void push(const Transaction& t);
  size_t bytes_of(const Transaction& t) const;
  void pop_front_block();
  /// Does a `block` cursor still have records of its streams before there?
  bool held_by_cursor(const Totals& upto) const;
  /// Every `block` cursor has passed it.
  Position passed_by_all() const;
  bool lag_allows(const Totals& more);
  size_t block_bytes() const;
  void tell(const Totals& more);
  void refuse(size_t bytes, const Totals& totals);
  /// Unlocks, and tells the appender if there is room now.
  void tell_space(std::unique_lock<std::mutex>& lock);

  const std::string uuid_;
  mutable std::mutex mutex_;
  std::deque<TailEntry> entries_;
  uint64_t held_bytes_ = 0;  ///< capacity of the blocks in entries_, and the entries themselves
  uint64_t bytes_max_;
  Position position_ = 0;
  Totals totals_;
  ArrivalTimes arrivals_;
  std::vector<TailCursor*> cursors_;
  std::shared_ptr<BlockPool> pool_;
  std::function<void()> on_space_;
  bool full_ = false;
  size_t wanted_bytes_ = 0;  ///< what the append that answered `full` needs
  Totals wanted_totals_;     ///< its records
};

/// Its place is kept lazily: when the journal has dropped what it has not read, that shows (and is counted)
/// at its next look. Everything under the journal's lock, but for what its reader alone uses.
class TailCursor final : public Cursor {
 public:
  TailCursor(TailJournal& journal, std::string name, StreamSet streams, LagLimit limit);
  ~TailCursor() override;
  bool next(BatchView& out, const BatchLimits& limits, int64_t wait_ns, std::stop_token stop) override;
  void commit(const BatchView& batch, std::string_view note) override;
  bool is_kept() const override { return kept_; }
  CursorMemory memory() const override { return memory_; }
  bool keep(std::string_view note, bool durable) override;
  bool wait_durable(std::stop_token stop) override;
  void secure(std::string_view note) override;
  bool secure_wanted() const override;
  void set_needs_secure(bool needs) override;
  void forget() override;
  CursorStatus status() const override;
  void flush() override;
  void wake() override;
  void set_streams(StreamSet streams) override;
  void set_lag_limit(LagLimit limit) override;
  void end_here() override;

 private:
  friend class TailJournal;
  friend class DiskJournal;
  struct Sum {
    uint64_t records = 0, bytes = 0;
  };
  /// What of its streams lies between, stretch by stretch.
  Sum between(const Totals& from, const Totals& upto) const;
  uint64_t lag_records() const { return between(place_.at.totals, journal_.visible().totals).records; }
  bool within_lag(const Totals& more);
  bool ended() const { return !place_.stretches.back().open; }
  void close_stretch();
  Boundary oldest() const;
  void catch_up();
  void skip_to(const Boundary& place, bool damaged);
  /// Is what lies before that missing, and not dropped?
  bool is_damage(const Boundary& first_left) const {
    return given_up_.position < first_left.position && journal_.let_go() < first_left.position;
  }
  void tell(const Totals& more);
  bool ready(const BatchLimits& limits) const;
  bool take(BatchView& out, const BatchLimits& limits, std::unique_lock<std::mutex>& lock);
  template <class Entries>
  void fill(BatchView& out, const BatchLimits& limits, const Entries& entries) const;

  TailJournal& journal_;
  const std::string name_;  ///< empty: a reader that nobody remembers
  bool kept_;
  LagLimit limit_;
  CursorPlace place_;
  CursorPlace candidate_;      ///< where it was at the last checkpoint: secured, once that is durable
  CursorPlace secured_;        ///< of the last secure()
  bool needs_secure_ = false;  ///< commit() alone does not secure
  bool secure_wanted_ = false;
  CursorMemory memory_;
  std::string boot_id_;       ///< of the process that wrote its note, where that was an earlier one
  Boundary given_up_;         ///< what lies before is more than its LagLimit: dropped at its next look
  Position flush_until_ = 0;  ///< up to here no step is waited for
  bool woken_ = false;
  std::condition_variable_any wake_;
  bool waiting_ = false;               ///< next() sleeps until there is something to do
  const BatchLimits* step_ = nullptr;  ///< and then until there is a full step of these
  bool out_ =
      false;  ///< a batch was handed out and not committed yet: it is alive whatever the journal drops
  Position out_end_ = 0;
  Totals out_covered_;
  // Of its reader's thread alone.
  std::vector<TailEntry> window_;  ///< entries read back from the files
  std::unique_ptr<TapePlace> tape_;
};

}  // namespace weir
