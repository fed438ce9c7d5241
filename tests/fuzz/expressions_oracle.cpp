#include <algorithm>

#include "agent/process/expression.h"
#include "tests/fuzz/oracles.h"

namespace weir::test {

std::string check_expressions(std::string_view text) {
  const size_t lf = text.find('\n');
  const std::string expression(text.substr(0, lf));
  const std::string record =
      record_of(lf == text.npos ? "" : text.substr(lf + 1), {"message", "service", "trace_id"});
  const auto compiled = Expression::compile(expression);
  if (!compiled) {
    const auto characters = std::ranges::count_if(
        expression, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
    const auto& error = compiled.error();
    if (error.message.empty()) return "a mistake without a text";
    if (error.column < 1 || error.column > characters + 1)
      return "column " + std::to_string(error.column) + " is not there: " + error.message;
    const auto again = Expression::compile(expression);
    if (again || again.error().column != error.column || again.error().message != error.message)
      return "twice not the same mistake";
    return {};
  }
  const bool matches = compiled->matches(record);
  if (compiled->matches(record) != matches) return "twice not the same answer";
  // Deeper or longer than before, they may be refused.
  const auto not_it = Expression::compile("not (" + expression + ")");
  if (not_it && not_it->matches(record) == matches) return "not turns nothing round";
  const auto both = Expression::compile("(" + expression + ") and (" + expression + ")");
  if (both && both->matches(record) != matches) return "it and itself is not it";
  const auto either = Expression::compile("(" + expression + ") or (" + expression + ")");
  if (either && either->matches(record) != matches) return "it or itself is not it";
  return {};
}

}  // namespace weir::test
