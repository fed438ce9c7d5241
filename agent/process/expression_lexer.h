#pragma once
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "agent/process/expression.h"

namespace weir {

/// A piece of an expression's text.
struct ExpressionToken {
  enum class Kind { end, word, number, string, symbol };
  Kind kind = Kind::end;
  size_t at = 0;          ///< byte position in the text
  std::string_view text;  ///< strings with their quotes; numbers without their unit
  std::string_view unit;  ///< letters right behind a number

  bool is(std::string_view symbol_or_word) const {
    return (kind == Kind::symbol || kind == Kind::word) && text == symbol_or_word;
  }
};

/// Cuts the text of an expression into tokens, one ahead of the parser.
class ExpressionLexer {
 public:
  explicit ExpressionLexer(std::string_view text) : text_(text) { advance(); }

  const ExpressionToken& peek() const { return token_; }
  ExpressionToken next() {
    const ExpressionToken taken = token_;
    advance();
    return taken;
  }
  bool accept(std::string_view symbol_or_word) {
    if (!token_.is(symbol_or_word)) return false;
    advance();
    return true;
  }
  /// Byte behind the token taken last.
  size_t last_end() const { return last_end_; }
  std::string_view text() const { return text_; }
  /// The first fault; from then on the only token is the end.
  const std::optional<Expression::SyntaxError>& error() const { return error_; }
  void fail(size_t at, std::string message);

 private:
  void advance();
  void lex_number();
  void lex_string();
  void lex_symbol();
  char at(size_t i) const { return i < text_.size() ? text_[i] : '\0'; }

  std::string_view text_;
  size_t position_ = 0, last_end_ = 0;
  ExpressionToken token_;
  std::optional<Expression::SyntaxError> error_;
};

}  // namespace weir
