#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "agent/ingest/input_buffer.h"

namespace weir {

inline bool is_blank(std::string_view line) {
  const bool begins = !line.empty() && static_cast<unsigned char>(line.front()) > ' ';
  return !begins && line.find_first_not_of(" \t\r") == line.npos;
}

inline std::string_view without_cr(std::string_view line) {
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

/// A line, or what is left of one that was too long.
struct Line {
  std::string_view payload;  ///< without line ending; of a too long one at most the first 64 KiB
  bool too_long = false;
  uint64_t length = 0;  ///< all of it
};

/// Cuts the bytes of one connection into lines. In each turn of its InputBuffer: next()..., end_turn().
/// Invariant: no line feed in the first scanned_ bytes of the buffer.
class LineReader {
 public:
  explicit LineReader(InputBuffer& input) : input_(input) {}

  /// The next non-blank line; false when none is complete.
  bool next(Line& out);
  /// After the last read of a connection: the unfinished line, if there is one that is not blank.
  bool last(Line& out);
  /// The line that next() or last() gave comes again.
  void put_back() {
    input_.give_back(line_bytes_);
    scanned_ = 0;
  }
  /// Is it within a line that it does not take?
  bool skipping() const { return skipping_; }
  /// Before the buffer is put aside: a long unfinished line that is too much to keep is skipped to its end.
  void end_turn();

 private:
  bool skip_line(Line& out, char* line_feed);
  bool whole(std::string_view line, Line& out) const;
  void start_skipping();
  void take(size_t bytes) {
    input_.take(bytes);
    scanned_ = 0;
  }

  InputBuffer& input_;
  size_t scanned_ = 0;
  size_t line_bytes_ = 0;  ///< of the line given last, with its ending
  bool skipping_ = false;  ///< within a line that is too long
  std::string skipped_head_;
  uint64_t skipped_length_ = 0;
  bool skipped_cr_ = false;  ///< its last byte so far was a CR, which may belong to the line's end
};

}  // namespace weir
