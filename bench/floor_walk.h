// The checks of the floor: what records.md section 7 asks of a record, with the least machinery. simdjson's
// first stage says where the tokens of a chunk of lines begin (and checks UTF-8, control characters, closed
// strings); one walk over those places does the rest and notes where what the floor needs stands.
#pragma once
#include <emmintrin.h>
#include <simdjson.h>

#include <cmath>
#include <cstring>
#include <deque>
#include <memory>
#include <string>
#include <utility>

#include "bench/floor_record.h"

namespace bench {

class Walk {
 public:
  /// `listed`: keys to be found in the contexts.
  explicit Walk(const std::vector<std::string>& listed) {
    for (const std::string& name : listed) listed_.push_back(make_key(padded(name), uint32_t(name.size())));
    for (Reserved r : kReserved) {
      const Key key = make_key(padded(std::string(r.name)), uint32_t(r.name.size()));
      r.head = key.head, r.tail = key.tail;
      size_t slot = key.hash % kSlots;
      while (!slots_[slot].name.empty()) slot = (slot + 1) % kSlots;
      slots_[slot] = r;
    }
    keys_.resize(kDepthMax * kKeysMax + 1);
    decoded_kept_ = decoded_.size();
  }

  /// Finds the tokens of [begin, begin + bytes); false: some of it is not even that. Changes the byte behind
  /// it.
  bool index(char* begin, size_t bytes) {
    if (bytes > capacity_) {
      capacity_ = bytes;
      tokens_.reset();
      if (simdjson::get_active_implementation()->create_dom_parser_implementation(capacity_, 1, tokens_))
        std::abort();
    }
    begin[bytes] = '\0';  // where the last token is: it is none
    if (tokens_->stage1(reinterpret_cast<const uint8_t*>(begin), bytes, simdjson::stage1_mode::regular))
      return false;
    base_ = begin;
    next_ = tokens_->structural_indexes.get();
    escapes_ = std::memchr(begin, '\\', bytes) != nullptr;
    return true;
  }

  /// Is there no token before `end`?
  bool blank(const char* end) const { return at(next_) > end; }
  /// The record at the next token, which ends before `end`, a line feed. False: it is to be refused. Goes on
  /// to the first token behind `end`.
  bool record(const char* end, Found& out) {
    out.stream = -1;
    out.before.object = out.after.object = false;
    out.before.value = out.after.value = {};
    out.scalars.clear();
    found_ = &out;
    first_ = next_;
    used_ = 0;
    if (decoded_kept_ < decoded_.size()) decoded_.resize(decoded_kept_);
    const Token behind = *at(next_) == '{' ? members_of_record(next_ + 1, out) : nullptr;
    if (behind != nullptr && at(behind) > end) {
      out.brace = at(behind - 1);
      next_ = behind;
      return out.brace < end && out.stream >= 0;
    }
    skip(end);
    return false;
  }
  void skip(const char* end) {
    while (at(next_) < end) ++next_;
  }

  // For Shape, which goes on from a record to the one behind it by itself.
  using Token = const uint32_t*;  ///< nullptr: refused
  Token next() const { return next_; }
  void go_on(Token behind) { next_ = behind; }
  const char* at(Token token) const { return base_ + *token; }
  bool escapes() const { return escapes_; }
  /// `p` is where a token begins; behind the last byte of the one before.
  static const char* end_before(const char* p) {
    while (uint8_t(p[-1]) <= ' ' && (p[-1] == ' ' || p[-1] == '\n' || p[-1] == '\r' || p[-1] == '\t')) --p;
    return p;
  }
  /// Is `p`, which is no bracket, a value?
  [[gnu::always_inline]] static bool is_scalar(Type type, Part p, bool escapes) {
    if (type == kString) return !escapes || valid_escapes({p.begin + 1, p.end - 1});
    return type == kNumber ? is_number(p.begin, p.end) : is_literal(p);
  }
  static bool is_integer(Part number) {
    for (const char* p = number.begin; p < number.end; ++p)
      if (*p == '.' || (*p | 0x20) == 'e') return false;
    return true;
  }

 private:
  static constexpr size_t kSlots = 256;
  /// A key without quotes and escapes. head and tail: its first and last 8 bytes, zeros where it has none.
  struct Key {
    uint64_t head, tail;
    const char* text;
    uint32_t size, hash;
  };
  /// The keys of an open object are [first, used_) of keys_; `filter` says of most new ones that they are
  /// new.
  struct Scope {
    size_t first;
    uint64_t filter[4] = {};
  };

  /// 8 bytes are readable at `text`.
  static Key make_key(const char* text, uint32_t size) {
    uint64_t head, tail = 0;
    std::memcpy(&head, text, 8);
    if (size < 8)
      head &= (uint64_t(1) << 8 * size) - 1;
    else
      std::memcpy(&tail, text + size - 8, 8);
    return {head, tail, text, size,
            uint32_t((head * 0x9E3779B97F4A7C15u ^ (tail + size) * 0xC2B2AE3D27D4EB4Fu) >> 40)};
  }
  const char* padded(const std::string& text) {
    decoded_.push_back(text + std::string(8, '\0'));
    return decoded_.back().data();
  }

  /// `token` where a key has to begin, with a colon behind it.
  [[gnu::always_inline]] bool take_key(Token token, Key& out) {
    const char *const open = at(token), *const colon = at(token + 1);
    if (*open != '"' || *colon != ':') return false;
    out = make_key(open + 1, uint32_t(end_before(colon) - open - 2));
    return !escapes_ || settle_escapes(out);
  }

  [[gnu::always_inline]] bool is_new(Scope& scope, const Key& key) {
    uint64_t& word = scope.filter[key.hash & 3];
    const uint64_t bit = uint64_t(1) << (key.hash >> 2 & 63);
    if ((word & bit) != 0 && is_there(scope.first, key)) return false;
    word |= bit;
    keys_[used_++] = key;
    return used_ - scope.first <= kKeysMax;
  }
  bool is_there(size_t first, const Key& key) const {
    for (size_t i = first; i < used_; ++i)
      if (keys_[i].hash == key.hash && keys_[i].size == key.size &&
          std::memcmp(keys_[i].text, key.text, key.size) == 0)
        return true;
    return false;
  }

  /// Names of up to 16 bytes are their head and tail.
  const Reserved* find(const Key& key) const {
    for (size_t slot = key.hash % kSlots; !slots_[slot].name.empty(); slot = (slot + 1) % kSlots) {
      const Reserved& r = slots_[slot];
      if (r.head == key.head && r.tail == key.tail && r.name.size() == key.size) return &r;
    }
    return nullptr;
  }

  Token members_of_record(Token token, Found& out) {
    Scope scope{used_};
    uint64_t seen[kSlots / 64] = {};
    if (*at(token) == '}') return token + 1;
    for (size_t count = 1;; ++count) {
      Key key;
      if (!take_key(token, key) || count > kKeysMax) return nullptr;
      token += 2;
      if (const Reserved* field = find(key)) {
        const auto slot = size_t(field - slots_.data());
        if (seen[slot / 64] >> (slot % 64) & 1) return nullptr;
        seen[slot / 64] |= uint64_t(1) << (slot % 64);
        token = reserved_value(token, *field, out);
      } else {
        token = is_new(scope, key) ? value(token, 1) : nullptr;
      }
      if (token == nullptr) return nullptr;
      const char separator = *at(token++);
      if (separator == ',') continue;
      return separator == '}' ? token : nullptr;
    }
  }

  [[gnu::always_inline]] Token reserved_value(Token token, const Reserved& field, Found& out) {
    const char* const begin = at(token);
    const Type type = type_of(*begin);
    if ((type & (field.types | kNull)) == 0) return nullptr;
    if (type != kNull) {
      if (field.rule == Rule::before) return context(token + 1, out.before);
      if (field.rule == Rule::after) return context(token + 1, out.after);
      if (field.rule == Rule::objects) return array_of_objects(token + 1);
      if (field.rule == Rule::refused) beyond(field.name.data());
    }
    token = value(token, 1);
    if (token == nullptr || (type & kScalar) == 0) return token;
    Scalar& scalar = out.scalars.back();
    scalar.types = (field.types | kNull) & kScalar;
    scalar.rule = field.rule;
    const Part text = scalar.text;
    if (type == kNull) {
      if (field.rule == Rule::before) out.before.value = text;
      if (field.rule == Rule::after) out.after.value = text;
      return token;
    }
    if (field.rule == Rule::stream) out.stream = stream_of(text.text().substr(1, text.size() - 2));
    if (field.rule == Rule::integer && !is_integer(text)) return nullptr;
    if (field.rule == Rule::finite && !is_finite(text)) return nullptr;
    return token;
  }

  int stream_of(std::string_view name) {
    constexpr std::pair<std::string_view, int> kNames[] = {
        {"trace", 0}, {"log", 1},     {"telemetry", 2}, {"monitoring", 3}, {"traces", 0}, {"tracing", 0},
        {"logs", 1},  {"logging", 1}, {"metric", 2},    {"metrics", 2},    {"alert", 3},  {"alerts", 3}};
    if (escapes_) {
      Key key = make_key(name.data(), uint32_t(name.size()));
      settle_escapes(key);
      name = {key.text, key.size};
    }
    for (const auto& [text, stream] : kNames)
      if (text == name) return stream;
    return -1;
  }
  static bool is_finite(Part number) {
    bool exponent = number.size() >= 300;
    for (const char* p = number.begin; p < number.end; ++p) exponent |= (*p | 0x20) == 'e';
    return !exponent || std::isfinite(std::strtod(std::string(number.text()).c_str(), nullptr));
  }

  /// An object of depth 2 whose listed keys are kept; `token` behind its brace.
  Token context(Token token, Found::Context& out) {
    Scope scope{used_};
    out.object = true;
    out.kept.clear();
    out.value.begin = at(token - 1);
    while (*at(token) != '}') {
      Key key;
      const char* const begin = at(token);
      if (!take_key(token, key) || !is_new(scope, key)) return nullptr;
      const char* const value_begin = at(token + 2);
      token = value(token + 2, 2);
      if (token == nullptr) return nullptr;
      for (size_t i = 0; i < listed_.size(); ++i)
        if (listed_[i].hash == key.hash && listed_[i].size == key.size &&
            std::memcmp(listed_[i].text, key.text, key.size) == 0) {
          out.kept.push_back({int(i), begin, value_begin, end_before(at(token))});
        }
      if (*at(token) == '}') break;
      if (*at(token++) != ',' || *at(token) != '"') return nullptr;
    }
    out.value.end = at(token) + 1;
    used_ = scope.first;
    return token + 1;
  }

  /// `token` behind the bracket.
  Token array_of_objects(Token token) {
    if (*at(token) == ']') return token + 1;
    for (;;) {
      const Type type = type_of(*at(token));
      token = (type & (kObject | kNull)) ? value(token, 2) : nullptr;
      if (token == nullptr) return nullptr;
      if (type == kNull) found_->scalars.back().types = kNull;
      const char separator = *at(token++);
      if (separator == ',') continue;
      return separator == ']' ? token : nullptr;
    }
  }

  /// Any value in a container of depth `depth`; the token behind it.
  [[gnu::always_inline]] Token value(Token token, int depth) {
    const char* const p = at(token);
    const Type type = type_of(*p);
    if (type == kObject || type == kArray)
      return depth < kDepthMax ? container(token + 1, type == kObject, depth + 1) : nullptr;
    const Part text{p, end_before(at(token + 1))};
    found_->scalars.push_back({uint32_t(token - first_), kScalar, Rule::none, text});
    return is_scalar(type, text, escapes_) ? token + 1 : nullptr;
  }

  [[gnu::noinline]] Token container(Token token, bool object, int depth) {
    Scope scope{used_};
    const char closing = object ? '}' : ']';
    if (*at(token) == closing) return token + 1;
    for (;;) {
      if (object) {
        Key key;
        if (!take_key(token, key) || !is_new(scope, key)) return nullptr;
        token += 2;
      }
      token = value(token, depth);
      if (token == nullptr) return nullptr;
      const char separator = *at(token++);
      if (separator == ',') continue;
      used_ = scope.first;
      return separator == closing ? token : nullptr;
    }
  }

  static bool is_literal(Part word) {
    uint32_t first;
    std::memcpy(&first, word.begin, 4);
    constexpr uint32_t kNullText = 0x6C6C756E, kTrueText = 0x65757274, kFalseText = 0x736C6166;
    if (word.size() == 4) return first == kNullText || first == kTrueText;
    return word.size() == 5 && first == kFalseText && word.begin[4] == 'e';
  }

  /// Up to 16 digits with at most one point among them take no loop. 16 bytes are readable.
  [[gnu::always_inline]] static bool is_number(const char* p, const char* end) {
    const auto size = size_t(end - p);
    if (size <= 16) {
      const __m128i text = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
      const __m128i digits =
          _mm_cmplt_epi8(_mm_add_epi8(text, _mm_set1_epi8(char(0x80 - '0'))), _mm_set1_epi8(char(0x80 + 10)));
      const unsigned all = (1u << size) - 1;
      const unsigned others = ~unsigned(_mm_movemask_epi8(digits)) & all;
      const unsigned point =
          unsigned(_mm_movemask_epi8(_mm_cmpeq_epi8(text, _mm_set1_epi8('.')))) & (all >> 1) & ~1u;
      const bool zero_first = *p == '0' && size > 1 && point != 2;
      if (others == point && (point & (point - 1)) == 0 && !zero_first) return size > 0;
    }
    return is_long_number(p, end);
  }

  static bool is_long_number(const char* p, const char* end) {
    const auto digits = [&] {
      const char* const first = p;
      while (uint8_t(*p - '0') < 10) ++p;
      return p > first;
    };
    p += *p == '-';
    if (*p == '0')
      ++p;
    else if (!digits())
      return false;
    if (p == end) return true;
    if (*p == '.' && (++p, !digits())) return false;
    if ((*p | 0x20) == 'e') {
      ++p;
      p += *p == '+' || *p == '-';
      if (!digits()) return false;
    }
    return p == end;
  }

  // --- only where the chunk holds a backslash
  // -----------------------------------------------------------------

  static int hex4(const char* p) {
    int value = 0;
    for (int i = 0; i < 4; ++i) {
      const char c = p[i], lower = char(c | 0x20);
      if (c >= '0' && c <= '9')
        value = value * 16 + c - '0';
      else if (lower >= 'a' && lower <= 'f')
        value = value * 16 + lower - 'a' + 10;
      else
        return -1;
    }
    return value;
  }

  static bool valid_escapes(Part string) {
    const char* p = string.begin;
    while ((p = static_cast<const char*>(std::memchr(p, '\\', size_t(string.end - p)))) != nullptr) {
      if (p[1] != 'u') {
        if (std::string_view("\"\\/bfnrt").find(p[1]) == std::string_view::npos) return false;
        p += 2;
        continue;
      }
      const int code = hex4(p + 2);
      p += 6;
      if (code < 0 || (code >= 0xDC00 && code <= 0xDFFF)) return false;
      if (code < 0xD800 || code > 0xDBFF) continue;
      const int low = p[0] == '\\' && p[1] == 'u' ? hex4(p + 2) : -1;
      if (low < 0xDC00 || low > 0xDFFF) return false;
      p += 6;
    }
    return true;
  }

  /// Keys are compared decoded.
  bool settle_escapes(Key& key) {
    if (!std::memchr(key.text, '\\', key.size)) return true;
    if (!valid_escapes({key.text, key.text + key.size})) return false;
    std::string out(key.size + simdjson::SIMDJSON_PADDING, '\0');
    auto* const to = reinterpret_cast<uint8_t*>(out.data());
    const uint8_t* const end = tokens_->parse_string(reinterpret_cast<const uint8_t*>(key.text), to);
    if (!end) return false;
    out.resize(size_t(end - to));
    key = make_key(padded(out), uint32_t(out.size()));
    return true;
  }

  std::array<Reserved, kSlots> slots_{};
  std::vector<Key> listed_;
  std::unique_ptr<simdjson::internal::dom_parser_implementation> tokens_;
  size_t capacity_ = 0;
  const char* base_ = nullptr;
  Token next_ = nullptr;
  Token first_ = nullptr;  ///< of the record in hand
  Found* found_ = nullptr;
  bool escapes_ = false;   ///< there is a backslash in the chunk
  std::vector<Key> keys_;  ///< of all open objects, outer ones first
  size_t used_ = 0;
  std::deque<std::string>
      decoded_;  ///< the listed keys, then those of a record that were written with escapes
  size_t decoded_kept_ = 0;
};

}  // namespace bench
