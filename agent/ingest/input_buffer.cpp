#include "agent/ingest/input_buffer.h"

#include <algorithm>
#include <cstring>

#include "agent/core/check.h"
#include "agent/core/clock.h"

namespace weir {
namespace {

/// How much more of a long line is read at once, and how long it may be one connection's turn.
constexpr size_t kAsideReadBytes = 64 << 10;
constexpr int64_t kTurnNs = 50'000'000;

}  // namespace

bool InputBuffer::may_read() {
  if (aside_size_ <= kAsideFree || shared_.aside_bytes <= shared_.aside_bytes_max) return true;
  int64_t now = system_clock().monotonic_ns();
  if (shared_.turn_of != this && shared_.turn_of && now < shared_.turn_until_ns) return false;
  if (shared_.turn_of != this || now >= shared_.turn_until_ns)
    shared_.turn_of = this, shared_.turn_until_ns = now + kTurnNs;
  return true;
}

std::span<char> InputBuffer::space() {
  begin_ = 0, end_ = aside_size_;
  if (aside_size_ <= kAsideFree) {
    base_ = shared_.bytes.data();
    std::copy_n(aside_.get(), aside_size_, base_);
  } else {
    reserve_aside(aside_size_ + kAsideReadBytes);
    base_ = aside_.get();
    return {base_ + end_, kAsideReadBytes};
  }
  return {base_ + end_, kReadBytes};
}

void InputBuffer::resume() {
  base_ = aside_.get();
  begin_ = 0, end_ = aside_size_;
}

void InputBuffer::put_aside() {
  const size_t left = size();
  WEIR_CHECK(begin_ <= end_);
  if (left == 0) {
    release();
    return;
  }
  if (base_ == aside_.get()) {
    std::memmove(aside_.get(), base_ + begin_, left);
  } else {
    const char* from = base_ + begin_;
    aside_size_ = 0;
    reserve_aside(left);
    std::memcpy(aside_.get(), from, left);
  }
  aside_size_ = left;
  count_in_share(left);
  begin_ = end_ = 0;
}

bool InputBuffer::over_budget() const {
  return shared_.aside_bytes > 2 * shared_.aside_bytes_max ||
         (share_ && share_->bytes - in_share_ + size() > share_->bytes_max);
}

void InputBuffer::count_in_share(size_t bytes) {
  if (share_) share_->bytes += bytes - in_share_;
  in_share_ = bytes;
}

void InputBuffer::release() {
  shared_.aside_bytes -= aside_capacity_;
  count_in_share(0);
  if (shared_.turn_of == this) shared_.turn_of = nullptr;
  aside_.reset();
  aside_size_ = aside_capacity_ = 0;
  begin_ = end_ = 0;
}

/// Room for `bytes` and the padding; keeps what is there.
void InputBuffer::reserve_aside(size_t bytes) {
  size_t needed = bytes + kReadablePadding;
  if (needed <= aside_capacity_) return;
  size_t capacity = aside_size_ == 0 ? needed : std::max(needed, aside_capacity_ * 3 / 2);
  std::unique_ptr<char[]> grown(new char[capacity]);
  std::copy_n(aside_.get(), aside_size_, grown.get());
  aside_ = std::move(grown);
  shared_.aside_bytes += capacity - aside_capacity_;
  aside_capacity_ = capacity;
}

}  // namespace weir
