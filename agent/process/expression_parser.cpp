#include <algorithm>

#include "agent/core/text.h"
#include "agent/process/expression_binding.h"
#include "agent/process/expression_lexer.h"
#include "agent/process/expression_node.h"

namespace weir {
namespace {

using Node = Expression::Node;
using NodePtr = std::unique_ptr<const Node>;
using Kind = Node::Kind;
using Token = ExpressionToken;

constexpr size_t kTextBytesMax = 4096;
constexpr int kDepthMax = 64;

constexpr std::string_view kKeywords[] = {"and",    "or",      "not",  "in",    "contains", "starts_with",
                                          "exists", "changed", "true", "false", "null"};

bool is_keyword(std::string_view word) {
  return std::find(std::begin(kKeywords), std::end(kKeywords), word) != std::end(kKeywords);
}

class Parser {
 public:
  explicit Parser(std::string_view text) : lexer_(text) {}

  tl::expected<NodePtr, Expression::SyntaxError> parse() {
    NodePtr root = parse_any();
    if (!lexer_.error() && lexer_.peek().kind != Token::Kind::end) fail_after_comparison();
    if (lexer_.error()) return tl::unexpected(*lexer_.error());
    return root;
  }

 private:
  // Every parse_ function returns nullptr, or leaves its result out, when lexer_.error() is set.

  NodePtr parse_any() { return parse_list("or", Kind::any, &Parser::parse_all); }
  NodePtr parse_all() { return parse_list("and", Kind::all, &Parser::parse_not); }

  NodePtr parse_list(std::string_view word, Kind kind, NodePtr (Parser::*element)()) {
    NodePtr first = (this->*element)();
    if (!lexer_.peek().is(word)) return first;
    auto node = make(kind);
    node->children.push_back(std::move(first));
    while (lexer_.accept(word)) node->children.push_back((this->*element)());
    return node;
  }

  NodePtr parse_not() {
    if (lexer_.peek().is("not")) {
      const Token token = lexer_.next();
      auto node = make(Kind::negate);
      if (!enter(token)) return nullptr;
      node->children.push_back(parse_not());
      --depth_;
      return node;
    }
    if (lexer_.peek().is("(")) {
      const Token open = lexer_.next();
      if (!enter(open)) return nullptr;
      NodePtr inside = parse_any();
      --depth_;
      if (!lexer_.accept(")")) {
        if (lexer_.peek().kind == Token::Kind::end) return fail(open, "this `(` has no `)`");
        return fail_after_comparison();
      }
      return inside;
    }
    return parse_comparison();
  }

  bool enter(const Token& token) {
    if (++depth_ <= kDepthMax) return true;
    fail(token, "nested more than 64 deep");
    return false;
  }

  NodePtr parse_comparison() {
    if (lexer_.peek().is("exists")) return parse_exists();
    ExpressionSide left;
    if (!parse_side(left, "expected a path such as `level`, or `not`, `exists` or `(`")) return nullptr;
    const Token op = lexer_.peek();
    if (op.is("contains") || op.is("starts_with") || op.is("in") || op.is("changed") || op.is("=~")) {
      if (!left.is_path) return fail(left.token, "expected a path on the left of " + quoted(op.text));
      lexer_.next();
      if (op.is("contains")) return parse_contains(left);
      if (op.is("starts_with")) return parse_starts_with(left);
      if (op.is("in")) return parse_in(left);
      if (op.is("changed")) return parse_changed(left);
      return parse_regex(left);
    }
    if (const auto comparison = comparison_of(op)) {
      lexer_.next();
      return parse_compare(std::move(left), *comparison);
    }
    return parse_alone(left);
  }

  static std::optional<Comparison> comparison_of(const Token& token) {
    if (token.is("==")) return Comparison::equal;
    if (token.is("!=")) return Comparison::not_equal;
    if (token.is("<")) return Comparison::less;
    if (token.is("<=")) return Comparison::less_equal;
    if (token.is(">")) return Comparison::greater;
    if (token.is(">=")) return Comparison::greater_equal;
    return std::nullopt;
  }

  static Comparison mirrored(Comparison c) {
    switch (c) {
      case Comparison::less:
        return Comparison::greater;
      case Comparison::less_equal:
        return Comparison::greater_equal;
      case Comparison::greater:
        return Comparison::less;
      case Comparison::greater_equal:
        return Comparison::less_equal;
      default:
        return c;
    }
  }

  NodePtr parse_compare(ExpressionSide left, Comparison comparison) {
    ExpressionSide right;
    if (!parse_side(right, "expected a value or a path")) return nullptr;
    if (!left.is_path && !right.is_path)
      return fail(left.token, "one side must be a path such as `duration_ms`");
    if (!left.is_path || (left.bare && right.is_path && right.path.is_name("level"))) {
      std::swap(left, right);
      comparison = mirrored(comparison);
    }
    auto node = make(Kind::compare);
    node->comparison = comparison;
    ExpressionOperand operand;
    if (!bind(lexer_, left.path, right, operand)) return nullptr;
    node->right.push_back(std::move(operand));
    node->path = to_field(std::move(left.path));
    return node;
  }

  NodePtr parse_alone(const ExpressionSide& side) {
    const Token& next = lexer_.peek();
    const bool value_follows = next.kind == Token::Kind::string || next.kind == Token::Kind::number ||
                               (next.kind == Token::Kind::word && !next.is("and") && !next.is("or"));
    if (value_follows) return fail_operator(next);
    if (side.is_path) {
      auto node = make(Kind::truth);
      node->path = to_field(side.path);
      return node;
    }
    if (!side.token.is("true") && !side.token.is("false")) {
      return fail(side.token, "a value alone is no condition; compare it with a path");
    }
    auto node = make(Kind::constant);
    node->constant = side.token.is("true");
    return node;
  }

  NodePtr fail_operator(const Token& token) {
    if (token.is("not")) return fail(token, "`not` stands in front: not (path in [...])");
    std::string message =
        "expected `==`, `!=`, `<`, `<=`, `>`, `>=`, `=~`, `in`, `contains`, `starts_with` or `changed`";
    return fail(token, message + near_miss(token.kind == Token::Kind::word ? token.text : "",
                                           {"in", "contains", "starts_with", "changed", "and", "or"}));
  }

  NodePtr fail_after_comparison() {
    const Token& token = lexer_.peek();
    if (comparison_of(token)) return fail(token, "comparisons do not chain; write `a < b and b < c`");
    if (token.is(")")) return fail(token, "this `)` has no `(`");
    return fail(token, "expected `and`, `or` or the end" +
                           near_miss(token.kind == Token::Kind::word ? token.text : "", {"and", "or"}));
  }

  NodePtr parse_exists() {
    lexer_.next();
    const bool parenthesis = lexer_.accept("(");
    ExpressionSide side;
    if (!parse_side(side, "expected a path behind `exists`")) return nullptr;
    if (!side.is_path) return fail(side.token, "expected a path behind `exists`");
    if (parenthesis && !lexer_.accept(")")) return fail(lexer_.peek(), "expected `)`");
    auto node = make(Kind::exists);
    node->path = to_field(std::move(side.path));
    return node;
  }

  NodePtr parse_contains(ExpressionSide& left) {
    ExpressionSide right;
    if (!parse_side(right, "expected a value behind `contains`")) return nullptr;
    if (right.is_path) return fail(right.token, "expected a value behind `contains`" + quotes_hint(right));
    auto node = make(Kind::contains);
    ExpressionOperand operand;
    // Looks into a level's text as into any other: no severity here.
    if (!bind_literal(lexer_, left.path, right.token, operand, false)) return nullptr;
    node->right.push_back(std::move(operand));
    node->path = to_field(std::move(left.path));
    return node;
  }

  NodePtr parse_starts_with(ExpressionSide& left) {
    const Token token = lexer_.peek();
    if (token.kind != Token::Kind::string)
      return fail(token, "expected a string in double quotes behind `starts_with`");
    lexer_.next();
    auto node = make(Kind::starts_with);
    node->right.push_back(string_operand(token));
    node->path = to_field(std::move(left.path));
    return node;
  }

  NodePtr parse_regex(ExpressionSide& left) {
    const Token token = lexer_.peek();
    if (token.kind != Token::Kind::string)
      return fail(token, "expected a regular expression in double quotes behind `=~`");
    lexer_.next();
    re2::RE2::Options options;
    options.set_log_errors(false);
    auto node = make(Kind::regex);
    node->regex = std::make_unique<const re2::RE2>(string_operand(token).decoded, options);
    if (!node->regex->ok()) return fail(token, "not a regular expression of RE2: " + node->regex->error());
    node->path = to_field(std::move(left.path));
    return node;
  }

  NodePtr parse_in(ExpressionSide& left) {
    if (!lexer_.accept("["))
      return fail(lexer_.peek(), "expected a list such as `[\"a\", \"b\"]` behind `in`");
    auto node = make(Kind::in);
    while (!lexer_.accept("]")) {
      if (!node->right.empty() && !lexer_.accept(",")) return fail(lexer_.peek(), "expected `,` or `]`");
      ExpressionSide element;
      if (!parse_side(element, "expected a value")) return nullptr;
      ExpressionOperand operand;
      if (element.is_path && !(element.bare && left.path.is_name("level"))) {
        return fail(element.token, "expected a value" + quotes_hint(element));
      }
      if (!bind(lexer_, left.path, element, operand)) return nullptr;
      node->right.push_back(std::move(operand));
    }
    node->path = to_field(std::move(left.path));
    return node;
  }

  NodePtr parse_changed(ExpressionSide& left) {
    std::vector<std::string> names;
    for (const ExpressionPath::Step& step : left.path.steps) {
      size_t begin = 0;
      for (size_t dot; !step.exact && (dot = step.text.find('.', begin)) != step.text.npos; begin = dot + 1) {
        names.push_back(step.text.substr(begin, dot - begin));
      }
      names.push_back(step.text.substr(begin));
    }
    const bool plain = !left.path.steps.front().exact;
    if (plain && names.size() > 1 &&
        (names[0] == "ctx_before" || names[0] == "ctx_after" || names[0] == "ctx_diff")) {
      return fail(left.token,
                  "`changed` takes a key of the context: leave " + quoted(names[0] + ".") + " out");
    }
    auto node = make(Kind::changed);
    for (size_t count = names.size(); count > 0; --count) {
      Node::ChangedKey candidate;
      for (size_t i = 0; i < count; ++i) candidate.key += (i == 0 ? "" : ".") + names[i];
      candidate.rest = rest_of(left.path, count);
      node->changed_keys.push_back(std::move(candidate));
    }
    return node;
  }

  /// The path without its first `count` names.
  static ExpressionPath rest_of(const ExpressionPath& path, size_t count) {
    ExpressionPath rest;
    for (const ExpressionPath::Step& step : path.steps) {
      std::string_view text = step.text;
      bool gone = false;
      while (count > 0 && !gone) {
        const size_t dot = step.exact ? text.npos : text.find('.');
        gone = dot == text.npos;
        if (!gone) text.remove_prefix(dot + 1);
        --count;
      }
      if (!gone) rest.steps.push_back({std::string(text), step.exact});
    }
    return rest;
  }

  bool parse_side(ExpressionSide& side, std::string_view expected) {
    side.token = lexer_.peek();
    const Token& token = side.token;
    const bool literal_word = token.is("true") || token.is("false") || token.is("null");
    if (token.kind == Token::Kind::number || token.kind == Token::Kind::string || literal_word) {
      lexer_.next();
      return !lexer_.error();
    }
    if (token.is("[") || (token.kind == Token::Kind::word && !is_keyword(token.text)))
      return parse_path(side);
    std::string message(expected);
    if (token.kind == Token::Kind::word) {
      message += "; " + quoted(token.text) + " is a word of the language, as a path it is `[\"" +
                 std::string(token.text) + "\"]`";
    }
    fail(token, message);
    return false;
  }

  bool parse_path(ExpressionSide& side) {
    side.is_path = true;
    auto& steps = side.path.steps;
    bool name_expected = lexer_.peek().kind == Token::Kind::word;
    while (true) {
      if (name_expected) {
        const Token name = lexer_.peek();
        if (name.kind != Token::Kind::word) {
          fail(name, "expected a name; others than letters, digits and `_` go in brackets: [\"a-b\"]");
          return false;
        }
        lexer_.next();
        if (!steps.empty() && !steps.back().exact)
          steps.back().text += "." + std::string(name.text);
        else
          steps.push_back({std::string(name.text), false});
      } else if (!parse_bracket(steps)) {
        return false;
      }
      if (lexer_.error()) return false;
      const Token& next = lexer_.peek();
      if (next.kind == Token::Kind::number && next.at == lexer_.last_end()) {
        fail(next, "a name with `-` goes in brackets: [\"a-1\"]");
        return false;
      }
      name_expected = lexer_.accept(".");
      if (!name_expected && !lexer_.peek().is("[")) break;
    }
    side.bare = steps.size() == 1 && !steps[0].exact && steps[0].text.find('.') == std::string::npos;
    return true;
  }

  bool parse_bracket(std::vector<ExpressionPath::Step>& steps) {
    lexer_.next();
    const Token key = lexer_.peek();
    if (key.kind != Token::Kind::string) {
      fail(key, "expected a key in double quotes: [\"http.method\"]");
      return false;
    }
    lexer_.next();
    steps.push_back({string_operand(key).decoded, true});
    if (lexer_.accept("]")) return true;
    fail(lexer_.peek(), "expected `]`");
    return false;
  }

  static std::unique_ptr<Node> make(Kind kind) {
    auto node = std::make_unique<Node>();
    node->kind = kind;
    return node;
  }

  NodePtr fail(const Token& token, std::string message) {
    lexer_.fail(token.at, std::move(message));
    return nullptr;
  }

  ExpressionLexer lexer_;
  int depth_ = 0;
};

}  // namespace

tl::expected<NodePtr, Expression::SyntaxError> parse_expression(std::string_view text) {
  using SyntaxError = Expression::SyntaxError;
  if (text.size() > kTextBytesMax) return tl::unexpected(SyntaxError{1, "longer than 4096 bytes"});
  if (!is_utf8(text)) return tl::unexpected(SyntaxError{1, "not UTF-8"});
  return Parser(text).parse();
}

}  // namespace weir
