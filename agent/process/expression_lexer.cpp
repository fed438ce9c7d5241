#include "agent/process/expression_lexer.h"

namespace weir {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_hex(char c) { return is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f'); }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

unsigned hex4(std::string_view digits) {
  unsigned value = 0;
  for (const char c : digits) value = value << 4 | unsigned(is_digit(c) ? c - '0' : (c | 0x20) - 'a' + 10);
  return value;
}

bool four_hex(std::string_view text) {
  return text.size() >= 4 && is_hex(text[0]) && is_hex(text[1]) && is_hex(text[2]) && is_hex(text[3]);
}

/// Bytes of the escape that `text` begins with, 0 when JSON has no such escape.
size_t escape_length(std::string_view text) {
  if (text.size() < 2) return 0;
  if (text[1] != 'u') return std::string_view("\"\\/bfnrt").find(text[1]) != std::string_view::npos ? 2 : 0;
  if (!four_hex(text.substr(2))) return 0;
  const unsigned unit = hex4(text.substr(2, 4));
  if (unit < 0xd800 || unit > 0xdfff) return 6;
  if (unit > 0xdbff || text.size() < 12 || text.substr(6, 2) != "\\u" || !four_hex(text.substr(8))) return 0;
  const unsigned low = hex4(text.substr(8, 4));
  return low >= 0xdc00 && low <= 0xdfff ? 12 : 0;
}

}  // namespace

void ExpressionLexer::fail(size_t at, std::string message) {
  if (error_) return;
  int column = 1;
  for (const char c : text_.substr(0, at)) column += (c & 0xc0) != 0x80;
  error_ = Expression::SyntaxError{column, std::move(message)};
  position_ = text_.size();
  token_ = {ExpressionToken::Kind::end, text_.size(), {}, {}};
}

void ExpressionLexer::advance() {
  last_end_ = token_.at + token_.text.size() + token_.unit.size();
  while (is_space(at(position_))) ++position_;
  token_ = {ExpressionToken::Kind::end, position_, {}, {}};
  if (position_ == text_.size()) return;
  const char c = at(position_);
  if (is_letter(c)) {
    size_t end = position_;
    while (is_letter(at(end)) || is_digit(at(end))) ++end;
    token_.kind = ExpressionToken::Kind::word;
    token_.text = text_.substr(position_, end - position_);
    position_ = end;
  } else if (is_digit(c) || (c == '-' && is_digit(at(position_ + 1)))) {
    lex_number();
  } else if (c == '"') {
    lex_string();
  } else {
    lex_symbol();
  }
}

void ExpressionLexer::lex_number() {
  const size_t begin = position_;
  size_t p = begin + (at(begin) == '-' ? 1 : 0);
  if (at(p) == '0' && is_digit(at(p + 1))) return fail(begin, "a number has no leading zeros");
  while (is_digit(at(p))) ++p;
  if (at(p) == '.') {
    if (!is_digit(at(p + 1))) return fail(p, "expected a digit behind the decimal point");
    for (++p; is_digit(at(p));) ++p;
  }
  if ((at(p) | 0x20) == 'e') {
    const size_t digits = p + (at(p + 1) == '+' || at(p + 1) == '-' ? 2 : 1);
    if (is_digit(at(digits))) {
      for (p = digits; is_digit(at(p));) ++p;
    }
  }
  size_t unit_end = p;
  while (is_letter(at(unit_end)) || is_digit(at(unit_end))) ++unit_end;
  token_.kind = ExpressionToken::Kind::number;
  token_.text = text_.substr(begin, p - begin);
  token_.unit = text_.substr(p, unit_end - p);
  position_ = unit_end;
}

void ExpressionLexer::lex_string() {
  size_t p = position_ + 1;
  while (at(p) != '"') {
    if (p >= text_.size()) return fail(position_, "this string has no closing `\"`");
    if (uint8_t(at(p)) < 0x20)
      return fail(p, "a control character in a string is written as an escape, `\\n` or `\\t`");
    if (at(p) != '\\') {
      ++p;
      continue;
    }
    const size_t length = escape_length(text_.substr(p));
    if (length == 0) return fail(p, "not an escape of JSON; a backslash itself is written `\\\\`");
    p += length;
  }
  token_.kind = ExpressionToken::Kind::string;
  token_.text = text_.substr(position_, p + 1 - position_);
  position_ = p + 1;
}

void ExpressionLexer::lex_symbol() {
  const std::string_view rest = text_.substr(position_);
  struct Mistake {
    std::string_view symbol, hint;
  };
  static constexpr Mistake kMistakes[] = {{"===", "equality is `==`"},
                                          {"!~", "write `not (path =~ \"...\")`"},
                                          {"<>", "inequality is `!=`"},
                                          {"&&", "write `and`"},
                                          {"||", "write `or`"}};
  for (const Mistake& mistake : kMistakes) {
    if (rest.starts_with(mistake.symbol)) return fail(position_, std::string(mistake.hint));
  }
  for (const std::string_view symbol :
       {"==", "!=", "<=", ">=", "=~", "<", ">", "(", ")", "[", "]", ",", "."}) {
    if (!rest.starts_with(symbol)) continue;
    token_.kind = ExpressionToken::Kind::symbol;
    token_.text = rest.substr(0, symbol.size());
    position_ += symbol.size();
    return;
  }
  switch (rest.front()) {
    case '=':
      return fail(position_, "equality is `==`");
    case '!':
      return fail(position_, "write `not`");
    case '&':
      return fail(position_, "write `and`");
    case '|':
      return fail(position_, "write `or`");
    case '~':
      return fail(position_, "a regular expression is matched with `=~`");
    case '\'':
      return fail(position_, "strings are in double quotes");
    case '-':
      return fail(position_, "a name with `-` goes in brackets: [\"a-b\"]");
    default:
      return fail(position_, "unexpected character");
  }
}

}  // namespace weir
