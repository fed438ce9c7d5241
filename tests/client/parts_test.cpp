// Parts of the client that need no ring.
#include <doctest/doctest.h>

#include "client/cpp/src/address.h"
#include "client/cpp/src/json_read.h"
#include "client/cpp/src/json_text.h"
#include "client/cpp/src/outbox.h"

using namespace weir::detail;

namespace {
std::string escaped(std::string_view s) {
  std::string out;
  append_escaped(out, s);
  return out;
}
}  // namespace

TEST_CASE("texts are escaped, and what is not UTF-8 is replaced") {
  CHECK(escaped("a\"b\\c\n\x7f") == "a\\\"b\\\\c\\u000a\x7f");
  CHECK(escaped("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80") == "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
  CHECK(escaped("\xff") == "\xef\xbf\xbd");
  CHECK(escaped("\xed\xa0\x80") == "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
  CHECK(escaped("x\xc3") == "x\xef\xbf\xbd");
}

TEST_CASE("members of the agent's answers are found, and malformed ones are absent") {
  const std::string_view json = R"({"a":{"x":[1,{"y":"}"}]}, "b":[ "r\u0069ng", "two" ],"n":12,"m":-1})";
  CHECK(json_member(json, "a") == R"({"x":[1,{"y":"}"}]})");
  CHECK(json_elements(json_member(json, "b")).size() == 2);
  CHECK(json_string(json_elements(json_member(json, "b"))[0]) == "ring");
  CHECK(json_number(json_member(json, "n"), 5) == 12);
  CHECK(json_number(json_member(json, "m"), 5) == 5);
  CHECK(json_member(json, "none").empty());
  for (size_t cut = 0; cut < json.size(); ++cut) json_member(json.substr(0, cut), "zz");
  for (const char* bad : {"", "{", "{\"", "{\"a", "{\"a\":", "[", "}", "{\"a\":}", "{,}"})
    CHECK(json_member(bad, "a").empty());
}

TEST_CASE("the outbox numbers, keeps, and forgets what is acknowledged") {
  Outbox box;
  std::string out;
  uint64_t records = 0;
  CHECK(!box.next_batch(out, true, true, records));
  box.add("a\nb\n", 2);
  box.add("c\n", 1);
  CHECK(box.next_batch(out, true, true, records));
  CHECK(records == 2);
  CHECK(out == std::string("\x0c\0\0\0\x07\0\0\0\x01\0\0\0\0\0\0\0a\nb\n", 20));
  CHECK(box.acknowledge(1) == 1);
  CHECK(box.oldest_seq() == 1);
  box.rewind();
  out.clear();
  CHECK(box.next_batch(out, true, true, records));
  CHECK(box.next_batch(out, true, true, records));
  CHECK(box.acknowledge(99) == 2);
  CHECK(box.empty());
  CHECK(box.oldest_seq() == 4);
  CHECK(box.acknowledge(2) == 0);
}

TEST_CASE("addresses") {
  CHECK(find_address("unix:/a/b").path == "/a/b");
  CHECK(find_address("/a/b").unix_socket);
  const Address tcp = find_address("tcp:[::1]:4100");
  CHECK(!tcp.unix_socket);
  CHECK(tcp.host == "::1");
  CHECK(tcp.port == "4100");
  const auto why = [](const char* address) {
    std::string text;
    CHECK(dial(find_address(address), text) == -1);
    return text_of(find_address(address)) + ": " + text;
  };
  CHECK(why("unix:/nonexistent") == "unix:/nonexistent: No such file or directory");
  CHECK(why("http://localhost:1") ==
        "unix:http://localhost:1: No such file or directory; an address is unix:PATH or tcp:HOST:PORT");
  CHECK(why("tcp:nonsense") == "tcp::nonsense: an address is unix:PATH or tcp:HOST:PORT");
  CHECK(why("tcp:127.0.0.1:1") == "tcp:127.0.0.1:1: Connection refused");
}
