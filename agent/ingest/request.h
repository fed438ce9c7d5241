#pragma once
#include <cstdint>
#include <string>

#include "agent/core/frame_handler.h"

namespace weir {

/// A client's numbers end here, so that counting on from one cannot wrap around.
inline constexpr uint64_t kSeqMax = UINT64_MAX / 2;

/// What a client asks for beside taking its records; lines and frames have the same (interface.md section 2).
/// Obeyed when the records before it are in.
struct Request {
  enum class Kind {
    hello,
    sync,  ///< `text`: the id, as it is to come back
    bye,
    jump,   ///< the next record has the number `number`
    ring,   ///< `text`: the payload of a RING frame
    drops,  ///< the client has dropped `number` records itself; `text` says why
    error,  ///< not understood, the connection ends; `text`: `REASON_WORD: detail`
  };
  Kind kind = Kind::bye;
  Hello hello = {};
  std::string text = {};
  uint64_t number = 0;
};

}  // namespace weir
