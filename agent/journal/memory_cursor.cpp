#include <algorithm>
#include <chrono>
#include <utility>

#include "agent/core/check.h"
#include "agent/journal/memory_journal.h"

namespace weir {

MemoryCursor::MemoryCursor(MemoryJournal& journal, StreamSet streams, LagLimit limit)
    : journal_(journal), limit_(limit), stretches_{{streams, true, 0, {}}} {}

MemoryCursor::~MemoryCursor() {
  std::unique_lock lock(journal_.mutex_);
  std::erase(journal_.cursors_, this);
  journal_.tell_space(lock);
}

void MemoryCursor::start_at(Position position, const Totals& totals, uint64_t entry_number, uint32_t record) {
  position_ = position, at_ = totals, entry_number_ = entry_number, record_ = record;
}

/// Forward to a position that is not behind the journal's end; finds its entry.
void MemoryCursor::move_to(Position position, const Totals& totals) {
  if (position <= journal_.oldest()) return start_at(position, totals, journal_.first_entry_number_, 0);
  const auto& entries = journal_.entries_;
  uint64_t n = std::max(entry_number_, journal_.first_entry_number_) - journal_.first_entry_number_;
  while (n < entries.size() && entries[n].first + entries[n].t.entry_count < position) ++n;
  start_at(position, totals, journal_.first_entry_number_ + n,
           n < entries.size() ? uint32_t(position - entries[n].first) : 0);
}

void MemoryCursor::flush() {
  std::lock_guard lock(journal_.mutex_);
  flush_until_ = journal_.position_;
  wake_.notify_one();
}

void MemoryCursor::wake() {
  std::lock_guard lock(journal_.mutex_);
  woken_ = true;
  wake_.notify_one();
}

/// Ends the open stretch at the journal's end.
void MemoryCursor::close_stretch() {
  Stretch& last = stretches_.back();
  if (last.open) last.open = false, last.end = journal_.position_, last.end_totals = journal_.totals_;
}

void MemoryCursor::set_streams(StreamSet streams) {
  std::unique_lock lock(journal_.mutex_);
  close_stretch();
  if (stretches_.back().end <
      journal_.position_)  // it had ended earlier: nothing of what came meanwhile is its own
    stretches_.push_back({{}, false, journal_.position_, journal_.totals_});
  stretches_.push_back({streams, true, 0, {}});
  flush_until_ = journal_.position_;
  wake_.notify_one();
  journal_.tell_space(lock);
}

void MemoryCursor::set_lag_limit(LagLimit limit) {
  std::unique_lock lock(journal_.mutex_);
  limit_ = limit;
  journal_.tell_space(lock);
}

void MemoryCursor::end_here() {
  std::lock_guard lock(journal_.mutex_);
  close_stretch();
  flush_until_ = journal_.position_;
  wake_.notify_one();
}

MemoryCursor::Sum MemoryCursor::between(const Totals& from, const Totals& upto) const {
  Sum sum;
  for (size_t i = 0; i < stretches_.size(); ++i) {
    const Stretch& stretch = stretches_[i];
    for (Stream s : kStreams) {
      if (!stretch.streams.has(s)) continue;
      auto part = [&](auto counters) {
        uint64_t begin = counters(from)[size_t(s)], end = counters(upto)[size_t(s)];
        if (i > 0) begin = std::max(begin, counters(stretches_[i - 1].end_totals)[size_t(s)]);
        if (!stretch.open) end = std::min(end, counters(stretch.end_totals)[size_t(s)]);
        return end > begin ? end - begin : 0;
      };
      sum.records += part([](const Totals& t) -> const auto& { return t.records; });
      sum.bytes += part([](const Totals& t) -> const auto& { return t.bytes; });
    }
  }
  return sum;
}

/// Where its records begin: what lies before was dropped by the journal, or by its own limit.
MemoryCursor::Mark MemoryCursor::oldest() const {
  if (given_up_.position > journal_.oldest()) return given_up_;
  return {journal_.oldest(), journal_.oldest_totals(), journal_.first_entry_number_};
}

bool MemoryCursor::within_lag(const Totals& more) {
  Totals end = journal_.totals_;
  end += more;
  Mark mark = oldest();
  if (position_ > mark.position) mark = {position_, at_, entry_number_};
  const auto lag = [&] { return between(mark.totals, end).bytes; };
  if (lag() <= limit_.max_lag_bytes) return true;
  if (limit_.when_full == WhenFull::block) return lag_records() == 0;  // one transaction is always allowed
  const auto& entries = journal_.entries_;
  while (lag() > limit_.max_lag_bytes && mark.position < journal_.position_) {
    const uint64_t next = mark.entry_number + 1 - journal_.first_entry_number_;
    const bool last = next >= entries.size();  // that entry may still grow: it stays the mark's
    if (!last) ++mark.entry_number;
    mark.position = last ? journal_.position_ : entries[next].first;
    mark.totals = last ? journal_.totals_ : entries[next].before;
  }
  given_up_ = mark;
  return true;
}

/// Jumps over what the journal has dropped (counted), and into the next stretch when this one holds nothing
/// more.
void MemoryCursor::catch_up() {
  const Mark first_left = oldest();
  if (position_ <= first_left.position) {
    uint64_t gone = between(at_, first_left.totals).records;
    dropped_ += gone, passed_ += gone;
    move_to(first_left.position, first_left.totals);
  }
  while (stretches_.size() > 1) {
    const Stretch& first = stretches_.front();
    if (first.end > position_) {
      if (first.end_totals.records_of(first.streams) > at_.records_of(first.streams)) return;
      move_to(first.end, first.end_totals);
    }
    stretches_.pop_front();
  }
}

/// Wakes its reader, if that waits and has something to do now that `more` has been appended. Waking costs
/// the appender a system call, so nobody is woken for records that are not his.
void MemoryCursor::tell(const Totals& more) {
  if (!waiting_ || ended() || more.records_of(stretches_.back().streams) == 0) return;
  if (step_ != nullptr && !ready(*step_)) return;
  waiting_ = false;  // it is on its way
  wake_.notify_one();
}

bool MemoryCursor::ready(const BatchLimits& limits) const {
  const Sum lag = between(at_, journal_.totals_);
  return lag.records > 0 && (lag.records >= limits.records_step || lag.bytes >= limits.bytes_step ||
                             position_ < flush_until_ || journal_.full_);
}

bool MemoryCursor::next(BatchView& out, const BatchLimits& limits, int64_t wait_ns, std::stop_token stop) {
  using std::chrono::nanoseconds;
  using std::chrono::steady_clock;
  std::unique_lock lock(journal_.mutex_);
  out.slices.clear();
  out_ = false;
  auto deadline = steady_clock::now() + nanoseconds(wait_ns < 0 ? INT64_C(1) << 60 : wait_ns);
  auto wait_until = [&](auto time, const BatchLimits* step, auto condition) {
    waiting_ = true, step_ = step;
    // Who was woken in vain (the journal was full for a moment) waits anew.
    wake_.wait_until(lock, stop, time, [&] {
      const bool done = woken_ || condition();
      waiting_ = !done;
      return done;
    });
    waiting_ = false;
  };
  if (lag_records() == 0) {
    if (wait_ns == 0) return false;
    wait_until(deadline, nullptr, [&] { return lag_records() > 0 || ended(); });
    if (lag_records() == 0) return woken_ = false;
  }
  // The first record is there; a step may still have to fill up, at most for `linger`.
  if (!ready(limits)) {
    auto linger = limits.linger_ns < 0
                      ? deadline
                      : std::min(deadline, steady_clock::now() + nanoseconds(limits.linger_ns));
    wait_until(linger, &limits, [&] { return ready(limits); });
    if (limits.linger_ns < 0 && !ready(limits)) return false;
  }
  if (stop.stop_requested() || std::exchange(woken_, false)) return false;
  catch_up();
  fill(out, limits);
  if (out.empty()) return false;
  out_ = true, out_end_ = out.end, out_covered_ = out.covered;
  return true;
}

/// Whole transactions where they fit, else record by record, up to the limits and the end of the stretch.
void MemoryCursor::fill(BatchView& out, const BatchLimits& limits) const {
  const Stretch& stretch = stretches_.front();
  const Position end = stretch.open ? journal_.position_ : stretch.end;
  const Totals& end_totals = stretch.open ? journal_.totals_ : stretch.end_totals;
  uint64_t records_max =
      std::min(end_totals.records_of(stretch.streams) - at_.records_of(stretch.streams), limits.records_max);
  if (records_max > limits.records_step) records_max -= records_max % limits.records_step;
  out.streams = stretch.streams;
  out.begin = out.end = position_;
  out.records = out.bytes = 0;
  out.covered = {};
  uint32_t record = record_;
  for (uint64_t n = entry_number_ - journal_.first_entry_number_;
       n < journal_.entries_.size() && out.end < end; ++n, record = 0) {
    const Transaction& t = journal_.entries_[n].t;
    uint64_t matching = t.totals.records_of(stretch.streams), bytes = t.totals.bytes_of(stretch.streams);
    bool whole = record == 0 && out.records + matching <= records_max && out.end + t.entry_count <= end &&
                 (out.bytes + bytes <= limits.bytes_max || matching == 0);
    if (whole) {
      if (matching) out.slices.push_back({t.block, t.first_entry, t.entry_count, out.end, out.covered});
      out.records += matching, out.bytes += bytes, out.end += t.entry_count;
      out.covered += t.totals;
      continue;
    }
    BatchSlice slice{t.block, t.first_entry + record, 0, out.end, out.covered};
    for (; record < t.entry_count && out.end < end; ++record) {
      const IndexEntry& e = t.block->entry(t.first_entry + record);
      bool mine = stretch.streams.has(e.stream);
      if (mine &&
          (out.records == records_max || (out.records > 0 && out.bytes + e.length > limits.bytes_max)))
        break;
      if (mine) ++out.records, out.bytes += e.length;
      ++out.covered.records[size_t(e.stream)], out.covered.bytes[size_t(e.stream)] += e.length;
      ++slice.entry_count, ++out.end;
    }
    if (slice.entry_count) out.slices.push_back(std::move(slice));
    if (record < t.entry_count) break;
  }
}

void MemoryCursor::commit(const BatchView& batch, std::string_view) {
  std::unique_lock lock(journal_.mutex_);
  WEIR_CHECK(out_ && batch.begin == position_ && batch.end <= out_end_);
  out_ = false;
  passed_ += batch.records;
  Totals totals = at_;
  totals += batch.covered;
  move_to(batch.end, totals);
  catch_up();
  journal_.tell_space(lock);
}

CursorStatus MemoryCursor::status() const {
  std::lock_guard lock(journal_.mutex_);
  CursorStatus s;
  s.position = position_, s.dropped_lag = dropped_, s.passed = passed_;
  Totals at = at_;
  Sum in_hand;
  const Mark first_left = oldest();
  if (position_ < first_left.position) {
    if (out_) {
      at += out_covered_;
      in_hand = between(at_, at);
      s.position = out_end_;
    }
    if (s.position < first_left.position) {
      uint64_t gone = between(at, first_left.totals).records;
      s.dropped_lag += gone, s.passed += gone;
      at = first_left.totals;
      s.position = first_left.position;
    }
  }
  Sum lag = between(at, journal_.totals_);
  s.lag_records = lag.records + in_hand.records;
  s.lag_bytes = lag.bytes + in_hand.bytes;
  s.routed = s.passed + s.lag_records;
  return s;
}

}  // namespace weir
