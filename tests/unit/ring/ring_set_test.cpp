#include "agent/ring/ring_set.h"

#include <doctest/doctest.h>

#include <atomic>
#include <random>
#include <thread>

#include "tests/support/ring_handler.h"
#include "tests/support/ring_memory.h"

namespace weir::ring {
namespace {

using test::ClientArena;
using test::ClientRing;
using test::raw;
using Handler = test::RingHandler;

struct Bench {
  Bench() {
    owner.stats = std::make_shared<SourceStats>();
    owner.client = std::make_shared<ClientState>();
    owner.client->identity = std::make_shared<ClientIdentity>(ClientIdentity{"app", {}});
    set.on_violation = [this](const char* what) { violations.emplace_back(what); };
    REQUIRE(set.attach(kArena, 0, arena.fd, UINT64_MAX).code == kAttached);
    site = arena.site(RecordKind::log, "{n}", "", "", {{"n", ValueType::u64}});
  }
  Attached attach(ClientRing& ring) { return set.attach(kRing, ring.header().ring_id, ring.fd, UINT64_MAX); }
  bool write(ClientRing& ring, uint64_t n, uint64_t clock) {
    return ring.write(site, clock, std::string(1, '\0') + raw(n));
  }
  /// What the records' messages were.
  std::vector<uint64_t> numbers() {
    std::vector<uint64_t> out;
    for (const std::string& line : handler.lines)
      out.push_back(std::stoull(line.substr(line.find("\"message\":\"") + 11)));
    return out;
  }
  Handler handler;
  Producer owner;
  RingTools tools;
  ClientArena arena;
  RingSet set{handler, owner, tools};
  std::vector<std::string> violations;
  uint32_t site;
};

constexpr size_t kRecordBytes = 32;

TEST_CASE("records of three rings come out in the order of their clocks") {
  Bench b;
  ClientRing one(1), two(2), three(3);
  ClientRing* rings[] = {&one, &two, &three};
  for (ClientRing* r : rings) REQUIRE(b.attach(*r).code == kAttached);
  std::mt19937 random(7);
  std::vector<uint64_t> expected;
  for (uint64_t n = 0; n < 3000; ++n) b.write(*rings[random() % 3], n, 1000 + n), expected.push_back(n);
  while (b.set.sweep().more) continue;
  CHECK(b.numbers() == expected);
  CHECK(b.owner.stats->rings == 3);
}

TEST_CASE("a sweep waits for a ring that has been made, and not for ever") {
  Bench b;
  ClientRing one(1), two(2), three(3);
  one.header().number = 1, two.header().number = 2, three.header().number = 3;
  const int64_t start = 5'000'000'000;
  b.arena.header().rings = 2;
  b.write(two, 1, 1001), b.write(one, 2, 1002);
  REQUIRE(b.attach(one).code == kAttached);
  CHECK(b.set.awaits_ring(start));
  CHECK(b.set.awaits_ring(start + 1'000'000));
  REQUIRE(b.attach(two).code == kAttached);
  CHECK_FALSE(b.set.awaits_ring(start + 2'000'000));
  CHECK(b.set.sweep().records == 2);
  CHECK(b.numbers() == std::vector<uint64_t>{1, 2});

  b.arena.header().rings = 3;
  b.write(one, 3, 1003);
  CHECK(b.set.awaits_ring(start));
  CHECK_FALSE(b.set.awaits_ring(start + RingSet::kRingAwaitedNs));
  CHECK(b.set.sweep().records == 1);
  CHECK_FALSE(b.set.awaits_ring(start));  // that one is not waited for again
  b.arena.header().rings = 4;
  CHECK(b.set.awaits_ring(start));
  b.set.finish();
  CHECK_FALSE(b.set.awaits_ring(start));
}

TEST_CASE("a record from behind the cut waits for one sweep, not for its clock") {
  Bench b;
  ClientRing ring(1);
  REQUIRE(b.attach(ring).code == kAttached);
  b.write(ring, 5, uint64_t(INT64_MAX));
  CHECK(b.set.sweep().records == 0);
  CHECK(b.set.sweep().records == 1);
}

TEST_CASE("tail and place are published when the journal has come so far, not before") {
  Bench b;
  ClientRing ring(1);
  REQUIRE(b.attach(ring).code == kAttached);
  b.handler.reached = 0;
  for (uint64_t n = 0; n < 10; ++n) b.write(ring, n, n);
  CHECK(b.set.sweep().records == 10);
  b.set.publish();
  CHECK(ring.header().tail == 0);
  CHECK(ring.header().places_done == 0);
  CHECK(b.set.waits());
  b.handler.reached = UINT64_MAX;
  b.set.publish();
  CHECK(ring.header().tail == 10 * kRecordBytes);
  const RingPlace& place = ring.header().places[ring.header().places_done & 1];
  CHECK(place.tail == 10 * kRecordBytes);
  CHECK(place.records == 10);
  CHECK_FALSE(b.set.waits());
}

TEST_CASE("the next reader begins at the place, and numbers on from it") {
  ClientRing ring(1);
  ClientArena arena;
  for (uint64_t life = 0; life < 50; ++life) {
    Bench b;
    REQUIRE(b.attach(ring).code == kAttached);
    CHECK(b.handler.clients.begin()->first == "app/0000000000000001");
    for (uint64_t n = 0; n < 100; ++n) CHECK(b.write(ring, life * 100 + n, n));
    b.set.sweep();
    b.set.publish();
    CHECK(b.numbers().front() == life * 100);
    CHECK(b.handler.clients.begin()->second->last_seq == (life + 1) * 100);
  }
}

TEST_CASE("who attaches a ring anew takes it over") {
  Bench b;
  ClientRing ring(1);
  REQUIRE(b.attach(ring).code == kAttached);
  REQUIRE(b.attach(ring).code == kAttached);
  CHECK(b.set.ring_count() == 1);
  CHECK(b.owner.stats->rings == 1);
}

TEST_CASE("a closed ring is drained, then let go of") {
  Bench b;
  ClientRing ring(1);
  REQUIRE(b.attach(ring).code == kAttached);
  b.write(ring, 1, 1);
  ring.header().closed = 1;
  ring.header().dropped = 4;
  b.set.sweep();
  CHECK(b.set.ring_count() == 1);
  b.set.publish();
  CHECK(b.set.ring_count() == 0);
  CHECK(b.owner.client->dropped == 4);
  CHECK(b.owner.stats->ring_dropped == 4);
  // Attached again, what it had dropped is not counted again.
  REQUIRE(b.attach(ring).code == kAttached);
  b.set.sweep();
  CHECK(b.owner.stats->ring_dropped == 4);
}

TEST_CASE("an agent counts the drops that the agent before it had not seen") {
  ClientRing ring(1);
  for (const uint64_t dropped : {uint64_t(4), uint64_t(7)}) {
    Bench b;
    ring.header().dropped = dropped;
    REQUIRE(b.attach(ring).code == kAttached);
    b.set.sweep();
    CHECK(b.owner.stats->ring_dropped == (dropped == 4 ? 4 : 3));
    CHECK(ring.header().dropped_told == dropped);
  }
  Bench b;
  ring.header().dropped_told = UINT64_MAX;  // nonsense of its client's
  REQUIRE(b.attach(ring).code == kAttached);
  b.set.sweep();
  CHECK(b.owner.stats->ring_dropped == 0);
}

TEST_CASE("at the end what is committed then is taken, and no more") {
  Bench b;
  ClientRing ring(1);
  REQUIRE(b.attach(ring).code == kAttached);
  b.write(ring, 1, uint64_t(INT64_MAX));
  b.set.finish();
  CHECK_FALSE(b.set.finished());
  b.write(ring, 2, 1);
  b.set.sweep();
  b.set.publish();
  CHECK(b.set.finished());
  CHECK(b.numbers() == std::vector<uint64_t>{1});
}

TEST_CASE("what is dropped last is counted at the end, without another sweep") {
  Bench b;
  ClientRing ring(1);
  REQUIRE(b.attach(ring).code == kAttached);
  b.set.sweep();
  ring.header().dropped = 3;  // of records that no ring has room for: its head stays where it is
  b.set.finish();
  CHECK(b.set.finished());
  CHECK(b.owner.stats->ring_dropped == 3);
  CHECK(b.owner.client->dropped == 3);
}

TEST_CASE("a place that was stored by an agent which died before it stored the tail gives the room free") {
  Bench b;
  ClientRing ring(1);
  for (uint64_t n = 0; n < 10; ++n) b.write(ring, n, n);
  ring.header().places[1].tail = ring.header().head.load();
  ring.header().places[1].records = 10;
  ring.header().places_done = 1;
  REQUIRE(b.attach(ring).code == kAttached);
  CHECK(ring.header().tail == ring.header().head);
}

TEST_CASE("lengths and heads that cannot be are violations, and what is there is skipped") {
  const auto skipped = [](auto&& spoil) {
    Bench b;
    ClientRing ring(1);
    REQUIRE(b.attach(ring).code == kAttached);
    b.write(ring, 1, 1);
    b.set.sweep();
    b.set.publish();
    spoil(b, ring);
    b.set.sweep();
    CHECK(b.violations.size() == 1);
    CHECK(b.owner.stats->ring_violations == 1);
    CHECK(b.numbers() == std::vector<uint64_t>{1});
    b.set.publish();
    b.set.sweep();
    b.set.publish();
    CHECK(b.violations.size() <= 2);
    CHECK(ring.header().tail == ring.header().head);
    ring.header().head += (8 - ring.header().head % 8) % 8;
  };
  for (int64_t length :
       {int64_t(0), int64_t(8), int64_t(20), int64_t(16 << 10) + 8, int64_t(48), int64_t(0xfffffff8)})
    skipped([length](Bench& b, ClientRing& ring) { ring.write(b.site, 1, std::string(16, 'x'), length); });
  skipped([](Bench&, ClientRing& ring) { ring.header().head -= 8; });
  skipped([](Bench&, ClientRing& ring) { ring.header().head += ring.capacity() + 8; });
}

TEST_CASE("a record that makes no sense costs only itself") {
  Bench b;
  ClientRing ring(1);
  REQUIRE(b.attach(ring).code == kAttached);
  b.write(ring, 1, 1);
  ring.write(99, 2, "");
  b.write(ring, 3, 3);
  b.set.sweep();
  CHECK(b.numbers() == std::vector<uint64_t>{1, 3});
  CHECK(b.handler.bad == std::vector<Reason>{Reason::bad_json});
  CHECK(b.violations.empty());
}

TEST_CASE("memory that is not what it must be is not mapped") {
  Bench b;
  const auto code = [&](int fd, uint64_t id = 1) { return b.set.attach(kRing, id, fd, UINT64_MAX).code; };
  for (int seals : {0, F_SEAL_SHRINK, F_SEAL_SHRINK | F_SEAL_GROW})
    CHECK(code(test::ClientMemory(64 << 10, seals).fd) == kBadMemory);
  CHECK(code(test::ClientMemory(64 << 10).fd) == kBadMemory);
  CHECK(code(ClientRing(1, 32 << 10).fd) == kBadMemory);
  CHECK(code(ClientRing(1, 96 << 10).fd) == kBadMemory);
  CHECK(code(ClientRing(2).fd) == kBadMemory);
  CHECK(code(-1) == kNoDescriptor);
  CHECK(b.set.attach(kRing, 0, ClientRing(1).fd, UINT64_MAX).code == kBadFrame);
  CHECK(b.set.attach(kArena, 0, ClientArena().fd, UINT64_MAX).code == kBadOrder);
  CHECK(b.set.attach(kRing, 1, ClientRing(1).fd, 1000).code == kTooMany);
  CHECK(b.owner.stats->rings == 0);
}

TEST_CASE("an arena that is changed behind our back") {
  Bench b;
  ClientRing ring(1);
  REQUIRE(b.attach(ring).code == kAttached);
  b.write(ring, 1, 1);
  b.set.sweep();
  std::memset(b.arena.data(), 0xff, 64 << 10);  // what was read stays as it was
  b.write(ring, 2, 2);
  b.set.sweep();
  CHECK(b.numbers() == std::vector<uint64_t>{1, 2});
  b.arena.header().used = 1 << 30;
  ring.write(b.site + 1, 3, "");
  b.set.sweep();
  CHECK(b.violations == std::vector<std::string>{"`used` of its arena makes no sense"});
  b.write(ring, 4, 4);
  b.set.sweep();
  CHECK(b.numbers() == std::vector<uint64_t>{1, 2, 4});
}

TEST_CASE("headers that another thread rewrites all the time") {
  Bench b;
  ClientRing ring(1);
  REQUIRE(b.attach(ring).code == kAttached);
  std::atomic<bool> stop = false;
  std::thread writer([&] {
    std::mt19937_64 random(1);
    while (!stop) {
      const uint64_t head = ring.header().head;
      ring.header().head = random() % 8 ? head + 8 * (random() % 64) : random();
      const uint64_t word = random() % 4 ? random() % 256 * 8 : random();
      std::memcpy(ring.data() + random() % ring.capacity() / 8 * 8, &word, 8);
    }
  });
  for (int i = 0; i < 20000; ++i) b.set.sweep(), b.set.publish();
  stop = true;
  writer.join();
}

}  // namespace
}  // namespace weir::ring
