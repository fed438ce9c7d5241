#include "agent/sinks/file_place.h"

#include <fcntl.h>

#include <cerrno>
#include <cstring>

namespace weir {
namespace {

constexpr mode_t kDirectoryMode = 0750;
constexpr int kDirectoryFlags = O_PATH | O_DIRECTORY | O_CLOEXEC;

int open_at_root(Io& io, int root, const std::string& relative) {
  return relative.empty() ? io.openat(root, ".", kDirectoryFlags, 0) : io.open_beneath(root, relative);
}

/// Every component of `relative`, each made in its parent.
void make_beneath(Io& io, int root, const std::string& relative) {
  for (size_t begin = 0; begin < relative.size();) {
    const size_t slash = std::min(relative.find('/', begin), relative.size());
    const ScopedFd parent(io, open_at_root(io, root, relative.substr(0, begin > 0 ? begin - 1 : 0)));
    if (!parent.ok()) return;
    io.mkdirat(parent.get(), relative.substr(begin, slash - begin), kDirectoryMode);
    begin = slash + 1;
  }
}

}  // namespace

std::string_view FilePlace::name() const {
  const size_t slash = path.rfind('/');
  return std::string_view(path).substr(slash == path.npos ? 0 : slash + 1);
}

std::string directory_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == path.npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

void make_parents(Io& io, const std::string& path) {
  for (size_t slash = 1; (slash = path.find('/', slash)) != std::string::npos; ++slash)
    io.mkdir(path.substr(0, slash), kDirectoryMode);
}

int open_directory(Io& io, const FilePlace& place, bool make) {
  if (place.root < 0) {
    const std::string directory = directory_of(place.path);
    const int fd = io.open(directory, kDirectoryFlags, 0);
    if (fd >= 0 || errno != ENOENT || !make) return fd;
    make_parents(io, place.path);
    return io.open(directory, kDirectoryFlags, 0);
  }
  const size_t slash = place.path.rfind('/');
  const bool in_root = slash == place.path.npos || slash < place.root_bytes;
  const std::string relative = in_root ? "" : place.path.substr(place.root_bytes, slash - place.root_bytes);
  const int fd = open_at_root(io, place.root, relative);
  if (fd >= 0 || errno != ENOENT || !make) return fd;
  make_beneath(io, place.root, relative);
  return open_at_root(io, place.root, relative);
}

int sync_directory(Io& io, int directory) {
  const ScopedFd readable(io, io.openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0));
  if (readable.ok() && io.fsync(readable.get()) == 0) return 0;
  return errno == EACCES || errno == EINVAL ? 0 : -1;
}

int sync_directories(Io& io, FilePlace place) {
  for (;;) {
    const ScopedFd directory(io, open_directory(io, place, false));
    if (!directory.ok() || sync_directory(io, directory.get()) != 0) return -1;
    const size_t slash = place.path.rfind('/');
    if (slash == place.path.npos || slash == 0 || (place.root >= 0 && slash < place.root_bytes)) return 0;
    place.path.resize(slash);
  }
}

std::string system_error(std::string_view what, const std::string& path) {
  const int error = errno;
  return std::string(what) + ' ' + path + ": " + std::strerror(error);
}

}  // namespace weir
