#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace weir {

/// CRC-32C (Castagnoli, RFC 3720 appendix B.4), continued from `crc`: 0 at first. By the processor's own
/// instruction where it has one.
uint32_t crc32c(uint32_t crc, const void* data, size_t bytes);
inline uint32_t crc32c(uint32_t crc, std::string_view data) { return crc32c(crc, data.data(), data.size()); }

}  // namespace weir
