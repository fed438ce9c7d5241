#pragma once
#include <cstdint>
#include <string>

#include "agent/cli/connect.h"
#include "agent/cli/line_input.h"
#include "agent/cli/send_session.h"

namespace weir::cli {

/// What `weir send --text --when-full drop` keeps of what the agent has not taken, in bytes of records and
/// their bookkeeping, beside the session's window.
inline constexpr size_t kTextBufferBytes = 16 << 20;

struct TextSendResult {
  std::string failure;  ///< empty: all that was read is settled
  bool input_failed = false;
  uint64_t dropped_lines = 0;
};

/// `weir send --text`: reads lines to the end, sends them as records (TextRecords) and waits for their
/// acknowledgements. An agent that goes away is waited for, and what it did not acknowledge is sent again.
///
/// `drop` false: stops reading where the agent does not take more. True: always reads, starts without an
/// agent too, and drops and counts what the buffer does not hold; the gap is told by one log record.
///
/// The first SIGINT, SIGTERM or SIGHUP lets it read on to the end of a pipe (after the latter two at most 5
/// s), so that the last words of a program stopped by the same signal are kept; the second ends it. Blocks
/// these signals for the rest of the process.
TextSendResult send_text(const IngestAddress& address, LineInput input, SendSession& session,
                         const std::string& service, bool drop);

}  // namespace weir::cli
