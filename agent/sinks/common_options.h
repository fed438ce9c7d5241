#pragma once
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/core/options.h"
#include "agent/journal/journal.h"

namespace weir {

/// The options that every kind of sink has (interface.md section 7), behind its own. `when_full`: the default
/// of its kind.
OptionTable with_common_options(OptionTable own, std::string_view when_full);

/// {option, text} for each mistake in them.
std::vector<std::pair<std::string, std::string>> check_common_options(const Settings& settings);

/// When the journal may give up records that the sink has not passed.
LagLimit lag_limit_of(const Settings& settings);
StartAt start_of(const Settings& settings);

}  // namespace weir
