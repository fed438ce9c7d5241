// Names of segments, hash seeds and the like come from the system; in the simulator, from the seed.
#include <sys/random.h>

#include <cstring>
#include <random>

#include "tests/sim/random_run.h"

namespace {

std::mt19937_64& source() {
  static std::mt19937_64 random(1);
  return random;
}

}  // namespace

namespace weir::test {
void seed_system_randomness(uint64_t seed) { source().seed(seed); }
}  // namespace weir::test

extern "C" ssize_t getrandom(void* out, size_t bytes, unsigned) {
  for (size_t done = 0; done < bytes; done += 8) {
    const uint64_t word = source()();
    std::memcpy(static_cast<char*>(out) + done, &word, std::min<size_t>(8, bytes - done));
  }
  return ssize_t(bytes);
}

void std::random_device::_M_init(const std::string&) {}
void std::random_device::_M_fini() {}
unsigned int std::random_device::_M_getval() { return unsigned(source()()); }
