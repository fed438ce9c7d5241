#pragma once
#include <re2/re2.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agent/process/expression.h"

namespace weir {

/// A path of an expression: `a.b["x.y"].c` has the steps `a.b`, exactly `x.y`, `c`.
struct ExpressionPath {
  struct Step {
    std::string text;
    bool exact = false;  ///< in brackets: one key, its dots are its own
  };
  std::vector<Step> steps;

  /// The value's text in `object`, empty when missing.
  std::string_view resolve(std::string_view object) const;
  /// Is it the one plain name `name`?
  bool is_name(std::string_view name) const {
    return steps.size() == 1 && !steps[0].exact && steps[0].text == name;
  }
};

enum class Comparison { equal, not_equal, less, less_equal, greater, greater_equal };

/// One side of a comparison, as it is looked at for each record.
struct ExpressionOperand {
  bool is_path = false;
  ExpressionPath path;
  std::string raw;      ///< a literal as JSON text, in the unit of the path it is compared with
  std::string decoded;  ///< contents of a string literal
  int severity = 0;     ///< not 0: a level, compared by severity
};

struct Expression::Node {
  enum class Kind {
    any,
    all,
    negate,
    constant,
    truth,
    compare,
    contains,
    starts_with,
    in,
    regex,
    exists,
    changed
  };
  /// `PATH changed`: a key that ctx_diff may hold, and the way from its before and after to the value asked
  /// for.
  struct ChangedKey {
    std::string key;
    ExpressionPath rest;
  };

  Kind kind;
  std::vector<std::unique_ptr<const Node>> children;  ///< any, all, negate
  bool constant = false;
  ExpressionPath path;  ///< the left side of all others
  Comparison comparison = Comparison::equal;
  std::vector<ExpressionOperand> right;  ///< one, or the list of `in`
  std::unique_ptr<const re2::RE2> regex;
  std::vector<ChangedKey> changed_keys;  ///< longest first
};

/// expression_parser.cpp
tl::expected<std::unique_ptr<const Expression::Node>, Expression::SyntaxError> parse_expression(
    std::string_view text);

}  // namespace weir
