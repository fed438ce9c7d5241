#include "agent/sinks/sink_runner.h"

#include <doctest/doctest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>
#include <thread>

#include "agent/sinks/common_options.h"
#include "tests/support/journal_fill.h"
#include "tests/support/kept_cursor.h"
#include "tests/support/temp_dir.h"

namespace weir {
namespace {

/// Takes what it likes of a batch, by a seed, and keeps it.
class MoodySink final : public Sink {
 public:
  MoodySink(uint32_t seed, BatchLimits limits) : random_(seed), limits_(limits) {}
  Result<void> open() override { return {}; }
  void close() noexcept override {}
  BatchLimits batch_limits() const override { return limits_; }
  Delivery deliver(const BatchView& batch, std::stop_token) override {
    auto lines = test::lines_of(batch);
    CHECK(lines.size() == batch.records);
    CHECK(batch.records <= limits_.records_max);
    sizes.push_back(lines.size());
    const uint32_t mood = failures_left_ > 0 ? random_() % 4 : 1 + random_() % 3;
    if (mood == 0) --failures_left_;  // each one costs a back-off
    Delivery d;
    if (mood == 0) d = Delivery::down("moody", random_() % (lines.size() + 1));
    const size_t done = mood == 0 ? d.done : lines.size();
    if (mood <= 1 && done > 0) d.refused.push_back({random_() % done, "not this one", 1});
    for (size_t i = 0; i < done; ++i)
      (!d.refused.empty() && d.refused[0].record == i ? refused : taken).push_back(lines[i]);
    return d;
  }
  std::vector<std::string> taken, refused;
  std::vector<size_t> sizes;

 private:
  std::mt19937 random_;
  const BatchLimits limits_;
  int failures_left_ = 3;
};

Settings settings_with(const char* where, const char* slice = "all") {
  Settings s = default_settings(with_common_options({}, "block"));
  if (where) s.set("where", std::string(where));
  s.set("trace_slice", std::string(slice));
  return s;
}

struct Bench {
  Bench(uint32_t seed, BatchLimits limits, const Settings& settings)
      : sink(new MoodySink(seed, limits)),
        runner("s", "moody", {Stream::log, Stream::trace}, std::unique_ptr<Sink>(sink),
               BatchFilter::make(settings),
               {journal->open_cursor("s", {Stream::log, Stream::trace}, StartAt::end, WhenFull::block),
                0,
                0,
                {},
                {}},
               quarantine, system_clock()) {}
  test::TempDir dir;
  Quarantine quarantine{system_io(), dir / "q", "s.jsonl"};
  std::unique_ptr<Journal> journal = make_memory_journal(64 << 20);
  test::Filler fill{*journal};
  MoodySink* sink;  // the runner's
  SinkRunner runner;
};

constexpr int64_t kLong = 60'000'000'000;

TEST_CASE("each record that passes goes to the sink once and in order, whatever the sink takes at a time") {
  for (uint32_t seed = 1; seed <= 12; ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    BatchLimits limits{1 + random() % 40, 200 + random() % 4000, 1, 0};
    if (seed % 2) limits.records_step = limits.records_max, limits.linger_ns = 1'000'000;
    Bench b(seed, limits, settings_with("keep == 1 and level >= warn"));
    std::vector<std::string> expected;
    b.runner.start();
    uint64_t routed = 0;
    for (int turn = 0; turn < 60; ++turn) {
      std::vector<std::pair<Stream, std::string>> lines;
      const size_t count = random() % 5 ? random() % 30 + 1 : 1100 + random() % 50;
      const Stream of_all = kStreams[random() % kStreamCount];
      for (size_t i = 0; i < count; ++i) {
        const Stream stream = count > 1000 ? of_all : kStreams[random() % kStreamCount];
        const bool keep = random() % 3 == 0, warn = random() % 4 != 0;
        lines.emplace_back(stream, "{\"n\":" + std::to_string(turn * 10000 + int(i)) +
                                       ",\"keep\":" + (keep ? "1" : "0") + ",\"level\":\"" +
                                       (warn ? "warn" : "info") + "\"}");
        const bool own = stream == Stream::log || stream == Stream::trace;
        routed += own;
        if (own && keep && warn) expected.push_back(lines.back().second);
      }
      REQUIRE(b.fill.append(lines) == AppendResult::taken);
    }
    REQUIRE(b.runner.wait_drained(system_clock().monotonic_ns() + kLong));
    SinkStatus s = b.runner.status();
    b.runner.stop();
    CHECK(s.conservation_error() == 0);
    CHECK(s.routed == routed);
    CHECK(s.delivered == b.sink->taken.size());
    CHECK(s.quarantined["refused"] == b.sink->refused.size());
    CHECK(s.filtered["where"] == routed - expected.size());
    std::vector<std::string> got = b.sink->taken;
    got.insert(got.end(), b.sink->refused.begin(), b.sink->refused.end());
    const auto number = [](const std::string& line) { return std::stoll(line.substr(5)); };
    CHECK(std::is_sorted(b.sink->taken.begin(), b.sink->taken.end(),
                         [&](const auto& x, const auto& y) { return number(x) < number(y); }));
    std::sort(got.begin(), got.end()), std::sort(expected.begin(), expected.end());
    CHECK(got == expected);
  }
}

/// Refuses the first record of all it gets.
class RefusingSink final : public Sink {
 public:
  Result<void> open() override { return {}; }
  void close() noexcept override {}
  Delivery deliver(const BatchView&, std::stop_token) override {
    Delivery d;
    d.refused = {{0, "no", 1}};
    return d;
  }
};

TEST_CASE(
    "a refused record is whole in the quarantine, and stays in the journal while that cannot be written") {
  test::TempDir dir;
  const std::string place = dir / "q";
  std::ofstream(place) << "in the way";  // no directory can be made here
  Quarantine quarantine(system_io(), place, "s.jsonl");
  auto journal = make_memory_journal(64 << 20);
  test::Filler fill(*journal);
  SinkRunner runner("s", "refusing", {Stream::log}, std::make_unique<RefusingSink>(), nullptr,
                    {journal->open_cursor("s", {Stream::log}, StartAt::end, WhenFull::block), 0, 0, {}, {}},
                    quarantine, system_clock());
  const std::string line = "{\"message\":\"" + std::string(200'000, 'x') + "END\"}";
  REQUIRE(fill.append(Stream::log, line) == AppendResult::taken);
  runner.start();
  while (runner.status().state != "down") std::this_thread::yield();
  CHECK(runner.status().lag_records == 1);
  std::filesystem::remove(place);
  REQUIRE(runner.wait_drained(system_clock().monotonic_ns() + kLong));
  SinkStatus s = runner.status();
  runner.stop();
  CHECK(s.quarantined["refused"] == 1);
  CHECK(s.conservation_error() == 0);
  std::ostringstream text;
  text << std::ifstream(place + "/s.jsonl").rdbuf();
  CHECK(text.str().find("xEND") != std::string::npos);
}

TEST_CASE("a sink that wants full steps gets them of what passes, not of what was read") {
  Bench b(0, {100, 1 << 20, 10, -1}, settings_with("n < 100"));
  std::vector<std::pair<Stream, std::string>> lines;
  for (int i = 0; i < 1000; ++i)
    lines.emplace_back(Stream::log, "{\"n\":" + std::to_string(i % 10 ? i + 1000 : i / 10) + "}");
  REQUIRE(b.fill.append(lines) == AppendResult::taken);
  b.runner.start();
  REQUIRE(b.runner.wait_drained(system_clock().monotonic_ns() + kLong));
  b.runner.stop();
  CHECK(b.sink->taken.size() + b.sink->refused.size() == 100);
  for (size_t i = 0; i + 1 < b.sink->sizes.size(); ++i) CHECK(b.sink->sizes[i] % 10 == 0);
}

TEST_CASE("slices of traces: business logic, platform internals, and their other names") {
  const std::vector<std::pair<Stream, std::string>> lines{
      {Stream::trace, R"({"step_name":"parse"})"},
      {Stream::trace, R"({"step_name":"system.obs.flush"})"},
      {Stream::trace, R"({"step_name":"supervisor.transport"})"},
      {Stream::trace, R"({"step_name":"supervisor.transport.x"})"},
      {Stream::log, R"({"message":"no step"})"},
  };
  const auto passing = [&](const char* slice) {
    auto filter = BatchFilter::make(settings_with(nullptr, slice));
    auto journal = make_memory_journal(16 << 20);
    auto cursor = journal->open_cursor("s", StreamSet::all(), StartAt::end, WhenFull::block);
    test::Filler(*journal).append(lines);
    BatchView batch;
    REQUIRE(cursor->next(batch, {}, 0, {}));
    if (!filter) return lines.size();
    filter->judge(batch);
    CHECK(filter->filtered(5)[BatchFilter::kTraceSlice] == 5 - filter->passing_records());
    return size_t(filter->portion(batch, {}).passing.records);
  };
  CHECK(passing("all") == 5);
  CHECK(passing("full") == 5);
  CHECK(passing("business_logic") == 3);
  CHECK(passing("logical") == 3);
  CHECK(passing("platform_internals") == 2);
  CHECK(passing("topology") == 2);
}

/// Has something to remember, and to sync.
class RememberingSink final : public Sink {
 public:
  Result<void> open() override { return {}; }
  void close() noexcept override {}
  bool needs_sync() const override { return true; }
  Result<void> sync() override {
    ++syncs;
    if (syncs_to_fail == 0) return {};
    --syncs_to_fail;
    return fail("cannot sync");
  }
  void restore(SinkMemory memory) override { restored = std::move(memory); }
  std::string state() const override { return "{\"seen\":" + std::to_string(seen) + "}"; }
  Delivery deliver(const BatchView& batch, std::stop_token) override {
    const uint64_t part = batch.records > 1 ? batch.records / 2 : 1;
    seen += part;
    return part == batch.records ? Delivery::delivered() : Delivery::partial(part);
  }
  uint64_t seen = 0;
  int syncs = 0, syncs_to_fail = 0;
  SinkMemory restored;
};

struct KeptBench {
  KeptBench(test::KeptPlaces& places, const Settings& settings, bool same_boot = true)
      : cursor(new test::KeptCursor(lines, places, true, same_boot, places.cached.last)),
        sink(new RememberingSink),
        runner("s", "remembering", StreamSet::all(), std::unique_ptr<Sink>(sink), BatchFilter::make(settings),
               {std::unique_ptr<Cursor>(cursor), 0, 0, {}, {}}, quarantine, system_clock()) {}
  test::TempDir dir;
  Quarantine quarantine{system_io(), dir / "q", "s.jsonl"};
  test::KeptCursor::Lines lines = [] {
    test::KeptCursor::Lines out;
    for (int i = 0; i < 100; ++i)
      out.emplace_back(Stream::log, "{\"n\":" + std::to_string(i) + ",\"odd\":" + (i % 2 ? "1}" : "0}"));
    return out;
  }();
  test::KeptCursor* cursor;
  RememberingSink* sink;  // both the runner's
  SinkRunner runner;
};

TEST_CASE("counters and the sink's state come back with the place, of one moment") {
  test::KeptPlaces places;
  {
    KeptBench b(places, settings_with("odd == 1"));
    CHECK(b.sink->restored.state == "");
    CHECK(b.sink->restored.keep != nullptr);
    b.runner.start();
    REQUIRE(b.runner.wait_drained(system_clock().monotonic_ns() + kLong));
    const SinkStatus s = b.runner.status();
    CHECK(s.delivered == 50);
    CHECK(s.filtered.at("where") == 50);
    const SinkPlace place = b.runner.stop();
    CHECK(b.sink->syncs == 1);
    CHECK(b.cursor->secures == 1);
  }
  CHECK(places.cached.last.position == 100);
  CHECK(places.cached.secured.position == 100);
  for (const bool same_boot : {true, false}) {
    KeptBench b(places, settings_with("odd == 1"), same_boot);
    CHECK(b.sink->restored.state == R"({"seen":50})");
    CHECK(b.sink->restored.same_boot == same_boot);
    const SinkStatus s = b.runner.status();
    CHECK(s.delivered == 50);
    CHECK(s.filtered.at("where") == 50);
  }
}

TEST_CASE("a secure that is asked for is answered after a sync, also when that fails at first") {
  test::KeptPlaces places;
  KeptBench b(places, settings_with(nullptr));
  b.cursor->want_secure();
  b.sink->syncs_to_fail = 1;
  b.runner.start();
  REQUIRE(b.runner.wait_drained(system_clock().monotonic_ns() + kLong));
  CHECK(b.runner.status().retries == 1);
  CHECK(b.runner.status().last_error == "cannot sync");
  const SinkPlace place = b.runner.stop();
  CHECK(b.sink->syncs == 3);  // the last at the end
  CHECK(b.cursor->secures == 2);
}

TEST_CASE("what a sink keeps in the midst of a delivery is its state then, durable when that is asked for") {
  test::KeptPlaces places;
  KeptBench b(places, settings_with(nullptr));
  b.sink->seen = 7;
  CHECK(b.sink->restored.keep(false));
  CHECK(places.cached.last.note.find(R"("state":{"seen":7})") != std::string::npos);
  CHECK(places.durable.last.note == "");
  CHECK(b.sink->restored.keep(true));
  CHECK(places.durable.last.note == places.cached.last.note);
  CHECK(places.durable.secured.note == places.cached.last.note);
}

/// Fails as long as it is told to; its back-off ends long after any test.
class UnwillingSink final : public Sink {
 public:
  struct Seen {
    std::atomic<int> opens = 0, closes = 0, attempts = 0, syncs = 0;
    std::atomic<bool> willing = true;
  };
  explicit UnwillingSink(Seen& seen) : seen_(seen) {}
  Result<void> open() override { return ++seen_.opens, Result<void>(); }
  void close() noexcept override { ++seen_.closes; }
  BatchLimits batch_limits() const override { return {.records_step = 1000, .linger_ns = -1}; }
  Backoff backoff() const override { return {kLong, kLong, kLong}; }
  bool needs_sync() const override { return true; }
  Result<void> sync() override { return ++seen_.syncs, Result<void>(); }
  Delivery deliver(const BatchView&, std::stop_token) override {
    ++seen_.attempts;
    return seen_.willing ? Delivery::delivered() : Delivery::retry("not now");
  }

 private:
  Seen& seen_;
};

struct UnwillingBench {
  void append(int records) {
    for (int i = 0; i < records; ++i) REQUIRE(fill.append(Stream::log, "{}") == AppendResult::taken);
  }
  template <class Condition>
  SinkStatus wait(Condition condition) {
    for (;;) {
      const SinkStatus s = runner.status();
      CHECK(s.conservation_error() == 0);
      if (condition(s)) return s;
      std::this_thread::yield();
    }
  }
  test::TempDir dir;
  Quarantine quarantine{system_io(), dir / "q", "s.jsonl"};
  std::unique_ptr<Journal> journal = make_memory_journal(64 << 20);
  test::Filler fill{*journal};
  UnwillingSink::Seen seen;
  SinkRunner runner{
      "s",           "unwilling",
      {Stream::log}, std::make_unique<UnwillingSink>(seen),
      nullptr,       {journal->open_cursor("s", {Stream::log}, StartAt::end, WhenFull::block), 0, 0, {}, {}},
      quarantine,    system_clock()};
};

TEST_CASE("a paused sink is closed and takes nothing; then it goes on at its place") {
  UnwillingBench b;
  b.runner.start();
  b.runner.set_paused(true);
  SinkStatus s = b.wait([](const SinkStatus& now) { return now.resting; });
  CHECK(s.state == "paused");
  CHECK(b.seen.opens == b.seen.closes);
  b.append(2000);
  b.runner.flush();
  CHECK_FALSE(b.runner.wait_drained(0));
  CHECK(b.seen.attempts == 0);
  b.runner.set_paused(false);
  REQUIRE(b.runner.wait_drained(system_clock().monotonic_ns() + kLong));
  s = b.runner.status();
  CHECK(s.state == "ok");
  CHECK(s.delivered == 2000);
}

TEST_CASE("a pause ends the wait for another attempt, and so does a stop of what rests") {
  UnwillingBench b;
  b.seen.willing = false;
  b.runner.start();
  b.append(1000);
  b.wait([](const SinkStatus& now) { return now.state == "retrying"; });
  b.runner.set_paused(true);
  const SinkStatus s = b.wait([](const SinkStatus& now) { return now.resting; });
  CHECK(s.lag_records == 1000);
  CHECK(s.retry_in_s == 0);
  CHECK(b.seen.attempts == 1);
  b.runner.stop();
  CHECK(b.seen.opens == b.seen.closes);
}

TEST_CASE("a sink that ended here delivers what it has, paused or not") {
  for (const bool paused_first : {true, false}) {
    UnwillingBench b;
    b.runner.start();
    b.append(1);
    if (paused_first) b.runner.set_paused(true);
    b.runner.end_here();
    b.runner.set_paused(true);
    CHECK(b.runner.status().state == "draining");
    REQUIRE(b.runner.wait_drained(system_clock().monotonic_ns() + kLong));
  }
}

TEST_CASE(
    "a flush tries at once what waits for a full step or for another attempt, and syncs when it is done") {
  UnwillingBench b;
  b.runner.start();
  b.append(1);
  b.runner.flush_upto(1);
  SinkStatus s = b.wait([](const SinkStatus& now) { return now.flushed == 1; });
  CHECK(s.delivered == 1);
  CHECK(b.seen.syncs == 1);
  b.seen.willing = false;
  b.append(1000);
  for (int attempt = 2; attempt <= 4; ++attempt) {
    s = b.wait([&](const SinkStatus& now) { return now.retry_in_s > 0 && b.seen.attempts == attempt; });
    CHECK(s.flushed == 1);
    b.runner.flush_upto(1001);
  }
  b.wait([&](const SinkStatus& now) { return now.retry_in_s > 0 && b.seen.attempts == 5; });
  b.seen.willing = true;
  b.runner.flush_upto(1001);
  s = b.wait([](const SinkStatus& now) { return now.flushed == 1001; });
  CHECK(s.lag_records == 0);
  CHECK(b.seen.syncs == 2);
}

TEST_CASE("status() stays as it was when the place has gone to another") {
  UnwillingBench b;
  b.runner.start();
  b.append(1000);
  REQUIRE(b.runner.wait_drained(system_clock().monotonic_ns() + kLong));
  b.append(7);
  const SinkPlace place = b.runner.stop();
  CHECK(place.delivered == 1000);
  b.append(1);
  const SinkStatus s = b.runner.status();
  CHECK(s.delivered == 1000);
  CHECK(s.lag_records == 7);
  CHECK(s.routed == 1007);
  CHECK(s.conservation_error() == 0);
  CHECK(s.delivery.counts == place.times->delivery.snapshot().counts);
  CHECK(b.runner.stop().cursor == nullptr);
}

TEST_CASE("a note holds what it was made of, whatever the names") {
  SinkPlace place{nullptr, 12, 3, {{"where", 4}, {"a \"rule\"", 5}}, {{"refused", 6}}};
  std::string note;
  write_note(note, place, R"({"x":[1,{"y":"}"}]})");
  SinkPlace back;
  read_note(note, back);
  CHECK(back.delivered == 12);
  CHECK(back.retries == 3);
  CHECK(back.filtered == place.filtered);
  CHECK(back.quarantined == place.quarantined);
  CHECK(back.state == R"({"x":[1,{"y":"}"}]})");
  SinkPlace empty;
  read_note("", empty);
  CHECK(empty.delivered == 0);
}

}  // namespace
}  // namespace weir
