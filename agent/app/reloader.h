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

/// What a reload or a plan came to (interface.md section 7).
struct ReloadResult {
  uint64_t generation = 0;  ///< that runs
  std::string result;       ///< applied (changes: of a plan) | unchanged | refused
  /// Of what runs; of a plan, of what was read, empty where that has mistakes.
  std::string config_hash = {};
  std::vector<ConfigError> errors = {};
  std::map<std::string, ComponentChange> components = {};
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

struct ReloadRequest {
  enum class Kind {
    reload,
    look,  ///< reload, if what the files say is not what they said at the last reload, good or bad
    plan,  ///< touches nothing
  } kind = Kind::reload;
  ApplyOptions options = {};
  bool wait = false;  ///< reload: the answer comes when replaced and removed sinks have drained
  std::vector<std::string> files = {};  ///< plan: instead of those of the command line
};

/// The `apply` thread: one configuration change at a time, so that a slow check never stalls health
/// (architecture.md section 4). Requests that come while one runs and ask for the same are made one;
/// everybody gets an answer, in the order of asking but for those who wait for sinks.
class Reloader {
 public:
  using Done = std::function<void(const ReloadResult&)>;
  Reloader(Topology& topology, ConfigRequest request, const Clock& clock, std::optional<Sandbox> sandbox);
  ~Reloader();
  /// The first configuration, on the caller's thread. Error: nothing runs.
  Result<void> start(const LoadedConfig& loaded);
  /// Any thread. `done` is called on the apply thread, or destroyed when the agent stops before.
  void request(ReloadRequest request, Done done);
  /// No reload begins after this; waits for one that runs.
  void stop();
  ReloadState state() const;
  /// Where the value of a key comes from, in the configuration that runs. Error: there is no such key, or the
  /// files say something else by now.
  Result<ConfigExplanation> explain(std::string_view key) const;
  /// A request of that kind, answered when this returns: what was read, or missing, the last time. Not from
  /// the apply thread.
  std::vector<ConfigInput> look();

 private:
  struct Waiting {
    ReloadRequest request;
    Done done;
  };
  /// Answers that wait for sinks.
  struct Undrained {
    std::vector<std::string> sinks;
    Position end;
    ReloadResult result;
    std::vector<Done> done;
  };
  void run(std::stop_token stop);
  void serve(std::vector<Waiting> requests);
  void answer(std::vector<Waiting> alike);
  void answer_drained();
  ReloadResult plan(const ReloadRequest& request);
  bool is_new(const LoadedConfig& loaded) const;
  ReloadResult reload(LoadedConfig loaded, const ApplyOptions& options);
  void refuse(ReloadResult& result, const std::vector<std::string>& reasons);
  LoadedConfig load(const ConfigRequest& request) const;

  Topology& topology_;
  const ConfigRequest request_;
  const Clock& clock_;
  const std::optional<Sandbox> sandbox_;
  mutable std::mutex mutex_;
  std::condition_variable_any wanted_;
  std::vector<Waiting> waiting_;
  bool stopped_ = false;
  ReloadState state_;
  std::vector<ConfigInput> inputs_;
  std::vector<Undrained> undrained_;  // of the apply thread, as the next one
  std::string seen_;                  // what the last reload read: a hash, or the mistakes
  std::jthread thread_;
};

}  // namespace weir
