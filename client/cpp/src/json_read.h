#pragma once
// As much of reading JSON as the agent's answers need. Views into the text; what is malformed reads as
// absent.
#include <string>
#include <string_view>
#include <vector>

namespace weir::detail {

/// The value of a member of an object, as it stands there; empty: there is none.
std::string_view json_member(std::string_view object, std::string_view key);
/// The elements of an array.
std::vector<std::string_view> json_elements(std::string_view array);
/// A string's text; empty when the value is none.
std::string json_string(std::string_view value);
uint64_t json_number(std::string_view value, uint64_t otherwise);

}  // namespace weir::detail
