#include "tests/sim/world.h"

#include <algorithm>
#include <numeric>

#include "agent/core/log.h"
#include "agent/sinks/rotated_name.h"

namespace weir::test {
namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr int kDrainRoundsMax = 3000, kDrainStepsMax = 100'000;

[[noreturn]] void fail_simulation(const std::string& what) { throw SimFailure(what); }

std::string file_of(const SimSinkConfig& config) { return "/out/" + config.name + ".jsonl"; }

}  // namespace

/// The agent's memory: gone with it.
struct World::Life {
  Life(World& world, std::unique_ptr<DiskJournal> the_journal)
      : journal(std::move(the_journal)),
        rejected(world.disk, "/data/quarantine", "rejected.jsonl"),
        refused(world.disk, "/data/quarantine", "sinks.jsonl"),
        pipeline(*journal, rejected, world.state_.clock),
        producers(world.state_.ledgers.size()),
        next(world.state_.ledgers.size(), 0) {}

  std::unique_ptr<DiskJournal> journal;
  Quarantine rejected, refused;
  Pipeline pipeline;
  std::deque<Producer> producers;
  std::vector<uint64_t> next;   ///< by client: the number it sends next
  std::vector<size_t> waiting;  ///< clients whose turn is not in the journal yet
  std::vector<std::pair<size_t, std::unique_ptr<SteppedSink>>> sinks;  ///< with their index in SimState
  std::shared_ptr<SourceStats> stats = std::make_shared<SourceStats>();
  bool paused = false;
};

World::World(SimState state, SimDisk the_disk) : disk(std::move(the_disk)), state_(std::move(state)) {
  disk.set_clock(state_.clock);
}

World::~World() {
  disk.halt();
  life_.reset();
}

// --- lives
// --------------------------------------------------------------------------------------------------

void World::start(bool resend) {
  DiskJournalOptions options;
  options.path = kJournalPath, options.quarantine = "/data/quarantine/journal";
  options.bytes_max = state_.journal_bytes_max, options.segment_bytes = state_.segment_bytes;
  options.boot_id = "boot-" + std::to_string(state_.boot);
  options.work = DiskJournalOptions::Work::by_hand;
  auto journal = DiskJournal::open(options, disk, state_.clock);
  if (!journal && disk.faults) {
    disk.faults = nullptr;
    journal = DiskJournal::open(options, disk, state_.clock);
  }
  if (!journal && disk.capacity_bytes != UINT64_MAX) {
    disk.capacity_bytes = UINT64_MAX;
    journal = DiskJournal::open(options, disk, state_.clock);
  }
  if (!journal) fail_simulation("the agent does not come up: " + journal.error().message);
  life_ = std::make_unique<Life>(*this, std::move(*journal));
  apply_pipeline();
  open_sinks();
  for (size_t c = 0; c < state_.ledgers.size(); ++c) hello(c, resend);
  say_state("up");
  look();
  look_at_files();
}

/// Of a file that is open for appending, what is there is whole, in order, and once.
void World::look_at_files() const {
  for (const auto& [index, sink] : life_->sinks) {
    const SimSinkConfig& config = state_.sinks[index];
    if (!config.file || config.ended || !sink->open()) continue;
    Delivered delivered = delivered_by(config);
    delivered.from_start = false;
    if (const std::string wrong = judge(state_.ledgers, delivered); !wrong.empty())
      fail_simulation("sink " + config.name + ", just opened: " + wrong);
  }
}

void World::say_state(const char* when) const {
  const JournalStatus j = life_->journal->status();
  log::debug("sim: {}: journal {} end {} written {} synced {}, {} damaged, {} torn bytes, {} fsync errors",
             when, j.state, life_->journal->end(), j.written, j.synced, j.damaged_records, j.torn_bytes,
             j.fsync_errors);
  for (const auto& [index, sink] : life_->sinks) {
    const CursorStatus s = sink->cursor().status();
    log::debug("sim:   sink {} at {}, routed {}, passed {}, dropped {} + {}, lag {}, note {}", sink->name(),
               s.position, s.routed, s.passed, s.dropped_lag, s.dropped_damaged, s.lag_records,
               sink->cursor().memory().note);
  }
}

void World::apply_pipeline() {
  PipelineSetup setup;
  setup.policy = "{}";
  setup.client_memory_ns = 24 * 3600 * kSecond, setup.clients_max = 1000;
  life_->pipeline.apply(std::move(setup));
}

std::unique_ptr<SteppedSink> World::make_sink(SimSinkConfig& config) {
  Life& life = *life_;
  const std::string name = config.name;
  auto cursor = life.journal->open_cursor(name, config.streams, StartAt::end, config.limit);
  std::unique_ptr<Sink> sink;
  if (config.file) {
    const SinkType* const type = find_sink_type("file");
    Settings settings = default_settings(type->type.options);
    settings.set("path", file_of(config));
    settings.set("rotate.max_bytes", int64_t(config.rotate_bytes));
    sink = type->make(settings, {name, disk, state_.clock, &life.refused, life.journal->uuid()});
  } else {
    sink = std::make_unique<CollectingSink>(config.received, [this] { return collecting_failure(); });
  }
  return std::make_unique<SteppedSink>(name, std::move(sink), std::move(cursor), config.streams);
}

void World::open_sinks() {
  for (size_t i = 0; i < state_.sinks.size(); ++i)
    if (!state_.sinks[i].ended) life_->sinks.emplace_back(i, make_sink(state_.sinks[i]));
}

void World::hello(size_t c, bool resend) {
  ++welcomes;
  ClientLedger& ledger = state_.ledgers[c];
  Producer& producer = life_->producers[c];
  producer.stats = life_->stats;
  producer.level = ledger.level;
  producer.peer.uid = 1000;
  if (!ledger.numbered) {
    life_->next[c] = ledger.sent + 1;
    return;
  }
  // Asked without a number first, so that last_seq is what the journal remembers.
  const auto told = life_->pipeline.on_hello(producer, {ledger.id(), {}, {}, ledger.level});
  if (!told) fail_simulation("hello of " + ledger.id() + " is refused");
  const uint64_t last_seq = told->last_seq;
  const std::string who = "welcome of " + ledger.id() + " says " + std::to_string(last_seq);
  if (last_seq > ledger.sent) fail_simulation(who + ", but it has sent " + std::to_string(ledger.sent));
  uint64_t promised = ledger.promised_at(AckLevel::received);
  while (promised > last_seq && ledger.is_excused(promised)) --promised;  // a jump over them is no record
  if (last_seq < promised && (ledger.level == AckLevel::durable || !state_.sync_failed))
    fail_simulation(who + ", but up to " + std::to_string(promised) +
                    " was acknowledged at a level that survives");
  ledger.excuse(last_seq, ledger.acked);  // forgotten by the client, at a level that did not survive
  uint64_t next = last_seq + 1;
  if (ledger.acked > last_seq || resend) next = ledger.acked + 1;
  if (next != last_seq + 1) {
    const auto again = life_->pipeline.on_hello(producer, {ledger.id(), next, {}, ledger.level});
    if (!again) fail_simulation("the second hello of " + ledger.id() + " is refused");
  }
  life_->next[c] = next;
  if (last_seq > 0) ledger.handed.push_back({life_->pipeline.journal_mark(), last_seq});
}

/// Whoever survives: what was promised above that level is nothing any more.
void World::end_of_life(AckLevel survives) {
  for (SimSinkConfig& config : state_.sinks) config.abandoned |= config.ended && !config.drained;
  life_.reset();
  for (ClientLedger& ledger : state_.ledgers) {
    uint64_t kept = ledger.promised_at(survives);
    if (survives == AckLevel::durable && state_.sync_failed && ledger.level != AckLevel::durable) kept = 0;
    log::debug("sim:   {} was promised up to {} of {} ({} durable)", ledger.id(), kept, ledger.sent,
               ledger.promised_at(AckLevel::durable));
    for (uint64_t& promised : ledger.promised) promised = std::min(promised, kept);
    ledger.handed.clear();
    if (!ledger.numbered) ledger.excuse(kept, ledger.sent);  // it never sends anything again
  }
}

void World::kill() {
  disk.halt();
  end_of_life(AckLevel::buffered);
  disk.crash_process();
}

void World::cut_power(SimRandom& random, const PowerCut& how) {
  disk.halt();
  end_of_life(AckLevel::durable);
  disk.power_cut(random, how);
  ++state_.boot;
}

std::unique_ptr<World> World::if_killed() const {
  auto world = std::make_unique<World>(state_, disk.after_crash());
  world->end_of_life(AckLevel::buffered);
  return world;
}

std::unique_ptr<World> World::if_power_cut(SimRandom& random, const PowerCut& how) const {
  auto world = std::make_unique<World>(state_, disk.after_power_cut(random, how));
  world->end_of_life(AckLevel::durable);
  ++world->state_.boot;
  return world;
}

void World::stop() {
  Life& life = *life_;
  for (size_t c = 0; c < life.producers.size(); ++c) life.pipeline.on_close(life.producers[c]);
  life.journal->settle(state_.clock.monotonic_ns());
  look();
  for (auto& [index, sink] : life.sinks) sink->stop();
  life.sinks.clear();
  life.journal->settle(state_.clock.monotonic_ns());
  end_of_life(AckLevel::buffered);
  disk.crash_process();  // what it has left open
}

// --- steps
// --------------------------------------------------------------------------------------------------

bool World::send(size_t c, uint64_t records) {
  Life& life = *life_;
  if (life.paused) return false;
  ClientLedger& ledger = state_.ledgers[c];
  Producer& producer = life.producers[c];
  Intake intake = Intake::taken;
  for (uint64_t i = 0; i < records && intake == Intake::taken; ++i) {
    const uint64_t number = life.next[c]++;
    if (ledger.numbered && producer.next_seq != number) fail_simulation("a number was skipped");
    resent += number <= ledger.sent;
    ledger.sent = std::max(ledger.sent, number);
    std::string line = SimRecord(ledger.client, number).text();
    const size_t bytes = line.size();
    line.append(64, '\0');
    intake = life.pipeline.on_frame(producer, std::string_view(line).substr(0, bytes));
  }
  log::debug("sim:   {} up to {}", ledger.id(), life.next[c] - 1);
  producer.rejects.clear();
  life.waiting.push_back(c);
  turn_ended(life.pipeline.on_turn_end(producer));
  return true;
}

/// What was sent is in the journal, at some level, waits in the pipeline, or was given back: then its client
/// says hello again, as after a nack.
void World::turn_ended(Intake intake) {
  Life& life = *life_;
  life.paused = intake != Intake::taken;
  const uint64_t mark = life.pipeline.journal_mark();
  std::vector<size_t> waiting;
  for (const size_t c : life.waiting) {
    ClientLedger& ledger = state_.ledgers[c];
    Producer& producer = life.producers[c];
    const bool given_back = intake != Intake::pause && producer.given_back();
    if (life.paused && !given_back) {
      waiting.push_back(c);
      continue;
    }
    ledger.handed.push_back({mark, given_back ? producer.client->last_seq : life.next[c] - 1});
    if (!given_back) continue;
    if (!life.pipeline.on_hello(producer, {ledger.id(), {}, {}, ledger.level}))
      fail_simulation("hello after nack of " + ledger.id() + " is refused");
    life.next[c] = producer.next_seq;
  }
  life.waiting = std::move(waiting);
}

bool World::step_write() { return life_->journal->step_write(); }
bool World::step_sync() { return life_->journal->step_sync(); }
bool World::step_checkpoint() { return life_->journal->step_checkpoint(); }

size_t World::sink_count() const { return life_->sinks.size(); }

bool World::step_sink(size_t n) {
  auto& sinks = life_->sinks;
  const bool done = sinks[n].second->step(state_.clock);
  if (state_.sinks[sinks[n].first].ended && sinks[n].second->drained()) {
    sinks[n].second->stop();
    state_.sinks[sinks[n].first].drained = sinks[n].second->last_error().empty();
    sinks[n].second->cursor().forget();
    sinks.erase(sinks.begin() + ptrdiff_t(n));
  }
  return done;
}

void World::look() {
  Life& life = *life_;
  if (life.paused) turn_ended(life.pipeline.retry_pending());
  for (ClientLedger& ledger : state_.ledgers) {
    for (const AckLevel level : {AckLevel::received, AckLevel::buffered, AckLevel::durable})
      for (const auto& handed : ledger.handed)
        if (life.pipeline.has_reached(handed.mark, level))
          ledger.promised[size_t(level)] = std::max(ledger.promised[size_t(level)], handed.number);
    while (!ledger.handed.empty() && life.pipeline.has_reached(ledger.handed.front().mark, AckLevel::durable))
      ledger.handed.pop_front();
    if (ledger.numbered) ledger.acked = std::max(ledger.acked, ledger.promised_at(ledger.level));
  }
  const SourceStats& s = *life.stats;
  const uint64_t rejected = std::accumulate(s.rejected.begin(), s.rejected.end(), uint64_t(0));
  if (s.received != s.accepted + rejected || s.accepted != s.journalled + s.duplicate + s.disabled)
    fail_simulation("the source's counters do not add up");
  for (const auto& [index, sink] : life.sinks)
    if (const int64_t error = sink->conservation_error(); error != 0)
      fail_simulation("conservation error of sink " + sink->name() + ": " + std::to_string(error));
  state_.sync_failed |= life.journal->status().fsync_errors > 0;
  if (disk.bad_descriptors > 0) fail_simulation("a descriptor was used that is not open");
}

// --- reload
// -------------------------------------------------------------------------------------------------

void World::set_journal_bytes_max(uint64_t bytes) {
  state_.journal_bytes_max = bytes;
  life_->journal->set_bytes_max(bytes);
}

void World::set_lag_limit(size_t n, LagLimit limit) {
  auto& [index, sink] = life_->sinks[n];
  state_.sinks[index].limit = limit;
  sink->cursor().set_lag_limit(limit);
}

void World::add_sink(SimSinkConfig config) {
  state_.sinks.push_back(std::move(config));
  life_->sinks.emplace_back(state_.sinks.size() - 1, make_sink(state_.sinks.back()));
}

void World::remove_sink(size_t n) {
  auto& [index, sink] = life_->sinks[n];
  state_.sinks[index].ended = true;
  sink->cursor().end_here();
}

bool World::settle() {
  const bool settled = life_->journal->settle(state_.clock.monotonic_ns());
  look();
  return settled;
}

bool World::flip_bit_in_sealed_segment(SimRandom& random) {
  std::vector<std::string> segments;
  for (const std::string& name : disk.names(kJournalPath))
    if (name.ends_with(".wseg")) segments.push_back(name);
  if (segments.size() < 3) return false;
  const std::string path =
      std::string(kJournalPath) + "/" + segments[size_t(random() % (segments.size() - 2))];
  const uint64_t bytes = disk.content(path).size();
  if (bytes == 0) return false;
  disk.flip_bit(path, random() % bytes, unsigned(random() % 8));
  return state_.damaged = true;
}

// --- judgement
// ----------------------------------------------------------------------------------------------

bool World::is_drained() const {
  const Life& life = *life_;
  if (life.paused) return false;
  for (size_t c = 0; c < state_.ledgers.size(); ++c) {
    const ClientLedger& ledger = state_.ledgers[c];
    if (life.next[c] <= ledger.sent || !ledger.handed.empty()) return false;
  }
  return std::ranges::all_of(life.sinks, [](const auto& sink) { return sink.second->drained(); });
}

void World::drain_and_judge() {
  disk.faults = nullptr, disk.capacity_bytes = UINT64_MAX;
  collecting_failure = [] { return std::nullopt; };
  int round = 0;
  for (; !is_drained(); ++round) {
    if (round == kDrainRoundsMax) {
      say_state("stuck");
      std::string text = "does not drain: journal " + life_->journal->status().state + " (" +
                         life_->journal->status().error + ")";
      for (const auto& [index, sink] : life_->sinks)
        text += ", " + sink->name() + " has " + std::to_string(sink->cursor().status().lag_records) +
                " to go (" + sink->last_error() + ")";
      fail_simulation(text);
    }
    state_.clock.advance_ns(kSecond / 10);
    for (size_t c = 0; c < state_.ledgers.size(); ++c)
      if (const uint64_t next = life_->next[c], sent = state_.ledgers[c].sent; next <= sent)
        send(c, sent + 1 - next);
    step_write(), step_sync(), step_checkpoint();
    for (size_t n = life_->sinks.size(); n > 0; --n)
      for (int i = 0; n <= life_->sinks.size() && step_sink(n - 1); ++i)
        if (i == kDrainStepsMax) fail_simulation("a sink has always something to do");
    look();
  }
  say_state("drained");
  for (const SimSinkConfig& config : state_.sinks) {
    if (config.abandoned) continue;
    const Delivered delivered = delivered_by(config);
    judged_lines += delivered.lines.size();
    if (const std::string wrong = judge(state_.ledgers, delivered); !wrong.empty())
      fail_simulation("sink " + config.name + ": " + wrong);
  }
}

Delivered World::delivered_by(const SimSinkConfig& config) const {
  Delivered out;
  out.streams = config.streams, out.from_start = config.from_start && !config.ended;
  for (const auto& [index, sink] : life_->sinks) {
    if (&state_.sinks[index] != &config) continue;
    const CursorStatus status = sink->cursor().status();
    out.missing_max =
        status.dropped_lag + (state_.damaged || state_.sync_failed ? status.dropped_damaged : 0);
  }
  if (!config.file) {
    out.lines = config.received, out.once = false;
    return out;
  }
  const std::string file = file_of(config), base = file.substr(file.rfind('/') + 1);
  std::vector<std::tuple<std::string, uint64_t, std::string>> rotated;
  for (const std::string& name : disk.names("/out")) {
    RotatedName parsed;
    if (parse_rotated_name(name, parsed) && parsed.base == base)
      rotated.emplace_back(std::string(parsed.stamp), parsed.number, "/out/" + name);
  }
  std::ranges::sort(rotated);
  std::vector<std::string> files;
  for (auto& [stamp, number, path] : rotated) files.push_back(path);
  if (disk.exists(file)) files.push_back(file);
  for (const std::string& path : files) {
    const std::string text = disk.content(path);
    size_t begin = 0;
    for (size_t lf; (lf = text.find('\n', begin)) != text.npos; begin = lf + 1)
      out.lines.push_back(text.substr(begin, lf - begin));
    if (begin != text.size()) out.lines.push_back("torn: " + text.substr(begin));
  }
  return out;
}

}  // namespace weir::test
