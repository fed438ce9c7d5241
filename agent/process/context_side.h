#pragma once
#include <span>
#include <string>
#include <string_view>

#include "agent/core/json.h"
#include "agent/core/record.h"

namespace weir {

/// One context (or a sent ctx_diff) as text: a part of the record's own line, or text that the memory or a
/// merge holds. Absent and null are the empty context: no members, `whole` is empty.
struct ContextSide {
  std::string_view text;  ///< what all spans index
  Span whole;             ///< the object, braces included
  std::span<const Member> members;
  bool in_line = false;  ///< `text` is the record's line, so its slices are copied as `original`

  std::string_view of(Span span) const { return span.of(text); }
};

/// Contents of a key for comparing. `scratch` is used only when the key holds escapes.
inline std::string_view key_contents(const ContextSide& side, const Member& member, std::string& scratch) {
  const std::string_view raw(side.text.data() + member.key.begin, member.key.size());
  if (!member.key_escaped) return {raw.data() + 1, raw.size() - 2};
  scratch.clear();
  json::decode_string(raw, scratch);
  return scratch;
}

}  // namespace weir
