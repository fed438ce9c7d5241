// The part of DiskJournal that finds what an earlier process has left.
#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <tuple>

#include "agent/core/check.h"
#include "agent/core/log.h"
#include "agent/core/thread_name.h"
#include "agent/core/uuid.h"
#include "agent/journal/data_lock.h"
#include "agent/journal/disk_journal.h"
#include "agent/journal/stored_records.h"

namespace weir {
namespace {

constexpr int kIdentifyTries = 5;

std::string kernel_boot_id() {
  const std::string id = read_beginning(system_io(), AT_FDCWD, "/proc/sys/kernel/random/boot_id", 64);
  // Unknown: each start is taken for another boot, which costs a sync and no record.
  return id.empty() ? random_uuid() : id.substr(0, id.find('\n'));
}

std::string why(const std::string& what) { return what + ": " + std::strerror(errno); }

Result<void> write_identity(Io& io, int directory, const std::string& path, const std::string& uuid,
                            int64_t now_ns) {
  const std::string text = "{\"weir\":\"journal\",\"format\":" + std::to_string(kJournalFormat) +
                           ",\"uuid\":\"" + uuid + "\",\"made\":\"" + rfc3339(now_ns) + "\",\"again\":\"" +
                           identity_again({uuid, kJournalFormat}) + "\"}\n";
  io.unlinkat(directory, "journal.json.new");
  const int fd =
      io.openat(directory, "journal.json.new", O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) return fail(why("cannot write in " + path));
  const iovec part{const_cast<char*>(text.data()), text.size()};
  const bool written = io.pwritev(fd, &part, 1, 0) == ssize_t(text.size()) && io.fdatasync(fd) == 0;
  const int error = errno;
  io.close(fd);
  errno = error;
  if (!written || io.rename_over(directory, "journal.json.new", "journal.json") != 0 ||
      io.fsync(directory) != 0)
    return fail(why("cannot write " + path + "/journal.json"));
  return {};
}

/// Makes a directory, and its name durable: what is synced in it is lost with it otherwise. errno says why
/// not.
bool make_directory(Io& io, const std::string& path) {
  if (io.mkdir(path, 0700) != 0) return errno == EEXIST;
  const size_t slash = path.rfind('/');
  const std::string parent = slash == path.npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
  const int fd = io.open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
  if (fd < 0) return false;
  const bool synced = io.fsync(fd) == 0;
  const int error = errno;
  io.close(fd);
  errno = error;
  return synced;
}

}  // namespace

Result<std::unique_ptr<DiskJournal>> DiskJournal::open(DiskJournalOptions options, Io& io,
                                                       const Clock& clock) {
  const std::string& path = options.path;
  const size_t slash = path.rfind('/');
  std::vector<int> locks;
  const auto give_up = [&](std::string text) {
    for (int fd : locks) io.close(fd);
    return fail(std::move(text));
  };
  if (!options.data_dir.empty()) {
    if (!make_directory(io, options.data_dir))
      return fail(why("cannot make the data directory " + options.data_dir));
    auto lock = lock_directory(io, options.data_dir);
    if (!lock) return tl::unexpected(lock.error());
    locks.push_back(*lock);
  }
  if (slash != path.npos && slash > 0) make_directory(io, path.substr(0, slash));
  if (!make_directory(io, path)) return give_up(why("cannot make the journal's directory " + path));
  struct stat st;
  if (io.lstat(path, &st) != 0) return give_up(why("cannot look at " + path));
  if (!S_ISDIR(st.st_mode)) return give_up(path + " is not a directory; give another journal.path");
  if (st.st_uid != geteuid()) return give_up(path + " belongs to another user; give another journal.path");
  auto lock = lock_directory(io, path);
  if (!lock) return give_up(lock.error().message);
  locks.push_back(*lock);
  const int directory = io.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
  if (directory < 0) return give_up(why("cannot open " + path));
  JournalIdentity identity = read_journal_identity(io, directory);
  // From here on the journal closes what was opened.
  const bool made = identity.format == 0;
  std::string uuid = made ? random_uuid() : identity.uuid;
  if (made) {  // it is there, but does not say who it is: its segments do
    std::vector<std::string> names;
    io.list(directory, names);
    std::ranges::sort(names, std::ranges::greater());
    for (const std::string& name : names) {
      SegmentHeader header;
      if (!name.ends_with(".wseg") ||
          !decode(read_beginning(io, directory, name, kSegmentHeaderBytes), header))
        continue;
      uuid = header.journal_uuid;
      identity.format = header.format;
      break;
    }
  }
  std::unique_ptr<DiskJournal> journal(
      new DiskJournal(std::move(options), uuid, std::move(locks), directory, io, clock));
  if (identity.format > kJournalFormat)
    return fail("the journal in " + journal->options_.path + " has format " +
                std::to_string(identity.format) + ", this weir knows " + std::to_string(kJournalFormat) +
                "; run the newer weir, or give another journal.path");
  if (made)
    if (auto written = write_identity(io, directory, journal->options_.path, uuid, clock.wall_ns()); !written)
      return tl::unexpected(written.error());
  if (auto recovered = journal->recover(); !recovered) return tl::unexpected(recovered.error());
  if (journal->options_.work == DiskJournalOptions::Work::by_threads) {
    DiskJournal& j = *journal;
    j.writer_ = std::jthread([&j](std::stop_token stop) {
      name_this_thread("journal");
      j.writer(stop);
    });
    j.syncer_ = std::jthread([&j](std::stop_token stop) {
      name_this_thread("journal-sync");
      j.syncer(stop);
    });
    j.preparer_ = std::jthread([&j](std::stop_token stop) {
      name_this_thread("journal-next");
      j.preparer(stop);
    });
  }
  return journal;
}

DiskJournal::DiskJournal(DiskJournalOptions options, std::string uuid, std::vector<int> lock_fds,
                         int directory_fd, Io& io, const Clock& clock)
    : TailJournal(std::move(uuid), options.bytes_max),
      options_(std::move(options)),
      io_(io),
      clock_(clock),
      lock_fds_(std::move(lock_fds)),
      directory_fd_(directory_fd),
      boot_id_(options_.boot_id.empty() ? kernel_boot_id() : options_.boot_id),
      checkpoint_files_(io, options_.path) {}

Result<void> DiskJournal::recover() {
  const auto loaded = checkpoint_files_.load();
  const Checkpoint known = loaded.checkpoint.value_or(Checkpoint{});
  if (loaded.damaged)
    log::error("journal: a checkpoint in {} is damaged; {}", options_.path,
               loaded.checkpoint ? "the other one serves"
                                 : "sinks begin with the oldest records, so some may be delivered again");
  same_boot_ = !loaded.checkpoint || known.boot_id == boot_id_;
  parked_ = known.cursors;
  for (auto& [name, record] : parked_)  // a sink may have been down ever since the power went
    if (record.boot_id != boot_id_) record.committed = record.secured;
  io_.unlinkat(directory_fd_, kSpareName);
  if (auto found = find_segments(); !found) return found;
  // Let go of already, but they could not be removed.
  for (; segments_.size() > 1 && segments_[1].first.position <= known.oldest; segments_.pop_front())
    io_.unlinkat(directory_fd_, segments_.front().name);
  checkpoint_lost_ = known.places_lost || (!loaded.checkpoint && !segments_.empty());
  if (!segments_.empty()) let_go_ = loaded.checkpoint ? known.oldest : segments_.front().first.position;
  if (!segments_.empty() && known.oldest < segments_.front().first.position && loaded.checkpoint)
    note_damage(known.oldest, segments_.front().first.position, options_.path, "their segments are missing");
  if (!segments_.empty()) recover_end(known);
  auto clients = clients_;
  for (const Append& a : appends_)  // what is to be written once more
    if (a.client.client) clients[a.client.client->client_id] = {a.client, a.seen_ns};
  for (auto& [id, client] : clients) recovered_clients_.push_back(std::move(client));
  std::ranges::sort(recovered_clients_, std::ranges::greater(), &RememberedClient::seen_ns);
  // Positions that were seen by anyone are never used again.
  if (known.written > position_) {
    note_damage(position_, known.written, options_.path, "their segment is missing, or was not on the disk");
    while (step_write()) continue;
    if (!unwritten()) {
      if (file_ && unsynced()) sealed_.push_back({file_, written_, written_appends_});
      file_.reset();  // a jump lies between two segments
      jumped_from_ = position_;
      position_ = known.written, totals_ = known.written_totals;
      visible_ = written_ = {position_, totals_};
      if (appends_.empty())
        synced_ = written_;
      else
        appends_.back().end = position_, sealed_.back().end = written_;
    }
  }
  // From here on there is a checkpoint, and of this boot: what this process writes and does not live to sync
  // is no hole that a power cut has left, and what the next power cut leaves is not taken for damage.
  if (cut_places() || !same_boot_ || !loaded.checkpoint) checkpoint(true);
  return {};
}

/// Nobody is further than the journal is now: what is written there next is something else. True: somebody
/// was.
bool DiskJournal::cut_places() {
  const Boundary end{position_, totals_};
  bool cut = false;
  const auto cut_to_end = [&](Boundary& b) {
    if (b.position > end.position) b = end, cut = true;
  };
  for (auto& [name, record] : parked_)
    for (CursorPlace* place : {&record.committed, &record.secured}) {
      cut_to_end(place->at);
      for (Stretch& s : place->stretches)
        if (!s.open) cut_to_end(s.end);
    }
  return cut;
}

/// Moves a file out of the way, to data_dir/quarantine/journal/.
void DiskJournal::quarantine_file(const std::string& name, const std::string& reason) {
  const std::string& to = options_.quarantine;
  const size_t slash = to.rfind('/');
  if (slash != to.npos && slash > 0) io_.mkdir(to.substr(0, slash), 0700);
  io_.mkdir(to, 0700);
  struct stat st;
  std::string target = to + "/" + name;
  for (int n = 1; io_.lstat(target, &st) == 0; ++n) target = to + "/" + name + "." + std::to_string(n);
  if (io_.rename(options_.path + "/" + name, target) == 0)
    log::warn("journal: {} is now {}: {}", name, target, reason);
  else if (io_.rename(options_.path + "/" + name, options_.path + "/" + name + ".damaged") == 0)
    log::warn("journal: {} is now {}.damaged: {}", name, name, reason);
  else
    log::error("journal: cannot move {} to {}: {}", name, target, std::strerror(errno));
}

/// Which segment a file is: by its header, else by its name and its first transaction. Unknown: errno says
/// why.
DiskJournal::Kind DiskJournal::identify(Segment& segment) {
  const int fd = open_segment(segment);
  struct stat st;
  if (fd < 0) return Kind::unknown;
  if (io_.fstat(fd, &st) != 0) {
    const int error = errno;
    io_.close(fd);
    errno = error;
    return Kind::unknown;
  }
  segment.bytes = segment.used = uint64_t(st.st_size);
  SegmentReader reader(io_, fd, segment.uuid, segment.bytes);
  SegmentHeader header;
  const std::string begin = reader.header();
  if (decode(begin, header)) {
    if (header.journal_uuid != uuid_ || header.format != kJournalFormat) return Kind::foreign;
    segment.uuid = header.uuid, segment.sequence = header.sequence, segment.first = header.first;
    segment.made_ns = header.made_ns, segment.rewrites = header.rewrites;
    segment.jumped_from = header.jumped_from;
    return Kind::segment;
  }
  StoredTransaction t;
  if (!reader.next_at_once(t)) {
    // Of a process that died while it made it: nothing was ever in it.
    const bool blank =
        begin.find_first_not_of('\0') == begin.npos && reader.end_of_data() <= kSegmentHeaderBytes;
    if (reader.error() == 0) return blank ? Kind::empty : Kind::foreign;
    errno = reader.error();
    return Kind::unknown;
  }
  segment.first = t.header.before, segment.made_ns = t.header.received_ns;
  segment.damaged = true;
  log::error("journal: the header of {} is damaged; what it holds is there", segment.name);
  return Kind::segment;
}

Result<void> DiskJournal::find_segments() {
  std::vector<std::string> names;
  if (io_.list(directory_fd_, names) != 0) return fail(why("cannot list " + options_.path));
  std::vector<Segment> found;
  for (const std::string& name : names) {
    Segment segment;
    segment.name = name;
    if (!parse_segment_name(name, segment.sequence, segment.uuid)) continue;
    next_sequence_ = std::max(next_sequence_, segment.sequence + 1);
    Kind kind = Kind::unknown;
    for (int tries = 0; kind == Kind::unknown && tries < kIdentifyTries; ++tries) kind = identify(segment);
    switch (kind) {
      case Kind::segment:
        next_sequence_ = std::max(next_sequence_, segment.sequence + 1);
        found.push_back(std::move(segment));
        break;
      case Kind::empty:
        io_.unlinkat(directory_fd_, name);
        break;
      case Kind::foreign:
        quarantine_file(name, "it is not a segment of this journal, or nothing in it can be read");
        break;
      case Kind::unknown:
        log::error("journal: cannot read {}: {}; it is left alone", name, std::strerror(errno));
        break;
    }
  }
  std::ranges::sort(found, {}, [](const Segment& s) { return std::tie(s.sequence, s.name); });
  for (Segment& s : found) {
    const bool twice = !segments_.empty() && segments_.back().sequence == s.sequence;
    const bool backwards = !segments_.empty() && segments_.back().first.position > s.first.position;
    if (twice || backwards)
      quarantine_file(
          s.name, twice ? "another file holds the same segment" : "its records do not follow those before");
    else
      segments_.push_back(std::move(s));
  }
  return {};
}

std::vector<DiskJournal::Found> DiskJournal::scan(const Segment& segment, uint64_t& end_of_data,
                                                  bool& failed) {
  std::vector<Found> found;
  const int fd = open_segment(segment);
  failed = fd < 0;
  if (failed) return found;
  SegmentReader reader(io_, fd, segment.uuid, segment.bytes);
  StoredTransaction t;
  while (reader.next_at_once(t)) {
    Found f{t.end_offset(), t.header.before, t.header.before,      t.header.synced,
            t.header.index, t.header.flags,  decode_marks(t.marks)};
    f.end.position += t.header.records, f.end.totals += t.totals;
    found.push_back(std::move(f));
  }
  end_of_data = reader.end_of_data();
  failed = reader.error() != 0;
  return found;
}

/// Finds where the journal ends, and what its clients have sent. After a power cut any write behind the last
/// sync may be missing, so nothing behind the first hole there counts: its sender was not told that it is
/// safe. In any other case a hole is damage, and what lies behind it is good.
void DiskJournal::recover_end(const Checkpoint& known) {
  size_t begin = segments_.size() - 1;
  if (!same_boot_)
    while (begin > 0 && segments_[begin].first.position > known.synced) --begin;
  std::vector<std::vector<Found>> found(segments_.size());
  Position durable = known.synced;
  for (size_t i = begin; i < segments_.size(); ++i) {
    Segment& segment = segments_[i];
    uint64_t end_of_data = 0;
    bool failed = false;
    found[i] = scan(segment, end_of_data, failed);
    segment.used = found[i].empty() ? kSegmentHeaderBytes : found[i].back().end_offset;
    if (failed) {  // who reads it later may see more
      segment.damaged = true, segment.used = segment.bytes;
      log::error("journal: {} cannot be read to its end just now", segment.name);
    } else if (end_of_data > segment.used) {
      torn_bytes_ += end_of_data - segment.used;
      log::warn("journal: {} bytes at the end of {} were not written whole; they are cut off",
                end_of_data - segment.used, segment.name);
    }
    // What is written once more begins where the last good sync was.
    if (segment.rewrites) durable = std::max(durable, segment.first.position);
    for (const Found& f : found[i]) durable = std::max(durable, f.synced);
  }
  Boundary end = segments_[begin].first;
  for (size_t i = begin; i < segments_.size(); ++i) {
    bool cut = false;
    if (segments_[i].rewrites || segments_[i].jumped_from == end.position) end = segments_[i].first;
    const bool again = i + 1 < segments_.size() && segments_[i + 1].rewrites;
    uint32_t index = 0;
    for (size_t n = 0; n < found[i].size() && !cut; ++n) {
      const Found& f = found[i][n];
      if (again && f.before.position >= segments_[i + 1].first.position) break;  // the next one holds it
      const bool hole = f.before.position != end.position || f.index != index;
      cut = hole && !same_boot_ && end.position >= durable;
      if (cut) {
        segments_[i].used = n == 0 ? kSegmentHeaderBytes : found[i][n - 1].end_offset;
        found[i].resize(n);
      } else {
        end = f.end, index = f.index + 1;
      }
    }
    if (!cut) continue;
    log::warn("journal: what lies behind record {} was not all on the disk when the power went; it is let go",
              end.position);
    // One that begins behind the hole goes, too: what is written next would not follow it.
    const size_t left = segments_[i].first.position > end.position ? i : i + 1;
    while (segments_.size() > left) {
      quarantine_file(segments_.back().name, "the power went before what lies before it was on the disk");
      segments_.pop_back();
    }
    found.resize(left);
    io_.fsync(directory_fd_);  // else the next power cut brings them back, and what they say of clients
    break;
  }
  recover_clients(found.back());
  position_ = end.position, totals_ = end.totals;
  written_ = visible_ = synced_ = end;
  Segment& last = segments_.back();
  const int fd = io_.openat(directory_fd_, last.name, O_RDWR | O_NOFOLLOW | O_CLOEXEC, 0);
  // What was known to be on the disk and is not readable is damage: it stays, for whoever looks into it.
  last.damaged |= known.synced > end.position;
  if (fd >= 0 && !last.damaged && io_.ftruncate(fd, off_t(last.used)) == 0) {
    last.bytes = last.used;
    if (!same_boot_) io_.fdatasync(fd);
  }
  if (fd >= 0) io_.close(fd);
  // A client's number alone moves no position: the sync that names its place may have come before it.
  const auto is_durable = [&](const Found& f) {
    const bool number_alone =
        f.end.position == f.before.position && !(f.flags & TransactionHeader::clients_part);
    return f.end.position < durable || (f.end.position == durable && !number_alone);
  };
  if (durable < end.position || (!found.back().empty() && !is_durable(found.back().back()))) {
    // It is in the kernel's hands yet: of a process of this boot perhaps that died before its first
    // checkpoint, whatever the last one says.
    size_t first = segments_.size() - 1;
    while (first > 0 && segments_[first].first.position > durable) --first;
    synced_ = segments_[first].first;
    for (size_t i = first; i < segments_.size(); ++i) {
      const int file = open_segment(segments_[i], O_RDWR);
      uint64_t from = kSegmentHeaderBytes;
      for (size_t n = 0; n < found[i].size() && is_durable(found[i][n]); ++n) from = found[i][n].end_offset;
      const Boundary upto = i + 1 < segments_.size() ? segments_[i + 1].first : end;
      appends_.push_back({upto.position, ++mark_, segments_[i].used, {}, 0});
      unsynced_bytes_ += segments_[i].used;
      auto handle = file < 0 ? nullptr : std::make_shared<File>(io_, file);
      sealed_.push_back({std::move(handle), upto, appends_.size(), from, segments_[i].used, file < 0});
    }
    written_appends_ = closed_appends_ = appends_.size();
    written_mark_ = mark_;
    first_unsynced_ns_ = clock_.monotonic_ns();
  }
  if (last.rewrites) recover_rest();
}

void DiskJournal::recover_clients(const std::vector<Found>& last) {
  const auto add = [&](const Found& f) {
    for (const RememberedClient& c : f.clients) {
      RememberedClient& known = clients_[c.mark.client->client_id];
      if (!known.mark.client || c.mark.seq >= known.mark.seq) known = c;
    }
  };
  const bool complete =
      std::ranges::any_of(last, [](const Found& f) { return f.flags & TransactionHeader::clients_end; });
  uint64_t end_of_data = 0;
  bool failed = false;
  if (!complete)  // its beginning is damaged: all the others together know as much
    for (size_t i = 0; i + 1 < segments_.size(); ++i)
      for (const Found& f : scan(segments_[i], end_of_data, failed)) add(f);
  for (const Found& f : last) add(f);
}

/// Appends once more what a segment holds behind the end, up to the first hole.
void DiskJournal::take_back(const Segment& segment, const std::vector<Found>& found) {
  const int fd = open_segment(segment);
  if (fd < 0) return;
  SegmentReader reader(io_, fd, segment.uuid, segment.bytes);
  StoredTransaction t;
  for (const Found& f : found) {
    if (!reader.next_at_once(t) || f.before.position > position_) break;
    const bool marks_only = t.header.records == 0 && f.before.position == position_;
    if (t.header.flags & TransactionHeader::clients_part || (f.end.position <= position_ && !marks_only))
      continue;
    uint64_t bytes = 0;
    if (t.header.records > 0) {
      Transaction back;
      back.block = block_of(t);
      back.first_entry = uint32_t(position_ - f.before.position);
      back.entry_count = t.header.records - back.first_entry;
      back.received_ns = t.header.received_ns;
      back.totals = t.totals;
      for (uint32_t n = 0; n < back.first_entry; ++n) {
        const IndexEntry e = index_entry(t.index, n);
        --back.totals.records[size_t(e.stream)], back.totals.bytes[size_t(e.stream)] -= e.length;
      }
      for (uint64_t n : back.totals.bytes) bytes += n;
      push(back);
      mark_ += back.entry_count;
    }
    appends_.push_back({position_, ++mark_, bytes, {}, 0});
    for (const RememberedClient& c : f.clients)
      appends_.push_back({position_, ++mark_, 0, c.mark, c.seen_ns});
    unsynced_bytes_ += bytes, unwritten_bytes_ += bytes;
  }
  closed_appends_ = appends_.size();
}

/// The last segment was begun to write once more what the one before could not be synced of; its process died
/// before that was done.
void DiskJournal::recover_rest() {
  for (size_t i = segments_.size() - 1; i > 0 && segments_[i].rewrites; --i) {
    uint64_t end_of_data = 0;
    bool failed = false;
    take_back(segments_[i - 1], scan(segments_[i - 1], end_of_data, failed));
  }
  rewriting_ = unwritten();
}

}  // namespace weir
