#pragma once
#include <string>

namespace weir {

/// A random UUID (RFC 4122 version 4) in its text form, from the kernel.
std::string random_uuid();
/// 16 bytes in the text form, their version and variant bits set first.
std::string format_uuid(unsigned char (&bytes)[16], int version);

}  // namespace weir
