#pragma once
#include <string>
#include <string_view>
#include <utility>

#include "agent/core/io.h"

namespace weir {

/// Where an output file is: a path as it is, or one beneath a root that is held open.
struct FilePlace {
  std::string path;       ///< whole, as messages name it
  int root = -1;          ///< descriptor of the root, not owned; -1: no root
  size_t root_bytes = 0;  ///< of `path`: the root and its slash

  std::string_view name() const;  ///< the last component
};

/// A descriptor that is closed at the end of its scope.
class ScopedFd {
 public:
  ScopedFd(Io& io, int fd) : io_(io), fd_(fd) {}
  ~ScopedFd() {
    if (fd_ >= 0) io_.close(fd_);
  }
  ScopedFd(const ScopedFd&) = delete;
  ScopedFd& operator=(const ScopedFd&) = delete;
  int get() const { return fd_; }
  bool ok() const { return fd_ >= 0; }
  void reset(int fd) {
    if (fd_ >= 0) io_.close(fd_);
    fd_ = fd;
  }
  int release() { return std::exchange(fd_, -1); }

 private:
  Io& io_;
  int fd_;
};

/// Directory part of a path: `.` where it has none.
std::string directory_of(const std::string& path);
/// Missing directories above `path` are made, 0750 (interface.md section 7). Errors show when it is opened.
void make_parents(Io& io, const std::string& path);
/// The directory that holds the file, for the *at calls of Io; beneath a root no component of it may be a
/// link. Missing ones are made where `make` says so. -1 and errno.
int open_directory(Io& io, const FilePlace& place, bool make);
/// Makes what was done to the names in a directory durable, where we may look into it and the file system
/// can. -1 and errno.
int sync_directory(Io& io, int directory);
/// The same for all directories above the file, up to the root where there is one.
int sync_directories(Io& io, FilePlace place);
/// `what PATH: reason`, from errno.
std::string system_error(std::string_view what, const std::string& path);

}  // namespace weir
