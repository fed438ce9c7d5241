#include "agent/ingest/line_reader.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <string>
#include <vector>

namespace weir {
namespace {

using Lines = std::vector<std::string>;

/// Feeds `input` in reads of the given sizes (the last size repeats) and shows each line as text; too long
/// ones as `!LENGTH`.
Lines read_in(const std::string& input, const std::vector<size_t>& sizes, size_t record_bytes_max = 1000,
              bool stop_early = false) {
  ReadBuffer shared;
  shared.record_bytes_max = record_bytes_max;
  Lines out;
  {
    InputBuffer buffer(shared, nullptr);
    LineReader reader(buffer);
    Line line;
    auto show = [&] {
      out.push_back(line.too_long ? "!" + std::to_string(line.length) : std::string(line.payload));
    };
    size_t at = 0, n = 0;
    while (at < input.size()) {
      auto space = buffer.space();
      size_t bytes =
          std::min<size_t>({sizes[std::min(n++, sizes.size() - 1)], space.size(), input.size() - at});
      std::memcpy(space.data(), input.data() + at, bytes);
      at += bytes;
      buffer.filled(bytes);
      while (reader.next(line)) {
        show();
        if (!stop_early) continue;
        reader.end_turn();
        buffer.put_aside();
        std::memset(shared.bytes.data(), '#', shared.bytes.size());
        buffer.resume();
      }
      reader.end_turn();
      buffer.put_aside();
      std::memset(shared.bytes.data(), '#', shared.bytes.size());  // others use the buffer now
    }
    auto space = buffer.space();
    (void)space;
    if (reader.last(line))
      out.push_back("last:" +
                    (line.too_long ? "!" + std::to_string(line.length) : std::string(line.payload)));
    buffer.put_aside();
  }
  CHECK(shared.aside_bytes == 0);
  return out;
}

TEST_CASE("lines end at LF, CR before it is dropped, blank ones are skipped, the rest is last") {
  CHECK(read_in("a\nb\r\n\n \r\nc", {100}) == Lines{"a", "b", "last:c"});
  CHECK(read_in("a\n", {100}) == Lines{"a"});
  CHECK(read_in("", {100}).empty());
}

TEST_CASE("exactly the limit is taken, one more is not") {
  std::string ten(10, 'x');
  CHECK(read_in(ten + "\n" + ten + "\r\n" + ten + "x\n" + "a\n", {100}, 10) == Lines{ten, ten, "!11", "a"});
}

TEST_CASE("a line that is too long is skipped to its end and counted once, with its whole length") {
  std::string huge(50'000, 'y');
  for (size_t size : {1u, 7u, 4096u, 100'000u})
    CHECK(read_in("a\n" + huge + "\r\nb\n" + huge, {size}, 1000) == Lines{"a", "!50000", "b", "last:!50000"});
}

TEST_CASE("any split gives the same lines (seeded)") {
  uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  for (int round = 0; round < 200; ++round) {
    std::string input;
    for (int i = 0; i < 30; ++i) {
      size_t bytes = random() % 10 == 0 ? random() % 60'000 : random() % 50;
      input += std::string(bytes, char('a' + random() % 26));
      input += random() % 5 ? "\n" : "\r\n";
    }
    if (random() % 2) input += "tail";
    Lines whole = read_in(input, {1'000'000}, 40'000);
    std::vector<size_t> sizes;
    for (int i = 0; i < 200; ++i) sizes.push_back(1 + random() % (random() % 2 ? 20 : 30'000));
    REQUIRE(read_in(input, sizes, 40'000) == whole);
    REQUIRE(read_in(input, sizes, 40'000, true) == whole);
  }
}

}  // namespace
}  // namespace weir
