// Every local Sink runs this suite; a new kind is one row in `rows()`.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <random>

#include "agent/core/options.h"
#include "agent/sinks/rotated_name.h"
#include "agent/sinks/sink.h"
#include "tests/support/faulty_io.h"
#include "tests/support/journal_fill.h"
#include "tests/support/temp_dir.h"

namespace weir {
namespace {

using test::FaultyIo;
using test::Filler;
using test::TempDir;

struct Row {
  const char* name;
  const char* type;
  std::vector<std::pair<const char*, OptionValue>> settings;
  std::vector<std::string> files = {"out.jsonl"};  ///< what it writes, in the directory of the path
  const char* path = "sub/out.jsonl";
  bool rotates() const {
    return std::ranges::any_of(settings,
                               [](auto& s) { return std::string_view(s.first).starts_with("rotate"); });
  }
};

const std::vector<std::string> kPerStream{"log/none.jsonl", "trace/none.jsonl"};

const std::vector<Row>& rows() {
  static const std::vector<Row> list{
      {"file", "file", {}},
      {"file line", "file", {{"write_mode", std::string("line")}}},
      {"file batch of 3", "file", {{"write_mode", std::string("batch")}, {"flush_every_n", int64_t(3)}}},
      {"file synced every 2", "file", {{"fsync_every_n", int64_t(2)}}},
      {"file of 5 lines", "file", {{"rotate.max_bytes", int64_t(40)}}},
      {"file line of 1 line",
       "file",
       {{"write_mode", std::string("line")}, {"rotate.max_bytes", int64_t(9)}}},
      {"a file for each stream", "file", {}, kPerStream, "sub/{stream}/{level}.jsonl"},
      {"the same in steps of 3",
       "file",
       {{"write_mode", std::string("batch")}, {"flush_every_n", int64_t(3)}, {"fsync_every_n", int64_t(4)}},
       kPerStream,
       "sub/{stream}/{level}.jsonl"},
      {"the same, rotated after 3 lines",
       "file",
       {{"rotate.max_bytes", int64_t(26)}},
       kPerStream,
       "sub/{stream}/{level}.jsonl"},
  };
  return list;
}

/// One sink over a file of its own, fed from a journal.
struct Bench {
  explicit Bench(const Row& row, bool with_quarantine = false)
      : journal(make_memory_journal(16 << 20)), fill(*journal), files(row.files) {
    path = dir / row.path;
    type = find_sink_type(row.type);
    settings = default_settings(type->type.options);
    settings.set("path", path);
    for (const auto& [name, value] : row.settings) settings.set(name, value);
    sink = type->make(settings, {"under_test", io, system_clock(), with_quarantine ? &quarantine : nullptr});
    cursor = journal->open_cursor("c", StreamSet::all(), StartAt::end, WhenFull::block);
  }
  /// As SinkRunner does it: after `down` the sink is closed and opened, and what is not done comes again.
  void deliver_all() {
    BatchView batch;
    cursor->flush();
    bool open = false;
    int failures = 0;
    while (cursor->next(batch, sink->batch_limits(), 0, {})) {
      REQUIRE(failures < 10 + failures_more);
      if (!open && !(open = sink->open().has_value())) {
        fail_again(failures++);
        continue;
      }
      Delivery d = sink->deliver(batch, {});
      if (d.kind == Delivery::Kind::delivered) {
        cursor->commit(batch);
        continue;
      }
      REQUIRE(d.kind == Delivery::Kind::down);
      CHECK_FALSE(d.error.empty());
      if (d.done > 0) cursor->commit(first_records(batch, d.done));
      sink->close();
      open = false;
      if (replaced) replace();
      fail_again(failures++);
    }
  }
  /// As a reload does that changes its options.
  void replace() {
    const std::string state = sink->state();
    sink = type->make(settings, {"under_test", io, system_clock(), nullptr});
    sink->restore({state, true, nullptr});
  }
  /// One failure after the other, as long as there are more to come.
  void fail_again(int failures) {
    if (failures < failures_more) io.fail_at = io.calls + int64_t(random() % 40);
  }
  TempDir dir;
  std::string path;
  FaultyIo io;
  Quarantine quarantine{system_io(), dir / "quarantine", "sink.jsonl"};
  std::unique_ptr<Journal> journal;
  Filler fill;
  std::unique_ptr<Sink> sink;
  std::unique_ptr<Cursor> cursor;
  std::vector<std::string> files;
  const SinkType* type = nullptr;
  Settings settings;
  bool replaced = false;
  int failures_more = 0;
  std::mt19937 random;
};

/// What rotated files beside the path hold, oldest first, and then the file itself.
std::string output_of(const std::filesystem::path& path) {
  std::vector<std::pair<std::pair<std::string, uint64_t>, std::string>> rotated;
  for (const auto& entry : std::filesystem::directory_iterator(path.parent_path())) {
    const std::string name = entry.path().filename();
    RotatedName parsed;
    if (name == path.filename()) continue;
    REQUIRE(parse_rotated_name(name, parsed));
    CHECK(parsed.base == path.filename().string());
    rotated.push_back({{std::string(parsed.stamp), parsed.number}, entry.path()});
  }
  std::ranges::sort(rotated);
  std::string out;
  for (const auto& [order, file] : rotated) out += test::read_file(file);
  return out + test::read_file(path);
}

/// The same of each of its files.
std::string output_of(const Bench& b) {
  std::string out;
  for (const std::string& file : b.files) out += output_of(std::filesystem::path(b.dir / ("sub/" + file)));
  return out;
}

std::string fill_ten(Bench& b) {
  std::string expected;
  for (int i = 0; i < 10; ++i) {
    std::string line = "{\"n\":" + std::to_string(i) + "}";
    b.fill.append({{Stream::log, line}, {Stream::trace, line}});
    expected += line + "\n";
    if (b.files.size() == 1) expected += line + "\n";
  }
  return b.files.size() == 1 ? expected : expected + expected;
}

TEST_CASE("every record arrives once, in order, in whole lines") {
  for (const Row& row : rows()) {
    CAPTURE(row.name);
    Bench b(row);
    std::string expected = fill_ten(b);
    b.deliver_all();
    CHECK(output_of(b) == expected);
  }
}

TEST_CASE("close is safe without open and twice") {
  for (const Row& row : rows()) {
    Bench b(row);
    b.sink->close();
    b.sink->close();
  }
  for (const SinkType& type : sink_types()) {  // those that are not files, too
    CAPTURE(type.type.name);
    Settings settings = default_settings(type.type.options);
    settings.set("path", std::string("/nowhere"));
    settings.set("url", std::string("http://127.0.0.1:1/"));
    auto sink = type.make(settings, {"under_test", system_io(), system_clock(), nullptr});
    sink->close();
    sink->close();
    CHECK(sink->batch_limits().records_max > 0);
    CHECK(sink->state().find("first") == std::string::npos);
  }
}

TEST_CASE("a remote sink opens without its receiver, and gives up on it at once when told to stop") {
  Bench b(rows()[0]);
  const SinkType* type = find_sink_type("http");
  Settings settings = default_settings(type->type.options);
  settings.set("url", std::string("http://127.0.0.1:1/"));
  auto sink = type->make(settings, {"under_test", b.io, system_clock(), nullptr, b.journal->uuid()});
  REQUIRE(sink->open());
  fill_ten(b);
  BatchView batch;
  b.cursor->flush();
  REQUIRE(b.cursor->next(batch, sink->batch_limits(), 0, {}));
  Delivery refused = sink->deliver(batch, {});
  CHECK(refused.kind == Delivery::Kind::retry);
  CHECK(refused.done == 0);
  CHECK(refused.error == "POST http://127.0.0.1:1/: cannot connect to 127.0.0.1:1: Connection refused");
  std::stop_source stop;
  stop.request_stop();
  CHECK(sink->deliver(batch, stop.get_token()).kind == Delivery::Kind::retry);
  CHECK(sink->state() == R"({"epoch":0,"requests":[[1,20,20,160,0]]})");
  sink->close();
}

TEST_CASE("whichever operation fails, nothing is lost, doubled or torn") {
  for (const Row& row : rows())
    for (size_t partial : {size_t(0), size_t(1), size_t(9), size_t(20)}) {
      // Where there are many files, a part of a write is what it is with one.
      if (partial % 2 == 1 && (row.files.size() > 1 || row.rotates())) continue;
      for (int64_t n = 0;; ++n) {
        CAPTURE(row.name);
        CAPTURE(partial);
        CAPTURE(n);
        Bench b(row);
        b.io.fail_at = n;
        b.io.partial_bytes = partial;
        std::string expected = fill_ten(b);
        b.deliver_all();
        REQUIRE(output_of(b) == expected);
        if (b.io.calls <= n) break;
      }
    }
}

TEST_CASE("however many operations fail one after the other, nothing is lost, doubled or torn") {
  const unsigned seed = std::random_device()();
  INFO("seed " << seed);
  for (const Row& row : rows())
    for (unsigned n = 0; n < 50; ++n) {
      CAPTURE(row.name);
      CAPTURE(n);
      Bench b(row);
      b.random.seed(seed + n);
      b.failures_more = 8;
      b.replaced = n % 2;
      b.io.fail_at = int64_t(b.random() % 40);
      b.io.partial_bytes = n % 3 * 5;
      std::string expected = fill_ten(b);
      b.deliver_all();
      REQUIRE(output_of(b) == expected);
    }
}

/// Removes a file behind its n-th write, as somebody else may.
class RemovingIo : public FaultyIo {
 public:
  std::string victim;
  int remove_after = 0;
  ssize_t writev(int fd, const iovec* parts, int count) override {
    const ssize_t n = FaultyIo::writev(fd, parts, count);
    if (writes == remove_after) ::unlink(victim.c_str());
    return n;
  }
};

TEST_CASE("a file that is removed within a batch costs nothing of that batch, rotation or not") {
  TempDir dir;
  RemovingIo io;
  const SinkType* type = find_sink_type("file");
  Settings settings = default_settings(type->type.options);
  io.victim = dir / "out.jsonl", io.remove_after = 3;  // the third file of this batch
  settings.set("path", io.victim);
  settings.set("rotate.max_bytes", int64_t(21));
  auto journal = make_memory_journal(16 << 20);
  auto cursor = journal->open_cursor("c", StreamSet::all(), StartAt::end, WhenFull::block);
  Filler fill(*journal);
  std::string expected;
  for (int i = 0; i < 20; ++i) {
    fill.append(Stream::log, "line " + std::to_string(i));
    expected += "line " + std::to_string(i) + "\n";
  }
  auto sink = type->make(settings, {"under_test", io, system_clock(), nullptr});
  REQUIRE(sink->open());
  BatchView batch;
  REQUIRE(cursor->next(batch, {}, 0, {}));
  REQUIRE(sink->deliver(batch, {}).kind == Delivery::Kind::delivered);
  sink->close();
  CHECK(output_of(io.victim) == expected);
}

TEST_CASE("a file: one write per record, per n records, one sync per n records") {
  auto writes = [](const Row& row) {
    Bench b(row);
    fill_ten(b);
    b.deliver_all();
    return std::pair(b.io.writes, b.io.syncs);
  };
  CHECK(writes(rows()[0]) == std::pair(1, 0));
  CHECK(writes(rows()[1]) == std::pair(20, 0));
  CHECK(writes(rows()[2]) == std::pair(7, 0));
  CHECK(writes(rows()[3]) == std::pair(1, 1));
  CHECK(writes({"", "file", {{"write_mode", std::string("line")}, {"fsync_every_n", int64_t(2)}}}) ==
        std::pair(20, 10));
  CHECK(writes({"",
                "file",
                {{"write_mode", std::string("batch")},
                 {"flush_every_n", int64_t(4)},
                 {"fsync_every_n", int64_t(5)}}}) == std::pair(5, 4));
}

TEST_CASE("a file that is not ours to write is refused and left unharmed") {
  Bench b(rows()[0]);
  std::filesystem::create_directories(std::filesystem::path(b.path).parent_path());
  std::string victim = b.dir / "victim";
  test::write_file(victim, "precious");
  SUBCASE("symbolic link") { std::filesystem::create_symlink(victim, b.path); }
  SUBCASE("hard link") { std::filesystem::create_hard_link(victim, b.path); }
  SUBCASE("directory") { std::filesystem::create_directory(b.path); }
  SUBCASE("fifo") { REQUIRE(mkfifo(b.path.c_str(), 0600) == 0); }
  auto opened = b.sink->open();
  REQUIRE_FALSE(opened);
  CHECK(opened.error().message.find(b.path) != std::string::npos);
  CHECK(test::read_file(victim) == "precious");
}

TEST_CASE("an unfinished last line of an earlier life is moved to the quarantine") {
  Bench b(rows()[0], true);
  std::filesystem::create_directories(std::filesystem::path(b.path).parent_path());
  test::write_file(b.path, "{\"whole\":1}\n{\"torn\":");
  b.fill.append(Stream::log, "{\"next\":1}");
  b.deliver_all();
  CHECK(test::read_file(b.path) == "{\"whole\":1}\n{\"next\":1}\n");
  CHECK(test::read_file(b.dir / "quarantine/sink.jsonl").find(R"("raw":"{\"torn\":"})") != std::string::npos);
}

TEST_CASE("what is too long for the quarantine is ended where it is, never destroyed") {
  Bench b(rows()[0], true);
  std::filesystem::create_directories(std::filesystem::path(b.path).parent_path());
  std::string text(100'000, 'x');
  test::write_file(b.path, text);
  b.fill.append(Stream::log, "{\"next\":1}");
  b.deliver_all();
  CHECK(test::read_file(b.path) == text + "\n{\"next\":1}\n");
}

TEST_CASE("a sink that is told to stop says how far it came") {
  Bench b(rows()[1]);
  fill_ten(b);
  BatchView batch;
  REQUIRE(b.cursor->next(batch, b.sink->batch_limits(), 0, {}));
  REQUIRE(b.sink->open());
  std::stop_source stop;
  stop.request_stop();
  Delivery d = b.sink->deliver(batch, stop.get_token());
  CHECK(d.kind != Delivery::Kind::delivered);
  CHECK(d.done == 1);
  CHECK(test::read_file(b.path) == "{\"n\":0}\n");
}

}  // namespace
}  // namespace weir
