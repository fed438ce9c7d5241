#include "agent/cli/send_session.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <string>

using namespace weir::cli;

namespace {

struct Client {
  SendSession session;
  uint64_t line = 0;

  explicit Client(std::string level = "received") : session(std::move(level), "", "") {}
  std::string out() {
    std::string bytes(session.outgoing());
    session.wrote(bytes.size());
    return bytes;
  }
  void take(std::string_view text) { session.take({text, "in.jsonl", ++line, false}); }
  void welcome(uint64_t last_seq = 0, int limit = 64) {
    session.feed("{\"weir\":\"welcome\",\"client_id\":\"c-1\",\"ack\":\"received\",\"last_seq\":" +
                 std::to_string(last_seq) + ",\"limits\":{\"record_bytes_max\":" + std::to_string(limit) +
                 "}}\n");
  }
};

std::string places(const SendSession& session) {
  std::string out;
  for (const Refusal& r : session.refusals())
    out += r.file + ":" + std::to_string(r.line) + " " + r.reason + ";";
  return out;
}

}  // namespace

TEST_CASE("says hello first and takes no line before the welcome") {
  Client c;
  CHECK(c.out() == "{\"weir\":\"hello\",\"ack\":\"received\"}\n");
  CHECK_FALSE(c.session.room());
  c.welcome();
  CHECK(c.session.room());
  c.take("{}");
  CHECK(c.out() == "{}\n");
}

TEST_CASE("numbers are counted as the agent counts them") {
  Client c;
  c.welcome(40);
  c.take("{\"a\":1}");                       // 41
  c.take(" \t\r");                           // none
  c.take("[]");                              // none
  c.take("[{},{\"x\":[1,2]}, 5]\r");         // 42 43 44
  c.take("[{},");                            // 45: not JSON, refused as a whole
  c.take("[" + std::string(64, '1') + "]");  // 46: too long
  c.take("x");                               // 47
  CHECK(c.session.sent() == 7);
  for (int seq : {43, 45, 46, 47})
    c.session.feed("{\"weir\":\"reject\",\"seq\":" + std::to_string(seq) + ",\"reason\":\"r" +
                   std::to_string(seq) + "\",\"offset\":3}\n");
  CHECK(places(c.session) == "in.jsonl:4 r43;in.jsonl:5 r45;in.jsonl:6 r46;in.jsonl:7 r47;");
  CHECK_FALSE(c.session.settled());
  c.session.feed("{\"weir\":\"ack\",\"seq\":47}\n");
  CHECK(c.session.settled());
  CHECK(c.session.taken() == 3);
  CHECK(c.session.refused() == 4);
}

TEST_CASE("the agent's bytes may come in any pieces") {
  Client c;
  for (char byte : std::string(
           "{\"weir\":\"welcome\",\"ack\":\"received\",\"last_seq\":0}\n{\"weir\":\"ack\",\"seq\":1}\n"))
    c.session.feed({&byte, 1});
  CHECK(c.session.welcomed());
  CHECK(c.session.granted() == "received");
}

TEST_CASE("a line that the agent would obey is refused here") {
  Client c;
  c.welcome();
  c.out();
  c.take(" { \"weir\" : \"bye\"}");
  CHECK(c.out().empty());
  CHECK(places(c.session) == "in.jsonl:1 control_line;");
  Client plain("none");
  plain.take("{\"weir\":\"bye\"}");
  CHECK(plain.out() == "{\"weir\":\"bye\"}\n");
}

TEST_CASE("the window is bounded and opens again with acknowledgements") {
  Client c;
  c.welcome(0, 8 << 20);
  const std::string big(1 << 20, '1');
  uint64_t n = 0;
  while (c.session.room()) c.take(big), ++n;
  CHECK(n == 4);
  c.session.feed("{\"weir\":\"ack\",\"seq\":1}\n");
  CHECK(c.session.room());
}

TEST_CASE("after a nack what was not acknowledged is sent again under its numbers") {
  Client c;
  c.welcome();
  c.take("1"), c.take("[2,3]"), c.take("4");
  c.out();
  c.session.feed("{\"weir\":\"nack\",\"seq\":3,\"reason\":\"full\"}\n");
  CHECK_FALSE(c.session.room());
  c.session.tick(1'000'000'000);
  CHECK(c.out().empty());
  c.session.tick(1'200'000'000);
  CHECK(c.out() == "{\"weir\":\"hello\",\"ack\":\"received\",\"client_id\":\"c-1\",\"next_seq\":1}\n");
  c.session.tick(9'000'000'000);
  CHECK(c.out().empty());
  c.welcome(2);
  CHECK(c.out() == "1\n[2,3]\n4\n");
  c.session.feed("{\"weir\":\"ack\",\"seq\":4}\n");
  CHECK(c.session.settled());
  CHECK(c.session.taken() == 4);
}

TEST_CASE("on another connection what was not acknowledged is sent again under its numbers") {
  Client c;
  c.welcome(10);
  c.take("1"), c.take("2"), c.take("3");
  c.out();
  c.session.feed("{\"weir\":\"ack\",\"seq\":11}\n{\"weir\":\"ac");
  c.session.disconnected();
  CHECK_FALSE(c.session.room());
  CHECK_FALSE(c.session.ready());
  c.session.tick(9'000'000'000);
  CHECK(c.out().empty());
  c.session.reconnected();
  CHECK(c.out() == "{\"weir\":\"hello\",\"ack\":\"received\",\"client_id\":\"c-1\",\"next_seq\":12}\n");
  c.welcome(0);  // the agent has forgotten us
  CHECK(c.session.ready());
  CHECK(c.out() == "2\n3\n");
  c.take("4");
  c.session.feed("{\"weir\":\"ack\",\"seq\":14}\n");
  CHECK(c.session.settled());
  CHECK(c.session.taken() == 4);
}

TEST_CASE("what is refused again when it is sent again counts once") {
  Client c;
  c.welcome();
  c.take("1"), c.take("x"), c.take("3"), c.take("y");
  c.session.feed("{\"weir\":\"reject\",\"seq\":2,\"reason\":\"r\"}\n");
  c.session.disconnected();
  c.session.reconnected();
  c.welcome();
  c.session.feed(
      "{\"weir\":\"reject\",\"seq\":2,\"reason\":\"r\"}\n{\"weir\":\"reject\",\"seq\":4,\"reason\":\"r\"}\n"
      "{\"weir\":\"ack\",\"seq\":4}\n");
  CHECK(places(c.session) == "in.jsonl:2 r;in.jsonl:4 r;");
  CHECK(c.session.refused() == 2);
  CHECK(c.session.taken() == 2);
}

TEST_CASE("the level that counts is the lowest that was granted") {
  Client c("durable");
  const auto welcome = [&](const std::string& level) {
    c.session.feed("{\"weir\":\"welcome\",\"client_id\":\"c\",\"ack\":\"" + level + "\",\"last_seq\":0}\n");
  };
  welcome("durable");
  CHECK(c.session.outlives_agent());
  for (const char* level : {"received", "durable"}) {
    c.session.disconnected();
    c.session.reconnected();
    welcome(level);
    CHECK(c.session.granted() == "received");
  }
  CHECK_FALSE(c.session.outlives_agent());
}

TEST_CASE("a connection lost before the first welcome begins anew") {
  Client c;
  c.out();
  c.session.disconnected();
  c.session.reconnected();
  CHECK(c.out() == "{\"weir\":\"hello\",\"ack\":\"received\"}\n");
  c.welcome(7);
  c.take("1");
  c.session.feed("{\"weir\":\"ack\",\"seq\":8}\n");
  CHECK(c.session.settled());
}

TEST_CASE("what the agent says before closing is kept") {
  Client c;
  c.session.feed("{\"weir\":\"error\",\"reason\":\"not_yours\",\"detail\":\"another uid\"}\n");
  CHECK(c.session.failure() == "the agent refused the connection: not_yours: another uid");
  Client other;
  other.session.feed("SSH-2.0-OpenSSH_9.2\n");
  CHECK(other.session.failure() == "what answers is not an agent");
}
