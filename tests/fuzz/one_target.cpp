// The fuzzer of one target of oracles.h, WEIR_FUZZ_CHECK. ./dev fuzz NAME 60
#include <cstdio>
#include <cstdlib>
#include <random>

#include "tests/fuzz/oracles.h"

// Hash seeds of the agent come from here: what was found once is found again.
void std::random_device::_M_init(const std::string&) {}
void std::random_device::_M_fini() {}
unsigned int std::random_device::_M_getval() { return 0x9E3779B9; }

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string wrong = weir::test::WEIR_FUZZ_CHECK({reinterpret_cast<const char*>(data), size});
  if (wrong.empty()) return 0;
  std::fprintf(stderr, "%s\n", wrong.c_str());
  std::abort();
}
