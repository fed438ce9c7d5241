#pragma once
#include <array>
#include <cstdint>
#include <string_view>

namespace weir {

/// Why a record was refused (records.md section 7). The values are the frame codes of interface.md section 7.
enum class Reason : uint8_t {
  none = 0,
  bad_json = 1,
  not_an_object = 2,
  no_stream = 3,
  unknown_stream = 4,
  bad_utf8 = 5,
  duplicate_key = 6,
  too_long = 7,
  too_deep = 8,
  too_many_keys = 9,
  bad_field = 10,
  truncated = 11,
};
inline constexpr size_t kReasonCount = 12;

std::string_view reason_name(Reason reason);

/// A refusal: which rule, at which byte of the record, and a sentence that names at most reserved fields,
/// never input bytes. `detail` points to static text.
struct Fault {
  Reason reason = Reason::none;
  uint32_t offset = 0;
  std::string_view detail;
  explicit operator bool() const { return reason != Reason::none; }
};

}  // namespace weir
