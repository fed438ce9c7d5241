#include "agent/core/record.h"

#include <algorithm>

#include "agent/core/json.h"

namespace weir {

void FieldTable::find(Field f) const {
  if (shape_ == nullptr || !sent(f)) return;
  known_ |= uint64_t(1) << unsigned(f);
  const RecordShape::Entry& entry = shape_->fields[size_t(f)];
  FieldValue& value = values_[size_t(f)];
  value.key = {at(entry.key), at(entry.key_end)};
  value.value = {at(entry.value), at(entry.value_end)};
  value.type = entry.bare ? json::type_of(line_[value.value.begin]) : entry.type;
  value.key_escaped = false;
  value.ordinal = entry.ordinal, value.first_member = entry.first_member,
  value.member_count = entry.member_count;
}

RecordShape::Anchor FieldTable::anchor(uint32_t position) const {
  const uint32_t* const begins = glue_begins_.get();
  const uint32_t* const glue = std::upper_bound(begins, begins + shape_->glues, position) - 1;
  return {uint16_t(glue - begins), int16_t(position - *glue)};
}

void FieldTable::find_members(const FieldValue& value) const {
  members_.resize(shape_->members.size());
  for (uint32_t i = value.first_member; i < value.first_member + value.member_count; ++i) {
    const RecordShape::Entry& entry = shape_->members[i];
    Member& member = members_[i];
    member.key = {at(entry.key), at(entry.key_end)};
    member.value = {at(entry.value), at(entry.value_end)};
    member.type = entry.bare ? json::type_of(line_[member.value.begin]) : entry.type;
    member.key_escaped = false;
  }
}

}  // namespace weir
