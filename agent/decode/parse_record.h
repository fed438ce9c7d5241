// The record parser. Included once per translation unit inside of a namespace for its instruction set, as
// scan.h.
//
// Three layers, none of which calls itself: record() walks the outer object; object_with_members() and
// typed_array() the reserved values whose children matter; container() everything below, with its own stack
// of at most kDepthMax.

#include "agent/decode/match_shape.h"

/// kPlain: the text is printable ASCII without backslashes and work.quotes its index.
template <bool kPlain>
class RecordParser : public Scanner<true> {
 public:
  RecordParser(std::string_view text, FieldTable& out, Workspace& work)
      : Scanner(text), out_(out), work_(work), quotes_(begin_, work.quotes.data()) {
    work_.keys.reset(begin_);
  }

  Fault parse(std::optional<Stream> default_stream) {
    out_.clear();
    const char* const p = space(begin_);
    if (p < end_ && *p != '{') return judge_other_text({begin_, size_t(end_ - begin_)}, work_.nesting);
    if (record(p) == nullptr) return fault();
    if (out_.has(Field::stream)) return {};
    if (!default_stream) return {Reason::no_stream, 0, "stream: expected one, the listener has no default"};
    out_.stream = *default_stream;
    return {};
  }

 private:
  /// Kept in local variables, that is in registers; quotes_ hands it over where container() is called.
  using Quotes = QuoteStream;

  uint32_t offset(const char* p) const { return uint32_t(p - begin_); }
  Span span(const char* from, const char* to) const { return {offset(from), offset(to)}; }

  /// `p` itself, which is at an opening quote; taken from the index, so that it does not depend on what came
  /// before.
  [[gnu::always_inline]] const char* resume_at(Quotes& quotes, const char* p) {
    return kPlain ? quotes.peek() : p;
  }

  /// `p` at the opening quote.
  [[gnu::always_inline]] const char* string(Quotes& quotes, const char* p, bool& escaped) {
    if constexpr (!kPlain) return Scanner::string(p, escaped);
    escaped = false;
    quotes.take();
    const char* const quote = quotes.take();
    return quote < end_ ? quote + 1 : fail(quote, {});
  }

  /// The decoded key of the literal [from, to).
  [[gnu::always_inline]] Key load_key(const char* from, const char* to, bool escaped) {
    const char* bytes = from + 1;
    auto size = size_t(to - from - 2);
    if (escaped) [[unlikely]] {
      size = decode_padded({from, size_t(to - from)}, work_.decoded);
      bytes = work_.decoded.data();
    }
    return make_key(bytes, size);
  }

  [[gnu::always_inline]] bool is_new(KeyScope& scope, const Key& key, const char* from, const char* to) {
    return work_.keys.add(scope, work_.keys.hash(key), span(from, to));
  }

  /// `p` where a key has to begin; leaves `key_end` behind it and returns where its value begins.
  [[gnu::always_inline]] const char* key(Quotes& quotes, const char* p, KeyScope& scope, const char*& key_end,
                                         bool& escaped) {
    if (*p != '"') [[unlikely]]
      return fail(p, kExpectedKey);
    if (work_.keys.count(scope) == kObjectKeysMax) [[unlikely]]
      return fail(p, Reason::too_many_keys, kTooManyKeys);
    p = resume_at(quotes, p);
    key_end = string(quotes, p, escaped);
    if (key_end == nullptr) [[unlikely]]
      return nullptr;
    if (!is_new(scope, load_key(p, key_end, escaped), p, key_end)) [[unlikely]] {
      return fail(p, Reason::duplicate_key, kDuplicateKey);
    }
    return colon(key_end);
  }

  const char* colon(const char* p) {
    p = space(p);
    if (*p != ':') [[unlikely]]
      return fail(p, "expected a colon");
    return space(p + 1);
  }

  /// A value whose container has depth `depth`.
  [[gnu::always_inline]] const char* value(Quotes& quotes, const char* p, uint32_t depth, JsonType& type) {
    bool ignored = false;
    if (*p == '"') {
      type = JsonType::string;
      return string(quotes, p, ignored);
    }
    if (begins_number(*p)) {
      type = JsonType::number;
      return number(p, ignored);
    }
    if (*p == '{' || *p == '[') {
      type = *p == '{' ? JsonType::object : JsonType::array;
      return nested(quotes, p, depth + 1);
    }
    return literal(p, type);
  }

  const char* record(const char* p) {
    if (p >= end_) return fail(p, {});
    const char* const behind = members_of_record(space(p + 1));
    if (behind == nullptr) return nullptr;
    if (behind > end_) return fail(behind, {});
    p = space(behind);
    return p >= end_ ? p : fail(p, "expected nothing behind the object");
  }

  /// The outer object from its first key on; returns the position behind its brace.
  const char* members_of_record(const char* p) {
    Quotes quotes = quotes_;
    KeyScope scope = work_.keys.open();
    if (*p == '}') return p + 1;
    for (uint32_t ordinal = 0;; ++ordinal) {
      if (*p != '"') [[unlikely]]
        return fail(p, kExpectedKey);
      if (ordinal == kObjectKeysMax) [[unlikely]]
        return fail(p, Reason::too_many_keys, kTooManyKeys);
      p = resume_at(quotes, p);
      bool escaped;
      const char* const key_end = string(quotes, p, escaped);
      if (key_end == nullptr) [[unlikely]]
        return nullptr;
      const Key key = load_key(p, key_end, escaped);
      const Reserved* const reserved = find_reserved(key.head, key.tail, key.size);
      // The table itself knows the reserved keys that were there.
      if (reserved != nullptr ? out_.sent(reserved->field) : !is_new(scope, key, p, key_end)) [[unlikely]] {
        return fail(p, Reason::duplicate_key, kDuplicateKey);
      }
      const char* q = colon(key_end);
      if (q == nullptr) [[unlikely]]
        return nullptr;
      if (reserved != nullptr) {
        FieldValue& field = out_.set(reserved->field);
        field.key = span(p, key_end);
        field.key_escaped = escaped;
        field.ordinal = ordinal;
        field.first_member = uint32_t(out_.members());
        field.member_count = 0;
        field.value.begin = offset(q);
        q = reserved_value(quotes, q, *reserved, field);
      } else {
        JsonType type;
        q = value(quotes, q, 1, type);
      }
      if (q == nullptr) [[unlikely]]
        return nullptr;
      p = space(q);
      if (*p == ',') [[likely]] {
        p = space(p + 1);
        continue;
      }
      if (*p != '}') [[unlikely]]
        return fail(p, kExpectedCommaOrBrace);
      out_.member_count = ordinal + 1;
      return p + 1;
    }
  }

  /// A wrong type is the fault before anything inside of the value is looked at; only what is no value at all
  /// is not a wrong type.
  [[gnu::always_inline]] const char* reserved_value(Quotes& quotes, const char* p, const Reserved& reserved,
                                                    FieldValue& field) {
    const char* q;
    bool flag = false;
    if (*p == '"') {
      field.type = JsonType::string;
      if ((reserved.allowed & type_bit(JsonType::string)) == 0) return bad_field(p, reserved);
      q = string(quotes, p, flag);
      if (reserved.extra == Extra::stream && q != nullptr && !take_stream(p, q, flag)) {
        return fail(p, Reason::unknown_stream, "stream: expected trace, log, telemetry or monitoring");
      }
    } else if (begins_number(*p)) {
      field.type = JsonType::number;
      if ((reserved.allowed & type_bit(JsonType::number)) == 0) return bad_field(p, reserved);
      q = number(p, flag);
      if (q == nullptr) return nullptr;
      if (reserved.extra == Extra::integer && !flag) return bad_field(p, reserved);
      if (reserved.extra == Extra::finite && !finite(p, q)) return bad_field(p, reserved);
    } else if (*p == '{' || *p == '[') {
      field.type = *p == '{' ? JsonType::object : JsonType::array;
      if ((reserved.allowed & type_bit(field.type)) == 0) return bad_field(p, reserved);
      q = reserved_container(quotes, p, reserved, field);
    } else {
      q = literal(p, field.type);
      if (q != nullptr && (reserved.allowed & type_bit(field.type)) == 0) return bad_field(p, reserved);
    }
    if (q != nullptr) field.value.end = offset(q);
    return q;
  }

  const char* bad_field(const char* p, const Reserved& reserved) {
    return fail(p, Reason::bad_field, reserved.detail);
  }

  bool take_stream(const char* from, const char* to, bool escaped) {
    std::string_view name(from + 1, size_t(to - from - 2));
    if (escaped) {
      const size_t size = decode_padded({from, size_t(to - from)}, work_.decoded);  // may move the buffer
      name = {work_.decoded.data(), size};
    }
    const std::optional<Stream> stream = parse_stream(name);
    if (stream) out_.stream = *stream;
    return stream.has_value();
  }

  /// Without an exponent only hundreds of digits leave the range of a double.
  static bool finite(const char* from, const char* to) {
    const auto size = size_t(to - from);
    for (size_t i = 0; i < size && size < 300; ++i) {
      if ((from[i] | 0x20) == 'e') return finite_number({from, size});
    }
    return size < 300 || finite_number({from, size});
  }

  [[gnu::always_inline]] const char* reserved_container(Quotes& quotes, const char* p,
                                                        const Reserved& reserved, FieldValue& field) {
    if (reserved.extra == Extra::members) return object_with_members(quotes, p, field);
    if (reserved.extra == Extra::objects || reserved.extra == Extra::strings) {
      return typed_array(quotes, p, reserved, reserved.extra == Extra::objects ? kObject : kString);
    }
    return nested(quotes, p, 2);
  }

  /// An object of depth 2 whose members go to the table.
  [[gnu::always_inline]] const char* object_with_members(Quotes& quotes, const char* p, FieldValue& field) {
    KeyScope scope = work_.keys.open();
    p = space(p + 1);
    if (*p == '}') return closed(p, scope);
    for (;;) {
      Member& member = out_.add_member();
      const char* const from = p;
      const char* key_end = p;
      p = key(quotes, p, scope, key_end, member.key_escaped);
      if (p == nullptr) [[unlikely]]
        return nullptr;
      member.key = span(from, key_end);
      member.value.begin = offset(p);
      p = value(quotes, p, 2, member.type);
      if (p == nullptr) [[unlikely]]
        return nullptr;
      member.value.end = offset(p);
      ++field.member_count;
      p = space(p);
      if (*p == ',') [[likely]] {
        p = space(p + 1);
        continue;
      }
      if (*p != '}') [[unlikely]]
        return fail(p, kExpectedCommaOrBrace);
      return closed(p, scope);
    }
  }

  const char* closed(const char* p, const KeyScope& scope) {
    if (p >= end_) return fail(p, {});
    work_.keys.close(scope);
    return p + 1;
  }

  /// An array of depth 2 that takes only elements of some types.
  [[gnu::always_inline]] const char* typed_array(Quotes& quotes, const char* p, const Reserved& reserved,
                                                 TypeSet elements) {
    p = space(p + 1);
    if (*p == ']') return p < end_ ? p + 1 : fail(p, {});
    for (;;) {
      const char* const from = p;
      JsonType type = JsonType::null;
      if (*p == '"') type = JsonType::string;
      if (begins_number(*p)) type = JsonType::number;
      if (*p == '{') type = JsonType::object;
      if (*p == '[') type = JsonType::array;
      if (type != JsonType::null && (elements & type_bit(type)) == 0) return bad_field(p, reserved);
      p = value(quotes, p, 2, type);
      if (p == nullptr) [[unlikely]]
        return nullptr;
      if ((elements & type_bit(type)) == 0) return bad_field(from, reserved);
      p = space(p);
      if (*p == ',') {
        p = space(p + 1);
        continue;
      }
      if (*p != ']') return fail(p, kExpectedCommaOrBracket);
      return p < end_ ? p + 1 : fail(p, {});
    }
  }

  [[gnu::always_inline]] const char* nested(Quotes& quotes, const char* p, uint32_t depth) {
    quotes_ = quotes;
    p = container(p, depth);
    quotes = quotes_;
    return p;
  }

  /// Any object or array, `p` at its opening bracket, which has depth `depth`; to the byte behind the closing
  /// one.
  [[gnu::noinline]] const char* container(const char* p, uint32_t depth) {
    const uint32_t outermost = depth;
    Quotes quotes = quotes_;
    bool object;
  open:
    if (depth > kDepthMax) [[unlikely]]
      return fail(p, Reason::too_deep, "expected no nesting deeper than 64");
    if (p >= end_) [[unlikely]]
      return fail(p, {});
    object = *p == '{';
    set_object(depth, object);
    p = space(p + 1);
    if (object) {
      work_.scopes[depth] = work_.keys.open();
      if (*p == '}') goto close;
    } else {
      if (*p == ']') goto close;
      goto value;
    }
  member : {
    bool escaped;
    const char* key_end = p;
    p = key(quotes, p, work_.scopes[depth], key_end, escaped);
    if (p == nullptr) [[unlikely]]
      return nullptr;
  }
  value:
    if (*p == '{' || *p == '[') {
      ++depth;
      goto open;
    }
    p = scalar(quotes, p);
    if (p == nullptr) [[unlikely]]
      return nullptr;
  next:
    p = space(p);
    if (*p == ',') {
      p = space(p + 1);
      if (object) goto member;
      goto value;
    }
    if (*p != (object ? '}' : ']')) [[unlikely]] {
      return fail(p, object ? kExpectedCommaOrBrace : kExpectedCommaOrBracket);
    }
  close:
    if (p >= end_) [[unlikely]]
      return fail(p, {});
    ++p;
    if (object) work_.keys.close(work_.scopes[depth]);
    if (depth == outermost) {
      quotes_ = quotes;
      return p;
    }
    --depth;
    object = is_object(depth);
    goto next;
  }

  [[gnu::always_inline]] const char* scalar(Quotes& quotes, const char* p) {
    bool ignored;
    if (*p == '"') return string(quotes, p, ignored);
    if (begins_number(*p)) return number(p, ignored);
    JsonType type;
    return literal(p, type);
  }

  void set_object(uint32_t depth, bool object) {
    const uint64_t bit = uint64_t(1) << (depth - 1);
    objects_ = object ? objects_ | bit : objects_ & ~bit;
  }
  bool is_object(uint32_t depth) const { return (objects_ >> (depth - 1) & 1) != 0; }

  static constexpr std::string_view kExpectedKey = "expected a key in double quotes";
  static constexpr std::string_view kDuplicateKey = "expected each key once in an object";
  static constexpr std::string_view kTooManyKeys = "expected at most 1024 keys in an object";
  static constexpr std::string_view kExpectedCommaOrBrace = "expected a comma or a closing brace";
  static constexpr std::string_view kExpectedCommaOrBracket = "expected a comma or a closing bracket";

  FieldTable& out_;
  Workspace& work_;
  QuoteStream quotes_;
  uint64_t objects_ = 0;  // invariant: bit d - 1 tells whether the open container of depth d is an object
};

/// The parser's verdict on a record that is of no known shape, which is learned from it.
[[gnu::noinline]] inline Fault parse_and_learn(std::string_view text, std::optional<Stream> default_stream,
                                               FieldTable& out, Workspace& work, bool learn) {
  const bool plain = index_quotes(text, work.quotes.data());
  const Fault fault = plain ? RecordParser<true>(text, out, work).parse(default_stream)
                            : RecordParser<false>(text, out, work).parse(default_stream);
  if (learn) fault ? work.shapes.count_miss() : work.shapes.learn(text);
  return fault;
}

[[gnu::always_inline]] inline Fault parse_record(std::string_view text, std::optional<Stream> default_stream,
                                                 FieldTable& out, Workspace& work) {
  if (work.quotes.size() < text.size() / 64 + 2) [[unlikely]]
    grow_quotes(work, text.size() / 64 + 2);
  const bool tried = work.shapes.wants(text);
  if (tried && !work.shapes.empty()) [[likely]] {
    ShapeMatcher matcher(text, work.shapes, work.quote_places.data(), out);
    const bool listed =
        list_quotes(text, work.quote_places.data()) || matcher.list_quotes_of_settled(work.quotes.data());
    if (listed && matcher.match(default_stream)) [[likely]] {
      work.shapes.count_hit();
      return {};
    }
  }
  return parse_and_learn(text, default_stream, out, work, tried);
}
