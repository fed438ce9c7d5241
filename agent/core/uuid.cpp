#include "agent/core/uuid.h"

#include <sys/random.h>

#include "agent/core/check.h"

namespace weir {

std::string format_uuid(unsigned char (&bytes)[16], int version) {
  static constexpr char kHex[] = "0123456789abcdef";
  bytes[6] = static_cast<unsigned char>((bytes[6] & 0x0f) | version << 4);
  bytes[8] = static_cast<unsigned char>((bytes[8] & 0x3f) | 0x80);
  std::string out;
  for (size_t i = 0; i < sizeof bytes; ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) out += '-';
    out += kHex[bytes[i] >> 4];
    out += kHex[bytes[i] & 15];
  }
  return out;
}

std::string random_uuid() {
  unsigned char bytes[16];
  WEIR_CHECK(getrandom(bytes, sizeof bytes, 0) == sizeof bytes);
  return format_uuid(bytes, 4);
}

}  // namespace weir
