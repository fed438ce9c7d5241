// Acknowledgements above `received`, and what follows when the journal fails (interface.md section 2): every
// source that numbers.
#include "tests/contract/source_bench.h"

namespace weir {
namespace {

using test::Bench;
using test::for_each_source;

std::string hello(const std::string& level, const std::string& more = "") {
  return "{\"weir\":\"hello\",\"client_id\":\"c\",\"ack\":\"" + level + "\"" + more + "}\n";
}
std::string ack(uint64_t seq) { return "{\"weir\":\"ack\",\"seq\":" + std::to_string(seq) + "}\n"; }
const std::string kWelcomeEnd = "\"policy\":{\"x\":1}}\n";

/// A bench whose journal can be held back.
void for_each_durable(void (*fn)(Bench&)) {
  for_each_source([fn](Bench& b) {
    b.handler.max = AckLevel::durable;
    b.handler.reached = 0;
    REQUIRE(b.start());
    fn(b);
  });
}

/// Connected, said hello, welcomed: everything before is reached.
int welcomed(Bench& b, const std::string& level = "durable") {
  const int fd = b.connect();
  Bench::send(fd, hello(level));
  b.wait([&] { return b.handler.clients.contains("c") && b.handler.clients["c"]->owner; });
  b.reach(b.pipe.call([&] { return b.handler.mark; }));
  CHECK(Bench::read_until(fd, kWelcomeEnd).find("\"ack\":\"" + level + "\"") != std::string::npos);
  return fd;
}

TEST_CASE("a level is granted as far as the journal goes") {
  for_each_source([](Bench& b) {
    b.handler.max = AckLevel::buffered;
    REQUIRE(b.start());
    for (const auto& [asked, granted] : {std::pair("durable", "buffered"),
                                         {"buffered", "buffered"},
                                         {"received", "received"},
                                         {"none", "none"}}) {
      const int fd = b.connect();
      Bench::send(fd, hello(asked));
      const std::string welcome = Bench::read_until(fd, kWelcomeEnd);
      CHECK(welcome.find("\"ack\":\"" + std::string(granted) + "\"") != welcome.npos);
      ::close(fd);
    }
  });
}

TEST_CASE("an acknowledgement waits for its level, refusals come before it, and so does a sync") {
  for_each_durable([](Bench& b) {
    const int fd = welcomed(b);
    Bench::send(fd, "r1\nbad\n");
    b.wait([&] { return b.handler.frames.size() == 1; });
    const std::string reject =
        "{\"weir\":\"reject\",\"seq\":2,\"reason\":\"bad_json\",\"offset\":3,\"detail\":\"expected a "
        "value\"}\n";
    CHECK(Bench::read_until(fd, reject) == reject);
    const uint64_t first = b.pipe.call([&] { return b.handler.mark; });
    Bench::send(fd, "r3\n");
    b.wait([&] { return b.handler.frames.size() == 2; });
    Bench::send(fd, "{\"weir\":\"sync\",\"id\":1}\n");
    b.reach(first - 1);
    CHECK(Bench::silent(fd));
    b.reach(first);
    CHECK(Bench::read_until(fd, ack(2)) == ack(2));
    b.reach(UINT64_MAX);
    const std::string synced = "{\"weir\":\"synced\",\"id\":1,\"seq\":3}\n";
    CHECK(Bench::read_until(fd, synced) == ack(3) + synced);
    ::close(fd);
  });
}

TEST_CASE("after a half-close all acknowledgements come before the close") {
  for_each_durable([](Bench& b) {
    const int fd = welcomed(b);
    Bench::send(fd, "r1\nr2\n");
    shutdown(fd, SHUT_WR);
    b.wait([&] { return b.handler.frames.size() == 2; });
    CHECK(Bench::silent(fd));
    b.reach(UINT64_MAX);
    CHECK(Bench::read_to_end(fd) == ack(2));
  });
}

TEST_CASE("so they do when the source stops, and when the client says bye") {
  for_each_durable([](Bench& b) {
    const int fd = welcomed(b);
    Bench::send(fd, "r1\n");
    b.wait([&] { return b.handler.frames.size() == 1; });
    Bench::send(fd, "r2\n");
    b.pipe.call([&] { b.source->stop_accepting(); });
    b.wait([&] { return b.handler.frames.size() == 2; });
    CHECK_FALSE(b.pipe.call([&] { return b.source->drained(); }));
    b.reach(UINT64_MAX);
    CHECK(Bench::read_to_end(fd).ends_with(ack(2)));
    b.wait([&] { return b.source->drained(); });
  });
  for_each_durable([](Bench& b) {
    const int fd = welcomed(b);
    Bench::send(fd, "r1\n{\"weir\":\"bye\"}\n");
    b.wait([&] { return b.handler.frames.size() == 1; });
    CHECK(Bench::silent(fd));
    b.reach(UINT64_MAX);
    CHECK(Bench::read_to_end(fd) == ack(1));
  });
}

TEST_CASE("stop does not wait for a journal that gets nowhere") {
  for_each_durable([](Bench& b) {
    const int fd = welcomed(b);
    Bench::send(fd, "r1\n");
    shutdown(fd, SHUT_WR);
    b.wait([&] { return b.handler.frames.size() == 1; });
    b.pipe.call([&] { b.source->stop(); });
    CHECK(Bench::read_to_end(fd).empty());
    b.wait([&] { return b.source->drained(); });
  });
}

TEST_CASE("while the journal is full, what it has already is acknowledged") {
  for_each_durable([](Bench& b) {
    const int fd = welcomed(b);
    Bench::send(fd, "r1\n");
    b.wait([&] { return b.handler.frames.size() == 1; });
    b.pipe.call([&] { b.handler.pause = true; });
    Bench::send(fd, "r2\n");
    b.wait([&] { return !b.gate.is_open(); });
    b.reach(b.pipe.call([&] { return b.handler.mark; }));
    CHECK(Bench::read_until(fd, ack(1)) == ack(1));
    b.pipe.call([&] {
      b.handler.pause = false;
      ++b.handler.mark;  // as retry_pending() does
      b.handler.clients["c"]->last_seq = 2;
      b.handler.clients["c"]->mark = b.handler.mark;
      b.gate.open();
    });
    b.reach(UINT64_MAX);
    CHECK(Bench::read_until(fd, ack(2)) == ack(2));
    ::close(fd);
  });
}

TEST_CASE("take-over: the first gets bye, the second its welcome when that is true at its level") {
  for_each_durable([](Bench& b) {
    const int first = welcomed(b);
    Bench::send(first, "r1\nr2\n");
    b.wait([&] { return b.handler.frames.size() == 2; });
    const int second = b.connect();
    Bench::send(second, hello("durable", ",\"next_seq\":1"));
    CHECK(Bench::read_to_end(first) == "{\"weir\":\"bye\",\"reason\":\"taken_over\"}\n");
    b.reach(UINT64_MAX);
    CHECK(Bench::read_until(second, kWelcomeEnd).find("\"last_seq\":2") != std::string::npos);
    b.reach(0);
    Bench::send(second, "r1\nr2\nr3\n");
    b.wait([&] { return b.handler.frames.size() == 3; });
    CHECK(Bench::silent(second));
    b.reach(UINT64_MAX);
    CHECK(Bench::read_until(second, ack(3)) == ack(3));
    ::close(second);
  });
}

TEST_CASE("a journal that gets nowhere does not keep a welcome for ever") {
  for_each_durable([](Bench& b) {
    const int first = welcomed(b);
    Bench::send(first, "r1\n");
    b.wait([&] { return b.handler.frames.size() == 1; });
    ::close(first);
    const int fd = b.connect();
    Bench::send(fd, hello("durable"));
    CHECK(Bench::read_until(fd, kWelcomeEnd).starts_with("{\"weir\":\"welcome\""));
    ::close(fd);
  });
}

TEST_CASE("many clients wait, and each is told of its own") {
  for_each_durable([](Bench& b) {
    std::vector<int> fds;
    for (int i = 0; i < 50; ++i) {
      fds.push_back(b.connect());
      Bench::send(fds.back(),
                  "{\"weir\":\"hello\",\"client_id\":\"" + std::to_string(i) + "\",\"ack\":\"buffered\"}\n");
    }
    b.wait([&] { return b.handler.clients.size() == 50; });
    b.reach(UINT64_MAX);
    for (int fd : fds) Bench::read_until(fd, kWelcomeEnd);
    b.reach(0);
    for (size_t i = 0; i < fds.size(); ++i) Bench::send(fds[i], i % 2 ? "a\n" : "a\nb\n");
    b.wait([&] { return b.handler.frames.size() == 75; });
    b.reach(UINT64_MAX);
    for (size_t i = 0; i < fds.size(); ++i) {
      const std::string end = ack(i % 2 ? 1 : 2);
      CHECK(Bench::read_until(fds[i], end).ends_with(end));
      ::close(fds[i]);
    }
  });
}

TEST_CASE("the journal has failed: nack, nothing is taken until hello, then it goes on from there") {
  for_each_durable([](Bench& b) {
    const int fd = welcomed(b, "received");
    Bench::send(fd, "r1\n");
    CHECK(Bench::read_until(fd, ack(1)) == ack(1));
    b.pipe.call([&] { b.handler.failed = true; });
    Bench::send(fd, "bad\nr3\n");
    const std::string nack = "{\"weir\":\"nack\",\"seq\":2,\"reason\":\"failed\"}\n";
    CHECK(Bench::read_until(fd, nack) == nack);
    b.pipe.call([&] { b.handler.failed = false; });
    Bench::send(fd, "r4\n{\"weir\":\"sync\",\"id\":2}\n");
    const std::string synced = "{\"weir\":\"synced\",\"id\":2,\"seq\":1}\n";
    CHECK(Bench::read_until(fd, synced) == synced);
    Bench::send(fd, hello("received", ",\"next_seq\":2"));
    CHECK(Bench::read_until(fd, kWelcomeEnd).find("\"last_seq\":1") != std::string::npos);
    Bench::send(fd, "r2\nr3\n");
    CHECK(Bench::read_until(fd, ack(3)).ends_with(ack(3)));
    CHECK(b.pipe.call([&] { return b.handler.frames; }) ==
          std::vector<std::string>{"r1", "r3", "r2", "r3"});  // the first r3 was given back
    ::close(fd);
  });
}

TEST_CASE("the journal has failed: plain connections wait, numbered ones are told, and both go on with it") {
  for_each_durable([](Bench& b) {
    const int client = welcomed(b, "received");
    b.pipe.call([&] { b.handler.failed = true; });
    const int plain = b.connect();
    Bench::send(plain, "p1\n");
    b.wait([&] { return b.gate.refused(); });
    Bench::send(plain, "p2\n");
    Bench::send(client, "r1\n");
    Bench::read_until(client, "{\"weir\":\"nack\",\"seq\":1,\"reason\":\"failed\"}\n");
    CHECK(b.pipe.call([&] { return b.handler.frames; }) == std::vector<std::string>{"p1", "r1"});
    b.pipe.call([&] {
      b.handler.failed = false;
      b.gate.set(Intake::taken);
    });
    b.wait([&] { return b.handler.frames.size() == 3; });
    ::close(plain);
    ::close(client);
  });
}

}  // namespace
}  // namespace weir
