#pragma once
#include <sys/uio.h>

#include <string>
#include <vector>

#include "agent/sinks/sink.h"

namespace weir {

/// Appends records as JSON lines to one file (records.md section 8: write_mode, flush_every_n,
/// flush_every_ms, fsync_every_n). Whole lines only: what a failed write left of a line is cut off again, and
/// records that were written are not written twice when the batch comes again.
class FileSink final : public Sink {
 public:
  FileSink(const Settings& settings, const SinkContext& context);
  ~FileSink() override { close(); }
  Result<void> open() override;
  Delivery deliver(const BatchView& batch, std::stop_token stop) override;
  void close() noexcept override;
  BatchLimits batch_limits() const override;

 private:
  Result<void> open_or_create();
  Result<void> cut_unfinished_line(off_t size);
  /// Writes the lines gathered in parts_; the error, or empty.
  std::string write_parts();
  void cut_back(size_t written_of_parts);

  const std::string name_, path_;
  const mode_t mode_;
  const bool line_mode_, step_mode_;
  const uint64_t flush_every_n_, fsync_every_n_;
  const int64_t flush_every_ns_;
  Io& io_;
  const Clock& clock_;
  Quarantine* quarantine_;
  int fd_ = -1;
  uint64_t records_done_ = 0;  ///< of the batch in hand
  uint64_t since_sync_ = 0;    ///< records since the last fdatasync
  std::vector<iovec> parts_;
  std::vector<iovec> left_;           ///< what of parts_ is still to be written
  std::vector<uint32_t> line_bytes_;  ///< of each line in parts_
};

extern const SinkType kFileSinkType;

}  // namespace weir
