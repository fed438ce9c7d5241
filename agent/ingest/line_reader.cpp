#include "agent/ingest/line_reader.h"

#include <algorithm>
#include <cstring>

#include "agent/core/quarantine.h"

namespace weir {

bool LineReader::next(Line& out) {
  while (input_.size() > 0) {
    char* begin = input_.data();
    char* lf = static_cast<char*>(std::memchr(begin + scanned_, '\n', input_.size() - scanned_));
    if (skipping_) {
      if (skip_line(out, lf)) return true;
      continue;
    }
    if (!lf) {
      scanned_ = input_.size();
      if (scanned_ > input_.record_bytes_max() + 1)
        start_skipping();  // + 1: a CR may still turn out to be the line's end
      return false;
    }
    std::string_view line = without_cr({begin, size_t(lf - begin)});
    line_bytes_ = size_t(lf - begin) + 1;
    take(line_bytes_);
    if (whole(line, out)) return true;
  }
  return false;
}

/// False: there is nothing in it. Too long is too long, whatever is in it: where it is cut, nobody knows
/// that.
bool LineReader::whole(std::string_view line, Line& out) const {
  const bool too_long = line.size() > input_.record_bytes_max();
  if (!too_long && is_blank(line)) return false;
  out = {too_long ? line.substr(0, kQuarantineRawBytesMax) : line, too_long, line.size()};
  return true;
}

void LineReader::start_skipping() {
  const std::string_view line(input_.data(), input_.size());
  skipping_ = true;
  skipped_head_.assign(line.substr(0, kQuarantineRawBytesMax));
  skipped_length_ = line.size();
  skipped_cr_ = line.ends_with('\r');
  take(line.size());
}

/// Goes on to the end of a line that is too long; true when it was there. The head stays valid until the next
/// call.
bool LineReader::skip_line(Line& out, char* lf) {
  char* begin = input_.data();
  const size_t bytes = lf ? size_t(lf - begin) : input_.size();
  skipped_length_ += bytes;
  if (bytes > 0) skipped_cr_ = begin[bytes - 1] == '\r';
  take(bytes + (lf ? 1 : 0));
  if (!lf) return false;
  skipping_ = false;
  out = {skipped_head_, true, skipped_length_ - skipped_cr_};
  return true;
}

bool LineReader::last(Line& out) {
  if (skipping_) {
    skipping_ = false;
    out = {skipped_head_, true, skipped_length_ - skipped_cr_};
    return true;
  }
  std::string_view line = without_cr({input_.data(), input_.size()});
  line_bytes_ = input_.size();
  take(line_bytes_);
  return whole(line, out);
}

void LineReader::end_turn() {
  const bool unfinished = scanned_ == input_.size();
  if (unfinished && input_.size() > InputBuffer::kAsideFree && input_.over_budget()) start_skipping();
  if (!skipping_ && skipped_head_.capacity() > 0) skipped_head_ = {};
}

}  // namespace weir
