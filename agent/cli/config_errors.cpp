#include "agent/cli/config_errors.h"

#include <nlohmann/json.hpp>

#include "agent/cli/console.h"
#include "agent/cli/json_text.h"

namespace weir::cli {

std::string errors_as_json(const std::vector<ConfigError>& errors) {
  nlohmann::ordered_json array = nlohmann::ordered_json::array();
  for (const ConfigError& e : errors) {
    nlohmann::ordered_json suggestion;
    if (!e.suggestion.empty()) suggestion = e.suggestion;
    array.push_back({{"file", e.where.file},
                     {"line", e.where.line},
                     {"col", e.where.column},
                     {"path", e.path},
                     {"message", e.message},
                     {"suggestion", suggestion}});
  }
  return json_text(array);
}

std::vector<ConfigError> errors_from_json(const nlohmann::json& array) {
  std::vector<ConfigError> errors;
  if (!array.is_array()) return errors;
  for (const nlohmann::json& e : array) {
    if (!e.is_object()) continue;
    auto text = [&](const char* key) {
      return e.contains(key) && e[key].is_string() ? e[key].get<std::string>() : "";
    };
    auto number = [&](const char* key) {
      return e.contains(key) && e[key].is_number_integer() ? e[key].get<int>() : 0;
    };
    errors.push_back(
        {{text("file"), number("line"), number("col")}, text("path"), text("message"), text("suggestion")});
  }
  return errors;
}

bool is_mistake(const ConfigError& e) { return !e.where.file.empty() || !e.path.empty(); }

std::string joined_options(const nlohmann::json& component) {
  std::string out;
  if (const nlohmann::json& options = member(component, "options"); options.is_array())
    for (const nlohmann::json& option : options)
      if (option.is_string()) out += (out.empty() ? "" : ", ") + terminal_safe(option.get<std::string>());
  return out;
}

void print_errors(const std::vector<ConfigError>& errors) {
  std::string out;
  for (const ConfigError& e : errors) out += terminal_safe(e.text()) + "\n";
  write_out(out);
}

}  // namespace weir::cli
