#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "agent/core/frame_handler.h"
#include "proto/frames.h"

namespace weir {

struct WelcomeReply {
  std::string_view client_id;
  AckLevel level = AckLevel::received;  ///< granted
  uint64_t last_seq = 0;
  size_t record_bytes_max = 0;
  std::string_view policy;  ///< a JSON object
  bool rings = false;       ///< shared-memory rings may be attached
};

/// What the agent says to a numbered client: one meaning, two forms (interface.md section 2, proto/WIRE.md).
/// Each appends to `out`. Stateless.
class Replies {
 public:
  virtual void welcome(std::string& out, const WelcomeReply& welcome) const = 0;
  virtual void reject(std::string& out, const RejectNote& note) const = 0;
  virtual void ack(std::string& out, uint64_t seq) const = 0;
  virtual void nack(std::string& out, uint64_t seq, frames::NackCode code) const = 0;
  /// `id` as the client sent it; everything up to `seq` has the level.
  virtual void synced(std::string& out, std::string_view id, uint64_t seq) const = 0;
  virtual void bye(std::string& out, std::string_view reason) const = 0;
  /// Frames only: what became of a RING frame.
  virtual void ring(std::string& out, uint8_t what, uint64_t ring_id, uint16_t code,
                    std::string_view text) const = 0;
  virtual void policy(std::string& out, std::string_view policy) const = 0;
  virtual void error(std::string& out, std::string_view reason, std::string_view detail) const = 0;

 protected:
  ~Replies() = default;
};

const Replies& line_replies();
const Replies& frame_replies();

}  // namespace weir
