// The file sink on a disk that forgets, with a cursor whose places are kept: wherever it is killed, whatever
// a power cut leaves, each record is in its file once, in order, whole (delivery.md sections 2 and 3).
#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <random>

#include "agent/core/options.h"
#include "agent/sinks/rotated_name.h"
#include "agent/sinks/sink.h"
#include "tests/support/kept_cursor.h"
#include "tests/support/sim_disk.h"

using namespace weir;
using namespace weir::test;

namespace {

constexpr int64_t kSecond = 1'000'000'000;

struct Row {
  const char* name;
  std::vector<std::pair<const char*, OptionValue>> settings;
  const char* path = "/out/a.jsonl";
};

const std::vector<Row>& rows() {
  static const std::vector<Row> list{
      {"one file", {}},
      {"synced every 3", {{"fsync_every_n", int64_t(3)}}},
      {"rotated after 3 lines", {{"rotate.max_bytes", int64_t(30)}}},
      {"rotated after each", {{"rotate.max_bytes", int64_t(1)}, {"write_mode", std::string("line")}}},
      {"rotated by age", {{"rotate.every", int64_t(2 * kSecond)}}},
      {"a file for each stream", {}, "/out/{stream}/a.jsonl"},
      {"the same, rotated after 3 lines", {{"rotate.max_bytes", int64_t(30)}}, "/out/{stream}/a.jsonl"},
      {"the same in steps of 2",
       {{"rotate.max_bytes", int64_t(30)},
        {"write_mode", std::string("batch")},
        {"flush_every_n", int64_t(2)}},
       "/out/{stream}.jsonl"},
  };
  return list;
}

KeptCursor::Lines lines_of(int count) {
  KeptCursor::Lines lines;
  for (int i = 0; i < count; ++i)
    lines.emplace_back(i % 3 == 1 ? Stream::trace : Stream::log, "{\"n\":" + std::to_string(i + 10) + "}");
  return lines;
}

/// What there is of a sink between two lives: a snapshot when copied.
struct World {
  SimDisk disk;
  KeptPlaces places;
};

/// One process's life of the sink over a world: as SinkRunner drives it.
struct Life {
  Life(const Row& row, World& w, const KeptCursor::Lines& lines, ManualClock& manual_clock, bool eager,
       bool same_boot = true, std::optional<KeptPlaces::Place> begin = {})
      : world(w),
        clock(manual_clock),
        cursor(lines, w.places, eager, same_boot, begin.value_or(w.places.cached.last)) {
    const SinkType* type = find_sink_type("file");
    Settings settings = default_settings(type->type.options);
    settings.set("path", std::string(row.path));
    for (const auto& [name, value] : row.settings) settings.set(name, value);
    sink = type->make(settings, {"s", w.disk, clock, nullptr});
    cursor.set_needs_secure(sink->needs_sync());
    cursor.batch_records_max = 4;
    sink->restore({cursor.memory().note, same_boot, [this](bool durable) {
                     if (durable && !cursor.wait_durable({})) return false;
                     const std::string state = sink->state();
                     if (durable) cursor.secure(state);
                     return cursor.keep(state, durable);
                   }});
  }
  ~Life() { world.disk.halt(); }

  /// To the end, or until it has failed too often.
  void run(int failures_max = 20) {
    bool open = false;
    BatchView batch;
    for (int turn = 0, failures = 0; failures < failures_max; ++turn) {
      if (!open && !(open = sink->open().has_value())) {
        ++failures;
        continue;
      }
      clock.advance_ns(kSecond);
      const auto close = [&] { sink->close(), open = false, ++failures; };
      if (turn % 5 == 4 && !secure()) {
        close();
        continue;
      }
      if (sink->due_ns() <= clock.monotonic_ns()) sink->on_due();
      if (between) between(turn);
      if (!cursor.next(batch, sink->batch_limits(), 0, {})) break;
      const Delivery d = sink->deliver(batch, {});
      const bool all = d.kind == Delivery::Kind::delivered;
      if (d.kind == Delivery::Kind::partial) CHECK(d.done > 0);
      if (all || d.done > 0) cursor.commit(all ? batch : first_records(batch, d.done), sink->state());
      if (d.kind == Delivery::Kind::down) close();
    }
  }
  bool secure() {
    cursor.wait_durable({});
    if (!sink->sync()) return false;
    cursor.secure(sink->state());
    return true;
  }

  World& world;
  ManualClock& clock;
  KeptCursor cursor;
  std::unique_ptr<Sink> sink;
  std::function<void(int turn)> between;  ///< two deliveries
};

/// All that is in files of that name, rotated ones first, in order.
std::string text_beside(const SimDisk& disk, const std::string& directory, const std::string& name) {
  std::vector<std::tuple<std::string, uint64_t, std::string>> rotated;
  if (disk.exists(directory))
    for (const std::string& other : disk.names(directory)) {
      RotatedName parsed;
      if (parse_rotated_name(other, parsed) && parsed.base == name)
        rotated.emplace_back(parsed.stamp, parsed.number, other);
    }
  std::ranges::sort(rotated);
  std::string out;
  for (const auto& [stamp, number, other] : rotated) out += disk.content(directory + "/" + other);
  const std::string active = directory + "/" + name;
  return disk.exists(active) ? out + disk.content(active) : out;
}

std::string text_of(const Row& row, const SimDisk& disk) {
  const std::string path = row.path;
  if (path == "/out/a.jsonl") return text_beside(disk, "/out", "a.jsonl");
  std::string out;
  for (const char* stream : {"log", "trace"})
    out += path == "/out/{stream}.jsonl" ? text_beside(disk, "/out", std::string(stream) + ".jsonl")
                                         : text_beside(disk, std::string("/out/") + stream, "a.jsonl");
  return out;
}

std::string expected_of(const Row& row, const KeptCursor::Lines& lines) {
  const bool one = std::string(row.path) == "/out/a.jsonl";
  std::string log, trace;
  for (const auto& [stream, line] : lines) (one || stream == Stream::log ? log : trace) += line + "\n";
  return log + trace;
}

constexpr PowerCut kLoseAll{PowerCut::Data::lost, PowerCut::Changes::lost, PowerCut::Changes::lost};
constexpr PowerCut kKeepAll{PowerCut::Data::kept, PowerCut::Changes::kept, PowerCut::Changes::kept};

enum class End { kill, power_late, power_early };  ///< which checkpoint a power cut leaves

/// The world after such an end of a life, and where the next one begins.
World after(const World& world, End end, SimRandom& random, KeptPlaces::Place& begin) {
  if (end == End::kill) {
    begin = world.places.cached.last;
    return {world.disk.after_crash(), world.places};
  }
  const PowerCut how = random() % 3 == 0 ? kLoseAll : random() % 2 == 0 ? kKeepAll : PowerCut{};
  World out{world.disk.after_power_cut(random, how), world.places};
  auto& checkpoint = end == End::power_late ? out.places.cached : out.places.durable;
  begin = checkpoint.secured;
  out.places.cached = out.places.durable = {begin, begin};
  out.places.written = false;
  return out;
}

/// Runs a life and gives back the worlds as they were before each call on the disk.
std::vector<World> moments(Life& life) {
  std::vector<World> out;
  life.world.disk.on_call = [&](const SimCall&) {
    out.push_back(life.world);
    out.back().disk.on_call = nullptr;
  };
  life.run();
  life.world.disk.on_call = nullptr;
  return out;
}

}  // namespace

TEST_CASE("wherever the file sink is killed or its power cut, each record is in its file once") {
  SimRandom random(1);
  const auto lines = lines_of(23);
  for (const Row& row : rows())
    for (const bool eager : {true, false}) {
      ManualClock clock;
      World first{SimDisk(clock), {}};
      Life life(row, first, lines, clock, eager);
      const auto worlds = moments(life);
      REQUIRE(text_of(row, first.disk) == expected_of(row, lines));
      REQUIRE(worlds.size() > 20);
      for (size_t n = 0; n < worlds.size(); ++n)
        for (const End end : {End::kill, End::power_late, End::power_early}) {
          INFO(std::string(row.name));
          CAPTURE(eager);
          CAPTURE(n);
          CAPTURE(int(end));
          ManualClock later = clock;
          KeptPlaces::Place begin;
          World second = after(worlds[n], end, random, begin);
          {
            Life again(row, second, lines, later, eager, end == End::kill, begin);
            again.run();
            REQUIRE(again.cursor.now().position == lines.size());
          }
          REQUIRE(text_of(row, second.disk) == expected_of(row, lines));
        }
    }
}

TEST_CASE("nor does a second end, in the middle of making the first one good") {
  SimRandom random(2);
  const auto lines = lines_of(14);
  for (const Row& row : rows()) {
    ManualClock clock;
    World first{SimDisk(clock), {}};
    Life life(row, first, lines, clock, random() % 2);
    const auto worlds = moments(life);
    for (size_t n = 0; n < worlds.size(); n += 1 + random() % 3) {
      ManualClock later = clock;
      KeptPlaces::Place begin;
      const End end = End(random() % 3);
      World second = after(worlds[n], end, random, begin);
      Life again(row, second, lines, later, random() % 2, end == End::kill, begin);
      const auto more = moments(again);
      for (size_t m = 0; m < more.size(); m += 1 + random() % 5) {
        INFO(std::string(row.name));
        CAPTURE(n);
        CAPTURE(int(end));
        CAPTURE(m);
        const End end_again = End(random() % 3);
        CAPTURE(int(end_again));
        ManualClock latest = later;
        World third = after(more[m], end_again, random, begin);
        {
          // A kill in a boot that has written no checkpoint yet is still an end of the boot before.
          const bool same_boot = end_again == End::kill && (end == End::kill || more[m].places.written);
          Life last(row, third, lines, latest, random() % 2, same_boot, begin);
          last.run();
          REQUIRE(last.cursor.now().position == lines.size());
        }
        REQUIRE(text_of(row, third.disk) == expected_of(row, lines));
      }
    }
  }
}

TEST_CASE("whichever call fails, and wherever it ends after that, each record is in its file once") {
  SimRandom random(3);
  const auto lines = lines_of(14);
  for (const Row& row : rows())
    for (const int error : {EIO, ENOSPC})
      for (uint64_t call = 0;; ++call) {
        ManualClock clock;
        World first{SimDisk(clock), {}};
        Life life(row, first, lines, clock, random() % 2);
        first.disk.faults = [=](const SimCall& c) -> std::optional<SimFault> {
          // What a failed sync may have lost is another test's.
          if (c.number != call || c.kind == IoCall::sync) return {};
          return SimFault{error};
        };
        const auto worlds = moments(life);
        INFO(std::string(row.name));
        CAPTURE(call);
        REQUIRE(text_of(row, first.disk) == expected_of(row, lines));
        if (first.disk.calls <= call) break;
        for (int i = 0; i < 10; ++i) {
          const size_t n = random() % worlds.size();
          const End end = End(random() % 3);
          CAPTURE(n);
          CAPTURE(int(end));
          ManualClock later = clock;
          KeptPlaces::Place begin;
          World second = after(worlds[n], end, random, begin);
          {
            Life again(row, second, lines, later, random() % 2, end == End::kill, begin);
            again.run();
            REQUIRE(again.cursor.now().position == lines.size());
          }
          REQUIRE(text_of(row, second.disk) == expected_of(row, lines));
        }
      }
}

TEST_CASE("a write that is cut short, in the midst of a line too, is taken back before anything else comes") {
  SimRandom random(4);
  const auto lines = lines_of(14);
  for (const Row& row : rows())
    for (uint64_t call = 0;; ++call) {
      ManualClock clock;
      World first{SimDisk(clock), {}};
      Life life(row, first, lines, clock, true);
      const size_t bytes = 1 + random() % 12;
      int writes = 0;
      first.disk.faults = [=, &writes](const SimCall& c) -> std::optional<SimFault> {
        if (c.kind != IoCall::write || c.number < call || writes == 2) return {};
        return writes++ == 0 ? SimFault{0, bytes} : SimFault{ENOSPC};
      };
      const auto worlds = moments(life);
      INFO(std::string(row.name));
      CAPTURE(call);
      REQUIRE(text_of(row, first.disk) == expected_of(row, lines));
      if (writes == 0) break;
      for (int i = 0; i < 10; ++i) {
        const size_t n = random() % worlds.size();
        const End end = End(random() % 3);
        CAPTURE(n);
        CAPTURE(int(end));
        ManualClock later = clock;
        KeptPlaces::Place begin;
        World second = after(worlds[n], end, random, begin);
        {
          Life again(row, second, lines, later, true, end == End::kill, begin);
          again.run();
          REQUIRE(again.cursor.now().position == lines.size());
        }
        REQUIRE(text_of(row, second.disk) == expected_of(row, lines));
      }
    }
}

TEST_CASE(
    "what a sync that failed has not brought to the disk is written again, before the journal lets go of "
    "it") {
  SimRandom random(5);
  const auto lines = lines_of(14);
  for (const Row& row : rows())
    for (uint64_t call = 0;; ++call) {
      ManualClock clock;
      World first{SimDisk(clock), {}};
      Life life(row, first, lines, clock, true);
      int failed = 0;
      first.disk.faults = [=, &failed](const SimCall& c) -> std::optional<SimFault> {
        if (c.kind != IoCall::sync || c.number < call || failed > 1) return {};
        return ++failed, SimFault{EIO};
      };
      const auto worlds = moments(life);
      INFO(std::string(row.name));
      CAPTURE(call);
      REQUIRE(text_of(row, first.disk) == expected_of(row, lines));
      if (failed == 0) break;
      for (int i = 0; i < 10; ++i) {
        const size_t n = random() % worlds.size();
        const End end = random() % 2 ? End::power_late : End::power_early;
        CAPTURE(n);
        CAPTURE(int(end));
        ManualClock later = clock;
        KeptPlaces::Place begin;
        World second = after(worlds[n], end, random, begin);
        {
          Life again(row, second, lines, later, true, false, begin);
          again.run();
          REQUIRE(again.cursor.now().position == lines.size());
        }
        REQUIRE(text_of(row, second.disk) == expected_of(row, lines));
      }
    }
}

TEST_CASE(
    "others rename the file between deliveries: killed at any call, each record is in one of the files") {
  SimRandom random(6);
  const auto lines = lines_of(23);
  const auto all_lines = [](const SimDisk& disk) {
    std::vector<std::string> out;
    for (const std::string& name : disk.names("/out")) {
      const std::string text = disk.content("/out/" + name);
      for (size_t begin = 0; begin < text.size();) {
        const size_t end = text.find('\n', begin);
        REQUIRE(end != text.npos);
        out.push_back(text.substr(begin, end - begin));
        begin = end + 1;
      }
    }
    std::ranges::sort(out);
    return out;
  };
  std::vector<std::string> expected;
  for (const auto& [stream, line] : lines) expected.push_back(line);
  std::ranges::sort(expected);
  for (const Row& row : rows()) {
    if (std::string(row.path) != "/out/a.jsonl") continue;
    ManualClock clock;
    World first{SimDisk(clock), {}};
    Life life(row, first, lines, clock, true);
    int moved = 0;
    life.between = [&](int turn) {
      if (turn % 2 == 1 && first.disk.exists("/out/a.jsonl"))
        first.disk.rename("/out/a.jsonl", "/out/moved." + std::to_string(moved++));
    };
    const auto worlds = moments(life);
    INFO(std::string(row.name));
    REQUIRE(moved > 1);
    REQUIRE(all_lines(first.disk) == expected);
    for (size_t n = 0; n < worlds.size(); ++n) {
      CAPTURE(n);
      ManualClock later = clock;
      KeptPlaces::Place begin;
      World second = after(worlds[n], End::kill, random, begin);
      {
        Life again(row, second, lines, later, true, true, begin);
        again.run();
      }
      REQUIRE(all_lines(second.disk) == expected);
    }
  }
}

TEST_CASE("a file of somebody else in the place of ours is neither written to nor cut") {
  SimRandom random(7);
  const auto lines = lines_of(9);
  const std::string precious(1000, 'p');
  for (const Row& row : rows())
    for (const End end : {End::kill, End::power_late}) {
      if (std::string(row.path) != "/out/a.jsonl") continue;
      INFO(std::string(row.name));
      ManualClock clock;
      World first{SimDisk(clock), {}};
      {
        Life life(row, first, lines, clock, true);
        life.run();
        REQUIRE(life.secure());
      }
      KeptPlaces::Place begin;
      World second = after(first, end, random, begin);
      clock.advance_ns(kSecond);
      second.disk.remove("/out/a.jsonl");  // its inode number is free
      second.disk.put("/out/a.jsonl", precious);
      auto more = lines;
      more.insert(more.end(), lines.begin(), lines.end());
      Life again(row, second, more, clock, true, end == End::kill, begin);
      again.run();
      CHECK(text_of(row, second.disk).find(precious) != std::string::npos);
      CHECK(second.disk.content("/out/a.jsonl").find('p') == std::string::npos);
    }
}
