// What the contract suite (tests/contract) cannot see: what is left when the process or the machine goes.
#include "agent/journal/disk_journal.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "tests/support/faulty_io.h"
#include "tests/support/journal_fill.h"
#include "tests/support/temp_dir.h"

namespace weir {
namespace {

using Lines = std::vector<std::string>;
constexpr StreamSet kAll = StreamSet::all();

/// A journal in a directory of its own, opened as often as a test likes.
struct Disk {
  test::TempDir directory;
  test::FaultyIo io;
  ManualClock clock;
  std::string boot_id = "first boot";
  uint64_t bytes_max = 64 << 20, segment_bytes = 64 << 10;

  Result<std::unique_ptr<DiskJournal>> try_open() {
    DiskJournalOptions options;
    options.path = directory / "journal", options.quarantine = directory / "quarantine/journal";
    options.bytes_max = bytes_max, options.segment_bytes = segment_bytes;
    options.boot_id = boot_id;
    options.work = DiskJournalOptions::Work::by_hand;
    return DiskJournal::open(std::move(options), io, clock);
  }
  std::unique_ptr<DiskJournal> open() {
    auto journal = try_open();
    REQUIRE_MESSAGE(journal, journal.error().message);
    return std::move(*journal);
  }
  std::vector<std::string> segments() const {
    std::vector<std::string> out;
    for (const auto& entry : std::filesystem::directory_iterator(directory / "journal"))
      if (entry.path().extension() == ".wseg") out.push_back(entry.path());
    std::ranges::sort(out);
    return out;
  }
  void flip(const std::string& file, uint64_t offset) {
    std::fstream f(file, std::ios::in | std::ios::out | std::ios::binary);
    f.seekg(std::streamoff(offset));
    const char c = char(f.get() ^ 0x20);
    f.seekp(std::streamoff(offset));
    f.put(c);
  }
};

void append(Journal& journal, const std::string& line, ClientMark client = {},
            AckLevel level = AckLevel::received) {
  Transaction t;
  t.block = journal.new_block(line.size() + 1);
  std::memcpy(t.block->tail(), (line + "\n").data(), line.size() + 1);
  t.block->add_line(line.size() + 1, Stream::log);
  t.entry_count = 1;
  t.received_ns = 1;
  t.totals.records[size_t(Stream::log)] = 1;
  t.totals.bytes[size_t(Stream::log)] = line.size() + 1;
  t.client = std::move(client), t.level = level;
  REQUIRE(journal.append(t) == AppendResult::taken);
}

void write(DiskJournal& journal) {
  while (journal.step_write()) continue;
}

Lines read_all(Cursor& cursor) {
  Lines out;
  BatchView batch;
  while (cursor.next(batch, {}, 0, {})) {
    for (auto& line : test::lines_of(batch)) out.push_back(line);
    cursor.commit(batch, "{}");
  }
  return out;
}

Lines numbers(int begin, int end) {
  Lines out;
  for (int i = begin; i < end; ++i) out.push_back("line " + std::to_string(i));
  return out;
}

ClientMark client(const std::string& id, uint64_t seq) {
  return {std::make_shared<ClientIdentity>(ClientIdentity{id, 1000}), seq};
}

TEST_CASE("what was written is there for the next process, and a cursor goes on where it was") {
  Disk disk;
  {
    auto journal = disk.open();
    auto cursor = journal->open_cursor("out", kAll, StartAt::end, WhenFull::block);
    for (const auto& line : numbers(0, 10)) append(*journal, line);
    write(*journal);
    CHECK(read_all(*cursor) == numbers(0, 10));
    REQUIRE(cursor->keep("{\"mark\":10}", false));
    for (const auto& line : numbers(10, 15)) append(*journal, line);
    write(*journal);
  }
  auto journal = disk.open();
  auto cursor = journal->open_cursor("out", kAll, StartAt::end, WhenFull::block);
  CHECK(cursor->memory().note == "{\"mark\":10}");
  CHECK(cursor->memory().same_boot);
  CHECK(cursor->status().passed == 10);
  CHECK(cursor->status().lag_records == 5);
  CHECK(read_all(*cursor) == numbers(10, 15));
  append(*journal, "line 15");
  CHECK(read_all(*cursor).empty());  // nobody reads what is not written
  write(*journal);
  CHECK(read_all(*cursor) == numbers(15, 16));
}

TEST_CASE("levels are reached one after the other") {
  Disk disk;
  auto journal = disk.open();
  append(*journal, "a", client("c", 1), AckLevel::durable);
  const uint64_t mark = journal->mark();
  CHECK(journal->reached(AckLevel::received) >= mark);
  CHECK(journal->reached(AckLevel::buffered) < mark);
  REQUIRE(journal->step_write());
  CHECK(journal->reached(AckLevel::buffered) >= mark);
  CHECK(journal->reached(AckLevel::durable) < mark);
  REQUIRE(journal->step_sync());
  CHECK(journal->reached(AckLevel::durable) >= mark);
  CHECK_FALSE(journal->step_sync());
}

TEST_CASE("clients are remembered with their records, and without any") {
  Disk disk;
  {
    auto journal = disk.open();
    append(*journal, "a", client("c", 7));
    Transaction none;
    none.client = client("d", 3);
    REQUIRE(journal->append(none) == AppendResult::taken);
    write(*journal);
  }
  for (int start = 0; start < 3; ++start) {  // also where the next segment begins with them
    auto journal = disk.open();
    std::map<std::string, uint64_t> seen;
    for (const RememberedClient& c : journal->remembered_clients()) {
      seen[c.mark.client->client_id] = c.mark.seq;
      CHECK(c.mark.client->uid == uid_t(1000));
    }
    CHECK(seen == std::map<std::string, uint64_t>{{"c", 7}, {"d", 3}});
    append(*journal, "b");
    write(*journal);
  }
}

TEST_CASE("old segments go when their space is needed, and not before a sink has secured what it read") {
  Disk disk;
  disk.bytes_max = 1 << 20;
  auto journal = disk.open();
  auto cursor = journal->open_cursor("out", kAll, StartAt::end, WhenFull::block);
  cursor->set_needs_secure(true);
  const std::string line(1000, 'x');
  Transaction t;
  int taken = 0;
  test::Filler fill(*journal);
  while (fill.append(Stream::log, line) == AppendResult::taken) {
    journal->pump();
    REQUIRE(++taken < 10'000);
  }
  CHECK(journal->status().state == "full");
  CHECK(journal->status().bytes <= disk.bytes_max);
  size_t got = 0;
  BatchView batch;
  int secured = 0;
  for (;;) {
    while (cursor->next(batch, {}, 0, {})) got += batch.records, cursor->commit(batch, "{}"), journal->pump();
    if (!cursor->secure_wanted()) break;
    if (secured++ == 0) CHECK(journal->status().state == "full");  // its file is not durable
    cursor->secure("{\"length\":1}");
    journal->pump();
  }
  CHECK(secured > 1);
  CHECK(journal->status().state == "ok");
  CHECK(got == size_t(taken));
  CHECK(cursor->status().dropped_lag == 0);
  CHECK(cursor->status().dropped_damaged == 0);
}

TEST_CASE("a damaged transaction costs itself alone, and is counted") {
  Disk disk;
  {
    auto journal = disk.open();
    auto cursor = journal->open_cursor("out", kAll, StartAt::end, WhenFull::block);
    for (const auto& line : numbers(0, 30)) append(*journal, line), write(*journal);
    REQUIRE(cursor->keep("{}", true));
  }
  const std::string file = disk.segments().at(0);
  const std::string text = test::read_file(file);
  disk.flip(file, text.find("line 11"));
  auto journal = disk.open();
  auto cursor = journal->open_cursor("out", kAll, StartAt::end, WhenFull::block);
  Lines expected = numbers(0, 11);
  for (const auto& line : numbers(12, 30)) expected.push_back(line);
  CHECK(read_all(*cursor) == expected);
  CHECK(cursor->status().dropped_damaged == 1);
  CHECK(journal->status().damaged_records == 1);
  CHECK(cursor->status().routed == 30);
}

TEST_CASE("a torn end is cut off") {
  Disk disk;
  uint64_t whole = 0;
  {
    auto journal = disk.open();
    auto cursor = journal->open_cursor("out", kAll, StartAt::end, WhenFull::block);
    for (const auto& line : numbers(0, 5)) append(*journal, line), write(*journal);
    REQUIRE(cursor->keep("{}", true));
    whole = test::read_file(disk.segments().at(0)).rfind("line 4");
  }
  std::filesystem::resize_file(disk.segments().at(0), whole + 3);
  auto journal = disk.open();
  CHECK(journal->status().torn_bytes > 0);
  auto cursor = journal->open_cursor("out", kAll, StartAt::end, WhenFull::block);
  append(*journal, "line 5");
  write(*journal);
  Lines expected = numbers(0, 4);
  expected.push_back("line 5");
  CHECK(read_all(*cursor) == expected);
}

TEST_CASE("after a power cut nothing counts behind the first hole that was not synced") {
  Disk disk;
  {
    auto journal = disk.open();
    auto cursor = journal->open_cursor("out", kAll, StartAt::end, WhenFull::block);
    cursor->set_needs_secure(false);
    for (const auto& line : numbers(0, 3)) append(*journal, line, client("c", 3)), write(*journal);
    REQUIRE(journal->step_sync());
    for (const auto& line : numbers(3, 9)) append(*journal, line, client("c", 9)), write(*journal);
    REQUIRE(cursor->keep("{}", true));
  }
  const std::string file = disk.segments().at(0);
  const std::string text = test::read_file(file);
  SUBCASE("power cut") {
    disk.flip(file, text.find("line 5"));
    disk.boot_id = "second boot";
    auto journal = disk.open();
    CHECK(journal->remembered_clients().at(0).mark.seq == 9);  // of line 4, which came with it in this test
    auto cursor = journal->open_cursor("out", kAll, StartAt::end, WhenFull::block);
    CHECK_FALSE(cursor->memory().same_boot);
    CHECK(read_all(*cursor) == numbers(0, 5));
  }
  SUBCASE("a flipped bit, in the same boot") {
    disk.flip(file, text.find("line 5"));
    auto journal = disk.open();
    auto cursor = journal->open_cursor("out", kAll, StartAt::end, WhenFull::block);
    CHECK(read_all(*cursor).size() == 8);
  }
}

TEST_CASE("a sync that fails once: written anew, durable after; three times: failed, and well again") {
  Disk disk;
  auto journal = disk.open();
  auto cursor = journal->open_cursor("out", kAll, StartAt::end, WhenFull::block);
  append(*journal, "line 0", {}, AckLevel::durable);
  journal->pump();
  const size_t before = disk.segments().size();
  append(*journal, "line 1", {}, AckLevel::durable);
  REQUIRE(journal->step_write());
  disk.io.fail_at = disk.io.calls;
  journal->step_sync();
  CHECK(journal->reached(AckLevel::durable) < journal->mark());
  CHECK(journal->status().fsync_errors == 1);
  journal->pump();
  CHECK(journal->reached(AckLevel::durable) >= journal->mark());
  CHECK(disk.segments().size() == before + 1);
  CHECK(read_all(*cursor) == numbers(0, 2));

  for (int i = 2; i < 5; ++i) {
    append(*journal, "line " + std::to_string(i), {}, AckLevel::durable);
    REQUIRE(journal->step_write());
    disk.io.fail_at = disk.io.calls;
    journal->step_sync();
  }
  CHECK(journal->status().state == "failed");
  Transaction refused;
  refused.client = client("c", 1);
  CHECK(journal->append(refused) == AppendResult::failed);
  disk.clock.advance_ns(1'000'000'000);
  journal->pump();
  CHECK(journal->status().state == "ok");
  CHECK(journal->append(refused) == AppendResult::taken);
  CHECK(read_all(*cursor) == numbers(2, 5));
}

TEST_CASE("both checkpoints damaged: sinks begin with the oldest records; one: the other serves") {
  Disk disk;
  {
    auto journal = disk.open();
    auto cursor = journal->open_cursor("out", kAll, StartAt::end, WhenFull::block);
    for (const auto& line : numbers(0, 4)) append(*journal, line);
    write(*journal);
    REQUIRE(read_all(*cursor).size() == 4);
    REQUIRE(cursor->keep("{\"a\":1}", true));
    REQUIRE(cursor->keep("{\"a\":2}", true));
  }
  disk.flip(disk.directory / "journal/checkpoint.a", 40);
  SUBCASE("one") {
    auto journal = disk.open();
    auto cursor = journal->open_cursor("out", kAll, StartAt::end, WhenFull::block);
    CHECK(cursor->memory().note.starts_with("{\"a\":"));
    CHECK(read_all(*cursor).empty());
  }
  SUBCASE("both") {
    disk.flip(disk.directory / "journal/checkpoint.b", 40);
    auto journal = disk.open();
    auto cursor = journal->open_cursor("out", kAll, StartAt::end, WhenFull::block);
    CHECK(read_all(*cursor) == numbers(0, 4));
  }
}

TEST_CASE("a newer format, a foreign segment, a second process") {
  Disk disk;
  {
    auto journal = disk.open();
    append(*journal, "a");
    write(*journal);
    const auto second = disk.try_open();
    REQUIRE_FALSE(second);
    CHECK(second.error().message.find("in use by another weir (pid") != std::string::npos);
  }
  SUBCASE("newer") {
    const std::string identity = test::read_file(disk.directory / "journal/journal.json");
    std::string newer = identity;
    newer.replace(newer.find("\"format\":1"), 10, "\"format\":9");
    newer.replace(newer.find("\"again\":\"1"), 10, "\"again\":\"9");
    test::write_file(disk.directory / "journal/journal.json", newer);
    const auto before = disk.segments();
    const auto opened = disk.try_open();
    REQUIRE_FALSE(opened);
    CHECK(opened.error().message.find("format 9") != std::string::npos);
    CHECK(disk.segments() == before);
  }
  SUBCASE("a journal that does not say any more who it is") {
    std::string identity = test::read_file(disk.directory / "journal/journal.json");
    identity[identity.find("\"uuid\":") + 12] ^= 1;
    test::write_file(disk.directory / "journal/journal.json", identity);
    auto journal = disk.open();
    auto cursor = journal->open_cursor("", kAll, StartAt::oldest, WhenFull::drop_oldest);
    CHECK(read_all(*cursor) == Lines{"a"});
  }
  SUBCASE("foreign") {
    Disk other;
    {
      auto journal = other.open();
      append(*journal, "b");
      write(*journal);
    }
    std::filesystem::copy(other.segments().at(0), disk.directory / "journal");
    auto journal = disk.open();
    auto cursor = journal->open_cursor("", kAll, StartAt::oldest, WhenFull::drop_oldest);
    CHECK(read_all(*cursor) == Lines{"a"});
    CHECK(std::distance(std::filesystem::directory_iterator(disk.directory / "quarantine/journal"), {}) == 1);
  }
}

}  // namespace
}  // namespace weir
