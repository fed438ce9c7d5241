// floor: the least that the agent's work can cost, for comparison. One thread reads, checks every record as
// the agent does (bench/floor_walk.h), routes it by its stream, and with --diff cuts the contexts of traces
// to the listed keys and appends their diff as `context_diff: {mode: whitelist}` does. No journal, no reload,
// no acknowledgements, no counters but one; what it has nothing for (arrays of records, the light form of
// contexts, values that may be equal though they are spelled differently, strings that would be cut) ends it
// with a message, so that it is never faster by silence. Its files are those of the agent byte for byte:
// ./dev bench verify.
//   floor [--diff KEY,KEY...] unix:PATH|tcp:PORT STREAM=FILE...      ends on SIGTERM and prints how many it
//   refused
#include <optional>

#include "bench/floor_shape.h"
#include "bench/receiver.h"

namespace {

using namespace bench;

constexpr size_t kRecordBytesMax = 256 << 10;
constexpr size_t kChunkBytes = 32 << 10;  // so that a chunk and its tokens stay in the cache
constexpr ptrdiff_t kUncutBytes = 258;    // longer values may hold a string of more than 256 code points

/// Do two values of one key differ? Absent is null.
bool differ(Part before, Part after) {
  const std::string_view b = before.begin ? before.text() : "null", a = after.begin ? after.text() : "null";
  if (b == a) return false;
  const Type type = type_of(b[0]);
  if (type != type_of(a[0])) return true;
  if (type == kObject || type == kArray) beyond("contexts whose objects or arrays differ");
  const char* unsure = type == kString ? "\\" : ".eE-";
  if ((type == kString || type == kNumber) &&
      (b.find_first_of(unsure) != b.npos || a.find_first_of(unsure) != a.npos))
    beyond("values that may be equal though they are spelled differently");
  return true;
}

class Floor {
 public:
  Floor(std::optional<std::vector<std::string>> listed, std::vector<int> (&files)[kStreams])
      : diff_(listed), listed_(listed.value_or(std::vector<std::string>())), walk_(listed_), files_(files) {
    for (const std::string& key : listed_)
      quoted_.push_back("\"" + key + "\":{\"before\":" + std::string(kSpareBytes, ' '));
  }

  void on_lines(char* begin, size_t bytes) {
    if (diff_ && rendered_.size() < 3 * bytes + kSpareBytes) rendered_.resize(3 * bytes + kSpareBytes);
    out_ = rendered_.data();
    char* const end = begin + bytes;
    while (begin < end) {
      char* stop = begin + std::min(size_t(end - begin), kChunkBytes);
      if (stop < end) {
        char* const lf = static_cast<char*>(memrchr(begin, '\n', size_t(stop - begin)));
        stop = (lf ? lf : static_cast<char*>(std::memchr(stop, '\n', size_t(end - stop)))) + 1;
      }
      const char behind = *stop;
      if (walk_.index(begin, size_t(stop - begin)))
        lines(begin, stop);
      else
        one_by_one(begin, stop);
      *stop = behind;
      begin = stop;
    }
    write_out();
  }
  size_t refused() const { return refused_; }

 private:
  void lines(const char* begin, const char* end) {
    while (begin < end) begin = line(begin, static_cast<const char*>(end)) + 1;
  }
  /// A chunk in which some line breaks what lies behind it.
  void one_by_one(char* begin, char* end) {
    while (begin < end) {
      char* const next = static_cast<char*>(std::memchr(begin, '\n', size_t(end - begin))) + 1;
      const char behind = *next;
      if (walk_.index(begin, size_t(next - begin)))
        line(begin, next);
      else if (std::string_view(begin, size_t(next - begin)).find_first_not_of(" \t\r\n") !=
               std::string_view::npos)
        ++refused_;
      *next = behind;
      begin = next;
    }
  }

  /// The line at `begin`; returns its line feed.
  const char* line(const char* begin, const char* end) {
    Shape& shape = shapes_.of(begin);
    if (*begin == '{')
      if (const Found* found = shape.match(walk_)) {
        const char* const lf = found->brace + 1;
        take(begin, lf, *found);
        return lf;
      }
    const char* const lf = static_cast<const char*>(std::memchr(begin, '\n', size_t(end - begin)));
    if (walk_.blank(lf)) return lf;
    const Walk::Token first = walk_.next();
    const bool cr = lf > begin && lf[-1] == '\r';
    if (size_t(lf - begin) - cr > kRecordBytesMax) {
      ++refused_;
      walk_.skip(lf);
    } else if (walk_.record(lf, found_)) {
      if (cr) beyond("carriage returns");
      if (*begin == '{' && found_.brace + 1 == lf) shape.learn(begin, found_, uint32_t(walk_.next() - first));
      take(begin, lf, found_);
    } else {
      ++refused_;
    }
    return lf;
  }

  void take(const char* begin, const char* lf, const Found& found) {
    if (diff_ && found.stream == 0 && (found.before.object || found.after.object))
      cut(begin, lf, found);
    else
      add(found.stream, begin, size_t(lf + 1 - begin));
  }

  /// The line stays where it is until write_out().
  void add(int stream, const char* begin, size_t bytes) {
    std::vector<iovec>& parts = parts_[stream];
    if (!parts.empty() && static_cast<char*>(parts.back().iov_base) + parts.back().iov_len == begin)
      parts.back().iov_len += bytes;
    else
      parts.push_back({const_cast<char*>(begin), bytes});
  }

  /// Where the next byte of rendered_ goes. Short texts are copied in one step that may take along what lies
  /// behind them; there is room for that.
  struct Writer {
    char* at;
    void put(char c) { *at++ = c; }
    void put(const char* begin, const char* end) {
      const auto size = size_t(end - begin);
      std::memcpy(at, begin, size <= kSpareBytes / 2 ? kSpareBytes / 2 : size);
      at += size;
    }
    void put(Part part) { put(part.begin, part.end); }
    template <size_t kSize>
    void put(const char (&text)[kSize]) {
      std::memcpy(at, text, kSize - 1);
      at += kSize - 1;
    }
  };

  /// The line with its contexts cut and their diff behind all that was sent.
  void cut(const char* line, const char* lf, const Found& found) {
    Writer out{out_};
    const bool both = found.before.value.begin && found.after.value.begin;
    const auto* first = &found.before;
    const auto* second = &found.after;
    if (both && second->value.begin < first->value.begin) std::swap(first, second);
    for (const auto* side : {first, second}) {
      if (!side->object) continue;
      out.put(line, side->value.begin);
      out = put_kept(out, *side);
      line = side->value.end;
    }
    out.put(line, found.brace);
    if (both) out = put_diff(out, found);
    out.put(found.brace, lf + 1);
    add(found.stream, out_, size_t(out.at - out_));
    out_ = out.at;
  }

  /// Neighbours go together.
  static Writer put_kept(Writer out, const Found::Context& side) {
    out.put('{');
    for (size_t i = 0; i < side.kept.size();) {
      if (i > 0) out.put(',');
      const char* const begin = side.kept[i].begin;
      const char* end;
      do {
        if (side.kept[i].end - side.kept[i].value > kUncutBytes) beyond("long values in a context");
        end = side.kept[i].end;
      } while (++i < side.kept.size() && *end == ',' && side.kept[i].begin == end + 1);
      out.put(begin, end);
    }
    out.put('}');
    return out;
  }

  /// By the entry of the list.
  void find_values(const Found::Context& side, std::vector<Part>& values) {
    values.assign(listed_.size(), {});
    if (side.object)
      for (const Kept& kept : side.kept) values[size_t(kept.entry)] = {kept.value, kept.end};
  }

  /// The keys are listed in order, so their changes are.
  Writer put_diff(Writer out, const Found& found) {
    find_values(found.before, before_);
    find_values(found.after, after_);
    out.put(",\"ctx_diff\":");
    char separator = '{';
    for (size_t i = 0; i < listed_.size(); ++i) {
      const Part before = before_[i], after = after_[i];
      if (!differ(before, after)) continue;
      out.put(separator);
      separator = ',';
      out.put(quoted_[i].data(), quoted_[i].data() + quoted_[i].size() - kSpareBytes);
      before.begin ? out.put(before) : out.put("null");
      out.put(",\"after\":");
      after.begin ? out.put(after) : out.put("null");
      out.put('}');
    }
    if (separator == '{') out.put('{');
    out.put('}');
    return out;
  }

  void write_out() {
    for (int stream = 0; stream < kStreams; ++stream) {
      if (parts_[stream].empty()) continue;
      for (int file : files_[stream]) {
        written_ = parts_[stream];
        write_all(file, written_);
      }
      parts_[stream].clear();
    }
  }

  const bool diff_;
  const std::vector<std::string> listed_;
  std::vector<std::string> quoted_;  ///< what stands before the first value of a change, and kSpareBytes
  Walk walk_;
  Shapes shapes_;
  Found found_;
  std::vector<Part> before_, after_;  ///< values of the listed keys
  std::vector<int> (&files_)[kStreams];
  std::vector<iovec> parts_[kStreams], written_;
  std::vector<char> rendered_;
  char* out_ = nullptr;
  size_t refused_ = 0;
};

std::vector<std::string> sorted_list(const std::string& text) {
  std::vector<std::string> list;
  for (size_t begin = 0, end; begin <= text.size(); begin = end + 1) {
    end = std::min(text.find(',', begin), text.size());
    list.push_back(text.substr(begin, end - begin));
  }
  std::sort(list.begin(), list.end());
  return list;
}

}  // namespace

int main(int argc, char** argv) {
  std::optional<std::vector<std::string>> listed;
  if (argc > 2 && std::string(argv[1]) == "--diff") listed = sorted_list(argv[2]), argv += 2, argc -= 2;
  if (argc < 3) return std::fputs("usage: floor [--diff KEY,KEY...] ADDRESS STREAM=FILE...\n", stderr), 64;
  std::vector<int> files[kStreams];
  for (int i = 2; i < argc; ++i) {
    const std::string arg = argv[i];
    for (int stream = 0; stream < kStreams; ++stream)
      if (arg.substr(0, arg.find('=')) == kStreamNames[stream])
        files[stream].push_back(open_output(arg.c_str() + arg.find('=') + 1));
  }
  Floor floor(listed, files);
  serve(argv[1], std::string(argv[1]).rfind("tcp:", 0) == 0,
        [&](char* begin, size_t bytes) { floor.on_lines(begin, bytes); });
  std::printf("refused %zu\n", floor.refused());
}
