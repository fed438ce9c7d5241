#pragma once
#include <optional>
#include <vector>

#include "agent/config/config.h"
#include "agent/core/sandbox.h"

namespace weir {

/// What the agent started with this configuration opens, then or at a later reload of the same places, and
/// what `sandbox: {write, read}` adds.
SandboxPaths sandbox_paths(const Config& config, const std::vector<PathUse>& uses,
                           const ConfigRequest& request);

/// enter_sandbox() with these, where the configuration has a `sandbox`. Makes its directories before, since
/// only what is there can be let in. Before there are threads.
Result<std::optional<Sandbox>> enter_sandbox(const LoadedConfig& loaded, const ConfigRequest& request);

/// One error for each place that a running sandbox keeps closed, with what to do about it. For whatever is
/// about to apply a configuration: reload, plan, check.
std::vector<ConfigError> outside_of(const Sandbox& sandbox, const std::vector<PathUse>& uses);

}  // namespace weir
