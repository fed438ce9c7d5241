#pragma once
#include <string>
#include <string_view>

#include "agent/process/expression_node.h"

namespace weir {

/// A number literal of an expression as JSON number text, exactly converted to the unit of the path it is
/// compared with: `5ms` against `latency_us` is 5000. The error says what does not go together and what to
/// write.
tl::expected<std::string, std::string> number_in_unit_of(const ExpressionPath& path, std::string_view number,
                                                         std::string_view unit);

}  // namespace weir
