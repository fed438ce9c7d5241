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
};

/// A line of plain text as a log record (`weir send --text`). Replaces the contents of `out`.
void text_record(std::string& out, std::string_view text, std::string_view service);

/// Lines of several inputs, one after the other. Reads only when told to, so that a caller can wait for other
/// things meanwhile. A last line without line feed counts.
class LineInput {
 public:
  /// Opens them all; `-` is stdin. Error: which one and why.
  static Result<LineInput> open(const std::vector<std::string>& files);

  /// The next complete line there is; the view is valid until the next fill().
  std::optional<InputLine> next();
  bool done() const { return current_ >= inputs_.size() && begin_ == buffer_.size(); }
  /// What to wait for before fill(); -1 when done.
  int fd() const { return current_ < inputs_.size() ? inputs_[current_].fd.get() : -1; }
  /// One read, blocking. Error: of reading; that input is over.
  Result<void> fill();

 private:
  struct Input {
    std::string name;
    Fd fd;
  };
  void end_input();

  std::vector<Input> inputs_;
  size_t current_ = 0;  // being read
  std::string buffer_;  // [begin_, size) is not handed out yet
  size_t begin_ = 0, scanned_ = 0;
  uint64_t line_ = 0;
  bool skipping_ = false;  // within a line that is too long
  bool ended_ = false;     // the current input has been read to its end
};

}  // namespace weir::cli
