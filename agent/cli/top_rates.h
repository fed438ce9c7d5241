#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string_view>

namespace weir::cli {

/// What happened between two answers of GET /v1/status (interface.md section 4): what `weir top -o json`
/// prints, and what top_view() shows. Counters become `..._per_s`, by the agent's own clock; null where there
/// is nothing to compare with, because `before` is null, or the agent was started again, or has just met that
/// source, sink or client. Members that are missing count as zero.
nlohmann::json top_rates(const nlohmann::json& before, const nlohmann::json& now);

/// What top_rates() also wants to know of an agent, from its GET /metrics: `memory_bytes`, and of each sink
/// `deliveries` and `delivery_seconds`, the time that they took.
void add_metrics(nlohmann::json& status, std::string_view metrics);

}  // namespace weir::cli
