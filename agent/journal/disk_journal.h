#pragma once
#include <fcntl.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "agent/core/clock.h"
#include "agent/core/io.h"
#include "agent/journal/checkpoint.h"
#include "agent/journal/segment_format.h"
#include "agent/journal/segment_reader.h"

namespace weir {

struct DiskJournalOptions {
  std::string path;            ///< its directory; made (0700) with the one above it
  std::string data_dir = {};   ///< locked, too, when given
  std::string quarantine;      ///< where damaged files go; made when first needed
  uint64_t bytes_max = 0;      ///< of all segments together
  uint64_t segment_bytes = 0;  ///< 0: by delivery.md section 4 rule 2
  std::string boot_id = {};    ///< empty: the kernel's
  /// Who writes and syncs: threads of its own; whoever calls the step functions (simulator); each call that
  /// leaves something to do, before it returns (tests).
  enum class Work { by_threads, by_hand, at_once } work = Work::by_threads;
};

/// The journal that survives (delivery.md sections 2 to 4, docs/journal-format.md). What is appended is in
/// the tail in memory at once; one thread writes it to the active segment, a second one syncs that and keeps
/// the checkpoint. Cursors see what is written. What somebody waits for as `durable` leaves memory only after
/// the sync that covers it; anything else when it is written (docs/decisions/0012-disk-journal.md).
class DiskJournal final : public TailJournal {
 public:
  /// Makes or opens it. Damage is no error: it is counted, said, and stepped over. An error: another process
  /// has it, it is of a newer format, or the directory cannot be used; nothing was touched then.
  /// `io` and `clock` outlive it.
  static Result<std::unique_ptr<DiskJournal>> open(DiskJournalOptions options, Io& io, const Clock& clock);
  ~DiskJournal() override;

  AppendResult append(Transaction& t) override;
  Position written() const override;
  Position synced() const override;
  uint64_t mark() const override;
  uint64_t reached(AckLevel level) const override;
  AckLevel level_max() const override { return AckLevel::durable; }
  uint64_t secured() const override { return reached(AckLevel::durable); }
  bool settle(int64_t deadline_ns) override;
  void on_progress(std::function<void()> callback) override;
  std::vector<RememberedClient> remembered_clients() override;
  std::vector<std::string> waiting_places() const override;
  void set_client_limits(int64_t memory_ns, size_t clients_max) override;
  JournalStatus status() const override;
  void set_bytes_max(uint64_t bytes_max) override;

  // By hand, where there are no threads. True: something was done.
  bool step_write();
  bool step_sync();
  bool step_checkpoint();
  /// All three, until there is nothing more to do.
  void pump();

 private:
  /// A file of transactions. The last one may be open for writing.
  struct Segment {
    uint64_t sequence = 0;
    std::string uuid, name;
    Boundary first;
    uint64_t bytes = 0;  ///< on disk
    uint64_t used = 0;   ///< of them hold transactions
    int64_t made_ns = 0;
    bool damaged = false;
    bool rewrites = false;
    std::optional<Position> jumped_from = {};
  };
  /// The file that is written to; closed when the last thread lets go of it.
  struct File {
    File(Io& the_io, int the_fd) : io(the_io), fd(the_fd) {}
    ~File() { io.close(fd); }
    Io& io;
    const int fd;
  };
  /// A segment that is full, but not durable yet.
  struct Sealed {
    std::shared_ptr<File> file;
    Boundary end;
    size_t appends = 0;                     ///< of appends_, from the first on
    uint64_t found_from = 0, found_to = 0;  ///< bytes an earlier process has written
    bool failed = false;                    ///< a sync of it has failed already
  };
  /// One append that is not durable yet.
  struct Append {
    Position end = 0;
    uint64_t mark = 0;
    uint64_t bytes = 0;
    ClientMark client;
    int64_t seen_ns = 0;
  };
  /// Records in a row in one block, and the marks that go with them.
  struct Run {
    std::shared_ptr<Block> block;
    uint32_t first_entry = 0, entry_count = 0;
    int64_t received_ns = 0;
    Position end = 0;
    uint64_t lines_bytes = 0;
    std::string marks = {};
    size_t appends = 0;
    uint64_t mark = 0;
  };
  struct Tape;
  static constexpr int64_t kRetry = 500'000'000;  ///< nanoseconds after a write or sync that failed
  static constexpr const char* kSpareName = "next";
  static constexpr int kSyncFailuresMax = 3;  ///< in a row, then it is `failed`

  DiskJournal(DiskJournalOptions options, std::string uuid, std::vector<int> lock_fds, int directory_fd,
              Io& io, const Clock& clock);
  // At the start (disk_recovery.cpp).
  /// A transaction as it was found, without its lines.
  struct Found {
    uint64_t end_offset = 0;
    Boundary before, end;
    Position synced = 0;
    uint32_t index = 0, flags = 0;
    std::vector<RememberedClient> clients;
  };
  Result<void> recover();
  Result<void> find_segments();
  enum class Kind { segment, foreign, empty, unknown };
  Kind identify(Segment& segment);
  std::vector<Found> scan(const Segment& segment, uint64_t& end_of_data, bool& failed);
  void recover_end(const Checkpoint& known);
  void recover_rest();
  void recover_clients(const std::vector<Found>& last);
  void take_back(const Segment& segment, const std::vector<Found>& found);
  bool cut_places();
  void quarantine_file(const std::string& name, const std::string& why);
  int open_segment(const Segment& segment, int access = O_RDONLY);

  // TailJournal's, under mutex_.
  Boundary visible() const override { return visible_; }
  Boundary oldest() const override;
  Position let_go() const override { return let_go_; }
  Boundary boundary_after(Position position) const override;
  bool room_for_wanted() override;
  bool restore(TailCursor& cursor) override;
  bool keeps_cursors() const override { return true; }
  void park(TailCursor& cursor) override;
  CursorRecord record_of(const TailCursor& cursor) const;
  // And without it.
  Result<void> load(Position from, std::vector<TailEntry>& window,
                    std::unique_ptr<TapePlace>& place) override;
  void changed() override;
  bool checkpoint(bool durable) override;
  bool wait_durable(Position upto, std::stop_token stop) override;

  bool can_hold(size_t bytes);
  bool unwritten() const { return written_appends_ < appends_.size(); }
  /// Something lies in a file that is not durable; perhaps a part of one append only.
  bool unsynced() const { return written_appends_ > 0 || written_.position > synced_.position; }
  bool durable_is_wanted() const {
    return durable_wanted_mark_ > synced_mark_ || durable_wanted_ > synced_.position;
  }
  std::vector<Run> collect();
  bool write_some(std::vector<Run>& runs, size_t& done, Boundary& at, uint64_t epoch);
  bool write_all(int fd, std::vector<iovec>& parts, uint64_t offset);
  bool roll(uint64_t bytes);
  bool create_segment(uint64_t bytes);
  bool try_create_segment(uint64_t bytes);
  std::shared_ptr<File> new_file(const std::string& name, uint64_t least, uint64_t& wanted);
  void prepare_spare();
  std::string stored_clients(std::string_view uuid, const Boundary& at, uint32_t& index);
  uint64_t segment_bytes() const;
  bool make_room(uint64_t bytes);
  bool free_oldest();
  void ask_to_secure();
  void wait_for_room(const char* why);
  bool sync();
  bool sync_sealed();
  bool sync_data(int fd);
  bool write_again(const Sealed& sealed);
  void on_durable(const Boundary& upto, size_t appends);
  void abandon_file();
  void on_sync_failed(int error, const std::shared_ptr<File>& file);
  void count_sync_failure(int error);
  void works_again();
  void on_write_failed(int error, const std::string& what);
  void remember_client(const Append& append);
  void note_damage(Position begin, Position end, const std::string& segment, const char* what);
  void set_aside_reserve();
  Checkpoint make_checkpoint();
  int64_t write_due_ns() const;
  bool sync_due(int64_t now_ns) const;
  void writer(std::stop_token stop);
  void syncer(std::stop_token stop);
  void preparer(std::stop_token stop);
  void progress();

  const DiskJournalOptions options_;
  Io& io_;
  const Clock& clock_;
  std::vector<int> lock_fds_;
  const int directory_fd_;
  std::string boot_id_;

  // Under mutex_.
  std::deque<Segment> segments_;
  Position let_go_ = 0;
  Boundary visible_, written_, synced_;
  uint64_t mark_ = 0, written_mark_ = 0, synced_mark_ = 0;
  std::deque<Append> appends_;  ///< from synced_ on
  size_t written_appends_ = 0;  ///< of them lie in the file
  uint64_t unwritten_bytes_ = 0, unsynced_bytes_ = 0;
  uint64_t unsecured_bytes_ = 0;    ///< written since sinks were asked to make their outputs durable
  bool durable_producers_ = false;  ///< somebody asked for `durable` since then
  int64_t first_unwritten_ns_ = 0, first_unsynced_ns_ = 0, last_write_ns_ = 0;
  Position durable_wanted_ = 0;  ///< a reader waits for it
  uint64_t durable_wanted_mark_ = 0;
  uint64_t epoch_ = 0;  ///< counts how often written_ went back
  std::string state_ = "ok", error_;
  int64_t retry_at_ns_ = 0, sync_retry_at_ns_ = 0;
  int sync_failures_ = 0;  ///< in a row
  uint64_t fsync_errors_ = 0, torn_bytes_ = 0, damaged_records_ = 0;
  std::set<Position> damage_;  ///< where ranges of damaged records begin
  std::map<std::string, CursorRecord> parked_;
  /// Not all of its sinks are there (yet, or any more): nothing is let go of. Until the next append.
  bool frozen_ = true;
  bool checkpoint_lost_ = false;  ///< no place of any cursor is known
  bool same_boot_ = true;
  bool dirty_ = false;  ///< a cursor has moved since the last checkpoint
  int64_t checkpoint_ns_ = 0, durable_checkpoint_ns_ = 0;
  std::function<void()> on_progress_;
  size_t closed_appends_ = 0;  ///< of appends_ are not added to any more
  bool blocked_ = false;       ///< the writer waits for cursors to go on
  uint64_t next_sequence_ = 1;
  bool pumping_ = false;
  std::condition_variable_any writer_wake_, syncer_wake_, preparer_wake_, durable_;

  std::deque<Sealed> sealed_;
  bool sealed_failed_ = false;  ///< one could not be synced, and no checkpoint says so yet; under sync_mutex_
  std::shared_ptr<File> file_;  ///< of segments_.back(); null: a new one is begun with the next write
  uint64_t offset_ = 0, capacity_ = 0;
  /// The file of the next segment, its space set aside while the last one fills up: making one takes as long
  /// as many syncs, and everybody would wait.
  std::shared_ptr<File> spare_;
  uint64_t spare_bytes_ = 0;
  bool spare_wanted_ = false, creating_ = false;
  uint32_t next_index_ = 0;
  std::optional<Position> jumped_from_;  ///< of the next segment
  bool rewriting_ = false;               ///< the next segment holds again what the last one holds

  std::mutex room_mutex_;     ///< one at a time frees segments; before all others
  std::mutex clients_mutex_;  ///< the last to be taken
  std::mutex sync_mutex_;     ///< one sync at a time; before mutex_
  std::unordered_map<std::string, RememberedClient> clients_;  ///< as of synced_; under clients_mutex_
  std::vector<RememberedClient> recovered_clients_;            ///< under mutex_
  LatencyHistogram fsync_;
  std::atomic<int64_t> client_memory_ns_ = 24 * 3600 * INT64_C(1'000'000'000);
  std::atomic<size_t> clients_max_ = 100'000;

  std::mutex checkpoint_mutex_;  ///< before mutex_
  CheckpointFiles checkpoint_files_;

  std::jthread writer_, syncer_, preparer_;  // last: they use the rest
};

}  // namespace weir
