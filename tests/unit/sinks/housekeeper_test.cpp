#include "agent/sinks/housekeeper.h"

#include <doctest/doctest.h>
#include <zlib.h>
#include <zstd.h>

#include <set>

#include "tests/support/faulty_io.h"
#include "tests/support/temp_dir.h"

using namespace weir;
using test::FaultyIo;
using test::TempDir;

namespace {

using Names = std::set<std::string>;

struct House {
  TempDir dir;
  FaultyIo io;
  FilePlace place{dir / "a.jsonl"};

  void write(const std::string& name, const std::string& text = "{}\n") {
    test::write_file(dir / name, text);
  }
  std::string read(const std::string& name) { return test::read_file(dir / name); }
  Names names() {
    Names out;
    for (const auto& entry :
         std::filesystem::directory_iterator(std::filesystem::path(place.path).parent_path()))
      out.insert(entry.path().filename());
    return out;
  }
  bool tidy(const KeepRules& rules) { return Housekeeper(io, "s", rules).tidy(place); }
};

std::string some_lines() {
  std::string text;
  for (int i = 0; i < 30'000; ++i) text += "{\"n\":" + std::to_string(i * 7919) + ",\"stream\":\"log\"}\n";
  return text;
}

std::string unpack_zstd(const std::string& packed, size_t bytes) {
  std::string out(bytes, 0);
  const size_t n = ZSTD_decompress(out.data(), out.size(), packed.data(), packed.size());
  REQUIRE_FALSE(ZSTD_isError(n));
  out.resize(n);
  return out;
}

std::string unpack_gzip(const std::string& path) {
  std::string out;
  gzFile file = gzopen(path.c_str(), "rb");
  REQUIRE(file);
  char chunk[65536];
  int n;
  while ((n = gzread(file, chunk, sizeof chunk)) > 0) out.append(chunk, size_t(n));
  CHECK(n == 0);
  gzclose(file);
  return out;
}

}  // namespace

TEST_CASE("the oldest rotated files go first, by time and then by number") {
  House h;
  for (const char* n : {"a.jsonl", "a.jsonl.20260101T000000Z.9", "a.jsonl.20260101T000000Z.10",
                        "a.jsonl.20251231T235959Z.11.zst", "a.jsonl.20260102T000000Z.1.gz"})
    h.write(n);
  CHECK(h.tidy({.files = 2}));
  CHECK(h.names() == Names{"a.jsonl", "a.jsonl.20260101T000000Z.10", "a.jsonl.20260102T000000Z.1.gz"});
}

TEST_CASE("their sizes together stay within the limit") {
  House h;
  h.write("a.jsonl", std::string(1000, 'x'));  // the active file does not count
  for (char n : {'1', '2', '3', '4'})
    h.write(std::string("a.jsonl.20260101T000000Z.") + n, std::string(100, 'x'));
  CHECK(h.tidy({.bytes = 299}));
  CHECK(h.names() == Names{"a.jsonl", "a.jsonl.20260101T000000Z.3", "a.jsonl.20260101T000000Z.4"});
  CHECK(h.tidy({.bytes = 200}));
  CHECK(h.names().size() == 3);
}

TEST_CASE("nothing else is ever deleted") {
  House h;
  const Names foreign{"a.jsonl",
                      "a.jsonl.1",
                      "a.jsonl.old",
                      "b.jsonl.20260101T000000Z.1",
                      "a.jsonl.20260101T000000Z",
                      "a.jsonl.20260101T000000Z.1.bak",
                      "xa.jsonl.20260101T000000Z.1",
                      "a.jsonl.20260101T000000Z.01"};
  for (const std::string& n : foreign) h.write(n);
  std::filesystem::create_directory(h.dir / "a.jsonl.20260101T000000Z.2");
  std::filesystem::create_symlink("a.jsonl", h.dir / "a.jsonl.20260101T000000Z.3");
  h.write("a.jsonl.20260101T000000Z.4");
  h.write("a.jsonl.20260101T000000Z.5");
  CHECK(h.tidy({.files = 1}));
  Names left = foreign;
  left.insert({"a.jsonl.20260101T000000Z.2", "a.jsonl.20260101T000000Z.3", "a.jsonl.20260101T000000Z.5"});
  CHECK(h.names() == left);
}

TEST_CASE("rotated files are compressed, what they held comes out again") {
  House h;
  const std::string text = some_lines();
  h.write("a.jsonl", text);
  h.write("a.jsonl.20260101T000000Z.1", text);
  h.write("a.jsonl.20260101T000000Z.2", "");
  SUBCASE("zstd") {
    CHECK(h.tidy({.packing = Packing::zstd}));
    CHECK(h.names() == Names{"a.jsonl", "a.jsonl.20260101T000000Z.1.zst", "a.jsonl.20260101T000000Z.2.zst"});
    CHECK(unpack_zstd(h.read("a.jsonl.20260101T000000Z.1.zst"), text.size() + 1) == text);
    CHECK(unpack_zstd(h.read("a.jsonl.20260101T000000Z.2.zst"), 1) == "");
  }
  SUBCASE("gzip") {
    CHECK(h.tidy({.packing = Packing::gzip}));
    CHECK(h.names() == Names{"a.jsonl", "a.jsonl.20260101T000000Z.1.gz", "a.jsonl.20260101T000000Z.2.gz"});
    CHECK(unpack_gzip(h.dir / "a.jsonl.20260101T000000Z.1.gz") == text);
    CHECK(unpack_gzip(h.dir / "a.jsonl.20260101T000000Z.2.gz") == "");
  }
  CHECK(h.read("a.jsonl") == text);
}

TEST_CASE("what a crash left half done is done again") {
  House h;
  const std::string text = some_lines();
  h.write("a.jsonl.20260101T000000Z.1", text);
  h.write("a.jsonl.20260101T000000Z.1.zst", "complete or not");
  h.write("a.jsonl.20260101T000000Z.1.zst.part", "not complete");
  h.write("a.jsonl.20260101T000000Z.2.gz.part", "of another configuration");
  CHECK(h.tidy({.packing = Packing::zstd}));
  CHECK(h.names() == Names{"a.jsonl.20260101T000000Z.1.zst"});
  CHECK(unpack_zstd(h.read("a.jsonl.20260101T000000Z.1.zst"), text.size() + 1) == text);
}

TEST_CASE("whichever operation fails, the original or its whole compressed form is there") {
  const std::string text = some_lines();
  for (size_t partial : {size_t(0), size_t(100)})
    for (int64_t n = 0;; ++n) {
      CAPTURE(n);
      House h;
      h.write("a.jsonl.20260101T000000Z.1", text);
      h.io.fail_at = n;
      h.io.partial_bytes = partial;
      const bool well = h.tidy({.files = 5, .packing = Packing::zstd});
      const Names names = h.names();
      if (names.contains("a.jsonl.20260101T000000Z.1"))
        REQUIRE(h.read("a.jsonl.20260101T000000Z.1") == text);
      else
        REQUIRE(unpack_zstd(h.read("a.jsonl.20260101T000000Z.1.zst"), text.size() + 1) == text);
      if (h.io.calls <= n) {
        CHECK(well);
        break;
      }
      h.io.fail_at = -1;
      CHECK(h.tidy({.packing = Packing::zstd}));
      CHECK(h.names() == Names{"a.jsonl.20260101T000000Z.1.zst"});
    }
}

TEST_CASE("a stop gives up what is being compressed and leaves nothing of it") {
  struct StoppedAtFirstRead final : FaultyIo {
    std::stop_source stop;
    ssize_t pread(int fd, void* out, size_t bytes, off_t offset) override {
      stop.request_stop();
      return FaultyIo::pread(fd, out, bytes, offset);
    }
  } io;
  House h;
  h.write("a.jsonl.20260101T000000Z.1", some_lines());
  CHECK(Housekeeper(io, "s", {.packing = Packing::gzip}).tidy(h.place, io.stop.get_token()));
  CHECK(io.stop.stop_requested());
  CHECK(h.names() == Names{"a.jsonl.20260101T000000Z.1"});
}
