#pragma once
#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "agent/app/pipe_thread.h"
#include "agent/config/config.h"
#include "agent/ingest/listener.h"
#include "agent/journal/journal.h"
#include "agent/pipeline/pipeline.h"
#include "agent/sinks/sink_runner.h"

namespace weir {

/// What an apply did with one listener, stream or sink.
struct ComponentResult {
  std::string action;  ///< create | keep | change | remove
  std::string result;  ///< ok | draining | failed | needs a restart
  std::string message;
};

struct ApplyOptions {
  bool drain = false;     ///< a removed sink may deliver what it has, however long it takes
  bool drop_lag = false;  ///< or its records are given up
  bool wait = false;      ///< return only when replaced and removed sinks have drained
};

struct ApplyReport {
  std::map<std::string, ComponentResult> components;  ///< `listen.NAME`, `streams.NAME`, `sinks.NAME`
};

/// One moment of everything (interface.md section 4).
struct TopologyStatus {
  std::vector<SourceStats> sources;
  std::array<StreamStats, kStreamCount> streams{};
  std::array<bool, kStreamCount> enabled{};
  JournalStatus journal;
  std::vector<SinkStatus> sinks;
  LatencySnapshot journalled, acknowledged;
  std::vector<ClientState> clients;  ///< most recently seen first, at most 1,000
  int64_t conservation_error() const;
};

/// Everything that runs. Start is reload: apply() is the only way in (architecture.md section 1). apply() and
/// stop() from one thread at a time; status() from any but the pipe thread.
class Topology {
 public:
  /// `journal` is the one that `first` asks for.
  Topology(const Config& first, std::unique_ptr<Journal> journal, const Clock& clock, Io& io);
  ~Topology();

  /// Builds what is new beside what runs, swaps between two turns, then lets the old go. An error: nothing
  /// was touched.
  Result<ApplyReport> apply(const Config& config, const ApplyOptions& options);
  /// Empties the connections (at most 500 ms), drains the sinks (at most drain_timeout), stops all.
  /// How many accepted records stay undelivered.
  uint64_t stop();
  /// The agent is about to stop: an apply that waits gives up waiting. Any thread.
  void interrupt() { stopping_ = true; }

  /// SIGUSR1: every sink opens its output anew before its next batch.
  void reopen_sinks();
  TopologyStatus status();
  std::vector<std::string> addresses();
  Journal& journal() { return *journal_; }

 private:
  struct RunningSource {
    ComponentConfig config;
    std::shared_ptr<Source> source;
  };
  struct RunningSink {
    ComponentConfig config;
    StreamSet streams;
    std::shared_ptr<SinkRunner> runner;
  };
  struct SourcePlan {
    std::vector<RunningSource> next, created;
    std::vector<std::shared_ptr<Source>> removed;
  };
  Result<SourcePlan> plan_sources(const Config& config, ApplyReport& report);
  Result<void> check_changed_sinks(const Config& config) const;
  Result<void> check_removed_sinks(const Config& config, const ApplyOptions& options);
  void swap_sinks(const Config& config, const ApplyOptions& options, ApplyReport& report);
  SinkPlace take_draining(const std::string& name);
  void swap_pipeline(const Config& config, ApplyReport& report);
  void add_processors(const StreamConfig& config, std::shared_ptr<ContextMemory> contexts,
                      PipelineStream& stream) const;
  void retire(std::vector<std::shared_ptr<Source>> sources);
  void report_restarts(const Config& config, ApplyReport& report);
  std::shared_ptr<SinkRunner> make_runner(const ComponentConfig& config, StreamSet streams, SinkPlace place);
  Quarantine& quarantine_of(const std::string& sink);
  void forget_drained();
  void on_progress();
  void wait_for_replaced(const ApplyReport& report);

  const Clock& clock_;
  Io& io_;
  const std::string data_dir_, control_path_, metrics_place_,
      journal_place_;  // of the start; a change needs a restart
  Quarantine rejected_;
  std::map<std::string, std::unique_ptr<Quarantine>> sink_quarantines_;
  std::unique_ptr<Journal> journal_;
  std::shared_ptr<ContextMemory> contexts_[kStreamCount];
  ReadBuffer read_buffer_;
  std::unique_ptr<Pipeline> pipeline_;
  PipeThread pipe_;  // after all that its thread uses
  IntakeGate gate_;
  IngestContext ingest_;

  mutable std::mutex mutex_;  // what status() reads while apply() changes it
  Config config_;
  std::vector<RunningSource> sources_;
  std::vector<RunningSink> sinks_;
  std::vector<std::shared_ptr<SinkRunner>> draining_;
  bool applied_ = false;
  std::atomic<bool> stopping_ = false;
  std::atomic<bool> progress_posted_ = false;
};

/// The context diff and whitelist in force, and disabled streams, for welcome and policy lines.
std::string policy_of(const Config& config);

}  // namespace weir
