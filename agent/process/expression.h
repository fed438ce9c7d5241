#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "agent/core/result.h"

namespace weir {

/// A compiled `where` (interface.md section 5). Immutable: one may be used from many threads.
class Expression {
 public:
  struct Node;
  struct SyntaxError {
    int column;  ///< 1-based
    std::string message;
  };
  /// Error message is the text behind the position; see `column`.
  static tl::expected<Expression, SyntaxError> compile(std::string_view text);
  /// `line`: a finished record, valid JSON object. No allocation, no exceptions.
  bool matches(std::string_view line) const;

  Expression(Expression&&) noexcept;
  Expression& operator=(Expression&&) noexcept;
  ~Expression();

 private:
  explicit Expression(std::unique_ptr<const Node> root);
  std::unique_ptr<const Node> root_;
};

/// Severity of a level in any of its spellings (records.md section 6): trace 1, debug 5, info 9, warn 13,
/// error 17, fatal 21 (the severity numbers of OpenTelemetry); 0 when unknown. `raw` is the JSON value: a
/// string literal or a number.
int level_severity(std::string_view raw);

}  // namespace weir
