#include "agent/process/whitelist.h"

#include <algorithm>

#include "agent/core/check.h"
#include "agent/core/json.h"

namespace weir {

Whitelist::Whitelist(const std::vector<std::string>& entries) {
  first_.fill(-1);
  std::vector<std::string> sorted = entries;
  std::sort(sorted.begin(), sorted.end());  // UTF-8 sorts by bytes as it does by code points
  sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());
  for (const std::string& text : sorted) {
    const auto index = uint32_t(entries_.size());
    Entry entry{text, {}, text.find('.') != text.npos};
    json::append_quoted(entry.quoted, text);
    if (entry.dotted) {
      dotted_.push_back(index);
      chain_members_max_ += size_t(std::count(text.begin(), text.end(), '.')) + 1;
    }
    int& first = first_[slot(text)];
    entry.next = first;
    first = int(index);
    entries_.push_back(std::move(entry));
  }
}

void Whitelist::select_whole_keys(const ContextSide& side, Selection& out) {
  out.found.assign(entries_.size(), nullptr);
  out.leaves.clear();
  for (const Member& m : side.members) {
    const int entry = find(key_contents(side, m, key_scratch_));
    if (entry < 0) continue;
    out.found[size_t(entry)] = &m;
    out.leaves.emplace_back().member = &m;
  }
}

void Whitelist::select(const ContextSide& side, Selection& out) {
  select_whole_keys(side, out);
  if (dotted_.empty()) return;
  const size_t top_level = out.leaves.size();
  out.chains.clear();
  out.chains.reserve(chain_members_max_);
  for (const uint32_t index : dotted_) {
    if (out.found[index] != nullptr) continue;
    chain_.clear();
    if (!resolve(side, entries_[index].text)) continue;
    WEIR_CHECK(out.chains.size() + chain_.size() <= chain_members_max_);  // the pointers stay good
    const Member* const first = out.chains.data() + out.chains.size();
    out.chains.insert(out.chains.end(), chain_.begin(), chain_.end());
    const auto ancestors = uint32_t(chain_.size() - 1);
    out.found[index] = first + ancestors;
    out.leaves.push_back({first + ancestors, first, ancestors});
  }
  if (out.leaves.size() == top_level) return;

  // An outer leaf begins before those inside of it, so one pass drops what is kept already.
  std::sort(out.leaves.begin(), out.leaves.end(), [](const Selection::Leaf& a, const Selection::Leaf& b) {
    return a.member->key.begin < b.member->key.begin;
  });
  uint32_t kept_to = 0;
  std::erase_if(out.leaves, [&](const Selection::Leaf& leaf) {
    if (leaf.member->key.begin < kept_to) return true;
    kept_to = leaf.member->value.end;
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
