#pragma once
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <cstdint>
#include <string>
#include <vector>

namespace weir {

/// Every file operation of sinks, quarantine and journal (delivery.md section 4 rule 7), so that a test can
/// make the n-th one fail, shorten it or tear it. Results are those of the system calls: -1 and errno. Any
/// thread.
class Io {
 public:
  virtual ~Io() = default;
  /// With O_NOFOLLOW, but not O_DIRECTORY, only a regular file is opened, and with O_CREAT only one that has
  /// no second name (security.md, files); what else there is is left alone, and waited for in no case:
  /// EISDIR, ENXIO, EMLINK. What is only read or gone on with may have a second name: a backup of links has.
  virtual int open(const std::string& path, int flags, mode_t mode) = 0;
  virtual ssize_t writev(int fd, const iovec* parts, int count) = 0;
  virtual ssize_t pread(int fd, void* out, size_t bytes, off_t offset) = 0;
  virtual ssize_t pwritev(int fd, const iovec* parts, int count, off_t offset) = 0;
  /// Makes the file `bytes` long, with its space set aside; what is new reads as zeros.
  virtual int allocate(int fd, off_t bytes) = 0;
  virtual int ftruncate(int fd, off_t length) = 0;
  virtual int fdatasync(int fd) = 0;
  virtual int fstat(int fd, struct stat* out) = 0;
  virtual int mkdir(const std::string& path, mode_t mode) = 0;
  virtual int rename(const std::string& from, const std::string& to) = 0;
  /// Without following a symbolic link at its end.
  virtual int lstat(const std::string& path, struct stat* out) = 0;
  virtual int fsync(int fd) = 0;
  /// When the file was made, nanoseconds since the epoch; where the file system does not know, when it was
  /// last written to. -1: neither.
  virtual int64_t born_ns(int fd) = 0;

  // Names within a directory that is open. `name` is one component.
  virtual int openat(int directory, const std::string& name, int flags, mode_t mode) = 0;
  /// A directory beneath another, whatever components `path` has: no `..` past it, no symbolic links.
  virtual int open_beneath(int directory, const std::string& path) = 0;
  virtual int mkdirat(int directory, const std::string& name, mode_t mode) = 0;
  virtual int fstatat(int directory, const std::string& name, struct stat* out) = 0;  ///< follows no link
  /// Fails with EEXIST where `to` exists.
  virtual int rename_new(int directory, const std::string& from, const std::string& to) = 0;
  virtual int rename_over(int directory, const std::string& from, const std::string& to) = 0;
  virtual int unlinkat(int directory, const std::string& name) = 0;
  /// Appends the names in it, without `.` and `..`, in no order.
  virtual int list(int directory, std::vector<std::string>& names) = 0;
  /// Of the whole file, for as long as it is open (an OFD lock). False: another one has it. Not a fault of
  /// the disk, so simulated ones need not have it.
  virtual bool lock(int fd) { return (void)fd, true; }
  virtual int close(int fd) = 0;
};

/// What Io::open_beneath() does where the kernel or a container's filter does not know openat2: component by
/// component.
int open_beneath_by_components(int directory, const std::string& path);

/// The kernel's. Lives as long as the process.
Io& system_io();

}  // namespace weir
