#pragma once
// Included by one source of a test program: from there on its operator new counts (allocations.h).
#include <cstdlib>
#include <new>

#include "tests/support/allocations.h"

namespace {
thread_local uint64_t count = 0;
}

void* operator new(size_t bytes) {
  ++count;
  if (void* p = std::malloc(bytes == 0 ? 1 : bytes)) return p;
  throw std::bad_alloc();
}
void* operator new(size_t bytes, const std::nothrow_t&) noexcept {
  ++count;
  return std::malloc(bytes == 0 ? 1 : bytes);
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete(void* p, size_t) noexcept { std::free(p); }

uint64_t weir::test::allocations() { return count; }
