// Tokens of JSON, validated. Included once per translation unit, inside of the namespace WEIR_ISA, so that
// one source serves three instruction sets; the including file has the system headers.

#if defined(WEIR_AVX2)
using Block = __m256i;
using BlockMask = uint32_t;
inline Block no_bytes() { return _mm256_setzero_si256(); }
inline Block merge(Block x, Block y) { return _mm256_or_si256(x, y); }
inline Block where_equal(Block x, char c) { return _mm256_cmpeq_epi8(x, _mm256_set1_epi8(c)); }
inline Block where_same(Block x, Block y) { return _mm256_cmpeq_epi8(x, y); }
inline Block where_control_or_high(Block x) { return _mm256_cmpgt_epi8(_mm256_set1_epi8(0x20), x); }
inline BlockMask mask_of(Block x) { return uint32_t(_mm256_movemask_epi8(x)); }
inline Block load_block(const char* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
inline Block where_control(Block x) {
  return _mm256_cmpeq_epi8(_mm256_min_epu8(x, _mm256_set1_epi8(0x1F)), x);
}
/// Anything for no bits at all.
inline int count_zeros(uint64_t bits) { return int(_tzcnt_u64(bits)); }
inline int count_bits(uint64_t bits) { return int(_mm_popcnt_u64(bits)); }
/// The lowest `count` bits, which are at most 32.
inline uint32_t low_bits(uint32_t bits, uint32_t count) { return _bzhi_u32(bits, count); }
#else
inline int count_zeros(uint64_t bits) { return __builtin_ctzll(bits | uint64_t(1) << 63); }
inline uint32_t low_bits(uint32_t bits, uint32_t count) { return bits & ~(~uint64_t(0) << (count & 63)); }
inline int count_bits(uint64_t bits) {
  int count = 0;
  for (; bits != 0; bits &= bits - 1) ++count;
  return count;
}
using Block = __m128i;
using BlockMask = uint32_t;
inline Block no_bytes() { return _mm_setzero_si128(); }
inline Block merge(Block x, Block y) { return _mm_or_si128(x, y); }
inline Block where_equal(Block x, char c) { return _mm_cmpeq_epi8(x, _mm_set1_epi8(c)); }
inline Block where_same(Block x, Block y) { return _mm_cmpeq_epi8(x, y); }
inline Block where_control_or_high(Block x) { return _mm_cmpgt_epi8(_mm_set1_epi8(0x20), x); }
inline BlockMask mask_of(Block x) { return uint32_t(_mm_movemask_epi8(x)); }
inline Block load_block(const char* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }
inline Block where_control(Block x) { return _mm_cmpeq_epi8(_mm_min_epu8(x, _mm_set1_epi8(0x1F)), x); }
#endif
inline BlockMask bytes_equal(Block x, char c) { return mask_of(where_equal(x, c)); }
/// As signed bytes everything from 0x80 up is below a space, too.
inline BlockMask controls_or_high(Block x) { return mask_of(where_control_or_high(x)); }
inline BlockMask controls(Block x) { return mask_of(where_control(x)); }

/// How scanning stays inside: a token function may look at most 64 bytes past the end and never moves on from
/// there. fail() turns every fault at or behind the end into "the record ends too early", so what stands
/// there decides nothing.
///
/// Functions take a position and return the one behind the token, nullptr after fail().
template <bool kCheckUtf8>
class Scanner {
 public:
  explicit Scanner(std::string_view text) : begin_(text.data()), end_(text.data() + text.size()) {}
  const Fault& fault() const { return fault_; }

 protected:
  const char* fail(const char* at, Reason reason, std::string_view detail) {
    note_fault(at, reason, detail);
    return nullptr;
  }
  const char* fail(const char* at, std::string_view detail) { return fail(at, Reason::bad_json, detail); }
  [[gnu::cold, gnu::noinline]] void note_fault(const char* at, Reason reason, std::string_view detail) {
    if (at >= end_) {
      fault_ = {Reason::bad_json, uint32_t(end_ - begin_), "expected more, the record ends too early"};
    } else if (kCheckUtf8 && reason == Reason::bad_json && utf8_sequence(at, end_) <= 0) {
      fault_ = {Reason::bad_utf8, uint32_t(at - begin_), kUtf8Detail};
    } else {
      fault_ = {reason, uint32_t(at - begin_), detail};
    }
  }

  const char* space(const char* p) const {
    if (static_cast<unsigned char>(*p) > ' ') [[likely]]
      return p;
    if (*p == ' ' && static_cast<unsigned char>(p[1]) > ' ') return p + 1;
    while (p < end_ && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r')) ++p;
    return p;
  }

  /// `p` at the opening quote.
  [[gnu::always_inline]] const char* string(const char* p, bool& escaped) {
    escaped = false;
    const char* q = p + 1;
    for (;;) {
      const Block x = load_block(q);
      const BlockMask quotes = bytes_equal(x, '"');
      const BlockMask specials = (kCheckUtf8 ? controls_or_high(x) : controls(x)) | bytes_equal(x, '\\');
      if (quotes != 0 && (specials & (quotes - 1)) == 0) [[likely]] {
        q += __builtin_ctz(quotes);
        if (q >= end_) [[unlikely]]
          return fail(q, {});
        return q + 1;
      }
      if (specials != 0) return string_slow(q + __builtin_ctz(specials), escaped);
      q += sizeof(Block);
      if (q >= end_) [[unlikely]]
        return fail(q, {});
    }
  }

  /// `p` at a digit or a minus. Numbers of fewer than 16 digits without exponent take no loop and no branch
  /// that depends on their length.
  [[gnu::always_inline]] const char* number(const char* p, bool& integer) {
    const char* const q = p + (*p == '-');
    const __m128i x = _mm_sub_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(q)), _mm_set1_epi8('0'));
    const __m128i digits = _mm_cmpeq_epi8(_mm_min_epu8(x, _mm_set1_epi8(9)), x);
    uint32_t others = uint32_t(_mm_movemask_epi8(digits)) ^ 0x1FFFFu;
    auto size = uint32_t(__builtin_ctz(others));
    const bool leading_zero = *q == '0' && size > 1;
    integer = q[size] != '.';
    bool no_digits = size == 0;
    if (!integer) {
      const uint32_t point = size;
      others &= others - 1;
      size = others == 0 ? 16 : uint32_t(__builtin_ctz(others));
      no_digits |= size == point + 1;
    }
    if (leading_zero || no_digits || size >= 16 || (q[size] | 0x20) == 'e' || q + size > end_) [[unlikely]] {
      return number_slow(p, integer);
    }
    return q + size;
  }

  /// `true`, `false`, `null`, or the fault of whatever else begins here.
  const char* literal(const char* p, JsonType& type) {
    uint32_t head = 0, tail = 0;
    std::memcpy(&head, p, 4);
    std::memcpy(&tail, p + 1, 4);
    type = head == kNull ? JsonType::null : JsonType::boolean;
    const char* q = p + 4;
    if (*p == 'f' && tail == kAlse) {
      ++q;
    } else if (head != kNull && head != kTrue) {
      return fail(p, kExpectedValue);
    }
    return q <= end_ ? q : fail(p, kExpectedValue);
  }

  static bool begins_number(char c) { return (c >= '0' && c <= '9') || c == '-'; }

  static constexpr uint32_t kTrue = 0x65757274, kNull = 0x6C6C756E, kAlse = 0x65736C61;  // as four bytes
  static constexpr std::string_view kExpectedValue = "expected a value";
  static constexpr std::string_view kUtf8Detail = "expected well-formed UTF-8";

  const char* const begin_;
  const char* const end_;

  /// Length of the well-formed sequence at `p` (Unicode table 3-7), 0: ill-formed, -1: fine as far as it
  /// goes, then the end.
  static int utf8_sequence(const char* at, const char* end) {
    const auto* p = reinterpret_cast<const unsigned char*>(at);
    const unsigned char c = p[0];
    if (c < 0x80) return 1;
    if (c < 0xC2 || c > 0xF4) return 0;
    const int length = c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
    const unsigned char low = c == 0xE0 ? 0xA0 : c == 0xF0 ? 0x90 : 0x80;
    const unsigned char high = c == 0xED ? 0x9F : c == 0xF4 ? 0x8F : 0xBF;
    for (int i = 1; i < length; ++i) {
      if (at + i >= end) return -1;
      if (p[i] < (i == 1 ? low : 0x80) || p[i] > (i == 1 ? high : 0xBF)) return 0;
    }
    return length;
  }

  /// The four hex digits at `p`, -1 when they are none, -2 when the end comes first.
  int hex4(const char* p) const {
    int value = 0;
    for (int i = 0; i < 4; ++i) {
      if (p + i >= end_) return -2;
      const char c = p[i], lower = char(c | 0x20);
      if (c >= '0' && c <= '9') {
        value = value * 16 + (c - '0');
      } else if (lower >= 'a' && lower <= 'f') {
        value = value * 16 + (lower - 'a' + 10);
      } else {
        return -1;
      }
    }
    return value;
  }

  /// `q` at the backslash.
  const char* escape(const char* q) {
    constexpr std::string_view kDetail = "expected a valid escape";
    if (q + 1 >= end_) return fail(end_, {});
    switch (q[1]) {
      case '"':
      case '\\':
      case '/':
      case 'b':
      case 'f':
      case 'n':
      case 'r':
      case 't':
        return q + 2;
      case 'u':
        break;
      default:
        return fail(q, kDetail);
    }
    const int code = hex4(q + 2);
    if (code < 0) return code == -2 ? fail(end_, {}) : fail(q, kDetail);
    if (!kCheckUtf8 || code < 0xD800 || code > 0xDFFF) return q + 6;
    return code < 0xDC00 ? low_surrogate(q) : fail(q, Reason::bad_utf8, kSurrogateDetail);
  }

  /// `q` at the backslash of a high surrogate.
  const char* low_surrogate(const char* q) {
    for (int i = 6; i < 8; ++i) {
      if (q + i >= end_) return fail(end_, {});
      if (q[i] != "\\u"[i - 6]) return fail(q, Reason::bad_utf8, kSurrogateDetail);
    }
    const int low = hex4(q + 8);
    if (low == -2) return fail(end_, {});
    return low >= 0xDC00 && low <= 0xDFFF ? q + 12 : fail(q, Reason::bad_utf8, kSurrogateDetail);
  }

 private:
  [[gnu::noinline]] const char* number_slow(const char* p, bool& integer) {
    const char* q = p + (*p == '-');
    const char* digits = q;
    q = *q == '0' ? q + 1 : skip_digits(q);
    if (q == digits) return fail(q, "expected a digit");
    integer = true;
    if (*q == '.') {
      integer = false;
      digits = ++q;
      q = skip_digits(q);
      if (q == digits) return fail(q, "expected a digit behind the decimal point");
    }
    if ((*q | 0x20) == 'e') {
      integer = false;
      ++q;
      q += *q == '+' || *q == '-';
      digits = q;
      q = skip_digits(q);
      if (q == digits) return fail(q, "expected a digit in the exponent");
    }
    return q <= end_ ? q : fail(q, {});
  }

  /// Goes on with a string at a byte that is not plain.
  [[gnu::noinline]] const char* string_slow(const char* q, bool& escaped) {
    for (;;) {
      if (q >= end_) return fail(q, {});
      const auto c = static_cast<unsigned char>(*q);
      if (c == '"') return q + 1;
      if (c == '\\') {
        escaped = true;
        q = escape(q);
        if (q == nullptr) return nullptr;
      } else if (c < 0x20) {
        return fail(q, "expected no control character inside of a string");
      } else if (c < 0x80 || !kCheckUtf8) {
        q = plain_run(q);
      } else {
        const int length = utf8_sequence(q, end_);
        if (length < 0) return fail(end_, {});
        if (length == 0) return fail(q, Reason::bad_utf8, kUtf8Detail);
        q += length;
      }
    }
  }

  /// Behind the plain bytes from `q` on.
  const char* plain_run(const char* q) {
    for (; q < end_; q += sizeof(Block)) {
      const Block x = load_block(q);
      const BlockMask stops =
          bytes_equal(x, '"') | bytes_equal(x, '\\') | (kCheckUtf8 ? controls_or_high(x) : controls(x));
      if (stops != 0) return q + __builtin_ctz(stops);
    }
    return q;
  }

  /// A plain loop: numbers are short, and a predicted branch costs less than the latency of a vector compare.
  const char* skip_digits(const char* q) const {
    while (q < end_ && *q >= '0' && *q <= '9') ++q;
    return q;
  }

  static constexpr std::string_view kSurrogateDetail = "expected a pair of surrogate escapes";

  Fault fault_;
};
