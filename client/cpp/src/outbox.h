#pragma once
// Records on their way as frames: numbered, kept until the agent has them, within bounds (proto/WIRE.md).
#include <cstdint>
#include <deque>
#include <string>

namespace weir::detail {

class Outbox {
 public:
  static constexpr size_t kBytesMax = 4 << 20;  ///< what is beyond stays in the rings

  bool has_room() const { return bytes_ < kBytesMax; }
  bool empty() const { return batches_.empty(); }
  /// `lines` hold `count` records; they get the next numbers.
  void add(std::string lines, uint64_t count);
  /// Everything up to `seq` is disposed of. Returns how many records that newly are.
  uint64_t acknowledge(uint64_t seq);
  /// All that is kept is to be sent again.
  void rewind() { sent_ = 0; }
  /// Appends the next records, as a REC_JSON frame (`framed`) or as lines; false: all are sent. `keep`: until
  /// they are acknowledged.
  bool next_batch(std::string& out, bool framed, bool keep, uint64_t& records);

  uint64_t next_seq() const { return next_seq_; }
  /// Number of the oldest record that is kept, or of the next one.
  uint64_t oldest_seq() const { return batches_.empty() ? next_seq_ : batches_.front().first_seq; }

 private:
  struct Batch {
    uint64_t first_seq, last_seq;
    std::string lines;
  };
  std::deque<Batch> batches_;
  size_t sent_ = 0;  ///< of batches_
  size_t bytes_ = 0;
  uint64_t next_seq_ = 1, acknowledged_ = 0;
};

}  // namespace weir::detail
