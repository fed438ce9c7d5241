#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "agent/config/config.h"

namespace weir::cli {

/// The forms of interface.md section 7, for `weir check` and `weir reload`.
std::string errors_as_json(const std::vector<ConfigError>& errors);
/// Missing members are empty.
std::vector<ConfigError> errors_from_json(const nlohmann::json& array);
/// One per line to stdout, escaped.
void print_errors(const std::vector<ConfigError>& errors);

}  // namespace weir::cli
