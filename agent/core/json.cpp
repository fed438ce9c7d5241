#include "agent/core/json.h"

#include <emmintrin.h>

#include <algorithm>
#include <cstring>

namespace weir::json {
namespace {

// Aligned blocks never cross a page, so a scan may look at bytes around the text without owning them.
// The sanitizers cannot know that.
#define WEIR_BLOCK_SCAN __attribute__((no_sanitize_address, no_sanitize_thread))

/// First byte at or behind `p` for which `hits` (a mask of one 16-byte block) has a bit. The caller knows
/// there is one.
template <class Hits>
WEIR_BLOCK_SCAN inline const char* scan_blocks(const char* p, Hits hits) {
  const auto skew = reinterpret_cast<uintptr_t>(p) & 15;
  const char* block = p - skew;
  uint32_t mask = hits(*reinterpret_cast<const __m128i*>(block)) >> skew;
  if (mask != 0) return p + __builtin_ctz(mask);
  for (;;) {
    block += 16;
    mask = hits(*reinterpret_cast<const __m128i*>(block));
    if (mask != 0) return block + __builtin_ctz(mask);
  }
}

uint32_t bits(__m128i x) { return static_cast<uint32_t>(_mm_movemask_epi8(x)); }

/// Next quote or backslash.
WEIR_BLOCK_SCAN const char* find_quote_or_backslash(const char* p) {
  return scan_blocks(p, [](__m128i x) {
    return bits(_mm_or_si128(_mm_cmpeq_epi8(x, _mm_set1_epi8('"')), _mm_cmpeq_epi8(x, _mm_set1_epi8('\\'))));
  });
}

/// Next quote, brace or bracket. Bit 5 tells `[` from `{` and `]` from `}`; nothing else folds onto them.
WEIR_BLOCK_SCAN const char* find_nesting(const char* p) {
  return scan_blocks(p, [](__m128i x) {
    const __m128i folded = _mm_or_si128(x, _mm_set1_epi8(0x20));
    const __m128i brackets =
        _mm_or_si128(_mm_cmpeq_epi8(folded, _mm_set1_epi8('{')), _mm_cmpeq_epi8(folded, _mm_set1_epi8('}')));
    return bits(_mm_or_si128(brackets, _mm_cmpeq_epi8(x, _mm_set1_epi8('"'))));
  });
}

bool number_char(char c) {
  return (c >= '0' && c <= '9') || c == '.' || c == 'e' || c == 'E' || c == '-' || c == '+';
}

std::string_view contents(std::string_view raw) { return raw.substr(1, raw.size() - 2); }
bool has_escape(std::string_view raw) { return std::memchr(raw.data(), '\\', raw.size()) != nullptr; }

uint32_t hex4(const char* p) {
  uint32_t value = 0;
  for (int i = 0; i < 4; ++i) {
    const char c = p[i];
    value = value * 16 + uint32_t(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
  }
  return value;
}

size_t encode_utf8(uint32_t c, char* out) {
  if (c < 0x80) return out[0] = char(c), 1;
  if (c < 0x800) return out[0] = char(0xC0 | c >> 6), out[1] = char(0x80 | (c & 63)), 2;
  if (c < 0x10000) {
    out[0] = char(0xE0 | c >> 12), out[1] = char(0x80 | (c >> 6 & 63)), out[2] = char(0x80 | (c & 63));
    return 3;
  }
  out[0] = char(0xF0 | c >> 18), out[1] = char(0x80 | (c >> 12 & 63));
  out[2] = char(0x80 | (c >> 6 & 63)), out[3] = char(0x80 | (c & 63));
  return 4;
}

/// `p` behind a backslash. Writes the UTF-8 of the escape (at most 4 bytes), advances `p` behind it.
size_t decode_escape(const char*& p, char* out) {
  const char c = *p++;
  switch (c) {
    case 'b':
      return *out = '\b', 1;
    case 'f':
      return *out = '\f', 1;
    case 'n':
      return *out = '\n', 1;
    case 'r':
      return *out = '\r', 1;
    case 't':
      return *out = '\t', 1;
    case 'u':
      break;
    default:
      return *out = c, 1;
  }
  uint32_t code = hex4(p);
  p += 4;
  if (code >= 0xD800 && code < 0xDC00) {
    code = 0x10000 + ((code - 0xD800) << 10) + (hex4(p + 2) - 0xDC00);
    p += 6;
  }
  return encode_utf8(code, out);
}

/// The decoded bytes of a literal, one at a time.
class DecodedBytes {
 public:
  explicit DecodedBytes(std::string_view raw) : p_(raw.data() + 1), end_(raw.data() + raw.size() - 1) {}
  /// -1 at the end.
  int next() {
    if (at_ < held_) return static_cast<unsigned char>(buffer_[at_++]);
    if (p_ == end_) return -1;
    if (*p_ != '\\') return static_cast<unsigned char>(*p_++);
    ++p_;
    held_ = decode_escape(p_, buffer_);
    at_ = 1;
    return static_cast<unsigned char>(buffer_[0]);
  }

 private:
  const char* p_;
  const char* end_;
  char buffer_[4];
  size_t at_ = 0, held_ = 0;
};

struct KeyedValue {
  std::string_view key, value;
};

/// Members of objects whose keys come in different orders, used as a stack. Keeps its capacity.
std::vector<KeyedValue>& member_stack() {
  thread_local std::vector<KeyedValue> stack;
  return stack;
}

/// Pushes the current member of `walk` and all behind it, sorted by key. Returns how many.
size_t push_sorted(Members& walk, const char* base) {
  auto& stack = member_stack();
  const size_t first = stack.size();
  do {
    const Member& m = walk.member();
    stack.push_back({{base + m.key.begin, m.key.size()}, {base + m.value.begin, m.value.size()}});
  } while (walk.next());
  std::sort(stack.begin() + ptrdiff_t(first), stack.end(),
            [](const KeyedValue& x, const KeyedValue& y) { return compare_strings(x.key, y.key) < 0; });
  return stack.size() - first;
}

/// The rest of two objects from members on whose keys differ. Sorting keeps hostile orders from costing n *
/// n.
bool equal_unordered(Members& walk_a, const char* base_a, Members& walk_b, const char* base_b) {
  auto& stack = member_stack();
  const size_t first = stack.size();
  const size_t count = push_sorted(walk_a, base_a);
  bool equal = push_sorted(walk_b, base_b) == count;
  for (size_t i = first; equal && i < first + count; ++i) {
    const KeyedValue x = stack[i], y = stack[i + count];  // copies: the recursion may move the stack
    equal = same_string(x.key, y.key) && equal_values(x.value, y.value);
  }
  stack.resize(first);
  return equal;
}

bool equal_containers(std::string_view a, std::string_view b, bool objects) {
  Members walk_a(a.data(), {0, uint32_t(a.size())});
  Members walk_b(b.data(), {0, uint32_t(b.size())});
  for (;;) {
    const bool more = walk_a.next();
    if (more != walk_b.next()) return false;
    if (!more) return true;
    const Member& x = walk_a.member();
    const Member& y = walk_b.member();
    if (objects && !same_string(x.key.of(a), y.key.of(b))) {
      return equal_unordered(walk_a, a.data(), walk_b, b.data());
    }
    if (!equal_values(x.value.of(a), y.value.of(b))) return false;
  }
}

}  // namespace

JsonType type_of(char first) {
  switch (first) {
    case '{':
      return JsonType::object;
    case '[':
      return JsonType::array;
    case '"':
      return JsonType::string;
    case 't':
    case 'f':
      return JsonType::boolean;
    case 'n':
      return JsonType::null;
    default:
      return JsonType::number;
  }
}

const char* skip_string(const char* p, bool& escaped) {
  escaped = false;
  for (++p;;) {
    p = find_quote_or_backslash(p);
    if (*p == '"') return p + 1;
    escaped = true;
    p += 2;
  }
}

const char* skip_value(const char* p) {
  bool escaped;
  switch (type_of(*p)) {
    case JsonType::string:
      return skip_string(p, escaped);
    case JsonType::boolean:
      return p + (*p == 't' ? 4 : 5);
    case JsonType::null:
      return p + 4;
    case JsonType::number:
      while (number_char(*p)) ++p;
      return p;
    default:
      break;
  }
  for (uint32_t depth = 0;;) {
    p = find_nesting(p);
    if (*p == '"') {
      p = skip_string(p, escaped);
      continue;
    }
    depth += (*p | 0x20) == '{' ? 1u : ~0u;
    ++p;
    if (depth == 0) return p;
  }
}

Members::Members(const char* base, Span container)
    : base_(base), p_(base + container.begin + 1), object_(base[container.begin] == '{') {}

bool Members::next() {
  p_ = skip_space(p_);
  if (*p_ == '}' || *p_ == ']') return false;
  if (*p_ == ',') p_ = skip_space(p_ + 1);
  if (object_) {
    member_.key.begin = uint32_t(p_ - base_);
    p_ = skip_string(p_, member_.key_escaped);
    member_.key.end = uint32_t(p_ - base_);
    p_ = skip_space(skip_space(p_) + 1);
  }
  member_.type = type_of(*p_);
  member_.value.begin = uint32_t(p_ - base_);
  p_ = skip_value(p_);
  member_.value.end = uint32_t(p_ - base_);
  return true;
}

void decode_string(std::string_view raw, std::string& out) {
  const char* p = raw.data() + 1;
  const char* const end = raw.data() + raw.size() - 1;
  while (p < end) {
    const auto* backslash = static_cast<const char*>(std::memchr(p, '\\', size_t(end - p)));
    if (backslash == nullptr) backslash = end;
    out.append(p, backslash);
    if (backslash == end) return;
    p = backslash + 1;
    char utf8[4];
    out.append(utf8, decode_escape(p, utf8));
  }
}

bool same_string(std::string_view raw_a, std::string_view raw_b) {
  if (raw_a == raw_b) return true;
  if (!has_escape(raw_a) && !has_escape(raw_b)) return false;
  return compare_strings(raw_a, raw_b) == 0;
}

bool string_is(std::string_view raw, std::string_view text) {
  if (contents(raw) == text) return !has_escape(raw);
  if (raw.size() - 2 <= text.size() || !has_escape(raw))
    return false;  // an escape is longer than what it means
  DecodedBytes bytes(raw);
  for (char c : text) {
    if (bytes.next() != static_cast<unsigned char>(c)) return false;
  }
  return bytes.next() < 0;
}

std::strong_ordering compare_strings(std::string_view raw_a, std::string_view raw_b) {
  // UTF-8 orders bytes as code points.
  if (!has_escape(raw_a) && !has_escape(raw_b)) return contents(raw_a).compare(contents(raw_b)) <=> 0;
  DecodedBytes a(raw_a), b(raw_b);
  for (;;) {
    const int c = a.next(), d = b.next();
    if (c != d) return c <=> d;
    if (c < 0) return std::strong_ordering::equal;
  }
}

bool equal_values(std::string_view a, std::string_view b) {
  if (a == b) return true;
  const JsonType type = type_of(a.front());
  if (type != type_of(b.front())) return false;
  switch (type) {
    case JsonType::number:
      return compare_numbers(a, b) == 0;
    case JsonType::string:
      return same_string(a, b);
    case JsonType::object:
      return equal_containers(a, b, true);
    case JsonType::array:
      return equal_containers(a, b, false);
    default:
      return false;
  }
}

}  // namespace weir::json
