#include "agent/process/whitelist.h"

#include <algorithm>

#include "agent/core/json.h"

namespace weir {

Whitelist::Whitelist(const std::vector<std::string>& entries) {
  std::vector<std::string> sorted = entries;
  std::sort(sorted.begin(), sorted.end());  // UTF-8 sorts by bytes as it does by code points
  sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());
  for (const std::string& text : sorted) {
    const auto index = uint32_t(entries_.size());
    Entry entry{text, {}, text.find('.') != text.npos};
    json::append_quoted(entry.quoted, text);
    if (entry.dotted) dotted_.push_back(index);
    if (by_length_.size() <= text.size()) by_length_.resize(text.size() + 1);
    by_length_[text.size()].push_back(index);
    entries_.push_back(std::move(entry));
  }
}

int Whitelist::find(std::string_view key) const {
  if (key.size() >= by_length_.size()) return -1;
  for (const uint32_t index : by_length_[key.size()]) {
    if (entries_[index].text == key) return int(index);
  }
  return -1;
}

void Whitelist::select_whole_keys(const ContextSide& side, Selection& out) {
  out.found.assign(entries_.size(), {});
  out.leaves.clear();
  out.ancestors.clear();
  for (const Member& m : side.members) {
    const int entry = find(key_contents(side, m, key_scratch_));
    if (entry < 0) continue;
    out.found[size_t(entry)] = {m.key, m.value, m.type, true, true};
    out.leaves.push_back({m.key, m.value});
  }
}

void Whitelist::select(const ContextSide& side, Selection& out) {
  select_whole_keys(side, out);
  const size_t top_level = out.leaves.size();
  for (const uint32_t index : dotted_) {
    if (out.found[index].present) continue;
    chain_.clear();
    if (!resolve(side, entries_[index].text)) continue;
    const Member& leaf = chain_.back();
    out.found[index] = {leaf.key, leaf.value, leaf.type, true, false};
    out.leaves.push_back({leaf.key, leaf.value, uint32_t(out.ancestors.size()), uint32_t(chain_.size() - 1)});
    out.ancestors.insert(out.ancestors.end(), chain_.begin(), chain_.end() - 1);
  }
  if (out.leaves.size() == top_level) return;

  // An outer leaf begins before those inside of it, so one pass drops what is kept already.
  std::sort(out.leaves.begin(), out.leaves.end(),
            [](const Selection::Leaf& a, const Selection::Leaf& b) { return a.key.begin < b.key.begin; });
  uint32_t kept_to = 0;
  std::erase_if(out.leaves, [&](const Selection::Leaf& leaf) {
    if (leaf.key.begin < kept_to) return true;
    kept_to = leaf.value.end;
    return false;
  });
}

/// The first step, over the members that the decoder recorded. The whole path as a key was tried before.
bool Whitelist::resolve(const ContextSide& side, std::string_view path) {
  for (size_t dot = path.find('.'); dot != path.npos; dot = path.find('.', dot + 1)) {
    for (const Member& m : side.members) {
      if (m.type != JsonType::object || key_contents(side, m, key_scratch_) != path.substr(0, dot)) continue;
      chain_.push_back(m);
      if (descend(side, m.value, path.substr(dot + 1))) return true;
      chain_.pop_back();
    }
  }
  return false;
}

bool Whitelist::descend(const ContextSide& side, Span object, std::string_view path) {
  const char* const base = side.text.data();
  for (json::Members m(base, object); m.next();) {
    if (key_contents(side, m.member(), key_scratch_) != path) continue;
    chain_.push_back(m.member());
    return true;
  }
  for (size_t dot = path.find('.'); dot != path.npos; dot = path.find('.', dot + 1)) {
    for (json::Members m(base, object); m.next();) {
      if (m.member().type != JsonType::object) continue;
      if (key_contents(side, m.member(), key_scratch_) != path.substr(0, dot)) continue;
      chain_.push_back(m.member());
      if (descend(side, m.member().value, path.substr(dot + 1))) return true;
      chain_.pop_back();
    }
  }
  return false;
}

}  // namespace weir
