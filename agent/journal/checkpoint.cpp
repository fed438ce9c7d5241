#include "agent/journal/checkpoint.h"

#include <fcntl.h>

#include <cerrno>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "agent/journal/crc32c.h"

namespace weir {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kMagic = "weir-checkpoint 1 ";
constexpr off_t kSlotBytes = 64 << 10;  // set aside at once, so that a full disk does not stop the next one
constexpr int kReadTries = 5;
constexpr uint64_t kSlotBytesMax = 64 << 20;

Json json_of(const Totals& totals) { return Json::array({totals.records, totals.bytes}); }
Json json_of(const Boundary& b) { return {{"position", b.position}, {"totals", json_of(b.totals)}}; }
Json json_of(const CursorPlace& place) {
  Json stretches = Json::array();
  for (const Stretch& s : place.stretches) {
    Json streams = Json::array();
    for (Stream stream : kStreams)
      if (s.streams.has(stream)) streams.push_back(stream_name(stream));
    stretches.push_back({{"streams", streams}, {"end", s.open ? Json(nullptr) : json_of(s.end)}});
  }
  Json out = json_of(place.at);
  out["passed"] = place.passed, out["dropped"] = place.dropped, out["damaged"] = place.damaged;
  out["stretches"] = std::move(stretches);
  out["note"] = place.note;
  return out;
}

// These throw where something is missing or of another type.
Totals totals_of(const Json& json) { return {json.at(0), json.at(1)}; }
Boundary boundary_of(const Json& json) { return {json.at("position"), totals_of(json.at("totals"))}; }
CursorPlace place_of(const Json& json) {
  CursorPlace place;
  place.at = boundary_of(json);
  place.passed = json.at("passed"), place.dropped = json.at("dropped"), place.damaged = json.at("damaged");
  for (const Json& s : json.at("stretches")) {
    Stretch stretch;
    for (const Json& name : s.at("streams"))
      if (auto stream = parse_stream(name.get<std::string>())) stretch.streams.add(*stream);
    stretch.open = s.at("end").is_null();
    if (!stretch.open) stretch.end = boundary_of(s.at("end"));
    place.stretches.push_back(stretch);
  }
  if (place.stretches.empty()) place.stretches.push_back({});
  place.note = json.at("note");
  return place;
}

}  // namespace

std::string encode(const Checkpoint& c) {
  Json cursors = Json::object();
  for (const auto& [name, record] : c.cursors)
    cursors[name] = {{"committed", json_of(record.committed)},
                     {"secured", json_of(record.secured)},
                     {"seen_ns", record.seen_ns},
                     {"boot_id", record.boot_id}};
  const Json json = {
      {"boot_id", c.boot_id},         {"written", json_of(Boundary{c.written, c.written_totals})},
      {"oldest", c.oldest},           {"synced", c.synced},
      {"places_lost", c.places_lost}, {"cursors", std::move(cursors)}};
  const std::string body = json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  char head[96];
  const std::string generation = std::to_string(c.generation);
  std::snprintf(head, sizeof head, "%s%s %zu %08x\n", std::string(kMagic).c_str(), generation.c_str(),
                body.size(), crc32c(crc32c(0, generation), body));
  return head + body;
}

std::optional<Checkpoint> decode_checkpoint(std::string_view text) {
  if (!text.starts_with(kMagic)) return {};
  const size_t line_end = text.find('\n');
  if (line_end == text.npos || line_end > 95) return {};
  unsigned long long generation = 0, bytes = 0;
  unsigned sum = 0;
  const std::string line(text.substr(kMagic.size(), line_end - kMagic.size()));
  if (std::sscanf(line.c_str(), "%llu %llu %8x", &generation, &bytes, &sum) != 3) return {};
  text.remove_prefix(line_end + 1);
  if (text.size() < bytes) return {};
  text = text.substr(0, bytes);
  if (crc32c(crc32c(0, std::to_string(generation)), text) != sum) return {};
  try {
    const Json json = Json::parse(text);
    Checkpoint c;
    c.generation = generation;
    c.boot_id = json.at("boot_id");
    const Boundary written = boundary_of(json.at("written"));
    c.written = written.position, c.written_totals = written.totals;
    c.oldest = json.at("oldest"), c.synced = json.at("synced");
    c.places_lost = json.value("places_lost", false);  // an older weir did not say
    for (const auto& [name, record] : json.at("cursors").items())
      c.cursors[name] = {place_of(record.at("committed")), place_of(record.at("secured")),
                         record.at("seen_ns"), record.at("boot_id")};
    return c;
  } catch (const Json::exception&) {
    return {};
  }
}

CheckpointFiles::CheckpointFiles(Io& io, std::string directory) : io_(io), directory_(std::move(directory)) {}

CheckpointFiles::~CheckpointFiles() {
  for (int fd : fds_)
    if (fd >= 0) io_.close(fd);
}

std::string CheckpointFiles::path(int slot) const { return directory_ + "/checkpoint." + (slot ? "b" : "a"); }

bool CheckpointFiles::open(int slot) {
  if (fds_[slot] >= 0) return true;
  fds_[slot] = io_.open(path(slot), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fds_[slot] < 0 && errno == EMLINK) {  // a backup has it, too: a file of our own in its place
    const std::string made = path(slot) + ".new";
    fds_[slot] = io_.open(made, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fds_[slot] >= 0 && io_.rename(made, path(slot)) != 0) io_.close(std::exchange(fds_[slot], -1));
  }
  if (fds_[slot] < 0) return false;
  struct stat st;
  if (io_.fstat(fds_[slot], &st) != 0 || st.st_size >= kSlotBytes) return true;
  io_.allocate(fds_[slot], kSlotBytes);
  if (const int directory = io_.open(directory_, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0); directory >= 0) {
    io_.fsync(directory);
    io_.close(directory);
  }
  return true;
}

/// False: errno. A slot that is not there is read, too: as nothing.
bool CheckpointFiles::read_slot(int slot, std::string& text) {
  text.clear();
  const int fd = io_.open(path(slot), O_RDONLY | O_NOFOLLOW | O_CLOEXEC, 0);
  if (fd < 0) return errno == ENOENT;
  struct stat st;
  bool good = io_.fstat(fd, &st) == 0;
  if (good && uint64_t(st.st_size) <= kSlotBytesMax) text.resize(size_t(st.st_size));
  size_t filled = 0;
  while (filled < text.size()) {
    const ssize_t n = io_.pread(fd, text.data() + filled, text.size() - filled, off_t(filled));
    if (n < 0 && errno == EINTR) continue;
    good = n >= 0;
    if (n <= 0) break;
    filled += size_t(n);
  }
  const int error = errno;
  io_.close(fd);
  errno = error;
  text.resize(filled);
  return good;
}

CheckpointFiles::Loaded CheckpointFiles::load() {
  Loaded out;
  for (int slot = 0; slot < 2; ++slot) {
    std::string text;
    bool read = false;
    for (int tries = 0; !read && tries < kReadTries; ++tries) read = read_slot(slot, text);
    if (read && text.find_first_not_of('\0') == text.npos) continue;  // set aside, and never written to
    out.found = true;
    auto checkpoint = decode_checkpoint(text);
    if (!checkpoint) {
      out.damaged = true;
    } else if (!out.checkpoint || checkpoint->generation > out.checkpoint->generation) {
      out.checkpoint = std::move(checkpoint);
      durable_slot_ = slot;
      loaded_ = std::move(text);
    }
  }
  if (out.checkpoint) generation_ = out.checkpoint->generation;
  return out;
}

bool CheckpointFiles::write(int slot, const std::string& text) {
  if (!open(slot)) return false;
  for (size_t done = 0; done < text.size();) {
    const iovec part{const_cast<char*>(text.data()) + done, text.size() - done};
    const ssize_t n = io_.pwritev(fds_[slot], &part, 1, off_t(done));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    done += size_t(n);
  }
  return true;
}

bool CheckpointFiles::save(Checkpoint& checkpoint, bool durable) {
  // Before the other one is written over. A sync of it may have failed, so it is written again.
  if (!loaded_.empty()) {
    if (!write(durable_slot_, loaded_) || io_.fdatasync(fds_[durable_slot_]) != 0) return false;
    loaded_.clear();
  }
  const int slot = 1 - durable_slot_;
  checkpoint.generation = generation_ + 1;
  if (!write(slot, encode(checkpoint))) return false;
  if (durable && io_.fdatasync(fds_[slot]) != 0) {
    // What a failed sync leaves is not known: another file, for another try.
    const int error = errno;
    io_.close(fds_[slot]);
    fds_[slot] = -1;
    errno = error;
    return false;
  }
  generation_ = checkpoint.generation;
  if (durable) durable_slot_ = slot;
  return true;
}

}  // namespace weir
