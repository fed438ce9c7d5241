#include <algorithm>
#include <chrono>
#include <utility>

#include "agent/core/check.h"
#include "agent/journal/tail_journal.h"

namespace weir {
namespace {

constexpr auto kReadRetry = std::chrono::milliseconds(100);

}  // namespace

TailCursor::TailCursor(TailJournal& journal, std::string name, StreamSet streams, LagLimit limit)
    : journal_(journal),
      name_(std::move(name)),
      kept_(!name_.empty() && journal.keeps_cursors()),
      limit_(limit) {
  place_.stretches.push_back({streams});
  needs_secure_ = kept_;  // until its reader has said otherwise
}

TailCursor::~TailCursor() {
  {
    std::unique_lock lock(journal_.mutex_);
    std::erase(journal_.cursors_, this);
    if (kept_) journal_.park(*this);
    journal_.tell_space(lock);
  }
  journal_.changed();
}

void TailCursor::flush() {
  std::lock_guard lock(journal_.mutex_);
  flush_until_ = journal_.position_;
  wake_.notify_one();
}

void TailCursor::wake() {
  std::lock_guard lock(journal_.mutex_);
  woken_ = true;
  wake_.notify_one();
}

/// Ends the open stretch at the journal's end.
void TailCursor::close_stretch() {
  Stretch& last = place_.stretches.back();
  if (last.open) last.open = false, last.end = {journal_.position_, journal_.totals_};
}

void TailCursor::set_streams(StreamSet streams) {
  {
    std::unique_lock lock(journal_.mutex_);
    auto& stretches = place_.stretches;
    if (stretches.back().open && stretches.back().streams == streams) return;
    close_stretch();
    if (stretches.back().end.position < journal_.position_)
      // It had ended earlier: nothing of what came meanwhile is its own.
      stretches.push_back({{}, false, {journal_.position_, journal_.totals_}});
    stretches.push_back({streams});
    flush_until_ = journal_.position_;
    wake_.notify_one();
    journal_.tell_space(lock);
  }
  journal_.changed();
}

void TailCursor::set_lag_limit(LagLimit limit) {
  {
    std::unique_lock lock(journal_.mutex_);
    limit_ = limit;
    journal_.tell_space(lock);
  }
  journal_.changed();
}

void TailCursor::end_here() {
  std::lock_guard lock(journal_.mutex_);
  close_stretch();
  flush_until_ = journal_.position_;
  wake_.notify_one();
}

TailCursor::Sum TailCursor::between(const Totals& from, const Totals& upto) const {
  Sum sum;
  const auto& stretches = place_.stretches;
  for (size_t i = 0; i < stretches.size(); ++i) {
    const Stretch& stretch = stretches[i];
    for (Stream s : kStreams) {
      if (!stretch.streams.has(s)) continue;
      auto part = [&](auto counters) {
        uint64_t begin = counters(from)[size_t(s)], end = counters(upto)[size_t(s)];
        if (i > 0) begin = std::max(begin, counters(stretches[i - 1].end.totals)[size_t(s)]);
        if (!stretch.open) end = std::min(end, counters(stretch.end.totals)[size_t(s)]);
        return end > begin ? end - begin : 0;
      };
      sum.records += part([](const Totals& t) -> const auto& { return t.records; });
      sum.bytes += part([](const Totals& t) -> const auto& { return t.bytes; });
    }
  }
  return sum;
}

/// Where its records begin: what lies before was dropped by the journal, or by its own limit.
Boundary TailCursor::oldest() const {
  Boundary first = journal_.oldest();
  return given_up_.position > first.position ? given_up_ : first;
}

bool TailCursor::within_lag(const Totals& more) {
  Totals end = journal_.totals_;
  end += more;
  Boundary mark = oldest();
  if (place_.at.position > mark.position) mark = place_.at;
  const auto lag = [&] { return between(mark.totals, end).bytes; };
  if (lag() <= limit_.max_lag_bytes) return true;
  // One transaction is always allowed.
  if (limit_.when_full == WhenFull::block) return between(place_.at.totals, journal_.totals_).records == 0;
  while (lag() > limit_.max_lag_bytes && mark.position < journal_.visible().position)
    mark = journal_.boundary_after(mark.position);
  given_up_ = mark;
  return true;
}

/// To a place further on; what of its streams lies between does not reach it.
void TailCursor::skip_to(const Boundary& to, bool damaged) {
  const uint64_t gone = between(place_.at.totals, to.totals).records;
  place_.passed += gone;
  (damaged ? place_.damaged : place_.dropped) += gone;
  place_.at = to;
}

/// Jumps over what the journal has dropped (counted), and into the next stretch when this one holds nothing
/// more.
void TailCursor::catch_up() {
  const Boundary first_left = oldest();
  if (place_.at.position < first_left.position) skip_to(first_left, is_damage(first_left));
  auto& stretches = place_.stretches;
  while (stretches.size() > 1) {
    const Stretch& first = stretches.front();
    if (first.end.position > place_.at.position) {
      if (first.end.totals.records_of(first.streams) > place_.at.totals.records_of(first.streams)) return;
      place_.at = first.end;
    }
    stretches.pop_front();
  }
}

/// Wakes its reader, if that waits and has something to do now that `more` can be read. Waking costs the
/// appender a system call, so nobody is woken for records that are not his.
void TailCursor::tell(const Totals& more) {
  if (!waiting_ || ended() || more.records_of(place_.stretches.back().streams) == 0) return;
  if (step_ != nullptr && !ready(*step_)) return;
  waiting_ = false;  // it is on its way
  wake_.notify_one();
}

bool TailCursor::ready(const BatchLimits& limits) const {
  const Sum lag = between(place_.at.totals, journal_.visible().totals);
  return lag.records > 0 && (lag.records >= limits.records_step || lag.bytes >= limits.bytes_step ||
                             place_.at.position < flush_until_ || journal_.full_);
}

bool TailCursor::next(BatchView& out, const BatchLimits& limits, int64_t wait_ns, std::stop_token stop) {
  using std::chrono::nanoseconds;
  using std::chrono::steady_clock;
  std::unique_lock lock(journal_.mutex_);
  out.slices.clear();
  out_ = false;
  if (secure_wanted_ && needs_secure_) return woken_ = false;
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
    const auto over = [&] { return ended() && between(place_.at.totals, journal_.totals_).records == 0; };
    wait_until(deadline, nullptr, [&] { return lag_records() > 0 || over(); });
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
  if (!take(out, limits, lock)) return false;
  out_ = true, out_end_ = out.end, out_covered_ = out.covered;
  return true;
}

/// From the tail, or from the files where the tail begins further on. False: there is nothing for it.
bool TailCursor::take(BatchView& out, const BatchLimits& limits, std::unique_lock<std::mutex>& lock) {
  for (;;) {
    catch_up();
    if (lag_records() == 0) return false;
    const bool in_tail = place_.at.position >= journal_.tail_begin();
    const auto within = [&](const TailEntry& e) { return e.end() > place_.at.position; };
    if (in_tail) {
      window_.clear(), tape_.reset();
    } else if (!std::ranges::any_of(window_, within)) {
      const Position from = place_.at.position;
      lock.unlock();
      window_.clear();
      const auto loaded = journal_.load(from, window_, tape_);
      lock.lock();
      if (!loaded) {
        wake_.wait_for(lock, kReadRetry);
        return false;
      }
      catch_up();
      if (place_.at.position != from) continue;  // dropped meanwhile
    }
    if (in_tail)
      fill(out, limits, journal_.entries_);
    else
      fill(out, limits, window_);
    if (!out.empty()) return true;
    if (out.end > place_.at.position) {  // all of it of other streams
      place_.at.position = out.end;
      place_.at.totals += out.covered;
      continue;
    }
    // A hole. In the tail, too: positions that were lost before the start.
    const auto next = std::ranges::find_if(window_, within);
    skip_to(next == window_.end() ? journal_.boundary_after(place_.at.position) : next->before, true);
  }
}

/// Whole entries where they fit, else record by record, up to the limits, the end of the stretch, or a hole.
template <class Entries>
void TailCursor::fill(BatchView& out, const BatchLimits& limits, const Entries& entries) const {
  const Stretch& stretch = place_.stretches.front();
  const Boundary visible = journal_.visible();
  const Boundary& end = stretch.open || stretch.end.position > visible.position ? visible : stretch.end;
  const Boundary& at = place_.at;
  uint64_t records_max = std::min(
      end.totals.records_of(stretch.streams) - at.totals.records_of(stretch.streams), limits.records_max);
  if (records_max > limits.records_step) records_max -= records_max % limits.records_step;
  out.slices.clear();
  out.streams = stretch.streams;
  out.begin = out.end = at.position;
  out.records = out.bytes = 0;
  out.covered = {};
  const auto came = [&](const TailEntry& t) {
    const int64_t ns = journal_.arrivals_.of(out.end);
    return ns != 0 ? ns : t.received_ns;
  };
  auto entry = std::ranges::upper_bound(entries, at.position, {}, [](const TailEntry& e) { return e.end(); });
  for (; entry != entries.end() && entry->before.position <= out.end && out.end < end.position; ++entry) {
    const TailEntry& t = *entry;
    uint32_t record = uint32_t(out.end - t.before.position);
    const uint64_t matching = t.totals.records_of(stretch.streams),
                   bytes = t.totals.bytes_of(stretch.streams);
    bool whole = record == 0 && out.records + matching <= records_max && t.end() <= end.position &&
                 (out.bytes + bytes <= limits.bytes_max || matching == 0);
    if (whole) {
      if (matching)
        out.slices.push_back(
            {t.block, t.first_entry, t.entry_count, out.end, out.covered, matching, came(t)});
      out.records += matching, out.bytes += bytes, out.end += t.entry_count;
      out.covered += t.totals;
      continue;
    }
    BatchSlice slice{t.block, t.first_entry + record, 0, out.end, out.covered, 0, came(t)};
    for (; record < t.entry_count && out.end < end.position; ++record) {
      const IndexEntry& e = t.block->entry(t.first_entry + record);
      bool mine = stretch.streams.has(e.stream);
      if (mine &&
          (out.records == records_max || (out.records > 0 && out.bytes + e.length > limits.bytes_max)))
        break;
      if (mine) ++out.records, ++slice.records, out.bytes += e.length;
      ++out.covered.records[size_t(e.stream)], out.covered.bytes[size_t(e.stream)] += e.length;
      ++slice.entry_count, ++out.end;
    }
    if (slice.entry_count) out.slices.push_back(std::move(slice));
    if (record < t.entry_count) break;
  }
}

void TailCursor::commit(const BatchView& batch, std::string_view note) {
  {
    std::unique_lock lock(journal_.mutex_);
    WEIR_CHECK(out_ && batch.begin == place_.at.position && batch.end <= out_end_);
    out_ = false;
    place_.passed += batch.records;
    place_.at.position = batch.end;
    place_.at.totals += batch.covered;
    if (kept_) place_.note.assign(note), boot_id_.clear();
    catch_up();
    journal_.tell_space(lock);
  }
  journal_.changed();
}

bool TailCursor::keep(std::string_view note, bool durable) {
  if (!kept_) return true;
  {
    std::lock_guard lock(journal_.mutex_);
    place_.note.assign(note), boot_id_.clear();
  }
  return journal_.checkpoint(durable);
}

bool TailCursor::wait_durable(std::stop_token stop) {
  Position upto;
  {
    std::lock_guard lock(journal_.mutex_);
    upto = place_.at.position;
  }
  return journal_.wait_durable(upto, stop);
}

void TailCursor::secure(std::string_view note) {
  if (!kept_) return;
  {
    std::lock_guard lock(journal_.mutex_);
    place_.note.assign(note), boot_id_.clear();
    secured_ = place_;
    secure_wanted_ = false;
  }
  journal_.changed();
}

bool TailCursor::secure_wanted() const {
  std::lock_guard lock(journal_.mutex_);
  return secure_wanted_ && needs_secure_;
}

void TailCursor::set_needs_secure(bool needs) {
  std::lock_guard lock(journal_.mutex_);
  needs_secure_ = needs && kept_;
}

void TailCursor::forget() {
  std::lock_guard lock(journal_.mutex_);
  kept_ = false;
}

CursorStatus TailCursor::status() const {
  std::lock_guard lock(journal_.mutex_);
  CursorStatus s;
  s.position = place_.at.position, s.passed = place_.passed;
  s.dropped_lag = place_.dropped, s.dropped_damaged = place_.damaged;
  Totals at = place_.at.totals;
  Sum in_hand;
  const Boundary first_left = oldest();
  if (s.position < first_left.position) {
    if (out_) {
      at += out_covered_;
      in_hand = between(place_.at.totals, at);
      s.position = out_end_;
    }
    if (s.position < first_left.position) {
      uint64_t gone = between(at, first_left.totals).records;
      (is_damage(first_left) ? s.dropped_damaged : s.dropped_lag) += gone, s.passed += gone;
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
