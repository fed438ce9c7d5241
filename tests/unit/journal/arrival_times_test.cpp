// When records came in, for the latency of sinks.
#include <doctest/doctest.h>

#include <random>

#include "agent/journal/tail_journal.h"
#include "tests/support/journal_fill.h"

using namespace weir;
using test::Filler;

TEST_CASE("every run of a batch says when its first record came, and how many are the reader's") {
  const auto journal = make_memory_journal(16 << 20);
  Filler fill(*journal);
  auto cursor = journal->open_cursor("logs", {Stream::log}, StartAt::end, WhenFull::block);
  std::mt19937_64 random(7);
  uint64_t came = 0, left = 0;
  for (int round = 0; round < 300; ++round) {
    for (uint64_t n = random() % 20; n > 0; --n) {
      std::vector<std::pair<Stream, std::string>> lines(1 + random() % 3,
                                                        {Stream::log, std::to_string(++came)});
      lines.insert(lines.begin() + int64_t(random() % lines.size()), {Stream::trace, std::to_string(came)});
      fill.append(lines), left += lines.size() - 1;
    }
    BatchView batch;
    while (cursor->next(batch, {1 + random() % 30, 1 << 20}, 0, {}) && random() % 4) {
      if (random() % 2) batch = first_records(batch, 1 + random() % batch.records);
      uint64_t records = 0;
      for (const BatchSlice& s : batch.slices) {
        CHECK(s.received_ns == Filler::kMillisecond * std::stoll(std::string(s.block->line(s.first_entry))));
        records += s.records;
      }
      CHECK(records == batch.records);
      left -= records;
      cursor->commit(batch);
    }
  }
  CHECK(left == cursor->status().lag_records);
}

TEST_CASE("arrivals are known to half a millisecond, for the last four thousand of those") {
  ArrivalTimes times;
  CHECK(times.of(0) == 0);
  constexpr int64_t kStep = 100'000;  // from one record to the next
  for (Position p = 0; p < 30'000; ++p) times.add(p, 1 + int64_t(p) * kStep);
  CHECK(times.of(0) == 0);
  for (Position p = 10'000; p < 30'000; ++p) {
    const int64_t early = 1 + int64_t(p) * kStep - times.of(p);
    REQUIRE(early >= 0);
    REQUIRE(early < 500'000);
  }
  CHECK(times.of(1'000'000) == times.of(29'999));
}

TEST_CASE("a clock that is set back is believed") {
  ArrivalTimes times;
  times.add(0, 5'000'000'000);
  times.add(10, 1'000'000'000);
  CHECK(times.of(9) == 5'000'000'000);
  CHECK(times.of(10) == 1'000'000'000);
}
