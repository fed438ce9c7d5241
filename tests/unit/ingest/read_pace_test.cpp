#include "agent/ingest/read_pace.h"

#include <doctest/doctest.h>

#include <initializer_list>

using weir::ReadPace;

namespace {

constexpr int64_t kSoon = 10'000, kLate = 10'000'000;

/// One connection on a clock of its own.
struct Connection {
  ReadPace pace;
  int64_t now_ns = 0;
  int64_t empty(size_t bytes, int64_t after_ns = kSoon) {
    pace.read(bytes / 2);  // in two reads, as they come
    pace.read(bytes - bytes / 2);
    return pace.emptied(now_ns += after_ns);
  }
  void hurry() {
    for (int i = 0; i < ReadPace::kTimesBefore; ++i) CHECK(empty(700) == 0);
    CHECK(empty(700) == ReadPace::kPauseNs);
  }
};

}  // namespace

TEST_CASE("records that come now and then never wait") {
  Connection connection;
  for (int i = 0; i < 100; ++i) CHECK(connection.empty(700, kLate) == 0);
}

TEST_CASE("records that come one by one in a hurry gather for a moment") {
  Connection connection;
  connection.hurry();
}

TEST_CASE("a lot at once, or nothing at all, and the row begins anew") {
  for (const size_t bytes : {ReadPace::kLittleBytes, size_t(0)}) {
    Connection connection;
    for (int i = 0; i < ReadPace::kTimesBefore; ++i) CHECK(connection.empty(700) == 0);
    CHECK(connection.empty(bytes) == 0);
    CHECK(connection.empty(700) == 0);
  }
}

TEST_CASE("it goes on as long as records gather, be they many") {
  Connection connection;
  connection.hurry();
  CHECK(connection.empty(100'000, ReadPace::kPauseNs) == ReadPace::kPauseNs);
  CHECK(connection.empty(1'000'000, ReadPace::kPauseNs) == ReadPace::kPauseNs);
  CHECK(connection.empty(5'000, ReadPace::kPauseNs) == ReadPace::kPauseNs);
}

TEST_CASE("a pause that gathered next to nothing was the last") {
  Connection connection;
  connection.hurry();
  CHECK(connection.empty(1'000, ReadPace::kPauseNs) == 0);
  CHECK(connection.empty(700) == 0);
  CHECK(connection.empty(700, kLate) == 0);
}
