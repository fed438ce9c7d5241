#pragma once
#include <cstdint>
#include <string_view>

#include "agent/ingest/input_buffer.h"

namespace weir {

/// One frame; kReadablePadding readable bytes follow its payload.
struct Frame {
  uint8_t type = 0, flags = 0;
  std::string_view payload;
};

/// Cuts the bytes of one connection, behind the magic, into frames (proto/WIRE.md). In each turn of its
/// InputBuffer: next()...
class FrameReader {
 public:
  enum class Got {
    frame,
    nothing,   ///< the rest of it has not come yet
    too_long,  ///< it says it is longer than frames may be: no byte behind it can be made sense of
  };
  explicit FrameReader(InputBuffer& input) : input_(input) {}

  Got next(Frame& out);
  /// The frame that next() gave comes again.
  void put_back() { input_.give_back(frame_bytes_); }
  /// After `nothing`: the frame that has begun, with as much of its payload as has come. False: not even its
  /// first eight bytes have.
  bool unfinished(Frame& out) const;

 private:
  InputBuffer& input_;
  size_t frame_bytes_ = 0;  // of the one given last
};

}  // namespace weir
