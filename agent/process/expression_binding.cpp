#include "agent/process/expression_binding.h"

#include <algorithm>

#include "agent/core/json.h"
#include "agent/core/options.h"
#include "agent/core/record.h"
#include "agent/process/expression_literal.h"

namespace weir {
namespace {

int severity_of_word(std::string_view word) {
  std::string raw;
  json::append_quoted(raw, word);
  return level_severity(raw);
}

/// A level word, from here on a severity.
bool bind_level(ExpressionLexer& lexer, const ExpressionToken& token, std::string_view word,
                ExpressionOperand& out) {
  out.severity = severity_of_word(word);
  if (out.severity != 0) return true;
  const std::vector<std::string_view> levels{"trace",   "debug", "info",  "notice",  "warn",
                                             "warning", "error", "fatal", "critical"};
  const std::string hint = near_miss(word, levels);
  lexer.fail(token.at,
             "not a level" +
                 (hint.empty() ? "; levels are `trace`, `debug`, `info`, `warn`, `error`, `fatal`" : hint));
  return false;
}

}  // namespace

std::string quoted(std::string_view text) { return "`" + std::string(text) + "`"; }

std::string near_miss(std::string_view word, const std::vector<std::string_view>& known) {
  if (word.empty()) return "";
  std::string lower(word);
  for (char& c : lower) c = c >= 'A' && c <= 'Z' ? char(c | 0x20) : c;
  std::string_view best = did_you_mean(lower, known);
  if (lower == "startswith") best = "starts_with";
  if (best.empty() && std::find(known.begin(), known.end(), lower) != known.end()) best = lower;
  return best.empty() ? "" : "; did you mean " + quoted(best) + "?";
}

bool is_field(const ExpressionSide& side) {
  for (size_t f = 0; f < kFieldCount; ++f) {
    if (side.path.is_name(field_name(Field(f)))) return true;
  }
  return side.path.is_name("duration");
}

std::string quotes_hint(const ExpressionSide& side) {
  return side.bare ? "; a string is written \"" + side.path.steps[0].text + "\"" : "";
}

ExpressionOperand string_operand(const ExpressionToken& token) {
  ExpressionOperand out;
  out.raw = token.text;
  json::decode_string(out.raw, out.decoded);
  return out;
}

ExpressionPath to_field(ExpressionPath path) {
  if (path.is_name("duration")) path.steps[0].text = "duration_ms";
  return path;
}

bool bind_literal(ExpressionLexer& lexer, const ExpressionPath& path, const ExpressionToken& token,
                  ExpressionOperand& out, bool levels) {
  if (token.kind == ExpressionToken::Kind::string) {
    out = string_operand(token);
    if (levels && path.is_name("level")) return bind_level(lexer, token, out.decoded, out);
    if (!path.is_name("duration")) return true;
  } else if (token.kind == ExpressionToken::Kind::word) {
    out.raw = token.text;
    if (!path.is_name("duration") || token.is("null")) return true;
  } else {
    auto number = number_in_unit_of(path, token.text, token.unit);
    if (!number) {
      lexer.fail(token.at, number.error());
      return false;
    }
    out.raw = std::move(*number);
    return true;
  }
  lexer.fail(token.at, "`duration` compares with a duration such as `5ms`");
  return false;
}

bool bind(ExpressionLexer& lexer, const ExpressionPath& path, ExpressionSide& right, ExpressionOperand& out) {
  if (!right.is_path) return bind_literal(lexer, path, right.token, out, true);
  // `error` is a field of records too, but never what a level is compared with.
  const bool level_word =
      right.bare && path.is_name("level") && (severity_of_word(right.token.text) != 0 || !is_field(right));
  if (level_word) return bind_level(lexer, right.token, right.token.text, out);
  if (right.bare && !is_field(right)) {
    lexer.fail(right.token.at, quoted(right.token.text) + " is no field of records" + quotes_hint(right));
    return false;
  }
  out.is_path = true;
  out.path = to_field(std::move(right.path));
  return true;
}

}  // namespace weir
