#include "agent/sinks/file_batch.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>

#include "agent/sinks/pretty.h"
#include "agent/sinks/sink.h"

namespace weir {
namespace {

constexpr size_t kTextBytesKept = 4 << 20;
constexpr int kRemovalsMax = 3;  ///< in the middle of one batch

}  // namespace

void FileBatch::collect(const BatchView& batch) {
  lines_.clear();
  if (!render_) {
    batch.for_each([&](std::string_view line, Stream) { lines_.push_back(line); });
    return;
  }
  text_.clear();
  if (text_.capacity() > kTextBytesKept) text_.shrink_to_fit();
  // Only lengths are sure while the text grows.
  batch.for_each([&](std::string_view line, Stream) {
    const size_t begin = text_.size();
    append_text(text_, line);
    lines_.emplace_back(nullptr, text_.size() - begin);
  });
  const char* at = text_.data();
  for (std::string_view& line : lines_) {
    line = {at, line.size()};
    at += line.size();
  }
}

size_t fitting(std::span<const std::string_view> lines, uint64_t room) {
  size_t n = 0;
  for (; n < lines.size() && (n == 0 || lines[n].size() <= room); ++n)
    room -= std::min(room, lines[n].size());
  return n;
}

MarkMatch trim_to_mark(const OutputFileSetup& setup, const FilePlace& place, FileMark& mark, bool same_boot) {
  Io& io = setup.io;
  const auto missing_or = [](MarkMatch otherwise) {
    return errno == ENOENT || errno == ENOTDIR ? MarkMatch::exact : otherwise;
  };
  const ScopedFd directory(io, open_directory(io, place, false));
  if (!directory.ok()) return missing_or(MarkMatch::failed);
  const ScopedFd file(io, io.openat(directory.get(), std::string(place.name()),
                                    O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0));
  struct stat st;
  if (!file.ok()) return missing_or(errno == ELOOP || errno == EISDIR ? MarkMatch::other : MarkMatch::failed);
  if (io.fstat(file.get(), &st) != 0) return MarkMatch::failed;
  if (!S_ISREG(st.st_mode)) return MarkMatch::other;
  const MarkMatch match = match_mark(io, directory.get(), file.get(), mark, same_boot);
  if (match != MarkMatch::longer && match != MarkMatch::exact) return match;
  if (match == MarkMatch::longer && io.ftruncate(file.get(), off_t(mark.bytes)) != 0)
    return MarkMatch::failed;
  return sync_to_end(io, file.get(), mark, mark.bytes) == 0 ? MarkMatch::exact : MarkMatch::failed;
}

BatchLimits batch_limits_of(const FileOptions& options) {
  BatchLimits limits;
  if (!options.steps) return limits;
  const uint64_t n = options.flush_every_n;
  limits.records_step = n;
  limits.records_max = std::max<uint64_t>(limits.records_max / n, 1) * n;
  limits.bytes_max = UINT64_MAX;
  limits.linger_ns = options.flush_every_ns;
  return limits;
}

OutputFileSetup output_file_setup(const FileOptions& options, const SinkContext& context) {
  return {.sink = context.name,
          .mode = options.mode,
          .max_bytes = options.max_bytes,
          .every_ns = options.every_ns,
          .sync = options.fsync_every_n > 0,
          .io = context.io,
          .clock = context.clock,
          .quarantine = context.quarantine};
}

OutputFile::Appended append_again_if_removed(OutputFile& file, std::span<const std::string_view> lines) {
  OutputFile::Appended out{lines.size(), ""};
  for (int i = 0; i < kRemovalsMax && out.error.empty() && file.removed(); ++i) {
    const size_t lost = size_t(std::min<uint64_t>(out.lines, file.lines_since_open()));
    const std::span again = lines.subspan(out.lines - lost, lost);
    out.lines -= lost;
    if (auto followed = file.follow(); !followed) return {out.lines, followed.error().message};
    auto appended = file.append(again);
    out.lines += appended.lines;
    out.error = std::move(appended.error);
  }
  return out;
}

}  // namespace weir
