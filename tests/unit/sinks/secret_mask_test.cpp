#include "agent/sinks/secret_mask.h"

#include <doctest/doctest.h>

using namespace weir;

TEST_CASE("a secret is taken out in every form it may be echoed in") {
  SecretMask mask;
  mask.add("p/w\"1 2");
  mask.add("");
  CHECK(mask.masked("x p/w\"1 2 y") == "x *** y");
  CHECK(mask.masked(R"({"auth":"p/w\"1 2"})") == R"({"auth":"***"})");
  CHECK(mask.masked("?token=p%2Fw%221%202&") == "?token=***&");
  CHECK(mask.masked("nothing here") == "nothing here");
}

TEST_CASE("the longer secret goes first, so that no rest of it stays") {
  SecretMask mask;
  mask.add("abc");
  mask.add("abcdef");
  CHECK(mask.masked("abcdef abc abcdefabc") == "*** *** ******");
}

TEST_CASE("an excerpt is one line of printable text, cut between characters, masked before it is cut") {
  SecretMask mask;
  mask.add("secret-token");
  CHECK(mask.excerpt(" a\r\n\tb \x1b[31mc\x7f", 100) == "a b [31mc");
  CHECK(mask.excerpt("12345678secret-token", 10) == "12345678**");
  CHECK(mask.excerpt("\xc3\xa9\xc3\xa9\xc3\xa9", 3) == "\xc3\xa9\xc3\xa9");
  CHECK(mask.excerpt("a\xff\xfe z", 100) == "a z");
  CHECK(mask.excerpt("", 10) == "");
}
