#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "agent/journal/journal.h"
#include "agent/sinks/file_options.h"
#include "agent/sinks/output_file.h"

namespace weir {

/// The lines of a batch as they go into a file: as they are, or rendered by `format: text`. Kept from batch
/// to batch, so that nothing is allocated per record.
class FileBatch {
 public:
  explicit FileBatch(bool text) : render_(text) {}
  /// `batch` must outlive the use of lines().
  void collect(const BatchView& batch);
  std::span<const std::string_view> lines() const { return lines_; }

 private:
  const bool render_;
  std::vector<std::string_view> lines_;
  std::string text_;
};

/// How many of the lines go into `room` bytes; at least one.
size_t fitting(std::span<const std::string_view> lines, uint64_t room);

/// Of a file that is not open: what lies behind its mark, which comes again, is cut off, and the rest synced.
/// Returns how the file is to its mark after that: `exact` also where there is none, `failed` with errno.
MarkMatch trim_to_mark(const OutputFileSetup& setup, const FilePlace& place, FileMark& mark, bool same_boot);

inline constexpr const char* kCannotKeep =
    "the place in its files could not be written to the journal's checkpoint";

/// How a file sink wants its batches.
BatchLimits batch_limits_of(const FileOptions& options);
OutputFileSetup output_file_setup(const FileOptions& options, const struct SinkContext& context);

/// What went into a file that was removed meanwhile is nowhere: the last of `lines` (those that are in the
/// file, `done` of them) are appended to a new one. So a removal costs what the file held before, and nothing
/// else.
OutputFile::Appended append_again_if_removed(OutputFile& file, std::span<const std::string_view> lines);

}  // namespace weir
