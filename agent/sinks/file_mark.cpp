#include "agent/sinks/file_mark.h"

#include <algorithm>

#include "agent/sinks/state_text.h"

namespace weir {
namespace {

struct Number {
  const char* name;
  uint64_t FileMark::*member;
};
constexpr Number kNumbers[] = {{"device", &FileMark::device},
                               {"inode", &FileMark::inode},
                               {"bytes", &FileMark::bytes},
                               {"tail_bytes", &FileMark::tail_bytes},
                               {"tail_sum", &FileMark::tail_sum}};

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
    for (const Number& number : kNumbers)
      mark.*number.member = state_text::number(state_text::member(object, number.name));
  });
  return marks;
}

MarkMatch match_mark(Io& io, int fd, const struct stat& st, const FileMark& mark, bool same_boot) {
  if (st.st_ino != mark.inode || (same_boot && st.st_dev != mark.device)) return MarkMatch::other;
  if (uint64_t(st.st_size) < mark.bytes) return MarkMatch::shorter;
  char tail[kMarkTailBytesMax];
  const size_t bytes = std::min<size_t>(mark.tail_bytes, sizeof tail);
  if (bytes > 0) {
    if (io.pread(fd, tail, bytes, off_t(mark.bytes - bytes)) != ssize_t(bytes)) return MarkMatch::failed;
    if (tail_sum({tail, bytes}) != mark.tail_sum) return MarkMatch::other;
  }
  return uint64_t(st.st_size) > mark.bytes ? MarkMatch::longer : MarkMatch::exact;
}

}  // namespace weir
