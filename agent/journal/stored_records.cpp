#include "agent/journal/stored_records.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <tuple>

namespace weir {
namespace {

constexpr int kReadFlags = O_RDONLY | O_NOFOLLOW | O_CLOEXEC;
constexpr int kReadTries = 5;

}  // namespace

std::string identity_again(const JournalIdentity& identity) {
  return std::to_string(identity.format) + " " + identity.uuid;
}

std::string read_beginning(Io& io, int directory, const std::string& name, size_t bytes_max) {
  std::string text(bytes_max, '\0');
  ssize_t n = -1;
  for (int tries = 0; n < 0 && tries < kReadTries; ++tries) {
    const int fd = io.openat(directory, name, kReadFlags, 0);
    if (fd < 0 && errno == ENOENT) break;
    if (fd < 0) continue;
    n = io.pread(fd, text.data(), text.size(), 0);
    io.close(fd);
  }
  text.resize(size_t(std::max<ssize_t>(0, n)));
  return text;
}

JournalIdentity read_journal_identity(Io& io, int directory) {
  JournalIdentity out;
  const auto json =
      nlohmann::json::parse(read_beginning(io, directory, "journal.json", 4096), nullptr, false);
  if (!json.is_object() || !json.contains("format") || !json["format"].is_number_unsigned() ||
      !json.contains("uuid") || !json["uuid"].is_string())
    return out;
  out.uuid = json["uuid"];
  out.format = json["format"];
  if (out.uuid.size() != 36 || json.value("again", "") != identity_again(out)) out = {};
  return out;
}

std::vector<SegmentFile> list_segments(Io& io, int directory) {
  std::vector<std::string> names;
  io.list(directory, names);
  std::vector<SegmentFile> out;
  for (const std::string& name : names) {
    SegmentFile file;
    file.name = name;
    SegmentHeader& header = file.header;
    if (!parse_segment_name(name, header.sequence, header.uuid)) continue;
    const int fd = io.openat(directory, name, kReadFlags, 0);
    struct stat st;
    if (fd < 0 || io.fstat(fd, &st) != 0) {
      if (fd >= 0) io.close(fd);
      continue;
    }
    file.bytes = uint64_t(st.st_size);
    SegmentReader reader(io, fd, header.uuid, file.bytes);
    file.readable = file.header_good = decode(reader.header(), header);
    StoredTransaction t;
    if (!file.header_good && reader.next_at_once(t)) {
      header.first = t.header.before, header.made_ns = t.header.received_ns;
      file.readable = true;
    }
    out.push_back(std::move(file));
  }
  std::ranges::sort(out, {}, [](const SegmentFile& f) { return std::tie(f.header.sequence, f.name); });
  return out;
}

Result<void> for_each_stored(Io& io, const std::string& directory, Position from, int64_t from_ns,
                             const std::function<bool(const StoredRecord&)>& fn,
                             const std::function<void(uint64_t, uint64_t)>& progress) {
  const int fd = io.open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
  if (fd < 0) return fail("cannot open " + directory + ": " + std::strerror(errno));
  struct Close {
    Io& io;
    int fd;
    ~Close() { io.close(fd); }
  } close{io, fd};
  if (const auto identity = read_journal_identity(io, fd); identity.format > kJournalFormat)
    return fail("the journal in " + directory + " has format " + std::to_string(identity.format) +
                ", this weir knows " + std::to_string(kJournalFormat));
  const auto files = list_segments(io, fd);
  if (files.empty()) return fail("there are no segments of a journal in " + directory);
  uint64_t total = 0, read = 0;
  for (const SegmentFile& f : files) total += f.bytes;
  Position expected = from;
  for (size_t i = 0; i < files.size(); ++i) {
    const SegmentFile& file = files[i];
    const bool last = i + 1 == files.size();
    // The next one begins at or before the wanted place: nothing of this one is.
    if (file.readable && (last || !files[i + 1].readable || files[i + 1].header.first.position > expected)) {
      const int segment = io.openat(fd, file.name, kReadFlags, 0);
      if (segment < 0) continue;  // an agent has let go of it meanwhile
      SegmentReader reader(io, segment, file.header.uuid, file.bytes);
      StoredTransaction t;
      while (reader.next_at_once(t)) {
        progress(read + reader.offset(), total);
        Position position = t.header.before.position;
        const Position end = position + t.header.records;
        if (end <= expected || t.header.received_ns < from_ns) continue;
        uint64_t offset = 0;
        for (uint32_t n = 0; n < t.header.records; ++n, ++position) {
          const IndexEntry e = index_entry(t.index, n);
          const StoredRecord record{position, t.header.received_ns, e.stream,
                                    t.lines.substr(offset, e.length)};
          offset += e.length;
          if (position >= expected && !fn(record)) return {};
        }
        expected = end;
      }
    }
    read += file.bytes;
  }
  progress(total, total);
  return {};
}

}  // namespace weir
