#include "agent/cli/line_input.h"

#include <doctest/doctest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <string>

using namespace weir::cli;

namespace {

/// A file in memory, by a name that can be opened.
struct MemoryFile {
  int fd = memfd_create("lines", 0);
  explicit MemoryFile(const std::string& bytes) {
    CHECK(write(fd, bytes.data(), bytes.size()) == ssize_t(bytes.size()));
  }
  ~MemoryFile() { close(fd); }
  std::string name() const { return "/proc/self/fd/" + std::to_string(fd); }
};

std::string lines_of(const std::vector<std::string>& files) {
  auto input = LineInput::open(files);
  REQUIRE(bool(input));
  std::string out;
  while (!input->done()) {
    while (auto line = input->next())
      out += std::to_string(line->line) + "=" + (line->too_long ? "too long" : std::string(line->text)) + ";";
    if (!input->done()) CHECK(bool(input->fill()));
  }
  return out;
}

}  // namespace

TEST_CASE("lines of several files, the last one without line feed") {
  const MemoryFile a("one\n\nthree"), empty(""), b("x\ny\n");
  CHECK(lines_of({a.name(), empty.name(), b.name()}) == "1=one;2=;3=three;1=x;2=y;");
}

TEST_CASE("a line that no agent takes is skipped, its neighbours are not") {
  const MemoryFile a("first\n" + std::string(kInputLineBytesMax + 200'000, 'x') + "\nthird\n");
  CHECK(lines_of({a.name()}) == "1=first;2=too long;3=third;");
}

TEST_CASE("a line of text becomes a log record") {
  std::string out = "left over";
  text_record(out, "one \"quoted\"\ttab\r", "cron");
  CHECK(out == R"({"stream":"log","service":"cron","message":"one \"quoted\"\ttab"})");
  text_record(out, "x", "");
  CHECK(out == R"({"stream":"log","message":"x"})");
}

TEST_CASE("a file that cannot be opened is named") {
  const auto input = LineInput::open({"/nonexistent/a.jsonl"});
  REQUIRE_FALSE(bool(input));
  CHECK(input.error().message == "cannot read /nonexistent/a.jsonl: No such file or directory");
}
