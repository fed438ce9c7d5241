#include "agent/process/context_diff.h"

#include <optional>
#include <span>

#include "agent/core/check.h"
#include "agent/core/json.h"
#include "agent/process/context_changes.h"
#include "agent/process/context_memory.h"
#include "agent/process/context_plan.h"
#include "agent/process/shape_cache.h"
#include "agent/process/value_writer.h"
#include "agent/process/whitelist.h"

namespace weir {
namespace {

/// More keys than a decoder takes (records.md section 7): such a context is written once and not remembered.
constexpr size_t kContextKeysMax = 1024;
/// Of all plans together: hostile shapes may have thousands of keys each.
constexpr size_t kPlannedPartsMax = 32768;

ContextSide side_of(const RecordView& record, Field field) {
  if (!record.fields.has(field)) return {};
  const FieldValue& value = record.fields[field];
  return {record.line, value.value, record.fields.members_of(field), true};
}

class ContextDiff final : public Processor {
 public:
  ContextDiff(const ContextDiffOptions& options, std::shared_ptr<ContextMemory> memory, const Clock& clock)
      : options_(options),
        limits_{options.max_traces, options.max_context_bytes, options.idle_ns},
        whitelist_(options.whitelist),
        memory_(std::move(memory)),
        clock_(clock) {
    WEIR_CHECK(memory_ != nullptr && options_.max_value_len >= 0);
  }

  Verdict process(const RecordView& record, EditList& edits) override {
    const FieldTable& fields = record.fields;
    if (fields.shape() != nullptr && memory_->empty() && process_by_plan(record, edits))
      return Verdict::keep();
    const bool snapshots_sent = fields.has(Field::ctx_before) || fields.has(Field::ctx_after);
    const bool light = fields.has(Field::ctx) || fields.has(Field::ctx_set) || fields.has(Field::ctx_unset);
    for (const Field f : {Field::ctx, Field::ctx_set, Field::ctx_unset}) {
      if (fields.sent(f)) edits.remove(fields[f]);
    }
    if (light && !snapshots_sent) {
      light_form(record, edits);
    } else {
      explicit_form(record, edits);
    }
    return Verdict::keep();
  }

 private:
  bool whitelisted() const { return options_.mode == ContextDiffMode::whitelist; }

  /// False when the record is not for a plan: nothing was written then.
  bool process_by_plan(const RecordView& record, EditList& edits) {
    std::optional<ContextPlan>* known = plans_.find(*record.fields.shape());
    if (known == nullptr) {
      known = &plans_.put(*record.fields.shape());
      if (*known) planned_parts_ -= (**known).parts();
      known->reset();
      if (has_both_contexts(record.fields)) *known = make_plan(record);
      if (*known && planned_parts_ + (**known).parts() > kPlannedPartsMax) known->reset();
      if (*known) planned_parts_ += (**known).parts();
    }
    return *known && (**known).apply(record, edits);
  }

  bool has_both_contexts(const FieldTable& fields) const {
    if (options_.mode == ContextDiffMode::none) return false;
    for (const Field f : {Field::ctx, Field::ctx_set, Field::ctx_unset})
      if (fields.sent(f)) return false;
    for (const Field f : {Field::ctx_before, Field::ctx_after})
      if (!fields.has(f) || fields.shape()->fields[size_t(f)].bare) return false;
    return true;
  }

  /// By the general rules for this record. Its long values must not show, so it is read as if there were
  /// none.
  ContextPlan make_plan(const RecordView& record) {
    const FieldTable& fields = record.fields;
    ContextPlan plan(ValueWriter::uncut_bytes(options_.max_value_len));
    const ContextSide before = side_of(record, Field::ctx_before);
    const ContextSide after = side_of(record, Field::ctx_after);
    EditList edits;
    const auto add_side = [&](const ContextSide& side, Selection& selection, Field field) {
      edits.reset(record.line, fields.member_count);
      filter(side, selection, field, fields, edits, int64_t(UINT32_MAX));
      plan.add_edit(fields, field, edits);
    };
    add_side(before, before_, Field::ctx_before);
    add_side(after, after_, Field::ctx_after);
    if (whitelisted()) {
      for (size_t i = 0; i < whitelist_.entries().size(); ++i)
        if (before_.found[i] != nullptr || after_.found[i] != nullptr)
          plan.add_key(fields, listed_key(i, before, after), before_.found[i], after_.found[i]);
    } else {
      for (const Change& c : changes_.pair(before, after))
        plan.add_key(fields, c.after != nullptr ? after.of(c.after->key) : before.of(c.before->key), c.before,
                     c.after);
    }
    return plan;
  }

  /// Snapshots or a ctx_diff of the client's own, or nothing of all that.
  void explicit_form(const RecordView& record, EditList& edits) {
    const FieldTable& fields = record.fields;
    const ContextSide before = side_of(record, Field::ctx_before);
    const ContextSide after = side_of(record, Field::ctx_after);
    if (fields.has(Field::ctx_after) && !memory_->empty()) update_known(record, after);

    if (options_.mode == ContextDiffMode::none) {
      for (const Field f : {Field::ctx_before, Field::ctx_after, Field::ctx_diff})
        null_if_sent(fields, f, edits);
      return;
    }
    if (fields.has(Field::ctx_before))
      filter(before, before_, Field::ctx_before, fields, edits, options_.max_value_len);
    if (fields.has(Field::ctx_after))
      filter(after, after_, Field::ctx_after, fields, edits, options_.max_value_len);
    const bool both_sent = fields.sent(Field::ctx_before) && fields.sent(Field::ctx_after);
    if (both_sent && (fields.has(Field::ctx_before) || fields.has(Field::ctx_after))) {
      if (!fields.has(Field::ctx_before)) select(before, before_);
      if (!fields.has(Field::ctx_after)) select(after, after_);
      write_diff(before, after, fields, edits);
    } else if (fields.has(Field::ctx_diff)) {
      const ContextSide sent = side_of(record, Field::ctx_diff);
      ValueWriter out(edits, options_.max_value_len);
      out.begin_replace(sent.whole);
      if (whitelisted()) {
        whitelist_.select_whole_keys(sent, before_);
        take_selected(out, sent, before_);
      } else {
        out.take_all(sent);
      }
      out.end();
    }
  }

  /// `ctx`, or `ctx_set` and `ctx_unset`: before comes from the memory.
  void light_form(const RecordView& record, EditList& edits) {
    const FieldTable& fields = record.fields;
    const int64_t now = clock_.monotonic_ns();
    const bool known_id = make_key(record);
    memory_->expire(now, limits_);
    const std::string* remembered = known_id ? memory_->find(key_) : nullptr;
    const bool whole = fields.has(Field::ctx);
    const bool reset = remembered == nullptr && (!whole || (known_id && memory_->was_evicted(key_)));

    const ContextSide before = remembered != nullptr ? parse(*remembered) : parse("{}");
    ContextSide after = side_of(record, Field::ctx);
    if (fields.has(Field::ctx_set) || fields.has(Field::ctx_unset)) {
      const std::string_view unset =
          fields.has(Field::ctx_unset) ? fields[Field::ctx_unset].value.of(record.line) : std::string_view();
      after = merge_.apply(whole ? after : before, side_of(record, Field::ctx_set), unset);
    }

    const bool snapshots = options_.mode != ContextDiffMode::none && options_.snapshots;
    if (options_.mode != ContextDiffMode::none) {
      select(before, before_);
      select(after, after_);
    }
    emit_light(fields, Field::ctx_before, "ctx_before", snapshots ? &before : nullptr, before_, edits);
    emit_light(fields, Field::ctx_after, "ctx_after", snapshots ? &after : nullptr, after_, edits);
    if (options_.mode == ContextDiffMode::none) {
      emit_light(fields, Field::ctx_diff, "ctx_diff", nullptr, before_, edits);
    } else {
      write_diff(before, after, fields, edits);
    }
    if (reset) write_reset(record, edits);

    if (!known_id) return;
    if (after.members.size() > kContextKeysMax)
      memory_->forget(key_, limits_);
    else
      memory_->remember(key_, after.of(after.whole), now, limits_);
  }

  /// A record with snapshots moves the memory along only where the light form has been used before.
  void update_known(const RecordView& record, const ContextSide& after) {
    const int64_t now = clock_.monotonic_ns();
    memory_->expire(now, limits_);
    if (!make_key(record) || memory_->find(key_) == nullptr) return;
    memory_->remember(key_, after.of(after.whole), now, limits_);
  }

  /// Sets key_ to `ctx_id`, else `trace_id`, in spaces of their own. False when the record has neither.
  bool make_key(const RecordView& record) {
    for (const Field f : {Field::ctx_id, Field::trace_id}) {
      if (!record.fields.has(f)) continue;
      const FieldValue& id = record.fields[f];
      const std::string_view raw = id.value.of(record.line);
      key_ = f == Field::ctx_id ? 'c' : 't';
      if (id.type == JsonType::string)
        json::decode_string(raw, key_);
      else if (id.type == JsonType::number)
        key_ += raw;
      else
        continue;
      return true;
    }
    return false;
  }

  /// A context that the memory holds, its members read into memory_members_.
  ContextSide parse(std::string_view text) {
    const Span whole{0, uint32_t(text.size())};
    memory_members_.clear();
    for (json::Members m(text.data(), whole); m.next();) memory_members_.push_back(m.member());
    return {text, whole, memory_members_, false};
  }

  void select(const ContextSide& side, Selection& selection) {
    if (whitelisted()) whitelist_.select(side, selection);
  }

  void null_if_sent(const FieldTable& fields, Field field, EditList& edits) {
    if (!fields.has(field)) return;
    edits.replace(fields[field].value);
    edits.text("null");
    edits.end();
  }

  /// One snapshot that was sent as an object. Leaves the selection for write_diff().
  void filter(const ContextSide& side, Selection& selection, Field field, const FieldTable& fields,
              EditList& edits, int64_t max_value_len) {
    select(side, selection);
    if (!options_.snapshots) return null_if_sent(fields, field, edits);
    ValueWriter out(edits, max_value_len);
    out.begin_replace(side.whole);
    take_side(out, side, selection);
    out.end();
  }

  /// A field of the light form; `side` nullptr is null.
  void emit_light(const FieldTable& fields, Field field, std::string_view name, const ContextSide* side,
                  const Selection& selection, EditList& edits) {
    if (side == nullptr && fields.sent(field) && !fields.has(field)) return;
    ValueWriter out(edits, options_.max_value_len);
    begin(out, fields, field, name);
    if (side == nullptr)
      out.text("null");
    else
      take_side(out, *side, selection);
    out.end();
  }

  static void begin(ValueWriter& out, const FieldTable& fields, Field field, std::string_view name) {
    if (fields.sent(field))
      out.begin_replace(fields[field].value);
    else
      out.begin_append(name);
  }

  void take_side(ValueWriter& out, const ContextSide& side, const Selection& selection) {
    if (whitelisted())
      take_selected(out, side, selection);
    else
      out.take_all(side);
  }

  /// The kept members in the order sent, nested where they were nested.
  void take_selected(ValueWriter& out, const ContextSide& side, const Selection& selection) {
    bool first = true;
    open_.clear();
    const auto close_until = [&](uint32_t position) {
      while (!open_.empty() && open_.back().end <= position) {
        out.take(side, open_.back().end - 1, open_.back().end);
        open_.pop_back();
        first = false;
      }
    };
    out.take(side, side.whole.begin, side.whole.begin + 1);
    for (const Selection::Leaf& leaf : selection.leaves) {
      close_until(leaf.member->key.begin);
      for (auto depth = uint32_t(open_.size()); depth < leaf.ancestor_count; ++depth) {
        const Member& ancestor = leaf.ancestors[depth];
        out.take(side, ancestor.key.begin, ancestor.value.begin + 1, !first);
        open_.push_back(ancestor.value);
        first = true;
      }
      out.take_member(side, leaf.member->key, leaf.member->value, !first);
      first = false;
    }
    close_until(side.whole.end);
    out.take(side, side.whole.end - 1, side.whole.end);
  }

  void write_diff(const ContextSide& before, const ContextSide& after, const FieldTable& fields,
                  EditList& edits) {
    ValueWriter out(edits, options_.max_value_len);
    begin(out, fields, Field::ctx_diff, "ctx_diff");
    glue_.assign(1, '{');
    if (whitelisted())
      write_listed_changes(out, before, after);
    else
      write_all_changes(out, before, after);
    glue_ += '}';
    out.text(glue_);
    out.end();
  }

  void write_all_changes(ValueWriter& out, const ContextSide& before, const ContextSide& after) {
    for (const Change& c : changes_.compute(before, after)) {
      const std::string_view key = c.after != nullptr ? after.of(c.after->key) : before.of(c.before->key);
      write_change(out, key, before, c.before == nullptr ? Span() : c.before->value, after,
                   c.after == nullptr ? Span() : c.after->value);
    }
  }

  /// The entries are sorted, so their changes are.
  void write_listed_changes(ValueWriter& out, const ContextSide& before, const ContextSide& after) {
    for (size_t i = 0; i < whitelist_.entries().size(); ++i) {
      const Member* const b = before_.found[i];
      const Member* const a = after_.found[i];
      const Span old_value = b == nullptr ? Span() : b->value;
      const Span new_value = a == nullptr ? Span() : a->value;
      if (!differ(before.of(old_value), after.of(new_value))) continue;
      write_change(out, listed_key(i, before, after), before, old_value, after, new_value);
    }
  }

  /// Entry `index` as ctx_diff has it: as sent where it is a key of the context, else as it was configured.
  std::string_view listed_key(size_t index, const ContextSide& before, const ContextSide& after) const {
    const Member* const b = before_.found[index];
    const Member* const a = after_.found[index];
    if (a != nullptr && whitelist_.is_top_level(after, index, *a)) return after.of(a->key);
    if (b != nullptr && whitelist_.is_top_level(before, index, *b)) return before.of(b->key);
    return whitelist_.entries()[index].quoted;
  }

  /// `key` as a JSON string; an empty span is an absent value. What stands between values gathers in glue_,
  /// so that it becomes one piece.
  void write_change(ValueWriter& out, std::string_view key, const ContextSide& before, Span old_value,
                    const ContextSide& after, Span new_value) {
    if (glue_.back() == '}') glue_ += ',';
    glue_ += key;
    glue_ += ":{\"before\":";
    write_value(out, before, old_value);
    glue_ += ",\"after\":";
    write_value(out, after, new_value);
    glue_ += '}';
  }

  void write_value(ValueWriter& out, const ContextSide& side, Span value) {
    if (value.size() == 0) {
      glue_ += "null";
      return;
    }
    out.text(glue_);
    glue_.clear();
    out.take_value(side, value);
  }

  /// A `ctx_reset` of the client's own gives way: one key, one value.
  static void write_reset(const RecordView& record, EditList& edits) {
    const std::string_view sent = json::find_key(record.line, "ctx_reset");
    if (sent.empty()) {
      edits.append("ctx_reset");
    } else {
      const auto begin = uint32_t(sent.data() - record.line.data());
      edits.replace({begin, begin + uint32_t(sent.size())});
    }
    edits.text("true");
    edits.end();
  }

  const ContextDiffOptions options_;
  const ContextMemory::Limits limits_;
  Whitelist whitelist_;
  std::shared_ptr<ContextMemory> memory_;
  const Clock& clock_;
  ShapeCache<std::optional<ContextPlan>> plans_;  // none: not for a plan
  size_t planned_parts_ = 0;                      // of all of them
  Selection before_, after_;
  ContextChanges changes_;
  ContextMerge merge_;
  std::vector<Member> memory_members_;
  std::vector<Span> open_;  // ancestors that take_selected() is inside of
  std::string key_;
  std::string glue_;  // text of a diff that is not written yet
};

}  // namespace

std::unique_ptr<Processor> make_context_diff(const ContextDiffOptions& options,
                                             std::shared_ptr<ContextMemory> memory, const Clock& clock) {
  return std::make_unique<ContextDiff>(options, std::move(memory), clock);
}

}  // namespace weir
