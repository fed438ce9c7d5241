#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/cli/connect.h"
#include "agent/core/result.h"

namespace weir::cli {

/// A line longer than this is skipped: no agent takes one, and it must not fill our memory.
inline constexpr size_t kInputLineBytesMax = 16 << 20;

struct InputLine {
  std::string_view text;  ///< without line feed; empty when too_long
  std::string_view file;
  uint64_t line = 0;  ///< 1-based
  bool too_long = false;
  bool continues = false;  ///< the rest, or a further part, of the line before (split_bytes)
  bool goes_on = false;    ///< a further part follows
};

/// Lines of several inputs, one after the other. Reads only when told to, so that a caller can wait for other
/// things meanwhile. A last line without line feed counts.
class LineInput {
 public:
  /// Opens them all; `-` is stdin. Error: which one and why.
  static Result<LineInput> open(const std::vector<std::string>& files);
  /// From now on longer lines are not skipped but handed out in parts of about so many bytes, cut between
  /// characters (of UTF-8) and never between CR and LF.
  void split_at(size_t bytes) { split_bytes_ = bytes; }

  /// The next complete line there is; the view is valid until the next fill().
  std::optional<InputLine> next();
  bool done() const { return current_ >= inputs_.size() && begin_ == buffer_.size(); }
  /// What to wait for before fill(); -1 when done.
  int fd() const { return current_ < inputs_.size() ? inputs_[current_].fd.get() : -1; }
  /// Nothing more is read: what there is of the last line counts as one.
  void cut() { ended_ = true; }
  /// One read, blocking. Error: of reading; that input is over.
  Result<void> fill();

 private:
  struct Input {
    std::string name;
    Fd fd;
  };
  void end_input();
  InputLine next_part();

  std::vector<Input> inputs_;
  size_t current_ = 0;  // being read
  std::string buffer_;  // [begin_, size) is not handed out yet
  size_t begin_ = 0, scanned_ = 0;
  uint64_t line_ = 0;
  size_t split_bytes_ = 0;  // 0: lines are not split
  bool skipping_ = false;   // within a line that is too long
  bool in_parts_ = false;   // within a line of which a part is handed out
  bool ended_ = false;      // the current input has been read to its end
};

}  // namespace weir::cli
