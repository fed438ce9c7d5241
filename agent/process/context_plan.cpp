#include "agent/process/context_plan.h"

#include <emmintrin.h>

#include "agent/process/context_changes.h"

namespace weir {
namespace {

/// The bytes of two values of one record, 16 readable ones behind each.
bool same_bytes(const char* a, const char* b, uint32_t size) {
  for (;; a += 16, b += 16, size -= 16) {
    const __m128i same = _mm_cmpeq_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(a)),
                                        _mm_loadu_si128(reinterpret_cast<const __m128i*>(b)));
    const auto others = uint32_t(_mm_movemask_epi8(same)) ^ 0xFFFFu;
    if (size <= 16) return (others & ((1u << size) - 1)) == 0;
    if (others != 0) return false;
  }
}

// Readable far enough behind their ends.
constexpr char kTexts[] =
    "{}},\"after\":null                                                                      ";
constexpr std::string_view kNothing(kTexts, 2), kEnd(kTexts + 1, 2), kAfter(kTexts + 3, 9),
    kNull(kTexts + 12, 4);
static_assert(sizeof kTexts > 16 + EditList::kSlack);

}  // namespace

ContextPlan::Slice ContextPlan::slice(const FieldTable& fields, Span span) {
  return {fields.anchor(span.begin), fields.anchor(span.end)};
}

void ContextPlan::add_key(const FieldTable& fields, std::string_view key, const Member* before,
                          const Member* after) {
  const std::string text = std::string(key) + ":{\"before\":";
  parts_ += 3;
  keys_.push_back({Text("{" + text), Text("}," + text), before != nullptr, after != nullptr,
                   before == nullptr ? Slice() : slice(fields, before->value),
                   after == nullptr ? Slice() : slice(fields, after->value)});
}

void ContextPlan::add_edit(const FieldTable& fields, Field field, const EditList& edits) {
  if (edits.empty()) return;
  Edit& edit = edits_.emplace_back();
  edit.where = slice(fields, fields[field].value);
  ++parts_;
  edits.for_each_piece([&](Span of_line, std::string_view text) {
    ++parts_;
    if (text.empty())
      edit.pieces.emplace_back(slice(fields, of_line));
    else
      edit.pieces.emplace_back(Text(text));
  });
}

bool ContextPlan::apply(const RecordView& record, EditList& edits) {
  const FieldTable& fields = record.fields;
  const char* const line = record.line.data();
  changed_.clear();
  for (const Key& key : keys_) {
    const Span before = key.has_before ? key.before.in(fields) : Span();
    const Span after = key.has_after ? key.after.in(fields) : Span();
    if (before.size() > uncut_bytes_ || after.size() > uncut_bytes_) return false;
    if (before.size() == after.size() && same_bytes(line + before.begin, line + after.begin, before.size()))
      continue;
    if (differ(before.of(record.line), after.of(record.line))) changed_.push_back({&key, before, after});
  }
  for (const Edit& edit : edits_) {
    edits.replace(edit.where.in(fields));
    for (const auto& piece : edit.pieces) {
      if (const auto* slice = std::get_if<Slice>(&piece))
        edits.original(slice->in(fields));
      else
        edits.literal(std::get<Text>(piece));
    }
    edits.end();
  }
  write_diff(record, edits);
  return true;
}

void ContextPlan::write_diff(const RecordView& record, EditList& edits) const {
  if (record.fields.sent(Field::ctx_diff))
    edits.replace(record.fields[Field::ctx_diff].value);
  else
    edits.append("ctx_diff");
  const auto value = [&](Span span) { span.size() > 0 ? edits.original(span) : edits.literal(kNull); };
  for (const Found& found : changed_) {
    edits.literal(&found == changed_.data() ? found.key->first : found.key->next);
    value(found.before);
    edits.literal(kAfter);
    value(found.after);
  }
  edits.literal(changed_.empty() ? kNothing : kEnd);
  edits.end();
}

}  // namespace weir
