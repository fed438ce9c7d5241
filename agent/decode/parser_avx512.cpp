#include <immintrin.h>

#include <cstring>

#include "agent/decode/decoder.h"
#include "agent/decode/parser.h"
#include "agent/decode/reserved.h"

// As parser_avx2.cpp; only the index of a record is made in larger steps (quote_stream.h).
// Only our own code in a namespace of its own is compiled for the newer processors: an inline function of a
// library header compiled so could replace the plain one at link time.
#if defined(__clang__)
#pragma clang attribute push(                                                                               \
    __attribute__((target("avx2,bmi,bmi2,lzcnt,popcnt,avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2"))), \
    apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,bmi,bmi2,lzcnt,popcnt,avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2")
#endif
namespace weir::decode {
namespace avx512 {
namespace {
#define WEIR_AVX2
#define WEIR_AVX512
#include "agent/decode/parse_record.h"
}  // namespace
}  // namespace avx512

Fault parse_record_avx512(std::string_view text, std::optional<Stream> default_stream, FieldTable& out,
                          Workspace& work) {
  return avx512::parse_record(text, default_stream, out, work);
}
}  // namespace weir::decode
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
