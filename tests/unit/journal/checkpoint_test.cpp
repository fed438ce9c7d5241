#include "agent/journal/checkpoint.h"

#include <doctest/doctest.h>

#include <cstdio>

#include "agent/journal/crc32c.h"

using namespace weir;

TEST_CASE("a checkpoint of a weir that knew fewer members is read") {
  Checkpoint c;
  c.generation = 7, c.boot_id = "b", c.written = 5, c.oldest = 2;
  std::string body = encode(c);
  body.erase(0, body.find('\n') + 1);
  const std::string_view newer = "\"places_lost\":false,";
  const size_t at = body.find(newer);
  REQUIRE(at != body.npos);
  body.erase(at, newer.size());
  char head[96];
  std::snprintf(head, sizeof head, "weir-checkpoint 1 7 %zu %08x\n", body.size(),
                crc32c(crc32c(0, "7", 1), body.data(), body.size()));
  const auto read = decode_checkpoint(head + body);
  REQUIRE(read);
  CHECK(read->written == 5);
  CHECK_FALSE(read->places_lost);
}
