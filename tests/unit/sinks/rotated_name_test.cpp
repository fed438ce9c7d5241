#include "agent/sinks/rotated_name.h"

#include <doctest/doctest.h>

using namespace weir;

namespace {

bool is_rotated(std::string_view name) {
  RotatedName out;
  return parse_rotated_name(name, out);
}

}  // namespace

TEST_CASE("a rotated name is its base, the time and a number") {
  CHECK(rotation_stamp(1'795'316'645'999'999'999) == "20261122T030405Z");
  CHECK(rotated_name("a.jsonl", "20261122T030405Z", 12) == "a.jsonl.20261122T030405Z.12");
  RotatedName name;
  REQUIRE(parse_rotated_name("a.jsonl.20261122T030405Z.12", name));
  CHECK(name.base == "a.jsonl");
  CHECK(name.stamp == "20261122T030405Z");
  CHECK(name.number == 12);
  CHECK(name.packing == Packing::none);
  CHECK_FALSE(name.part);
}

TEST_CASE("compressed files and those in the making are known too") {
  RotatedName name;
  REQUIRE(parse_rotated_name("a.20261122T030405Z.1.zst", name));
  CHECK(name.packing == Packing::zstd);
  REQUIRE(parse_rotated_name("a.20261122T030405Z.1.gz", name));
  CHECK(name.packing == Packing::gzip);
  REQUIRE(parse_rotated_name("a.20261122T030405Z.1.gz.part", name));
  CHECK(name.part);
  CHECK(name.base == "a");
}

TEST_CASE("a name that is nearly one is none") {
  for (const char* name :
       {"a.jsonl", "a.jsonl.1", "a.20261122T030405Z", "a.20261122T030405Z.", "a.20261122T030405Z.x",
        "a.20261122T030405Z.1x", "a.20261122T030405Z.01", "a.20261122T030405Z.0", "a.20261122T030405Z.-1",
        "a.20261122T030405Z.1.zip", "a.20261122T030405Z.1.zst.gz", "a.20261122T030405.1",
        "a.20261122t030405Z.1", "a-20261122T030405Z.1", ".20261122T030405Z.1x", "20261122T030405Z.1",
        "a.20261122T030405Z.1.part", "a.20261122T030405Z.1234567890123"}) {
    CAPTURE(name);
    CHECK_FALSE(is_rotated(name));
  }
}

TEST_CASE("no name is given out twice, and order is kept when the clock goes back") {
  RotationNumbers numbers;
  const int64_t second = 1'000'000'000, now = 1'795'316'645 * second;
  auto next = [&](int64_t at) {
    const auto [stamp, number] = numbers.next(at);
    return stamp + "." + std::to_string(number);
  };
  CHECK(next(now) == "20261122T030405Z.1");
  CHECK(next(now + second / 2) == "20261122T030405Z.2");
  CHECK(next(now + second) == "20261122T030406Z.1");
  CHECK(next(now - 3600 * second) == "20261122T030406Z.2");
  numbers.pass("20261122T030407Z", 7);
  numbers.pass("20261122T030407Z", 3);
  CHECK(next(now) == "20261122T030407Z.8");
  CHECK(next(now + 3 * second) == "20261122T030408Z.1");
}
