// What of a sink is durable at its end, and when the journal is told.
#include <chrono>

#include "agent/core/log.h"
#include "agent/sinks/sink_runner.h"

namespace weir {
namespace {

constexpr const char* kNotDurable = "the journal is not durable up to what was delivered";
constexpr auto kSecureAtEnd = std::chrono::milliseconds(300);

}  // namespace

/// Of what is durable after this the next process need not write anything again, not even on another boot.
/// Nothing is lost without it, so nothing dead is waited for.
void SinkRunner::secure_at_end() {
  if (!kept_ || (sink_->needs_sync() && state_ != "ok")) return;
  std::stop_source late;
  std::mutex mutex;
  std::condition_variable_any changed;
  const std::jthread timer([&](std::stop_token in_time) {
    std::unique_lock lock(mutex);
    changed.wait_for(lock, in_time, kSecureAtEnd, [] { return false; });
    late.request_stop();
  });
  if (const std::string error = secure(late.get_token()); !error.empty())
    log::warn("sink {}: {}; after a power cut some of its records are delivered again", name_, error);
}

/// False: it is answered later.
bool SinkRunner::answer_secure(std::stop_token stop) {
  if (sink_->needs_sync() && !open_ && !open(stop)) return false;  // one of before may have left it something
  return make_durable(stop);
}

/// Up to where a flush is due: what it was asked for is done with. 0: none is.
Position SinkRunner::flush_due() const {
  std::lock_guard lock(mutex_);
  return flush_upto_ > flushed_ && passed(flush_upto_) ? flush_upto_ : 0;
}

/// False: it is answered later.
bool SinkRunner::answer_flush(Position upto, std::stop_token stop) {
  if (open_ && !make_durable(stop)) return false;
  std::lock_guard lock(mutex_);
  flushed_ = upto, hurried_ = false;
  changed_.notify_all();
  return true;
}

/// False: it is tried again.
bool SinkRunner::make_durable(std::stop_token stop) {
  const std::string error = secure(stop);
  if (error.empty() || stop.stop_requested()) return error.empty();
  if (open_) sink_->close();
  open_ = false;
  back_off("down", error, kDownMinNs, kDownMaxNs, stop);
  return false;
}

/// Everything committed becomes durable at its end: only then may the journal let go of it. Empty, or why
/// not.
std::string SinkRunner::secure(std::stop_token stop) {
  if (sink_->needs_sync()) {
    // In this order: what the journal can still lose comes again from its client, so no file may hold it for
    // good.
    if (!place_.cursor->wait_durable(stop)) return kNotDurable;
    if (auto synced = sink_->sync(); !synced) return synced.error().message;
  }
  write_note();
  place_.cursor->secure(note_);
  return {};
}

/// SinkMemory::keep.
bool SinkRunner::keep(bool durable) {
  if (durable && sink_->needs_sync() && !place_.cursor->wait_durable(stop_)) return false;
  write_note();
  if (durable) place_.cursor->secure(note_);
  return place_.cursor->keep(note_, durable);
}

/// Only the worker changes what is in it, so the worker needs no lock.
void SinkRunner::write_note() {
  note_.clear();
  weir::write_note(note_, place_, sink_->state());
}

}  // namespace weir
