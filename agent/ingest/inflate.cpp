#include "agent/ingest/inflate.h"

#include <libdeflate.h>

#include <algorithm>
#include <memory>

namespace weir {
namespace {

constexpr size_t kPadding = 64;

struct FreeDecompressor {
  void operator()(libdeflate_decompressor* d) const { libdeflate_free_decompressor(d); }
};

}  // namespace

tl::expected<std::string, InflateError> inflate_gzip(std::string_view compressed) {
  thread_local std::unique_ptr<libdeflate_decompressor, FreeDecompressor> decompressor(
      libdeflate_alloc_decompressor());
  const size_t most =
      std::min(kInflatedBytesMax, std::max(compressed.size() * kInflationRatioMax, kInflationFree));
  std::string out;
  size_t used = 0;
  while (!compressed.empty()) {
    // Nobody's word is taken for the size: the buffer grows by need, up to the limit.
    for (size_t room = std::max<size_t>(compressed.size() * 4, 64 << 10);; room *= 2) {
      const size_t capacity = std::min(used + room, most);
      out.resize(capacity + kPadding);
      size_t read = 0, written = 0;
      const auto result =
          libdeflate_gzip_decompress_ex(decompressor.get(), compressed.data(), compressed.size(),
                                        out.data() + used, capacity - used, &read, &written);
      if (result == LIBDEFLATE_INSUFFICIENT_SPACE && capacity < most) continue;
      if (result == LIBDEFLATE_INSUFFICIENT_SPACE)
        return tl::unexpected(InflateError{
            true, "inflated it is larger than " + std::to_string(most) + " bytes; send smaller batches"});
      if (result != LIBDEFLATE_SUCCESS || read == 0)
        return tl::unexpected(InflateError{false, "the body is not whole gzip data"});
      used += written;
      compressed.remove_prefix(read);
      break;
    }
  }
  out.resize(used);
  return out;
}

}  // namespace weir
