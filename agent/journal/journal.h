#pragma once
#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "agent/core/ack_level.h"
#include "agent/core/frame_handler.h"
#include "agent/core/latency.h"
#include "agent/core/result.h"
#include "agent/core/stream.h"
#include "agent/journal/block.h"

namespace weir {

/// How many records have been appended since the journal began: the position behind the last of them.
using Position = uint64_t;

/// Records and line bytes, per stream.
struct Totals {
  std::array<uint64_t, kStreamCount> records{};
  std::array<uint64_t, kStreamCount> bytes{};
  uint64_t records_of(StreamSet set) const;
  uint64_t bytes_of(StreamSet set) const;
};

/// Up to which number the records of a client are disposed of.
struct ClientMark {
  std::shared_ptr<const ClientIdentity> client;  ///< null: of a producer that does not number
  uint64_t seq = 0;
};

/// What one turn of the pipe thread appends: a run of finished lines in one block, and how far its client has
/// come with them. Either may be missing. Atomic for every reader, and on disk.
struct Transaction {
  std::shared_ptr<Block> block;
  uint32_t first_entry = 0;
  uint32_t entry_count = 0;
  int64_t received_ns = 0;  ///< wall clock of the turn
  Totals totals;            ///< of this transaction alone
  ClientMark client;
  AckLevel level = AckLevel::received;  ///< what its producer waits for
};

/// What a journal of an earlier process remembers of a client.
struct RememberedClient {
  ClientMark mark;
  int64_t seen_ns = 0;  ///< wall clock
};

enum class AppendResult { taken, full, failed };
enum class StartAt { oldest, end };
/// What happens when the journal is full of records this cursor has not passed (delivery.md section 1).
/// block: append answers `full`. drop_oldest: the cursor jumps, the skipped records are counted.
enum class WhenFull { block, drop_oldest };

/// How far behind a cursor may be: the journal being full, or more than `max_lag_bytes` of its own streams.
struct LagLimit {
  WhenFull when_full = WhenFull::drop_oldest;
  uint64_t max_lag_bytes = UINT64_MAX;
  LagLimit() = default;
  LagLimit(WhenFull when, uint64_t bytes = UINT64_MAX)
      : when_full(when), max_lag_bytes(bytes) {}  // NOLINT: a bare WhenFull says all
};

Totals& operator+=(Totals& to, const Totals& more);

/// Consecutive entries of one block.
struct BatchSlice {
  std::shared_ptr<Block> block;
  uint32_t first_entry = 0, entry_count = 0;
  Position begin = 0;  ///< position before its first entry
  Totals before;  ///< of everything from the batch's begin to there; slices may leave out what lies between
  uint64_t records = 0;     ///< of the batch's streams
  int64_t received_ns = 0;  ///< wall clock, of its first record; 0: not known
};

/// A zero-copy look at the next records of a cursor's streams. Keeps its blocks alive; its bytes never
/// change.
struct BatchView {
  std::vector<BatchSlice> slices;
  StreamSet streams;
  Position begin = 0, end = 0;      ///< positions covered, records of other streams included
  uint64_t records = 0, bytes = 0;  ///< of `streams` only
  Totals covered;                   ///< of everything between begin and end
  bool empty() const { return records == 0; }

  /// fn(std::string_view line_with_lf, Stream), in order.
  template <class Fn>
  void for_each(Fn&& fn) const {
    for (const BatchSlice& s : slices)
      for (uint32_t i = s.first_entry; i < s.first_entry + s.entry_count; ++i) {
        const IndexEntry& e = s.block->entry(i);
        if (streams.has(e.stream)) fn(std::string_view(s.block->data() + e.offset, e.length), e.stream);
      }
  }
};

/// The part of a batch that holds its first `records` records.
BatchView first_records(const BatchView& batch, uint64_t records);

/// When next() is content, and how much it hands out at most.
struct BatchLimits {
  uint64_t records_max = 8192;
  uint64_t bytes_max = 1 << 20;  ///< at least one record is handed out even if it is larger
  uint64_t records_step = 1;     ///< hand out a multiple of this, as long as `linger_ns` has not passed
                                 ///< and there is less than `bytes_max`
  int64_t linger_ns = 0;         ///< how long the first waiting record may wait for a full step; -1: for ever
  uint64_t bytes_step = UINT64_MAX;  ///< so many bytes that wait are as good as a full step
};

struct CursorStatus {
  Position position = 0;
  uint64_t routed = 0;           ///< records of its streams since its start: passed + lag
  uint64_t passed = 0;           ///< committed + dropped, of both kinds
  uint64_t dropped_lag = 0;      ///< skipped by drop_oldest
  uint64_t dropped_damaged = 0;  ///< what the disk did not give back
  uint64_t lag_records = 0, lag_bytes = 0;
};

/// What a journal on disk keeps of a reader beside its place, from one process to the next.
struct CursorMemory {
  std::string note;       ///< of the last commit(), keep() or secure(); empty: it is new
  bool same_boot = true;  ///< false: the machine went down since; it starts from its last secure()
};

/// One reader's place. next(), commit(), keep() and secure() from one thread (the sink's worker); status(),
/// flush() and set_streams() from any. next() always starts at the committed position, so a batch that was
/// not committed comes again.
class Cursor {
 public:
  virtual ~Cursor() = default;
  /// Waits for records of its streams, at most `wait_ns` (-1: until they come, 0: not at all) or until
  /// `stop`. False: none.
  virtual bool next(BatchView& out, const BatchLimits& limits, int64_t wait_ns, std::stop_token stop) = 0;
  /// Everything up to batch.end is done with. `batch` is what next() gave, or its first_records(). `note` is
  /// kept with the new place, where places are kept.
  virtual void commit(const BatchView& batch, std::string_view note = {}) = 0;
  /// Are places and notes of this cursor kept for the next process?
  virtual bool is_kept() const { return false; }
  /// What was kept when it was opened.
  virtual CursorMemory memory() const { return {}; }
  /// Its place and `note` are in the checkpoint when it returns: safe from the death of this process, and
  /// from a power cut when `durable`. False: that could not be written (it is tried again with the next
  /// checkpoint).
  virtual bool keep(std::string_view note, bool durable) { return (void)note, (void)durable, true; }
  /// Waits until what it has committed is durable in the journal, at most until `stop`; false: it is not.
  virtual bool wait_durable(std::stop_token stop) { return (void)stop, true; }
  /// What it has committed is durable at its end, too, after wait_durable(): the journal may let go of it,
  /// and after a power cut it starts here, with `note`.
  virtual void secure(std::string_view note) { (void)note; }
  /// The journal asks for a secure(), to free space later; next() returns false then. Answered by secure().
  virtual bool secure_wanted() const { return false; }
  /// secure() needs its sink to do something first (fdatasync). Else every commit() is as good as a secure().
  virtual void set_needs_secure(bool needs) { (void)needs; }
  virtual CursorStatus status() const = 0;
  /// What is there now is handed out without waiting for a full step (drain, reload, rotation).
  virtual void flush() = 0;
  /// A next() that waits, or the next one, returns false soon.
  virtual void wake() = 0;
  /// Which streams it reads of what is appended from now on; what lies before stays as it was, lag included.
  /// Takes back an end_here().
  virtual void set_streams(StreamSet streams) = 0;
  virtual void set_lag_limit(LagLimit limit) = 0;
  /// Its sink was removed: its place is not kept any longer than it lives.
  virtual void forget() {}
  /// Nothing that is appended from now on belongs to it (its sink was removed); what lies before is its lag.
  virtual void end_here() = 0;
};

struct JournalStatus {
  std::string type;
  uint64_t bytes = 0, bytes_max = 0;
  int64_t oldest_ns = 0;  ///< wall clock of the oldest transaction still held; 0: none
  Position written = 0, synced = 0;
  std::string state;  ///< ok | full | readonly | failed
  Totals totals;      ///< everything ever appended
  std::string error;  ///< why it is not ok, for people
  uint64_t fsync_errors = 0, torn_bytes = 0, damaged_records = 0;
  LatencySnapshot fsync;  ///< of its segments
};

/// The spine (delivery.md section 1): append-only, any number of cursors. append() and new_block() from the
/// pipe thread; everything else from any thread.
class Journal {
 public:
  virtual ~Journal() = default;
  /// taken: visible to all cursors. full: nothing changed, `transaction` is still the caller's; on_space is
  /// called once there is room. failed: as full, but for good.
  virtual AppendResult append(Transaction& transaction) = 0;
  /// An empty block for at least `bytes_min` bytes of line; counts against the limit once a transaction in it
  /// is appended.
  virtual std::shared_ptr<Block> new_block(size_t bytes_min) = 0;
  /// Its own name, random when it was made and never again: what positions belong to. RFC 4122 text form.
  virtual const std::string& uuid() const = 0;
  /// The end of what was appended. The next record's position.
  virtual Position end() const = 0;
  /// Up to there it is in the journal's files, and on the disk. In memory: all, and nothing.
  virtual Position written() const = 0;
  virtual Position synced() const = 0;
  /// A number for "everything up to now", for reached(): it grows with every append, of clients alone too.
  virtual uint64_t mark() const = 0;
  /// Everything up to this mark has the level.
  virtual uint64_t reached(AckLevel level) const = 0;
  virtual AckLevel level_max() const = 0;
  /// What lies before this mark does not need this process any more. In memory: every cursor with
  /// `when_full: block` has passed it (the others may skip it anyhow); on disk: it is durable.
  virtual uint64_t secured() const = 0;
  /// Makes what was appended as safe as it can be, places of cursors included, at most until `deadline_ns`
  /// (monotonic). False: something is not.
  virtual bool settle(int64_t deadline_ns) { return (void)deadline_ns, true; }
  /// Called soon after reached() has changed, from a thread of the journal; must not call back into it.
  virtual void on_progress(std::function<void()> callback) { (void)callback; }
  /// The clients of earlier processes, most recently seen first; given once.
  virtual std::vector<RememberedClient> remembered_clients() { return {}; }
  /// Sinks of earlier processes whose places are kept, but which nobody has opened.
  virtual std::vector<std::string> waiting_places() const { return {}; }
  /// How many clients are kept, and how long (interface.md section 2).
  virtual void set_client_limits(int64_t memory_ns, size_t clients_max) {
    (void)memory_ns, (void)clients_max;
  }
  /// `name` is the sink's, for messages and (on disk) the checkpoint. Cursors of tails are drop_oldest.
  /// The journal must outlive its cursors.
  virtual std::unique_ptr<Cursor> open_cursor(std::string_view name, StreamSet streams, StartAt start,
                                              LagLimit limit) = 0;
  virtual JournalStatus status() const = 0;
  /// Called once after each append that answered `full`, when there is room, from the thread that made it;
  /// must not call back into the journal.
  virtual void on_space(std::function<void()> callback) = 0;
  /// A new limit, at once (reload).
  virtual void set_bytes_max(uint64_t bytes_max) = 0;
};

std::unique_ptr<Journal> make_memory_journal(uint64_t bytes_max);

}  // namespace weir
