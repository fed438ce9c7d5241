#pragma once
#include <string>
#include <string_view>

#include "agent/core/ack_level.h"
#include "agent/core/frame_handler.h"
#include "agent/core/result.h"

namespace weir {

/// A control line of the acknowledged line protocol (interface.md section 2): an object whose first key is
/// `weir`.
struct ControlLine {
  enum class Kind { hello, sync, bye };
  Kind kind = Kind::bye;
  Hello hello;
  AckLevel level = AckLevel::received;  ///< granted, which may be less than asked
  std::string id = "null";              ///< of a sync, as JSON
};

bool is_control_line(std::string_view line_untrusted);
bool is_hello_line(std::string_view line_untrusted);

/// Errors begin with the reason word: `bad_hello: ...`, `unknown_level: ...`, `unknown_control: ...`.
Result<ControlLine> parse_control_line(std::string_view line_untrusted);
std::string_view first_word(std::string_view error);

/// With line feed. `policy` is a JSON object.
std::string welcome_line(const ControlLine& line, const Producer& producer, const Welcome& welcome,
                         size_t record_bytes_max, const std::string& policy);

}  // namespace weir
