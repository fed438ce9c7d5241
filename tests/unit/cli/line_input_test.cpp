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

TEST_CASE("with split_at long lines come in parts, cut between characters and not before a line feed") {
  const std::string euro = "\xe2\x82\xac";
  std::string text = "short\n";
  for (int n = 0; n < 100; ++n) text += euro;
  text += "\r\n";
  std::string cr(63, 'x');
  text += cr + "\r\n" + std::string(64, 'y') + "\n" + std::string(200, 'z');
  const MemoryFile a(text);
  auto input = LineInput::open({a.name()});
  REQUIRE(bool(input));
  input->split_at(64);
  std::string whole, shape;
  while (!input->done()) {
    while (auto line = input->next()) {
      CHECK(line->text.size() <= 64);
      CHECK((line->text.empty() || (line->text[0] & 0xC0) != 0x80));
      if (line->goes_on) CHECK_FALSE(line->text.ends_with('\r'));
      whole += line->text;
      shape += std::to_string(line->line) + (line->continues ? "c" : "") + (line->goes_on ? "g" : "");
      if (!line->goes_on) whole += '\n', shape += ' ';
    }
    if (!input->done()) CHECK(bool(input->fill()));
  }
  CHECK(whole == text + "\n");
  CHECK(shape == "1 2g2cg2cg2cg2c 3 4 5g5cg5cg5c ");
}

TEST_CASE("a file that cannot be opened is named") {
  const auto input = LineInput::open({"/nonexistent/a.jsonl"});
  REQUIRE_FALSE(bool(input));
  CHECK(input.error().message == "cannot read /nonexistent/a.jsonl: No such file or directory");
}
