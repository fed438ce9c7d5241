// The part of DiskJournal that writes: runs of lines to transactions, transactions to segments.
#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>

#include "agent/core/check.h"
#include "agent/core/log.h"
#include "agent/core/uuid.h"
#include "agent/journal/disk_journal.h"

namespace weir {
namespace {

constexpr uint64_t kRunBytesMax = 1 << 20;    // of one transaction, where it can be cut
constexpr uint64_t kWriteBytesMax = 4 << 20;  // of one step
constexpr size_t kPartsMax = 3 * 256;
constexpr uint64_t kSegmentBytesMin = 1 << 20, kSegmentBytesMax = 64 << 20;
/// Outputs are made durable each time so much was written: in small bites where acknowledgements wait for the
/// same disk, else seldom, because a sink that waits for its disk falls behind.
constexpr uint64_t kSecureBytesDurable = 8 << 20, kSecureBytesMax = 1 << 30;
constexpr size_t kClientsPerTransaction = 4096;
constexpr off_t kReserveBytes = 1 << 20;

uint64_t stored_bytes(uint64_t records, uint64_t lines, uint64_t marks) {
  return StoredTransaction::padded(kTransactionHeaderBytes + 4 * records + lines + marks);
}

}  // namespace

/// What is to be written next, cut where appends end: an append and its client's mark go together.
std::vector<DiskJournal::Run> DiskJournal::collect() {
  std::vector<Run> runs;
  uint64_t bytes = 0;
  auto entry =
      std::ranges::upper_bound(entries_, written_.position, {}, [](const TailEntry& e) { return e.end(); });
  Position at = written_.position;
  size_t n = written_appends_;
  for (; n < appends_.size(); ++n) {
    const Append& append = appends_[n];
    if (bytes >= kWriteBytesMax && append.bytes > 0) break;
    bool begins = true;
    for (; at < append.end; begins = false) {
      while (entry->end() <= at) ++entry;
      const Position end = std::min(append.end, entry->end());
      const uint32_t first = entry->first_entry + uint32_t(at - entry->before.position);
      Run* run = runs.empty() ? nullptr : &runs.back();
      const bool joins = run && run->block == entry->block && run->end == at &&
                         run->first_entry + run->entry_count == first &&
                         (!begins || run->lines_bytes + run->marks.size() < kRunBytesMax);
      if (!joins) {
        runs.push_back({entry->block, first, 0, entry->received_ns, at});
        run = &runs.back();
      }
      const IndexEntry& last = entry->block->entry(first + uint32_t(end - at) - 1);
      run->lines_bytes += last.offset + last.length - entry->block->entry(first).offset;
      run->entry_count += uint32_t(end - at), run->end = end;
      at = end;
    }
    if (runs.empty() || (begins && runs.back().marks.size() >= kRunBytesMax))
      runs.push_back({nullptr, 0, 0, clock_.wall_ns(), at});  // of marks alone
    Run& run = runs.back();
    if (append.client.client) append_mark(run.marks, {append.client, append.seen_ns});
    ++run.appends, run.mark = append.mark;
    bytes += append.bytes;
  }
  closed_appends_ = n;
  return runs;
}

bool DiskJournal::step_write() {
  std::vector<Run> runs;
  Boundary at;
  uint64_t epoch;
  {
    std::unique_lock lock(mutex_);
    const int64_t now = clock_.monotonic_ns();
    if (now < retry_at_ns_) return false;
    if (!unwritten()) {
      // Nothing is left that could be tried again: the next append is the try. One more failure, and it is
      // `failed` again.
      if (state_ != "failed" || unsynced()) return false;
      state_ = "ok", error_.clear();
      tell_space(lock);
      return true;
    }
    last_write_ns_ = now;
    runs = collect();
    at = written_, epoch = epoch_;
  }
  for (size_t done = 0; done < runs.size();)
    if (!write_some(runs, done, at, epoch)) return done > 0;
  return true;
}

/// As many runs as fit into the segment, from `done` on, in one write. `at`: what lies before them.
bool DiskJournal::write_some(std::vector<Run>& runs, size_t& done, Boundary& at, uint64_t epoch) {
  const auto bytes_of_run = [](const Run& r) {
    return stored_bytes(r.entry_count, r.lines_bytes, r.marks.size());
  };
  std::shared_ptr<File> file;
  std::string uuid;
  uint64_t offset = 0, capacity = 0;
  uint32_t index = 0;
  Position synced = 0;
  const auto look = [&] {
    std::lock_guard lock(mutex_);
    if (epoch_ != epoch) return false;
    file = file_, offset = offset_, capacity = capacity_, index = next_index_, synced = synced_.position;
    if (file) uuid = segments_.back().uuid;
    return true;
  };
  if (!look()) return false;
  if (!file || offset + bytes_of_run(runs[done]) > capacity)
    if (!roll(bytes_of_run(runs[done])) || !look()) return false;

  const uint64_t begin = offset;
  std::deque<std::string> texts;  // which parts point into
  std::vector<iovec> parts;
  Boundary end = at;
  uint64_t mark = 0;
  size_t n = done, appends = 0;
  for (; n < runs.size() && parts.size() + 3 <= kPartsMax; ++n) {
    Run& run = runs[n];
    if (offset + bytes_of_run(run) > capacity) break;
    std::string& head = texts.emplace_back();
    head.reserve(kTransactionHeaderBytes + 4 * size_t(run.entry_count));
    head.resize(kTransactionHeaderBytes);
    TransactionHeader h;
    h.records = run.entry_count, h.index = index++, h.before = end, h.received_ns = run.received_ns;
    h.synced = synced;
    std::string_view lines;
    if (run.entry_count > 0)
      lines = {run.block->data() + run.block->entry(run.first_entry).offset, size_t(run.lines_bytes)};
    for (uint32_t i = 0; i < run.entry_count; ++i) {
      const IndexEntry& e = run.block->entry(run.first_entry + i);
      append_index(head, e);
      ++end.totals.records[size_t(e.stream)], end.totals.bytes[size_t(e.stream)] += e.length;
    }
    end.position += run.entry_count;
    std::string& tail = texts.emplace_back(std::move(run.marks));
    const uint64_t bytes = stored_bytes(run.entry_count, lines.size(), tail.size());
    seal_transaction(head, lines, tail, h, uuid);
    parts.push_back({head.data(), head.size()});
    if (!lines.empty()) parts.push_back({const_cast<char*>(lines.data()), lines.size()});
    if (!tail.empty()) parts.push_back({tail.data(), tail.size()});
    offset += bytes;
    appends += run.appends;
    if (run.appends > 0) mark = run.mark;
  }
  WEIR_CHECK(n > done);
  if (!write_all(file->fd, parts, begin)) {
    on_write_failed(errno, "cannot write to the journal");
    return false;
  }
  {
    std::unique_lock lock(mutex_);
    if (epoch_ != epoch) return false;  // the file was given up meanwhile; it all comes again
    Totals more = end.totals;
    for (size_t s = 0; s < kStreamCount; ++s)
      more.records[s] -= at.totals.records[s], more.bytes[s] -= at.totals.bytes[s];
    unsecured_bytes_ += offset - begin;
    if (unsecured_bytes_ >=
        (durable_producers_ ? kSecureBytesDurable : std::min(bytes_max_ / 4, kSecureBytesMax)))
      ask_to_secure();
    offset_ = segments_.back().used = offset;
    next_index_ = index;
    written_ = at = end;
    for (size_t i = 0; i < appends; ++i) unwritten_bytes_ -= appends_[written_appends_ + i].bytes;
    written_appends_ += appends;
    written_mark_ = std::max(written_mark_, mark);
    if (state_ != "ok" && sync_failures_ < kSyncFailuresMax) state_ = "ok", error_.clear();
    if (unwritten()) first_unwritten_ns_ = clock_.monotonic_ns();
    if (written_.position > visible_.position) {
      visible_ = written_;
      tell(more);
    }
    if (!std::exchange(dirty_, true) || sync_due(clock_.monotonic_ns())) syncer_wake_.notify_one();
    if (offset_ > capacity_ / 2 && !spare_ && !std::exchange(spare_wanted_, true))
      preparer_wake_.notify_one();
    tell_space(lock);
  }
  done = n;
  progress();
  return true;
}

bool DiskJournal::write_all(int fd, std::vector<iovec>& parts, uint64_t offset) {
  for (size_t i = 0; i < parts.size();) {
    const int count = int(std::min<size_t>(parts.size() - i, IOV_MAX));
    const ssize_t n = io_.pwritev(fd, parts.data() + i, count, off_t(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n == 0) errno = ENOSPC;
    if (n <= 0) return false;
    offset += uint64_t(n);
    for (size_t left = size_t(n); left > 0;) {
      const size_t step = std::min(left, parts[i].iov_len);
      parts[i].iov_base = static_cast<char*>(parts[i].iov_base) + step;
      parts[i].iov_len -= step, left -= step;
      if (parts[i].iov_len == 0) ++i;
    }
    while (i < parts.size() && parts[i].iov_len == 0) ++i;
  }
  return true;
}

uint64_t DiskJournal::segment_bytes() const {
  if (options_.segment_bytes > 0) return options_.segment_bytes;
  std::lock_guard lock(mutex_);
  return std::clamp(bytes_max_ / 32, kSegmentBytesMin, kSegmentBytesMax);
}

/// Seals the segment in hand and begins one with room for a transaction of so many bytes.
bool DiskJournal::roll(uint64_t bytes) {
  std::shared_ptr<File> file;
  bool wait = false;
  {
    std::lock_guard lock(mutex_);
    file = file_, wait = durable_is_wanted();
  }
  if (file) {
    // What somebody waits for stands in the last segment, so that it can be written anew.
    if (wait && !sync()) return false;
    std::lock_guard lock(mutex_);
    if (file_ != file) return false;
    Segment& last = segments_.back();
    if (io_.ftruncate(file->fd, off_t(offset_)) == 0) last.bytes = offset_;
    if (unsynced()) sealed_.push_back({std::move(file_), written_, written_appends_});
    file_.reset();
  }
  return create_segment(bytes);
}

/// Asks sinks to make their outputs durable, so that old segments can go when their space is needed. Under
/// mutex_.
void DiskJournal::ask_to_secure() {
  unsecured_bytes_ = 0;
  durable_producers_ = false;
  for (TailCursor* c : cursors_)
    if (c->needs_secure_ && c->secured_.at.position < c->place_.at.position) {
      c->secure_wanted_ = c->woken_ = true;
      c->wake_.notify_one();
    }
}

/// Frees the oldest segments until so many bytes fit. False: a cursor still needs them.
bool DiskJournal::make_room(uint64_t bytes) {
  for (;;) {
    {
      std::lock_guard lock(mutex_);
      uint64_t total = std::max(bytes, spare_bytes_);
      for (const Segment& s : segments_) total += s.bytes;
      if (total <= bytes_max_ || segments_.size() <= 1) return true;  // one is always allowed
    }
    if (!free_oldest()) return false;
  }
}

/// False: it is still needed, or its going could not be written down.
bool DiskJournal::free_oldest() {
  std::lock_guard one_at_a_time(room_mutex_);
  {
    std::lock_guard lock(mutex_);
    // The last one holds what is remembered of clients.
    if (frozen_ || segments_.size() <= 1) return false;
    const Boundary& end = segments_[1].first;
    if (held_by_cursor(end.totals)) return false;
    if (end.position > synced_.position) {
      durable_wanted_ = std::max(durable_wanted_, end.position);
      syncer_wake_.notify_one();
      return false;
    }
    bool wait = false;
    for (TailCursor* c : cursors_) {
      if (!c->needs_secure_ || c->limit_.when_full != WhenFull::block) continue;
      if (c->between(c->secured_.at.totals, end.totals).records == 0) continue;
      c->secure_wanted_ = c->woken_ = wait = true;
      c->wake_.notify_one();
    }
    if (wait) return false;
  }
  Segment gone;
  Position let_go_before = 0;
  {
    std::lock_guard lock(mutex_);
    if (held_by_cursor(segments_[1].first.totals)) return false;  // of a cursor that was opened meanwhile
    gone = segments_.front();
    segments_.pop_front();  // cursors see that first, then it is written down, then it goes
    let_go_before = std::exchange(let_go_, segments_.front().first.position);
  }
  if (!checkpoint(true)) {
    std::lock_guard lock(mutex_);
    segments_.push_front(gone);
    let_go_ = let_go_before;
    return false;
  }
  if (gone.damaged)
    quarantine_file(gone.name, "parts of it were damaged");
  else if (io_.unlinkat(directory_fd_, gone.name) != 0 && errno != ENOENT)
    log::error("journal: cannot remove {}: {}", gone.name, std::strerror(errno));
  return true;
}

void DiskJournal::wait_for_room(const char* why) {
  std::lock_guard lock(mutex_);
  blocked_ = true;
  if (sync_failures_ < kSyncFailuresMax) state_ = "full", error_ = why;
  retry_at_ns_ = clock_.monotonic_ns() + kRetry;
}

/// The marks of all clients that are still remembered, as transactions.
std::string DiskJournal::stored_clients(std::string_view uuid, const Boundary& at, uint32_t& index) {
  const int64_t oldest_ns = clock_.wall_ns() - client_memory_ns_;
  std::vector<const RememberedClient*> clients;
  std::unordered_map<std::string, RememberedClient> as_of_now;
  {
    std::lock_guard lock(mutex_);
    std::lock_guard clients_lock(clients_mutex_);
    std::erase_if(clients_, [&](const auto& c) { return c.second.seen_ns < oldest_ns; });
    as_of_now = clients_;
    for (size_t i = 0; i < written_appends_; ++i)
      if (const Append& a = appends_[i]; a.client.client)
        as_of_now[a.client.client->client_id] = {a.client, a.seen_ns};
  }
  for (const auto& [id, client] : as_of_now) clients.push_back(&client);
  std::ranges::sort(clients, std::ranges::greater(), &RememberedClient::seen_ns);
  if (clients.size() > clients_max_) {
    std::lock_guard clients_lock(clients_mutex_);
    for (size_t i = clients_max_; i < clients.size(); ++i) clients_.erase(clients[i]->mark.client->client_id);
    clients.resize(clients_max_);
  }
  std::string out;
  size_t next = 0;
  do {
    std::string head(kTransactionHeaderBytes, '\0'), marks;
    const size_t end = std::min(next + kClientsPerTransaction, clients.size());
    for (; next < end; ++next) append_mark(marks, *clients[next]);
    TransactionHeader h;
    h.index = index++, h.before = at, h.received_ns = clock_.wall_ns();
    h.flags = TransactionHeader::clients_part;
    if (next == clients.size()) h.flags |= TransactionHeader::clients_end;
    seal_transaction(head, {}, marks, h, uuid);
    out += head + marks;
  } while (next < clients.size());
  return out;
}

/// A file with `wanted` bytes set aside, or with fewer where there is no more space, but at least `least`.
/// Null: errno says why, and there is no file.
std::shared_ptr<DiskJournal::File> DiskJournal::new_file(const std::string& name, uint64_t least,
                                                         uint64_t& wanted) {
  const int fd = io_.openat(directory_fd_, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) return {};
  auto file = std::make_shared<File>(io_, fd);
  bool allocated;
  while (!(allocated = io_.allocate(fd, off_t(wanted)) == 0) && errno == ENOSPC && wanted > least)
    wanted = std::max(least, wanted / 2);
  if (allocated) return file;
  const int error = errno;
  io_.unlinkat(directory_fd_, name);
  errno = error;
  return {};
}

/// Best effort: without it the next segment is made when it is needed.
void DiskJournal::prepare_spare() {
  uint64_t bytes = segment_bytes();
  if (!make_room(bytes)) return;
  auto file = new_file(kSpareName, bytes, bytes);
  // Its first block is there for good, so that writing it once more needs no change of the file's map.
  const std::string zeros(kSegmentHeaderBytes, '\0');
  std::vector<iovec> parts{{const_cast<char*>(zeros.data()), zeros.size()}};
  if (!file || !write_all(file->fd, parts, 0) || io_.fdatasync(file->fd) != 0) {
    if (file) io_.unlinkat(directory_fd_, kSpareName);
    return;
  }
  std::lock_guard lock(mutex_);
  uint64_t total = bytes;
  for (const Segment& s : segments_) total += s.bytes;
  if (creating_ || total > bytes_max_) {  // a segment was made without it meanwhile
    io_.unlinkat(directory_fd_, kSpareName);
    return;
  }
  spare_ = std::move(file), spare_bytes_ = bytes;
}

bool DiskJournal::create_segment(uint64_t bytes) {
  const bool created = try_create_segment(bytes);
  std::lock_guard lock(mutex_);
  creating_ = false;
  return created;
}

bool DiskJournal::try_create_segment(uint64_t bytes) {
  SegmentHeader header;
  Segment segment;
  uint32_t index = 0;
  bool again;
  {
    std::lock_guard lock(mutex_);
    WEIR_CHECK(!file_);
    creating_ = true;
    header.sequence = next_sequence_;
    header.first = written_;
    header.rewrites = rewriting_, header.jumped_from = jumped_from_;
    again = written_.position < visible_.position;
  }
  header.uuid = random_uuid(), header.journal_uuid = uuid_;
  header.made_ns = clock_.wall_ns();
  std::string begin = encode(header);
  // What is written once more finds room whatever there is: the next line's sync waits for it.
  const auto room = [&](uint64_t needed) { return again || make_room(std::max(segment_bytes(), needed)); };
  bool has_room = room(begin.size() + bytes);
  if (has_room) begin += stored_clients(header.uuid, header.first, index);
  const uint64_t least = begin.size() + bytes;
  uint64_t wanted = std::max(segment_bytes(), least);
  if (!has_room || !room(least)) {
    wait_for_room(
        "it holds all it may (journal.max_bytes), and a sink that must not lose any has not read it");
    return false;
  }
  const std::string name = segment_name(header.sequence, header.uuid);
  std::shared_ptr<File> file;
  bool spare;
  {
    std::lock_guard lock(mutex_);
    spare = spare_ != nullptr;
    if (spare_bytes_ >= least) file = std::move(spare_), wanted = spare_bytes_;
    spare_.reset(), spare_bytes_ = 0;
  }
  if (file && io_.rename_new(directory_fd_, kSpareName, name) != 0) file.reset();
  if (spare && !file) io_.unlinkat(directory_fd_, kSpareName);
  if (!file && !(file = new_file(name, least, wanted))) {
    const int error = errno;
    if (error != ENOSPC || !free_oldest())  // the tape is worth less than what comes in
      on_write_failed(error, "cannot make a segment of the journal");
    return false;
  }
  std::vector<iovec> parts{{begin.data(), begin.size()}};
  if (!write_all(file->fd, parts, 0)) {
    const int error = errno;
    io_.unlinkat(directory_fd_, name);
    on_write_failed(error, "cannot write a segment of the journal");
    return false;
  }
  if (io_.fdatasync(file->fd) != 0 || io_.fsync(directory_fd_) != 0) {
    const int error = errno;
    io_.unlinkat(directory_fd_, name);
    std::lock_guard lock(mutex_);
    count_sync_failure(error);
    return false;
  }
  {
    std::lock_guard lock(mutex_);
    segments_.push_back({header.sequence, header.uuid, name, header.first, wanted, begin.size(),
                         header.made_ns, false, header.rewrites, header.jumped_from});
    file_ = std::move(file);
    offset_ = begin.size();
    capacity_ = wanted;
    next_index_ = index;
    next_sequence_ = header.sequence + 1;
    rewriting_ = false;
    jumped_from_.reset();
  }
  set_aside_reserve();
  return true;
}

/// A megabyte that is given up when there is no other space for a checkpoint.
void DiskJournal::set_aside_reserve() {
  struct stat st;
  if (io_.fstatat(directory_fd_, "reserve", &st) == 0) return;
  const int fd =
      io_.openat(directory_fd_, "reserve", O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) return;
  if (io_.allocate(fd, kReserveBytes) != 0) io_.unlinkat(directory_fd_, "reserve");
  io_.close(fd);
}

}  // namespace weir
