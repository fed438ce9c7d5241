#pragma once
#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/sim_file.h"

namespace weir::test {

enum class IoCall {
  open,  ///< of a file or a directory, by any function
  read,
  write,
  allocate,
  truncate,
  sync,            ///< of a file
  sync_directory,  ///< fsync of one
  stat,
  mkdir,
  rename,
  unlink,
  list,
  close,
};

/// One call, before it is done.
struct SimCall {
  uint64_t number = 0;  ///< from 0
  IoCall kind = IoCall::stat;
  std::string_view path;  ///< whole; of a descriptor: as it was when that was opened
};

/// What goes wrong with a call.
struct SimFault {
  int error = 0;     ///< errno; nothing of the call is done, but for a sync see SimDisk
  size_t bytes = 0;  ///< of a write: so many are written, and no error; 0: see `error`
};

/// Says of each call what goes wrong with it. A copy of the disk has a copy of it.
using SimFaults = std::function<std::optional<SimFault>(const SimCall&)>;

inline SimFaults fail_call(uint64_t number, int error) {
  return [=](const SimCall& call) {
    return call.number == number ? std::optional(SimFault{error}) : std::nullopt;
  };
}

/// The next `times` calls of that kind on paths that hold `part`, after the first `but` of them.
inline SimFaults fail_calls(IoCall kind, std::string part, SimFault fault, int times = 1, int but = 0) {
  return [=](const SimCall& call) mutable -> std::optional<SimFault> {
    if (call.kind != kind || call.path.find(part) == call.path.npos || times == 0) return std::nullopt;
    if (but > 0) return --but, std::nullopt;
    return --times, fault;
  };
}

/// `per_mille` of the calls of these kinds: EIO, ENOSPC and short writes where space is asked for, EINTR of
/// writes.
inline SimFaults fail_some(uint64_t seed, unsigned per_mille, std::vector<IoCall> kinds) {
  return [=, random = SimRandom(seed)](const SimCall& call) mutable -> std::optional<SimFault> {
    if (std::find(kinds.begin(), kinds.end(), call.kind) == kinds.end()) return std::nullopt;
    if (random() % 1000 >= per_mille) return std::nullopt;
    const bool writes = call.kind == IoCall::write;
    switch (random() % (writes ? 4 : 2)) {
      case 0:
        return SimFault{EIO};
      case 1:
        return SimFault{writes || call.kind == IoCall::allocate ? ENOSPC : EIO};
      case 2:
        return SimFault{EINTR};
      default:
        return SimFault{0, 1 + size_t(random() % 200)};
    }
  };
}

}  // namespace weir::test
