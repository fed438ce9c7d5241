#include "agent/core/io.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <string_view>

namespace weir {
namespace {

constexpr int kDirectoryFlags = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

int64_t nanoseconds(const statx_timestamp& t) { return t.tv_sec * 1'000'000'000 + t.tv_nsec; }

/// Of what is opened, what is not a file of our own alone. Io::open().
bool is_own_file(int flags) { return (flags & O_NOFOLLOW) && !(flags & (O_DIRECTORY | O_PATH)); }

/// `made`: it is made where it is missing, so whatever is there is written over.
int own_file(int fd, bool made) {
  struct stat st;
  if (fd < 0 || ::fstat(fd, &st) != 0 || (S_ISREG(st.st_mode) && (!made || st.st_nlink <= 1))) return fd;
  ::close(fd);
  errno = S_ISREG(st.st_mode) ? EMLINK : S_ISDIR(st.st_mode) ? EISDIR : ENXIO;
  return -1;
}

class SystemIo final : public Io {
 public:
  int open(const std::string& path, int flags, mode_t mode) override {
    if (!is_own_file(flags)) return ::open(path.c_str(), flags, mode);
    return own_file(::open(path.c_str(), flags | O_NONBLOCK, mode), flags & O_CREAT);
  }
  ssize_t writev(int fd, const iovec* parts, int count) override {
    return count == 1 ? ::write(fd, parts->iov_base, parts->iov_len) : ::writev(fd, parts, count);
  }
  ssize_t pread(int fd, void* out, size_t bytes, off_t offset) override {
    return ::pread(fd, out, bytes, offset);
  }
  ssize_t pwritev(int fd, const iovec* parts, int count, off_t offset) override {
    return ::pwritev(fd, parts, count, offset);
  }
  int allocate(int fd, off_t bytes) override {
    const int error = ::posix_fallocate(fd, 0, bytes);  // writes zeros where the file system has no such call
    if (error != 0) errno = error;
    return error == 0 ? 0 : -1;
  }
  int ftruncate(int fd, off_t length) override { return ::ftruncate(fd, length); }
  int fdatasync(int fd) override { return ::fdatasync(fd); }
  int fstat(int fd, struct stat* out) override { return ::fstat(fd, out); }
  int mkdir(const std::string& path, mode_t mode) override { return ::mkdir(path.c_str(), mode); }
  int rename(const std::string& from, const std::string& to) override {
    return std::rename(from.c_str(), to.c_str());
  }
  int lstat(const std::string& path, struct stat* out) override { return ::lstat(path.c_str(), out); }
  int fsync(int fd) override { return ::fsync(fd); }
  int64_t born_ns(int fd) override {
    struct statx st;
    if (::statx(fd, "", AT_EMPTY_PATH, STATX_BTIME | STATX_MTIME, &st) != 0) return -1;
    return nanoseconds(st.stx_mask & STATX_BTIME ? st.stx_btime : st.stx_mtime);
  }
  int openat(int directory, const std::string& name, int flags, mode_t mode) override {
    if (!is_own_file(flags)) return ::openat(directory, name.c_str(), flags, mode);
    return own_file(::openat(directory, name.c_str(), flags | O_NONBLOCK, mode), flags & O_CREAT);
  }
  int open_beneath(int directory, const std::string& path) override {
    open_how how{};
    how.flags = uint64_t(kDirectoryFlags);
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
    const long fd = ::syscall(SYS_openat2, directory, path.c_str(), &how, sizeof how);
    // EPERM: a container's filter that does not know the call.
    if (fd >= 0 || (errno != ENOSYS && errno != EPERM)) return int(fd);
    return open_beneath_by_components(directory, path);
  }
  int mkdirat(int directory, const std::string& name, mode_t mode) override {
    return ::mkdirat(directory, name.c_str(), mode);
  }
  int fstatat(int directory, const std::string& name, struct stat* out) override {
    return ::fstatat(directory, name.c_str(), out, AT_SYMLINK_NOFOLLOW);
  }
  int rename_new(int directory, const std::string& from, const std::string& to) override {
    if (::renameat2(directory, from.c_str(), directory, to.c_str(), RENAME_NOREPLACE) == 0) return 0;
    if (errno != ENOSYS && errno != EINVAL) return -1;
    // A file system without it (NFS): a link never replaces either.
    if (::linkat(directory, from.c_str(), directory, to.c_str(), 0) != 0) return -1;
    if (::unlinkat(directory, from.c_str(), 0) == 0) return 0;
    const int error = errno;
    ::unlinkat(directory, to.c_str(), 0);  // two names for one file would be worse
    errno = error;
    return -1;
  }
  int rename_over(int directory, const std::string& from, const std::string& to) override {
    return ::renameat(directory, from.c_str(), directory, to.c_str());
  }
  int unlinkat(int directory, const std::string& name) override {
    return ::unlinkat(directory, name.c_str(), 0);
  }
  int list(int directory, std::vector<std::string>& names) override {
    const int fd = ::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR* stream = fd < 0 ? nullptr : ::fdopendir(fd);
    if (!stream) {
      if (fd >= 0) ::close(fd);
      return -1;
    }
    errno = 0;
    while (const dirent* entry = ::readdir(stream)) {
      const std::string_view name = entry->d_name;
      if (name != "." && name != "..") names.emplace_back(name);
    }
    const int error = errno;
    ::closedir(stream);
    errno = error;
    return error == 0 ? 0 : -1;
  }
  bool lock(int fd) override {
    struct flock whole {};
    whole.l_type = F_WRLCK, whole.l_whence = SEEK_SET;
    return ::fcntl(fd, F_OFD_SETLK, &whole) == 0;
  }
  int close(int fd) override { return ::close(fd); }
};

}  // namespace

int open_beneath_by_components(int directory, const std::string& path) {
  int at = ::openat(directory, ".", kDirectoryFlags);
  for (size_t begin = 0; at >= 0 && begin < path.size();) {
    const size_t slash = std::min(path.find('/', begin), path.size());
    const std::string name = path.substr(begin, slash - begin);
    begin = slash + 1;
    if (name.empty() || name == ".") continue;
    const int next = name == ".." ? (errno = EXDEV, -1) : ::openat(at, name.c_str(), kDirectoryFlags);
    const int error = errno;
    ::close(at);
    errno = error;
    at = next;
  }
  return at;
}

Io& system_io() {
  static SystemIo io;
  return io;
}

}  // namespace weir
