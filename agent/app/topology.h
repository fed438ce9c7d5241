#pragma once
#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include "agent/app/pipe_thread.h"
#include "agent/app/topology_plan.h"
#include "agent/config/config.h"
#include "agent/ingest/listener.h"
#include "agent/journal/journal.h"
#include "agent/pipeline/pipeline.h"
#include "agent/sinks/sink_runner.h"

namespace weir {

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

/// Everything that runs. Start is reload: apply() is the only way in (architecture.md section 1). plan(),
/// apply() and stop() from one thread at a time; status() from any but the pipe thread.
class Topology {
 public:
  /// `journal` is the one that `first` asks for.
  Topology(const Config& first, std::unique_ptr<Journal> journal, const Clock& clock, Io& io);
  ~Topology();

  /// What apply() would do. Waits for the records of sinks that would be removed as apply() does, but at most
  /// `patience_ns`; touches nothing else.
  TopologyPlan plan(const Config& config, const ApplyOptions& options, int64_t patience_ns);
  /// Builds what is new beside what runs, swaps between two turns, then lets the old go. `plan` is of this
  /// configuration, and nothing was applied since it was made. The components as they went, or an error:
  /// nothing was touched.
  Result<std::map<std::string, ComponentChange>> apply(const Config& config, TopologyPlan plan);
  /// Which sinks may still hand out what lay before the last apply().
  std::vector<std::string> replaced_sinks(const std::map<std::string, ComponentChange>& components) const;
  /// Have these sinks passed that position, or gone?
  bool passed(const std::vector<std::string>& sinks, Position position);
  /// Empties the connections (at most 500 ms), drains the sinks (at most drain_timeout), stops all.
  /// How many accepted records stay undelivered.
  uint64_t stop();
  /// The agent is about to stop: a plan that waits gives up waiting. Any thread.
  void interrupt() { stopping_.request_stop(); }

  /// SIGUSR1: every sink opens its output anew before its next batch.
  void reopen_sinks();
  /// Of the configuration that runs, or of one before and still draining; null: there is none of that name.
  /// A reload may stop it any time, and put another in its place.
  std::shared_ptr<SinkRunner> find_sink(const std::string& name) const;
  /// A sink of the configuration that runs is paused, or goes on; it stays so when a reload changes it. Its
  /// options, or nothing: there is no sink of that name.
  std::optional<Settings> set_paused(const std::string& name, bool paused);
  std::vector<std::string> sink_names() const;  ///< of the configuration that runs
  TopologyStatus status();
  std::vector<std::string> addresses();
  Config config() const;  ///< the one that runs
  Journal& journal() { return *journal_; }

 private:
  struct RunningSink {
    ComponentConfig config;
    StreamSet streams;
    std::shared_ptr<SinkRunner> runner;
  };
  void plan_sources(const Config& config, TopologyPlan& plan);
  void plan_streams(const Config& config, TopologyPlan& plan) const;
  void plan_sinks(const Config& config, TopologyPlan& plan, int64_t patience_ns);
  ComponentChange plan_new_sink(const ComponentConfig& config) const;
  void plan_removed_sink(const RunningSink& sink, TopologyPlan& plan, bool in_time, bool more_time) const;
  void plan_sections(const Config& config, TopologyPlan& plan) const;
  void check_reachable(const Config& config, TopologyPlan& plan) const;
  Result<void> start_sources(TopologyPlan& plan);
  void swap_sinks(const Config& config, TopologyPlan& plan);
  bool remove_sink(RunningSink& sink, const ApplyOptions& options, ComponentChange& change);
  void take_back_draining(const Config& config);
  void swap_pipeline(const Config& config);
  void add_processors(const StreamConfig& config, std::shared_ptr<ContextMemory> contexts,
                      PipelineStream& stream) const;
  void retire(std::vector<std::shared_ptr<Source>> sources);
  std::shared_ptr<SinkRunner> make_runner(const ComponentConfig& config, StreamSet streams, SinkPlace place);
  Quarantine& quarantine_of(const std::string& sink);
  void forget_drained();
  void on_progress();

  const Clock& clock_;
  Io& io_;
  const std::string data_dir_, control_path_, metrics_place_, journal_place_,
      sandbox_place_;  // of the start; a change needs a restart
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
  std::set<std::string> paused_;  // names of sinks_
  bool applied_ = false;
  std::stop_source stopping_;
  std::atomic<bool> progress_posted_ = false;
};

/// Which streams go to the sink; those that are disabled have no records.
StreamSet streams_of(const Config& config, const std::string& sink);

/// The context diff and whitelist in force, and disabled streams, for welcome and policy lines.
std::string policy_of(const Config& config);

}  // namespace weir
