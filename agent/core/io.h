#pragma once
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <string>

namespace weir {

/// Every file operation of sinks, quarantine and journal (delivery.md section 4 rule 7), so that a test can
/// make the n-th one fail, shorten it or tear it. Results are those of the system calls: -1 and errno. Any
/// thread.
class Io {
 public:
  virtual ~Io() = default;
  virtual int open(const std::string& path, int flags, mode_t mode) = 0;
  virtual ssize_t writev(int fd, const iovec* parts, int count) = 0;
  virtual ssize_t pread(int fd, void* out, size_t bytes, off_t offset) = 0;
  virtual int ftruncate(int fd, off_t length) = 0;
  virtual int fdatasync(int fd) = 0;
  virtual int fstat(int fd, struct stat* out) = 0;
  virtual int mkdir(const std::string& path, mode_t mode) = 0;
  virtual int rename(const std::string& from, const std::string& to) = 0;
  virtual int close(int fd) = 0;
};

/// The kernel's. Lives as long as the process.
Io& system_io();

}  // namespace weir
