#include "client/cpp/src/outbox.h"

#include <algorithm>

#include "proto/frames.h"

namespace weir::detail {

void Outbox::add(std::string lines, uint64_t count) {
  bytes_ += lines.size();
  batches_.push_back({next_seq_, next_seq_ + count - 1, std::move(lines)});
  next_seq_ += count;
}

uint64_t Outbox::acknowledge(uint64_t seq) {
  seq = std::min(seq, next_seq_ - 1);
  if (seq <= acknowledged_) return 0;
  const uint64_t newly = seq - acknowledged_;
  acknowledged_ = seq;
  while (!batches_.empty() && batches_.front().last_seq <= seq) {
    bytes_ -= batches_.front().lines.size();
    batches_.pop_front();
    if (sent_ > 0) --sent_;
  }
  return newly;
}

bool Outbox::next_batch(std::string& out, bool framed, bool keep, uint64_t& records) {
  if (sent_ == batches_.size()) return false;
  const Batch& b = batches_[sent_];
  if (framed) {
    frames::append_header(out, frames::kRecJson, sizeof(uint64_t) + b.lines.size());
    frames::append(out, b.first_seq);
  }
  out += b.lines;
  records = b.last_seq - b.first_seq + 1;
  ++sent_;
  if (!keep) acknowledge(b.last_seq);
  return true;
}

}  // namespace weir::detail
