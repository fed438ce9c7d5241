#include "agent/process/context_changes.h"

#include <algorithm>

#include "agent/core/json.h"

namespace weir {

void KeyIndex::sort() {
  std::sort(keys_.begin(), keys_.end(),
            [](const auto& a, const auto& b) { return json::compare_strings(a.first, b.first) < 0; });
}

int KeyIndex::find(std::string_view raw_key) const {
  const auto at = std::lower_bound(
      keys_.begin(), keys_.end(), raw_key,
      [](const auto& entry, std::string_view key) { return json::compare_strings(entry.first, key) < 0; });
  return at != keys_.end() && json::same_string(at->first, raw_key) ? int(at->second) : -1;
}

bool differ(std::string_view before, std::string_view after) {
  if (before.empty()) before = "null";
  if (after.empty()) after = "null";
  return before != after && !json::equal_values(before, after);
}

void ContextChanges::add(const ContextSide& before, const Member* b, const ContextSide& after,
                         const Member* a, bool all) {
  const std::string_view old_text = b == nullptr ? std::string_view() : before.of(b->value);
  const std::string_view new_text = a == nullptr ? std::string_view() : after.of(a->value);
  if (all || differ(old_text, new_text)) changes_.push_back({b, a});
}

const std::vector<Change>& ContextChanges::collect(const ContextSide& before, const ContextSide& after,
                                                   bool all) {
  changes_.clear();
  // Producers send both sides in one order: equal spellings side by side need no search.
  size_t same = 0;
  const size_t count = std::min(before.members.size(), after.members.size());
  for (; same < count; ++same) {
    const Member& b = before.members[same];
    const Member& a = after.members[same];
    if (before.of(b.key) != after.of(a.key)) break;
    add(before, &b, after, &a, all);
  }
  // The rest is merged in key order.
  rest_before_.clear();
  rest_after_.clear();
  for (size_t i = same; i < before.members.size(); ++i) {
    rest_before_.add(before.of(before.members[i].key), uint32_t(i));
  }
  for (size_t i = same; i < after.members.size(); ++i) {
    rest_after_.add(after.of(after.members[i].key), uint32_t(i));
  }
  rest_before_.sort();
  rest_after_.sort();
  const auto& b = rest_before_.keys();
  const auto& a = rest_after_.keys();
  for (size_t i = 0, j = 0; i < b.size() || j < a.size();) {
    const auto order = i == b.size()   ? std::strong_ordering::greater
                       : j == a.size() ? std::strong_ordering::less
                                       : json::compare_strings(b[i].first, a[j].first);
    const Member* old_member = order <= 0 ? &before.members[b[i++].second] : nullptr;
    const Member* new_member = order >= 0 ? &after.members[a[j++].second] : nullptr;
    add(before, old_member, after, new_member, all);
  }
  const auto key = [&](const Change& c) {
    return c.after != nullptr ? after.of(c.after->key) : before.of(c.before->key);
  };
  std::sort(changes_.begin(), changes_.end(),
            [&](const Change& x, const Change& y) { return json::compare_strings(key(x), key(y)) < 0; });
  return changes_;
}

void ContextMerge::emit(const ContextSide& side, const Member& member) {
  if (!members_.empty()) text_ += ',';
  const auto begin = uint32_t(text_.size());
  text_ += side.of({member.key.begin, member.value.end});
  Member moved = member;
  moved.key = {begin, begin + member.key.size()};
  moved.value = {uint32_t(text_.size()) - member.value.size(), uint32_t(text_.size())};
  members_.push_back(moved);
}

ContextSide ContextMerge::apply(const ContextSide& base, const ContextSide& set, std::string_view unset) {
  text_.assign(1, '{');
  members_.clear();
  set_.clear();
  unset_.clear();
  for (size_t i = 0; i < set.members.size(); ++i) set_.add(set.of(set.members[i].key), uint32_t(i));
  set_.sort();
  if (!unset.empty()) {
    for (json::Members m(unset.data(), {0, uint32_t(unset.size())}); m.next();) {
      if (m.member().type == JsonType::string) unset_.add(m.member().value.of(unset), 0);
    }
    unset_.sort();
  }
  used_.assign(set.members.size(), false);
  for (const Member& m : base.members) {
    const std::string_view key = base.of(m.key);
    const int index = set_.find(key);
    if (index >= 0) used_[size_t(index)] = true;
    if (unset_.find(key) >= 0) continue;
    if (index >= 0)
      emit(set, set.members[size_t(index)]);
    else
      emit(base, m);
  }
  for (size_t i = 0; i < set.members.size(); ++i) {
    if (!used_[i] && unset_.find(set.of(set.members[i].key)) < 0) emit(set, set.members[i]);
  }
  text_ += '}';
  return {text_, {0, uint32_t(text_.size())}, members_, false};
}

}  // namespace weir
