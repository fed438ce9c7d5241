#pragma once
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "agent/core/edit_list.h"
#include "agent/core/record.h"

namespace weir {

/// What context_diff does with a record that has both contexts depends on its values only in that equal ones
/// are left out of ctx_diff and long strings are cut. All else is the same for every record of its shape:
/// worked out once by the general rules (context_diff.cpp), it is carried out here.
class ContextPlan {
 public:
  /// `uncut_bytes`: values longer than this are not for a plan.
  explicit ContextPlan(uint32_t uncut_bytes) : uncut_bytes_(uncut_bytes) {}
  ContextPlan() = default;

  /// A key of ctx_diff, in their order; `key` as a JSON string. Null: absent on that side.
  void add_key(const FieldTable& fields, std::string_view key, const Member* before, const Member* after);
  /// What is to become of the field, which `edits` holds as its only edit (or none) of the plan's first
  /// record.
  void add_edit(const FieldTable& fields, Field field, const EditList& edits);

  /// Writes what there is to write. False, with nothing written, when the record has a value that is too
  /// long.
  bool apply(const RecordView& record, EditList& edits);
  /// How many texts and slices it holds, each of about a hundred bytes.
  size_t parts() const { return parts_; }

 private:
  using Anchor = RecordShape::Anchor;
  struct Slice {
    Anchor begin, end;
    Span in(const FieldTable& fields) const { return {fields.at(begin), fields.at(end)}; }
  };
  /// With readable bytes behind it, as EditList::literal() wants them.
  class Text {
   public:
    explicit Text(std::string_view text) : bytes_(text), size_(text.size()) {
      bytes_.resize(size_ + EditList::kSlack);
    }
    operator std::string_view() const { return {bytes_.data(), size_}; }

   private:
    std::string bytes_;
    size_t size_;
  };
  struct Edit {
    Slice where;
    std::vector<std::variant<Slice, Text>> pieces;
  };
  struct Key {
    Text first, next;  ///< what stands before the value: at the beginning of ctx_diff, behind another key
    bool has_before, has_after;
    Slice before, after;
  };
  struct Found {
    const Key* key;
    Span before, after;
  };
  static Slice slice(const FieldTable& fields, Span span);
  void write_diff(const RecordView& record, EditList& edits) const;

  uint32_t uncut_bytes_ = 0;
  size_t parts_ = 0;
  std::vector<Edit> edits_;
  std::vector<Key> keys_;
  std::vector<Found> changed_;  // of the record in hand
};

}  // namespace weir
