#include "agent/sinks/request_plan.h"

#include <doctest/doctest.h>

#include <map>
#include <random>
#include <set>

#include "tests/support/journal_fill.h"

using namespace weir;
using test::Filler;

namespace {

struct Bench {
  Bench() : journal(make_memory_journal(16 << 20)), fill(*journal) {
    cursor = journal->open_cursor("c", {Stream::log}, StartAt::end, WhenFull::block);
  }
  void append(int records) {
    for (int i = 0; i < records; ++i) {
      fill.append(Stream::log, "0123456789");
      if (i % 3 == 0) fill.append(Stream::trace, "another stream's");
    }
  }
  BatchView next(uint64_t records_max) {
    BatchView batch;
    REQUIRE(cursor->next(batch, {.records_max = records_max}, 0, {}));
    return batch;
  }
  std::unique_ptr<Journal> journal;
  Filler fill;
  std::unique_ptr<Cursor> cursor;
};

using Bounds = std::vector<std::pair<Position, Position>>;

/// Every request that waits now, all of them left running.
Bounds all_waiting(RequestPlan& plan) {
  Bounds out;
  while (const auto* request = plan.next_waiting()) out.emplace_back(request->first, request->last);
  return out;
}

}  // namespace

TEST_CASE("a batch is cut by records and by bytes, and named by the ordinals of the journal") {
  Bench b;
  b.append(10);  // ordinals 1 3 4 5 7 8 9 11 12 13
  RequestPlan by_records(4, 1000), by_bytes(100, 35);
  const BatchView batch = b.next(100);
  by_records.begin(batch);
  CHECK(all_waiting(by_records) == Bounds{{1, 5}, {7, 11}, {12, 13}});
  by_bytes.begin(batch);
  CHECK(all_waiting(by_bytes) == Bounds{{1, 4}, {5, 8}, {9, 12}, {13, 13}});
}

TEST_CASE(
    "what was planned keeps its bounds when more has come, and what lies behind a gap is not sent again") {
  Bench b;
  b.append(10);
  RequestPlan plan(4, 1000);
  BatchView batch = b.next(100);
  plan.begin(batch);
  all_waiting(plan);
  plan.delivered(1);
  plan.failed(7);
  plan.delivered(12);
  auto progress = plan.finish();
  CHECK(progress.done == 4);
  CHECK(plan.unfinished_records() == 6);
  b.cursor->commit(first_records(batch, progress.done));
  b.append(3);
  batch = b.next(100);
  plan.begin(batch);
  CHECK(all_waiting(plan) == Bounds{{7, 11}, {15, 18}});
  plan.delivered(7);
  plan.delivered(15);
  CHECK(plan.finish().done == batch.records);
  CHECK(plan.unfinished().empty());
}

TEST_CASE(
    "a refused request is split in halves until its one record is found, with a count of the attempts") {
  Bench b;
  b.append(8);
  RequestPlan plan(8, 1000);
  plan.begin(b.next(100));
  int requests = 0;
  while (const auto* request = plan.next_waiting()) {
    ++requests;
    if (request->begin <= 5 && 5 < request->end)
      plan.refused(request->first, "bad");
    else
      plan.delivered(request->first);
  }
  CHECK(requests == 7);
  auto progress = plan.finish();
  CHECK(progress.done == 8);
  REQUIRE(progress.refused.size() == 1);
  CHECK(progress.refused[0].record == 5);
  CHECK(progress.refused[0].answer == "bad");
  CHECK(progress.refused[0].attempts == 4);
}

TEST_CASE("another plan takes up where one was left") {
  Bench b;
  b.append(10);
  RequestPlan before(4, 1000), after(100, 1000);
  const BatchView batch = b.next(100);
  before.begin(batch);
  all_waiting(before);
  before.delivered(7);
  before.finish();
  after.resume(before.unfinished());
  CHECK(after.unfinished_records() == 10);
  CHECK(after.unfinished_bytes() == 110);
  after.begin(batch);
  CHECK(all_waiting(after) == Bounds{{1, 5}, {12, 13}});
}

TEST_CASE("what the journal has dropped is forgotten") {
  Bench b;
  b.append(10);
  RequestPlan plan(4, 1000);
  BatchView batch = b.next(100);
  plan.begin(batch);
  all_waiting(plan);
  plan.finish();
  b.cursor->commit(first_records(batch, 2));  // as if it had jumped into the middle of a request
  plan.begin(b.next(100));
  CHECK(all_waiting(plan) == Bounds{{4, 5}, {7, 11}, {12, 13}});
}

TEST_CASE(
    "whatever happens, each record is delivered or refused, and a request always has the same records") {
  for (uint32_t seed = 0; seed < 200; ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    Bench b;
    RequestPlan plan(1 + random() % 7, 1000);
    std::map<Position, Position> sent;  // first -> last of what was delivered
    std::set<Position> refused;
    uint64_t total = 0, done = 0;
    for (int round = 0; round < 400 && (round < 30 || done < total); ++round) {
      if (round < 30) {
        const int more = int(random() % 9);
        b.append(more), total += uint64_t(more);
      }
      BatchView batch;
      const uint64_t records_max = std::max<uint64_t>(1 + random() % 20, plan.unfinished_records());
      if (!b.cursor->next(batch, {.records_max = records_max}, 0, {})) continue;
      plan.begin(batch);
      std::vector<RequestPlan::Request> running;
      bool trouble = false;
      for (;;) {
        const auto* next = !trouble && running.size() < 3 ? plan.next_waiting() : nullptr;
        if (next) {
          CHECK(!sent.contains(next->first));
          running.push_back(*next);
          continue;
        }
        if (running.empty()) break;
        const auto request = running.front();
        running.erase(running.begin());
        const uint32_t mood = random() % 6;
        if (mood == 0) {
          trouble = true, plan.failed(request.first);
        } else if (mood == 1) {
          plan.refused(request.first, "no");
          if (request.end - request.begin == 1) refused.insert(request.first);
        } else {
          plan.delivered(request.first);
          sent[request.first] = request.last;
        }
      }
      auto progress = plan.finish();
      for (const auto& r : progress.refused) CHECK(r.record < progress.done);
      if (progress.done > 0) b.cursor->commit(first_records(batch, progress.done));
      done += progress.done;
    }
    CHECK(done == total);
    CHECK(plan.unfinished().empty());
    Position last = 0;
    for (const auto& [first, upto] : sent) {
      CHECK(first > last);
      last = upto;
      CHECK(refused.lower_bound(first) == refused.upper_bound(upto));
    }
  }
}
