#pragma once
#include <cstdio>
#include <cstdlib>

/// An assertion about our own code, on in release too (architecture.md section 6, class "bug").
/// Never reachable from input.
#define WEIR_CHECK(condition)                                                                       \
  do {                                                                                              \
    if (!(condition)) [[unlikely]] {                                                                \
      std::fprintf(stderr, "weir: bug: %s:%d: %s does not hold\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                                 \
    }                                                                                               \
  } while (false)
