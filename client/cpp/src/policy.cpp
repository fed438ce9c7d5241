#include "client/cpp/src/policy.h"

#include "client/cpp/src/json_read.h"

namespace weir::detail {
namespace {
std::atomic<const Policy*> current{nullptr};
}

bool Policy::keeps(std::string_view key) const {
  if (contexts != Contexts::whitelist) return contexts == Contexts::full;
  for (const std::string_view entry : whitelist)
    if (entry.substr(0, key.size()) == key && (entry.size() == key.size() || entry[key.size()] == '.'))
      return true;
  return false;
}

Policy parse_policy(std::string_view json) {
  Policy made;
  const std::string_view trace = json_member(json, "trace");
  const std::string mode = json_string(json_member(trace, "context_diff"));
  if (json_member(trace, "enabled") == "false" || mode == "none") made.contexts = Policy::Contexts::none;
  if (mode == "whitelist") made.contexts = Policy::Contexts::whitelist;
  for (const std::string_view entry : json_elements(json_member(trace, "whitelist")))
    made.whitelist.push_back(json_string(entry));
  return made;
}

const Policy& policy() noexcept {
  static const Policy all;
  const Policy* const now = current.load(std::memory_order_acquire);
  return now ? *now : all;
}

void set_policy(const Policy& next) {
  if (policy() == next) return;
  auto* const made = new Policy(next);
  made->before = current.load(std::memory_order_relaxed);
  current.store(made, std::memory_order_release);
}

}  // namespace weir::detail
