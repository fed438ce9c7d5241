// Where the quotes of a record are, found ahead of the parser. Included like scan.h.
//
// Most records hold printable ASCII and no backslash at all. There each quote is the end of a string, no
// string needs a look inside, and the position of a token does not wait for the one before it: the processor
// runs ahead.

#include "agent/decode/scan.h"

#if defined(WEIR_AVX512)
/// See below.
inline bool index_quotes(std::string_view text, uint64_t* words) {
  const __m512i quote = _mm512_set1_epi8('"'), backslash = _mm512_set1_epi8('\\'),
                space = _mm512_set1_epi8(0x20);
  const char* p = text.data();
  uint64_t other = 0, others = 0;
  const auto quotes = [&] {
    const __m512i x = _mm512_loadu_si512(p);
    other = _mm512_cmplt_epi8_mask(x, space) | _mm512_cmpeq_epi8_mask(x, backslash);
    return _mm512_cmpeq_epi8_mask(x, quote);
  };
  size_t left = text.size();
  for (; left >= 64; left -= 64, p += 64, others |= other) *words++ = quotes();
  const uint64_t valid = (uint64_t(1) << left) - 1;
  *words++ = (quotes() & valid) | (uint64_t(1) << left);
  *words = ~uint64_t(0);
  return (others | (other & valid)) == 0;
}
#else
/// Quotes of the 64 bytes at `p`; gathers into `other` what is not printable ASCII or is a backslash.
inline uint64_t quotes_of(const char* p, Block& other) {
  uint64_t quotes = 0;
#pragma GCC unroll 4
  for (size_t i = 0; i < 64; i += sizeof(Block)) {
    const Block x = load_block(p + i);
    quotes |= uint64_t(bytes_equal(x, '"')) << i;
    other = merge(other, merge(where_control_or_high(x), where_equal(x, '\\')));
  }
  return quotes;
}

/// Writes text.size() / 64 + 2 words: the quotes, a sentinel at the end of the text, then ones only. False
/// when the text holds anything but printable ASCII without backslashes.
inline bool index_quotes(std::string_view text, uint64_t* words) {
  const char* p = text.data();
  Block other = no_bytes();
  size_t left = text.size();
  for (; left >= 64; left -= 64, p += 64) *words++ = quotes_of(p, other);
  bool plain = mask_of(other) == 0;
  // The last block is judged byte by byte up to the end only.
  const uint64_t valid = (uint64_t(1) << left) - 1;
  *words++ = (quotes_of(p, other) & valid) | (uint64_t(1) << left);
  *words = ~uint64_t(0);
  for (size_t i = 0; i < left; i += sizeof(Block)) {
    const Block x = load_block(p + i);
    const uint64_t bad = mask_of(merge(where_control_or_high(x), where_equal(x, '\\')));
    plain &= ((bad << i) & valid) == 0;
  }
  return plain;
}
#endif

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
