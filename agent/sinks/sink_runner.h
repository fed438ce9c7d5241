#pragma once
#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "agent/core/clock.h"
#include "agent/core/quarantine.h"
#include "agent/journal/journal.h"
#include "agent/sinks/batch_filter.h"
#include "agent/sinks/sink.h"

namespace weir {

/// One consistent look at a sink (interface.md section 4). routed = delivered + filtered + dropped +
/// quarantined + lag.
struct SinkStatus {
  std::string name, type, state, last_error;
  StreamSet streams;
  uint64_t routed = 0, delivered = 0;
  std::map<std::string, uint64_t> filtered, dropped, quarantined;
  uint64_t lag_records = 0, lag_bytes = 0, retries = 0;
  double retry_in_s = 0;
  LatencySnapshot delivery, latency;  ///< as in SinkTimes
  bool resting = false;               ///< paused, and nothing is under way or open any more
  Position flushed = 0;               ///< up to which flush_upto() is done
  int64_t conservation_error() const;
};

/// How long things take at a sink.
struct SinkTimes {
  LatencyHistogram delivery;  ///< each Sink::deliver()
  LatencyHistogram latency;   ///< each record from its arrival to here, by the wall clock
};

/// Counters and place of a sink: they belong to its name, and go from runner to runner when its options
/// change, and by the cursor's note from process to process where that is kept.
struct SinkPlace {
  std::unique_ptr<Cursor> cursor;
  uint64_t delivered = 0, retries = 0;
  std::map<std::string, uint64_t> filtered, quarantined;
  std::string state = {};  ///< Sink::state()
  std::shared_ptr<SinkTimes> times = {};
  bool taken_over = false;  ///< of a runner in this process: it knows more than the cursor's note
};

/// The note of a cursor (Cursor::commit): counters of `place`, and `state`.
void write_note(std::string& out, const SinkPlace& place, std::string_view state);
/// What write_note() wrote, into `place`.
void read_note(std::string_view note, SinkPlace& place);

/// Owns a sink, its filter, its cursor and its one worker thread; does batching, back-off with jitter,
/// counting, quarantine and drain for every kind of sink. start() and stop() from the thread that changes the
/// topology, status() from any.
class SinkRunner {
 public:
  SinkRunner(std::string name, std::string type, StreamSet streams, std::unique_ptr<Sink> sink,
             std::unique_ptr<BatchFilter> filter, SinkPlace place, Quarantine& quarantine,
             const Clock& clock);
  ~SinkRunner();
  void start();
  /// Ends the worker after the write it is in, makes what was delivered durable where that is the sink's part
  /// and goes at once, closes the sink and gives the place back; status() stays as it was then. Safe without
  /// start().
  SinkPlace stop();
  /// Which streams are its own; it keeps running.
  void set_streams(StreamSet streams);
  /// Paused: it takes no batch any more, and closes the sink when the one it has is done with or has failed.
  /// Its place stays. One that ended here delivers all the same.
  void set_paused(bool paused);
  bool paused() const;
  /// Writes what waits for a full step.
  void flush();
  /// That, without waiting for the next attempt either; and when everything before `upto` is done with, it is
  /// made durable where that is the sink's part (SinkStatus::flushed).
  void flush_upto(Position upto);
  /// Closes and opens the sink between two batches, now (SIGUSR1).
  void reopen();
  /// It was taken out of the configuration: it may still deliver what is its own (state `draining`), were it
  /// paused or not.
  void end_here();
  /// Hands out what waits for a full step, and waits until it has no lag, at most until `deadline_ns`
  /// (monotonic). With `upto`: until it has passed that position.
  bool wait_drained(int64_t deadline_ns, Position upto = UINT64_MAX);
  bool drained() const;
  SinkStatus status() const;
  const std::string& name() const { return name_; }

 private:
  void run(std::stop_token stop);
  void work(std::stop_token stop);
  bool next(BatchView& batch, BatchView& own, std::stop_token stop);
  bool next_passing(BatchView& batch, BatchView& own, std::stop_token stop);
  /// Everything before record number `records` of `own`, and what the filter keeps back before that.
  void commit(const BatchView& batch, const BatchView& own, uint64_t records, uint64_t refused);
  Delivery deliver_once(const BatchView& own, std::stop_token stop);
  void note_latency(const BatchView& own, uint64_t records);
  bool reads_anything() const;
  void deliver(const BatchView& batch, const BatchView& own, std::stop_token stop);
  void rest(std::stop_token stop);
  void put_down();
  bool passed(Position upto) const;
  bool resting_wanted() const { return paused_ && !ended_; }
  Position flush_due() const;
  bool answer_flush(Position upto, std::stop_token stop);
  bool make_durable(std::stop_token stop);
  int64_t until_due();
  bool open(std::stop_token stop);
  void restore_sink();
  void write_note();
  bool keep(bool durable);
  std::string secure(std::stop_token stop);
  bool answer_secure(std::stop_token stop);
  void secure_at_end();
  bool keep_refused(const BatchView& batch, const std::vector<Refusal>& refused);
  void finish(const BatchView& batch, const BatchView& own, const Delivery& delivery);
  void back_off(const char* state, const std::string& error, int64_t min_ns, int64_t max_ns,
                std::stop_token stop, int64_t at_least_ns = 0);
  void set_ok();

  // Local trouble passes when space returns: look often (delivery.md section 3).
  static constexpr int64_t kDownMinNs = 100'000'000, kDownMaxNs = 2'000'000'000;
  const std::string name_, type_;
  std::unique_ptr<Sink> sink_;
  std::unique_ptr<BatchFilter> filter_;  // null: everything passes
  Quarantine& quarantine_;
  const Clock& clock_;
  mutable std::mutex mutex_;  // counters, state and commit together, so that one status() is one moment
  std::condition_variable_any changed_;
  SinkPlace place_;
  StreamSet streams_;
  std::string state_ = "ok", last_error_;
  int64_t retry_at_ns_ = 0, backoff_ns_ = 0;
  uint64_t random_;
  bool open_ = false, ended_ = false, paused_ = false, resting_ = false;
  bool hurried_ = false;  ///< the next wait for another attempt is left out
  Position flush_upto_ = 0, flushed_ = 0;
  CursorStatus at_stop_;  ///< of the place that was given back
  bool kept_ = false;     ///< places of the cursor outlive the process
  std::string note_;      ///< scratch
  std::stop_token stop_;  ///< of the worker
  std::atomic<bool> reopen_ = false;
  std::jthread worker_;
};

}  // namespace weir
