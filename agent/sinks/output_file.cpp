#include "agent/sinks/output_file.h"

#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "agent/core/log.h"

namespace weir {
namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kRotationRetryNs = kSecond;
constexpr int kRotationNamesMax = 10'000;  ///< tried within one rotation

}  // namespace

Result<void> OutputFile::open_or_create() {
  const std::string& path = place_.path;
  const ScopedFd directory(setup_.io, open_directory(setup_.io, place_, true));
  if (!directory.ok()) return fail(system_error("cannot open the directory of", path));
  // O_NONBLOCK so that a fifo planted at the path cannot hold the worker; a regular file does not care.
  constexpr int flags = O_RDWR | O_APPEND | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;
  const std::string name(place_.name());
  fd_ = setup_.io.openat(directory.get(), name, flags, 0);
  if (fd_ < 0 && errno == ENOENT)
    fd_ = setup_.io.openat(directory.get(), name, flags | O_CREAT | O_EXCL, setup_.mode);
  if (fd_ >= 0) return {};
  if (errno == ELOOP)
    return fail("cannot open " + path + ": it is a symbolic link; give the path of the file itself");
  return fail(system_error("cannot open", path));
}

Result<void> OutputFile::open() {
  if (auto opened = open_or_create(); !opened) return opened;
  struct stat st;
  auto usable = check_and_begin(st);
  if (!usable) close();
  return usable;
}

Result<void> OutputFile::check_and_begin(struct stat& st) {
  const std::string& path = place_.path;
  if (setup_.io.fstat(fd_, &st) != 0) return fail(system_error("cannot look at", path));
  if (!S_ISREG(st.st_mode)) return fail(path + " is not a regular file; choose another path");
  if (st.st_uid != geteuid()) return fail(path + " belongs to another user; choose another path");
  if (st.st_nlink != 1) return fail(path + " has more than one hard link; choose another path");
  if (auto cut = cut_unfinished_line(st.st_size); !cut) return cut;
  if (st.st_size > 0 && setup_.io.fstat(fd_, &st) != 0) return fail(system_error("cannot look at", path));
  device_ = st.st_dev, inode_ = st.st_ino;
  size_ = uint64_t(st.st_size);
  begun_ns_ = setup_.clock.monotonic_ns();
  if (setup_.every_ns > 0 && size_ > 0) {
    const int64_t born = setup_.io.born_ns(fd_);
    if (born >= 0) begun_ns_ -= std::max<int64_t>(0, setup_.clock.wall_ns() - born);
  }
  return {};
}

/// What a crash left of a line would otherwise grow together with the next record: it goes to the quarantine.
/// Only what fits there is taken away; anything longer is ended where it is, because it may be somebody's
/// text.
Result<void> OutputFile::cut_unfinished_line(off_t size) {
  char tail[kQuarantineRawBytesMax];
  Io& io = setup_.io;
  size_t bytes = size_t(std::min<off_t>(size, sizeof tail));
  if (bytes == 0) return {};
  if (io.pread(fd_, tail, bytes, size - off_t(bytes)) != ssize_t(bytes))
    return fail(system_error("cannot read", place_.path));
  std::string_view text(tail, bytes);
  size_t lf = text.rfind('\n');
  if (lf == bytes - 1) return {};
  const bool fits = lf != text.npos || off_t(bytes) == size;
  text = text.substr(lf == text.npos ? 0 : lf + 1);
  bool kept = false;
  if (fits && setup_.quarantine) {
    setup_.quarantine->add_refusal(setup_.clock.wall_ns(), setup_.sink, "truncated",
                                   "unfinished last line found in " + place_.path, 0, text);
    kept = setup_.quarantine->flush();
  }
  if (kept) {
    if (io.ftruncate(fd_, size - off_t(text.size())) == 0) return {};
    return fail(system_error("cannot cut the unfinished last line of", place_.path));
  }
  log::warn("sink {}: {} does not end in a line feed; it gets one", setup_.sink, place_.path);
  iovec lf_part{const_cast<char*>("\n"), 1};
  if (io.writev(fd_, &lf_part, 1) == 1) return {};
  return fail(system_error("cannot write", place_.path));
}

void OutputFile::close() noexcept {
  if (fd_ >= 0) setup_.io.close(fd_);
  fd_ = -1, lines_since_open_ = 0, unsynced_ = false;
}

Result<void> OutputFile::follow() {
  struct stat st;
  if (fd_ < 0) return open();
  const bool there = setup_.io.lstat(place_.path, &st) == 0;
  if (there && st.st_dev == device_ && st.st_ino == inode_) {
    size_ = uint64_t(st.st_size);
    return {};
  }
  if (!there && errno != ENOENT && errno != ENOTDIR) return fail(system_error("cannot look at", place_.path));
  log::sampled(log::Level::info, "follow." + setup_.sink,
               "sink {}: {} was renamed or removed; it is opened anew", setup_.sink, place_.path);
  close();
  return open();
}

bool OutputFile::removed() const {
  struct stat st;
  return fd_ >= 0 && setup_.io.fstat(fd_, &st) == 0 && st.st_nlink == 0;
}

OutputFile::Appended OutputFile::append(std::span<const std::string_view> lines) {
  Appended out;
  while (out.lines < lines.size()) {
    const std::span rest = lines.subspan(out.lines);
    const auto too_long = [&] { return size_ > 0 && size_ + rest[0].size() > setup_.max_bytes; };
    const bool old = setup_.every_ns > 0 && setup_.clock.monotonic_ns() >= old_at_ns();
    if ((too_long() || old) &&
        removed()) {  // rotating would let go of the file that shows what is lost with it
      out.lines -= size_t(std::min<uint64_t>(out.lines, lines_since_open_));
      if (auto followed = follow(); !followed) return {out.lines, followed.error().message};
      continue;
    }
    if (auto rotated = rotate_if_old(); !rotated) return {out.lines, rotated.error().message};
    if (too_long() && may_rotate()) {
      if (auto rotated = rotate(); !rotated) return {out.lines, rotated.error().message};
    }
    // When a rotation is not possible just now, the file grows: better than losing anything.
    const bool limited = size_ == 0 || size_ + rest[0].size() <= setup_.max_bytes;
    auto& parts = setup_.parts;
    parts.clear();
    size_t count = 0;
    uint64_t bytes = 0;
    for (; count < rest.size(); ++count) {
      const std::string_view line = rest[count];
      if (count > 0 && limited && size_ + bytes + line.size() > setup_.max_bytes) break;
      const bool follows =
          count > 0 && static_cast<const char*>(parts.back().iov_base) + parts.back().iov_len == line.data();
      if (!follows && parts.size() == IOV_MAX) break;
      if (follows)
        parts.back().iov_len += line.size();
      else
        parts.push_back({const_cast<char*>(line.data()), line.size()});
      bytes += line.size();
    }
    if (size_ == 0) begun_ns_ = setup_.clock.monotonic_ns();
    size_t whole = 0;
    std::string error = write_parts(rest.first(count), whole);
    out.lines += whole, lines_since_open_ += whole;
    if (whole > 0) unsynced_ = true;
    if (!error.empty()) return {out.lines, std::move(error)};
  }
  return out;
}

/// Writes what parts hold, which is `lines`; `whole`: how many of them are in the file.
std::string OutputFile::write_parts(std::span<const std::string_view> lines, size_t& whole) {
  auto& parts = setup_.parts;
  size_t written = 0;
  for (size_t i = 0; i < parts.size();) {
    const ssize_t n = setup_.io.writev(fd_, parts.data() + i, int(parts.size() - i));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      std::string error = system_error("cannot write", place_.path);
      size_t whole_bytes = 0;
      while (whole < lines.size() && whole_bytes + lines[whole].size() <= written)
        whole_bytes += lines[whole++].size();
      size_ += whole_bytes;
      if (written > whole_bytes) cut_back(written - whole_bytes);
      return error;
    }
    written += size_t(n);
    for (size_t bytes = size_t(n); bytes > 0;) {
      const size_t step = std::min(bytes, parts[i].iov_len);
      parts[i].iov_base = static_cast<char*>(parts[i].iov_base) + step;
      parts[i].iov_len -= step;
      bytes -= step;
      if (parts[i].iov_len == 0) ++i;
    }
  }
  whole = lines.size();
  size_ += written;
  return {};
}

/// The file never ends in a part of a line.
void OutputFile::cut_back(size_t bytes) {
  struct stat st;
  if (setup_.io.fstat(fd_, &st) == 0) setup_.io.ftruncate(fd_, st.st_size - off_t(bytes));
}

bool OutputFile::may_rotate() const { return setup_.clock.monotonic_ns() >= no_rotation_until_ns_; }

int64_t OutputFile::old_at_ns() const {
  if (setup_.every_ns == 0 || size_ == 0 || fd_ < 0) return INT64_MAX;
  return std::max(begun_ns_ + setup_.every_ns, no_rotation_until_ns_);
}

Result<void> OutputFile::rotate_if_old() {
  if (setup_.every_ns == 0 || setup_.clock.monotonic_ns() < old_at_ns()) return {};
  return rotate();
}

void OutputFile::rotate_when_old() {
  if (auto rotated = rotate_if_old(); !rotated)  // the next batch opens it, or says why it cannot
    log::sampled(log::Level::error, "rotate." + setup_.sink, "sink {}: {}", setup_.sink,
                 rotated.error().message);
}

/// Gives the file its rotated name and begins a new one. An error: there is no file open.
Result<void> OutputFile::rotate() {
  if (auto followed = follow(); !followed) {
    close();
    return followed;
  }
  if (size_ == 0) return {};  // it was renamed by somebody else just now
  if (std::string error = setup_.sync ? sync() : ""; !error.empty()) {
    close();
    return fail(error);
  }
  {
    const ScopedFd directory(setup_.io, open_directory(setup_.io, place_, false));
    if (!directory.ok())
      return complain(system_error("cannot open the directory of", place_.path)), Result<void>();
    if (!set_aside(directory.get())) return {};
  }
  close();
  if (setup_.rotated) setup_.rotated(place_);
  return open();
}

bool OutputFile::set_aside(int directory) {
  const std::string name(place_.name());
  for (int i = 0; i < kRotationNamesMax; ++i) {
    const auto [stamp, number] = setup_.numbers.next(setup_.clock.wall_ns());
    const std::string to = rotated_name(name, stamp, number);
    struct stat st;
    const auto exists = [&](const std::string& other) {
      return setup_.io.fstatat(directory, other, &st) == 0 || errno != ENOENT;
    };
    // A name is never used twice: neither that of a file which has become a compressed one meanwhile.
    if (exists(to + ".zst") || exists(to + ".gz")) continue;
    if (setup_.io.rename_new(directory, name, to) == 0) return true;
    if (errno == EEXIST) continue;
    complain(system_error("cannot rename", place_.path));
    return false;
  }
  complain("no free name for the rotated file of " + place_.path);
  return false;
}

void OutputFile::complain(const std::string& what) {
  no_rotation_until_ns_ = setup_.clock.monotonic_ns() + kRotationRetryNs;
  log::sampled(log::Level::error, "rotate." + setup_.sink,
               "sink {}: not rotated: {}; the file grows on, next attempt in a second", setup_.sink, what);
}

std::string OutputFile::sync() {
  if (fd_ < 0 || !unsynced_) return {};
  if (setup_.io.fdatasync(fd_) != 0) return system_error("cannot fdatasync", place_.path);
  unsynced_ = false;
  return {};
}

}  // namespace weir
