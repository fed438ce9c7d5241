#include "agent/app/reloader.h"

#include <algorithm>
#include <future>

#include "agent/app/sandbox_rules.h"
#include "agent/core/log.h"
#include "agent/core/thread_name.h"
#include "agent/ingest/listeners.h"
#include "agent/sinks/sink.h"

namespace weir {
namespace {

constexpr auto kDrainPoll = std::chrono::milliseconds(10);
/// How long a plan waits for the records of sinks that would go; a reload waits for drain_timeout.
constexpr int64_t kPlanPatienceMax = 1'000'000'000;

/// What a configuration says, or what is wrong with it: the same for the same.
std::string seen_in(const LoadedConfig& loaded) {
  if (loaded.config) return loaded.config->hash;
  std::string mistakes;
  for (const ConfigError& e : loaded.errors) mistakes += e.text() + '\n';
  return mistakes;
}

}  // namespace

Reloader::Reloader(Topology& topology, ConfigRequest request, const Clock& clock,
                   std::optional<Sandbox> sandbox)
    : topology_(topology), request_(std::move(request)), clock_(clock), sandbox_(std::move(sandbox)) {
  state_.sandbox = sandbox_;
}

Reloader::~Reloader() { stop(); }

void Reloader::stop() {
  if (!thread_.joinable()) return;
  thread_.request_stop();
  thread_.join();
  std::lock_guard lock(mutex_);
  stopped_ = true;
  waiting_.clear();  // their answers belong to an io_context that ends before we do
  undrained_.clear();
}

Result<void> Reloader::start(const LoadedConfig& loaded) {
  const Config& config = *loaded.config;
  auto applied = topology_.apply(config, topology_.plan(config, {}, 0));
  if (!applied) return tl::unexpected(applied.error());
  state_.generation = 1;
  state_.config_hash = config.hash, state_.config_files = config.files;
  state_.last_time_ns = clock_.wall_ns();
  state_.results = {{"applied", 0}, {"unchanged", 0}, {"refused", 0}};
  state_.last = {1, "applied", config.hash, {}, *applied};
  inputs_ = loaded.inputs;
  seen_ = seen_in(loaded);
  thread_ = std::jthread([this](std::stop_token stop) { run(stop); });
  return {};
}

void Reloader::request(ReloadRequest request, Done done) {
  std::lock_guard lock(mutex_);
  if (stopped_) return;
  waiting_.push_back({std::move(request), std::move(done)});
  wanted_.notify_one();
}

ReloadState Reloader::state() const {
  std::lock_guard lock(mutex_);
  return state_;
}

std::vector<ConfigInput> Reloader::look() {
  auto promise = std::make_shared<std::promise<void>>();
  const auto answered = promise->get_future();
  request({ReloadRequest::Kind::look},
          [promise = std::move(promise)](const ReloadResult&) { promise->set_value(); });
  answered.wait();
  std::lock_guard lock(mutex_);
  return inputs_;
}

void Reloader::run(std::stop_token stop) {
  name_this_thread("apply");
  const auto asked = [&] { return !waiting_.empty(); };
  while (true) {
    std::unique_lock lock(mutex_);
    if (undrained_.empty())
      wanted_.wait(lock, stop, asked);
    else
      wanted_.wait_for(lock, stop, kDrainPoll, asked);
    if (stop.stop_requested()) return;
    auto requests = std::move(waiting_);
    waiting_.clear();
    lock.unlock();
    serve(std::move(requests));
    answer_drained();
  }
}

/// Neighbours that ask for the same are made one: what the second would do, the first does.
void Reloader::serve(std::vector<Waiting> requests) {
  const auto alike = [](const ReloadRequest& a, const ReloadRequest& b) {
    return a.kind == b.kind && a.options == b.options && a.files == b.files;
  };
  for (size_t i = 0; i < requests.size();) {
    std::vector<Waiting> group;
    for (; i < requests.size() && (group.empty() || alike(group[0].request, requests[i].request)); ++i)
      group.push_back(std::move(requests[i]));
    answer(std::move(group));
  }
}

void Reloader::answer(std::vector<Waiting> alike) {
  const ReloadRequest& request = alike[0].request;
  ReloadResult result;
  if (request.kind == ReloadRequest::Kind::plan) {
    result = plan(request);
  } else {
    LoadedConfig loaded = load(request_);
    {
      std::lock_guard lock(mutex_);
      inputs_ = std::move(loaded.inputs);
    }
    if (request.kind == ReloadRequest::Kind::reload || is_new(loaded))
      result = reload(std::move(loaded), request.options);
  }
  Undrained later{topology_.replaced_sinks(result.components), topology_.journal().end(), result, {}};
  for (Waiting& w : alike) {
    if (w.request.wait && result.result == "applied")
      later.done.push_back(std::move(w.done));
    else
      w.done(result);
  }
  if (!later.done.empty()) undrained_.push_back(std::move(later));
}

void Reloader::answer_drained() {
  std::erase_if(undrained_, [&](Undrained& u) {
    if (!topology_.passed(u.sinks, u.end)) return false;
    for (const Done& done : u.done) done(u.result);
    return true;
  });
}

/// With what lies outside of the sandbox among its mistakes.
LoadedConfig Reloader::load(const ConfigRequest& request) const {
  LoadedConfig loaded = load_config(request, listener_component_types(), sink_component_types());
  if (!sandbox_) return loaded;
  std::vector<ConfigError> outside = outside_of(*sandbox_, loaded.paths);
  if (outside.empty()) return loaded;
  loaded.config.reset();
  std::ranges::move(outside, std::back_inserter(loaded.errors));
  return loaded;
}

bool Reloader::is_new(const LoadedConfig& loaded) const { return seen_in(loaded) != seen_; }

/// A good file that must not be applied all the same: what is wrong has no place in it.
void Reloader::refuse(ReloadResult& result, const std::vector<std::string>& reasons) {
  result.result = "refused";
  for (const std::string& why : reasons) {
    ConfigError error;
    error.message = why;
    result.errors.push_back(std::move(error));
  }
}

Result<ConfigExplanation> Reloader::explain(std::string_view key) const {
  const LoadedConfig loaded = load(request_);
  if (!loaded.config || loaded.config->hash != state().config_hash)
    return fail(
        "the files say something else than the configuration that runs: `weir config explain` reads them, "
        "`weir reload` applies them");
  std::vector<std::string> known;
  auto found = explain_config(request_, *loaded.config, listener_component_types(), sink_component_types(),
                              key, known);
  if (found) return std::move(*found);
  const std::vector<std::string_view> words(known.begin(), known.end());
  const std::string_view near = did_you_mean(key, words);
  return fail("there is no " + std::string(key) +
              (near.empty() ? "" : "; did you mean " + std::string(near) + "?"));
}

ReloadResult Reloader::plan(const ReloadRequest& asked) {
  ConfigRequest request = request_;
  if (!asked.files.empty()) request.files = asked.files;
  LoadedConfig loaded = load(request);
  const ReloadState state = this->state();
  ReloadResult result{state.generation, "changes"};
  if (!loaded.config) {
    result.result = "refused";
    result.errors = std::move(loaded.errors);
    return result;
  }
  const int64_t patience = std::min(loaded.config->drain_timeout_ns, kPlanPatienceMax);
  TopologyPlan plan = topology_.plan(*loaded.config, asked.options, patience);
  result.config_hash = loaded.config->hash;
  result.components = std::move(plan.components);
  if (result.config_hash == state.config_hash) result.result = "unchanged";
  if (!plan.refused.empty()) refuse(result, plan.refused);
  return result;
}

ReloadResult Reloader::reload(LoadedConfig loaded, const ApplyOptions& options) {
  ReloadState state = this->state();
  ReloadResult result{state.generation, "refused"};
  seen_ = seen_in(loaded);
  if (!loaded.config) {
    result.errors = std::move(loaded.errors);
  } else if (loaded.config->hash == state.config_hash) {
    result.result = "unchanged";
  } else {
    const Config& config = *loaded.config;
    TopologyPlan plan = topology_.plan(config, options, config.drain_timeout_ns);
    result.components = plan.components;
    if (!plan.refused.empty()) {
      std::erase_if(result.components, [](const auto& c) { return c.second.result != "refused"; });
      refuse(result, plan.refused);
    } else if (auto applied = topology_.apply(config, std::move(plan)); !applied) {
      result.components.clear();
      refuse(result, {applied.error().message});
    } else {
      result.result = "applied";
      result.components = std::move(*applied);
      result.generation = ++state.generation;
      state.config_hash = config.hash;
      state.config_files = config.files;
      for (const std::string& note : config.notes) log::warn("{}", note);
    }
  }
  for (const ConfigError& e : result.errors)
    log::error("reload: {}", e.where.file.empty() && e.path.empty() ? e.message : e.text());
  log::info("reload: {}, generation {}", result.result, result.generation);
  result.config_hash = state.config_hash;
  state.last_time_ns = clock_.wall_ns();
  state.last = result;
  ++state.results[result.result];
  std::lock_guard lock(mutex_);
  state_ = std::move(state);
  return result;
}

}  // namespace weir
