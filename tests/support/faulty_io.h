#pragma once
#include <cerrno>
#include <vector>

#include "agent/core/io.h"

namespace weir::test {

/// The real files, but the n-th call fails (ENOSPC or EIO); a failing write may write a part first.
class FaultyIo : public Io {
 public:
  int64_t fail_at = -1;      ///< number of the call that fails, from 0
  size_t partial_bytes = 0;  ///< what a failing writev writes nevertheless
  int64_t calls = 0;
  int writes = 0, syncs = 0;
  std::vector<size_t> write_sizes;

  int open(const std::string& path, int flags, mode_t mode) override {
    return bad() ? fail(EACCES) : io_.open(path, flags, mode);
  }
  ssize_t writev(int fd, const iovec* parts, int count) override {
    ++writes;
    if (!bad()) {
      ssize_t n = io_.writev(fd, parts, count);
      if (n > 0) write_sizes.push_back(size_t(n));
      return n;
    }
    if (partial_bytes > 0 && !cut_) {
      cut_ = true;
      fail_at = calls;  // short first, then the error
      iovec part{parts[0].iov_base, std::min(partial_bytes, parts[0].iov_len)};
      return io_.writev(fd, &part, 1);
    }
    return fail(ENOSPC);
  }
  ssize_t pread(int fd, void* out, size_t bytes, off_t offset) override {
    return bad() ? fail(EIO) : io_.pread(fd, out, bytes, offset);
  }
  ssize_t pwritev(int fd, const iovec* parts, int count, off_t offset) override {
    return bad() ? fail(ENOSPC) : io_.pwritev(fd, parts, count, offset);
  }
  int allocate(int fd, off_t bytes) override { return bad() ? fail(ENOSPC) : io_.allocate(fd, bytes); }
  int ftruncate(int fd, off_t length) override { return io_.ftruncate(fd, length); }
  int fdatasync(int) override {
    ++syncs;
    return bad() ? fail(EIO) : 0;  // no test needs the disk itself
  }
  int fstat(int fd, struct stat* out) override { return bad() ? fail(EIO) : io_.fstat(fd, out); }
  int mkdir(const std::string& path, mode_t mode) override { return io_.mkdir(path, mode); }
  int rename(const std::string& from, const std::string& to) override {
    return bad() ? fail(EIO) : io_.rename(from, to);
  }
  int lstat(const std::string& path, struct stat* out) override {
    return bad() ? fail(EIO) : io_.lstat(path, out);
  }
  int fsync(int) override { return bad() ? fail(EIO) : 0; }
  int64_t born_ns(int fd) override { return bad() ? -1 : io_.born_ns(fd); }
  int openat(int directory, const std::string& name, int flags, mode_t mode) override {
    return bad() ? fail(EACCES) : io_.openat(directory, name, flags, mode);
  }
  int open_beneath(int directory, const std::string& path) override {
    return bad() ? fail(EACCES) : io_.open_beneath(directory, path);
  }
  int mkdirat(int directory, const std::string& name, mode_t mode) override {
    return bad() ? fail(EACCES) : io_.mkdirat(directory, name, mode);
  }
  int fstatat(int directory, const std::string& name, struct stat* out) override {
    return bad() ? fail(EIO) : io_.fstatat(directory, name, out);
  }
  int rename_new(int directory, const std::string& from, const std::string& to) override {
    return bad() ? fail(EACCES) : io_.rename_new(directory, from, to);
  }
  int rename_over(int directory, const std::string& from, const std::string& to) override {
    return bad() ? fail(EACCES) : io_.rename_over(directory, from, to);
  }
  int unlinkat(int directory, const std::string& name) override {
    return bad() ? fail(EIO) : io_.unlinkat(directory, name);
  }
  int list(int directory, std::vector<std::string>& names) override {
    return bad() ? fail(EIO) : io_.list(directory, names);
  }
  bool lock(int fd) override { return io_.lock(fd); }
  int close(int fd) override { return io_.close(fd); }

 private:
  bool bad() { return calls++ == fail_at; }
  static int fail(int error) {
    errno = error;
    return -1;
  }
  Io& io_ = system_io();
  bool cut_ = false;
};

}  // namespace weir::test
