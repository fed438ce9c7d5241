#include <immintrin.h>

#include <cstring>

#include "agent/decode/decoder.h"
#include "agent/decode/parser.h"
#include "agent/decode/reserved.h"

// Only our own code in a namespace of its own is compiled for the newer processors: an inline function of a
// library header compiled so could replace the plain one at link time.
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,bmi,bmi2,lzcnt,popcnt"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,bmi,bmi2,lzcnt,popcnt")
#endif
namespace weir::decode {
namespace avx2 {
namespace {
#define WEIR_AVX2
#include "agent/decode/parse_record.h"
}  // namespace
}  // namespace avx2

Fault parse_record_avx2(std::string_view text, std::optional<Stream> default_stream, FieldTable& out,
                        Workspace& work) {
  return avx2::parse_record(text, default_stream, out, work);
}
}  // namespace weir::decode
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
