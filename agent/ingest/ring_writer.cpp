#include "agent/ingest/ring_writer.h"

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace weir {

RingWriter::RingWriter(pid_t pid) : pid_(pid), process_(pid > 0 ? int(syscall(SYS_pidfd_open, pid, 0)) : -1) {
  ended_ = pid > 0 && process_.get() < 0 && errno == ESRCH;
}

/// A process that its parent has not waited for is still there for kill(2), but not for its descriptor.
bool RingWriter::has_ended() const {
  if (process_.get() < 0) return kill(pid_, 0) != 0 && errno == ESRCH;
  pollfd end{process_.get(), POLLIN, 0};
  return poll(&end, 1, 0) > 0;
}

bool RingWriter::is_gone(uint64_t written) {
  if (pid_ > 0) return ended_ = ended_ || has_ended();
  quiet_looks_ = std::exchange(written_, written) == written ? quiet_looks_ + 1 : 0;
  return quiet_looks_ > kQuietLooksMax;
}

}  // namespace weir
