#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "agent/cli/line_input.h"
#include "agent/core/record.h"
#include "agent/decode/decoder.h"

namespace weir::cli {

/// A whole record made of text; the views are valid during the call that hands it out.
struct TextRecord {
  std::string_view json;
  std::string_view file;
  uint64_t line = 0;   ///< where it begins, 1-based
  uint64_t lines = 1;  ///< how many lines it holds; a further part of a split line counts as one
};

/// Lines of text to log records (`weir send --text`).
///
/// - A line that is an object which the agent would take stays byte for byte; `"stream":"log"` and the
///   service are added behind its fields where they are not there.
/// - Every other line begins a record with its time, its level where it says one (guess_level), the service
///   and the line as `message`, unless it continues the record before it. These continue: a line that begins
///   with a space or tab; `Caused by:`; `... N more`; a line of closing brackets after an indented one; the
///   rest of a Python traceback (its indented lines, its last line, and what chains two of them) and of a
///   panic of Go; and `Traceback (most recent call last):` directly after a line of level error or fatal.
/// - Blank lines are left out, except within a panic and between chained tracebacks.
/// - A record that would become larger than the agent takes ends before; a line that alone is larger is
///   split. What is not UTF-8 becomes U+FFFD, NUL becomes \u0000, a CR before the line feed goes.
class TextRecords {
 public:
  using Output = std::function<void(const TextRecord&)>;
  TextRecords(std::string_view service, Output output);

  /// Of the agent's welcome; until then 256 KiB. For records that begin from now on.
  void set_record_bytes_max(uint64_t bytes) { record_bytes_max_ = bytes; }
  /// `wall_ns`: when the line was read.
  void take(const InputLine& line, int64_t wall_ns);
  /// Is there a record that a further line might continue?
  bool open() const { return open_; }
  /// Ends it: the input has been quiet, or is over.
  void flush();

 private:
  enum class Fold { lines, traceback, traceback_end, panic };

  bool take_object(const InputLine& line);
  bool continues(std::string_view text);
  bool continues_traceback(std::string_view text);
  void begin(const InputLine& line, std::string_view text, int64_t wall_ns);
  void begin_record(const InputLine& line);
  void append_line(const InputLine& line, std::string_view text);
  void append_split(const InputLine& line, std::string_view text);

  const Output output_;
  std::string service_member_;  ///< `"service":"x"`, or empty
  uint64_t record_bytes_max_ = 256 << 10;

  std::string record_;  ///< the open one, less its end
  size_t message_end_max_ = 0;
  TextRecord origin_;
  bool open_ = false;
  Fold fold_ = Fold::lines;
  bool indented_ = false;   ///< an indented line has been taken
  bool chained_ = false;    ///< the last line announced another traceback
  size_t blank_lines_ = 0;  ///< held back: they belong to the record if the next line does
  std::string_view level_;
  int64_t time_ns_ = 0;

  int64_t formatted_ns_ = -1;
  char formatted_[30];
  Decoder decoder_;
  FieldTable fields_;
  std::string padded_;
};

/// Appends `text` as the inside of a JSON string until `out` holds `size_max` bytes at most, never half a
/// character; what is not UTF-8 as U+FFFD, one for each maximal part of a character. Returns the bytes of
/// `text` that are in.
size_t append_message(std::string& out, std::string_view text_untrusted, size_t size_max);

}  // namespace weir::cli
