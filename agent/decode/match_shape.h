// Trying a record against the shapes met before (shapes.h). Included like scan.h.
//
// All positions of quotes are known before the walk begins, so no step waits for the scan of the one before
// it: where a string ends is where the next quote is.

#include "agent/decode/quote_stream.h"

/// How many places behind the last one hold the end of the text too.
inline constexpr size_t kQuotePadding = 64;
static_assert(kQuotePadding >= Shapes::kQuotesMax);

/// Positions of quotes, written one after the other: ascending, the end of the text as the last one, which is
/// repeated. There is room for as many as there are and kQuotePadding.
class QuoteList {
 public:
  explicit QuoteList(uint16_t* out) : out_(out) {}
#if defined(WEIR_AVX512)
  /// Of the next 64 bytes.
  void add(uint64_t bits) {
    const __m512i each =
        _mm512_set_epi8(63, 62, 61, 60, 59, 58, 57, 56, 55, 54, 53, 52, 51, 50, 49, 48, 47, 46, 45, 44, 43,
                        42, 41, 40, 39, 38, 37, 36, 35, 34, 33, 32, 31, 30, 29, 28, 27, 26, 25, 24, 23, 22,
                        21, 20, 19, 18, 17, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    const __m512i found = _mm512_maskz_compress_epi8(bits, each);
    _mm512_storeu_si512(out_, _mm512_add_epi16(base_, _mm512_cvtepu8_epi16(_mm512_castsi512_si256(found))));
    const auto count = count_bits(bits);
    if (count > 32) [[unlikely]]
      _mm512_storeu_si512(out_ + 32,
                          _mm512_add_epi16(base_, _mm512_cvtepu8_epi16(_mm512_extracti64x4_epi64(found, 1))));
    out_ += count;
    base_ = _mm512_add_epi16(base_, _mm512_set1_epi16(64));
  }
#else
  /// Of the next 64 bytes.
  void add(uint64_t bits) {
    // Rounds of eight without a look at how many there are; what is written too much is written over.
    while (bits != 0) {
      const uint64_t round = bits;
      uint16_t* to = out_;
#pragma GCC unroll 8
      for (int i = 0; i < 8; ++i) {
        *to++ = uint16_t(base_ + unsigned(count_zeros(bits)));
        bits &= bits - 1;
      }
      out_ += bits != 0 ? 8 : count_bits(round);
    }
    base_ += 64;
  }
#endif
  void finish(uint16_t end) { std::fill_n(out_, kQuotePadding, end); }

 private:
  uint16_t* out_;
#if defined(WEIR_AVX512)
  __m512i base_ = _mm512_setzero_si512();
#else
  uint32_t base_ = 0;
#endif
};

/// All quotes of a text; false when it is not plain, and the list of no use.
[[gnu::always_inline]] inline bool list_quotes(std::string_view text, uint16_t* out) {
  QuoteFinder finder(text);
  QuoteList list(out);
  while (finder.has_block()) list.add(finder.block());
  list.add(finder.rest());
  list.finish(uint16_t(text.size()));
  return finder.plain();
}

inline uint64_t specials_of(const char* p) {
  uint64_t specials = 0;
#pragma GCC unroll 4
  for (size_t i = 0; i < 64; i += sizeof(Block)) {
    const Block x = load_block(p + i);
    specials |= uint64_t(mask_of(merge(where_control_or_high(x), where_equal(x, '\\')))) << i;
  }
  return specials;
}

/// One bit for each of 32 bytes that are the same.
inline uint32_t equal_bytes(const char* a, const char* b) {
  uint32_t same = 0;
#pragma GCC unroll 2
  for (size_t i = 0; i < 32; i += sizeof(Block))
    same |= uint32_t(mask_of(where_same(load_block(a + i), load_block(b + i)))) << i;
  return same;
}

class ShapeMatcher : public Scanner<true> {
 public:
  ShapeMatcher(std::string_view text, const Shapes& shapes, uint16_t* quotes, FieldTable& out)
      : Scanner(text), shapes_(shapes), quotes_(quotes), out_(out) {}

  /// For a text that is not plain: are its escapes and characters well-formed? Lists its quotes, the escaped
  /// ones left out. `words` is room for its index.
  [[gnu::noinline]] bool list_quotes_of_settled(uint64_t* words) {
    index_quotes({begin_, size_t(end_ - begin_)}, words);
    if (!settle_specials(words)) return false;
    QuoteList list(quotes_);
    const auto size = size_t(end_ - begin_);
    for (size_t i = 0; i <= size / 64; ++i) list.add(words[i]);
    list.finish(uint16_t(size));
    return true;
  }

  bool settle_specials(uint64_t* words) {
    const char* done = begin_;
    for (const char* block = begin_; block < end_; block += 64, ++words) {
      uint64_t specials = specials_of(block);
      if (end_ - block < 64) specials &= (uint64_t(1) << (end_ - block)) - 1;
      for (; specials != 0; specials &= specials - 1) {
        const char* const p = block + __builtin_ctzll(specials);
        if (p < done) continue;
        if (*p == '\\') {
          done = escape(p);
          if (done == nullptr) return false;
          const auto at = size_t(p + 1 - block);
          if (p[1] == '"') words[at / 64] &= ~(uint64_t(1) << at % 64);
        } else if (static_cast<unsigned char>(*p) < 0x80) {
          return false;  // a control character: white space, or none at all
        } else {
          const int length = utf8_sequence(p, end_);
          if (length <= 0) return false;
          done = p + length;
        }
      }
    }
    return true;
  }

  /// The quotes are listed. On true `out` is what the parser would have made of it.
  bool match(std::optional<Stream> default_stream) {
    const auto size = size_t(end_ - begin_);
    const ShapeStep* const last = walk();
    if (last == nullptr) return false;
    const RecordShape& shape = shapes_.shape(last->shape);
    if (!shape.stream && !default_stream) [[unlikely]]
      return false;
    out_.set_shape({begin_, size}, shape);
    out_.stream = shape.stream ? *shape.stream : *default_stream;
    return true;
  }

 private:
  /// From the first glue to the last; the last step, or null when the record fits no shape. Not inlined, nor
  /// what is rare in it: its few variables have to stay in registers.
  ///
  /// Why it stays within the text: `quote` counts the quotes before `hole`, so once that lies behind the end,
  /// all places from there on are the end, and no glue can begin behind the hole any more.
  [[gnu::noinline]] const ShapeStep* walk() {
    const char* const begin = begin_;
    const ShapeStep* at = find_first();
    if (at == nullptr) return nullptr;
    const uint16_t* quote = quotes_ + at->quotes;  // the next one not passed
    uint32_t* glue = out_.glue_begins();           // where each begins
    uint64_t hole = at->size;
    *glue++ = 0;
    while (at->hole != Hole::end) {
      const ShapeStep* next = at + 1;
      uint64_t behind = uint64_t(*quote) - next->first_quote;
      if (int64_t(behind) < int64_t(hole) || !head_fits(*next, begin + behind)) [[unlikely]] {
        next = find_next(at, hole, *quote);
        if (next == nullptr) return nullptr;
        behind = behind_;
      }
      if (at->hole == Hole::bare && !bare(*at, begin + hole, behind - hole)) [[unlikely]] {
        next = find_next(at, hole,
                         *quote);  // that glue may only end as the right one does: `,"b":` and `],"b":`
        if (next == nullptr || !bare(*at, begin + hole, behind_ - hole)) return nullptr;
        behind = behind_;
      }
      *glue++ = uint32_t(behind);
      quote += next->quotes;
      hole = behind + next->size;
      at = next;
    }
    return at;
  }

  [[gnu::noinline]] const ShapeStep* find_first() const {
    const ShapeStep* const steps = shapes_.steps();
    for (const ShapeStep* step = steps + 1;; step = steps + step->sibling) {
      if (fits(*step, begin_)) return step;
      if (step->sibling == 0) return nullptr;
    }
  }

  /// The step after `at` that fits, behind_ where its glue is; null when there is none.
  [[gnu::noinline]] const ShapeStep* find_next(const ShapeStep* at, uint64_t hole, uint64_t quote) {
    if (hole > uint64_t(end_ - begin_)) return nullptr;
    behind_ = at->hole == Hole::text ? quote : uint64_t(behind_bare(begin_ + hole) - begin_);
    const ShapeStep* const steps = shapes_.steps();
    for (const ShapeStep* step = at + 1;; step = steps + step->sibling) {
      if (fits(*step, begin_ + behind_)) return step;
      if (step->sibling == 0) return nullptr;
    }
  }

  /// Is this its glue, all of it?
  bool fits(const ShapeStep& step, const char* glue) const {
    if (step.simple()) return head_fits(step, glue);
    return end_ - glue >= step.size && std::memcmp(glue, shapes_.bytes() + step.bytes, step.size) == 0 &&
           hole_fits(step, glue);
  }
  /// The same for one that is simple; false for others.
  [[gnu::always_inline]] bool head_fits(const ShapeStep& step, const char* glue) const {
    return (equal_bytes(glue, step.glue) & step.wanted) == step.wanted && hole_fits(step, glue);
  }
  /// The glue before a string begins as the one before a bare value does, and one end as another.
  [[gnu::always_inline]] bool hole_fits(const ShapeStep& step, const char* glue) const {
    if (step.hole == Hole::text) return true;
    if (step.hole == Hole::end) return glue + step.size == end_;
    return kBeginsBare[static_cast<unsigned char>(glue[step.size])];
  }

  static constexpr auto kBeginsBare = [] {
    std::array<bool, 256> table{};
    for (const unsigned char c : {'-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 't', 'f', 'n'})
      table[c] = true;
    return table;
  }();

  /// Where the bare scalar at `p` ends; `p` itself when there is none.
  [[gnu::noinline]] const char* behind_bare(const char* p) {
    bool integer;
    JsonType type;
    const char* const behind = begins_number(*p) ? number(p, integer) : literal(p, type);
    return behind == nullptr ? p : behind;
  }

  /// Is it a number, true, false or null, and one that may be there? It is followed by 16 readable bytes.
  [[gnu::always_inline]] bool bare(const ShapeStep& step, const char* p, size_t size) {
    const __m128i x = _mm_sub_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)), _mm_set1_epi8('0'));
    const auto others =
        low_bits(uint32_t(_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(x, _mm_set1_epi8(9)), x))) ^ 0xFFFFu,
                 uint32_t(size));
    // Short integers, most of them.
    if (size - 1 < 16 && others == 0 && (*p != '0' || size == 1)) [[likely]]
      return (step.allowed & type_bit(JsonType::number)) != 0;
    return bare_slow(step, p, size, others);
  }

  /// `others`: which of its first 16 bytes are no digits.
  [[gnu::noinline]] bool bare_slow(const ShapeStep& step, const char* p, size_t size, uint32_t others) {
    if (size == 0) return false;
    JsonType type = JsonType::number;
    if (!begins_number(*p)) return literal(p, type) == p + size && (step.allowed & type_bit(type)) != 0;
    if ((step.allowed & type_bit(type)) == 0) return false;
    bool integer = false;
    const auto point = size_t(__builtin_ctz(others | 1u << 31));
    const bool decimal = size <= 16 && p[point] == '.' && (others & (others - 1)) == 0 && point > 0 &&
                         point + 1 < size && (*p != '0' || point == 1);
    if (!decimal && number(p, integer) != p + size) return false;
    if ((step.allowed & ShapeStep::kInteger) != 0) return integer;
    // Without an exponent few digits are finite; the parser judges the others.
    return decimal || (step.allowed & ShapeStep::kFinite) == 0 ||
           (size < 300 && std::memchr(p, 'e', size) == nullptr && std::memchr(p, 'E', size) == nullptr);
  }

  const Shapes& shapes_;
  uint16_t* const quotes_;
  uint64_t behind_ = 0;
  FieldTable& out_;
};
