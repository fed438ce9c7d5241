#include "agent/core/io.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>

namespace weir {
namespace {

class SystemIo final : public Io {
 public:
  int open(const std::string& path, int flags, mode_t mode) override {
    return ::open(path.c_str(), flags, mode);
  }
  ssize_t writev(int fd, const iovec* parts, int count) override {
    return count == 1 ? ::write(fd, parts->iov_base, parts->iov_len) : ::writev(fd, parts, count);
  }
  ssize_t pread(int fd, void* out, size_t bytes, off_t offset) override {
    return ::pread(fd, out, bytes, offset);
  }
  int ftruncate(int fd, off_t length) override { return ::ftruncate(fd, length); }
  int fdatasync(int fd) override { return ::fdatasync(fd); }
  int fstat(int fd, struct stat* out) override { return ::fstat(fd, out); }
  int mkdir(const std::string& path, mode_t mode) override { return ::mkdir(path.c_str(), mode); }
  int rename(const std::string& from, const std::string& to) override {
    return std::rename(from.c_str(), to.c_str());
  }
  int close(int fd) override { return ::close(fd); }
};

}  // namespace

Io& system_io() {
  static SystemIo io;
  return io;
}

}  // namespace weir
