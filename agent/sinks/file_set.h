#pragma once
#include <list>
#include <string>
#include <unordered_map>
#include <vector>

#include "agent/sinks/output_file.h"

namespace weir {

/// Of one sink: 256 (security.md), less the two that the housekeeper has open while it compresses.
inline constexpr size_t kOpenFilesMax = 256 - 2;

/// The open files of a sink whose path has fields: those used last, at most kOpenFilesMax. What is known of a
/// file that is closed is on the disk.
class FileSet {
 public:
  explicit FileSet(OutputFileSetup& setup) : setup_(setup) {}

  /// Everything below is beneath `root`, which stays the caller's; paths begin with `prefix`. What lies
  /// behind the marks that are known is cut off.
  Result<void> begin(int root, const std::string& prefix);
  /// From here on each file is looked after once (OutputFile::follow) when it is first asked for.
  void begin_batch() { ++batch_; }
  /// Open; valid until the next call.
  Result<OutputFile*> get(const std::string& relative);
  /// Empty, or the first error.
  std::string sync_all();
  int64_t old_at_ns() const;
  void rotate_when_old();
  void clear() noexcept;
  size_t size() const { return files_.size(); }

  // Where marks are kept (OutputFileSetup::keep):

  /// Before begin().
  void expect(const FileMark& mark, bool same_boot);
  /// Of all files that are open, and of those that are not to be found as they were.
  std::vector<FileMark> marks() const;
  /// The file, if it is open; null otherwise. Not looked after.
  OutputFile* find(const std::string& relative);
  void settle();
  bool in_checkpoint() const;
  void set_in_checkpoint();

 private:
  struct Entry {
    Entry(OutputFileSetup& setup, FilePlace place, const std::string& relative_path)
        : file(setup, std::move(place)), relative(relative_path) {}
    OutputFile file;
    std::string relative;
    uint64_t batch = 0;
  };

  Result<void> make_room();
  FilePlace place_of(const std::string& relative) const {
    return {prefix_ + relative, root_, prefix_.size()};
  }

  OutputFileSetup& setup_;
  int root_ = -1;
  std::string prefix_;
  uint64_t batch_ = 0;
  std::list<Entry> files_;  ///< used last first
  std::unordered_map<std::string, std::list<Entry>::iterator> index_;
  struct Expected {
    FileMark mark;
    bool same_boot;
  };
  std::unordered_map<std::string, Expected> expected_;  ///< by whole path; of files that are not open
};

}  // namespace weir
