#include "agent/cli/text_buffer.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <string>

using namespace weir::cli;

namespace {

struct Away {
  SendSession session{"received", "", ""};
  TextBuffer buffer;
  uint64_t line = 0;

  explicit Away(size_t bytes_max) : buffer(session, "svc", bytes_max) {
    session.wrote(session.outgoing().size());
  }
  void add(size_t size) { buffer.add({std::string(size, '1'), "-", ++line, 2}); }
  void welcome() { session.feed("{\"weir\":\"welcome\",\"ack\":\"received\",\"last_seq\":0}\n"); }
  std::string out() {
    std::string bytes(session.outgoing());
    session.wrote(bytes.size());
    return bytes;
  }
};

}  // namespace

TEST_CASE("without a limit everything waits in order") {
  Away a(0);
  for (int n = 0; n < 100; ++n) a.add(1000);
  CHECK(a.out().empty());
  a.welcome();
  a.buffer.move(0);
  CHECK(a.buffer.empty());
  CHECK(a.out().size() == 100 * 1001);
  a.add(5);
  CHECK(a.out() == "11111\n");
  CHECK(a.buffer.dropped_lines() == 0);
}

TEST_CASE("a gap is one piece, told by one record in its place") {
  Away a(10'000);
  for (int n = 0; n < 30; ++n) a.add(1000);
  const uint64_t kept = 30 - a.buffer.dropped_lines() / 2;
  CHECK(kept > 5);
  CHECK(kept < 10);
  a.add(1);
  CHECK(a.buffer.dropped_lines() == 2 * (31 - kept));
  a.buffer.move(0);
  CHECK(a.buffer.dropped_lines() == 2 * (31 - kept));
  a.welcome();
  a.buffer.move(1'767'225'600'000'000'000);
  a.add(3);
  a.buffer.move(0);
  const std::string out = a.out();
  const std::string gap = out.substr(kept * 1001);
  const std::string lines = std::to_string(2 * (31 - kept));
  CHECK(
      gap ==
      "{\"stream\":\"log\",\"ts\":\"2026-01-01T00:00:00.000000000Z\",\"level\":\"warn\",\"service\":\"svc\","
      "\"message\":\"weir send: " +
          lines + " lines dropped\",\"attributes\":{\"dropped_lines\":" + lines + "}}\n111\n");
}

TEST_CASE("a gap that is open at the end is told, too; giving up counts what waits") {
  Away a(10'000);
  for (int n = 0; n < 30; ++n) a.add(1000);
  a.buffer.finish(0);
  const uint64_t dropped = a.buffer.dropped_lines();
  CHECK(dropped > 0);
  SUBCASE("sent") {
    a.welcome();
    a.buffer.move(0);
    CHECK(a.out().find(std::to_string(dropped) + " lines dropped") != std::string::npos);
    CHECK(a.buffer.dropped_lines() == dropped);
  }
  SUBCASE("given up") {
    a.buffer.give_up();
    CHECK(a.buffer.empty());
    CHECK(a.buffer.dropped_lines() == 60);
  }
}
