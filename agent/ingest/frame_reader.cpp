#include "agent/ingest/frame_reader.h"

#include "proto/frames.h"

namespace weir {

FrameReader::Got FrameReader::next(Frame& out) {
  if (!unfinished(out)) return Got::nothing;
  const uint64_t payload_bytes = frames::load<uint32_t>(input_.data());
  if (payload_bytes > input_.record_bytes_max() + frames::kPayloadSlackBytes) return Got::too_long;
  if (out.payload.size() < payload_bytes) return Got::nothing;
  out.payload = out.payload.substr(0, payload_bytes);
  frame_bytes_ = frames::kHeaderBytes + payload_bytes;
  input_.take(frame_bytes_);
  return Got::frame;
}

bool FrameReader::unfinished(Frame& out) const {
  if (input_.size() < frames::kHeaderBytes) return false;
  const char* begin = input_.data();
  out.type = uint8_t(begin[4]), out.flags = uint8_t(begin[5]);
  out.payload = {begin + frames::kHeaderBytes, input_.size() - frames::kHeaderBytes};
  return true;
}

}  // namespace weir
