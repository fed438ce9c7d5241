#include "agent/app/topology.h"

#include <algorithm>
#include <cstdlib>
#include <thread>

#include "agent/core/check.h"
#include "agent/core/json.h"
#include "agent/core/log.h"
#include "agent/sinks/common_options.h"

namespace weir {
namespace {

constexpr int64_t kMillisecond = 1'000'000;
constexpr int64_t kEmptyConnectionsMax = 500 * kMillisecond;
constexpr int64_t kFlushBeforeChange = 200 * kMillisecond;
constexpr int64_t kSettleMax = 300 * kMillisecond, kKeptDrainMax = 500 * kMillisecond;
constexpr auto kPoll = std::chrono::milliseconds(2);
constexpr size_t kStatusClientsMax = 1000;

/// Which streams go to the sink; those that are disabled have no records.
StreamSet streams_of(const Config& config, const std::string& sink) {
  StreamSet set;
  for (Stream s : kStreams)
    if (config.streams[size_t(s)].enabled && std::ranges::count(config.streams[size_t(s)].sinks, sink))
      set.add(s);
  return set;
}

const ComponentConfig* find(const std::vector<ComponentConfig>& list, const std::string& name) {
  for (const ComponentConfig& c : list)
    if (c.name == name) return &c;
  return nullptr;
}

}  // namespace

int64_t TopologyStatus::conservation_error() const {
  int64_t error = 0;
  for (const SourceStats& s : sources) {
    uint64_t rejected = 0, dropped = 0;
    for (uint64_t n : s.rejected) rejected += n;
    for (const auto& [rule, n] : s.dropped_by_rule) dropped += n;
    error += std::abs(int64_t(s.received) - int64_t(s.accepted + rejected));
    error += std::abs(int64_t(s.accepted) - int64_t(s.journalled + dropped + s.duplicate + s.disabled));
  }
  for (const SinkStatus& s : sinks) error += std::abs(s.conservation_error());
  return error;
}

std::string policy_of(const Config& config) {
  std::string out = "{";
  for (Stream s : kStreams) {
    const StreamConfig& stream = config.streams[size_t(s)];
    std::string entry;
    if (!stream.enabled)
      entry = "\"enabled\":false";
    else if (stream.context_diff) {
      constexpr std::string_view modes[] = {"none", "whitelist", "full"};
      entry = "\"context_diff\":\"" + std::string(modes[size_t(stream.context_diff->mode)]) + "\"";
      if (stream.context_diff->mode == ContextDiffMode::whitelist) {
        entry += ",\"whitelist\":[";
        for (size_t i = 0; i < stream.context_diff->whitelist.size(); ++i) {
          if (i) entry += ',';
          json::append_quoted(entry, stream.context_diff->whitelist[i]);
        }
        entry += ']';
      }
    }
    if (entry.empty()) continue;
    if (out.size() > 1) out += ',';
    out += "\"" + std::string(stream_name(s)) + "\":{" + entry + "}";
  }
  return out + "}";
}

Topology::Topology(const Config& first, std::unique_ptr<Journal> journal, const Clock& clock, Io& io)
    : clock_(clock),
      io_(io),
      data_dir_(first.data_dir),
      control_path_(first.control_path),
      metrics_place_(metrics_place(first)),
      journal_place_(journal_place(first)),
      sandbox_place_(sandbox_place(first)),
      rejected_(io, data_dir_ + "/quarantine", "rejected.jsonl"),
      journal_(std::move(journal)),
      pipeline_(std::make_unique<Pipeline>(*journal_, rejected_, clock)),
      gate_(pipe_.io()),
      ingest_{pipe_.io(), gate_, read_buffer_} {
  for (auto& memory : contexts_) memory = make_context_memory();
  journal_->on_space([this] { asio::post(pipe_.io(), [this] { gate_.set(pipeline_->retry_pending()); }); });
  journal_->on_progress([this] {
    if (!progress_posted_.exchange(true)) asio::post(pipe_.io(), [this] { on_progress(); });
  });
}

/// On the pipe thread.
void Topology::on_progress() {
  progress_posted_ = false;
  if (gate_.refused()) gate_.set(pipeline_->retry_pending());
  ingest_.waiting.on_progress();
}

Topology::~Topology() {
  stop();
  pipe_.stop();  // before what its handlers use goes
  pipeline_.reset();
  journal_.reset();  // its threads post to the pipe
}

Quarantine& Topology::quarantine_of(const std::string& sink) {
  auto& slot = sink_quarantines_[sink];
  if (!slot) slot = std::make_unique<Quarantine>(io_, data_dir_ + "/quarantine", "sink." + sink + ".jsonl");
  return *slot;
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

Result<ApplyReport> Topology::apply(const Config& config, const ApplyOptions& options) {
  ApplyReport report;
  // Everything that can fail comes first.
  if (applied_) {
    if (auto checked = check_changed_sinks(config); !checked) return tl::unexpected(checked.error());
  }
  if (auto checked = check_removed_sinks(config, options); !checked) return tl::unexpected(checked.error());
  // At the start nothing may come in before there is something for it to go through.
  if (!applied_) pipe_.call([&] { gate_.close(); });
  auto plan = plan_sources(config, report);
  if (!plan) return tl::unexpected(plan.error());

  const bool raw = config.quarantine.boolean("raw");
  rejected_.set_raw(raw);
  swap_sinks(config, options, report);
  swap_pipeline(config, report);
  if (journal_place(config) == journal_place_)
    journal_->set_bytes_max(uint64_t(config.journal.integer("max_bytes")));
  log::set_level(config.log.text("level"));
  if (!applied_) {
    for (const std::string& name : journal_->waiting_places())
      log::warn("sink {} is not in the configuration any more; its place in the journal is kept for 24 h",
                name);
    pipe_.call([&] {
      for (RunningSource& s : plan->next) s.source->adopt();
      ingest_.kept.say_left(), gate_.open();
    });
  }
  if (applied_) report_restarts(config, report);
  {
    std::lock_guard lock(mutex_);
    sources_ = std::move(plan->next);
    config_ = config;
    applied_ = true;
  }
  retire(std::move(plan->removed));
  if (options.wait) wait_for_replaced(report);
  forget_drained();
  return report;
}

/// Until what lay before every sink that was changed or removed is delivered. Ends when the agent is to stop.
void Topology::wait_for_replaced(const ApplyReport& report) {
  std::vector<std::shared_ptr<SinkRunner>> runners;
  {
    std::lock_guard lock(mutex_);
    runners = draining_;
  }
  for (RunningSink& s : sinks_)
    if (report.components.at("sinks." + s.config.name).action == "change") runners.push_back(s.runner);
  Position now = journal_->end();
  for (auto& runner : runners)
    while (!stopping_ && !runner->wait_drained(clock_.monotonic_ns() + 50 * kMillisecond, now)) continue;
}

void Topology::report_restarts(const Config& config, ApplyReport& report) {
  auto needs_restart = [&](const char* name, const std::string& from, const std::string& to) {
    if (from == to) return;
    report.components[name] = {"keep", "needs a restart",
                               "stays at " + from + " until the agent is restarted"};
    log::warn("{}: a change from {} to {} needs a restart", name, from, to);
  };
  needs_restart("data_dir", data_dir_, config.data_dir);
  needs_restart("control", control_path_, config.control_path);
  needs_restart("metrics", metrics_place_, metrics_place(config));
  needs_restart("journal", journal_place_, journal_place(config));
  needs_restart("sandbox", sandbox_place_, sandbox_place(config));
}

/// Finds what listens already (the same kind at the same address), and starts the rest.
Result<Topology::SourcePlan> Topology::plan_sources(const Config& config, ApplyReport& report) {
  SourcePlan plan;
  std::vector<RunningSource> old = sources_;
  std::vector<std::pair<RunningSource, ComponentConfig>> kept;
  const auto give_up = [&](const std::string& name, const Error& error) {
    pipe_.call([&] {
      for (auto& created : plan.created) created.source->stop();
    });
    return fail("listen." + name + ": " + error.message);
  };
  for (const ComponentConfig& c : config.listen) {
    const ListenerType* type = find_listener_type(c.type);
    WEIR_CHECK(type);
    auto same = std::ranges::find_if(old, [&](const RunningSource& r) {
      return r.config.type == c.type &&
             r.config.settings.text(type->address_option) == c.settings.text(type->address_option);
    });
    if (same != old.end()) {
      if (auto checked = pipe_.call([&] { return same->source->check(c.settings); }); !checked)
        return give_up(c.name, checked.error());
      report.components["listen." + c.name] = {same->config == c ? "keep" : "change", "ok", ""};
      plan.next.push_back({c, same->source});
      kept.emplace_back(*same, c);
      old.erase(same);
      continue;
    }
    auto source = make_listener(*type, c.name, c.settings, ingest_);
    auto started = pipe_.call([&] { return source->start(*pipeline_); });
    if (!started) {
      pipe_.call([&] { source->stop(); });
      return give_up(c.name, started.error());
    }
    report.components["listen." + c.name] = {"create", "ok", source->address()};
    plan.created.push_back({c, source});
    plan.next.push_back({c, source});
  }
  for (auto& [running, c] : kept) {
    auto changed = pipe_.call([&] { return running.source->reconfigure(c.name, c.settings); });
    if (!changed) report.components["listen." + c.name] = {"change", "failed", changed.error().message};
  }
  for (const RunningSource& r : old) {
    auto [component, first] =
        report.components.try_emplace("listen." + r.config.name, ComponentResult{"remove", "ok", ""});
    if (!first)
      component->second.action = "change", component->second.message += ", before at " + r.source->address();
    plan.removed.push_back(r.source);
  }
  return plan;
}

/// At the start a sink without its files is down and the others run; a reload that brings it is refused.
Result<void> Topology::check_changed_sinks(const Config& config) const {
  for (const ComponentConfig& c : config.sinks) {
    const SinkType* type = find_sink_type(c.type);
    const bool same = std::ranges::any_of(sinks_, [&](const RunningSink& s) { return s.config == c; });
    if (same || !type->check) continue;
    if (auto checked = type->check(c.settings); !checked)
      return fail("sinks." + c.name + ": " + checked.error().message);
  }
  return {};
}

/// A sink may only be taken away when its records are safe: it gets a moment to deliver what was there when
/// the request came.
Result<void> Topology::check_removed_sinks(const Config& config, const ApplyOptions& options) {
  if (options.drain || options.drop_lag) return {};
  int64_t deadline = clock_.monotonic_ns() + config.drain_timeout_ns;
  Position now = journal_->end();
  for (const RunningSink& s : sinks_) {
    if (find(config.sinks, s.config.name) || s.runner->wait_drained(deadline, now)) continue;
    return fail("sink " + s.config.name + " would be removed with " +
                std::to_string(s.runner->status().lag_records) +
                " records undelivered: deliver them first (--drain), or give them up (--drop-lag)");
  }
  return {};
}

void Topology::swap_sinks(const Config& config, const ApplyOptions& options, ApplyReport& report) {
  std::vector<RunningSink> next;
  std::vector<std::shared_ptr<SinkRunner>> to_start;
  for (RunningSink& s : sinks_) {
    if (find(config.sinks, s.config.name)) continue;
    report.components["sinks." + s.config.name] = {"remove", "ok", ""};
    s.runner->end_here();
    if (s.runner->drained() || options.drop_lag) {
      const SinkPlace place = s.runner->stop();
      place.cursor->forget();
      uint64_t left = place.cursor->status().lag_records;
      if (left > 0) log::warn("sink {}: removed with {} records undelivered, as asked", s.config.name, left);
    } else {
      report.components["sinks." + s.config.name].result = "draining";
      std::lock_guard lock(mutex_);
      draining_.push_back(s.runner);
    }
  }
  for (const ComponentConfig& c : config.sinks) {
    StreamSet streams = streams_of(config, c.name);
    auto running =
        std::ranges::find_if(sinks_, [&](const RunningSink& s) { return s.config.name == c.name; });
    if (running == sinks_.end()) {
      report.components["sinks." + c.name] = {"create", "ok", ""};
      next.push_back({c, streams, make_runner(c, streams, take_draining(c.name))});
      to_start.push_back(next.back().runner);
    } else if (running->config == c) {
      report.components["sinks." + c.name] = {running->streams == streams ? "keep" : "change", "ok", ""};
      if (!(running->streams == streams)) running->runner->set_streams(streams);
      running->runner->flush();
      next.push_back({c, streams, running->runner});
    } else {
      report.components["sinks." + c.name] = {"change", "ok", ""};
      running->runner->wait_drained(clock_.monotonic_ns() + kFlushBeforeChange, journal_->end());
      next.push_back({c, streams, make_runner(c, streams, running->runner->stop())});
      to_start.push_back(next.back().runner);
    }
  }
  {
    std::lock_guard lock(mutex_);
    sinks_ = std::move(next);
  }
  for (auto& runner : to_start) runner->start();
}

/// A sink that comes back while its former self still drains goes on from there.
SinkPlace Topology::take_draining(const std::string& name) {
  std::shared_ptr<SinkRunner> runner;
  {
    std::lock_guard lock(mutex_);
    auto found = std::ranges::find_if(draining_, [&](auto& r) { return r->name() == name; });
    if (found == draining_.end()) return {};
    runner = *found;
    draining_.erase(found);
  }
  return runner->stop();
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

void Topology::swap_pipeline(const Config& config, ApplyReport& report) {
  PipelineSetup setup;
  for (Stream s : kStreams) {
    const StreamConfig& c = config.streams[size_t(s)];
    PipelineStream& stream = setup.streams[size_t(s)];
    stream.enabled = c.enabled;
    add_processors(c, contexts_[size_t(s)], stream);
    bool same = applied_ && config_.streams[size_t(s)] == c;
    report.components["streams." + std::string(stream_name(s))] = {!applied_ ? "create"
                                                                   : same    ? "keep"
                                                                             : "change",
                                                                   "ok", ""};
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

/// Reads the connections of removed listeners until they are empty, at most 500 ms, then closes them.
void Topology::retire(std::vector<std::shared_ptr<Source>> sources) {
  if (sources.empty()) return;
  auto all_drained = [&] {
    return pipe_.call([&] { return std::ranges::all_of(sources, [](auto& s) { return s->drained(); }); });
  };
  pipe_.call([&] {
    for (auto& s : sources) s->stop_accepting();
  });
  for (int64_t deadline = clock_.monotonic_ns() + kEmptyConnectionsMax;
       !all_drained() && clock_.monotonic_ns() < deadline;)
    std::this_thread::sleep_for(kPoll);
  pipe_.call([&] {
    for (auto& s : sources) s->stop();
  });
  for (int64_t deadline = clock_.monotonic_ns() + kEmptyConnectionsMax;
       !all_drained() && clock_.monotonic_ns() < deadline;)
    std::this_thread::sleep_for(kPoll);
}

void Topology::forget_drained() {
  std::vector<std::shared_ptr<SinkRunner>> done;
  {
    std::lock_guard lock(mutex_);
    std::erase_if(draining_, [&](auto& runner) {
      if (!runner->drained()) return false;
      done.push_back(runner);
      return true;
    });
  }
  for (auto& runner : done) runner->stop().cursor->forget();
}

uint64_t Topology::stop() {
  if (!sources_.empty()) pipe_.call([&] { ingest_.kept.leave(); });
  std::vector<std::shared_ptr<Source>> sources;
  for (RunningSource& s : sources_) sources.push_back(s.source);
  retire(std::move(sources));
  // Records that were read while the journal was full are still on their way in.
  const bool kept = journal_->level_max() > AckLevel::received;  // what is in it waits for the next start
  int64_t patience = applied_ ? config_.drain_timeout_ns : 0;
  if (kept) patience = std::min(patience, kKeptDrainMax);
  const int64_t deadline = clock_.monotonic_ns() + patience;
  uint64_t left = 0;
  while ((left = pipe_.call([&] { return pipeline_->pending_records(); })) > 0 &&
         clock_.monotonic_ns() < deadline)
    std::this_thread::sleep_for(kPoll);
  if (left > 0) log::error("{} records stay behind: the journal is full", left);
  if (!journal_->settle(clock_.monotonic_ns() + kSettleMax))
    log::error("not all of the journal is on the disk");
  std::vector<std::shared_ptr<SinkRunner>> runners = draining_;
  for (RunningSink& s : sinks_) runners.push_back(s.runner);
  for (auto& runner : runners)
    if (!kept || runner->status().state == "ok") runner->wait_drained(deadline);
  WEIR_CHECK(status().conservation_error() == 0);
  for (auto& runner : runners) {
    std::string error = runner->status().last_error;
    uint64_t behind = runner->stop().cursor->status().lag_records;  // after the write it was in
    if (behind > 0 && kept)
      log::info("sink {}: {} records wait in the journal for the next start", runner->name(), behind);
    if (kept) continue;
    if (behind > 0)
      log::error("sink {}: {} records stay behind: {}", runner->name(), behind,
                 error.empty() ? "it was not done in time" : error);
    left += behind;
  }
  if (kept && !journal_->settle(clock_.monotonic_ns() + kSettleMax))
    log::error("the places of sinks could not be written down: some records may be delivered again");
  if (const uint64_t unwritten = kept ? journal_->end() - journal_->written() : 0; unwritten > 0) {
    log::error("{} records stay behind: the journal could not be written", unwritten);
    left += unwritten;
  }
  std::lock_guard lock(mutex_);
  sources_.clear();
  sinks_.clear();
  draining_.clear();
  return left;
}

void Topology::reopen_sinks() {
  std::lock_guard lock(mutex_);
  for (RunningSink& s : sinks_) s.runner->reopen();
}

TopologyStatus Topology::status() {
  forget_drained();
  std::lock_guard lock(mutex_);
  TopologyStatus out;
  pipe_.call([&] {
    for (RunningSource& s : sources_) out.sources.push_back(*s.source->stats());
    out.streams = pipeline_->stream_stats();
    for (const auto& client : pipeline_->clients().all()) {
      if (out.clients.size() == kStatusClientsMax) break;
      out.clients.push_back(*client);
    }
  });
  for (Stream s : kStreams) out.enabled[size_t(s)] = config_.streams[size_t(s)].enabled;
  out.journal = journal_->status();
  for (RunningSink& s : sinks_) out.sinks.push_back(s.runner->status());
  for (auto& runner : draining_) out.sinks.push_back(runner->status());
  return out;
}

std::vector<std::string> Topology::addresses() {
  std::lock_guard lock(mutex_);
  std::vector<std::string> out;
  for (RunningSource& s : sources_) out.push_back(s.source->address());
  return out;
}

}  // namespace weir
