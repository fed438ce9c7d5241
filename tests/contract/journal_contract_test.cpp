// Every Journal runs this suite; a new implementation is one row in `implementations()`.
#include <doctest/doctest.h>

#include <atomic>
#include <random>
#include <thread>

#include "agent/journal/disk_journal.h"
#include "tests/support/faulty_io.h"
#include "tests/support/journal_fill.h"
#include "tests/support/temp_dir.h"

namespace weir {
namespace {

using test::Filler;
using test::lines_of;
using Lines = std::vector<std::string>;

struct Implementation {
  const char* name;
  std::unique_ptr<Journal> (*make)(uint64_t bytes_max);
};
/// With small segments, and each step done before a call returns.
std::unique_ptr<Journal> make_disk_journal(uint64_t bytes_max) {
  static std::deque<test::TempDir> directories;
  static test::FaultyIo io;  // does not sync
  const test::TempDir& directory = directories.emplace_back();
  DiskJournalOptions options;
  options.path = directory / "journal", options.quarantine = directory / "quarantine";
  options.bytes_max = bytes_max, options.segment_bytes = bytes_max / 16;
  options.work = DiskJournalOptions::Work::at_once;
  auto journal = DiskJournal::open(options, io, system_clock());
  REQUIRE_MESSAGE(journal, journal.error().message);
  return std::move(*journal);
}
const std::vector<Implementation>& implementations() {
  static const std::vector<Implementation> list{{"memory", make_memory_journal}, {"disk", make_disk_journal}};
  return list;
}

template <class Fn>
void for_each_journal(uint64_t bytes_max, Fn fn) {
  for (const Implementation& i : implementations()) {
    CAPTURE(i.name);
    auto journal = i.make(bytes_max);
    fn(*journal);
  }
}

constexpr StreamSet kAll = StreamSet::all();
constexpr uint64_t kRoomy = 16 << 20, kSmall = 256 << 10;

Lines read_all(Cursor& cursor, const BatchLimits& limits = {}) {
  Lines out;
  BatchView batch;
  while (cursor.next(batch, limits, 0, {})) {
    for (auto& line : lines_of(batch)) out.push_back(line);
    cursor.commit(batch);
  }
  return out;
}

uint64_t lag(const Cursor& cursor) { return cursor.status().lag_records; }

TEST_CASE("a part of a batch ends behind its last record, whatever of other streams lies between") {
  for_each_journal(kRoomy, [](Journal& journal) {
    Filler fill(journal);
    auto cursor = journal.open_cursor("logs", {Stream::log}, StartAt::end, WhenFull::block);
    fill.append(Stream::log, "0");
    fill.append(std::vector<std::pair<Stream, std::string>>(1100, {Stream::telemetry, "t"}));
    for (char c = '1'; c <= '9'; ++c) fill.append(Stream::log, std::string(1, c));
    BatchView batch;
    REQUIRE(cursor->next(batch, {}, 0, {}));
    REQUIRE(batch.records == 10);
    cursor->commit(first_records(batch, 6));
    CHECK(lag(*cursor) == 4);
    CHECK(read_all(*cursor) == Lines{"6", "7", "8", "9"});
    CHECK(cursor->status().passed == 10);
  });
}

TEST_CASE("a cursor that may drop is never more bytes behind than its own limit, and counts what it skips") {
  for_each_journal(kRoomy, [](Journal& journal) {
    Filler fill(journal);
    auto cursor =
        journal.open_cursor("short", {Stream::log}, StartAt::end, LagLimit(WhenFull::drop_oldest, 100'000));
    auto other = journal.open_cursor("long", {Stream::log}, StartAt::end, WhenFull::drop_oldest);
    const std::string line(999, 'x');
    BatchView in_hand;
    for (int i = 0; i < 5000; ++i) {
      REQUIRE(fill.append(i % 3 ? Stream::log : Stream::trace, line) == AppendResult::taken);
      CHECK(cursor->status().lag_bytes <= 100'000 + in_hand.bytes);
      if (i == 50) REQUIRE(cursor->next(in_hand, {10, 1 << 20}, 0, {}));
    }
    CursorStatus s = cursor->status();
    CHECK(s.dropped_lag > 3000);
    CHECK(s.routed == s.passed + s.lag_records);
    cursor->commit(in_hand);  // what it had in its hands was not lost
    const uint64_t dropped = cursor->status().dropped_lag, left = cursor->status().lag_records;
    CHECK(read_all(*cursor).size() == left);
    CHECK(dropped + left + 10 == 3333);
    CHECK(cursor->status().passed == 3333);
    CHECK(lag(*other) == 3333);
    fill.append(Stream::log, "goes on");
    CHECK(read_all(*cursor) == Lines{"goes on"});
  });
}

TEST_CASE("a cursor that blocks holds the journal at its own limit until it has read on") {
  for_each_journal(kRoomy, [](Journal& journal) {
    Filler fill(journal);
    int told = 0;
    journal.on_space([&] { ++told; });
    auto cursor =
        journal.open_cursor("slow", {Stream::log}, StartAt::end, LagLimit(WhenFull::block, 100'000));
    const std::string line(999, 'x');
    int taken = 0;
    while (fill.append(Stream::log, line) == AppendResult::taken) REQUIRE(++taken < 1000);
    CHECK(taken == 100);
    CHECK(journal.status().state == "full");
    CHECK(told == 0);
    BatchView batch;
    REQUIRE(cursor->next(batch, {1, 1 << 20}, 0, {}));
    cursor->commit(batch);
    CHECK(told == 1);
    CHECK(fill.append(Stream::log, line) == AppendResult::taken);
    CHECK(fill.append(Stream::log, line) == AppendResult::full);
    CHECK(fill.append(Stream::trace, line) == AppendResult::taken);  // not one of its own
  });
}

TEST_CASE("a journal has a name of its own") {
  for_each_journal(kRoomy, [](Journal& journal) {
    const std::string uuid = journal.uuid();
    CHECK(uuid.size() == 36);
    CHECK(uuid == journal.uuid());
    for_each_journal(kRoomy, [&](Journal& other) { CHECK(other.uuid() != uuid); });
  });
}

TEST_CASE("enough bytes are as good as a full step of records") {
  for_each_journal(kRoomy, [](Journal& journal) {
    Filler fill(journal);
    auto cursor = journal.open_cursor("steps", {Stream::log}, StartAt::end, WhenFull::block);
    BatchLimits limits{.records_step = 100, .linger_ns = -1, .bytes_step = 50};
    BatchView batch;
    fill.append(Stream::log, std::string(30, 'x'));
    fill.append(Stream::trace, std::string(300, 'x'));
    CHECK_FALSE(cursor->next(batch, limits, 0, {}));
    fill.append(Stream::log, std::string(30, 'x'));
    REQUIRE(cursor->next(batch, limits, 0, {}));
    CHECK(batch.records == 2);
  });
}

TEST_CASE("a cursor sees what is appended after it was opened, in order") {
  for_each_journal(kRoomy, [](Journal& journal) {
    Filler fill(journal);
    fill.append(Stream::log, "before");
    auto end = journal.open_cursor("end", kAll, StartAt::end, WhenFull::block);
    auto oldest = journal.open_cursor("oldest", kAll, StartAt::oldest, WhenFull::block);
    fill.append({{Stream::log, "a"}, {Stream::trace, "b"}});
    fill.append(Stream::log, "c");
    CHECK(read_all(*end) == Lines{"a", "b", "c"});
    CHECK(read_all(*oldest) == Lines{"before", "a", "b", "c"});
    CHECK(journal.written() == 4);
  });
}

TEST_CASE("a cursor of some streams sees only theirs and its lag counts only theirs") {
  for_each_journal(kRoomy, [](Journal& journal) {
    Filler fill(journal);
    auto cursor = journal.open_cursor("c", {Stream::trace}, StartAt::end, WhenFull::block);
    fill.append({{Stream::log, "l1"}, {Stream::trace, "t1"}, {Stream::log, "l2"}});
    fill.append(Stream::log, "l3");
    CHECK(lag(*cursor) == 1);
    CHECK(cursor->status().lag_bytes == 3);
    CHECK(read_all(*cursor) == Lines{"t1"});
    fill.append(Stream::log, "l4");
    CHECK(lag(*cursor) == 0);
  });
}

TEST_CASE("other streams count from the moment they are given; what lay before stays") {
  for_each_journal(kRoomy, [](Journal& journal) {
    Filler fill(journal);
    auto cursor = journal.open_cursor("c", {Stream::trace}, StartAt::end, WhenFull::block);
    auto idle = journal.open_cursor("idle", {}, StartAt::end, WhenFull::block);
    fill.append({{Stream::log, "l1"}, {Stream::trace, "t1"}, {Stream::log, "l2"}});
    cursor->set_streams({Stream::log});
    idle->set_streams({Stream::trace});
    fill.append({{Stream::trace, "t2"}, {Stream::log, "l3"}});
    cursor->set_streams({});
    fill.append({{Stream::trace, "t3"}, {Stream::log, "l4"}});
    cursor->set_streams(kAll);
    fill.append(Stream::log, "l5");
    CHECK(lag(*cursor) == 3);
    CHECK(cursor->status().routed == 3);
    CHECK(read_all(*cursor) == Lines{"t1", "l3", "l5"});
    CHECK(read_all(*idle) == Lines{"t2", "t3"});
    CHECK(cursor->status().passed == 3);
    cursor->end_here();
    fill.append(Stream::log, "l6");
    cursor->set_streams(kAll);
    fill.append(Stream::log, "l7");
    CHECK(read_all(*cursor) == Lines{"l7"});
  });
}

TEST_CASE("a part of a batch may be committed; the rest comes again") {
  for_each_journal(kRoomy, [](Journal& journal) {
    Filler fill(journal);
    auto cursor = journal.open_cursor("c", {Stream::trace}, StartAt::end, WhenFull::block);
    for (int i = 0; i < 4; ++i)
      fill.append({{Stream::log, "l"},
                   {Stream::trace, "t" + std::to_string(2 * i)},
                   {Stream::trace, "t" + std::to_string(2 * i + 1)}});
    BatchView batch;
    REQUIRE(cursor->next(batch, {}, 0, {}));
    BatchView part = first_records(batch, 3);
    CHECK(lines_of(part) == Lines{"t0", "t1", "t2"});
    cursor->commit(part);
    CHECK(cursor->status().passed == 3);
    CHECK(read_all(*cursor) == Lines{"t3", "t4", "t5", "t6", "t7"});
  });
}

TEST_CASE("what is not committed comes again") {
  for_each_journal(kRoomy, [](Journal& journal) {
    Filler fill(journal);
    auto cursor = journal.open_cursor("c", kAll, StartAt::end, WhenFull::block);
    fill.append(Stream::log, "a");
    BatchView batch;
    REQUIRE(cursor->next(batch, {}, 0, {}));
    fill.append(Stream::log, "b");
    REQUIRE(cursor->next(batch, {}, 0, {}));
    CHECK(lines_of(batch) == Lines{"a", "b"});
    cursor->commit(batch);
    CHECK_FALSE(cursor->next(batch, {}, 0, {}));
  });
}

TEST_CASE("limits cut a batch anywhere, within a transaction too") {
  for_each_journal(kRoomy, [](Journal& journal) {
    Filler fill(journal);
    auto cursor = journal.open_cursor("c", {Stream::trace}, StartAt::end, WhenFull::block);
    std::vector<std::pair<Stream, std::string>> turn;
    Lines expected;
    for (int i = 0; i < 1000; ++i) {
      turn.emplace_back(i % 3 ? Stream::trace : Stream::log, "line " + std::to_string(i));
      if (i % 3) expected.push_back(turn.back().second);
      if (i % 70 == 69) fill.append(turn), turn.clear();
    }
    fill.append(turn);
    BatchLimits limits;
    limits.records_max = 7;
    BatchView batch;
    Lines got;
    while (cursor->next(batch, limits, 0, {})) {
      CHECK(batch.records <= 7);
      CHECK(batch.records == lines_of(batch).size());
      for (auto& line : lines_of(batch)) got.push_back(line);
      cursor->commit(batch);
    }
    CHECK(got == expected);
    CHECK(cursor->status().passed == expected.size());
  });
}

TEST_CASE("a batch holds at least one record, even one larger than its byte limit") {
  for_each_journal(kRoomy, [](Journal& journal) {
    Filler fill(journal);
    auto cursor = journal.open_cursor("c", kAll, StartAt::end, WhenFull::block);
    fill.append({{Stream::log, std::string(5000, 'x')}, {Stream::log, "y"}});
    BatchLimits limits;
    limits.bytes_max = 100;
    BatchView batch;
    REQUIRE(cursor->next(batch, limits, 0, {}));
    CHECK(batch.records == 1);
  });
}

TEST_CASE("a step is waited for, and let go by flush") {
  for_each_journal(kRoomy, [](Journal& journal) {
    Filler fill(journal);
    auto cursor = journal.open_cursor("c", kAll, StartAt::end, WhenFull::block);
    BatchLimits limits;
    limits.records_step = 3;
    limits.linger_ns = -1;
    for (int i = 0; i < 8; ++i) fill.append(Stream::log, std::to_string(i));
    BatchView batch;
    REQUIRE(cursor->next(batch, limits, 0, {}));
    CHECK(batch.records == 6);
    cursor->commit(batch);
    CHECK_FALSE(cursor->next(batch, limits, 0, {}));
    cursor->flush();
    REQUIRE(cursor->next(batch, limits, 0, {}));
    CHECK(lines_of(batch) == Lines{"6", "7"});
  });
}

TEST_CASE("full of what a block cursor has not passed: nothing is lost, and room is told once") {
  for_each_journal(kSmall, [](Journal& journal) {
    Filler fill(journal);
    auto cursor = journal.open_cursor("c", kAll, StartAt::end, WhenFull::block);
    cursor->set_needs_secure(false);
    std::atomic<int> told = 0;
    journal.on_space([&] { ++told; });
    uint64_t taken = 0;
    while (fill.append(Stream::log, std::string(1000, 'x')) == AppendResult::taken) REQUIRE(++taken < 1000);
    CHECK(taken > 100);
    CHECK(journal.status().state == "full");
    CHECK(told == 0);
    CHECK(read_all(*cursor).size() == taken);
    CHECK(told == 1);
    CHECK(fill.append(Stream::log, "again") == AppendResult::taken);
    CHECK(journal.status().state == "ok");
    CHECK(cursor->status().dropped_lag == 0);
  });
}

TEST_CASE("a drop_oldest cursor never holds the journal up, and what it missed is counted exactly") {
  for_each_journal(kSmall, [](Journal& journal) {
    Filler fill(journal);
    auto cursor = journal.open_cursor("c", kAll, StartAt::end, WhenFull::drop_oldest);
    for (int i = 0; i < 5000; ++i)
      REQUIRE(fill.append(Stream::log, std::to_string(i) + std::string(200, 'x')) == AppendResult::taken);
    CursorStatus before = cursor->status();
    CHECK(before.dropped_lag > 0);
    CHECK(before.routed == 5000);
    uint64_t got = read_all(*cursor).size();
    CursorStatus after = cursor->status();
    CHECK(after.dropped_lag == before.dropped_lag);
    CHECK(got + after.dropped_lag == 5000);
    CHECK(after.lag_records == 0);
  });
}

TEST_CASE("a batch in hand stays readable when the journal drops its records, and counts as delivered") {
  for_each_journal(kSmall, [](Journal& journal) {
    Filler fill(journal);
    auto cursor = journal.open_cursor("c", kAll, StartAt::end, WhenFull::drop_oldest);
    fill.append({{Stream::log, "a"}, {Stream::log, "b"}});
    BatchView batch;
    REQUIRE(cursor->next(batch, {}, 0, {}));
    uint64_t more = 3000;
    for (uint64_t i = 0; i < more; ++i) fill.append(Stream::log, std::string(300, 'x'));
    CHECK(lines_of(batch) == Lines{"a", "b"});
    CursorStatus s = cursor->status();
    CHECK(s.routed == more + 2);
    CHECK(s.passed + s.lag_records == s.routed);
    cursor->commit(batch);
    uint64_t got = read_all(*cursor).size();
    CHECK(got + cursor->status().dropped_lag == more);
  });
}

TEST_CASE("a cursor that turns from block to drop_oldest lets a full journal go on") {
  for_each_journal(kSmall, [](Journal& journal) {
    Filler fill(journal);
    auto cursor = journal.open_cursor("c", kAll, StartAt::end, WhenFull::block);
    int told = 0;
    journal.on_space([&] { ++told; });
    uint64_t taken = 0;
    while (fill.append(Stream::log, std::string(1000, 'x')) == AppendResult::taken) REQUIRE(++taken < 1000);
    cursor->set_lag_limit(WhenFull::drop_oldest);
    CHECK(told == 1);
    CHECK(fill.append(Stream::log, "again") == AppendResult::taken);
    CHECK(cursor->status().dropped_lag > 0);
  });
}

TEST_CASE("end_here leaves later records to others") {
  for_each_journal(kRoomy, [](Journal& journal) {
    Filler fill(journal);
    auto cursor = journal.open_cursor("c", kAll, StartAt::end, WhenFull::block);
    fill.append({{Stream::log, "a"}, {Stream::log, "b"}});
    cursor->end_here();
    fill.append(Stream::log, "c");
    CHECK(lag(*cursor) == 2);
    CHECK(read_all(*cursor) == Lines{"a", "b"});
    BatchView batch;
    CHECK_FALSE(cursor->next(batch, {}, -1, {}));
  });
}

TEST_CASE("next wakes for an append and for a stop request") {
  for_each_journal(kRoomy, [](Journal& journal) {
    Filler fill(journal);
    auto cursor = journal.open_cursor("c", kAll, StartAt::end, WhenFull::block);
    std::atomic<int> records = 0;
    std::jthread reader([&](std::stop_token stop) {
      BatchView batch;
      while (cursor->next(batch, {}, -1, stop)) {
        records += int(batch.records);
        cursor->commit(batch);
        records.notify_all();
      }
    });
    for (int i = 1; i <= 3; ++i) {
      fill.append(Stream::log, "x");
      for (int seen = records; seen < i; seen = records) records.wait(seen);
    }
    reader.request_stop();
    reader.join();
    CHECK(records == 3);
  });
}

TEST_CASE("a reader that waits is woken for what comes after the journal was full") {
  for_each_journal(kRoomy, [](Journal& journal) {
    Filler fill(journal);
    auto slow = journal.open_cursor("slow", kAll, StartAt::oldest, {WhenFull::block, 8});
    auto fast = journal.open_cursor("fast", kAll, StartAt::oldest, WhenFull::drop_oldest);
    std::atomic<uint64_t> read{0};
    std::jthread reader([&](std::stop_token stop) {
      BatchView batch;
      while (fast->next(batch, {}, -1, stop)) {
        fast->commit(batch);
        read += batch.records;
        read.notify_all();
      }
    });
    // A lost wake-up shows as a test that hangs: the reader gets no other.
    const auto wait_for = [&](uint64_t records) {
      for (uint64_t now; (now = read) < records;) read.wait(now);
    };
    for (uint64_t n = 1; n <= 200; n += 2) {
      fill.append(Stream::log, "five");
      wait_for(n);
      REQUIRE(fill.append(Stream::log, "more") == AppendResult::full);
      read_all(*slow);
      REQUIRE(fill.append(Stream::log, "more") == AppendResult::taken);
      wait_for(n + 1);
      read_all(*slow);
    }
    reader.request_stop();
    reader.join();
  });
}

TEST_CASE("any interleaving keeps the balance (seeded)") {
  for_each_journal(kSmall, [](Journal& journal) {
    uint64_t seed = std::random_device{}();
    CAPTURE(seed);
    std::mt19937_64 random(seed);
    Filler fill(journal);
    std::vector<std::unique_ptr<Cursor>> cursors;
    std::vector<uint64_t> delivered;
    for (int i = 0; i < 4; ++i) {
      StreamSet streams = i == 0 ? kAll : StreamSet{kStreams[size_t(i)]};
      cursors.push_back(
          journal.open_cursor("c", streams, StartAt::end, i < 2 ? WhenFull::block : WhenFull::drop_oldest));
      delivered.push_back(0);
    }
    std::vector<std::pair<Stream, std::string>> waiting;
    for (int step = 0; step < 20000; ++step) {
      if (random() % 3 == 0 || waiting.empty())
        waiting.emplace_back(kStreams[random() % 4], std::string(random() % 600, 'x'));
      if (fill.append(waiting) == AppendResult::taken) waiting.clear();
      size_t c = random() % 4;
      BatchView batch;
      BatchLimits limits;
      limits.records_max = 1 + random() % 50;
      if (random() % 2 && cursors[c]->next(batch, limits, 0, {}) && random() % 4) {
        cursors[c]->commit(batch);
        delivered[c] += batch.records;
      }
      if (random() % 200 == 0)
        cursors[c]->set_streams(random() % 2 ? kAll : StreamSet{kStreams[random() % 4]});
      CursorStatus s = cursors[c]->status();
      REQUIRE(s.passed == delivered[c] + s.dropped_lag);
      REQUIRE(s.routed == s.passed + s.lag_records);
      if (waiting.size() > 40) waiting.clear();
    }
    REQUIRE(cursors[0]->status().dropped_lag == 0);
  });
}

}  // namespace
}  // namespace weir
