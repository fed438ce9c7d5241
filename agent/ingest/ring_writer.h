#pragma once
#include <sys/types.h>

#include <cstdint>

#include "agent/ring/shared_memory.h"

namespace weir {

/// Can anybody still write to rings that have no connection? Whoever holds their memory is not to be seen, so
/// it is their process that is asked for; where the kernel does not name one (of another pid namespace) it is
/// silence that tells.
class RingWriter {
 public:
  static constexpr int kQuietLooksMax = 60;

  /// As the kernel named it when it connected; 0: it did not. From here on another process with the same
  /// number is not taken for it.
  explicit RingWriter(pid_t pid);
  /// Once a second. `written`: something that changes whenever anything is written.
  bool is_gone(uint64_t written);

 private:
  bool has_ended() const;
  const pid_t pid_;
  ring::Descriptor process_;  ///< -1: the kernel gives none
  bool ended_ = false;
  uint64_t written_ = 0;
  int quiet_looks_ = 0;
};

}  // namespace weir
