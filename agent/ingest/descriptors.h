#pragma once
#include <deque>
#include <span>

#include "agent/net/byte_stream.h"
#include "agent/ring/shared_memory.h"

namespace weir {

/// Reads a Unix socket together with the descriptors that its client passes (SCM_RIGHTS). A read ends behind
/// the bytes that bring one, and RING frames take them in order; what is too many is closed.
class Descriptors {
 public:
  static constexpr size_t kWaitingMax = 4;
  /// As ByteStream::read_some().
  IoStep read_some(int socket, std::span<char> into);
  /// The one that came first, or Descriptor::kLost in its place; holds -1 when none waits.
  ring::Descriptor take();

 private:
  std::deque<ring::Descriptor> waiting_;
};

}  // namespace weir
