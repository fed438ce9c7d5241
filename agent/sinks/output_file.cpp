#include "agent/sinks/output_file.h"

#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "agent/core/check.h"
#include "agent/core/log.h"

namespace weir {
namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kRotationRetryNs = kSecond;
constexpr int kRotationNamesMax = 10'000;  ///< tried within one rotation

}  // namespace

void OutputFile::close() noexcept {
  if (fd_ < 0) return;
  if (setup_.keep) {
    // After this nobody could make it durable, should it get another name.
    if (const std::string error = sync(); !error.empty()) log::warn("sink {}: {}", setup_.sink, error);
  } else {
    unsynced_ = false;
  }
  setup_.io.close(fd_);
  fd_ = -1, lines_since_open_ = 0, in_checkpoint_ = false;
}

Result<void> OutputFile::follow() {
  struct stat st;
  if (fd_ < 0) return open();
  const bool there = setup_.io.lstat(place_.path, &st) == 0;
  if (there && st.st_dev == mark_.device && st.st_ino == mark_.inode)
    return notice_size(uint64_t(st.st_size));
  if (!there && errno != ENOENT && errno != ENOTDIR) return fail(system_error("cannot look at", place_.path));
  log::sampled(log::Level::info, "follow." + setup_.sink,
               "sink {}: {} was renamed or removed; it is opened anew", setup_.sink, place_.path);
  if (const std::string error = setup_.sync || setup_.keep ? sync() : ""; !error.empty()) return fail(error);
  close();
  return open();
}

/// Others may append to it, or truncate it.
Result<void> OutputFile::notice_size(uint64_t size) {
  if (size == size_) return {};
  if (!setup_.keep) {
    size_ = size;
    return {};
  }
  log::sampled(
      log::Level::warn, "size." + setup_.sink,
      "sink {}: somebody else has {} {}: it had {} bytes and now has {}; it is continued at its end. "
      "Only this sink should write to it",
      setup_.sink, size > size_ ? "appended to" : "truncated", place_.path, size_, size);
  size_ = size;
  mark_.synced = std::min(mark_.synced, size_);
  if (!read_tail()) return fail(system_error("cannot read", place_.path));
  settle();
  in_checkpoint_ = false;
  return {};
}

bool OutputFile::removed() const {
  struct stat st;
  return fd_ >= 0 && setup_.io.fstat(fd_, &st) == 0 && st.st_nlink == 0;
}

OutputFile::Appended OutputFile::append(std::span<const std::string_view> lines) {
  Appended out;
  if (setup_.keep && !in_checkpoint_) {
    if (std::string error = setup_.keep(); !error.empty()) return {0, std::move(error)};
  }
  while (out.lines < lines.size()) {
    const std::span rest = lines.subspan(out.lines);
    bool limited = false;
    if (!setup_.keep) {
      const auto too_long = [&] { return size_ > 0 && size_ + rest[0].size() > setup_.max_bytes; };
      const bool old = setup_.every_ns > 0 && setup_.clock.monotonic_ns() >= old_at_ns();
      if ((too_long() || old) &&
          removed()) {  // rotating would let go of the file that shows what is lost with it
        out.lines -= size_t(std::min<uint64_t>(out.lines, lines_since_open_));
        if (auto followed = follow(); !followed) return {out.lines, followed.error().message};
        continue;
      }
      if (auto rotated = rotate_if_due(rest[0].size()); !rotated) return {out.lines, rotated.error().message};
      // When a rotation is not possible just now, the file grows: better than losing anything.
      limited = size_ == 0 || size_ + rest[0].size() <= setup_.max_bytes;
    }
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
    if (setup_.keep && whole > 0) {
      const std::string_view last = rest[whole - 1];
      const std::string_view tail = last.substr(last.size() - std::min(last.size(), kMarkTailBytesMax));
      tail_bytes_ = tail.size(), tail_sum_ = tail_sum(tail);
    }
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

void OutputFile::take_back(uint64_t bytes) {
  size_ -= std::min(bytes, size_ - mark_.bytes);  // some of it may be in a file that was removed meanwhile
  mark_.synced = std::min(mark_.synced, size_);
  if (fd_ >= 0 && setup_.io.ftruncate(fd_, off_t(size_)) == 0 && read_tail()) return;
  tail_bytes_ = 0;
  close();  // what is too much is cut off when it is opened again
}

void OutputFile::settle() { mark_.bytes = size_, mark_.tail_bytes = tail_bytes_, mark_.tail_sum = tail_sum_; }

bool OutputFile::may_rotate() const { return setup_.clock.monotonic_ns() >= no_rotation_until_ns_; }

int64_t OutputFile::old_at_ns() const {
  if (setup_.every_ns == 0 || size_ == 0 || fd_ < 0) return INT64_MAX;
  return std::max(begun_ns_ + setup_.every_ns, no_rotation_until_ns_);
}

Result<void> OutputFile::rotate_if_due(uint64_t next_bytes) {
  if (auto rotated = rotate_if_old(); !rotated) return rotated;
  const bool too_long = size_ > 0 && size_ + next_bytes > setup_.max_bytes;
  return too_long && may_rotate() ? rotate() : Result<void>();
}

uint64_t OutputFile::room() const {
  if (!may_rotate()) return UINT64_MAX;  // it grows
  return setup_.max_bytes - std::min(size_, setup_.max_bytes);
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
  if (setup_.keep) {
    // From here on the file is whole for good: nothing in it ever comes again.
    WEIR_CHECK(size_ == mark_.bytes);
    if (const std::string error = setup_.keep(); !error.empty()) return complain(error), Result<void>();
  } else if (const std::string error = setup_.sync ? sync() : ""; !error.empty()) {
    close();
    return fail(error);
  }
  {
    const ScopedFd directory(setup_.io, open_directory(setup_.io, place_, false));
    if (!directory.ok())
      return complain(system_error("cannot open the directory of", place_.path)), Result<void>();
    std::string to;
    if (const std::string error = set_aside(directory.get(), to); !error.empty())
      return complain(error), Result<void>();
  }
  names_unsynced_ = true;
  close();
  if (setup_.rotated) setup_.rotated(place_);
  return open();
}

/// Renames what is at the path; `to` is its new name. Empty, or the error.
std::string OutputFile::set_aside(int directory, std::string& to) {
  const std::string name(place_.name());
  pass_rotated_names(directory);
  for (int i = 0; i < kRotationNamesMax; ++i) {
    const auto [stamp, number] = setup_.numbers.next(setup_.clock.wall_ns());
    to = rotated_name(name, stamp, number);
    struct stat st;
    const auto exists = [&](const std::string& other) {
      return setup_.io.fstatat(directory, other, &st) == 0 || errno != ENOENT;
    };
    // A name is never used twice: neither that of a file which has become a compressed one meanwhile.
    if (exists(to + ".zst") || exists(to + ".gz")) continue;
    if (setup_.io.rename_new(directory, name, to) == 0) return {};
    if (errno == EEXIST) continue;
    return system_error("cannot rename", place_.path);
  }
  return "no free name for the rotated file of " + place_.path;
}

/// After a clock that went back between two lives, new names must still be the last, because the first go
/// first.
void OutputFile::pass_rotated_names(int directory) {
  std::vector<std::string> names;
  if (std::exchange(names_passed_, true) || setup_.io.list(directory, names) != 0) return;
  RotatedName parsed;
  for (const std::string& name : names)
    if (parse_rotated_name(name, parsed) && parsed.base == place_.name())
      setup_.numbers.pass(parsed.stamp, parsed.number);
}

void OutputFile::complain(const std::string& what) {
  no_rotation_until_ns_ = setup_.clock.monotonic_ns() + kRotationRetryNs;
  log::sampled(log::Level::error, "rotate." + setup_.sink,
               "sink {}: not rotated: {}; the file grows on, next attempt in a second", setup_.sink, what);
}

std::string OutputFile::sync() {
  if (!unsynced_) return {};
  if (fd_ < 0) return "cannot fdatasync " + place_.path + ": it is not open";
  if (mark_.sync_failed && setup_.keep) {
    if (std::string error = sync_again(); !error.empty()) return error;
  } else if (setup_.io.fdatasync(fd_) != 0) {
    mark_.sync_failed = true;
    return system_error("cannot fdatasync", place_.path);
  }
  mark_.synced = size_;
  unsynced_ = false;
  return {};
}

/// Our descriptor appends whatever offset is asked for, so another one is needed.
std::string OutputFile::sync_again() {
  const ScopedFd directory(setup_.io, open_directory(setup_.io, place_, false));
  const ScopedFd file(setup_.io, directory.ok()
                                     ? setup_.io.openat(directory.get(), std::string(place_.name()),
                                                        O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0)
                                     : -1);
  struct stat st;
  if (!file.ok() || setup_.io.fstat(file.get(), &st) != 0) return system_error("cannot open", place_.path);
  if (st.st_dev != mark_.device || st.st_ino != mark_.inode)
    return place_.path + " was renamed, and what could not be synced cannot be written again";
  if (sync_to_end(setup_.io, file.get(), mark_, size_) == 0) return {};
  return system_error("cannot write again what could not be synced of", place_.path);
}

}  // namespace weir
