#pragma once
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "agent/sinks/file_batch.h"
#include "agent/sinks/file_options.h"
#include "agent/sinks/file_set.h"
#include "agent/sinks/housekeeper.h"
#include "agent/sinks/sink.h"

namespace weir {

/// The file sink whose path has fields: each record goes to the file that its own values name, beneath the
/// root. The records of a batch (in the modes `line` and `batch`: of a step) are written file by file, in
/// their order within each. When one file fails, others may have been written already: `ahead_` remembers
/// which records, so that they are not written again when the rest comes again.
///
/// Where the journal outlives the process nothing is ahead: a delivery goes as far as no file has to be
/// rotated twice (plan()), and what was written behind the first record that failed is taken back. So the
/// marks of the files stand for one position (file_mark.h).
class FileSetSink final : public Sink {
 public:
  FileSetSink(FileOptions options, const SinkContext& context);
  ~FileSetSink() override { close(); }
  Result<void> open() override;
  Delivery deliver(const BatchView& batch, std::stop_token stop) override;
  int64_t due_ns() const override { return files_.old_at_ns(); }
  void on_due() override { files_.rotate_when_old(); }
  void close() noexcept override;
  BatchLimits batch_limits() const override { return batch_limits_of(options_); }
  void restore(SinkMemory memory) override;
  std::string state() const override;
  bool needs_sync() const override { return true; }
  Result<void> sync() override;

 private:
  Result<void> follow_root();
  std::string keep();
  std::string plan(size_t& upto);
  Delivery finish_kept(size_t upto, std::string error);
  void take_ahead();
  Delivery finish(const std::string& error);
  void find_paths(const BatchView& batch);
  std::string write_step(size_t begin, size_t end);
  std::string write_run(const std::string& path, std::span<const uint32_t> records);
  std::vector<FilePlace> places(std::stop_token stop);
  void find_places(const std::string& directory, size_t depth, std::vector<FilePlace>& out,
                   const std::stop_token& stop);

  const FileOptions options_;
  OutputFileSetup setup_;
  FileSet files_;
  Housekeeper housekeeper_;
  FileBatch batch_;
  int root_ = -1;
  std::function<bool(bool)> keep_;  ///< SinkMemory::keep
  uint64_t since_sync_ = 0;         ///< records since the last fdatasync

  // Of the batch in hand.
  std::vector<Position> positions_;  ///< per record
  std::vector<char> written_;        ///< per record: it is in its file
  std::vector<std::string> paths_;   ///< that it goes to, beneath the root
  std::vector<uint32_t> path_of_;    ///< per record: which of them
  std::unordered_map<std::string, uint32_t> path_index_;
  std::vector<uint64_t> room_;   ///< plan(): of each path; kUnplanned: not open yet
  std::vector<uint32_t> order_;  ///< scratch: records of a step, file by file
  std::vector<std::string_view> picked_;

  std::vector<Position> ahead_;  ///< of records that are written, behind others that are not; ascending
};

}  // namespace weir
