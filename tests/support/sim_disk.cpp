#include "tests/support/sim_disk.h"

#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include <algorithm>

#include "agent/core/check.h"

// The calls. How they end is the kernel's (fs/open.c, fs/namei.c, fs/read_write.c), in its order of checks.
namespace weir::test {
namespace {

constexpr int kDescriptorsPerLife = 1'000'000;

bool reads(int flags) { return !(flags & O_PATH) && (flags & O_ACCMODE) != O_WRONLY; }
bool writes(int flags) { return !(flags & O_PATH) && (flags & O_ACCMODE) != O_RDONLY; }

}  // namespace

SimDisk::SimDisk(const Clock& clock) : clock_(&clock), first_descriptor_(kDescriptorsPerLife) {
  Inode& root = inodes_[1];
  root.directory = true, root.mode = S_IFDIR | 0755, root.parent = 1;
  root.born_ns = root.written_ns = clock.wall_ns();
}

int SimDisk::fail(int error) {
  errno = error;
  return -1;
}

/// What every call begins with: -1 and errno where a fault says so.
std::optional<int> SimDisk::enter(IoCall kind, std::string_view path, SimFault* fault) {
  if (halted_) return fail(EIO);
  const SimCall call{calls, kind, path};
  if (on_call) on_call(call);
  ++calls;
  const auto found = faults ? faults(call) : std::nullopt;
  if (!found) return std::nullopt;
  if (fault) *fault = *found;
  if (found->error == 0) return std::nullopt;
  return fail(found->error);
}

std::optional<int> SimDisk::enter(IoCall kind, int fd, SimFault* fault) {
  const auto open = open_.find(fd);
  return enter(kind, open == open_.end() ? std::string_view() : open->second.path, fault);
}

SimDisk::Open* SimDisk::find(int fd) {
  const auto open = open_.find(fd);
  if (open != open_.end()) return &open->second;
  ++bad_descriptors;
  errno = EBADF;
  return nullptr;
}

std::string SimDisk::path_of(int directory, const std::string& name) const {
  const auto open = open_.find(directory);
  return open == open_.end() || name.starts_with('/') ? name : open->second.path + "/" + name;
}

bool SimDisk::walk(int directory, const std::string& path, Place& out) const {
  const auto wrong = [](int error) { return fail(error), false; };
  if (path.empty()) return wrong(ENOENT);
  if (path.size() >= PATH_MAX) return wrong(ENAMETOOLONG);
  Number at = 1;
  if (path[0] != '/' && directory != AT_FDCWD) {
    const auto open = open_.find(directory);
    if (open == open_.end()) return wrong(EBADF);
    at = open->second.number;
    if (!inodes_.at(at).directory) return wrong(ENOTDIR);
  }
  out = {inodes_.at(at).parent, at, "", false};
  for (size_t begin = 0; begin < path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string name = path.substr(begin, end - begin);
    const bool more = end < path.size();
    begin = end + 1;
    out.slash = more;
    if (name.empty()) continue;
    if (out.found == 0) return wrong(ENOENT);
    if (!inodes_.at(out.found).directory) return wrong(ENOTDIR);
    if (name.size() > NAME_MAX) return wrong(ENAMETOOLONG);
    const Inode& here = inodes_.at(out.found);
    if (name == "." || name == "..") {
      out.name.clear();
      if (name == "..") out.found = here.parent;
      continue;
    }
    const auto entry = here.now.find(name);
    out = {out.found, entry == here.now.end() ? 0 : entry->second, name, more};
  }
  return true;
}

/// For calls that look at what a path leads to before they look at anything else.
bool SimDisk::walk_to(int directory, const std::string& path, Place& out) const {
  if (!walk(directory, path, out)) return false;
  if (out.found != 0 && out.slash && !inodes_.at(out.found).directory) return fail(ENOTDIR), false;
  return true;
}

int SimDisk::open_there(int directory, const std::string& path, int flags, mode_t mode) {
  const bool look_only = flags & O_PATH, create = !look_only && (flags & O_CREAT);
  if (create && (flags & O_DIRECTORY)) return fail(EINVAL);
  Place place;
  if (!(create ? walk(directory, path, place) : walk_to(directory, path, place))) return -1;
  if (create && place.slash && !place.name.empty()) return fail(EISDIR);
  if (place.found == 0) {
    if (!create || inodes_.at(place.parent).removed) return fail(ENOENT);
    place.found = add_inode(false, S_IFREG | mode, place.parent);
    change_names(place.parent, {0, 0, {{place.name, place.found}}});
    return add_descriptor(place.found, flags, path_of(directory, path));
  }
  if (create && (flags & O_EXCL)) return fail(EEXIST);
  if (inodes_.at(place.found).directory) {
    const bool own_file = (flags & O_NOFOLLOW) && !(flags & (O_DIRECTORY | O_PATH));
    if (create || writes(flags) || own_file) return fail(EISDIR);
  } else {
    if (flags & O_DIRECTORY) return fail(ENOTDIR);
    if (!look_only && (flags & O_TRUNC)) own(place.found).resize(0);
  }
  return add_descriptor(place.found, flags, path_of(directory, path));
}

int SimDisk::open(const std::string& path, int flags, mode_t mode) {
  if (enter(IoCall::open, path)) return -1;
  return open_there(AT_FDCWD, path, flags, mode);
}

int SimDisk::openat(int directory, const std::string& name, int flags, mode_t mode) {
  if (enter(IoCall::open, path_of(directory, name))) return -1;
  return open_there(directory, name, flags, mode);
}

int SimDisk::open_beneath(int directory, const std::string& path) {
  if (enter(IoCall::open, path_of(directory, path))) return -1;
  int depth = 0;
  for (size_t begin = 0; begin < path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view name = std::string_view(path).substr(begin, end - begin);
    begin = end + 1;
    depth += name == ".." ? -1 : !name.empty() && name != ".";
    if (depth < 0) return fail(EXDEV);
  }
  if (path.starts_with('/')) return fail(EXDEV);
  return open_there(directory, path, O_PATH | O_DIRECTORY, 0);
}

ssize_t SimDisk::writev(int fd, const iovec* parts, int count) {
  return write(fd, parts, count, std::nullopt);
}

ssize_t SimDisk::pwritev(int fd, const iovec* parts, int count, off_t offset) {
  return write(fd, parts, count, offset);
}

ssize_t SimDisk::write(int fd, const iovec* parts, int count, std::optional<off_t> offset) {
  SimFault fault;
  if (enter(IoCall::write, fd, &fault)) return -1;
  if (offset && *offset < 0) return fail(EINVAL);
  Open* const open = find(fd);
  if (!open) return -1;
  if (!writes(open->flags)) return fail(EBADF);
  if (count < 0 || count > IOV_MAX) return fail(EINVAL);
  size_t bytes = 0;
  for (int i = 0; i < count; ++i) bytes += parts[i].iov_len;
  if (bytes == 0) return 0;
  if (fault.bytes > 0) bytes = std::min(bytes, fault.bytes);
  SimFile& file = own(open->number);
  // O_APPEND wins over an offset that is given, as it does on Linux.
  const bool appends = open->flags & O_APPEND;
  uint64_t at = appends ? file.size() : offset ? uint64_t(*offset) : open->offset;
  bytes = size_t(file.room(at, bytes, free_pages()));
  if (bytes == 0) return fail(ENOSPC);
  size_t left = bytes;
  for (int i = 0; i < count && left > 0; ++i) {
    const size_t step = std::min(left, parts[i].iov_len);
    file.write(static_cast<const char*>(parts[i].iov_base), step, at);
    at += step, left -= step;
  }
  if (!offset) open->offset = at;
  inodes_.at(open->number).written_ns = clock_->wall_ns();
  return ssize_t(bytes);
}

ssize_t SimDisk::pread(int fd, void* out, size_t bytes, off_t offset) {
  if (enter(IoCall::read, fd)) return -1;
  if (offset < 0) return fail(EINVAL);
  Open* const open = find(fd);
  if (!open) return -1;
  if (!reads(open->flags)) return fail(EBADF);
  const Inode& inode = inodes_.at(open->number);
  if (inode.directory) return fail(EISDIR);
  return ssize_t(inode.file->read(static_cast<char*>(out), bytes, uint64_t(offset)));
}

int SimDisk::allocate(int fd, off_t bytes) {
  if (enter(IoCall::allocate, fd)) return -1;
  Open* const open = find(fd);
  if (!open) return -1;
  if (open->flags & O_PATH) return fail(EBADF);
  if (bytes <= 0) return fail(EINVAL);
  if (!writes(open->flags)) return fail(EBADF);
  SimFile& file = own(open->number);
  // As ext4: what could be set aside stays so when the rest cannot.
  const uint64_t there = file.room(0, uint64_t(bytes), free_pages());
  if (there > 0) file.allocate(there);
  return there == uint64_t(bytes) ? 0 : fail(ENOSPC);
}

int SimDisk::ftruncate(int fd, off_t length) {
  if (enter(IoCall::truncate, fd)) return -1;
  if (length < 0) return fail(EINVAL);
  Open* const open = find(fd);
  if (!open) return -1;
  if (open->flags & O_PATH) return fail(EBADF);
  if (!writes(open->flags)) return fail(EINVAL);
  own(open->number).resize(uint64_t(length));
  inodes_.at(open->number).written_ns = clock_->wall_ns();
  return 0;
}

int SimDisk::fdatasync(int fd) {
  const auto known = open_.find(fd);
  const bool directory = known != open_.end() && inodes_.at(known->second.number).directory;
  const auto failed = enter(directory ? IoCall::sync_directory : IoCall::sync, fd);
  if (halted_) return -1;
  Open* const open = find(fd);
  if (!open) return -1;
  if (open->flags & O_PATH) return fail(EBADF);
  if (!directory) {
    const int error = errno;
    own(open->number).sync(!failed);
    errno = error;
  } else if (!failed) {
    sync_names(open->number, time_);
  }
  return failed ? -1 : 0;
}

void SimDisk::fill(Number number, struct stat* out) const {
  const Inode& inode = inodes_.at(number);
  *out = {};
  out->st_dev = device_, out->st_ino = number;
  out->st_mode = inode.mode;
  out->st_uid = geteuid(), out->st_gid = getegid();
  out->st_nlink = inode.directory ? 2 : is_named(number);
  out->st_blksize = SimFile::kPageBytes;
  if (inode.file) {
    out->st_size = off_t(inode.file->size());
    out->st_blocks = blkcnt_t(inode.file->pages() * SimFile::kPageBytes / 512);
  }
  out->st_mtim = {inode.written_ns / 1'000'000'000, inode.written_ns % 1'000'000'000};
  out->st_ctim = out->st_atim = out->st_mtim;
}

int SimDisk::fstat(int fd, struct stat* out) {
  if (enter(IoCall::stat, fd)) return -1;
  Open* const open = find(fd);
  if (!open) return -1;
  fill(open->number, out);
  return 0;
}

int SimDisk::look(int directory, const std::string& path, struct stat* out) {
  if (enter(IoCall::stat, path_of(directory, path))) return -1;
  Place place;
  if (!walk_to(directory, path, place)) return -1;
  if (place.found == 0) return fail(ENOENT);
  fill(place.found, out);
  return 0;
}

int SimDisk::lstat(const std::string& path, struct stat* out) { return look(AT_FDCWD, path, out); }

int SimDisk::fstatat(int directory, const std::string& name, struct stat* out) {
  return look(directory, name, out);
}

int64_t SimDisk::born_ns(int fd) {
  if (enter(IoCall::stat, fd)) return -1;
  Open* const open = find(fd);
  return open ? inodes_.at(open->number).born_ns : -1;
}

int SimDisk::make_directory(int directory, const std::string& path, mode_t mode) {
  if (enter(IoCall::mkdir, path_of(directory, path))) return -1;
  Place place;
  if (!walk(directory, path, place)) return -1;
  if (place.found != 0) return fail(EEXIST);
  if (inodes_.at(place.parent).removed) return fail(ENOENT);
  const Number made = add_inode(true, S_IFDIR | mode, place.parent);
  change_names(place.parent, {0, 0, {{place.name, made}}});
  return 0;
}

int SimDisk::mkdir(const std::string& path, mode_t mode) { return make_directory(AT_FDCWD, path, mode); }

int SimDisk::mkdirat(int directory, const std::string& name, mode_t mode) {
  return make_directory(directory, name, mode);
}

int SimDisk::move(int directory, const std::string& from, const std::string& to, bool replace) {
  if (enter(IoCall::rename, path_of(directory, from))) return -1;
  Place a, b;
  if (!walk(directory, from, a) || !walk(directory, to, b)) return -1;
  if (a.name.empty()) return fail(EBUSY);
  if (b.name.empty()) return fail(replace ? EBUSY : EEXIST);
  if (a.found == 0) return fail(ENOENT);
  if (b.found != 0 && !replace) return fail(EEXIST);
  const bool is_directory = inodes_.at(a.found).directory;
  if (!is_directory && (a.slash || b.slash)) return fail(ENOTDIR);
  for (Number up = b.parent; is_directory; up = inodes_.at(up).parent) {
    if (up == a.found) return fail(replace ? EINVAL : EPERM);  // EPERM: system_io() tries a link then
    if (up == 1) break;
  }
  for (Number up = a.parent; up != 1; up = inodes_.at(up).parent)
    if (up == b.found) return fail(ENOTEMPTY);
  if (a.found == b.found) return 0;
  if (b.found != 0) {
    const Inode& over = inodes_.at(b.found);
    if (is_directory && !over.directory) return fail(ENOTDIR);
    if (!is_directory && over.directory) return fail(EISDIR);
    if (over.directory && !over.now.empty()) return fail(ENOTEMPTY);
  }
  if (b.found == 0 && inodes_.at(b.parent).removed) return fail(ENOENT);
  if (b.found != 0) inodes_.at(b.found).removed = true;
  if (a.parent == b.parent) {
    change_names(a.parent, {0, 0, {{a.name, 0}, {b.name, a.found}}});
  } else {
    change_names(b.parent, {0, a.parent, {{b.name, a.found}}});
    --time_;
    change_names(a.parent, {0, b.parent, {{a.name, 0}}});
  }
  if (is_directory) inodes_.at(a.found).parent = b.parent;
  return 0;
}

int SimDisk::rename(const std::string& from, const std::string& to) { return move(AT_FDCWD, from, to, true); }

int SimDisk::rename_new(int directory, const std::string& from, const std::string& to) {
  return move(directory, from, to, false);
}

int SimDisk::rename_over(int directory, const std::string& from, const std::string& to) {
  return move(directory, from, to, true);
}

int SimDisk::unlinkat(int directory, const std::string& name) {
  if (enter(IoCall::unlink, path_of(directory, name))) return -1;
  Place place;
  if (!walk_to(directory, name, place)) return -1;
  if (place.name.empty()) return fail(EISDIR);
  if (place.found == 0) return fail(ENOENT);
  if (inodes_.at(place.found).directory) return fail(EISDIR);
  change_names(place.parent, {0, 0, {{place.name, 0}}});
  return 0;
}

int SimDisk::list(int directory, std::vector<std::string>& names) {
  if (enter(IoCall::list, directory)) return -1;
  Place place;
  if (!walk(directory, ".", place)) return -1;
  for (const auto& [name, number] : inodes_.at(place.found).now) names.push_back(name);
  return 0;
}

int SimDisk::close(int fd) {
  if (enter(IoCall::close, fd)) return -1;
  if (!find(fd)) return -1;
  open_.erase(fd);
  return 0;
}

}  // namespace weir::test
