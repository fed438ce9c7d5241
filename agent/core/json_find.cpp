#include <immintrin.h>

#include <cstring>

#include "agent/core/json.h"

/// Finding one member of an object without walking over all of it: its key is searched for as bytes, and then
/// it is made sure that this is a key, and of the object itself. In valid JSON that takes little.
namespace weir::json {
namespace {

constexpr size_t kBlock = 16;
constexpr size_t kWalkBelow = 64;  // of a small object the walk is as fast
constexpr int kStrangersMax = 4;   // keys of this name that objects within may have before it walks after all

uint32_t bits(__m128i x) { return static_cast<uint32_t>(_mm_movemask_epi8(x)); }
__m128i load(const char* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }

/// find_quoted() in steps of 32 bytes as far as those go: the place, or null and `p` moved on.
__attribute__((target("avx2"))) const char* find_quoted_avx2(const char*& p, const char* end,
                                                             std::string_view key) {
  const size_t span = key.size() + 2;
  const __m256i quote = _mm256_set1_epi8('"'), first = _mm256_set1_epi8(key.front());
  for (; size_t(end - p) >= span - 1 + 2 * kBlock; p += 2 * kBlock) {
    const __m256i begins = _mm256_and_si256(
        _mm256_cmpeq_epi8(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)), quote),
        _mm256_cmpeq_epi8(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 1)), first));
    const __m256i both = _mm256_and_si256(
        begins, _mm256_cmpeq_epi8(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + span - 1)), quote));
    for (auto mask = uint32_t(_mm256_movemask_epi8(both)); mask != 0; mask &= mask - 1) {
      const char* const at = p + __builtin_ctz(mask);
      if (std::memcmp(at + 1, key.data(), key.size()) == 0) return at;
    }
  }
  return nullptr;
}

/// First place in [p, end) where `key` stands between quotes; end: nowhere.
const char* find_quoted(const char* p, const char* end, std::string_view key) {
  static const bool wide = __builtin_cpu_supports("avx2");
  if (wide) {
    if (const char* at = find_quoted_avx2(p, end, key)) return at;
  }
  const size_t span = key.size() + 2;  // with its quotes
  const auto hit = [&](const char* at) { return std::memcmp(at + 1, key.data(), key.size()) == 0; };
  const __m128i quote = _mm_set1_epi8('"');
  for (; size_t(end - p) >= span - 1 + kBlock; p += kBlock) {
    uint32_t mask =
        bits(_mm_and_si128(_mm_cmpeq_epi8(load(p), quote), _mm_cmpeq_epi8(load(p + span - 1), quote)));
    for (; mask != 0; mask &= mask - 1)
      if (const char* at = p + __builtin_ctz(mask); hit(at)) return at;
  }
  for (; size_t(end - p) >= span; ++p)
    if (*p == '"' && p[span - 1] == '"' && hit(p)) return p;
  return end;
}

/// First `{` or `[` (bit 5 tells them apart) in [p, end), in strings too; end: none.
const char* find_opening(const char* p, const char* end) {
  for (; size_t(end - p) >= kBlock; p += kBlock) {
    const __m128i folded = _mm_or_si128(load(p), _mm_set1_epi8(0x20));
    if (const uint32_t mask = bits(_mm_cmpeq_epi8(folded, _mm_set1_epi8('{'))); mask != 0)
      return p + __builtin_ctz(mask);
  }
  while (p < end && (*p | 0x20) != '{') ++p;
  return p;
}

/// How many more objects and arrays begin than end in [p, end); `p` is outside of strings.
int net_depth(const char* p, const char* end) {
  int depth = 0;
  bool in_string = false;
  const char* skip_until = p;  // what a backslash before it has taken the meaning of
  const auto look = [&](const char* at) {
    if (at < skip_until) return;
    if (*at == '"')
      in_string = !in_string;
    else if (*at == '\\')
      skip_until = at + 2;
    else if (!in_string)
      depth += (*at | 0x20) == '{' ? 1 : -1;
  };
  for (; size_t(end - p) >= kBlock; p += kBlock) {
    const __m128i x = load(p), folded = _mm_or_si128(x, _mm_set1_epi8(0x20));
    const __m128i brackets =
        _mm_or_si128(_mm_cmpeq_epi8(folded, _mm_set1_epi8('{')), _mm_cmpeq_epi8(folded, _mm_set1_epi8('}')));
    const __m128i strings =
        _mm_or_si128(_mm_cmpeq_epi8(x, _mm_set1_epi8('"')), _mm_cmpeq_epi8(x, _mm_set1_epi8('\\')));
    for (uint32_t mask = bits(_mm_or_si128(brackets, strings)); mask != 0; mask &= mask - 1)
      look(p + __builtin_ctz(mask));
  }
  for (; p < end; ++p) {
    const char folded = char(*p | 0x20);
    if (folded == '{' || folded == '}' || *p == '"' || *p == '\\') look(p);
  }
  return depth;
}

/// Is the key at `p` one of the object [begin, end) itself, and not of one within? Counts on the shorter
/// side; before the key it first looks whether anything has begun at all.
bool is_own(const char* begin, const char* p, const char* end) {
  if (end - p < p - begin) return net_depth(p, end) == -1;
  const bool is_long = size_t(p - begin) > 4 * kBlock;
  return (is_long && find_opening(begin + 1, p) == p) || net_depth(begin, p) == 1;
}

/// A key that can be told from the end of a string with what may follow that (`,` `:` `}` `]`, white space),
/// and that is not written with escapes by necessity.
bool is_searchable(std::string_view key) {
  if (key.empty() || std::string_view(",:}] \t\r\n").find(key.front()) != std::string_view::npos)
    return false;
  for (char c : key)
    if (c == '"' || c == '\\' || static_cast<unsigned char>(c) < 0x20) return false;
  return true;
}

std::string_view walk(std::string_view object, std::string_view key) {
  for (Members m(object.data(), {0, uint32_t(object.size())}); m.next();)
    if (string_is(m.member().key.of(object), key)) return m.member().value.of(object);
  return {};
}

}  // namespace

std::string_view find_key(std::string_view object, std::string_view key) {
  const auto first = object.find_first_not_of(" \t\n\r");
  if (first == object.npos || object[first] != '{') return {};
  object.remove_prefix(first);
  if (object.size() < kWalkBelow || !is_searchable(key)) return walk(object, key);
  const char* const begin = object.data();
  const char* const end = begin + object.size();
  int strangers = 0;
  for (const char* p = begin; (p = find_quoted(p, end, key)) != end; ++p) {
    if (p[-1] == '\\') continue;  // within a string: a raw quote cannot be
    const char* const behind = skip_space(p + key.size() + 2);
    if (*behind != ':') continue;
    if (!is_own(begin, p, end)) {
      if (++strangers == kStrangersMax) return walk(object, key);
      continue;
    }
    const char* const value = skip_space(behind + 1);
    return {value, size_t(skip_value(value) - value)};
  }
  // It may still be there, written with escapes.
  return std::memchr(begin, '\\', object.size()) ? walk(object, key) : std::string_view{};
}

std::string_view find_path(std::string_view object, std::string_view path) {
  if (const auto value = find_key(object, path); !value.empty()) return value;
  for (size_t dot = path.find('.'); dot != path.npos; dot = path.find('.', dot + 1)) {
    const auto head = find_key(object, path.substr(0, dot));
    if (head.empty() || head.front() != '{') continue;
    if (const auto value = find_path(head, path.substr(dot + 1)); !value.empty()) return value;
  }
  return {};
}

}  // namespace weir::json
