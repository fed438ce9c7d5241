#pragma once
#include <nlohmann/json.hpp>
#include <string>

#include "agent/cli/console.h"

namespace weir::cli {

/// Indented, with a line feed. Never throws: what is not UTF-8 (a file name, say) is replaced. On a terminal
/// everything that is not plain ASCII is escaped.
template <class Json>
std::string json_text(const Json& value) {
  return value.dump(2, ' ', stdout_is_terminal(), Json::error_handler_t::replace) + "\n";
}

/// Reading JSON of unsure shape: the member, or what stands in for it.
inline const nlohmann::json& member(const nlohmann::json& object, const char* key) {
  static const nlohmann::json null;
  const auto found = object.is_object() ? object.find(key) : object.end();
  return object.is_object() && found != object.end() ? *found : null;
}
inline std::string text_of(const nlohmann::json& object, const char* key) {
  const nlohmann::json& value = member(object, key);
  return value.is_string() ? value.get<std::string>() : value.is_null() ? std::string() : value.dump();
}
inline uint64_t count_of(const nlohmann::json& object, const char* key) {
  const nlohmann::json& value = member(object, key);
  return value.is_number() && value.get<double>() >= 0 ? value.get<uint64_t>() : 0;
}

}  // namespace weir::cli
