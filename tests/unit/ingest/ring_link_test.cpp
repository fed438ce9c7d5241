#include "agent/ingest/ring_link.h"

#include <doctest/doctest.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "agent/ingest/session.h"
#include "tests/support/manager.h"
#include "tests/support/ring_handler.h"
#include "tests/support/ring_memory.h"

namespace weir {
namespace {

using test::ClientArena;
using test::ClientRing;
using test::raw;

/// One connection of a client, from the descriptors on.
class Bench {
 public:
  explicit Bench(uint64_t memory_max = SIZE_MAX) {
    share->aside.bytes_max = memory_max;
    producer.stats = std::make_shared<SourceStats>();
    producer.peer = {uid_t(1000), 42, "unix:uid=1000,pid=42"};
    producer.client = std::make_shared<ClientState>();
    producer.client->identity = std::make_shared<ClientIdentity>(ClientIdentity{"app", uid_t(1000)});
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) == 0);
  }
  ~Bench() {
    link.close();
    close(sockets[0]), close(sockets[1]);
  }
  /// What a RING frame with this descriptor is answered.
  uint16_t attach(uint8_t what, uint64_t ring_id, int fd, RingLink& to) {
    char byte = 0, control[CMSG_SPACE(sizeof fd)] = {};
    iovec bytes{&byte, 1};
    msghdr message{};
    message.msg_iov = &bytes, message.msg_iovlen = 1;
    message.msg_control = control, message.msg_controllen = sizeof control;
    cmsghdr* const with = CMSG_FIRSTHDR(&message);
    with->cmsg_level = SOL_SOCKET, with->cmsg_type = SCM_RIGHTS, with->cmsg_len = CMSG_LEN(sizeof fd);
    std::memcpy(CMSG_DATA(with), &fd, sizeof fd);
    REQUIRE(sendmsg(sockets[0], &message, 0) == 1);
    REQUIRE(to.read_some(sockets[1], {&byte, 1}).is(IoStep::Kind::done));
    std::string answer;
    to.attach(raw(what) + raw(ring_id), frame_replies(), answer);
    return frames::load<uint16_t>(answer.data() + frames::kHeaderBytes + 9);
  }
  uint16_t attach(const ClientArena& arena) { return attach(ring::kArena, 0, arena.fd, link); }
  uint16_t attach(ClientRing& ring) { return attach(ring, link); }
  uint16_t attach(ClientRing& ring, RingLink& to) {
    return attach(ring::kRing, ring.header().ring_id, ring.fd, to);
  }

  boost::asio::io_context io;
  IntakeGate gate{io};
  ReadBuffer buffer;
  IngestContext context{io, gate, buffer};
  test::RingHandler handler;
  Producer producer;
  std::shared_ptr<UidShare> share = std::make_shared<UidShare>();
  int violations = 0;
  int sockets[2];
  RingLink link{context, handler, producer, share, [] {}, [this](const char*) { ++violations; }};
};

constexpr uint64_t kBytes = 64 << 10;  // of each arena and ring here

}  // namespace

TEST_CASE("rings behind an arena that found no memory left are refused as it was, and break no rule") {
  Bench b(kBytes - 1);
  ClientArena arena;
  ClientRing one(1), two(2), three(3);
  CHECK(b.attach(arena) == ring::kTooMany);
  const ring::Descriptor doorbell(eventfd(0, EFD_CLOEXEC));
  CHECK(b.attach(ring::kDoorbell, 0, doorbell.get(), b.link) == ring::kAttached);
  for (ClientRing* r : {&one, &two, &three}) CHECK(b.attach(*r) == ring::kTooMany);
  CHECK(b.violations == 0);
  CHECK(b.producer.stats->ring_refusals == 4);
  b.share->aside.bytes_max = SIZE_MAX;
  CHECK(b.attach(arena) == ring::kAttached);
  CHECK(b.attach(one) == ring::kAttached);
}

TEST_CASE("rings behind a doorbell that is refused are refused: their client sends them itself") {
  Bench b;
  ClientArena arena;
  ClientRing one(1), two(2);
  CHECK(b.attach(arena) == ring::kAttached);
  CHECK(b.attach(ring::kDoorbell, 0, arena.fd, b.link) == ring::kBadMemory);
  CHECK(b.attach(one) == ring::kBadMemory);
  CHECK(b.attach(two) == ring::kBadMemory);
  CHECK(b.violations == 1);
  CHECK(b.link.ring_count() == 0);
}

TEST_CASE("what a ring took of its user's memory is free when it is let go of") {
  Bench b(2 * kBytes);
  ClientArena arena;
  ClientRing one(1), two(2);
  CHECK(b.attach(arena) == ring::kAttached);
  CHECK(b.attach(one) == ring::kAttached);
  CHECK(b.attach(two) == ring::kTooMany);
  one.header().closed = 1;
  b.io.poll();
  CHECK(b.link.ring_count() == 0);
  CHECK(b.share->aside.bytes == kBytes);
  CHECK(b.attach(two) == ring::kAttached);
}

TEST_CASE("that a ring is not kept is known, and who comes once more is not new") {
  const test::Manager manager;
  ClientArena arena;
  ClientRing one(1);
  {
    Bench b;
    CHECK(b.link.all_kept());
    CHECK(b.attach(arena) == ring::kAttached);
    CHECK(b.attach(one) == ring::kAttached);
    CHECK(b.link.all_kept());
    while (b.context.kept.admits_new()) continue;
    RingLink again{b.context, b.handler, b.producer, b.share, [] {}, [](const char*) {}};
    CHECK(b.attach(ring::kArena, 0, arena.fd, again) == ring::kAttached);
    CHECK(b.attach(one, again) == ring::kAttached);
    CHECK(again.all_kept());
    again.close();
  }
  Bench b;
  CHECK(
      manager.next().starts_with("FDSTORE=1\nFDPOLL=0\nFDNAME=weir.1000_"));  // no other user has such a key
  while (b.context.kept.admits_new()) continue;
  CHECK(b.attach(arena) == ring::kAttached);
  CHECK_FALSE(b.link.all_kept());
  CHECK(b.link.key().empty());
}

}  // namespace weir
