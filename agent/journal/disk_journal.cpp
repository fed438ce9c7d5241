#include "agent/journal/disk_journal.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "agent/core/check.h"
#include "agent/core/log.h"
#include "agent/core/thread_name.h"

namespace weir {
namespace {

constexpr int64_t kMillisecond = 1'000'000, kSecond = 1'000 * kMillisecond;
// Group commit (delivery.md section 2): at most 2 ms or 256 KiB.
constexpr int64_t kWriteSpacing = 1 * kMillisecond;
constexpr uint64_t kWriteAtOnceBytes = 256 << 10;
// Where nobody waits for `durable`.
constexpr uint64_t kSyncBytes = 8 << 20;
constexpr int64_t kSyncAge = 1 * kSecond;
constexpr int64_t kCheckpointSpacing = 100 * kMillisecond, kDurableCheckpointSpacing = 5 * kSecond;
constexpr int64_t kParkedMax = 24 * 3600 * kSecond;
constexpr uint64_t kTailBytesMax = 24 << 20, kWaitingBytesMax = 32 << 20;
/// Of what is written, but not durable, and nobody waits for that.
constexpr uint64_t kUnsyncedBytesMax = 1 << 30;
constexpr size_t kUnsyncedAppendsMax = 100'000;
constexpr int kOpenTries = 5;
constexpr auto kLookAgain = std::chrono::milliseconds(50);

}  // namespace

DiskJournal::~DiskJournal() {
  for (std::jthread* thread : {&writer_, &syncer_, &preparer_}) {
    thread->request_stop();
    if (thread->joinable()) thread->join();
  }
  file_.reset();
  if (spare_) io_.unlinkat(directory_fd_, kSpareName);
  spare_.reset();
  io_.close(directory_fd_);
  for (int fd : lock_fds_) io_.close(fd);
}

/// Lets go of what is safe when memory gets short. False: too much of it is not.
bool DiskJournal::can_hold(size_t bytes) {
  const uint64_t tail_max = std::clamp<uint64_t>(bytes_max_ / 4, block_bytes(), kTailBytesMax);
  const uint64_t waiting_max = std::clamp<uint64_t>(bytes_max_ / 4, block_bytes(), kWaitingBytesMax);
  const Position safe = durable_is_wanted() ? synced_.position : written_.position;
  const auto held = [&] { return held_bytes_ + appends_.size() * sizeof(Append) + bytes; };
  while (held() > tail_max && !entries_.empty()) {
    const Block* front = entries_.front().block.get();
    const auto behind =
        std::ranges::find_if(entries_, [&](const TailEntry& e) { return e.block.get() != front; });
    const Position end = behind == entries_.end() ? position_ : behind->before.position;
    if (end > safe) break;
    pop_front_block();
  }
  if (entries_.empty()) return appends_.size() < 4 * kUnsyncedAppendsMax;
  return (held() <= tail_max + waiting_max &&
          unsynced_bytes_ <= std::min(bytes_max_ / 4, kUnsyncedBytesMax) + waiting_max);
}

bool DiskJournal::room_for_wanted() {
  return state_ != "failed" && lag_allows(wanted_totals_) && can_hold(wanted_bytes_);
}

AppendResult DiskJournal::append(Transaction& t) {
  if (t.entry_count == 0 && !t.client.client) return AppendResult::taken;
  {
    std::lock_guard lock(mutex_);
    const size_t bytes = t.entry_count > 0 ? bytes_of(t) : 0;
    if (state_ == "failed") {
      refuse(bytes, t.totals);
      return AppendResult::failed;
    }
    if (!lag_allows(t.totals) || !can_hold(bytes)) {
      refuse(bytes, t.totals);
      return AppendResult::full;
    }
    full_ = checkpoint_lost_ = frozen_ = false;
    if (t.entry_count > 0) push(t);
    mark_ += std::max<uint32_t>(1, t.entry_count);
    uint64_t lines = 0;
    for (uint64_t n : t.totals.bytes) lines += n;
    const bool first = !unwritten();
    const uint64_t before = unwritten_bytes_;
    unwritten_bytes_ += lines, unsynced_bytes_ += lines;
    const int64_t now = clock_.monotonic_ns();
    if (first) first_unwritten_ns_ = now;
    if (appends_.empty()) first_unsynced_ns_ = now;
    if (t.level == AckLevel::durable) durable_wanted_mark_ = mark_, durable_producers_ = true;
    Append* last = appends_.size() > closed_appends_ ? &appends_.back() : nullptr;
    if (last && !last->client.client && !t.client.client && last->bytes < kWriteAtOnceBytes) {
      last->end = position_, last->mark = mark_, last->bytes += lines;
    } else {
      const int64_t seen_ns = t.client.client ? clock_.wall_ns() : 0;
      appends_.push_back({position_, mark_, lines, std::move(t.client), seen_ns});
    }
    t.block.reset();
    if (first || (before < kWriteAtOnceBytes && unwritten_bytes_ >= kWriteAtOnceBytes))
      writer_wake_.notify_one();
  }
  if (options_.work == DiskJournalOptions::Work::at_once) pump();
  return AppendResult::taken;
}

Position DiskJournal::written() const {
  std::lock_guard lock(mutex_);
  return visible_.position;
}

Position DiskJournal::synced() const {
  std::lock_guard lock(mutex_);
  return synced_.position;
}

uint64_t DiskJournal::mark() const {
  std::lock_guard lock(mutex_);
  return mark_;
}

uint64_t DiskJournal::reached(AckLevel level) const {
  std::lock_guard lock(mutex_);
  return level == AckLevel::durable ? synced_mark_ : level == AckLevel::buffered ? written_mark_ : mark_;
}

void DiskJournal::on_progress(std::function<void()> callback) {
  std::lock_guard lock(mutex_);
  on_progress_ = std::move(callback);
}

void DiskJournal::progress() {
  std::function<void()> callback;
  {
    std::lock_guard lock(mutex_);
    callback = on_progress_;
  }
  if (callback) callback();
}

bool DiskJournal::wait_durable(Position upto, std::stop_token stop) {
  if (options_.work != DiskJournalOptions::Work::by_threads) {
    pump();
    return synced() >= upto;
  }
  std::unique_lock lock(mutex_);
  durable_wanted_ = std::max(durable_wanted_, upto);
  syncer_wake_.notify_one();
  return durable_.wait(lock, stop, [&] { return synced_.position >= upto || state_ == "failed"; }) &&
         synced_.position >= upto;
}

bool DiskJournal::settle(int64_t deadline_ns) {
  bool done;
  if (options_.work == DiskJournalOptions::Work::by_threads) {
    std::unique_lock lock(mutex_);
    durable_wanted_mark_ = mark_;
    durable_wanted_ = position_;
    syncer_wake_.notify_one();
    const auto left = std::chrono::nanoseconds(std::max<int64_t>(0, deadline_ns - clock_.monotonic_ns()));
    done = durable_.wait_for(lock, left, [&] { return synced_mark_ >= mark_; });
  } else {
    pump();
    done = reached(AckLevel::durable) >= mark();
  }
  return checkpoint(true) && done;
}

JournalStatus DiskJournal::status() const {
  std::lock_guard lock(mutex_);
  JournalStatus s;
  s.type = "disk";
  s.bytes = spare_bytes_;
  for (const Segment& segment : segments_) s.bytes += segment.bytes;
  s.bytes_max = bytes_max_;
  s.oldest_ns = segments_.empty() ? 0 : segments_.front().made_ns;
  s.written = visible_.position, s.synced = synced_.position;
  s.state = state_ == "ok" && full_ ? "full" : state_;
  s.error = error_;
  s.totals = totals_;
  s.fsync = fsync_.snapshot();
  s.fsync_errors = fsync_errors_, s.torn_bytes = torn_bytes_, s.damaged_records = damaged_records_;
  return s;
}

void DiskJournal::set_bytes_max(uint64_t bytes_max) {
  {
    std::unique_lock lock(mutex_);
    bytes_max_ = bytes_max;
    tell_space(lock);
  }
  changed();
}

std::vector<RememberedClient> DiskJournal::remembered_clients() {
  std::lock_guard lock(mutex_);
  return std::move(recovered_clients_);
}

std::vector<std::string> DiskJournal::waiting_places() const {
  std::lock_guard lock(mutex_);
  std::vector<std::string> names;
  for (const auto& [name, record] : parked_) names.push_back(name);
  return names;
}

void DiskJournal::set_client_limits(int64_t memory_ns, size_t clients_max) {
  client_memory_ns_ = memory_ns, clients_max_ = clients_max;
}

Boundary DiskJournal::oldest() const {
  if (!segments_.empty()) return segments_.front().first;
  return entries_.empty() ? Boundary{position_, totals_} : entries_.front().before;
}

Boundary DiskJournal::boundary_after(Position position) const {
  Boundary next = TailJournal::boundary_after(position);
  if (position >= tail_begin()) return next;
  for (const Segment& s : segments_)
    if (s.first.position > position && s.first.position < next.position) return s.first;
  return next;
}

bool DiskJournal::restore(TailCursor& cursor) {
  if (!cursor.kept_) return false;
  const auto found = parked_.find(cursor.name_);
  if (found == parked_.end()) {
    if (checkpoint_lost_)
      cursor.place_.at = oldest();
    else
      return false;
  } else {
    const StreamSet streams = cursor.place_.stretches.back().streams;
    cursor.place_ = std::move(found->second.committed);
    cursor.secured_ = std::move(found->second.secured);
    cursor.memory_ = {cursor.place_.note, found->second.boot_id == boot_id_};
    cursor.boot_id_ = found->second.boot_id;
    parked_.erase(found);
    auto& stretches = cursor.place_.stretches;
    // What is its own from now on is what the configuration says now.
    if (Stretch& last = stretches.back(); !last.open || !(last.streams == streams)) {
      if (last.open) last.open = false, last.end = {position_, totals_};
      if (last.end.position < position_) stretches.push_back({{}, false, {position_, totals_}});
      stretches.push_back({streams});
    }
  }
  return true;
}

CursorRecord DiskJournal::record_of(const TailCursor& cursor) const {
  return {cursor.place_, cursor.secured_, clock_.wall_ns(),
          cursor.boot_id_.empty() ? boot_id_ : cursor.boot_id_};
}

void DiskJournal::park(TailCursor& cursor) {
  parked_[cursor.name_] = record_of(cursor);
  dirty_ = frozen_ = true;
}

int DiskJournal::open_segment(const Segment& segment, int access) {
  int fd = -1;
  for (int tries = 0; fd < 0 && tries < kOpenTries && (tries == 0 || errno != ENOENT); ++tries)
    fd = io_.openat(directory_fd_, segment.name, access | O_NOFOLLOW | O_CLOEXEC, 0);
  return fd;
}

void DiskJournal::changed() {
  bool pump_now;
  {
    std::lock_guard lock(mutex_);
    if (!dirty_) syncer_wake_.notify_one();
    dirty_ = true;
    if (blocked_) {
      blocked_ = false, retry_at_ns_ = 0;
      writer_wake_.notify_one();
    }
    pump_now = options_.work == DiskJournalOptions::Work::at_once && !pumping_;
  }
  if (pump_now) pump();
}

void DiskJournal::pump() {
  {
    std::lock_guard lock(mutex_);
    if (std::exchange(pumping_, true)) return;
  }
  while (step_write() || step_sync()) continue;
  std::lock_guard lock(mutex_);
  pumping_ = false;
}

int64_t DiskJournal::write_due_ns() const {
  if (!unwritten()) return state_ == "failed" && !unsynced() ? retry_at_ns_ : INT64_MAX;
  const int64_t due = unwritten_bytes_ >= kWriteAtOnceBytes
                          ? 0
                          : std::max(first_unwritten_ns_, last_write_ns_ + kWriteSpacing);
  return std::max(due, retry_at_ns_);
}

void DiskJournal::writer(std::stop_token stop) {
  std::unique_lock lock(mutex_);
  while (!stop.stop_requested()) {
    const int64_t now = clock_.monotonic_ns(), due = write_due_ns();
    if (due <= now) {
      lock.unlock();
      step_write();
      lock.lock();
      continue;
    }
    const auto again = [&] { return write_due_ns() < due; };
    if (due == INT64_MAX)
      writer_wake_.wait(lock, stop, again);
    else
      writer_wake_.wait_for(lock, stop, std::chrono::nanoseconds(due - now), again);
  }
}

bool DiskJournal::sync_due(int64_t now_ns) const {
  if ((!file_ && sealed_.empty()) || !unsynced() || now_ns < sync_retry_at_ns_) return false;
  return durable_is_wanted() || full_ ||
         unsynced_bytes_ - unwritten_bytes_ >= std::min(kSyncBytes, bytes_max_ / 8) ||
         written_appends_ >= kUnsyncedAppendsMax || now_ns - first_unsynced_ns_ >= kSyncAge;
}

void DiskJournal::syncer(std::stop_token stop) {
  std::unique_lock lock(mutex_);
  while (!stop.stop_requested()) {
    const int64_t now = clock_.monotonic_ns();
    const bool sync_now = sync_due(now),
               checkpoint_now = dirty_ && now - checkpoint_ns_ >= kCheckpointSpacing;
    if (sync_now || checkpoint_now) {
      lock.unlock();
      if (sync_now) sync();
      if (checkpoint_now) step_checkpoint();
      lock.lock();
    } else if (unsynced() || dirty_) {
      syncer_wake_.wait_for(lock, stop, kLookAgain, [&] { return sync_due(clock_.monotonic_ns()); });
    } else {
      syncer_wake_.wait(lock, stop, [&] { return unsynced() || dirty_; });
    }
  }
}

void DiskJournal::preparer(std::stop_token stop) {
  std::unique_lock lock(mutex_);
  while (preparer_wake_.wait(lock, stop, [&] { return spare_wanted_; })) {
    lock.unlock();
    prepare_spare();
    lock.lock();
    spare_wanted_ = false;
  }
}

Checkpoint DiskJournal::make_checkpoint() {
  std::lock_guard lock(mutex_);
  dirty_ = false;
  Checkpoint c;
  c.boot_id = boot_id_;
  c.written = visible_.position, c.written_totals = visible_.totals;
  c.synced = synced_.position;
  c.oldest = let_go_;
  c.places_lost = checkpoint_lost_;
  const int64_t now = clock_.wall_ns();
  std::erase_if(parked_, [&](const auto& parked) {
    if (frozen_ || now - parked.second.seen_ns <= kParkedMax) return false;
    log::info("journal: the place of sink {} is forgotten: it has been out of the configuration for 24 h",
              parked.first);
    return true;
  });
  c.cursors = parked_;
  for (TailCursor* cursor : cursors_) {
    if (!cursor->kept_) continue;
    if (!cursor->needs_secure_) {
      if (cursor->candidate_.at.position <= synced_.position) cursor->secured_ = cursor->candidate_;
      cursor->candidate_ = cursor->place_;
      if (cursor->place_.at.position <= synced_.position) cursor->secured_ = cursor->place_;
    }
    c.cursors[cursor->name_] = record_of(*cursor);
  }
  // What is missing before the first segment, and was counted by every cursor, is over.
  const Position first_left = oldest().position;
  if (std::ranges::all_of(c.cursors,
                          [&](const auto& named) { return named.second.secured.at.position >= first_left; }))
    c.oldest = let_go_ = std::max(let_go_, first_left);
  return c;
}

bool DiskJournal::checkpoint(bool durable) {
  std::lock_guard one_at_a_time(checkpoint_mutex_);
  Checkpoint c = make_checkpoint();
  bool saved = checkpoint_files_.save(c, durable);
  if (!saved && errno == ENOSPC) {
    io_.unlinkat(directory_fd_, "reserve");
    saved = checkpoint_files_.save(c, durable);
  }
  std::lock_guard lock(mutex_);
  checkpoint_ns_ = clock_.monotonic_ns();
  if (saved) {
    if (durable) durable_checkpoint_ns_ = checkpoint_ns_;
    return true;
  }
  dirty_ = true;
  log::sampled(log::Level::error, "journal.checkpoint", "journal: cannot write the checkpoint in {}: {}",
               options_.path, std::strerror(errno));
  return false;
}

bool DiskJournal::step_checkpoint() {
  bool durable;
  {
    std::lock_guard lock(mutex_);
    if (!dirty_) return false;
    durable = clock_.monotonic_ns() - durable_checkpoint_ns_ >= kDurableCheckpointSpacing;
    if (durable) ask_to_secure();
  }
  return checkpoint(durable);
}

}  // namespace weir
