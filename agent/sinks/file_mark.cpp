#include "agent/sinks/file_mark.h"

#include <algorithm>
#include <cerrno>
#include <memory>

#include "agent/sinks/state_text.h"

namespace weir {
namespace {

struct Number {
  const char* name;
  uint64_t FileMark::*member;
};
constexpr Number kNumbers[] = {{"device", &FileMark::device},     {"inode", &FileMark::inode},
                               {"bytes", &FileMark::bytes},       {"tail_bytes", &FileMark::tail_bytes},
                               {"tail_sum", &FileMark::tail_sum}, {"born", &FileMark::born},
                               {"synced", &FileMark::synced}};

constexpr size_t kChunkBytes = 64 << 10;

/// Was it made at another time, as far as the file system knows? Where it does not, Io::born_ns() says when a
/// file was last written to, of a directory too.
MarkMatch match_birth(Io& io, int directory, int fd, const FileMark& mark) {
  struct stat st;
  const int64_t directory_born = io.born_ns(directory), born = io.born_ns(fd);
  if (directory_born < 0 || born < 0 || io.fstat(directory, &st) != 0) return MarkMatch::failed;
  const bool known = directory_born != st.st_mtim.tv_sec * 1'000'000'000 + st.st_mtim.tv_nsec;
  return known && mark.born != 0 && uint64_t(born) != mark.born ? MarkMatch::other : MarkMatch::exact;
}

}  // namespace

uint64_t tail_sum(std::string_view tail) {
  uint64_t sum = 0xcbf29ce484222325;
  for (const char c : tail) sum = (sum ^ uint8_t(c)) * 0x100000001b3;
  return sum;
}

std::string marks_text(const std::vector<FileMark>& marks) {
  std::string out = R"({"files":[)";
  for (const FileMark& mark : marks) {
    out += out.back() == '[' ? R"({"path":)" : R"(,{"path":)";
    json::append_quoted(out, mark.path);
    for (const Number& number : kNumbers) {
      ((out += ",\"") += number.name) += "\":";
      state_text::append_number(out, mark.*number.member);
    }
    out += '}';
  }
  return out + "]}";
}

std::vector<FileMark> read_marks(std::string_view text) {
  std::vector<FileMark> marks;
  state_text::for_each(state_text::member(text, "files"), [&](auto, std::string_view object) {
    FileMark& mark = marks.emplace_back();
    mark.path = state_text::string(state_text::member(object, "path"));
    mark.sync_failed = true;
    for (const Number& number : kNumbers)
      mark.*number.member = state_text::number(state_text::member(object, number.name));
  });
  return marks;
}

MarkMatch match_mark(Io& io, int directory, int fd, const FileMark& mark, bool same_boot) {
  struct stat st;
  if (io.fstat(fd, &st) != 0) return MarkMatch::failed;
  if (st.st_ino != mark.inode || (same_boot && st.st_dev != mark.device)) return MarkMatch::other;
  if (uint64_t(st.st_size) < mark.bytes) return MarkMatch::shorter;
  char tail[kMarkTailBytesMax];
  const size_t bytes = std::min<size_t>(mark.tail_bytes, sizeof tail);
  if (bytes > 0) {
    if (io.pread(fd, tail, bytes, off_t(mark.bytes - bytes)) != ssize_t(bytes)) return MarkMatch::failed;
    if (tail_sum({tail, bytes}) != mark.tail_sum) return MarkMatch::other;
  } else if (st.st_size > 0) {
    if (const MarkMatch birth = match_birth(io, directory, fd, mark); birth != MarkMatch::exact) return birth;
  }
  return uint64_t(st.st_size) > mark.bytes ? MarkMatch::longer : MarkMatch::exact;
}

int sync_to_end(Io& io, int fd, FileMark& mark, uint64_t bytes) {
  const bool again = mark.sync_failed && mark.synced < bytes;
  const auto chunk = again ? std::make_unique<char[]>(kChunkBytes) : nullptr;
  for (uint64_t at = mark.synced; again && at < bytes;) {
    const ssize_t n = io.pread(fd, chunk.get(), std::min<uint64_t>(kChunkBytes, bytes - at), off_t(at));
    if (n == 0) errno = EIO;
    if (n <= 0) return -1;
    const iovec part{chunk.get(), size_t(n)};
    const ssize_t written = io.pwritev(fd, &part, 1, off_t(at));
    if (written <= 0) return -1;
    at += uint64_t(written);
  }
  // Its length may be for clean, too.
  if (again && (io.ftruncate(fd, off_t(bytes + 1)) != 0 || io.ftruncate(fd, off_t(bytes)) != 0)) return -1;
  mark.sync_failed = io.fdatasync(fd) != 0;
  if (mark.sync_failed) return -1;
  mark.synced = bytes;
  return 0;
}

}  // namespace weir
