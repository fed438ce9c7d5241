#pragma once
#include <cstddef>
#include <functional>
#include <memory>
#include <string_view>

#include "agent/sinks/rotated_name.h"

namespace weir {

/// Compresses a stream of bytes in bounded memory. One thread.
class Packer {
 public:
  /// Takes compressed bytes; false: give up.
  using Output = std::function<bool(std::string_view bytes)>;
  virtual ~Packer() = default;
  /// `last`: there is no more. False: output gave up, or the library failed; it is of no use then.
  virtual bool feed(std::string_view bytes, bool last, const Output& output) = 0;
};

/// Null when the library has no memory. `packing` is not none.
std::unique_ptr<Packer> make_packer(Packing packing);

}  // namespace weir
