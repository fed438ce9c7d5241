#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace weir::cli {

/// What `weir status` shows to people: `now`, and rates from the difference to `before`, taken `seconds`
/// earlier. Both are the object of interface.md section 4; members that are missing are shown as zero or left
/// out. Fits 80 columns, but for the texts of errors: those are never cut.
std::string status_view(const nlohmann::json& before, const nlohmann::json& now, double seconds, bool colour);

}  // namespace weir::cli
