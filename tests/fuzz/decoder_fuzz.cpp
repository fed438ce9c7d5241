// Records of one producer, one a line: what a decoder with experience says of each, on every instruction set,
// beside a fresh one and two parsers of others, and what is left behind the processors (decoder_oracle.h).
// ./dev fuzz decoder 60
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>

#include "tests/fuzz/decoder_oracle.h"
#include "tests/fuzz/record_mutator.h"

// Hash seeds of the agent come from here: what was found once is found again.
void std::random_device::_M_init(const std::string&) {}
void std::random_device::_M_fini() {}
unsigned int std::random_device::_M_getval() { return 0x9E3779B9; }

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace {

using weir::test::DecoderOracle;

DecoderOracle::Counts total;

void say_counts() {
  const auto share = [&](uint64_t n) {
    return total.accepted == 0 ? 0 : 100.0 * double(n) / double(total.accepted);
  };
  std::fprintf(stderr, "decoder: %llu records, %llu accepted, %llu of these (%.1f %%) known by shape\n",
               static_cast<unsigned long long>(total.records),
               static_cast<unsigned long long>(total.accepted), static_cast<unsigned long long>(total.known),
               share(total.known));
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  std::atexit(say_counts);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view all(reinterpret_cast<const char*>(data), size);
  DecoderOracle oracle;
  // Twice: what was learned from the last record is known of the first, too.
  for (int round = 0; round < 2; ++round)
    for (std::string_view left = all; !left.empty();) {
      const std::string_view record = left.substr(0, left.find('\n'));
      left.remove_prefix(std::min(record.size() + 1, left.size()));
      const std::string wrong = oracle.check(record);
      if (wrong.empty()) continue;
      std::fprintf(stderr, "decoder: %s\nrecord: %.*s\n", wrong.c_str(), int(record.size()), record.data());
      std::abort();
    }
  total += oracle.counts();
  return 0;
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
  if (seed % 5 == 0) return LLVMFuzzerMutate(data, size, max_size);
  std::string lines(reinterpret_cast<const char*>(data), size);
  weir::test::RecordMutator(seed).mutate(lines);
  // Too long: the first records go, for they have been learned from long ago.
  while (lines.size() > max_size && lines.find('\n') + 1 < lines.size()) lines.erase(0, lines.find('\n') + 1);
  if (lines.size() > max_size || lines.empty()) return LLVMFuzzerMutate(data, size, max_size);
  std::memcpy(data, lines.data(), lines.size());
  return lines.size();
}
