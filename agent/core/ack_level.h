#pragma once
#include <cstddef>
#include <string_view>

namespace weir {

/// How safe a record is before it is acknowledged (delivery.md section 2). Each level includes the ones
/// before it.
enum class AckLevel {
  none,      ///< never acknowledged
  received,  ///< in the agent's memory
  buffered,  ///< written to the journal's file: survives the death of this process
  durable,   ///< on the disk: survives the power going, too
};
inline constexpr size_t kAckLevelCount = 4;

/// As in hello and welcome (interface.md section 2).
constexpr std::string_view ack_level_name(AckLevel level) {
  constexpr std::string_view names[kAckLevelCount] = {"none", "received", "buffered", "durable"};
  return names[size_t(level)];
}

}  // namespace weir
