// From what runs to what a plan says.
#include <algorithm>

#include "agent/app/topology.h"
#include "agent/core/check.h"
#include "agent/core/log.h"
#include "agent/sinks/common_options.h"

namespace weir {
namespace {

constexpr int64_t kFlushBeforeChange = 200'000'000;

}  // namespace

Result<std::map<std::string, ComponentChange>> Topology::apply(const Config& config, TopologyPlan plan) {
  if (!plan.refused.empty()) {
    std::string all;
    for (const std::string& why : plan.refused) all += (all.empty() ? "" : "; ") + why;
    return fail(all);
  }
  // At the start nothing may come in before there is something for it to go through.
  if (!applied_) pipe_.call([&] { gate_.close(); });
  if (auto started = start_sources(plan); !started) return tl::unexpected(started.error());

  const bool raw = config.quarantine.boolean("raw");
  rejected_.set_raw(raw);
  swap_sinks(config, plan);
  swap_pipeline(config);
  if (journal_place(config) == journal_place_)
    journal_->set_bytes_max(uint64_t(config.journal.integer("max_bytes")));
  if (!applied_ || !(config.log == config_.log)) log::set_level(config.log.text("level"));
  if (!applied_) {
    for (const std::string& name : journal_->waiting_places())
      log::warn("sink {} is not in the configuration any more; its place in the journal is kept for 24 h",
                name);
    pipe_.call([&] {
      for (const RunningSource& s : plan.sources) s.source->adopt();
      ingest_.kept.close_left();
      gate_.open();
    });
  }
  for (const auto& [name, change] : plan.components)
    if (change.result == "needs a restart")
      log::warn("{}: a change needs a restart; {}", name, change.message);
  {
    std::lock_guard lock(mutex_);
    sources_ = std::move(plan.sources);
    config_ = config;
    applied_ = true;
  }
  retire(std::move(plan.removed));
  forget_drained();
  return std::move(plan.components);
}

/// All or none of those that are new; only then those that run take their options.
Result<void> Topology::start_sources(TopologyPlan& plan) {
  for (const RunningSource& s : plan.created) {
    auto started = pipe_.call([&] { return s.source->start(*pipeline_); });
    if (!started) {
      pipe_.call([&] {
        for (const RunningSource& created : plan.created) created.source->stop();
      });
      return fail("listen." + s.config.name + ": " + started.error().message);
    }
    ComponentChange& change = plan.components["listen." + s.config.name];
    if (change.action == "create") change.message = s.source->address();
  }
  for (const RunningSource& s : plan.kept) {
    auto changed = pipe_.call([&] { return s.source->reconfigure(s.config.name, s.config.settings); });
    if (changed) continue;
    ComponentChange& change = plan.components["listen." + s.config.name];
    change.action = "change", change.result = "failed", change.message = changed.error().message;
  }
  return {};
}

std::shared_ptr<SinkRunner> Topology::make_runner(const ComponentConfig& config, StreamSet streams,
                                                  SinkPlace place) {
  const SinkType* type = find_sink_type(config.type);
  WEIR_CHECK(type);
  auto sink =
      type->make(config.settings, {config.name, io_, clock_, &quarantine_of(config.name), journal_->uuid()});
  if (!place.cursor)
    place.cursor =
        journal_->open_cursor(config.name, streams, start_of(config.settings), lag_limit_of(config.settings));
  else
    place.cursor->set_streams(streams), place.cursor->set_lag_limit(lag_limit_of(config.settings));
  return std::make_shared<SinkRunner>(config.name, config.type, streams, std::move(sink),
                                      BatchFilter::make(config.settings), std::move(place),
                                      quarantine_of(config.name), clock_);
}

/// Its records are safe, or may be given up; else it goes on until they are delivered: true.
bool Topology::remove_sink(RunningSink& s, const ApplyOptions& options, ComponentChange& change) {
  s.runner->end_here();
  if (s.runner->drained() || options.drop_lag) {
    const SinkPlace place = s.runner->stop();
    place.cursor->forget();
    uint64_t left = place.cursor->status().lag_records;
    if (left > 0) log::warn("sink {}: removed with {} records undelivered, as asked", s.config.name, left);
    return false;
  }
  change.action = "drain", change.result = "draining";
  return true;
}

void Topology::swap_sinks(const Config& config, TopologyPlan& plan) {
  std::vector<RunningSink> next;
  std::vector<std::shared_ptr<SinkRunner>> to_start, to_drain;
  take_back_draining(config);
  for (RunningSink& s : sinks_)
    if (std::ranges::none_of(config.sinks, [&](const auto& c) { return c.name == s.config.name; }) &&
        remove_sink(s, plan.options, plan.components["sinks." + s.config.name]))
      to_drain.push_back(s.runner);
  for (const ComponentConfig& c : config.sinks) {
    StreamSet streams = streams_of(config, c.name);
    auto running =
        std::ranges::find_if(sinks_, [&](const RunningSink& s) { return s.config.name == c.name; });
    if (running == sinks_.end()) {
      next.push_back({c, streams, make_runner(c, streams, {})});
      to_start.push_back(next.back().runner);
    } else if (running->config == c) {
      if (!(running->streams == streams)) running->runner->set_streams(streams);
      running->runner->flush();
      next.push_back({c, streams, running->runner});
    } else {
      if (running->runner->status().state == "ok")  // others would be waited for in vain
        running->runner->wait_drained(clock_.monotonic_ns() + kFlushBeforeChange, journal_->end());
      next.push_back({c, streams, make_runner(c, streams, running->runner->stop())});
      to_start.push_back(next.back().runner);
    }
  }
  {
    std::lock_guard lock(mutex_);
    sinks_ = std::move(next);
    draining_.insert(draining_.end(), to_drain.begin(), to_drain.end());
    std::erase_if(paused_, [&](const std::string& name) {
      return std::ranges::none_of(sinks_, [&](const RunningSink& s) { return s.config.name == name; });
    });
    for (RunningSink& s : sinks_)
      if (paused_.contains(s.config.name)) s.runner->set_paused(true);
  }
  for (auto& runner : to_start) runner->start();
}

/// A sink that comes back while its former self still drains goes on from there, as one that changes.
void Topology::take_back_draining(const Config& config) {
  std::lock_guard lock(mutex_);
  std::erase_if(draining_, [&](const std::shared_ptr<SinkRunner>& runner) {
    if (std::ranges::none_of(config.sinks, [&](const auto& c) { return c.name == runner->name(); }))
      return false;
    ComponentConfig before;
    before.name = runner->name();
    sinks_.push_back({std::move(before), {}, runner});
    return true;
  });
}

/// All of them read the original values, so their order is that of the fields they append (records.md section
/// 2): what the context diff computes, then what is set. Redaction is the way out of all of it.
void Topology::add_processors(const StreamConfig& c, std::shared_ptr<ContextMemory> contexts,
                              PipelineStream& stream) const {
  if (c.redact)
    stream.redactor =
        std::make_shared<Redactor>(*c.redact, c.context_diff ? c.context_diff->max_value_len : 0);
  if (c.signature) stream.processors.push_back(make_signature(*c.signature, stream.redactor));
  if (c.context_diff) {
    ContextDiffOptions options = *c.context_diff;
    if (stream.redactor) options.max_value_len = UINT32_MAX;  // patterns see whole values, then these are cut
    stream.processors.push_back(make_context_diff(options, std::move(contexts), clock_));
  }
  if (!c.set.entries.empty()) stream.processors.push_back(make_set(c.set));
  if (c.sample) stream.processors.push_back(make_sample(*c.sample));
}

void Topology::swap_pipeline(const Config& config) {
  PipelineSetup setup;
  for (Stream s : kStreams) {
    const StreamConfig& c = config.streams[size_t(s)];
    PipelineStream& stream = setup.streams[size_t(s)];
    stream.enabled = c.enabled;
    add_processors(c, contexts_[size_t(s)], stream);
  }
  setup.policy = policy_of(config);
  setup.client_memory_ns = config.clients.integer("memory");
  setup.clients_max = size_t(config.clients.integer("max"));
  const auto record_bytes_max = size_t(config.limits.integer("record_bytes_max"));
  setup.record_bytes_max = record_bytes_max;
  const auto limit = [&](const char* name) {
    return config.limits.null(name) ? 0 : uint64_t(config.limits.integer(name));
  };
  const UidLimits per_uid{limit("per_uid.connections"), limit("per_uid.memory"),
                          limit("per_uid.bytes_per_s")};
  pipe_.call([&] {
    read_buffer_.record_bytes_max = record_bytes_max;
    ingest_.shares.set_limits(per_uid);
    ingest_.keys.set_limits(setup.client_memory_ns, setup.clients_max);
    bool changed = applied_ && pipeline_->policy() != setup.policy;
    pipeline_->apply(std::move(setup));
    if (changed)
      for (RunningSource& s : sources_) s.source->push_policy(pipeline_->policy());
  });
}

std::vector<std::string> Topology::replaced_sinks(
    const std::map<std::string, ComponentChange>& components) const {
  std::vector<std::string> names;
  std::lock_guard lock(mutex_);
  for (const auto& runner : draining_) names.push_back(runner->name());
  for (const RunningSink& s : sinks_) {
    const auto change = components.find("sinks." + s.config.name);
    if (change != components.end() && change->second.action == "change") names.push_back(s.config.name);
  }
  return names;
}

bool Topology::passed(const std::vector<std::string>& sinks, Position position) {
  std::vector<std::shared_ptr<SinkRunner>> runners;
  {
    std::lock_guard lock(mutex_);
    runners = draining_;
    for (const RunningSink& s : sinks_) runners.push_back(s.runner);
  }
  return std::ranges::all_of(runners, [&](const auto& runner) {
    return std::ranges::count(sinks, runner->name()) == 0 || runner->wait_drained(0, position);
  });
}

}  // namespace weir
