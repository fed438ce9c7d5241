#pragma once
#include <string_view>

#include "agent/ingest/request.h"

namespace weir {

/// A control line of the acknowledged line protocol (interface.md section 2): an object whose first key is
/// `weir`.
bool is_control_line(std::string_view line_untrusted);
bool is_hello_line(std::string_view line_untrusted);

/// Errors begin with `bad_hello`, `unknown_level` or `unknown_control`.
Request parse_control_line(std::string_view line_untrusted);
/// The payload of a HELLO frame (proto/WIRE.md). Errors begin with `bad_hello`, `unknown_level` or
/// `bad_version`.
Request parse_hello_frame(std::string_view payload_untrusted);

}  // namespace weir
