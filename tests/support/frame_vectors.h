#pragma once
#include <doctest/doctest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

namespace weir::test {

inline std::string from_hex(const std::string& hex) {
  std::string out;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) out += char(std::stoi(hex.substr(i, 2), nullptr, 16));
  return out;
}

/// A JSON file of this repository.
inline nlohmann::json read_json(const std::string& path) {
  std::ifstream file(WEIR_ROOT "/" + path);
  REQUIRE_MESSAGE(file.good(), "cannot read ", path);
  return nlohmann::json::parse(file);
}

}  // namespace weir::test
