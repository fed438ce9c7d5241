#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "agent/core/clock.h"
#include "agent/core/io.h"
#include "agent/core/options.h"
#include "agent/core/quarantine.h"
#include "agent/core/result.h"
#include "agent/journal/journal.h"

namespace weir {

/// A record that the other side will never take: for the quarantine.
struct Refusal {
  uint64_t record = 0;    ///< index within the batch
  std::string answer;     ///< what the other side said of it
  uint64_t attempts = 0;  ///< requests it was part of
};

/// What became of a batch: a value, not a convention (architecture.md section 6).
struct Delivery {
  enum class Kind {
    delivered,
    partial,  ///< the first `done` records are done with; the rest comes again at once
    retry,    ///< transient, at the other side
    down,  ///< local trouble (disk full, closed pipe): the runner closes and opens the sink, the rest comes
           ///< again
    misconfigured,  ///< permanent, for all: slow retry, nothing thrown away
  };
  Kind kind = Kind::delivered;
  std::string error;                  ///< for all but delivered: what the other side or the system said
  std::vector<Refusal> refused = {};  ///< ascending, all within what is done; the others were delivered
  uint64_t done = 0;  ///< all but delivered: the first `done` records of the batch are done with all the same
  int64_t retry_after_ns = 0;  ///< retry: what the other side asked for; the back-off is never shorter
  static Delivery delivered() { return {}; }
  static Delivery partial(uint64_t done) { return {Kind::partial, {}, {}, done}; }
  static Delivery retry(std::string error, uint64_t done = 0) {
    return {Kind::retry, std::move(error), {}, done};
  }
  static Delivery down(std::string error, uint64_t done = 0) {
    return {Kind::down, std::move(error), {}, done};
  }
};

/// How long a runner waits before the next attempt, jitter taken off.
struct Backoff {
  int64_t min_ns = 100'000'000, max_ns = 30'000'000'000;  ///< doubled from one to the other
  int64_t misconfigured_ns = 10'000'000'000;
};

/// What a sink finds again, of its predecessor in this process or of one before (delivery.md section 2).
struct SinkMemory {
  std::string state;      ///< what its state() said, a JSON text; empty: nothing is known
  bool same_boot = true;  ///< false: the machine went down since, and `state` is of the last sync()
  /// Keeps what state() says now, before it returns: safe from the death of this process, and from a power
  /// cut when `durable`; for that the sink has synced first, as in sync(). False: that could not be written.
  /// From the sink's worker, within deliver() or on_due(). Null where nothing outlives the process.
  std::function<bool(bool durable)> keep;
};

/// Where records leave: format and transport only. SinkRunner owns it and does batching, back-off, counting,
/// quarantine and drain for all of them. Every call comes from the sink's own worker thread, one at a time:
/// open(), then any number of deliver(), then close() once. After a retry answer what is not done comes
/// again. close() is safe without open().
class Sink {
 public:
  virtual ~Sink() = default;
  /// Local only: create, check rights. Never the network. Called again after a failure.
  virtual Result<void> open() = 0;
  /// May block until `stop`, and should then answer retry soon. Whole records only; what is delivered of the
  /// batch when retry or down is answered is said in `done`, so that no record is written twice.
  virtual Delivery deliver(const BatchView& batch, std::stop_token stop) = 0;
  virtual void close() noexcept = 0;
  /// When on_due() is to be called although no record comes, monotonic nanoseconds. Asked again after each
  /// call.
  virtual int64_t due_ns() const { return INT64_MAX; }
  /// Between two deliver(), while it is open. What it cannot do it says in the log.
  virtual void on_due() {}
  /// How it wants its batches. Asked before each.
  virtual BatchLimits batch_limits() const { return {}; }
  virtual Backoff backoff() const { return {}; }
  /// Once, before the first open().
  virtual void restore(SinkMemory memory) { (void)memory; }
  /// What it, or the sink that takes its place when its options change, needs to go on exactly from the
  /// records that are done with, as a JSON text; empty: nothing. Asked after each deliver(), when what is
  /// done has been said; by SinkMemory::keep; and after close().
  virtual std::string state() const { return {}; }
  /// Must what was delivered be made durable where it ends, by sync(), before the journal lets go of it?
  virtual bool needs_sync() const { return false; }
  /// Does that, between two deliver(). state() then tells what is durable.
  virtual Result<void> sync() { return {}; }
};

/// What a sink may use. Outlives it.
struct SinkContext {
  std::string name;
  Io& io;
  const Clock& clock;
  Quarantine* quarantine;         ///< the sink's own file there; may be null in tests
  std::string journal_uuid = {};  ///< whose positions the batches have
};

/// One kind of sink: its own options (the registry adds the common ones) and its maker.
struct SinkType {
  ComponentType type;
  std::unique_ptr<Sink> (*make)(const Settings& settings, const SinkContext& context);
  std::string_view when_full = "drop_oldest";  ///< the default of that option
  /// What open() would fail at because of its files; asked before a reload touches anything. May be null.
  Result<void> (*check)(const Settings& settings) = nullptr;
  /// Connects to where records go, and closes. Blocks until the sink's own time is over or `stop`. Null: it
  /// goes nowhere over a network.
  Result<void> (*reach)(const Settings& settings, const Clock& clock, std::stop_token stop) = nullptr;
};

/// The list of all kinds, in sinks/registry.cpp: the one line a new sink adds.
const std::vector<SinkType>& sink_types();
const SinkType* find_sink_type(std::string_view name_or_alias);
/// The same list as the configuration sees it.
std::vector<ComponentType> sink_component_types();

}  // namespace weir
