#pragma once
#include <string>

#include "agent/core/io.h"
#include "agent/core/result.h"

namespace weir {

/// Takes `directory` for this process (delivery.md section 4 rule 9): an OFD lock on the file `lock` in it,
/// which holds the owner's pid. The lock lives as long as the descriptor, which is the caller's. An error
/// says who has it.
Result<int> lock_directory(Io& io, const std::string& directory);

}  // namespace weir
