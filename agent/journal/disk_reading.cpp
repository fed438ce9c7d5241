// The part of DiskJournal that reads back what is not in memory any more.
#include <algorithm>
#include <cerrno>
#include <cstring>

#include "agent/core/log.h"
#include "agent/journal/disk_journal.h"

namespace weir {
namespace {

constexpr uint64_t kWindowBytes = 1 << 20;

}  // namespace

/// Where a cursor reads on.
struct DiskJournal::Tape final : TapePlace {
  Tape(uint64_t the_sequence, Io& io, int fd, std::string uuid, uint64_t limit)
      : sequence(the_sequence), reader(io, fd, std::move(uuid), limit) {}
  const uint64_t sequence;
  SegmentReader reader;
  Position end = 0;  ///< of the last transaction it gave
};

Result<void> DiskJournal::load(Position from, std::vector<TailEntry>& window,
                               std::unique_ptr<TapePlace>& place) {
  uint64_t bytes = 0;
  Position expected = from;
  for (;;) {
    Segment segment;
    Position limit = 0;  // the next segment begins here, whatever else this one holds
    {
      std::lock_guard lock(mutex_);
      auto next = std::ranges::upper_bound(segments_, expected, {},
                                           [](const Segment& s) { return s.first.position; });
      if (next == segments_.begin()) return {};  // let go of meanwhile
      segment = *std::prev(next);
      limit = next == segments_.end() ? written_.position : next->first.position;
      if (limit <= expected || (next == segments_.end() && expected >= tail_begin())) return {};
    }
    auto* tape = static_cast<Tape*>(place.get());
    if (!tape || tape->sequence != segment.sequence || tape->end > expected) {
      const int fd = open_segment(segment);
      if (fd < 0 && errno != ENOENT) {
        log::sampled(log::Level::error, "journal.read", "journal: cannot open {}: {}; it is tried again",
                     segment.name, std::strerror(errno));
        return fail("cannot open " + segment.name);
      }
      if (fd < 0) {
        {
          std::lock_guard lock(mutex_);
          const auto same = [&](const Segment& s) { return s.sequence == segment.sequence; };
          if (std::ranges::none_of(segments_, same)) return {};  // let go of meanwhile
        }
        note_damage(expected, limit, segment.name, "the file is gone");
        if (!window.empty()) return {};
        expected = limit;
        continue;
      }
      place = std::make_unique<Tape>(segment.sequence, io_, fd, segment.uuid, segment.used);
      tape = static_cast<Tape*>(place.get());
    }
    tape->reader.set_limit(segment.used);
    StoredTransaction t;
    bool more = false;
    while (bytes < kWindowBytes && (more = tape->reader.next(t))) {
      const Position begin = t.header.before.position, end = begin + t.header.records;
      if (begin >= limit) break;
      tape->end = std::max(tape->end, end);
      if (t.header.records == 0 || end <= expected) continue;
      if (begin > expected) note_damage(expected, begin, segment.name, "damaged");
      expected = end;
      window.push_back({block_of(t), 0, t.header.records, t.header.received_ns, t.totals, t.header.before});
      bytes += t.header.length;
      // What is not durable in the file before a rewrite counts as far as the next one begins.
      if (end > limit) break;
    }
    if (bytes >= kWindowBytes) return {};
    if (tape->reader.error() != 0 && tape->reader.damage_is_final()) {
      log::sampled(log::Level::error, "journal.read", "journal: a part of {} cannot be read: {}",
                   segment.name, std::strerror(tape->reader.error()));
    } else if (tape->reader.error() != 0) {
      const std::string error = std::strerror(tape->reader.error());
      tape->reader.try_again();
      if (!window.empty()) return {};
      return fail("cannot read " + segment.name + ": " + error);
    }
    if (expected < limit) note_damage(expected, limit, segment.name, "damaged");
    if (!window.empty()) return {};
    expected = std::max(expected, limit);
    place.reset();
  }
}

/// Ranges are told and counted once, whoever comes upon them.
void DiskJournal::note_damage(Position begin, Position end, const std::string& segment, const char* what) {
  {
    std::lock_guard lock(mutex_);
    if (end <= begin || !damage_.insert(begin).second) return;
    damaged_records_ += end - begin;
    for (Segment& s : segments_)
      if (s.name == segment) s.damaged = true;
  }
  log::error("journal: records {} to {} of {} are lost: {}; `weir fsck {}` tells more", begin, end - 1,
             segment, what, options_.path);
}

}  // namespace weir
