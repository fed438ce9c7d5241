#pragma once
#include <memory>
#include <optional>
#include <string_view>

#include "agent/core/reason.h"
#include "agent/core/record.h"

namespace weir {

/// Limits of records.md section 7.
inline constexpr uint32_t kDepthMax = 64;
inline constexpr uint32_t kObjectKeysMax = 1024;

/// One pass over untrusted bytes: validates all of them (RFC 8259, UTF-8, duplicate keys, depth, key count),
/// finds the reserved fields and checks their types. Leaves every byte alone. The first fault by byte
/// position wins. Pipe thread only; reused from record to record, no allocation on the steady path.
class Decoder {
 public:
  Decoder();
  ~Decoder();
  /// `payload_untrusted` without line ending, 64 readable bytes behind it. On success `out` is filled,
  /// including out.stream. `default_stream` serves records that name none. On a fault `out` is unspecified.
  Fault decode(std::string_view payload_untrusted, std::optional<Stream> default_stream, FieldTable& out);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Does the line begin (after white space) with `[`?
inline bool is_array_line(std::string_view payload_untrusted) {
  if (payload_untrusted.starts_with('{')) [[likely]]
    return false;
  const size_t at = payload_untrusted.find_first_not_of(" \t\n\r");
  return at != payload_untrusted.npos && payload_untrusted[at] == '[';
}

/// The elements of an array line, in order, once its grammar is right from end to end: one element at a time
/// may then be decoded and judged for itself. Grammar only (RFC 8259); UTF-8, duplicate keys and depth are
/// judged per element. A fault (bad_json) concerns the whole line.
class ArraySplitter {
 public:
  Fault split(std::string_view payload_untrusted);
  const std::vector<Span>& elements() const { return elements_; }

 private:
  std::vector<Span> elements_;
  std::vector<bool> nesting_;
};

}  // namespace weir
