#pragma once
#include <string>
#include <string_view>

#include "agent/core/result.h"

namespace weir {

inline constexpr size_t kInflatedBytesMax = 16 << 20;
/// How many times larger a body may become (security.md); those that stay below a mebibyte may be denser,
/// because records that repeat themselves are.
inline constexpr size_t kInflationRatioMax = 100, kInflationFree = 1 << 20;

struct InflateError {
  bool too_large = false;
  std::string message;
};

/// A whole gzip body (RFC 1952), all its members. The string has 64 bytes of capacity behind its end.
tl::expected<std::string, InflateError> inflate_gzip(std::string_view compressed);

}  // namespace weir
