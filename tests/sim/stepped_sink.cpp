#include "tests/sim/stepped_sink.h"

#include <charconv>

namespace weir::test {

SteppedSink::SteppedSink(std::string name, std::unique_ptr<Sink> sink, std::unique_ptr<Cursor> cursor,
                         StreamSet streams)
    : name_(std::move(name)), sink_(std::move(sink)), cursor_(std::move(cursor)), streams_(streams) {
  SinkMemory memory;
  if (cursor_->is_kept()) {
    cursor_->set_needs_secure(sink_->needs_sync());
    memory.keep = [this](bool durable) { return keep(durable); };
    const CursorMemory kept = cursor_->memory();
    memory.same_boot = kept.same_boot;
    const char* const end = kept.note.data() + kept.note.size();
    const char* const at = std::from_chars(kept.note.data(), end, delivered_).ptr;
    if (at != end) memory.state = std::string(at + 1, end);
  }
  sink_->restore(std::move(memory));
}

SteppedSink::~SteppedSink() {
  if (open_) sink_->close();
}

void SteppedSink::stop() {
  stop_.request_stop();
  if (open_) {
    if (cursor_->is_kept()) last_error_ = secure();
    sink_->close();
  }
  open_ = false;
}

bool SteppedSink::open() {
  if (open_) return true;
  if (auto opened = sink_->open(); !opened) return last_error_ = opened.error().message, false;
  last_error_.clear();
  return open_ = true;
}

void SteppedSink::down(std::string error) {
  last_error_ = std::move(error);
  if (open_) sink_->close();
  open_ = false;
}

/// `delivered state`
const std::string& SteppedSink::note() {
  note_ = std::to_string(delivered_) + " " + sink_->state();
  return note_;
}

bool SteppedSink::keep(bool durable) {
  if (durable && sink_->needs_sync() && !cursor_->wait_durable(stop_.get_token())) return false;
  if (durable) cursor_->secure(note());
  return cursor_->keep(note(), durable);
}

std::string SteppedSink::secure() {
  if (sink_->needs_sync()) {
    if (!cursor_->wait_durable({})) return "the journal is not durable up to what was delivered";
    if (auto synced = sink_->sync(); !synced) return synced.error().message;
  }
  cursor_->secure(note());
  return {};
}

bool SteppedSink::answer_secure() {
  if (!streams_.empty() && !open()) return false;
  if (std::string error = secure(); !error.empty()) return down(std::move(error)), false;
  return true;
}

void SteppedSink::commit(const BatchView& batch, uint64_t records) {
  delivered_ += records;
  cursor_->commit(records < batch.records ? first_records(batch, records) : batch, note());
}

bool SteppedSink::step(const Clock& clock) {
  if (!streams_.empty() && !open()) return false;
  bool done = false;
  if (cursor_->secure_wanted()) {
    if (!answer_secure()) return false;
    done = true;
  }
  if (open_ && sink_->due_ns() <= clock.monotonic_ns()) sink_->on_due(), done = true;
  BatchLimits limits = sink_->batch_limits();
  limits.records_step = 1, limits.linger_ns = 0;  // nobody waits here
  BatchView batch;
  if (!cursor_->next(batch, limits, 0, {})) return done;
  if (!open()) return done;
  const Delivery d = sink_->deliver(batch, stop_.get_token());
  if (d.kind == Delivery::Kind::delivered)
    commit(batch, batch.records);
  else if (d.done > 0)
    commit(batch, d.done);
  if (d.kind == Delivery::Kind::down) return down(d.error), d.done > 0;  // a runner waits now
  if (d.kind == Delivery::Kind::retry) last_error_ = d.error;
  return true;
}

int64_t SteppedSink::conservation_error() const {
  const CursorStatus s = cursor_->status();
  return int64_t(s.routed) - int64_t(delivered_ + s.dropped_lag + s.dropped_damaged + s.lag_records);
}

Delivery CollectingSink::deliver(const BatchView& batch, std::stop_token) {
  const auto failed_after = failure_();
  const uint64_t take = failed_after ? std::min(*failed_after, batch.records) : batch.records;
  uint64_t n = 0;
  batch.for_each([&](std::string_view line, Stream) {
    if (n++ < take) received_.emplace_back(line.substr(0, line.size() - 1));
  });
  if (!failed_after) return Delivery::delivered();
  return Delivery::retry("unavailable", take / 2);  // what it does not confirm comes again
}

}  // namespace weir::test
