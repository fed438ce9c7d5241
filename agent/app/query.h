#pragma once
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace weir {

/// What stands behind the `?` of a request target, in its order, values decoded (`%20`, `+`).
std::vector<std::pair<std::string, std::string>> query_of(std::string_view target);

}  // namespace weir
