#include "client/cpp/src/members.h"

#include <algorithm>
#include <functional>

#include "client/cpp/src/json_text.h"
#include "client/cpp/src/record.h"

namespace weir::detail {
namespace {

/// Of what stands between the quotes of a JSON text: no more than `max` bytes, no escape or code point cut.
size_t kept_of_escaped(std::string_view text, size_t max) {
  size_t kept = 0;
  for (size_t next = 0; next <= max && next <= text.size();) {
    kept = next;
    if (next == text.size()) break;
    if (text[next] == '\\')
      next += text.substr(next, 2) == "\\u" ? 6 : 2;
    else
      next += std::max(utf8_length(text.substr(next)), size_t(1));
  }
  return kept;
}

}  // namespace

Members::Place* Members::find(std::string_view quoted_key, size_t hash) {
  for (Place& p : places_)
    if (p.hash == hash && std::string_view(json_).substr(p.key, p.value - p.key - 1) == quoted_key) return &p;
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
  }
}

bool Members::shorten(size_t text_bytes_max) {
  bool any = false;
  for (Place& p : places_) {
    if (json_[p.value] != '"' || p.end - p.value - 2 <= text_bytes_max) continue;
    const std::string_view text = std::string_view(json_).substr(p.value + 1, p.end - p.value - 2);
    const std::string cut = '"' + std::string(text.substr(0, kept_of_escaped(text, text_bytes_max))) + '"';
    replace(p, cut);
    any = true;
  }
  return any;
}

}  // namespace weir::detail
