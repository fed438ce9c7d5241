#include "agent/app/topology.h"

#include <algorithm>
#include <cstdlib>
#include <thread>

#include "agent/core/check.h"
#include "agent/core/json.h"
#include "agent/core/log.h"

namespace weir {
namespace {

constexpr int64_t kMillisecond = 1'000'000;
constexpr int64_t kEmptyConnectionsMax = 500 * kMillisecond;
constexpr int64_t kSettleMax = 300 * kMillisecond, kKeptDrainMax = 500 * kMillisecond;
constexpr auto kPoll = std::chrono::milliseconds(2);

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

Config Topology::config() const {
  std::lock_guard lock(mutex_);
  return config_;
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
    if (!runner->paused() && (!kept || runner->status().state == "ok")) runner->wait_drained(deadline);
  WEIR_CHECK(status().conservation_error() == 0);
  for (auto& runner : runners) {
    std::string error = runner->paused() ? "it is paused" : runner->status().last_error;
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

std::shared_ptr<SinkRunner> Topology::find_sink(const std::string& name) const {
  std::lock_guard lock(mutex_);
  for (const RunningSink& s : sinks_)
    if (s.config.name == name) return s.runner;
  for (const auto& runner : draining_)
    if (runner->name() == name) return runner;
  return nullptr;
}

std::optional<Settings> Topology::set_paused(const std::string& name, bool paused) {
  std::lock_guard lock(mutex_);
  for (RunningSink& s : sinks_) {
    if (s.config.name != name) continue;
    const bool changed = paused ? paused_.insert(name).second : paused_.erase(name) > 0;
    if (changed) log::info("sink {}: {}, as asked", name, paused ? "paused" : "goes on");
    s.runner->set_paused(paused);
    return s.config.settings;
  }
  return std::nullopt;
}

std::vector<std::string> Topology::sink_names() const {
  std::lock_guard lock(mutex_);
  std::vector<std::string> names;
  for (const RunningSink& s : sinks_) names.push_back(s.config.name);
  return names;
}

TopologyStatus Topology::status() {
  forget_drained();
  std::lock_guard lock(mutex_);
  TopologyStatus out;
  pipe_.call([&] {
    for (RunningSource& s : sources_) out.sources.push_back(*s.source->stats());
    out.streams = pipeline_->stream_stats();
    out.journalled = pipeline_->journalled().snapshot(), out.acknowledged = ingest_.acknowledged.snapshot();
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
