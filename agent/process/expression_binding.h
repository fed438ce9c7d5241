#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "agent/process/expression_lexer.h"
#include "agent/process/expression_node.h"

namespace weir {

/// What was read as one side of a comparison, before it is known what it is compared with.
struct ExpressionSide {
  bool is_path = false;
  ExpressionPath path;
  ExpressionToken token;  ///< of a literal; the first one of a path
  bool bare = false;  ///< a path of one plain name: may be a level word, or a string that lacks its quotes
};

/// Fits the right side to the path on the left: another path, a level, or a literal in the path's unit.
/// False, and the lexer has failed, when the two do not go together.
bool bind(ExpressionLexer& lexer, const ExpressionPath& path, ExpressionSide& right, ExpressionOperand& out);
/// The same for a literal. `levels`: a string against `level` is a level and not just text.
bool bind_literal(ExpressionLexer& lexer, const ExpressionPath& path, const ExpressionToken& token,
                  ExpressionOperand& out, bool levels);

/// Is the path the name of a reserved field, or `duration`?
bool is_field(const ExpressionSide& side);
/// The path that a record is asked for: `duration` is read from duration_ms.
ExpressionPath to_field(ExpressionPath path);
ExpressionOperand string_operand(const ExpressionToken& token);

std::string quoted(std::string_view text);
/// `; did you mean ...?` when one of `known` is near `word` (case ignored), else empty.
std::string near_miss(std::string_view word, const std::vector<std::string_view>& known);
/// `; a string is written "..."` for a bare name, else empty.
std::string quotes_hint(const ExpressionSide& side);

}  // namespace weir
