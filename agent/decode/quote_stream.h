// Where the quotes of a record are, found ahead of the parser. Included like scan.h.
//
// Most records hold printable ASCII and no backslash at all. There each quote is the end of a string, no
// string needs a look inside, and the position of a token does not wait for the one before it: the processor
// runs ahead.

#include "agent/decode/scan.h"

/// Finds the quotes of a text, 64 bytes at a time from its beginning, and whether it is plain: printable
/// ASCII without backslashes.
class QuoteFinder {
 public:
  explicit QuoteFinder(std::string_view text) : p_(text.data()), left_(text.size()) {}
  /// More than 63 bytes are left.
  bool has_block() const { return left_ >= 64; }
#if defined(WEIR_AVX512)
  uint64_t block() {
    const uint64_t quotes = look();
    others_ |= other_;
    p_ += 64, left_ -= 64;
    return quotes;
  }
  /// Of the rest, which may be empty, and one more bit for the end of the text.
  uint64_t rest() {
    const uint64_t end = uint64_t(1) << left_;
    const uint64_t quotes = look() & (end - 1);
    others_ |= other_ & (end - 1);
    return quotes | end;
  }
  /// After rest().
  bool plain() const { return others_ == 0; }

 private:
  uint64_t look() {
    const __m512i x = _mm512_loadu_si512(p_);
    other_ =
        _mm512_cmplt_epi8_mask(x, _mm512_set1_epi8(0x20)) | _mm512_cmpeq_epi8_mask(x, _mm512_set1_epi8('\\'));
    return _mm512_cmpeq_epi8_mask(x, _mm512_set1_epi8('"'));
  }
  uint64_t other_ = 0, others_ = 0;  // bytes that are not plain: of the last look, of all
#else
  uint64_t block() {
    uint64_t quotes = 0;
#pragma GCC unroll 4
    for (size_t i = 0; i < 64; i += sizeof(Block)) {
      const Block x = load_block(p_ + i);
      quotes |= uint64_t(bytes_equal(x, '"')) << i;
      others_ = merge(others_, where_other(x));
    }
    p_ += 64, left_ -= 64;
    return quotes;
  }
  /// Of the rest, which may be empty, and one more bit for the end of the text.
  uint64_t rest() {
    const uint64_t end = uint64_t(1) << left_;
    uint64_t quotes = 0, others = 0;
#pragma GCC unroll 4
    for (size_t i = 0; i < 64; i += sizeof(Block)) {
      const Block x = load_block(p_ + i);
      quotes |= uint64_t(bytes_equal(x, '"')) << i;
      others |= uint64_t(mask_of(where_other(x))) << i;
    }
    plain_ = mask_of(others_) == 0 && (others & (end - 1)) == 0;
    return (quotes & (end - 1)) | end;
  }
  /// After rest().
  bool plain() const { return plain_; }

 private:
  static Block where_other(Block x) { return merge(where_control_or_high(x), where_equal(x, '\\')); }
  Block others_ = no_bytes();  // bytes of whole blocks that are not plain
  bool plain_ = false;
#endif
  const char* p_;
  size_t left_;
};

/// Writes text.size() / 64 + 2 words: the quotes, a sentinel at the end of the text, then ones only. False
/// when the text is not plain.
inline bool index_quotes(std::string_view text, uint64_t* words) {
  QuoteFinder finder(text);
  while (finder.has_block()) *words++ = finder.block();
  *words++ = finder.rest();
  *words = ~uint64_t(0);
  return finder.plain();
}

/// The indexed quotes, one after the other.
class QuoteStream {
 public:
  QuoteStream(const char* text, const uint64_t* words) : block_(text), words_(words), bits_(*words) {}
  /// Where the next quote is, which stays the next.
  const char* peek() {
    while (bits_ == 0) [[unlikely]] {
        bits_ = *++words_;
        block_ += 64;
      }
    return block_ + __builtin_ctzll(bits_);
  }
  const char* take() {
    const char* const quote = peek();
    bits_ &= bits_ - 1;
    return quote;
  }

 private:
  const char* block_;
  const uint64_t* words_;
  uint64_t bits_;  // invariant: quotes of *words_ not taken yet
};
