// What a configuration would change, and why it would be refused. Everything that can be known before
// something is touched is asked here, for `weir plan` and for a reload alike.
#include "agent/app/topology_plan.h"

#include <algorithm>
#include <future>

#include "agent/app/topology.h"
#include "agent/core/check.h"
#include "agent/sinks/common_options.h"

namespace weir {
namespace {

constexpr int64_t kStopCheckedEvery = 50'000'000;

std::string counted(uint64_t n, const char* one, const char* many) {
  return std::to_string(n) + " " + (n == 1 ? one : many);
}

std::string records_text(uint64_t n) { return counted(n, "record", "records"); }

/// Names of the options that differ; never their values, which may be secret.
std::vector<std::string> differing(const Settings& from, const Settings& to) {
  std::vector<std::string> names;
  for (const auto& [name, value] : to.values()) {
    const auto before = from.values().find(name);
    if (before == from.values().end() || !(before->second == value)) names.push_back(name);
  }
  return names;
}

std::vector<std::string> differing(const ComponentConfig& from, const ComponentConfig& to) {
  std::vector<std::string> names;
  if (from.name != to.name) names.emplace_back("name");
  if (from.type != to.type) return names.emplace_back("type"), names;
  for (std::string& name : differing(from.settings, to.settings)) names.push_back(std::move(name));
  return names;
}

std::vector<std::string> differing(const StreamConfig& from, const StreamConfig& to) {
  std::vector<std::string> names;
  if (from.enabled != to.enabled) names.emplace_back("enabled");
  if (from.signature != to.signature) names.emplace_back("signature");
  if (from.context_diff != to.context_diff) names.emplace_back("context_diff");
  if (!(from.set == to.set)) names.emplace_back("set");
  if (from.redact != to.redact) names.emplace_back("redact");
  if (from.sample != to.sample) names.emplace_back("sample");
  if (from.sinks != to.sinks) names.emplace_back("sinks");
  return names;
}

bool named(const std::vector<ComponentConfig>& list, const std::string& name) {
  return std::ranges::any_of(list, [&](const ComponentConfig& c) { return c.name == name; });
}

void set_lag(ComponentChange& change, const SinkStatus& status) {
  change.lag_records = status.lag_records, change.lag_bytes = status.lag_bytes;
}

/// In slices, so that the end of the agent is not held up.
bool wait_until_drained(SinkRunner& runner, const Clock& clock, int64_t deadline_ns, Position upto,
                        const std::stop_token& stop) {
  while (!runner.wait_drained(std::min(deadline_ns, clock.monotonic_ns() + kStopCheckedEvery), upto))
    if (stop.stop_requested() || runner.paused() || clock.monotonic_ns() >= deadline_ns) return false;
  return true;
}

}  // namespace

StreamSet streams_of(const Config& config, const std::string& sink) {
  StreamSet set;
  for (Stream s : kStreams)
    if (config.streams[size_t(s)].enabled && std::ranges::count(config.streams[size_t(s)].sinks, sink))
      set.add(s);
  return set;
}

TopologyPlan Topology::plan(const Config& config, const ApplyOptions& options, int64_t patience_ns) {
  TopologyPlan plan;
  plan.options = options;
  plan_sources(config, plan);
  plan_streams(config, plan);
  plan_sinks(config, plan, patience_ns);
  if (options.require_reachable) check_reachable(config, plan);
  if (applied_) plan_sections(config, plan);
  return plan;
}

/// Finds what listens already (the same kind at the same address); the rest is to be started.
void Topology::plan_sources(const Config& config, TopologyPlan& plan) {
  std::vector<RunningSource> old = sources_;
  const auto connections = [&](const RunningSource& s, const char* what) {
    const uint64_t n = pipe_.call([&] { return s.source->stats()->connections; });
    return n == 0 ? std::string() : counted(n, "connection", "connections") + what;
  };
  for (const ComponentConfig& c : config.listen) {
    const ListenerType* type = find_listener_type(c.type);
    WEIR_CHECK(type);
    const auto address = [&](const Settings& s) { return s.text(type->address_option); };
    const auto same = std::ranges::find_if(old, [&](const RunningSource& r) {
      return r.config.type == c.type && address(r.config.settings) == address(c.settings);
    });
    const std::string name = "listen." + c.name;
    RunningSource source{c, nullptr};
    if (same != old.end()) {
      source.source = same->source;
      plan.components[name] = {same->config == c ? "keep" : "change", "ok",
                               connections(*same, same->config == c ? "" : " stay open"),
                               differing(same->config, c)};
      plan.kept.push_back(source);
      old.erase(same);
    } else {
      const auto holder = std::ranges::find_if(old, [&](const RunningSource& r) {
        const ListenerType* other = find_listener_type(r.config.type);
        return r.config.settings.text(other->address_option) == address(c.settings);
      });
      source.source =
          make_listener(*type, c.name, c.settings, ingest_, holder == old.end() ? nullptr : holder->source);
      plan.components[name] = {"create", "ok", c.type + ":" + address(c.settings)};
      plan.created.push_back(source);
    }
    if (auto checked = pipe_.call([&] { return source.source->check(c.settings); }); !checked)
      plan.refuse(name, checked.error().message);
    plan.sources.push_back(std::move(source));
  }
  for (const RunningSource& r : old) {
    auto [component, first] =
        plan.components.try_emplace("listen." + r.config.name, ComponentChange{"remove"});
    std::string& message = component->second.message;
    const std::string closed = connections(r, " there read until empty, then closed");
    if (!first) component->second.action = "change", message += ", before at " + r.source->address();
    message += (message.empty() || closed.empty() ? "" : "; ") + closed;
    plan.removed.push_back(r.source);
  }
}

void Topology::plan_streams(const Config& config, TopologyPlan& plan) const {
  for (Stream s : kStreams) {
    const StreamConfig& to = config.streams[size_t(s)];
    ComponentChange& change = plan.components["streams." + std::string(stream_name(s))];
    change.action = "create";
    if (!applied_) continue;
    change.options = differing(config_.streams[size_t(s)], to);
    change.action = change.options.empty() ? "keep" : "change";
    if (!change.options.empty()) change.message = "for records that come from then on";
  }
}

void Topology::plan_sinks(const Config& config, TopologyPlan& plan, int64_t patience_ns) {
  for (const ComponentConfig& c : config.sinks) {
    const std::string name = "sinks." + c.name;
    const auto running =
        std::ranges::find_if(sinks_, [&](const RunningSink& s) { return s.config.name == c.name; });
    const bool same = running != sinks_.end() && running->config == c;
    if (running == sinks_.end()) {
      plan.components[name] = plan_new_sink(c);
    } else {
      const bool reads_the_same = running->streams == streams_of(config, c.name);
      ComponentChange& change = plan.components[name] = {same && reads_the_same ? "keep" : "change"};
      change.options = differing(running->config, c);
      if (!reads_the_same) change.options.emplace_back("streams");
      set_lag(change, running->runner->status());
      if (!same && change.lag_records > 0)
        change.message = records_text(change.lag_records) + " that wait go the new way";
      else if (!reads_the_same)
        change.message = "what was routed before stays its own";
    }
    // At the start a sink without its files is down and the others run; a reload that brings it is refused.
    const SinkType* type = find_sink_type(c.type);
    if (!applied_ || same || !type->check) continue;
    if (auto checked = type->check(c.settings); !checked) plan.refuse(name, checked.error().message);
  }
  const int64_t deadline = clock_.monotonic_ns() + patience_ns;
  const Position now = journal_->end();
  for (const RunningSink& s : sinks_) {
    if (named(config.sinks, s.config.name)) continue;
    const bool asked = plan.options.drain || plan.options.drop_lag;
    const bool in_time = asked || wait_until_drained(*s.runner, clock_, deadline, now, stopping_.get_token());
    const bool more_time = patience_ns < config.drain_timeout_ns && !s.runner->paused();
    plan_removed_sink(s, plan, in_time, more_time);
  }
  std::lock_guard lock(mutex_);
  for (const auto& runner : draining_) {
    const auto [change, added] = plan.components.try_emplace("sinks." + runner->name());
    if (!added) continue;
    change->second = {"drain", "draining", "was removed before, and still delivers"};
    set_lag(change->second, runner->status());
  }
}

ComponentChange Topology::plan_new_sink(const ComponentConfig& c) const {
  if (!applied_) return {"create"};
  std::lock_guard lock(mutex_);
  for (const auto& runner : draining_)
    if (runner->name() == c.name) {
      ComponentChange change{"create", "ok", "goes on where the one before drains"};
      set_lag(change, runner->status());
      return change;
    }
  if (std::ranges::count(journal_->waiting_places(), c.name))
    return {"create", "ok", "goes on from its place in the journal"};
  const bool oldest = start_of(c.settings) == StartAt::oldest;
  return {
      "create", "ok",
      oldest ? "starts with the oldest record of the journal" : "starts with records that come from then on"};
}

/// A sink may only be taken away when its records are safe. `in_time`: those that were there when the request
/// came are delivered, or it does not matter. `more_time`: apply() would wait longer than we have.
void Topology::plan_removed_sink(const RunningSink& s, TopologyPlan& plan, bool in_time,
                                 bool more_time) const {
  const std::string name = "sinks." + s.config.name;
  const SinkStatus status = s.runner->status();
  ComponentChange& change = plan.components[name] = {"remove"};
  set_lag(change, status);
  const std::string lag = records_text(status.lag_records);
  if (!in_time && !more_time) {
    const std::string why = status.state == "paused" ? "it is paused" : status.last_error;
    plan.refuse(name, "would be removed with " + lag + " undelivered" +
                          (why.empty() ? "" : " (" + why + ")") +
                          ": deliver them first (--drain), or give them up (--drop-lag)");
  } else if (plan.options.drop_lag && status.lag_records > 0) {
    change.message = "its " + lag + " are given up";
  } else if (status.lag_records > 0) {
    change.action = "drain";
    change.message = "delivers its " + lag + " first";
    if (!in_time) change.message += ", within drain_timeout; else the reload is refused";
  }
}

/// The rest of the configuration: what takes effect at once, and what only a restart changes.
void Topology::plan_sections(const Config& config, TopologyPlan& plan) const {
  const auto section = [&](const char* name, std::vector<std::string> options) {
    if (!options.empty()) plan.components[name] = {"change", "ok", "", std::move(options)};
  };
  section("journal", differing(config_.journal, config.journal));
  section("limits", differing(config_.limits, config.limits));
  section("clients", differing(config_.clients, config.clients));
  section("quarantine", differing(config_.quarantine, config.quarantine));
  section("log", differing(config_.log, config.log));
  if (config_.drain_timeout_ns != config.drain_timeout_ns) plan.components["drain_timeout"] = {"change"};
  const auto restart = [&](const char* name, const std::string& from, const std::string& to) {
    if (from != to)
      plan.components[name] = {"keep", "needs a restart",
                               "stays at " + from + " until the agent is restarted"};
  };
  restart("data_dir", data_dir_, config.data_dir);
  restart("control", control_path_, config.control_path);
  restart("metrics", metrics_place_, metrics_place(config));
  restart("journal", journal_place_, journal_place(config));
  restart("sandbox", sandbox_place_, sandbox_place(config));
}

/// All at once, where there are threads for it: each may take as long as its connect_timeout.
void Topology::check_reachable(const Config& config, TopologyPlan& plan) const {
  std::vector<std::pair<std::string, std::future<Result<void>>>> asked;
  for (const ComponentConfig& c : config.sinks) {
    const SinkType* type = find_sink_type(c.type);
    if (!type->reach) continue;
    asked.emplace_back("sinks." + c.name,
                       std::async(std::launch::async | std::launch::deferred, [this, type, &c] {
                         return type->reach(c.settings, clock_, stopping_.get_token());
                       }));
  }
  for (auto& [name, answer] : asked)
    if (auto reached = answer.get(); !reached)
      plan.refuse(name, "cannot be reached: " + reached.error().message);
}

}  // namespace weir
