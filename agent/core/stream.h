#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace weir {

/// The four separable streams (records.md section 1).
enum class Stream : uint8_t { trace, log, telemetry, monitoring };
inline constexpr size_t kStreamCount = 4;
inline constexpr std::array<Stream, kStreamCount> kStreams{Stream::trace, Stream::log, Stream::telemetry,
                                                           Stream::monitoring};

std::string_view stream_name(Stream stream);

/// Understands the synonyms of the wire (`tracing`, `logs`, `metric`, `alert` ...); case-sensitive.
std::optional<Stream> parse_stream(std::string_view text);

/// A set of streams as four bits.
class StreamSet {
 public:
  constexpr StreamSet() = default;
  constexpr StreamSet(std::initializer_list<Stream> streams) {
    for (Stream s : streams) add(s);
  }
  static constexpr StreamSet all() {
    return {Stream::trace, Stream::log, Stream::telemetry, Stream::monitoring};
  }
  constexpr void add(Stream s) { bits_ |= uint8_t(1u << unsigned(s)); }
  constexpr bool has(Stream s) const { return (bits_ >> unsigned(s)) & 1u; }
  constexpr bool empty() const { return bits_ == 0; }
  constexpr bool operator==(const StreamSet&) const = default;

 private:
  uint8_t bits_ = 0;
};

}  // namespace weir
