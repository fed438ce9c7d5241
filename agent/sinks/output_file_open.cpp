#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "agent/core/log.h"
#include "agent/sinks/output_file.h"

/// How an output file comes to be open: what may stand at its path, and what a crash or others left there.
namespace weir {
namespace {

constexpr size_t kDirectoriesMax = 1024;  ///< remembered as synced

}  // namespace

OutputFile::OutputFile(OutputFileSetup& setup, FilePlace place) : setup_(setup), place_(std::move(place)) {
  mark_.path = place_.path;
}

void OutputFile::expect(const FileMark& mark, bool same_boot) {
  mark_ = mark, has_mark_ = true, same_boot_ = same_boot;
  unsynced_ = true;
}

Result<void> OutputFile::open_or_create() {
  const std::string& path = place_.path;
  if (names_unsynced_)
    if (auto synced = sync_names(); !synced) return synced;
  ScopedFd directory(setup_.io, open_directory(setup_.io, place_, false));
  if (!directory.ok() && errno == ENOENT) {
    directory.reset(open_directory(setup_.io, place_, true));
    setup_.directories_synced.erase(directory_of(path));
  }
  if (!directory.ok()) return fail(system_error("cannot open the directory of", path));
  // O_NONBLOCK so that a fifo planted at the path cannot hold the worker; a regular file does not care.
  constexpr int flags = O_RDWR | O_APPEND | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;
  const std::string name(place_.name());
  fd_ = setup_.io.openat(directory.get(), name, flags, 0);
  if (fd_ < 0 && errno == ENOENT) {
    fd_ = setup_.io.openat(directory.get(), name, flags | O_CREAT | O_EXCL, setup_.mode);
    names_unsynced_ = true;
  }
  if (fd_ < 0 && errno == ELOOP)
    return fail("cannot open " + path + ": it is a symbolic link; give the path of the file itself");
  if (fd_ < 0) return fail(system_error("cannot open", path));
  return sync_names();
}

/// What is written to must not lose its name in a power cut, nor its directories, whoever made them.
Result<void> OutputFile::sync_names() {
  if (!setup_.keep) return {};
  auto& done = setup_.directories_synced;
  const std::string path = directory_of(place_.path);
  int result = 0;
  if (!done.contains(path)) {
    result = sync_directories(setup_.io, place_);
  } else if (names_unsynced_) {
    const ScopedFd directory(setup_.io, open_directory(setup_.io, place_, false));
    result = directory.ok() ? sync_directory(setup_.io, directory.get()) : errno == ENOENT ? 0 : -1;
  }
  if (result != 0) {
    done.erase(path);  // also for who opens the file next
    return fail(system_error("cannot sync the directories of", place_.path));
  }
  if (done.size() == kDirectoriesMax) done.clear();
  done.insert(path);
  names_unsynced_ = false;
  return {};
}

Result<void> OutputFile::open() {
  struct stat st;
  auto opened = open_or_create();
  if (opened) opened = check(st);
  if (opened) opened = has_mark_ ? go_on_from_mark(st) : cut_unfinished_line(st.st_size);
  if (opened) opened = begin(st);
  if (!opened && fd_ >= 0) setup_.io.close(std::exchange(fd_, -1));  // what it held is as unsynced as before
  return opened;
}

Result<void> OutputFile::check(struct stat& st) {
  const std::string& path = place_.path;
  if (setup_.io.fstat(fd_, &st) != 0) return fail(system_error("cannot look at", path));
  if (!S_ISREG(st.st_mode)) return fail(path + " is not a regular file; choose another path");
  if (st.st_uid != geteuid()) return fail(path + " belongs to another user; choose another path");
  if (st.st_nlink != 1) return fail(path + " has more than one hard link; choose another path");
  return {};
}

/// Takes note of what the file is now.
Result<void> OutputFile::begin(struct stat& st) {
  if (st.st_size > 0 && setup_.io.fstat(fd_, &st) != 0)
    return fail(system_error("cannot look at", place_.path));
  const bool ours = has_mark_ && mark_.inode == st.st_ino;
  mark_.device = st.st_dev, mark_.inode = st.st_ino;
  size_ = uint64_t(st.st_size);
  mark_.synced = ours ? std::min(mark_.synced, size_) : size_;
  if (!ours) mark_.sync_failed = false;
  begun_ns_ = setup_.clock.monotonic_ns();
  if (setup_.every_ns > 0 && size_ > 0) {
    const int64_t born = setup_.io.born_ns(fd_);
    if (born >= 0) begun_ns_ -= std::max<int64_t>(0, setup_.clock.wall_ns() - born);
  }
  if (!setup_.keep) return {};
  mark_.born = uint64_t(setup_.io.born_ns(fd_));
  if (!read_tail()) return fail(system_error("cannot read", place_.path));
  settle();
  has_mark_ = same_boot_ = true;
  in_checkpoint_ = false;
  unsynced_ = true;  // who wrote it last may have had no time for that
  return {};
}

bool OutputFile::read_tail() {
  char tail[kMarkTailBytesMax];
  tail_bytes_ = std::min<uint64_t>(size_, sizeof tail);
  if (tail_bytes_ > 0 &&
      setup_.io.pread(fd_, tail, tail_bytes_, off_t(size_ - tail_bytes_)) != ssize_t(tail_bytes_))
    return false;
  tail_sum_ = tail_sum({tail, tail_bytes_});
  return true;
}

/// What lies at the path, against what is known of the file that was there (delivery.md section 2).
Result<void> OutputFile::go_on_from_mark(struct stat& st) {
  const uint64_t size = uint64_t(st.st_size);
  const ScopedFd directory(setup_.io, open_directory(setup_.io, place_, false));
  if (!directory.ok()) return fail(system_error("cannot open the directory of", place_.path));
  switch (match_mark(setup_.io, directory.get(), fd_, mark_, same_boot_)) {
    case MarkMatch::exact:
      return {};
    case MarkMatch::longer:
      log::info("sink {}: {}: its last {} bytes are cut off, their records come again", setup_.sink,
                place_.path, size - mark_.bytes);
      if (setup_.io.ftruncate(fd_, off_t(mark_.bytes)) == 0) return {};
      return fail(system_error("cannot cut", place_.path));
    case MarkMatch::shorter:
      log::warn("sink {}: {} has lost its last {} bytes; it is continued at its end", setup_.sink,
                place_.path, mark_.bytes - size);
      return same_boot_ ? cut_unfinished_line(st.st_size) : cut_to_last_line(st.st_size);
    case MarkMatch::failed:
      return fail(system_error("cannot read", place_.path));
    case MarkMatch::other:
      break;
  }
  // An empty one was begun by a rotation that a crash ended, or by who has renamed ours.
  return size == 0 ? Result<void>() : set_foreign_aside(st);
}

/// Somebody else's file is never written to and never cut.
Result<void> OutputFile::set_foreign_aside(struct stat& st) {
  std::string to;
  {
    const ScopedFd directory(setup_.io, open_directory(setup_.io, place_, false));
    if (!directory.ok()) return fail(system_error("cannot open the directory of", place_.path));
    look_for_own(directory.get());
    if (const std::string error = set_aside(directory.get(), to); !error.empty())
      return fail("another file lies at the path: move it away; " + error);
  }
  log::warn(
      "sink {}: {} is not the file that this sink has written, or somebody else has changed it; it is kept "
      "as {} beside it, and a new one begun. Only this sink should write to its file; to set it aside, "
      "rename it",
      setup_.sink, place_.path, to);
  names_unsynced_ = true;
  close();
  if (auto opened = open_or_create(); !opened) return opened;
  return check(st);
}

/// Of a file that others have renamed after it was last known, what lies behind the mark may come again.
void OutputFile::look_for_own(int directory) {
  std::vector<std::string> names;
  if (setup_.io.list(directory, names) != 0) return;
  for (const std::string& name : names) {
    struct stat st;
    if (setup_.io.fstatat(directory, name, &st) != 0 || st.st_ino != mark_.inode) continue;
    if (uint64_t(st.st_size) > mark_.bytes)
      log::warn(
          "sink {}: {} beside {} is the file that this sink has written, {} bytes longer than what is "
          "known of it; they may be records that are written again",
          setup_.sink, name, place_.path, uint64_t(st.st_size) - mark_.bytes);
  }
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

/// After a power cut: what the last line was comes again.
Result<void> OutputFile::cut_to_last_line(off_t size) {
  char chunk[4096];
  off_t end = size;  // no line feed lies behind it
  while (end > 0) {
    const size_t bytes = size_t(std::min<off_t>(end, sizeof chunk));
    if (setup_.io.pread(fd_, chunk, bytes, end - off_t(bytes)) != ssize_t(bytes))
      return fail(system_error("cannot read", place_.path));
    const size_t lf = std::string_view(chunk, bytes).rfind('\n');
    if (lf != std::string_view::npos) {
      end -= off_t(bytes - lf - 1);
      break;
    }
    end -= off_t(bytes);
  }
  if (end == size || setup_.io.ftruncate(fd_, end) == 0) return {};
  return fail(system_error("cannot cut the unfinished last line of", place_.path));
}

}  // namespace weir
