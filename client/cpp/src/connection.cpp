#include "process.h"
namespace weir::detail {
void* run_connection(void*) noexcept { return nullptr; }
}  // namespace weir::detail
