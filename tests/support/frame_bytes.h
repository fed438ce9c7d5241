#pragma once
#include <string>

#include "proto/frames.h"

namespace weir::test {

/// One frame as it goes over the wire.
inline std::string frame(frames::Type type, const std::string& payload, uint8_t flags = 0) {
  std::string out;
  frames::append_header(out, type, payload.size(), flags);
  return out + payload;
}

inline std::string u64(uint64_t value) {
  std::string out;
  frames::append(out, value);
  return out;
}

/// REC_JSON.
inline std::string records(uint64_t first_seq, const std::string& lines) {
  return frame(frames::kRecJson, u64(first_seq) + lines);
}

}  // namespace weir::test
