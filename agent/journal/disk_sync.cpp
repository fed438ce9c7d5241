// The part of DiskJournal that makes durable what is written, and what it does when that fails.
#include <algorithm>
#include <cerrno>
#include <cstring>

#include "agent/core/check.h"
#include "agent/core/log.h"
#include "agent/journal/disk_journal.h"

namespace weir {
namespace {

constexpr uint64_t kWriteAgainBytes = 1 << 20;  // at once

}  // namespace

/// What lies before is durable now. Under both mutexes.
void DiskJournal::on_durable(const Boundary& upto, size_t appends) {
  for (size_t i = 0; i < appends; ++i) {
    const Append& done = appends_.front();
    remember_client(done);
    unsynced_bytes_ -= done.bytes;
    synced_mark_ = done.mark;
    appends_.pop_front();
  }
  written_appends_ -= appends, closed_appends_ -= appends;
  for (Sealed& s : sealed_) s.appends -= appends;
  synced_ = upto;
  first_unsynced_ns_ = clock_.monotonic_ns();
  dirty_ = true;
  if (blocked_) {
    blocked_ = false, retry_at_ns_ = 0;
    writer_wake_.notify_one();
  }
}

/// A sync of these bytes may have failed in the process that wrote them; then another one says nothing of
/// them, unless they are written again.
bool DiskJournal::write_again(const Sealed& sealed) {
  std::vector<char> bytes(std::min(sealed.found_to - sealed.found_from, kWriteAgainBytes));
  for (uint64_t at = sealed.found_from; at < sealed.found_to;) {
    const size_t want = std::min<uint64_t>(sealed.found_to - at, bytes.size());
    const ssize_t n = io_.pread(sealed.file->fd, bytes.data(), want, off_t(at));
    if (n < 0 && errno == EINTR) continue;
    if (n == 0) errno = EIO;
    if (n <= 0) return false;
    std::vector<iovec> parts{{bytes.data(), size_t(n)}};
    if (!write_all(sealed.file->fd, parts, at)) return false;
    at += uint64_t(n);
  }
  return true;
}

/// False: errno says why.
bool DiskJournal::sync_data(int fd) {
  const int64_t began_ns = clock_.monotonic_ns();
  const bool synced = io_.fdatasync(fd) == 0;
  const int error = errno;
  fsync_.add(clock_.monotonic_ns() - began_ns);
  errno = error;
  return synced;
}

/// Full segments first, oldest first. Nobody waits for what is in one that cannot be synced: its promise was
/// `buffered` at most. But of what an earlier process wrote somebody may have been told nothing yet: that is
/// tried again, and false.
bool DiskJournal::sync_sealed() {
  for (;;) {
    Sealed first;
    {
      std::lock_guard lock(mutex_);
      if (sealed_.empty()) return true;
      first = sealed_.front();
    }
    const bool synced = !first.failed && write_again(first) && sync_data(first.file->fd);
    const int error = errno;
    std::lock_guard lock(mutex_);
    if (!synced && !first.failed && first.found_to > 0) {
      count_sync_failure(error);
      sync_retry_at_ns_ = clock_.monotonic_ns() + kRetry;
      return false;
    }
    if (!synced) {
      sealed_failed_ = true;
      ++fsync_errors_;
      log::sampled(
          log::Level::error, "journal.fsync",
          "journal: fsync of a full segment in {} failed: {}; records {} to {} may not survive a power cut",
          options_.path, std::strerror(error), synced_.position, first.end.position - 1);
    }
    sealed_.pop_front();
    on_durable(first.end, first.appends);
  }
}

/// True: what was written when it began is durable.
bool DiskJournal::sync() {
  std::lock_guard one_at_a_time(sync_mutex_);
  if (!sync_sealed()) return false;
  // A hole there after a power cut must not be taken for the end of what is durable.
  if (sealed_failed_ && !checkpoint(true)) return false;
  sealed_failed_ = false;
  std::shared_ptr<File> file;
  Boundary target;
  uint64_t epoch = 0;
  size_t appends = 0;
  {
    std::unique_lock lock(mutex_);
    file = file_, target = written_, appends = written_appends_, epoch = epoch_;
    if (!unsynced()) {
      works_again();
      durable_.notify_all();
      tell_space(lock);
      if (lock.owns_lock()) lock.unlock();
      progress();
      return true;
    }
    if (!file || !sealed_.empty()) return false;
  }
  if (!sync_data(file->fd)) {
    on_sync_failed(errno, file);
    return false;
  }
  {
    std::unique_lock lock(mutex_);
    if (epoch_ != epoch) return false;  // a write to it failed meanwhile
    on_durable(target, appends);
    works_again();
    durable_.notify_all();
    tell_space(lock);
  }
  progress();
  return true;
}

/// Under mutex_.
void DiskJournal::works_again() {
  sync_failures_ = 0;
  if (state_ != "failed") return;
  state_ = "ok", error_.clear();
  log::info("journal: works again");
}

bool DiskJournal::step_sync() {
  {
    std::lock_guard lock(mutex_);
    if (!unsynced() || (!file_ && sealed_.empty())) return false;
  }
  return sync();
}

void DiskJournal::remember_client(const Append& append) {
  if (!append.client.client) return;
  std::lock_guard lock(clients_mutex_);
  RememberedClient& client = clients_[append.client.client->client_id];
  client = {append.client, append.seen_ns};
}

/// The segment's file is never synced again: what a second fsync says of pages that the first one could not
/// write is worth nothing. What is not durable and still in memory goes into a new segment; what is not in
/// memory nobody waited for. Under mutex_, and sync_mutex_ with sealed_ empty.
void DiskJournal::abandon_file() {
  if (file_) {
    rewriting_ = true;
    if (io_.ftruncate(file_->fd, off_t(offset_)) == 0) segments_.back().bytes = offset_;
  }
  file_.reset();
  if (tail_begin() > synced_.position) {
    size_t gone = 0;
    Position begin = synced_.position;  // an append of a client's number alone is in memory
    for (; gone < written_appends_ && begin < tail_begin() && appends_[gone].end <= tail_begin(); ++gone)
      begin = appends_[gone].end;
    on_durable(entries_.empty() ? Boundary{position_, totals_} : entries_.front().before, gone);
  }
  written_ = synced_;
  written_appends_ = closed_appends_ = 0;
  unwritten_bytes_ = unsynced_bytes_;
  ++epoch_;
}

void DiskJournal::on_sync_failed(int error, const std::shared_ptr<File>& file) {
  std::lock_guard lock(mutex_);
  if (file == file_)
    abandon_file();
  else  // it became full meanwhile; nobody waits for what is in it
    for (Sealed& s : sealed_) s.failed |= s.file == file;
  count_sync_failure(error);
}

/// Under mutex_.
void DiskJournal::count_sync_failure(int error) {
  ++fsync_errors_, ++sync_failures_;
  error_ = std::string("fsync failed: ") + std::strerror(error);
  retry_at_ns_ = 0;
  if (sync_failures_ >= kSyncFailuresMax) {
    state_ = "failed";
    retry_at_ns_ = clock_.monotonic_ns() + kRetry;
    durable_.notify_all();
  }
  writer_wake_.notify_one();
  log::sampled(log::Level::error, "journal.fsync",
               "journal: fsync in {} failed: {}; what is not durable yet is written to a new segment",
               options_.path, std::strerror(error));
}

void DiskJournal::on_write_failed(int error, const std::string& what) {
  if (error == EIO) {  // that file is not to be trusted any more; what it holds already may be good
    sync();
    std::lock_guard one_at_a_time(sync_mutex_);
    const bool sealed_synced = sync_sealed();
    std::lock_guard lock(mutex_);
    if (sealed_synced) abandon_file();
  }
  std::lock_guard lock(mutex_);
  if (sync_failures_ < kSyncFailuresMax)
    state_ = error == ENOSPC || error == EDQUOT ? "full" : error == EROFS ? "readonly" : "failed";
  error_ = what + ": " + std::strerror(error);
  retry_at_ns_ = clock_.monotonic_ns() + kRetry;
  log::sampled(log::Level::error, "journal.write",
               "journal: {} in {}: {}; nothing is lost, it is tried again", what, options_.path,
               std::strerror(error));
}

}  // namespace weir
