// Most records are like one that came before, but for their values. What stands between the values of a
// record that has passed the walk, its gaps, holds all of its keys and brackets: where the gaps are the same
// bytes, keys are there once, nothing is too deep, and only the values are left to be checked.
#pragma once
#include <emmintrin.h>

#include "bench/floor_walk.h"

namespace bench {

class Shape {
 public:
  /// From a record of `tokens` tokens that has passed.
  void learn(const char* begin, const Found& found, uint32_t tokens) {
    gaps_.clear();
    values_.clear();
    const char* from = begin;
    for (const Scalar& scalar : found.scalars) {
      values_.push_back({uint32_t(gaps_.size()), uint32_t(scalar.text.begin - from), scalar.token,
                         scalar.types, scalar.rule});
      gaps_.append(from, scalar.text.begin);
      from = scalar.text.end;
    }
    values_.push_back({uint32_t(gaps_.size()), uint32_t(found.brace + 1 - from), tokens, 0, Rule::none});
    gaps_.append(from, found.brace + 1);
    gaps_.append(kGapPadding, '\0');
    like_ = found;
    for (const Scalar& scalar : found.scalars)
      if (scalar.rule == Rule::stream) stream_ = scalar.text.text();
    begins_.resize(values_.size() + 1);
    places_.clear();
    each_place([&](const char*& place) { places_.push_back(place_of(place, begin, found)); });
  }

  /// Is the record at walk.next() like the one learnt, up to a line feed behind it? Then `out` is what the
  /// walk would find (scalars left out), and walk is behind it. Else nothing has changed.
  const Found* match(Walk& walk) {
    if (values_.empty()) return nullptr;
    const Walk::Token first = walk.next();
    const char* const base = walk.at(first) - *first;
    const bool escapes = walk.escapes();
    const char* from = base + *first;
    const Value* const last = &values_.back();
    const char** begin = begins_.data();
    for (const Value* value = values_.data();; ++value) {
      *begin++ = from;
      if (!same(from, gaps_.data() + value->gap, value->gap_size)) return nullptr;
      from += value->gap_size;
      if (value == last) break;
      if (base + first[value->token] != from) return nullptr;
      const Part text{from, Walk::end_before(base + first[value->token + 1])};
      const Type type = type_of(*from);
      if ((type & value->types) == 0 || !Walk::is_scalar(type, text, escapes)) return nullptr;
      if (value->rule != Rule::none && !obeys(value->rule, type, text)) return nullptr;
      from = text.end;
    }
    if (*from != '\n' || walk.at(first + last->token) <= from) return nullptr;
    const Place* place = places_.data();
    each_place([&](const char*& to) {
      to = place->value == kNowhere ? nullptr : begins_[place->value] + place->offset;
      ++place;
    });
    walk.go_on(first + last->token);
    return &like_;
  }

 private:
  static constexpr size_t kGapPadding = 16;
  static constexpr uint32_t kNowhere = UINT32_MAX;
  struct Value {
    uint32_t gap, gap_size;  ///< what stands before it
    uint32_t token;
    uint8_t types;
    Rule rule;
  };
  /// A place in a record: `offset` bytes from where the gap before a value begins.
  struct Place {
    uint32_t value, offset;
  };

  static bool same(const char* a, const char* b, size_t size) {
    const auto equal = [&] {
      return unsigned(
          _mm_movemask_epi8(_mm_cmpeq_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(a)),
                                           _mm_loadu_si128(reinterpret_cast<const __m128i*>(b)))));
    };
    for (; size > 16; size -= 16, a += 16, b += 16)
      if (equal() != 0xFFFF) return false;
    return (~equal() & ((1u << size) - 1)) == 0;
  }

  /// What is in doubt is not obeyed: the walk decides.
  bool obeys(Rule rule, Type type, Part text) const {
    if (rule == Rule::stream) return text.text() == stream_;
    if (type != kNumber) return true;
    if (rule == Rule::integer) return Walk::is_integer(text);
    return rule != Rule::finite ||
           (text.size() < 300 && text.text().find_first_of("eE") == std::string_view::npos);
  }

  template <class Fn>
  void each_place(Fn fn) {
    fn(like_.brace);
    for (Found::Context* side : {&like_.before, &like_.after}) {
      fn(side->value.begin), fn(side->value.end);
      if (!side->object) continue;
      for (Kept& kept : side->kept) fn(kept.begin), fn(kept.value), fn(kept.end);
    }
  }

  Place place_of(const char* place, const char* begin, const Found& found) const {
    if (place == nullptr) return {kNowhere, 0};
    const char* from = begin;
    uint32_t value = 0;
    while (value < found.scalars.size() && place > found.scalars[value].text.begin)
      from = found.scalars[value++].text.end;
    return {value, uint32_t(place - from)};
  }

  std::string gaps_;
  std::vector<Value> values_;  ///< the last one is none: it ends the record
  Found like_;
  std::string stream_;
  std::vector<const char*> begins_;  ///< of the gaps of the record in hand
  std::vector<Place> places_;        ///< of all pointers in like_
};

/// The shapes of what came last, told apart by how records begin.
class Shapes {
 public:
  Shape& of(const char* record) {
    uint64_t words[2];
    std::memcpy(words, record, sizeof words);
    return shapes_[((words[0] ^ words[1]) * 0x9E3779B97F4A7C15u) >> 60];
  }

 private:
  Shape shapes_[16];
};

}  // namespace bench
