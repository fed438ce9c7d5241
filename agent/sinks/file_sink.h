#pragma once
#include "agent/sinks/file_batch.h"
#include "agent/sinks/file_options.h"
#include "agent/sinks/housekeeper.h"
#include "agent/sinks/output_file.h"
#include "agent/sinks/sink.h"

namespace weir {

/// Appends records as lines to one file (records.md section 8: write_mode, flush_every_n, flush_every_ms,
/// fsync_every_n). Whole lines only: what a failed write left of a line is cut off again, and records that
/// were written are not written twice when the batch comes again. Where the journal outlives the process its
/// state is the file's mark (file_mark.h), and a batch goes as far as the file does: exactly once, through
/// crashes too. A path with fields: file_set_sink.h.
class FileSink final : public Sink {
 public:
  FileSink(FileOptions options, const SinkContext& context);
  ~FileSink() override { close(); }
  Result<void> open() override;
  Delivery deliver(const BatchView& batch, std::stop_token stop) override;
  int64_t due_ns() const override { return file_.old_at_ns(); }
  void on_due() override { file_.rotate_when_old(); }
  void close() noexcept override;
  BatchLimits batch_limits() const override { return batch_limits_of(options_); }
  void restore(SinkMemory memory) override;
  std::string state() const override;
  bool needs_sync() const override { return true; }
  Result<void> sync() override;

 private:
  std::string keep();
  std::string sync_after(uint64_t records);

  const FileOptions options_;
  OutputFileSetup setup_;
  OutputFile file_;
  Housekeeper housekeeper_;
  FileBatch batch_;
  std::function<bool(bool)> keep_;  ///< SinkMemory::keep
  uint64_t since_sync_ = 0;         ///< records since the last fdatasync
};

extern const SinkType kFileSinkType;

}  // namespace weir
