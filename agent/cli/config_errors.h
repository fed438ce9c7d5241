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
/// A mistake in a file has a place or a path; what keeps a good file from being applied has neither.
bool is_mistake(const ConfigError& e);
/// `path, rotate.keep`: the options of a component that a plan or a reload changes, escaped.
std::string joined_options(const nlohmann::json& component);
/// One per line to stdout, escaped.
void print_errors(const std::vector<ConfigError>& errors);

}  // namespace weir::cli
