#include "agent/sinks/sink_runner.h"

#include <algorithm>
#include <chrono>

#include "agent/core/check.h"
#include "agent/core/log.h"
#include "agent/core/thread_name.h"

namespace weir {
namespace {

constexpr int64_t kRetryAfterMax = 300'000'000'000;  // delivery.md section 2

uint64_t sum(const std::map<std::string, uint64_t>& counters) {
  uint64_t total = 0;
  for (const auto& [name, n] : counters) total += n;
  return total;
}

}  // namespace

int64_t SinkStatus::conservation_error() const {
  return int64_t(routed) - int64_t(delivered + sum(filtered) + sum(dropped) + sum(quarantined) + lag_records);
}

SinkRunner::SinkRunner(std::string name, std::string type, StreamSet streams, std::unique_ptr<Sink> sink,
                       std::unique_ptr<BatchFilter> filter, SinkPlace place, Quarantine& quarantine,
                       const Clock& clock)
    : name_(std::move(name)),
      type_(std::move(type)),
      sink_(std::move(sink)),
      filter_(std::move(filter)),
      quarantine_(quarantine),
      clock_(clock),
      place_(std::move(place)),
      streams_(streams),
      random_(uint64_t(clock.wall_ns()) | 1) {
  WEIR_CHECK(sink_ && place_.cursor);
  if (!place_.times) place_.times = std::make_shared<SinkTimes>();
  kept_ = place_.cursor->is_kept();
  restore_sink();
}

void SinkRunner::restore_sink() {
  SinkMemory memory;
  if (kept_) {
    place_.cursor->set_needs_secure(sink_->needs_sync());
    memory.keep = [this](bool durable) { return keep(durable); };
    if (!place_.taken_over) {
      const CursorMemory kept = place_.cursor->memory();
      memory.same_boot = kept.same_boot;
      read_note(kept.note, place_);
    }
  }
  memory.state = std::exchange(place_.state, {});
  sink_->restore(std::move(memory));
}

SinkRunner::~SinkRunner() { stop(); }

void SinkRunner::start() {
  WEIR_CHECK(!worker_.joinable());
  worker_ = std::jthread([this](std::stop_token stop) {
    name_this_thread("sink-" + name_);
    run(stop);
  });
}

SinkPlace SinkRunner::stop() {
  if (worker_.joinable()) {
    worker_.request_stop();
    worker_.join();
  }
  if (!place_.cursor) return {};
  put_down();
  std::lock_guard lock(mutex_);
  at_stop_ = place_.cursor->status();
  return {std::move(place_.cursor), place_.delivered, place_.retries, place_.filtered,
          place_.quarantined,       sink_->state(),   place_.times,   true};
}

/// Its file may be moved now, and its disk taken away.
void SinkRunner::put_down() {
  if (open_) secure_at_end(), sink_->close();
  open_ = false;
}

void SinkRunner::set_streams(StreamSet streams) {
  std::lock_guard lock(mutex_);
  streams_ = streams;
  place_.cursor->set_streams(streams);
}

void SinkRunner::set_paused(bool paused) {
  std::lock_guard lock(mutex_);
  paused_ = paused;
  if (place_.cursor) place_.cursor->wake();
  changed_.notify_all();
}

bool SinkRunner::paused() const {
  std::lock_guard lock(mutex_);
  return resting_wanted();
}

void SinkRunner::flush() {
  std::lock_guard lock(mutex_);
  place_.cursor->flush();
}

void SinkRunner::flush_upto(Position upto) {
  std::lock_guard lock(mutex_);
  if (!place_.cursor) return;  // stopped: the place is another's
  flush_upto_ = std::max(flush_upto_, upto);
  hurried_ = true, backoff_ns_ = 0;
  place_.cursor->flush();
  place_.cursor->wake();
  changed_.notify_all();
}

void SinkRunner::reopen() {
  reopen_ = true;
  std::lock_guard lock(mutex_);
  if (place_.cursor) place_.cursor->wake();
}

void SinkRunner::end_here() {
  std::lock_guard lock(mutex_);
  ended_ = true;
  place_.cursor->end_here();
  changed_.notify_all();
}

/// Under mutex_.
bool SinkRunner::passed(Position upto) const {
  if (!place_.cursor) return true;
  const CursorStatus s = place_.cursor->status();
  return s.lag_records == 0 || s.position >= upto;
}

bool SinkRunner::drained() const {
  std::lock_guard lock(mutex_);
  return passed(UINT64_MAX);
}

bool SinkRunner::wait_drained(int64_t deadline_ns, Position upto) {
  std::unique_lock lock(mutex_);
  if (!place_.cursor) return true;  // stopped: the place is another's
  place_.cursor->flush();
  int64_t left = std::max<int64_t>(0, deadline_ns - clock_.monotonic_ns());
  return changed_.wait_for(lock, std::chrono::nanoseconds(left), [&] { return passed(upto); });
}

SinkStatus SinkRunner::status() const {
  std::lock_guard lock(mutex_);
  SinkStatus s;
  s.name = name_, s.type = type_, s.streams = streams_;
  s.state = ended_ ? "draining" : paused_ ? "paused" : state_;
  s.resting = resting_, s.flushed = flushed_;
  s.last_error = last_error_;
  s.delivered = place_.delivered, s.retries = place_.retries;
  s.filtered = place_.filtered, s.quarantined = place_.quarantined;
  if (state_ != "ok" && !resting_wanted())
    s.retry_in_s = std::max<double>(0, double(retry_at_ns_ - clock_.monotonic_ns()) / 1e9);
  if (place_.times)
    s.delivery = place_.times->delivery.snapshot(), s.latency = place_.times->latency.snapshot();
  const CursorStatus c = place_.cursor ? place_.cursor->status() : at_stop_;
  s.routed = c.routed, s.lag_records = c.lag_records, s.lag_bytes = c.lag_bytes;
  if (c.dropped_lag > 0) s.dropped["lag"] += c.dropped_lag;
  if (c.dropped_damaged > 0) s.dropped["damaged"] += c.dropped_damaged;
  return s;
}

void SinkRunner::run(std::stop_token stop) {
  stop_ = stop;
  while (!stop.stop_requested()) {
    try {
      work(stop);
      return;
    } catch (const std::exception& e) {  // of a library; the batch in hand was not committed and comes again
      if (open_) sink_->close();
      open_ = false;
      back_off("down", e.what(), kDownMinNs, kDownMaxNs, stop);
    }
  }
}

void SinkRunner::work(std::stop_token stop) {
  BatchView batch, own;
  // A sink that nothing is routed to stays closed: its file is not made.
  bool open_now = reads_anything();
  while (!stop.stop_requested()) {
    if (paused()) {
      batch = own = {};  // the journal may need the room
      rest(stop);
      open_now = reads_anything();
      continue;
    }
    if (open_ && reopen_.exchange(false)) sink_->close(), open_ = false, open_now = true;
    if (open_now && !open_ && !open(stop)) continue;
    open_now = false;
    if (place_.cursor->secure_wanted() && !answer_secure(stop)) continue;
    if (const Position upto = flush_due(); upto > 0 && !answer_flush(upto, stop)) continue;
    if (next(batch, own, stop)) {
      if (paused() || (!open_ && !open(stop))) continue;  // it was not committed, and comes again
      deliver(batch, filter_ ? own : batch, stop);
    } else if (drained()) {
      std::unique_lock lock(mutex_);
      changed_.notify_all();
      if (ended_) return;
    }
  }
}

/// Until it is not paused any more.
void SinkRunner::rest(std::stop_token stop) {
  put_down();
  std::unique_lock lock(mutex_);
  resting_ = true;
  changed_.notify_all();
  changed_.wait(lock, stop, [this] { return !resting_wanted(); });
  resting_ = false;
}

/// Gives the sink its call when that is due; how long there is until the next one, -1: for ever.
int64_t SinkRunner::until_due() {
  if (!open_) return -1;
  if (sink_->due_ns() <= clock_.monotonic_ns()) sink_->on_due();
  const int64_t due = sink_->due_ns();
  return due == INT64_MAX ? -1 : std::max<int64_t>(1, due - clock_.monotonic_ns());
}

bool SinkRunner::next(BatchView& batch, BatchView& own, std::stop_token stop) {
  if (filter_) return next_passing(batch, own, stop);
  return place_.cursor->next(batch, sink_->batch_limits(), until_due(), stop);
}

/// Reads on until as many records pass as the sink wants in one step, or until it has waited long enough for
/// them. `batch` is what `own` was taken from, to be committed with it.
bool SinkRunner::next_passing(BatchView& batch, BatchView& own, std::stop_token stop) {
  constexpr uint64_t kHeldRecordsMax = 64 << 10, kHeldBytesMax = 16 << 20;
  const BatchLimits wanted = sink_->batch_limits();
  BatchLimits limits = wanted;
  limits.records_max = std::max(wanted.records_max, kHeldRecordsMax);
  limits.bytes_max = kHeldBytesMax;
  limits.records_step = 1, limits.bytes_step = UINT64_MAX;
  int64_t held_since_ns = 0;
  uint64_t known = 0;  // records that were there the last time
  while (place_.cursor->next(batch, limits, until_due(), stop)) {
    const bool grown = batch.records > known;
    known = batch.records;
    filter_->judge(batch);
    if (const uint64_t held_back = filter_->records_before(0); held_back > 0) {
      commit(first_records(batch, held_back), {}, 0, 0);
      limits.records_step = 1, known = 0;
      continue;
    }
    const bool enough = filter_->passing_records() >= wanted.records_step ||
                        filter_->passing_bytes() >= std::min(wanted.bytes_max, wanted.bytes_step) ||
                        batch.records >= limits.records_max || batch.bytes >= kHeldBytesMax;
    const int64_t now = clock_.monotonic_ns();
    if (held_since_ns == 0) held_since_ns = now;
    const bool long_enough = wanted.linger_ns >= 0 && now - held_since_ns >= wanted.linger_ns;
    if (enough || long_enough || !grown) {
      auto portion = filter_->portion(batch, wanted);
      batch = first_records(batch, portion.covered);
      own = std::move(portion.passing);
      return true;
    }
    // At least so many are missing.
    limits.records_step =
        batch.records + std::max<uint64_t>(1, wanted.records_step - filter_->passing_records());
    if (wanted.linger_ns >= 0) limits.linger_ns = wanted.linger_ns - (now - held_since_ns);
  }
  return false;
}

bool SinkRunner::reads_anything() const {
  std::lock_guard lock(mutex_);
  return !streams_.empty();
}

/// False: it is to stop, or to rest.
bool SinkRunner::open(std::stop_token stop) {
  while (!stop.stop_requested() && !paused()) {
    auto result = sink_->open();
    if (result) {
      open_ = true;
      set_ok();
      return true;
    }
    back_off("down", result.error().message, kDownMinNs, kDownMaxNs, stop);
  }
  return false;
}

Delivery SinkRunner::deliver_once(const BatchView& own, std::stop_token stop) {
  const int64_t began_ns = clock_.monotonic_ns();
  Delivery d = sink_->deliver(own, std::move(stop));
  place_.times->delivery.add(clock_.monotonic_ns() - began_ns);
  return d;
}

/// Of its first `records`: run by run, so that it costs nothing per record.
void SinkRunner::note_latency(const BatchView& own, uint64_t records) {
  const int64_t now_ns = clock_.wall_ns();
  LatencyHistogram::Batch latency(place_.times->latency);
  for (const BatchSlice& slice : own.slices) {
    if (records == 0) break;
    const uint64_t n = std::min(records, slice.records);
    if (slice.received_ns != 0) latency.add(now_ns - slice.received_ns, n);
    records -= n;
  }
}

/// One batch, or the part of it that is done when the sink gives up; the rest comes again by next().
void SinkRunner::deliver(const BatchView& batch, const BatchView& own, std::stop_token stop) {
  while (!stop.stop_requested()) {
    Delivery d = deliver_once(own, stop);
    if (!keep_refused(own, d.refused)) {  // they stay in the journal, and what lies behind them with them
      if (d.refused.front().record > 0) commit(batch, own, d.refused.front().record, 0);
      back_off("down", "cannot write refused records to the quarantine", kDownMinNs, kDownMaxNs, stop);
      return;
    }
    if (d.kind == Delivery::Kind::delivered) return finish(batch, own, d);
    if (d.done > 0) commit(batch, own, d.done, d.refused.size());
    if (stop.stop_requested()) return;
    if (d.kind == Delivery::Kind::partial) {
      place_.cursor->flush();  // the rest waits for no full step
      return;
    }
    if (d.kind == Delivery::Kind::down) {
      sink_->close();
      open_ = false;
      back_off("down", d.error, kDownMinNs, kDownMaxNs, stop);
      return;  // run() opens it again
    }
    bool misconfigured = d.kind == Delivery::Kind::misconfigured;
    const Backoff backoff = sink_->backoff();
    if (misconfigured)
      back_off("misconfigured", d.error, backoff.misconfigured_ns, backoff.misconfigured_ns, stop);
    else
      back_off("retrying", d.error, backoff.min_ns, backoff.max_ns, stop, d.retry_after_ns);
    if (d.done > 0 || paused()) return;
  }
}

void SinkRunner::commit(const BatchView& batch, const BatchView& own, uint64_t records, uint64_t refused) {
  uint64_t covered = records;
  if (filter_) covered = records == own.records ? batch.records : filter_->records_before(records);
  const BatchView part = covered < batch.records ? first_records(batch, covered) : batch;
  note_latency(own, records);
  std::lock_guard lock(mutex_);
  place_.delivered += records - refused;
  if (refused > 0) place_.quarantined["refused"] += refused;
  if (filter_) {
    const auto filtered = filter_->filtered(covered);
    for (size_t rule = 0; rule < filtered.size(); ++rule)
      if (filtered[rule] > 0) place_.filtered[std::string(BatchFilter::kRuleNames[rule])] += filtered[rule];
    filter_->forget(covered, part.end);
  }
  if (kept_) write_note();
  place_.cursor->commit(part, note_);
  backoff_ns_ = 0;
  changed_.notify_all();
}

/// False: the quarantine could not be written.
bool SinkRunner::keep_refused(const BatchView& batch, const std::vector<Refusal>& refused) {
  if (refused.empty()) return true;
  uint64_t i = 0;
  size_t n = 0;
  batch.for_each([&](std::string_view line, Stream) {
    if (n == refused.size() || refused[n].record != i++) return;
    quarantine_.add_refusal(clock_.wall_ns(), name_, "refused", refused[n].answer, refused[n].attempts,
                            line.substr(0, line.size() - 1));
    ++n;
  });
  if (!quarantine_.flush()) return false;
  log::sampled(log::Level::warn, "refused." + name_,
               "sink {}: {} records refused for good: {}; they are in the quarantine", name_, refused.size(),
               refused.back().answer);
  return true;
}

void SinkRunner::finish(const BatchView& batch, const BatchView& own, const Delivery& delivery) {
  commit(batch, own, own.records, delivery.refused.size());
  std::lock_guard lock(mutex_);
  if (state_ != "ok") {
    log::info("sink {}: working again", name_);
    state_ = "ok", retry_at_ns_ = 0;
  }
  changed_.notify_all();
}

void SinkRunner::set_ok() {
  std::lock_guard lock(mutex_);
  if (state_ == "down") log::info("sink {}: open again", name_);
  state_ = "ok", retry_at_ns_ = 0;
}

void SinkRunner::back_off(const char* state, const std::string& error, int64_t min_ns, int64_t max_ns,
                          std::stop_token stop, int64_t at_least_ns) {
  log::sampled(log::Level::error, "sink." + name_, "sink {}: {}: {}; its records wait in the journal", name_,
               state, error);
  std::unique_lock lock(mutex_);
  ++place_.retries;
  state_ = state, last_error_ = error;
  backoff_ns_ = std::clamp(backoff_ns_ * 2, min_ns, max_ns);
  random_ ^= random_ << 13, random_ ^= random_ >> 7, random_ ^= random_ << 17;
  int64_t wait =
      backoff_ns_ / 2 + int64_t(random_ % uint64_t(backoff_ns_ / 2 + 1));  // jitter: half to all of it
  wait = std::max(wait, std::min(at_least_ns, kRetryAfterMax));
  retry_at_ns_ = clock_.monotonic_ns() + wait;
  changed_.wait_for(lock, stop, std::chrono::nanoseconds(wait),
                    [this] { return hurried_ || resting_wanted(); });
  hurried_ = false, retry_at_ns_ = 0;
}

}  // namespace weir
