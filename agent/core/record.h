#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "agent/core/check.h"
#include "agent/core/stream.h"

namespace weir {

/// Half-open byte range of a line.
struct Span {
  uint32_t begin = 0;
  uint32_t end = 0;
  uint32_t size() const { return end - begin; }
  std::string_view of(std::string_view line) const { return line.substr(begin, end - begin); }
  bool operator==(const Span&) const = default;
};

enum class JsonType : uint8_t { null, boolean, number, string, object, array };

/// Reserved top-level fields: those whose type is checked (records.md section 7), those that the agent reads,
/// and those that it adds (found so that none stands twice).
// clang-format off
#define WEIR_FIELDS(X)                                                                         \
  X(stream) X(service) X(trace_id) X(span_id) X(parent_span_id) X(correlation_id) X(scenario)  \
  X(step_name) X(t_enter) X(t_exit) X(status) X(kind) X(message) X(logger) X(name) X(rule)     \
  X(line_no) X(step_index) X(work_index) X(msg_out_count) X(duration_ms)                       \
  X(ctx_before) X(ctx_after) X(ctx_diff) X(ctx) X(ctx_set) X(ctx_unset) X(ctx_id)              \
  X(msg_in) X(msg_out) X(attributes) X(resource) X(error) X(ts) X(level)                       \
  X(ctx_reset) X(_peer) X(_received) X(_id)
// clang-format on
enum class Field : uint8_t {
#define WEIR_FIELD_ENUM(name) name,
  WEIR_FIELDS(WEIR_FIELD_ENUM)
#undef WEIR_FIELD_ENUM
};
#define WEIR_FIELD_ONE(name) +1
inline constexpr size_t kFieldCount = 0 WEIR_FIELDS(WEIR_FIELD_ONE);
#undef WEIR_FIELD_ONE
static_assert(kFieldCount <= 64, "FieldTable keeps presence in one word");

std::string_view field_name(Field field);

/// One `"key": value` of an object. `key` includes its quotes. `key_escaped`: the key holds a backslash,
/// so it must be decoded before it is compared.
struct Member {
  Span key;
  Span value;
  JsonType type = JsonType::null;
  bool key_escaped = false;
};

/// A reserved field found at the top level of a record. For objects, members [first_member, +member_count) of
/// FieldTable::members are its direct children in the order sent (ctx_before, ctx_after, ctx_diff, ctx,
/// ctx_set and msg_in only; 0 for the others).
struct FieldValue : Member {
  uint32_t ordinal = 0;  ///< which member of the record this is, from 0
  uint32_t first_member = 0;
  uint32_t member_count = 0;
};

/// Where the reserved fields of one record are. Reused from record to record: clear() keeps capacity.
/// Filled by a decoder; spans index the line that was decoded.
class FieldTable {
 public:
  void clear() {
    present_ = 0;
    member_count = 0;
    members.clear();
  }
  /// Sent, be it as null.
  bool sent(Field f) const { return (present_ >> unsigned(f)) & 1u; }
  /// Sent and not null (null means absent, records.md section 7).
  bool has(Field f) const { return sent(f) && values_[size_t(f)].type != JsonType::null; }
  const FieldValue& operator[](Field f) const { return values_[size_t(f)]; }
  FieldValue& set(Field f) {
    present_ |= uint64_t(1) << unsigned(f);
    return values_[size_t(f)];
  }

  std::vector<Member> members;    ///< children of context objects and of msg_in
  uint32_t member_count = 0;      ///< how many members the record itself has
  Stream stream = Stream::trace;  ///< normal form, by field or by the listener's default

 private:
  uint64_t present_ = 0;
  std::array<FieldValue, kFieldCount> values_;
};

/// What every decoder builds and every processor reads: a validated line (an object, no line feed) and its
/// table. Owns nothing; valid during one FrameHandler::on_frame.
struct RecordView {
  std::string_view line;
  const FieldTable& fields;
};

}  // namespace weir
