#pragma once
#include <string>

#include "agent/app/reloader.h"
#include "agent/app/topology.h"

namespace weir {

enum class MetricsFormat { prometheus, open_metrics };

/// What a scraper that sends this `Accept` header gets.
MetricsFormat metrics_format(std::string_view accept);
std::string_view metrics_content_type(MetricsFormat format);

/// `GET /metrics`: the counters of the conservation law under the names of interface.md section 4, of one
/// moment, and those of the process. Labels are names of the configuration, so their number is bounded by it;
/// clients are summed up.
std::string metrics_text(const TopologyStatus& status, const ReloadState& reload, double uptime_s,
                         MetricsFormat format);

}  // namespace weir
