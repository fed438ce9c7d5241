#include "agent/core/uuid.h"

#include <doctest/doctest.h>

using namespace weir;

TEST_CASE("the text form carries version and variant") {
  unsigned char bytes[16] = {0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0xff, 0x77,
                             0xff, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff};
  CHECK(format_uuid(bytes, 5) == "00112233-4455-5f77-bf99-aabbccddeeff");
}

TEST_CASE("random ones differ") {
  const std::string a = random_uuid(), b = random_uuid();
  CHECK(a.size() == 36);
  CHECK(a[14] == '4');
  CHECK(a != b);
}
