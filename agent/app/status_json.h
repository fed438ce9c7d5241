#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "agent/app/reloader.h"
#include "agent/app/topology.h"

namespace weir {

/// `GET /v1/status`, exactly interface.md section 4.
std::string status_json(const TopologyStatus& status, const ReloadState& reload, double uptime_s);
/// `POST /v1/reload`'s answer, interface.md section 7.
std::string reload_json(const ReloadResult& result);

}  // namespace weir
