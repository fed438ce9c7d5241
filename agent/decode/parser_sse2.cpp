#include <emmintrin.h>

#include <cstring>

#include "agent/decode/decoder.h"
#include "agent/decode/parser.h"
#include "agent/decode/reserved.h"

namespace weir::decode {
namespace sse2 {
namespace {
#include "agent/decode/parse_record.h"
}  // namespace
}  // namespace sse2

Fault parse_record_sse2(std::string_view text, std::optional<Stream> default_stream, FieldTable& out,
                        Workspace& work) {
  return sse2::parse_record(text, default_stream, out, work);
}
}  // namespace weir::decode
