#pragma once
#include <memory>

#include "agent/config/config.h"
#include "agent/core/clock.h"
#include "agent/core/io.h"
#include "agent/core/result.h"
#include "agent/journal/journal.h"

namespace weir {

/// The journal that the configuration asks for. An error says why it cannot be had, and what to do.
/// `io` and `clock` outlive it.
Result<std::unique_ptr<Journal>> make_journal(const Config& config, Io& io, const Clock& clock);

}  // namespace weir
