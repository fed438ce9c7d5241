#pragma once
#include <memory>
#include <string>

#include "agent/journal/journal.h"
#include "agent/sinks/sink.h"

namespace weir::test {

/// SinkRunner without its thread and its waiting: the same calls in the same order, one at a time. When
/// SinkRunner changes what it calls, this follows.
class SteppedSink {
 public:
  SteppedSink(std::string name, std::unique_ptr<Sink> sink, std::unique_ptr<Cursor> cursor,
              StreamSet streams);
  ~SteppedSink();

  /// False: it cannot, see last_error(). A sink that runs is opened before anything else.
  bool open();
  /// One batch at most, and what is due. True: something was done.
  bool step(const Clock& clock);
  /// As SinkRunner::stop() of a process that ends in an orderly way.
  void stop();
  bool drained() const { return cursor_->status().lag_records == 0; }
  /// Not 0: more or fewer records than are accounted for.
  int64_t conservation_error() const;

  Cursor& cursor() { return *cursor_; }
  const std::string& name() const { return name_; }
  StreamSet streams() const { return streams_; }
  const std::string& last_error() const { return last_error_; }
  bool needs_sync() const { return sink_->needs_sync(); }

 private:
  bool answer_secure();
  std::string secure();
  bool keep(bool durable);
  const std::string& note();
  void commit(const BatchView& batch, uint64_t records);
  void down(std::string error);

  const std::string name_;
  std::unique_ptr<Sink> sink_;
  std::unique_ptr<Cursor> cursor_;
  const StreamSet streams_;
  bool open_ = false;
  uint64_t delivered_ = 0;  ///< kept in the cursor's note
  std::string note_, last_error_;
  std::stop_source stop_;
};

/// A receiver beyond the reach of any crash, which may get records twice. Answers `retry` now and then.
class CollectingSink final : public Sink {
 public:
  /// `received` and `failures` outlive it. A failure: how many of the batch were taken before it.
  CollectingSink(std::vector<std::string>& received, std::function<std::optional<uint64_t>()> failure)
      : received_(received), failure_(std::move(failure)) {}
  Result<void> open() override { return {}; }
  Delivery deliver(const BatchView& batch, std::stop_token stop) override;
  void close() noexcept override {}
  BatchLimits batch_limits() const override { return {.records_max = 40}; }

 private:
  std::vector<std::string>& received_;
  std::function<std::optional<uint64_t>()> failure_;
};

}  // namespace weir::test
