#pragma once
#include <vector>

#include "agent/core/options.h"

namespace weir {

/// All kinds of listeners, as the configuration sees them.
std::vector<ComponentType> listener_component_types();

}  // namespace weir
