#pragma once
// What the agent makes of contexts (records.md section 5), so that a step writes no key that would be thrown
// away.
#include <atomic>
#include <string>
#include <string_view>
#include <vector>

namespace weir::detail {

struct Policy {
  enum class Contexts { full, whitelist, none } contexts = Contexts::full;
  std::vector<std::string> whitelist;
  const Policy* before = nullptr;  ///< the one that this replaced: somebody may still look at it

  /// A top-level key of a context.
  bool keeps(std::string_view key) const;
  bool operator==(const Policy& other) const {
    return contexts == other.contexts && whitelist == other.whitelist;
  }
};

/// Of a WELCOME's `policy`, or of a POLICY.
Policy parse_policy(std::string_view json);

/// The policy in force; never null. Any thread; a policy stays where it is for good (they are few: one for
/// each change of the agent's configuration).
const Policy& policy() noexcept;
void set_policy(const Policy& policy);

}  // namespace weir::detail
