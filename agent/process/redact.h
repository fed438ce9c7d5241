#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "agent/core/record.h"

namespace weir {

struct RedactOptions {
  std::vector<std::string> keys = {};      ///< exact names, at any depth
  std::vector<std::string> paths = {};     ///< dotted, from the record's top
  std::vector<std::string> patterns = {};  ///< RE2, over values
  std::string replace = "***";
  bool operator==(const RedactOptions&) const = default;
};

/// Why `pattern` cannot be one of RedactOptions::patterns; empty: it can.
std::string check_pattern(std::string_view pattern);

/// The rules of one stream (records.md section 5, docs/decisions/0004-redaction.md). The processors read and
/// compare original values; what they have rendered passes through rewrite(), so that there is one way out
/// and it is redacted. Pipe thread only; no allocation on the steady path.
///
/// - A key or path that is listed: its whole value becomes the string `replace`. Keys compare decoded and
///   case-sensitively. A path tries keys that hold dots too, and goes through arrays element by element.
/// - A path into `ctx`, `ctx_set`, `ctx_before`, `ctx_after` or `ctx_diff` means that place in all of them.
/// - Patterns: what they match in a decoded string is replaced, the rest of it keeps its bytes; a number that
///   they match becomes the string `replace`. Keys are not looked at.
class Redactor {
 public:
  /// `context_value_len`: strings in ctx_before, ctx_after and ctx_diff are cut to so many code points after
  /// patterns have seen all of them; 0: none is. The context diff of the stream then cuts nothing itself.
  Redactor(const RedactOptions& options, int64_t context_value_len);
  ~Redactor();

  /// The finished line of a record to `out`. False: nothing is to be changed, `out` is unspecified. Patterns
  /// pass over `made`, the agent's own values (EditList::made_spans).
  bool rewrite(std::string_view line, std::span<const Span> made, std::string& out);

  /// `value` of msg_in, or of an element of msg_out, as far as it may be known: `value` itself, or its
  /// redacted form in `out`.
  enum class Message { in, out };
  std::string_view message_value(Message message, std::string_view value, std::string& out);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace weir
