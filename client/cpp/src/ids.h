#pragma once
#include <cstdint>
#include <string_view>

namespace weir::detail {

/// Exactly 2 * count hexadecimal digits of either case; false: they are not, and nothing is changed.
bool parse_hex(std::string_view text, uint8_t* bytes, size_t count) noexcept;

/// A span of the ring's clock in nanoseconds; of the TSC, by its rate since the process's first call.
double ticks_to_ns(uint64_t ticks) noexcept;

}  // namespace weir::detail
