// Every Source runs this suite; a new kind is one row in `rows()` (source_bench.h).
#include "tests/contract/source_bench.h"

namespace weir {
namespace {

using test::Bench;
using test::for_each_source;

TEST_CASE("a source listens when start returns, and hands over lines until the end of the connection") {
  for_each_source([](Bench& b) {
    REQUIRE(b.start());
    int fd = b.connect();
    REQUIRE(fd >= 0);
    Bench::send(fd, "a\nb\r\nunfinished");
    shutdown(fd, SHUT_WR);
    CHECK(Bench::read_to_end(fd).empty());
    b.wait([&] { return b.handler.closed == 1; });
    CHECK(b.handler.frames == std::vector<std::string>{"a", "b"});
    CHECK(b.handler.last_frames == std::vector<std::string>{"unfinished"});
    CHECK(b.pipe.call([&] { return b.source->stats()->connections; }) == 0);
  });
}

TEST_CASE("stop is safe without start and twice, and nobody listens after it") {
  for_each_source([](Bench& b) {
    b.pipe.call([&] { b.source->stop(); });
    REQUIRE(b.start());
    b.pipe.call([&] { b.source->stop(); });
    b.pipe.call([&] { b.source->stop(); });
    CHECK(b.connect() < 0);
  });
}

TEST_CASE("stop_accepting takes who waits already, reads all they sent, then closes them") {
  for_each_source([](Bench& b) {
    REQUIRE(b.start());
    std::vector<int> fds;
    for (int i = 0; i < 20; ++i) {
      fds.push_back(b.connect());
      REQUIRE(fds.back() >= 0);
      Bench::send(fds.back(), "one\ntwo\n");
    }
    b.pipe.call([&] { b.source->stop_accepting(); });
    b.wait([&] { return b.source->drained(); });
    CHECK(b.handler.frames.size() == 40);
    CHECK(b.connect() < 0);
    for (int fd : fds) CHECK(Bench::read_to_end(fd).empty());
  });
}

TEST_CASE("a pause stops the reading, and opening the gate goes on with it") {
  for_each_source([](Bench& b) {
    b.handler.pause = true;
    REQUIRE(b.start());
    int fd = b.connect();
    Bench::send(fd, "a\n");
    b.wait([&] { return b.handler.turns == 1; });
    Bench::send(fd, "b\n");
    int other = b.connect();
    Bench::send(other, "c\n");
    b.wait([&] { return b.source->stats()->connections == 2; });
    CHECK(b.pipe.call([&] { return b.handler.frames.size(); }) == 1);
    b.pipe.call([&] {
      b.handler.pause = false;
      b.gate.open();
    });
    b.wait([&] { return b.handler.frames.size() == 3; });
    ::close(fd);
    ::close(other);
  });
}

TEST_CASE("acknowledged: welcome, rejects and acks, sync, policy, error and close") {
  for_each_source([](Bench& b) {
    REQUIRE(b.start());
    int fd = b.connect();
    Bench::send(fd,
                "\n "
                "{\"weir\":\"hello\",\"client_id\":\"c\",\"ack\":\"durable\",\"next_seq\":5}\nr5\nr6\n{"
                "\"weir\":\"sync\",\"id\":[7]}\nr7\n");
    b.wait([&] { return b.handler.frames.size() == 3; });
    b.pipe.call([&] { b.source->push_policy("{\"y\":2}"); });
    Bench::send(fd, "{\"weir\":\"nonsense\"}\n");
    std::string replies = Bench::read_to_end(fd);
    CHECK(replies.starts_with(
        "{\"weir\":\"welcome\",\"proto\":[1,0],\"client_id\":\"c\",\"ack\":\"received\",\"last_seq\":0,"
        "\"limits\":{\"record_bytes_max\":262144},\"policy\":{\"x\":1}}\n"));
    CHECK(replies.find("{\"weir\":\"ack\",\"seq\":6}\n{\"weir\":\"synced\",\"id\":[7],\"seq\":6}\n{\"weir\":"
                       "\"ack\",\"seq\":7}\n") != replies.npos);
    CHECK(replies.find("{\"weir\":\"policy\",\"policy\":{\"y\":2}}\n") != replies.npos);
    CHECK(replies.find("{\"weir\":\"error\",\"reason\":\"unknown_control\"") != replies.npos);
  });
}

TEST_CASE("a line over the limit is skipped and the next one is read") {
  for_each_source([](Bench& b) {
    b.buffer.record_bytes_max = 1000;
    REQUIRE(b.start());
    int fd = b.connect();
    std::string huge(100'000, 'x');
    Bench::send(fd, huge + "\nnext\n");
    b.wait([&] { return b.handler.frames.size() == 1; });
    CHECK(b.handler.bad_frames == std::vector<std::string>{"too_long 100000"});
    ::close(fd);
  });
}

}  // namespace
}  // namespace weir
