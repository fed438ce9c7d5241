#include "agent/journal/fsck.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>

#include "agent/journal/checkpoint.h"
#include "agent/journal/stored_records.h"

namespace weir {
namespace {

std::string range(uint64_t begin, uint64_t end) {
  return std::to_string(begin) + " to " + std::to_string(end - 1);
}

/// Reads the segments one after the other.
class Check {
 public:
  Check(Io& io, int directory, Position known_written, JournalReport& report,
        const std::function<void(uint64_t, uint64_t)>& progress)
      : io_(io), directory_(directory), known_written_(known_written), report_(report), progress_(progress) {}

  void segments() {
    const std::vector<SegmentFile> files = list_segments(io_, directory_);
    for (const SegmentFile& f : files) total_ += f.bytes;
    for (const SegmentFile& file : files) {
      segment(file);
      read_ += file.bytes;
    }
    report_.clients = clients_.size();
    if (known_written_ > expected_)
      lose("checkpoint", known_written_, "it knows of them, and no segment holds them");
  }

 private:
  void fault(const std::string& file, std::string text, bool lost = false) {
    report_.faults.push_back({file, std::move(text), lost});
  }
  void lose(const std::string& file, Position upto, const std::string& why) {
    fault(file, "records " + range(expected_, upto) + " are lost: " + why, true);
    report_.lost_records += upto - expected_;
  }

  void segment(const SegmentFile& file) {
    const SegmentHeader& header = file.header;
    if (!file.readable) {
      const bool empty = is_empty(file);
      return fault(file.name,
                   empty ? "was never written to; an agent removes it at its start"
                         : "nothing in it can be read; an agent moves it to the quarantine at its start",
                   !empty);
    }
    if (file.header_good && header.journal_uuid != report_.uuid)
      return fault(file.name, "belongs to another journal (" + header.journal_uuid +
                                  "); an agent moves it to the quarantine at its start");
    if (!file.header_good) fault(file.name, "its header is damaged; what it holds is there");
    if (file.header_good && file.name != segment_name(header.sequence, header.uuid))
      fault(file.name, "is in truth " + segment_name(header.sequence, header.uuid) + ", which costs nothing");
    if (!seen_.insert(header.uuid).second) return fault(file.name, "is there twice");
    if (begun_ && header.first.position > expected_)
      lose(file.name, header.first.position, "what comes before it is missing");
    SegmentReport out{file.name,     file.bytes, 0, 0, header.first.position, header.first.position,
                      header.made_ns};
    begun_ = true;
    expected_ = header.first.position;
    const int fd = io_.openat(directory_, file.name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC, 0);
    if (fd < 0) return fault(file.name, std::string("cannot be opened: ") + std::strerror(errno), true);
    SegmentReader reader(io_, fd, header.uuid, file.bytes);
    StoredTransaction t;
    size_t damaged = 0;
    while (reader.next_at_once(t)) {
      progress_(read_ + reader.offset(), total_);
      if (reader.damaged().size() > damaged) {
        const auto& bytes = reader.damaged()[damaged++];
        const std::string where = "bytes " + range(bytes.begin, bytes.end) + " are damaged";
        if (t.header.before.position > expected_)
          lose(file.name, t.header.before.position, where);
        else
          fault(file.name, where + "; no record is lost with them");
      }
      ++out.transactions, out.records += t.header.records;
      expected_ = std::max(expected_, t.header.before.position + t.header.records);
      for (const RememberedClient& c : decode_marks(t.marks)) clients_.insert(c.mark.client->client_id);
    }
    if (reader.error() != 0)
      fault(file.name, std::string("a read failed: ") + std::strerror(reader.error()), true);
    const uint64_t end = reader.end_of_data();
    if (end > reader.offset())
      fault(file.name, "its last " + std::to_string(end - reader.offset()) +
                           " bytes were not written whole, as a crash leaves them; they are cut off");
    out.end = expected_;
    report_.records += out.records, report_.bytes += out.bytes;
    report_.segments.push_back(std::move(out));
  }

  bool is_empty(const SegmentFile& file) {
    const int fd = io_.openat(directory_, file.name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC, 0);
    if (fd < 0) return false;
    SegmentReader reader(io_, fd, file.header.uuid, file.bytes);
    return reader.header().find_first_not_of('\0') == std::string_view::npos &&
           reader.end_of_data() <= kSegmentHeaderBytes;
  }

  Io& io_;
  const int directory_;
  const Position known_written_;
  JournalReport& report_;
  const std::function<void(uint64_t, uint64_t)>& progress_;
  uint64_t total_ = 0, read_ = 0;
  Position expected_ = 0;
  bool begun_ = false;
  std::set<std::string> seen_, clients_;
};

}  // namespace

Result<JournalReport> check_journal(Io& io, const std::string& directory,
                                    const std::function<void(uint64_t, uint64_t)>& progress) {
  const int fd = io.open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
  if (fd < 0) return fail("cannot open " + directory + ": " + std::strerror(errno));
  JournalReport report;
  JournalIdentity identity = read_journal_identity(io, fd);
  const auto files = list_segments(io, fd);
  Result<JournalReport> out = fail("");
  if (identity.format == 0 && files.empty()) {
    out = fail("there is no journal in " + directory + "; give the directory that holds journal.json");
  } else if (identity.format > kJournalFormat) {
    out = fail("the journal in " + directory + " has format " + std::to_string(identity.format) +
               ", this weir knows " + std::to_string(kJournalFormat) + ": use the newer weir");
  } else {
    if (identity.format == 0) {
      report.faults.push_back({"journal.json", "cannot be read; the segments say which journal this is"});
      for (const SegmentFile& f : files)
        if (f.header_good) identity = {f.header.journal_uuid, f.header.format};
    }
    report.uuid = identity.uuid, report.format = identity.format;
    if (const int lock = io.open(directory + "/lock", O_RDWR | O_NOFOLLOW | O_CLOEXEC, 0); lock >= 0) {
      report.in_use = !io.lock(lock);
      io.close(lock);
    }
    const auto loaded = CheckpointFiles(io, directory).load();
    if (loaded.damaged)
      report.faults.push_back(
          {"checkpoint", loaded.checkpoint
                             ? "one of the two is damaged; the other one serves"
                             : "both are damaged: sinks begin with the oldest records, some come twice"});
    else if (!loaded.found && !files.empty())
      report.faults.push_back({"checkpoint", "there is none: sinks begin with the oldest records"});
    if (loaded.checkpoint)
      for (const auto& [name, c] : loaded.checkpoint->cursors)
        report.readers.push_back({name, c.committed.at.position, c.secured.at.position});
    Check(io, fd, loaded.checkpoint ? loaded.checkpoint->written : 0, report, progress).segments();
    out = std::move(report);
  }
  io.close(fd);
  return out;
}

}  // namespace weir
