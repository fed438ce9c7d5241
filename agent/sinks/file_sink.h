#pragma once
#include <memory>
#include <string_view>
#include <vector>

#include "agent/sinks/file_options.h"
#include "agent/sinks/housekeeper.h"
#include "agent/sinks/output_file.h"
#include "agent/sinks/sink.h"

namespace weir {

/// Appends records as lines to one file (records.md section 8: write_mode, flush_every_n, flush_every_ms,
/// fsync_every_n). Whole lines only: what a failed write left of a line is cut off again, and records that
/// were written are not written twice when the batch comes again.
class FileSink final : public Sink {
 public:
  FileSink(const Settings& settings, const SinkContext& context);
  ~FileSink() override { close(); }
  Result<void> open() override;
  Delivery deliver(const BatchView& batch, std::stop_token stop) override;
  int64_t due_ns() const override { return file_.old_at_ns(); }
  void on_due() override { file_.rotate_when_old(); }
  void close() noexcept override;
  BatchLimits batch_limits() const override;

 private:
  void pass_rotated_names();
  void collect(const BatchView& batch);
  std::string write_again_if_removed();
  std::string sync_after(uint64_t records);

  const FileOptions options_;
  OutputFileSetup setup_;
  OutputFile file_;
  Housekeeper housekeeper_;
  std::vector<std::string_view> lines_;  ///< of the batch in hand
  std::string text_;                     ///< what they point to, with `format: text`
  uint64_t done_ = 0;                    ///< of them
  uint64_t since_sync_ = 0;              ///< records since the last fdatasync
};

extern const SinkType kFileSinkType;

}  // namespace weir
