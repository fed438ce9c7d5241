#pragma once

namespace weir {

/// How safe a record is before it is acknowledged (delivery.md section 2). Each level includes the ones
/// before it.
enum class AckLevel {
  none,      ///< never acknowledged
  received,  ///< in the agent's memory
  buffered,  ///< written to the journal's file: survives the death of this process
  durable,   ///< on the disk: survives the power going, too
};

}  // namespace weir
