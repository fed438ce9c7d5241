#include "agent/ingest/read_pace.h"

#include <doctest/doctest.h>

using weir::ReadPace;

namespace {

constexpr size_t kRoom = 256 << 10;
constexpr int64_t kSoon = 10'000, kLate = 10'000'000;

/// Reads of one connection on a clock of their own.
struct Reads {
  ReadPace pace;
  int64_t now_ns = 0;
  int64_t read(size_t bytes, int64_t after_ns = kSoon) {
    return pace.after_read(bytes, kRoom, now_ns += after_ns);
  }
  void hurry() {
    for (int i = 0; i < ReadPace::kReadsBefore; ++i) CHECK(read(700) == 0);
    CHECK(read(700) == ReadPace::kPauseNs);
  }
};

}  // namespace

TEST_CASE("records that come now and then never wait") {
  Reads reads;
  for (int i = 0; i < 100; ++i) CHECK(reads.read(700, kLate) == 0);
}

TEST_CASE("several short reads in a row make the next one wait") {
  Reads reads;
  reads.hurry();
}

TEST_CASE("one long read in between, and the row begins anew") {
  Reads reads;
  for (int i = 0; i < ReadPace::kReadsBefore; ++i) CHECK(reads.read(700) == 0);
  CHECK(reads.read(ReadPace::kShortBytes) == 0);
  CHECK(reads.read(700) == 0);
}

TEST_CASE("it goes on as long as records gather, and reads all that have") {
  Reads reads;
  reads.hurry();
  CHECK(reads.read(100'000, ReadPace::kPauseNs) == ReadPace::kPauseNs);
  CHECK(reads.read(kRoom, ReadPace::kPauseNs) == 0);
  CHECK(reads.read(kRoom) == 0);
  CHECK(reads.read(5'000) == ReadPace::kPauseNs);
}

TEST_CASE("a pause that gathered next to nothing was the last") {
  Reads reads;
  reads.hurry();
  CHECK(reads.read(1'000, ReadPace::kPauseNs) == 0);
  CHECK(reads.read(700) == 0);
  CHECK(reads.read(700, kLate) == 0);
}
