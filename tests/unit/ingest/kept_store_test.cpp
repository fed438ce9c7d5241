#include "agent/ingest/kept_store.h"

#include <doctest/doctest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>

#include "tests/support/manager.h"

using namespace weir;
using test::Manager;

namespace {

KeptClient some_client() {
  return {"local", {uid_t(1000), 42, "unix:uid=1000,pid=42"}, "app \"1\"", "orders", AckLevel::durable, true};
}

}  // namespace

TEST_CASE("a card says to the next agent what it was told") {
  auto card = KeptCard::make(some_client());
  REQUIRE(card);
  CHECK_FALSE(card->idle_at());
  card->set_idle(7);
  card->set_policy(5);
  auto read = KeptCard::read(ring::Descriptor(dup(card->fd())));
  REQUIRE(read);
  CHECK(read->client().source == "local");
  CHECK(read->client().peer.uid == uid_t(1000));
  CHECK(read->client().peer.pid == 42);
  CHECK(read->client().client_id == "app \"1\"");
  CHECK(read->client().service == "orders");
  CHECK(read->client().level == AckLevel::durable);
  CHECK(read->client().frames);
  CHECK(read->idle_at() == 7);
  CHECK(read->policy() == 5);
  card->set_busy();
  CHECK_FALSE(read->idle_at());
}

TEST_CASE("what is no card is none") {
  CHECK_FALSE(KeptCard::read(ring::Descriptor(-1)));
  ring::Descriptor empty(memfd_create("x", MFD_CLOEXEC));
  REQUIRE(ftruncate(empty.get(), 8192) == 0);
  CHECK_FALSE(KeptCard::read(std::move(empty)));
  KeptClient long_name = some_client();
  long_name.service = std::string(9000, 'x');
  CHECK_FALSE(KeptCard::make(long_name));
}

TEST_CASE("without a service manager nothing is kept") {
  boost::asio::io_context io;
  KeptStore store(io);
  CHECK_FALSE(store.available());
  CHECK_FALSE(store.keep("k", "conn", 0));
}

TEST_CASE("what is kept is named, replaced, and forgotten with its last user") {
  Manager manager;
  boost::asio::io_context io;
  KeptStore store(io);
  store.retain("k");
  store.retain("k");
  CHECK(store.keep("k", "card", 0));
  CHECK(manager.next() == "FDSTORE=1\nFDPOLL=0\nFDNAME=weir.k.card");
  CHECK(store.keep("k", "card", 0));
  CHECK(manager.next() == "FDSTOREREMOVE=1\nFDNAME=weir.k.card");
  CHECK(manager.next() == "FDSTORE=1\nFDPOLL=0\nFDNAME=weir.k.card");
  CHECK(store.keep("k2", KeptStore::ring_part(255), 0));
  CHECK(manager.next() == "FDSTORE=1\nFDPOLL=0\nFDNAME=weir.k2.00000000000000ff");
  store.release("k");
  CHECK(manager.next() == "");
  store.release("k");
  CHECK(manager.next() == "FDSTOREREMOVE=1\nFDNAME=weir.k.card");
  CHECK(manager.next() == "");
}

TEST_CASE("at the end of the agent nothing is forgotten") {
  Manager manager;
  boost::asio::io_context io;
  KeptStore store(io);
  store.retain("k");
  store.keep("k", "card", 0);
  manager.next();
  store.leave();
  store.forget("k", "card");
  store.release("k");
  CHECK(manager.next() == "");
}

TEST_CASE("no more is kept than there is room for") {
  Manager manager;
  setenv("FDSTORE", "2", 1);
  boost::asio::io_context io;
  KeptStore store(io);
  CHECK(store.keep("a", "card", 0));
  CHECK(store.keep("b", "card", 0));
  CHECK_FALSE(store.keep("c", "card", 0));
  store.forget("a", "card");
  CHECK(store.keep("c", "card", 0));
}

TEST_CASE("who only come and go are not all kept") {
  Manager manager;
  boost::asio::io_context io;
  KeptStore store(io);
  int admitted = 0;
  for (int i = 0; i < 5000; ++i) admitted += store.admits_new();
  CHECK(admitted >= KeptStore::kNewAtOnce);
  CHECK(admitted < 2000);
}

TEST_CASE("what the service manager has no room for at once comes later, in order") {
  Manager manager;
  boost::asio::io_context io;
  KeptStore store(io);
  constexpr int kMany = 900;  // more than a socket has room for, fewer than may wait
  for (int i = 0; i < kMany; ++i) CHECK(store.keep("k" + std::to_string(i), "card", 0));
  for (int i = 0; i < kMany;) {
    const std::string word = manager.next();
    if (word.empty()) {
      io.restart();
      io.run_one();
      continue;
    }
    CHECK(word == "FDSTORE=1\nFDPOLL=0\nFDNAME=weir.k" + std::to_string(i++) + ".card");
  }
}
