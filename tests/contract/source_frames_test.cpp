// The framed protocol (proto/WIRE.md) over every source that speaks it.
#include "agent/core/quarantine.h"
#include "tests/contract/source_bench.h"
#include "tests/support/frame_bytes.h"

namespace weir {
namespace {

using test::Bench;
using test::for_each_source;
using test::frame;
using test::records;
using test::u64;
using Strings = std::vector<std::string>;

const std::string kMagic(frames::kMagic);
std::string hello(const std::string& members = "\"client_id\":\"c\"") {
  return frame(frames::kHello, "{\"proto\":[1,0],\"min\":1," + members + "}");
}

/// The agent's frames as text: numbers by name, payloads as they are.
Strings readable(std::string bytes) {
  Strings out;
  REQUIRE(bytes.starts_with(kMagic));
  bytes.erase(0, kMagic.size());
  while (bytes.size() >= frames::kHeaderBytes) {
    const size_t length = frames::load<uint32_t>(bytes.data());
    const int type = bytes[4];
    REQUIRE(bytes.size() >= frames::kHeaderBytes + length);
    std::string payload = bytes.substr(frames::kHeaderBytes, length);
    const std::string rings = "\"features\":[\"ring\"]";  // of a Unix socket
    if (const size_t at = payload.find(rings); at != payload.npos)
      payload.replace(at, rings.size(), "\"features\":[]");
    const auto seq = [&] { return std::to_string(frames::load<uint64_t>(payload.data())); };
    const auto code = [&] { return std::to_string(frames::load<uint16_t>(payload.data() + 8)); };
    if (type == frames::kAck)
      out.push_back("ack " + seq());
    else if (type == frames::kReject || type == frames::kNack)
      out.push_back((type == frames::kNack ? "nack " : "reject ") + seq() + " " + code() + " " +
                    payload.substr(10));
    else
      out.push_back(std::to_string(type) + " " + payload);
    bytes.erase(0, frames::kHeaderBytes + length);
  }
  REQUIRE(bytes.empty());
  return out;
}

/// Sends all, half-closes, reads to the end.
Strings talk(Bench& b, const std::string& bytes) {
  const int fd = b.connect();
  Bench::send(fd, bytes);
  shutdown(fd, SHUT_WR);
  const std::string said = Bench::read_to_end(fd);
  b.wait([&] { return b.source->stats()->connections == 0; });
  return readable(said);
}

const std::string kWelcome =
    R"(2 {"proto":[1,0],"client_id":"c","ack":"received","last_seq":0,"limits":{"record_bytes_max":262144,)"
    R"("payload_bytes_max":327680},"policy":{"x":1},"features":[]})";

TEST_CASE("frames: magic and welcome, refusals, acknowledgements, sync") {
  for_each_source([](Bench& b) {
    REQUIRE(b.start());
    const Strings said = talk(b, kMagic + hello() + records(1, "r1\r\n\n  \nr2\nbad") + records(4, "r4\n") +
                                     frame(frames::kSync, "tick") + frame(frames::kBye, ""));
    CHECK(said == Strings{kWelcome, "reject 3 1 at byte 3: expected a value", "ack 4", "9 tick"});
    CHECK(b.handler.frames == Strings{"r1", "r2", "r4"});
  });
}

TEST_CASE("frames: however the bytes come, they mean the same") {
  for_each_source([](Bench& b) {
    REQUIRE(b.start());
    const int fd = b.connect();
    const std::string bytes = kMagic + hello() + records(1, "one\ntwo\n") + frame(frames::kSync, "1");
    for (char byte : bytes) {
      Bench::send(fd, std::string(1, byte));
      const int turns = b.pipe.call([&] { return b.handler.turns; });
      (void)turns;  // the pipe thread has run in between
    }
    const std::string said = Bench::read_until(fd, frame(frames::kSync, "1"));
    CHECK(readable(said) == Strings{kWelcome, "ack 2", "9 1"});
    CHECK(b.pipe.call([&] { return b.handler.frames; }) == Strings{"one", "two"});
    ::close(fd);
  });
}

TEST_CASE("what only begins like frames is lines") {
  for_each_source([](Bench& b) {
    REQUIRE(b.start());
    for (size_t cut = 1; cut < 5; ++cut) {
      const int fd = b.connect();
      Bench::send(fd, kMagic.substr(0, cut));
      b.wait([&] { return b.source->stats()->connections == 1; });
      Bench::send(fd, "x\nnext\n");
      shutdown(fd, SHUT_WR);
      CHECK(Bench::read_to_end(fd).empty());
      b.wait([&] { return b.source->stats()->connections == 0; });
      CHECK(b.pipe.call([&] { return std::exchange(b.handler.frames, {}); }) ==
            Strings{kMagic.substr(0, cut) + "x", "next"});
    }
    const int fd = b.connect();
    Bench::send(fd, kMagic.substr(0, 4));
    shutdown(fd, SHUT_WR);
    CHECK(Bench::read_to_end(fd).empty());
    b.wait([&] { return b.handler.last_frames == Strings{"WEIR"}; });
  });
}

TEST_CASE("frames: numbers that go on elsewhere") {
  for_each_source([](Bench& b) {
    REQUIRE(b.start());
    const Strings said =
        talk(b, kMagic + hello() + records(1, "r1\nr2\n") + records(2, "r2\nr3\n") + records(10, "r10\n"));
    CHECK(said.back() == "ack 10");
    CHECK(b.handler.frames == Strings{"r1", "r2", "r3", "r10"});
    CHECK(b.handler.clients["c"]->last_seq == 10);
  });
}

TEST_CASE("frames: what the agent does not know is skipped, unless it is critical") {
  for_each_source([](Bench& b) {
    REQUIRE(b.start());
    const std::string unknown = frame(frames::kRecBin, "??") +
                                frame(frames::Type(200), std::string(50'000, 'x')) + frame(frames::kAck, "");
    const Strings said = talk(b, kMagic + unknown + hello() + unknown + records(1, "r1\n") +
                                     frame(frames::Type(201), "!", frames::kCritical) + records(2, "r2\n"));
    CHECK(said ==
          Strings{kWelcome, "ack 1", "14 unknown_frame: type 201 is critical and not known to this agent"});
    CHECK(b.handler.frames == Strings{"r1"});
  });
}

TEST_CASE("frames: faults of framing are named, and end the connection") {
  const std::pair<std::string, std::string> faults[] = {
      {std::string(8, '\xff'), "14 too_long: "},
      {records(1, "r1\n"), "14 bad_hello: the first frame must be HELLO"},
      {frame(frames::kSync, ""), "14 bad_hello: the first frame must be HELLO"},
      {frame(frames::kHello, "{"), "14 bad_hello: not a JSON object"},
      {frame(frames::kHello, "{\"proto\":1}"), "14 bad_hello: proto must be"},
      {frame(frames::kHello, "{\"proto\":[2,0]}"), "14 bad_version: "},
      {frame(frames::kHello, "{\"proto\":[2,0],\"min\":2}"), "14 bad_version: "},
      {hello("\"ack\":\"platinum\""), "14 unknown_level: "},
      {hello("\"next_seq\":0"), "14 bad_hello: next_seq"},
      {hello() + records(0, "r\n"), "14 bad_frame: numbers"},
      {hello() + frame(frames::kRecJson, "1234567"), "14 bad_frame: REC_JSON"},
      {hello() + frame(frames::kDrops, ""), "14 bad_frame: DROPS"},
      {hello() + frame(frames::kSync, std::string(4097, 'x')), "14 bad_frame: "},
  };
  for_each_source([&faults](Bench& b) {
    REQUIRE(b.start());
    for (const auto& [bytes, answer] : faults) {
      CAPTURE(answer);
      const Strings said = talk(b, kMagic + bytes + records(1, "behind\n"));
      b.pipe.call([&] { b.context.violations = {}; });  // three of them are too many (violations.h)
      REQUIRE_FALSE(said.empty());
      CHECK(said.back().starts_with(answer));
      CHECK(said.size() == (bytes.starts_with(hello()) ? 2u : 1u));
    }
    CHECK(talk(b, kMagic + hello("\"client_id\":\"somebody else's\"")) ==
          Strings{"nack 0 102 not_yours", "14 not_yours: this client_id belongs to another user"});
    CHECK(b.handler.frames.empty());
  });
}

TEST_CASE("frames: a higher version that can also speak ours is welcome") {
  for_each_source([](Bench& b) {
    REQUIRE(b.start());
    CHECK(talk(b, kMagic + frame(frames::kHello, R"({"proto":[3,7],"min":1,"client_id":"c","new":{}})")) ==
          Strings{kWelcome});
  });
}

TEST_CASE("frames: of one that is cut, what came whole is kept") {
  for_each_source([](Bench& b) {
    REQUIRE(b.start());
    const std::string cut = records(1, "r1\nr2\nr3 and more\n");
    CHECK(talk(b, kMagic + hello() + cut.substr(0, cut.size() - 5)) == Strings{kWelcome, "ack 2"});
    CHECK(b.handler.frames == Strings{"r1", "r2"});
    CHECK(b.handler.last_frames == Strings{"r3 and "});
    CHECK(talk(b, kMagic + hello() + frame(frames::kSync, "abc").substr(0, 9)).size() == 1);
    CHECK(talk(b, kMagic + hello() + cut.substr(0, 5)).size() == 1);
    CHECK(b.handler.bad_frames == Strings{"truncated 9", "truncated 5"});
  });
}

TEST_CASE("frames: a line over the limit has its number, and the next one is read") {
  for_each_source([](Bench& b) {
    b.buffer.record_bytes_max = 1000;
    REQUIRE(b.start());
    talk(b, kMagic + hello() + records(1, std::string(1001, 'x') + "\n" + std::string(1000, 'y') + "\n"));
    CHECK(b.handler.bad_frames == Strings{"too_long 1001"});
    CHECK(b.handler.frames == Strings{std::string(1000, 'y')});
  });
}

TEST_CASE("frames: take-over, a changed policy, and what a client dropped itself") {
  for_each_source([](Bench& b) {
    REQUIRE(b.start());
    const int first = b.connect();
    Bench::send(first, kMagic + hello() + records(1, "r1\n") + frame(frames::kDrops, u64(7) + "ring full") +
                           frame(frames::kDrops, u64(UINT64_MAX)) + frame(frames::kSync, "s"));
    std::string said = Bench::read_until(first, frame(frames::kSync, "s"));
    CHECK(b.pipe.call([&] { return b.handler.clients["c"]->dropped; }) == UINT64_MAX);
    b.pipe.call([&] { b.source->push_policy("{\"y\":2}"); });
    const int second = b.connect();
    said += Bench::read_until(first, frame(frames::kPolicy, "{\"y\":2}"));
    Bench::send(second, kMagic + hello());
    said += Bench::read_to_end(first);
    CHECK(readable(said) == Strings{kWelcome, "ack 1", "9 s", "13 {\"y\":2}", "10 taken_over"});
    ::close(second);
  });
}

TEST_CASE("frames: acknowledgements wait for their level, a failed journal says nack") {
  for_each_source([](Bench& b) {
    b.handler.max = AckLevel::durable;
    b.handler.reached = 0;
    REQUIRE(b.start());
    const int fd = b.connect();
    Bench::send(fd, kMagic + hello("\"client_id\":\"c\",\"ack\":\"durable\""));
    b.wait([&] { return b.handler.clients.contains("c"); });
    b.reach(b.pipe.call([&] { return b.handler.mark; }));
    while (!Bench::read_some(fd).ends_with("]}")) continue;
    Bench::send(fd, records(1, "r1\nr2\n"));
    b.wait([&] { return b.handler.frames.size() == 2; });
    CHECK(Bench::silent(fd));
    b.reach(UINT64_MAX);
    CHECK(Bench::read_until(fd, frame(frames::kAck, u64(2))) == frame(frames::kAck, u64(2)));
    b.pipe.call([&] { b.handler.failed = true; });
    Bench::send(fd, records(3, "r3\n") + records(4, "r4\n"));
    const std::string nack = frame(frames::kNack, u64(3) + std::string("\x65\0", 2) + "failed");
    CHECK(Bench::read_until(fd, nack) == nack);
    b.pipe.call([&] { b.handler.failed = false; });
    Bench::send(fd, records(5, "r5\n") + hello("\"client_id\":\"c\",\"next_seq\":3") + records(3, "again\n"));
    CHECK(Bench::read_until(fd, frame(frames::kAck, u64(3))).find("\"last_seq\":2") != std::string::npos);
    CHECK(b.pipe.call([&] { return b.handler.frames.back(); }) == "again");
    ::close(fd);
  });
}

}  // namespace
}  // namespace weir
