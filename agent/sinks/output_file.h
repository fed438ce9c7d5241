#pragma once
#include <sys/uio.h>

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "agent/core/clock.h"
#include "agent/core/io.h"
#include "agent/core/quarantine.h"
#include "agent/core/result.h"
#include "agent/sinks/file_place.h"
#include "agent/sinks/rotated_name.h"

namespace weir {

/// What all files of one sink share. Outlives them.
struct OutputFileSetup {
  std::string sink;  ///< its name, for messages and the quarantine
  mode_t mode = 0640;
  uint64_t max_bytes = UINT64_MAX;  ///< of the active file, unless one record is longer
  int64_t every_ns = 0;             ///< greatest age of an active file that holds something; 0: any
  bool sync = false;                ///< what was not synced yet is, when the file is rotated
  Io& io;
  const Clock& clock;
  Quarantine* quarantine = nullptr;
  std::function<void(const FilePlace&)> rotated = nullptr;  ///< a rotated file lies beside it now

  RotationNumbers numbers = {};
  std::vector<iovec> parts = {};  ///< scratch, so that writing does not allocate
};

/// One file that lines are appended to: opened safely (security.md), never left with a part of a line,
/// rotated between lines (interface.md section 7). The sink's worker only.
class OutputFile {
 public:
  OutputFile(OutputFileSetup& setup, FilePlace place) : setup_(setup), place_(std::move(place)) {}
  ~OutputFile() { close(); }
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  Result<void> open();
  void close() noexcept;

  /// Opens it anew where its path now leads to another file or to none (renamed, removed); notes its size
  /// (truncated). Once per batch.
  Result<void> follow();

  struct Appended {
    size_t lines = 0;   ///< that are in the file, whole
    std::string error;  ///< empty: all of them
  };
  /// Whole lines with their line feeds, in one write where no rotation and no limit of the system parts them.
  Appended append(std::span<const std::string_view> lines);
  /// It was removed while it was being written: what was appended to it since it was opened is gone.
  bool removed() const;
  uint64_t lines_since_open() const { return lines_since_open_; }

  /// Sets a file aside that has become too old. What goes wrong is said in the log, and tried again.
  void rotate_when_old();
  /// When rotate_when_old() has something to do, monotonic nanoseconds; INT64_MAX: never.
  int64_t old_at_ns() const;

  /// Empty, or the error.
  std::string sync();
  const std::string& path() const { return place_.path; }

 private:
  Result<void> open_or_create();
  Result<void> check_and_begin(struct stat& st);
  Result<void> cut_unfinished_line(off_t size);
  bool may_rotate() const;
  Result<void> rotate_if_old();
  Result<void> rotate();
  bool set_aside(int directory);
  void complain(const std::string& what);
  std::string write_parts(std::span<const std::string_view> lines, size_t& whole);
  void cut_back(size_t bytes);

  OutputFileSetup& setup_;
  const FilePlace place_;
  int fd_ = -1;
  dev_t device_ = 0;
  ino_t inode_ = 0;
  uint64_t size_ = 0;
  int64_t begun_ns_ = 0;              ///< monotonic; of what it holds
  int64_t no_rotation_until_ns_ = 0;  ///< after one that failed
  uint64_t lines_since_open_ = 0;
  bool unsynced_ = false;
};

}  // namespace weir
