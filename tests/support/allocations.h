#pragma once
#include <cstdint>

namespace weir::test {

/// Calls of operator new on this thread so far. Programs that use it define it once, in a source of its own,
/// where the compiler cannot look through it (allocation_count_test.cpp).
uint64_t allocations();

}  // namespace weir::test
