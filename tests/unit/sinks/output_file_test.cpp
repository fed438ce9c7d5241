#include "agent/sinks/output_file.h"

#include <doctest/doctest.h>

#include <map>

#include "agent/sinks/sink.h"
#include "tests/support/allocations.h"
#include "tests/support/faulty_io.h"
#include "tests/support/journal_fill.h"
#include "tests/support/temp_dir.h"

using namespace weir;
using test::FaultyIo;
using test::TempDir;

namespace {

constexpr int64_t kSecond = 1'000'000'000;
using Files = std::map<std::string, std::string>;

struct Place {
  struct : FaultyIo {
    int renames_to_fail = 0;
    int rename_new(int directory, const std::string& from, const std::string& to) override {
      if (renames_to_fail == 0) return FaultyIo::rename_new(directory, from, to);
      --renames_to_fail;
      errno = EACCES;
      return -1;
    }
  } io;
  TempDir dir;
  ManualClock clock;
  OutputFileSetup setup{.sink = "s", .io = io, .clock = clock};
  OutputFile file{setup, {dir / "a"}};

  void append(const std::vector<std::string_view>& lines) {
    REQUIRE(file.follow());
    const auto appended = file.append(lines);
    CHECK(appended.error == "");
    CHECK(appended.lines == lines.size());
  }
  /// Name, without the stem that all have, and contents.
  Files files() {
    Files out;
    for (const auto& entry :
         std::filesystem::directory_iterator(std::filesystem::path(dir / "a").parent_path()))
      out[entry.path().filename()] = test::read_file(entry.path());
    return out;
  }
};

}  // namespace

TEST_CASE("a file is set aside before a line would pass the limit, a longer line has one to itself") {
  Place p;
  p.setup.max_bytes = 4;
  REQUIRE(p.file.open());
  p.append({"1\n", "2\n", "3\n", "long line\n", "4\n"});
  CHECK(p.files() == Files{{"a.20231114T221320Z.1", "1\n2\n"},
                           {"a.20231114T221320Z.2", "3\n"},
                           {"a.20231114T221320Z.3", "long line\n"},
                           {"a", "4\n"}});
}

TEST_CASE("age counts from the first line, and an empty file stays") {
  Place p;
  p.setup.every_ns = 10 * kSecond;
  REQUIRE(p.file.open());
  p.clock.advance_ns(100 * kSecond);
  CHECK(p.file.old_at_ns() == INT64_MAX);
  p.file.rotate_when_old();
  CHECK(p.files() == Files{{"a", ""}});
  p.append({"1\n"});
  CHECK(p.file.old_at_ns() == p.clock.monotonic_ns() + 10 * kSecond);
  p.clock.advance_ns(10 * kSecond - 1);
  p.append({"2\n"});
  p.file.rotate_when_old();
  CHECK(p.files() == Files{{"a", "1\n2\n"}});
  p.clock.advance_ns(1);
  SUBCASE("with nothing more coming") {
    p.file.rotate_when_old();
    CHECK(p.files() == Files{{"a.20231114T221510Z.1", "1\n2\n"}, {"a", ""}});
    CHECK(p.file.old_at_ns() == INT64_MAX);
  }
  SUBCASE("with the next line") {
    p.append({"3\n"});
    CHECK(p.files() == Files{{"a.20231114T221510Z.1", "1\n2\n"}, {"a", "3\n"}});
  }
}

TEST_CASE("a rotation that fails is tried again a second later; meanwhile the file grows") {
  Place p;
  p.setup.max_bytes = 2;
  REQUIRE(p.file.open());
  p.append({"1\n"});
  p.io.renames_to_fail = 1;
  p.append({"2\n", "3\n"});
  CHECK(p.files() == Files{{"a", "1\n2\n3\n"}});
  p.append({"4\n"});
  CHECK(p.files() == Files{{"a", "1\n2\n3\n4\n"}});
  p.clock.advance_ns(kSecond);
  p.append({"5\n"});
  CHECK(p.files() == Files{{"a.20231114T221321Z.1", "1\n2\n3\n4\n"}, {"a", "5\n"}});
}

TEST_CASE("names of rotated files that are there already are passed, whatever the clock says") {
  Place p;
  p.setup.max_bytes = 2;
  REQUIRE(p.file.open());
  test::write_file(p.dir / "a.20300101T000000Z.7", "0\n");
  test::write_file(p.dir / "b.20310101T000000Z.7", "another's\n");
  p.append({"1\n", "2\n"});
  CHECK(p.files() == Files{{"a.20300101T000000Z.7", "0\n"},
                           {"a.20300101T000000Z.8", "1\n"},
                           {"b.20310101T000000Z.7", "another's\n"},
                           {"a", "2\n"}});
}

TEST_CASE("a file that others renamed, removed or emptied is followed") {
  Place p;
  p.setup.max_bytes = 6;
  REQUIRE(p.file.open());
  p.append({"1\n"});
  std::filesystem::rename(p.dir / "a", p.dir / "b");
  p.append({"2\n"});
  CHECK(p.files() == Files{{"b", "1\n"}, {"a", "2\n"}});
  std::filesystem::remove(p.dir / "a");
  CHECK(p.file.removed());
  CHECK(p.file.lines_since_open() == 1);
  p.append({"3\n", "4\n", "5\n"});
  CHECK_FALSE(p.file.removed());
  CHECK(p.files() == Files{{"b", "1\n"}, {"a", "3\n4\n5\n"}});
  std::filesystem::resize_file(p.dir / "a", 0);
  p.append({"6\n", "7\n", "8\n"});
  CHECK(p.files() == Files{{"b", "1\n"}, {"a", "6\n7\n8\n"}});
}

TEST_CASE("a link that stands at the path by now is not written through") {
  Place p;
  REQUIRE(p.file.open());
  p.append({"1\n"});
  std::filesystem::rename(p.dir / "a", p.dir / "b");
  std::filesystem::create_symlink(p.dir / "b", p.dir / "a");
  const auto followed = p.file.follow();
  REQUIRE_FALSE(followed);
  CHECK(followed.error().message.find("symbolic link") != std::string::npos);
  CHECK(test::read_file(p.dir / "b") == "1\n");
}

TEST_CASE("delivering to a file costs no allocation") {
  using Setting = std::pair<const char*, OptionValue>;
  for (const Setting& setting :
       {Setting{"write_mode", std::string("auto")}, Setting{"write_mode", std::string("line")},
        Setting{"format", std::string("jsonl")}}) {
    TempDir dir;
    const SinkType* type = find_sink_type("file");
    Settings settings = default_settings(type->type.options);
    settings.set("path", dir / "a-path-that-is-too-long-to-lie-within-a-string.jsonl");
    settings.set(setting.first, setting.second);
    auto sink = type->make(settings, {"s", system_io(), system_clock(), nullptr});
    auto journal = make_memory_journal(1 << 20);
    test::Filler fill(*journal);
    auto cursor = journal->open_cursor("c", StreamSet::all(), StartAt::end, WhenFull::block);
    for (int i = 0; i < 100; ++i) fill.append(Stream::log, R"({"message":"m"})");
    BatchView batch;
    REQUIRE(cursor->next(batch, {}, 0, {}));
    REQUIRE(sink->open());
    REQUIRE(sink->deliver(batch, {}).kind == Delivery::Kind::delivered);
    const uint64_t before = test::allocations();
    const Delivery again = sink->deliver(batch, {});
    CHECK(test::allocations() == before);
    CHECK(again.kind == Delivery::Kind::delivered);
  }
}
