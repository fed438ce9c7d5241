#pragma once
#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>

#include "agent/core/json.h"

/// The JSON texts in which sinks remember, from one life to the next. What is read was written by us and came
/// whole through a sum, so nothing is checked; what is missing is 0 or empty.
namespace weir::state_text {

inline void append_number(std::string& out, uint64_t n) {
  char digits[20];
  const auto end = std::to_chars(digits, digits + sizeof digits, n).ptr;
  out.append(digits, size_t(end - digits));
}

inline uint64_t number(std::string_view value) {
  uint64_t n = 0;
  std::from_chars(value.data(), value.data() + value.size(), n);
  return n;
}

inline std::string_view member(std::string_view object, std::string_view key) {
  return object.empty() ? object : json::find_key(object, key);
}

/// fn(std::string_view key, std::string_view value) for each member of an object or array, the key as it is
/// written, with its quotes; empty in an array.
template <class Fn>
void for_each(std::string_view container, Fn&& fn) {
  if (container.empty()) return;
  json::Members members(container.data(), {0, uint32_t(container.size())});
  while (members.next()) {
    const Member& m = members.member();
    fn(m.key.of(container), m.value.of(container));
  }
}

inline std::string string(std::string_view quoted) {
  std::string out;
  if (!quoted.empty()) json::decode_string(quoted, out);
  return out;
}

}  // namespace weir::state_text
