#include "client/cpp/src/members.h"

#include <algorithm>
#include <cstring>
#include <functional>

#include "client/cpp/src/json_text.h"
#include "client/cpp/src/record.h"

namespace weir::detail {
namespace {

/// Of a pair of surrogates both.
size_t escape_length(std::string_view s) {
  if (s.substr(0, 2) != "\\u") return 2;
  const bool first = s.size() > 6 && (s[2] == 'd' || s[2] == 'D') && std::strchr("89abAB", s[3]);
  return first && s.substr(6, 2) == "\\u" ? 12 : 6;
}

/// Of what stands between the quotes of a JSON text: no more than `max` bytes, no escape or code point cut.
size_t kept_of_escaped(std::string_view text, size_t max) {
  size_t kept = 0;
  for (size_t next = 0; next <= max && next <= text.size();) {
    kept = next;
    if (next == text.size()) break;
    next += text[next] == '\\' ? escape_length(text.substr(next))
                               : std::max(utf8_length(text.substr(next)), size_t(1));
  }
  return kept;
}

}  // namespace

Members::Place* Members::find(std::string_view key, size_t hash) {
  if (places_.size() <= kSearchedMax) {
    for (Place& p : places_)
      if (p.hash == hash && quoted_key(p) == key) return &p;
    return nullptr;
  }
  if (by_hash_.empty())
    for (size_t i = 0; i < places_.size(); ++i) by_hash_.emplace(places_[i].hash, i);
  const auto [begin, end] = by_hash_.equal_range(hash);
  for (auto it = begin; it != end; ++it)
    if (quoted_key(places_[it->second]) == key) return &places_[it->second];
  return nullptr;
}

void Members::replace(Place& place, std::string_view value) {
  const size_t before = place.end - place.value;
  json_.replace(place.value, before, value);
  for (Place* p = &place; p < places_.data() + places_.size(); ++p) {
    if (p != &place) p->key += value.size() - before, p->value += value.size() - before;
    p->end += value.size() - before;
  }
}

void Members::add(std::string_view key, const Value& value) {
  const size_t was = json_.size(), begin = was ? was + (places_.empty() ? 0 : 1) : 1;
  if (begin > was) json_ += was ? ',' : '{';
  append_quoted(json_, key);
  const size_t hash = std::hash<std::string_view>()(std::string_view(json_).substr(begin));
  Place* const known = find(std::string_view(json_).substr(begin), hash);
  json_ += ':';
  const Place place{hash, begin, json_.size(), 0};
  append_value(json_, value);
  if (known) {
    const std::string text = json_.substr(place.value);
    json_.resize(was);
    replace(*known, text);
  } else {
    places_.push_back({hash, begin, place.value, json_.size()});
    if (!by_hash_.empty()) by_hash_.emplace(hash, places_.size() - 1);
  }
}

bool Members::is_text(const Place& p) const {
  return p.end - p.value >= 2 && json_[p.value] == '"' && json_[p.end - 1] == '"';
}

size_t Members::bytes(size_t text_bytes_max) const {
  size_t bytes = json_.size() + 1;
  for (const Place& p : places_)
    if (is_text(p) && p.end - p.value - 2 > text_bytes_max) bytes -= p.end - p.value - 2 - text_bytes_max;
  return bytes;
}

bool Members::shorten(size_t text_bytes_max) {
  std::string out;
  bool any = false;
  size_t copied = 0;  // of json_
  for (Place& p : places_) {
    const Place was = p;
    out.append(json_, copied, was.value - copied);
    p.key = out.size() - (was.value - was.key);
    p.value = out.size();
    const std::string_view value = std::string_view(json_).substr(was.value, was.end - was.value);
    if (is_text(was) && value.size() - 2 > text_bytes_max) {
      out.append(value.substr(0, 1 + kept_of_escaped(value.substr(1, value.size() - 2), text_bytes_max))) +=
          '"';
      any = true;
    } else {
      out.append(value);
    }
    p.end = out.size();
    copied = was.end;
  }
  json_ = out.append(json_, copied);
  return any;
}

}  // namespace weir::detail
