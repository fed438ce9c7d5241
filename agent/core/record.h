#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
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

/// A reserved field found at the top level of a record. For objects, members [first_member, +member_count)
/// are its direct children in the order sent (ctx_before, ctx_after, ctx_diff, ctx, ctx_set and msg_in only;
/// 0 for the others).
struct FieldValue : Member {
  uint32_t ordinal = 0;  ///< which member of the record this is, from 0
  uint32_t first_member = 0;
  uint32_t member_count = 0;
};

/// What all records of one shape have in common: they differ in the contents of their strings and in their
/// bare scalars only, so keys, order, nesting and white space are the same. A line of the shape is a sequence
/// of *glue* (fixed bytes), and where each run of glue begins tells where everything else is.
struct RecordShape {
  static constexpr size_t kGluesMax = 512;
  /// So many a decoder knows at a time; their ids follow each other.
  static constexpr size_t kKnownMax = 256;
  /// A position in the line: so many bytes from where that run of glue begins.
  struct Anchor {
    uint16_t glue = 0;
    int16_t offset = 0;
  };
  struct Entry {
    Anchor key, key_end, value, value_end;
    JsonType type = JsonType::null;
    bool bare = false;  ///< the type is what the value's first byte says
    uint32_t ordinal = 0, first_member = 0, member_count = 0;  ///< FieldValue
  };
  uint64_t id = 0;     ///< never 0, never used for another shape
  uint32_t glues = 0;  ///< how many runs of glue there are
  uint64_t present = 0;
  uint32_t member_count = 0;     ///< of the record
  std::optional<Stream> stream;  ///< as named in the record, which is part of the shape
  std::array<Entry, kFieldCount> fields{};
  std::vector<Entry> members;
};

/// Where the reserved fields of one record are. Reused from record to record: clear() keeps capacity.
/// Filled by a decoder; spans index the line that was decoded, which has to be there as long as the table is
/// used.
class FieldTable {
 public:
  void clear() {
    present_ = known_ = 0;
    member_count = 0;
    shape_ = nullptr;
    members_.clear();
  }
  /// Sent, be it as null.
  bool sent(Field f) const { return (present_ >> unsigned(f)) & 1u; }
  /// Sent and not null (null means absent, records.md section 7).
  bool has(Field f) const {
    if (!sent(f)) return false;
    if (shape_ != nullptr && !shape_->fields[size_t(f)].bare) return true;
    return (*this)[f].type != JsonType::null;
  }
  const FieldValue& operator[](Field f) const {
    if (((known_ >> unsigned(f)) & 1u) == 0) find(f);
    return values_[size_t(f)];
  }
  FieldValue& set(Field f) {
    present_ |= uint64_t(1) << unsigned(f);
    known_ |= uint64_t(1) << unsigned(f);
    return values_[size_t(f)];
  }
  /// The direct children of a field that lists them (FieldValue).
  std::span<const Member> members_of(Field f) const {
    const FieldValue& value = (*this)[f];
    if (shape_ != nullptr) find_members(value);
    return std::span<const Member>(members_).subspan(value.first_member, value.member_count);
  }
  /// For decoders: the next child of a field. References to earlier ones end.
  Member& add_member() { return members_.emplace_back(); }
  size_t members() const { return members_.size(); }

  /// Instead of clear() and set(): a line of this shape, whose positions are in glue_begins(). The shape
  /// outlives the table's use of it, as the line does.
  void set_shape(std::string_view line, const RecordShape& shape) {
    present_ = shape.present;
    known_ = 0;
    member_count = shape.member_count;
    shape_ = &shape, line_ = line.data();
  }
  /// Room for the position of each run of glue, for set_shape().
  uint32_t* glue_begins() {
    if (!glue_begins_) [[unlikely]]
      glue_begins_ = std::make_unique<uint32_t[]>(RecordShape::kGluesMax);
    return glue_begins_.get();
  }
  /// Null when it is not known: then nothing can be said of other records by this one.
  const RecordShape* shape() const { return shape_; }
  /// Where an anchor of the shape is in this line, and the anchor of a position in the line: of a byte of
  /// glue, or of either end of a hole.
  RecordShape::Anchor anchor(uint32_t position) const;
  uint32_t at(RecordShape::Anchor anchor) const {
    return glue_begins_[anchor.glue] + uint32_t(int32_t(anchor.offset));
  }

  uint32_t member_count = 0;      ///< how many members the record itself has
  Stream stream = Stream::trace;  ///< normal form, by field or by the listener's default

 private:
  void find(Field f) const;
  void find_members(const FieldValue& value) const;

  uint64_t present_ = 0;
  mutable uint64_t known_ = 0;  // which entries of values_ are filled in
  const RecordShape* shape_ = nullptr;
  const char* line_ = nullptr;
  std::unique_ptr<uint32_t[]> glue_begins_;
  mutable std::vector<Member> members_;
  mutable std::array<FieldValue, kFieldCount> values_;
};

/// What every decoder builds and every processor reads: a validated line (an object, no line feed) and its
/// table. Owns nothing; valid during one FrameHandler::on_frame.
struct RecordView {
  std::string_view line;
  const FieldTable& fields;
};

}  // namespace weir
