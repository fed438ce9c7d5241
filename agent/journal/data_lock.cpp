#include "agent/journal/data_lock.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace weir {

Result<int> lock_directory(Io& io, const std::string& directory) {
  const std::string path = directory + "/lock";
  int fd = io.open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
  const bool linked = fd < 0 && errno == EMLINK;  // by a backup: whoever has the lock has it there, too
  if (linked) fd = io.open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC, 0);
  if (fd < 0) return fail("cannot open " + path + ": " + std::strerror(errno));
  if (!io.lock(fd)) {
    char pid[16] = {};
    io.pread(fd, pid, sizeof pid - 1, 0);
    io.close(fd);
    const std::string owner = std::string(pid).substr(0, std::strspn(pid, "0123456789"));
    return fail(directory + " is in use by another weir" + (owner.empty() ? "" : " (pid " + owner + ")") +
                "; stop it, or give this one a directory of its own");
  }
  if (linked) return fd;  // and nothing is written to what others know by another name
  const std::string text = std::to_string(getpid()) + "\n";
  const iovec part{const_cast<char*>(text.data()), text.size()};
  io.ftruncate(fd, 0);
  (void)io.pwritev(fd, &part, 1, 0);
  return fd;
}

}  // namespace weir
