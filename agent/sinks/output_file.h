#pragma once
#include <sys/uio.h>

#include <cstdint>
#include <functional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "agent/core/clock.h"
#include "agent/core/io.h"
#include "agent/core/quarantine.h"
#include "agent/core/result.h"
#include "agent/sinks/file_mark.h"
#include "agent/sinks/file_place.h"
#include "agent/sinks/rotated_name.h"

namespace weir {

/// What all files of one sink share. Outlives them.
struct OutputFileSetup {
  std::string sink;  ///< its name, for messages and the quarantine
  mode_t mode = 0640;
  uint64_t max_bytes = UINT64_MAX;  ///< of the active file, unless one record is longer
  int64_t every_ns = 0;             ///< greatest age of an active file that holds something; 0: any
  bool sync = false;                ///< what was not synced yet is, before the file is let go
  Io& io;
  const Clock& clock;
  Quarantine* quarantine = nullptr;
  std::function<void(const FilePlace&)> rotated = nullptr;  ///< a rotated file lies beside it now
  /// Null where nothing outlives the process. Else: what was written to the files of the sink is durable, and
  /// their marks are in the checkpoint, when it returns. Empty, or what went wrong.
  std::function<std::string()> keep = nullptr;

  RotationNumbers numbers = {};
  std::set<std::string> directories_synced = {};  ///< in this process, with those above them
  std::vector<iovec> parts = {};                  ///< scratch, so that writing does not allocate
};

/// One file that lines are appended to: opened safely (security.md), never left with a part of a line,
/// rotated between lines (interface.md section 7). The sink's worker only.
///
/// Where marks are kept (OutputFileSetup::keep) nothing is written that a checkpoint does not know how to cut
/// off again, and a file gets another name only while all of it is settled:
///
///   follow()  rotate_if_due()  append() what fits, or take_back() of it  settle()
class OutputFile {
 public:
  OutputFile(OutputFileSetup& setup, FilePlace place);
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

  // Where marks are kept:

  /// What is known of the file from before. Before open().
  void expect(const FileMark& mark, bool same_boot);
  /// Of what is settled.
  const FileMark& mark() const { return mark_; }
  bool has_mark() const { return has_mark_; }
  bool same_boot() const { return same_boot_; }  ///< is the mark of this boot?
  /// Sets the file aside where a line of so many bytes does not fit any more, or where it is too old. An
  /// error: there is no file open.
  Result<void> rotate_if_due(uint64_t next_bytes);
  /// How many bytes go in before it is to be rotated; the first line always does.
  uint64_t room() const;
  /// The last `bytes` that were appended, and are not settled, are taken out again.
  void take_back(uint64_t bytes);
  /// What was appended has been said to be done.
  void settle();
  /// The checkpoint names it, as it is.
  bool in_checkpoint() const { return in_checkpoint_; }
  void set_in_checkpoint() { in_checkpoint_ = fd_ >= 0; }

 private:
  Result<void> open_or_create();
  Result<void> check(struct stat& st);
  Result<void> begin(struct stat& st);
  Result<void> cut_unfinished_line(off_t size);
  Result<void> cut_to_last_line(off_t size);
  Result<void> go_on_from_mark(struct stat& st);
  Result<void> set_foreign_aside(struct stat& st);
  void look_for_own(int directory);
  Result<void> notice_size(uint64_t size);
  bool read_tail();
  bool may_rotate() const;
  Result<void> rotate_if_old();
  Result<void> rotate();
  std::string set_aside(int directory, std::string& to);
  void pass_rotated_names(int directory);
  Result<void> sync_names();
  std::string sync_again();
  void complain(const std::string& what);
  std::string write_parts(std::span<const std::string_view> lines, size_t& whole);
  void cut_back(size_t bytes);

  OutputFileSetup& setup_;
  const FilePlace place_;
  int fd_ = -1;
  FileMark mark_;                           ///< its device and inode; where marks are kept all of it
  uint64_t size_ = 0;                       ///< of the file
  uint64_t tail_bytes_ = 0, tail_sum_ = 0;  ///< at that size
  int64_t begun_ns_ = 0;                    ///< monotonic; of what it holds
  int64_t no_rotation_until_ns_ = 0;        ///< after one that failed
  uint64_t lines_since_open_ = 0;
  bool unsynced_ = false;
  bool names_unsynced_ = false;  ///< of its directory; where marks are kept
  bool names_passed_ = false;    ///< those of rotated files that were there before
  bool has_mark_ = false, same_boot_ = true;
  bool in_checkpoint_ = false;
};

}  // namespace weir
