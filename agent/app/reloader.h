#pragma once
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "agent/app/topology.h"
#include "agent/core/sandbox.h"

namespace weir {

/// What a reload came to (interface.md section 7).
struct ReloadResult {
  uint64_t generation = 0;
  std::string result;  ///< applied | unchanged | refused
  std::vector<ConfigError> errors;
  ApplyReport report;
};

/// Which configuration runs, and how it came to that.
struct ReloadState {
  uint64_t generation = 0;
  std::string config_hash;
  std::vector<std::string> config_files;
  int64_t last_time_ns = 0;
  std::map<std::string, uint64_t> results;  ///< how many reloads ended so; the start is none
  ReloadResult last;
  std::optional<Sandbox> sandbox;  ///< of the start; nothing: none
};

/// The `apply` thread: one configuration change at a time, so that a slow check never stalls health
/// (architecture.md section 4). Requests that come while one runs are made one; the options of the last win;
/// everybody gets an answer.
class Reloader {
 public:
  Reloader(Topology& topology, ConfigRequest request, const Clock& clock, std::optional<Sandbox> sandbox);
  ~Reloader();
  /// The first configuration, on the caller's thread. Error: nothing runs.
  Result<void> start(const Config& config);
  /// `done` is called on the apply thread.
  void request(ApplyOptions options, std::function<void(const ReloadResult&)> done);
  /// No reload begins after this; waits for one that runs.
  void stop();
  ReloadState state() const;

 private:
  void run(std::stop_token stop);
  ReloadResult reload(const ApplyOptions& options);

  Topology& topology_;
  const ConfigRequest request_;
  const Clock& clock_;
  mutable std::mutex mutex_;
  std::condition_variable_any wanted_;
  std::vector<std::pair<ApplyOptions, std::function<void(const ReloadResult&)>>> waiting_;
  ReloadState state_;
  std::jthread thread_;
};

}  // namespace weir
