#include "agent/process/expression.h"

#include <algorithm>

#include "agent/core/json.h"
#include "agent/process/context_changes.h"
#include "agent/process/expression_node.h"

namespace weir {
namespace {

using Node = Expression::Node;

bool is_null(std::string_view value) { return value.empty() || value.front() == 'n'; }
bool is_string(std::string_view value) { return !value.empty() && value.front() == '"'; }

/// Contents of a string value. Decoded only where it holds escapes; valid until the next call on this thread.
std::string_view contents(std::string_view raw) {
  const std::string_view inside = raw.substr(1, raw.size() - 2);
  if (inside.find('\\') == inside.npos) return inside;
  thread_local std::string decoded;
  decoded.clear();
  json::decode_string(raw, decoded);
  return decoded;
}

bool holds(Comparison comparison, std::strong_ordering order) {
  switch (comparison) {
    case Comparison::equal:
      return order == 0;
    case Comparison::not_equal:
      return order != 0;
    case Comparison::less:
      return order < 0;
    case Comparison::less_equal:
      return order <= 0;
    case Comparison::greater:
      return order > 0;
    case Comparison::greater_equal:
      return order >= 0;
  }
  return false;
}

bool is_equality(Comparison c) { return c == Comparison::equal || c == Comparison::not_equal; }

/// Null on either side is false, `!=` too. What has no order (types that differ, booleans, objects, arrays)
/// is only equal or not.
bool compare(Comparison comparison, std::string_view a, std::string_view b) {
  if (is_null(a) || is_null(b)) return false;
  const JsonType type = json::type_of(a.front());
  if (type != json::type_of(b.front())) return comparison == Comparison::not_equal;
  if (type == JsonType::number) return holds(comparison, json::compare_numbers(a, b));
  if (is_equality(comparison)) return json::equal_values(a, b) == (comparison == Comparison::equal);
  return type == JsonType::string && holds(comparison, json::compare_strings(a, b));
}

bool compare_level(Comparison comparison, std::string_view value, int severity) {
  if (is_null(value)) return false;
  const int actual = level_severity(value);
  if (actual == 0) return comparison == Comparison::not_equal;
  return holds(comparison, actual <=> severity);
}

bool compare(Comparison comparison, std::string_view value, const ExpressionOperand& right,
             std::string_view line) {
  if (right.is_path) return compare(comparison, value, right.path.resolve(line));
  if (right.severity != 0) return compare_level(comparison, value, right.severity);
  return compare(comparison, value, right.raw);
}

bool contains(std::string_view value, const ExpressionOperand& right) {
  if (is_string(value)) {
    return is_string(right.raw) && contents(value).find(right.decoded) != std::string_view::npos;
  }
  if (value.empty() || value.front() != '[') return false;
  for (json::Members m(value.data(), {0, uint32_t(value.size())}); m.next();) {
    if (compare(Comparison::equal, m.member().value.of(value), right.raw)) return true;
  }
  return false;
}

bool matches_regex(std::string_view value, const re2::RE2& regex) {
  if (!is_string(value)) return false;
  const std::string_view text = contents(value);
  return re2::RE2::PartialMatch(re2::StringPiece(text.data(), text.size()), regex);
}

bool changed(const Node& node, std::string_view line) {
  const std::string_view diff = json::find_key(line, "ctx_diff");
  if (diff.empty() || diff.front() != '{') return false;
  for (const Node::ChangedKey& candidate : node.changed_keys) {
    const std::string_view change = json::find_key(diff, candidate.key);
    if (change.empty()) continue;
    if (candidate.rest.steps.empty()) return true;
    if (differ(candidate.rest.resolve(json::find_key(change, "before")),
               candidate.rest.resolve(json::find_key(change, "after")))) {
      return true;
    }
  }
  return false;
}

/// Recursive: the parser bounds the depth.
bool evaluate(const Node& node, std::string_view line) {
  const auto holds_here = [&](const std::unique_ptr<const Node>& child) { return evaluate(*child, line); };
  switch (node.kind) {
    case Node::Kind::any:
      return std::any_of(node.children.begin(), node.children.end(), holds_here);
    case Node::Kind::all:
      return std::all_of(node.children.begin(), node.children.end(), holds_here);
    case Node::Kind::negate:
      return !evaluate(*node.children.front(), line);
    case Node::Kind::constant:
      return node.constant;
    case Node::Kind::changed:
      return changed(node, line);
    default:
      break;
  }
  const std::string_view value = node.path.resolve(line);
  switch (node.kind) {
    case Node::Kind::truth:
      return value == "true";
    case Node::Kind::compare:
      return compare(node.comparison, value, node.right.front(), line);
    case Node::Kind::contains:
      return contains(value, node.right.front());
    case Node::Kind::starts_with:
      return is_string(value) && contents(value).starts_with(node.right.front().decoded);
    case Node::Kind::in:
      return std::any_of(node.right.begin(), node.right.end(), [&](const ExpressionOperand& element) {
        return compare(Comparison::equal, value, element, line);
      });
    case Node::Kind::regex:
      return matches_regex(value, *node.regex);
    case Node::Kind::exists:
      return !is_null(value);
    default:
      return false;
  }
}

}  // namespace

std::string_view ExpressionPath::resolve(std::string_view object) const {
  for (const Step& step : steps) {
    object = step.exact ? json::find_key(object, step.text) : json::find_path(object, step.text);
    if (object.empty()) break;
  }
  return object;
}

tl::expected<Expression, Expression::SyntaxError> Expression::compile(std::string_view text) {
  auto root = parse_expression(text);
  if (!root) return tl::unexpected(std::move(root.error()));
  return Expression(std::move(*root));
}

bool Expression::matches(std::string_view line) const { return evaluate(*root_, line); }

Expression::Expression(std::unique_ptr<const Node> root) : root_(std::move(root)) {}
Expression::Expression(Expression&&) noexcept = default;
Expression& Expression::operator=(Expression&&) noexcept = default;
Expression::~Expression() = default;

}  // namespace weir
