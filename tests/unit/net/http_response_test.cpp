#include "agent/net/http_response.h"

#include <doctest/doctest.h>

#include <random>

using namespace weir;
using State = HttpResponseReader::State;

namespace {

constexpr int64_t kSecond = 1'000'000'000;

/// Feeds `text` in pieces of `piece` bytes until it is over.
State read(HttpResponseReader& reader, std::string_view text, size_t piece, bool closed = false) {
  reader.reset(0);
  State state = State::more;
  while (!text.empty() && state == State::more) {
    state = reader.feed(text.substr(0, piece));
    text.remove_prefix(std::min(piece, text.size()));
  }
  return state == State::more && closed ? reader.end_of_stream() : state;
}

}  // namespace

TEST_CASE("an answer is the same however it is cut") {
  const std::string texts[] = {
      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\nA: b\r\n\r\n",
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: "
      "5\r\n\r\nhello"};
  for (const std::string& text : texts)
    for (size_t piece = 1; piece <= text.size(); ++piece) {
      CAPTURE(text);
      CAPTURE(piece);
      HttpResponseReader reader;
      REQUIRE(read(reader, text, piece) == State::complete);
      CHECK(reader.answer().status == 200);
      CHECK(reader.answer().body == "hello");
      CHECK(reader.can_go_on());
    }
}

TEST_CASE("what is not whole is never complete") {
  const std::string_view whole = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
  for (size_t n = 0; n < whole.size(); ++n) {
    HttpResponseReader reader;
    CHECK(read(reader, whole.substr(0, n), 7, true) == State::failed);
    CHECK(reader.error().find("closed") != std::string::npos);
  }
}

TEST_CASE("whether a connection can go on") {
  const auto can = [](std::string_view text, bool closed = false) {
    HttpResponseReader reader;
    REQUIRE(read(reader, text, 1000, closed) == State::complete);
    return reader.can_go_on();
  };
  CHECK(can("HTTP/1.1 204 No Content\r\n\r\n"));
  CHECK(can("HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n"));
  CHECK(can("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n"));
  CHECK_FALSE(can("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nx"));
  CHECK_FALSE(can("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"));
  CHECK_FALSE(can("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"));
  CHECK_FALSE(can("HTTP/1.1 205 Reset Content\r\n\r\n"));
  CHECK_FALSE(can("HTTP/1.1 200 OK\r\n\r\nuntil the end", true));
}

TEST_CASE("no more than 64 KiB of headers and of body, whatever comes") {
  HttpResponseReader reader;
  CHECK(read(reader, "HTTP/1.1 200 OK\r\nX: " + std::string(70'000, 'a'), 1000) == State::failed);
  CHECK(reader.error() == "its headers are longer than 64 KiB");
  std::string many = "HTTP/1.1 200 OK\r\n";
  for (int i = 0; i < 7000; ++i) many += "X-Y: abcd\r\n";
  CHECK(read(reader, many, 1000) == State::failed);
  std::string interim;
  for (int i = 0; i < 3000; ++i) interim += "HTTP/1.1 103 Early\r\nA: b\r\n\r\n";
  CHECK(read(reader, interim, 1000) == State::failed);
  CHECK(read(reader, "HTTP/1.1 200 OK\r\nX: " + std::string(60'000, 'a') + "\r\nContent-Length: 0\r\n\r\n",
             1000) == State::complete);
  const std::string body(kAnswerBodyBytesMax, 'b');
  CHECK(read(reader, "HTTP/1.1 200 OK\r\nContent-Length: 65536\r\n\r\n" + body, 5000) == State::complete);
  CHECK(reader.answer().body.size() == kAnswerBodyBytesMax);
  CHECK(read(reader, "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n" + body + "b", 5000) ==
        State::cut);
  CHECK(reader.answer().body.size() == kAnswerBodyBytesMax);
  CHECK(read(reader, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;" + std::string(70'000, 'x'),
             5000) == State::failed);
}

TEST_CASE("what is not HTTP") {
  for (std::string_view text :
       {"SSH-2.0-OpenSSH_9.2p1\r\n\r\n", "HTTP/1.1 abc Hello\r\n\r\n", "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n\r\nx",
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
        "GHIJKLMN\r\n\r\n"}) {
    HttpResponseReader reader;
    CAPTURE(text);
    CHECK(read(reader, text, 1000) == State::failed);
    CHECK_FALSE(reader.error().empty());
  }
}

TEST_CASE("whatever bytes come, it comes to an end and keeps its limits") {
  const std::string seeds[] = {
      "HTTP/1.1 200 OK\r\nContent-Length: 12\r\nRetry-After: 5\r\n\r\nhello, world",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nA: b\r\n\r\n",
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 205\r\nConnection: close\r\n\r\nHTTP/1.0 500 x\r\n\r\n"};
  std::mt19937 random(7);
  HttpResponseReader reader;
  for (int round = 0; round < 20'000; ++round) {
    std::string text = seeds[random() % 3];
    for (uint32_t n = random() % 4; n > 0; --n) {
      const size_t at = random() % text.size();
      if (random() % 3 == 0)
        text.insert(at, text.substr(random() % text.size(), random() % 20));
      else if (random() % 2 == 0)
        text[at] = char(random());
      else
        text.erase(at, random() % 5);
      if (text.empty()) text = "H";
    }
    CAPTURE(text);
    const State state = read(reader, text, 1 + random() % 30, true);
    CHECK(state != State::more);
    if (state == State::failed) CHECK_FALSE(reader.error().empty());
    if (state == State::complete) CHECK(reader.answer().status >= 0);
    CHECK(reader.answer().body.size() <= text.size());
  }
}

TEST_CASE("Retry-After is seconds or a date") {
  CHECK(parse_retry_after_ns("0", 0) == 0);
  CHECK(parse_retry_after_ns("120", 0) == 120 * kSecond);
  CHECK(parse_retry_after_ns("120 ", 0) == 120 * kSecond);
  CHECK(parse_retry_after_ns("99999999999999999999", 0) == INT64_MAX);
  CHECK_FALSE(parse_retry_after_ns("", 0));
  CHECK_FALSE(parse_retry_after_ns("-1", 0));
  CHECK_FALSE(parse_retry_after_ns("1.5", 0));
  CHECK_FALSE(parse_retry_after_ns("soon", 0));
  const int64_t wall = 784111777 * kSecond;  // Sun, 06 Nov 1994 08:49:37 GMT
  CHECK(parse_retry_after_ns("Sun, 06 Nov 1994 08:49:40 GMT", wall) == 3 * kSecond);
  CHECK(parse_retry_after_ns("Sun, 06 Nov 1994 08:49:30 GMT", wall) == 0);
  CHECK_FALSE(parse_retry_after_ns("Sun, 06 Nov 1994 08:49:40 GMT and more", wall));
}

TEST_CASE("Retry-After and Location are taken from the headers") {
  HttpResponseReader reader;
  REQUIRE(read(reader,
               "HTTP/1.1 302 Found\r\nretry-after: 7\r\nLOCATION: https://x/y\r\nContent-Length: 0\r\n\r\n",
               3) == State::complete);
  CHECK(reader.answer().retry_after_ns == 7 * kSecond);
  CHECK(reader.answer().location == "https://x/y");
  CHECK(reader.answer().reason == "Found");
}
