#include "agent/app/reloader.h"

#include "agent/app/sandbox_rules.h"
#include "agent/core/log.h"
#include "agent/ingest/listeners.h"
#include "agent/sinks/sink.h"

namespace weir {

Reloader::Reloader(Topology& topology, ConfigRequest request, const Clock& clock,
                   std::optional<Sandbox> sandbox)
    : topology_(topology), request_(std::move(request)), clock_(clock) {
  state_.sandbox = std::move(sandbox);
}

Reloader::~Reloader() { stop(); }

void Reloader::stop() {
  if (!thread_.joinable()) return;
  thread_.request_stop();
  thread_.join();
  std::lock_guard lock(mutex_);
  waiting_.clear();  // their answers belong to an io_context that ends before we do
}

Result<void> Reloader::start(const Config& config) {
  auto applied = topology_.apply(config, {});
  if (!applied) return tl::unexpected(applied.error());
  state_.generation = 1;
  state_.config_hash = config.hash, state_.config_files = config.files;
  state_.last_time_ns = clock_.wall_ns();
  state_.results = {{"applied", 0}, {"unchanged", 0}, {"refused", 0}};
  state_.last = {1, "applied", {}, *applied};
  thread_ = std::jthread([this](std::stop_token stop) { run(stop); });
  return {};
}

void Reloader::request(ApplyOptions options, std::function<void(const ReloadResult&)> done) {
  std::lock_guard lock(mutex_);
  waiting_.emplace_back(options, std::move(done));
  wanted_.notify_one();
}

ReloadState Reloader::state() const {
  std::lock_guard lock(mutex_);
  return state_;
}

void Reloader::run(std::stop_token stop) {
  while (true) {
    std::unique_lock lock(mutex_);
    wanted_.wait(lock, stop, [&] { return !waiting_.empty(); });
    if (stop.stop_requested()) return;
    auto requests = std::move(waiting_);
    waiting_.clear();
    lock.unlock();
    ReloadResult result = reload(requests.back().first);
    for (auto& [options, done] : requests) done(result);
  }
}

ReloadResult Reloader::reload(const ApplyOptions& options) {
  ReloadResult result;
  LoadedConfig loaded = load_config(request_, listener_component_types(), sink_component_types());
  ReloadState state = this->state();
  result.generation = state.generation;
  std::vector<ConfigError> outside;
  if (state.sandbox) outside = outside_of(*state.sandbox, loaded.paths);
  if (!loaded.config || !outside.empty()) {
    result.result = "refused";
    result.errors = std::move(loaded.errors);
    result.errors.insert(result.errors.end(), outside.begin(), outside.end());
    for (const ConfigError& e : result.errors) log::error("reload: {}", e.text());
  } else if (loaded.config->hash == state.config_hash) {
    result.result = "unchanged";
  } else if (auto applied = topology_.apply(*loaded.config, options)) {
    result.result = "applied";
    result.report = *applied;
    result.generation = ++state.generation;
    state.config_hash = loaded.config->hash;
    state.config_files = loaded.config->files;
    for (const std::string& note : loaded.config->notes) log::warn("{}", note);
  } else {
    result.result = "refused";
    ConfigError error;
    error.message = applied.error().message;
    log::error("reload: {}", error.message);
    result.errors.push_back(std::move(error));
  }
  log::info("reload: {}, generation {}", result.result, result.generation);
  state.last_time_ns = clock_.wall_ns();
  state.last = result;
  ++state.results[result.result];
  std::lock_guard lock(mutex_);
  state_ = std::move(state);
  return result;
}

}  // namespace weir
