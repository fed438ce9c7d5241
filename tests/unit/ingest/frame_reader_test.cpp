#include "agent/ingest/frame_reader.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <random>
#include <vector>

#include "tests/support/frame_bytes.h"
#include "tests/support/temp_dir.h"

namespace weir {
namespace {

using test::frame;
using Frames = std::vector<std::string>;

/// Feeds `input` in reads of the given sizes (the last one repeats); each frame as `TYPE/FLAGS:payload`, then
/// what is left.
Frames read_in(const std::string& input, const std::vector<size_t>& sizes, size_t record_bytes_max = 1000,
               bool stop_early = false) {
  ReadBuffer shared;
  shared.record_bytes_max = record_bytes_max;
  Frames out;
  {
    InputBuffer buffer(shared, nullptr);
    FrameReader reader(buffer);
    Frame got;
    size_t at = 0, n = 0;
    const auto rest_aside = [&] {
      buffer.put_aside();
      std::memset(shared.bytes.data(), '#', shared.bytes.size());  // others use the buffer now
    };
    while (at < input.size()) {
      const auto space = buffer.space();
      const size_t bytes =
          std::min<size_t>({sizes[std::min(n++, sizes.size() - 1)], space.size(), input.size() - at});
      std::memcpy(space.data(), input.data() + at, bytes);
      at += bytes;
      buffer.filled(bytes);
      FrameReader::Got what;
      while ((what = reader.next(got)) == FrameReader::Got::frame) {
        if (stop_early) {
          reader.put_back();
          rest_aside();
          buffer.resume();
          REQUIRE(reader.next(got) == FrameReader::Got::frame);
        }
        out.push_back(std::to_string(got.type) + "/" + std::to_string(got.flags) + ":" +
                      std::string(got.payload));
      }
      if (what == FrameReader::Got::too_long) {
        out.push_back("too long");
        return out;
      }
      rest_aside();
    }
    buffer.resume();
    out.push_back("left " + std::to_string(buffer.size()));
  }
  CHECK(shared.aside_bytes == 0);
  return out;
}

//  length      type flags reserved payload
//  02 00 00 00  09    00    00 00   'h' 'i'
TEST_CASE("a frame is a length, a type, flags and a payload") {
  CHECK(read_in(std::string("\x02\0\0\0\x09\0\0\0hi", 10), {100}) == Frames{"9/0:hi", "left 0"});
  CHECK(read_in(std::string("\0\0\0\0\x0a\x01\xff\xff", 8), {100}) == Frames{"10/1:", "left 0"});
  CHECK(read_in("", {100}) == Frames{"left 0"});
}

TEST_CASE("what has not come whole is left") {
  const std::string two = frame(frames::kSync, "one") + frame(frames::kSync, "two");
  for (size_t cut = 1; cut < two.size(); ++cut) {
    const Frames whole = cut < 11 ? Frames{} : Frames{"9/0:one"};
    Frames expected = whole;
    expected.push_back("left " + std::to_string(cut < 11 ? cut : cut - 11));
    CHECK(read_in(two.substr(0, cut), {100}) == expected);
  }
}

TEST_CASE("an unfinished frame shows what has come of it, once its first eight bytes have") {
  ReadBuffer shared;
  InputBuffer buffer(shared, nullptr);
  FrameReader reader(buffer);
  const std::string bytes = test::records(7, "{}\n{");
  const auto space = buffer.space();
  std::memcpy(space.data(), bytes.data(), bytes.size());
  Frame got;
  buffer.filled(7);
  CHECK_FALSE(reader.unfinished(got));
  buffer.filled(bytes.size() - 8);
  CHECK(reader.next(got) == FrameReader::Got::nothing);
  REQUIRE(reader.unfinished(got));
  CHECK(got.type == frames::kRecJson);
  CHECK(got.payload == test::u64(7) + "{}\n");
}

TEST_CASE("exactly the limit is taken, one more is not, whatever has come of it") {
  const size_t most = 1000 + frames::kPayloadSlackBytes;
  const std::string payload(most, 'x');
  CHECK(read_in(frame(frames::kSync, payload), {4096}) == Frames{"9/0:" + payload, "left 0"});
  const std::string longer = frame(frames::kSync, payload + "x");
  CHECK(read_in(longer.substr(0, 8), {100}) == Frames{"too long"});
  CHECK(read_in(frame(frames::kBye, "") + longer, {4096}) == Frames{"10/0:", "too long"});
  CHECK(read_in(std::string(8, '\xff'), {1}) == Frames{"too long"});
}

TEST_CASE("any split gives the same frames (seeded)") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  for (int round = 0; round < 200; ++round) {
    std::string input;
    for (int i = 0; i < 30; ++i) {
      const size_t bytes = random() % 10 == 0 ? random() % 60'000 : random() % 50;
      input += frame(frames::Type(1 + random() % 20), std::string(bytes, char('a' + random() % 26)),
                     uint8_t(random() % 3));
    }
    if (random() % 2) input.resize(input.size() - random() % 20);
    const Frames whole = read_in(input, {1'000'000}, 40'000);
    std::vector<size_t> sizes;
    for (int i = 0; i < 200; ++i) sizes.push_back(1 + random() % (random() % 2 ? 20 : 30'000));
    REQUIRE(read_in(input, sizes, 40'000) == whole);
    REQUIRE(read_in(input, sizes, 40'000, true) == whole);
  }
}

TEST_CASE("what fuzzing starts from, and has found, is the same in any split") {
  size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(WEIR_ROOT "/proto/vectors/frame_streams")) {
    CAPTURE(entry.path().string());
    const std::string bytes = test::read_file(entry.path());
    REQUIRE_FALSE(bytes.empty());
    const Frames whole = read_in(bytes, {bytes.size()}, 256 << 10);
    CHECK(whole.size() > 1);
    for (size_t size : {1, 2, 7, 8, 9, 100}) CHECK(read_in(bytes, {size}, 256 << 10, size % 2 == 0) == whole);
    ++files;
  }
  CHECK(files > 10);
}

}  // namespace
}  // namespace weir
