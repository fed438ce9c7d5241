#include "agent/ingest/line_reader.h"

#include <algorithm>
#include <cstring>

#include "agent/core/check.h"
#include "agent/core/clock.h"
#include "agent/core/quarantine.h"

namespace weir {
namespace {

/// How much more of a long line is read at once, and how long it may be one connection's turn.
constexpr size_t kAsideReadBytes = 64 << 10;
constexpr int64_t kTurnNs = 50'000'000;

bool blank(std::string_view line) {
  const bool begins = !line.empty() && static_cast<unsigned char>(line.front()) > ' ';
  return !begins && line.find_first_not_of(" \t\r") == line.npos;
}

std::string_view without_cr(std::string_view line) {
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

}  // namespace

bool LineReader::may_read() {
  if (aside_size_ <= kAsideFree || shared_.aside_bytes <= shared_.aside_bytes_max) return true;
  int64_t now = system_clock().monotonic_ns();
  if (shared_.turn_of != this && shared_.turn_of && now < shared_.turn_until_ns) return false;
  if (shared_.turn_of != this || now >= shared_.turn_until_ns)
    shared_.turn_of = this, shared_.turn_until_ns = now + kTurnNs;
  return true;
}

std::span<char> LineReader::space() {
  begin_ = 0, scanned_ = aside_scanned_, end_ = aside_size_;
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

void LineReader::resume() {
  base_ = aside_.get();
  begin_ = 0, scanned_ = aside_scanned_, end_ = aside_size_;
}

bool LineReader::next(Line& out) {
  while (begin_ < end_) {
    char* lf = static_cast<char*>(std::memchr(base_ + scanned_, '\n', end_ - scanned_));
    if (skipping_) {
      if (skip_line(out, lf)) return true;
      continue;
    }
    if (!lf) {
      scanned_ = end_;
      if (end_ - begin_ > shared_.record_bytes_max + 1)
        start_skipping();  // + 1: a CR may still turn out to be the line's end
      return false;
    }
    std::string_view line = without_cr({base_ + begin_, size_t(lf - base_) - begin_});
    line_begin_ = begin_;
    begin_ = scanned_ = size_t(lf - base_) + 1;
    if (blank(line)) continue;
    out = {line, line.size() > shared_.record_bytes_max, line.size()};
    if (out.too_long) out.payload = line.substr(0, kQuarantineRawBytesMax);
    return true;
  }
  return false;
}

void LineReader::start_skipping() {
  skipping_ = true;
  skipped_head_.assign(base_ + begin_, std::min(end_ - begin_, kQuarantineRawBytesMax));
  skipped_length_ = end_ - begin_;
  skipped_cr_ = base_[end_ - 1] == '\r';
  begin_ = scanned_ = end_;
}

/// Goes on to the end of a line that is too long; true when it was there. The head stays valid until the next
/// call.
bool LineReader::skip_line(Line& out, char* lf) {
  size_t stop = lf ? size_t(lf - base_) : end_;
  skipped_length_ += stop - begin_;
  if (stop > begin_) skipped_cr_ = base_[stop - 1] == '\r';
  begin_ = scanned_ = lf ? stop + 1 : end_;
  if (!lf) return false;
  skipping_ = false;
  out = {skipped_head_, true, skipped_length_ - skipped_cr_};
  return true;
}

bool LineReader::last(Line& out) {
  if (skipping_) {
    skipping_ = false;
    out = {skipped_head_, true, skipped_length_};
    return true;
  }
  std::string_view line = without_cr({base_ + begin_, end_ - begin_});
  line_begin_ = begin_;
  begin_ = scanned_ = end_;
  if (blank(line)) return false;
  out = {line, line.size() > shared_.record_bytes_max, line.size()};
  return true;
}

void LineReader::put_aside() {
  bool unfinished = scanned_ == end_;
  if (unfinished && end_ - begin_ > kAsideFree && over_budget(end_ - begin_)) start_skipping();
  size_t left = end_ - begin_;
  WEIR_CHECK(begin_ <= scanned_ && scanned_ <= end_);
  if (!skipping_ && skipped_head_.capacity() > 0) skipped_head_ = {};
  if (left == 0) {
    release();
    return;
  }
  size_t scanned = scanned_ - begin_;
  if (base_ == aside_.get()) {
    std::memmove(aside_.get(), base_ + begin_, left);
  } else {
    const char* from = base_ + begin_;
    aside_size_ = 0;
    reserve_aside(left);
    std::memcpy(aside_.get(), from, left);
  }
  aside_size_ = left;
  aside_scanned_ = scanned;
  count_in_share(left);
  begin_ = scanned_ = end_ = 0;
}

/// Would `bytes` of an unfinished line be too much?
bool LineReader::over_budget(size_t bytes) const {
  return shared_.aside_bytes > 2 * shared_.aside_bytes_max ||
         (share_ && share_->bytes - in_share_ + bytes > share_->bytes_max);
}

void LineReader::count_in_share(size_t bytes) {
  if (share_) share_->bytes += bytes - in_share_;
  in_share_ = bytes;
}

void LineReader::release() {
  shared_.aside_bytes -= aside_capacity_;
  count_in_share(0);
  if (shared_.turn_of == this) shared_.turn_of = nullptr;
  aside_.reset();
  aside_size_ = aside_capacity_ = aside_scanned_ = 0;
  begin_ = scanned_ = end_ = 0;
}

/// Room for `bytes` and the padding; keeps what is there.
void LineReader::reserve_aside(size_t bytes) {
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
