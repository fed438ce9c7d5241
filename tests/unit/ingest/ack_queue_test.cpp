#include "agent/ingest/ack_queue.h"

#include <doctest/doctest.h>

#include "agent/ingest/waiting_list.h"

using namespace weir;

namespace {

uint64_t take(AckQueue& queue, uint64_t reached) {
  return queue.take([reached](uint64_t mark) { return mark <= reached; }, [](uint64_t, int64_t) {});
}

}  // namespace

TEST_CASE("an acknowledgement covers all whose mark was reached, and no more") {
  AckQueue queue;
  CHECK(take(queue, 100) == 0);
  queue.add(3, 10);
  queue.add(5, 20);
  queue.add(6, 30);
  CHECK(take(queue, 9) == 0);
  CHECK(take(queue, 25) == 5);
  CHECK(take(queue, 25) == 0);
  CHECK_FALSE(queue.empty());
  CHECK(take(queue, 30) == 6);
  CHECK(queue.empty());
}

TEST_CASE("turns with the same mark are one") {
  AckQueue queue;
  queue.add(3, 10);
  queue.add(5, 10);
  CHECK(take(queue, 9) == 0);
  CHECK(take(queue, 10) == 5);
  CHECK(queue.empty());
}

TEST_CASE("it is bounded: more turns wait together, and none is forgotten or early") {
  AckQueue queue;
  const uint64_t turns = 10 * AckQueue::kEntriesMax;
  for (uint64_t n = 1; n <= turns; ++n) queue.add(n, n);
  CHECK(take(queue, 7) == 7);
  CHECK(take(queue, turns - 1) == AckQueue::kEntriesMax - 1);
  CHECK(take(queue, turns) == turns);
  CHECK(queue.empty());
}

TEST_CASE("it goes on for ever while the front is reached") {
  AckQueue queue;
  uint64_t told = 0;
  for (uint64_t n = 1; n <= 10'000; ++n) {
    queue.add(n, n);
    if (n < 50) continue;
    const uint64_t seq = take(queue, n - 49);
    CHECK(seq == n - 49);
    told = seq;
  }
  CHECK(told == 9'951);
}

TEST_CASE("who waits is told until he leaves, by himself or by ending") {
  struct Counter final : Waiter {
    int told = 0, until = 2;
    void on_progress() override {
      if (++told == until) unlink();
    }
  };
  WaitingList list;
  Counter a, b;
  list.add(a);
  list.add(a);
  list.add(b);
  {
    Counter gone;
    list.add(gone);
  }
  b.until = 3;
  for (int i = 0; i < 5; ++i) list.on_progress();
  CHECK(a.told == 2);
  CHECK(b.told == 3);
}
