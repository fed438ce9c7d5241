#include <algorithm>
#include <cstring>

#include "agent/core/json.h"

namespace weir::json {
namespace {

/// A number as sign * 0.d1d2d3... * 10^exponent with d1 not zero. The digits stay where they are, a point
/// among them.
struct Decimal {
  bool negative = false;
  bool zero = true;
  __int128 exponent = 0;
  const char* digit = nullptr;  ///< d1
  const char* digits_end = nullptr;
  std::string_view huge;  ///< digits of an exponent that __int128 does not hold
};

__int128 parse_exponent(std::string_view text, std::string_view& huge) {
  bool negative = false;
  if (text.front() == '+' || text.front() == '-') negative = text.front() == '-', text.remove_prefix(1);
  text.remove_prefix(std::min(text.find_first_not_of('0'), text.size()));
  __int128 value = 0;
  for (char c : text.substr(0, 37)) value = value * 10 + (c - '0');
  if (text.size() > 36) huge = text;
  return negative ? -value : value;
}

Decimal parse_decimal(std::string_view text) {
  Decimal d;
  const char* p = text.data();
  const char* const end = p + text.size();
  if (*p == '-') d.negative = true, ++p;
  const char* mantissa_end = p;
  while (mantissa_end < end && (*mantissa_end | 0x20) != 'e') ++mantissa_end;
  const auto* point = static_cast<const char*>(std::memchr(p, '.', size_t(mantissa_end - p)));
  while (p < mantissa_end && (*p == '0' || *p == '.')) ++p;
  if (p == mantissa_end) return d;
  d.zero = false;
  d.digit = p;
  d.digits_end = mantissa_end;
  const char* const units_end = point != nullptr ? point : mantissa_end;
  d.exponent = units_end - p + (p > units_end ? 1 : 0);
  if (mantissa_end < end) {
    d.exponent += parse_exponent({mantissa_end + 1, size_t(end - mantissa_end - 1)}, d.huge);
  }
  return d;
}

/// Next digit of a mantissa, '0' behind its end for ever.
char next_digit(const char*& p, const char* end) {
  if (p < end && *p == '.') ++p;
  return p < end ? *p++ : '0';
}

/// Order of magnitudes of two numbers that are not zero.
std::strong_ordering compare_magnitudes(const Decimal& a, const Decimal& b) {
  if (!a.huge.empty() && !b.huge.empty() && (a.exponent < 0) == (b.exponent < 0)) {
    // Too long for __int128: ordered by the exponents as written.
    auto order = a.huge.size() <=> b.huge.size();
    if (order == 0) order = a.huge.compare(b.huge) <=> 0;
    if (order != 0)
      return (a.exponent < 0) == (order < 0) ? std::strong_ordering::greater : std::strong_ordering::less;
  }
  if (a.exponent != b.exponent) {
    return a.exponent < b.exponent ? std::strong_ordering::less : std::strong_ordering::greater;
  }
  for (const char *p = a.digit, *q = b.digit; p < a.digits_end || q < b.digits_end;) {
    const char c = next_digit(p, a.digits_end);
    const char d = next_digit(q, b.digits_end);
    if (c != d) return c <=> d;
  }
  return std::strong_ordering::equal;
}

/// A number without an exponent and with few digits, as most are: value = units / 10^places.
struct Plain {
  int64_t units = 0;
  int places = 0;
};

constexpr size_t kPlainBytesMax = 11;  // sign, point and at most nine digits: products of two stay in int64
constexpr int64_t kPowers[] = {1,       10,        100,        1'000,       10'000,
                               100'000, 1'000'000, 10'000'000, 100'000'000, 1'000'000'000};

bool parse_plain(std::string_view text, Plain& out) {
  if (text.size() > kPlainBytesMax) return false;
  const bool negative = text.front() == '-';
  int digits = 0;
  bool fraction = false;
  for (const char c : text.substr(negative)) {
    if (c == '.') {
      fraction = true;
      continue;
    }
    const unsigned digit = unsigned(c) - '0';
    if (digit > 9 || ++digits > 9) return false;  // an exponent, or too many
    out.units = out.units * 10 + int64_t(digit);
    out.places += fraction;
  }
  if (negative) out.units = -out.units;
  return true;
}

}  // namespace

std::strong_ordering compare_numbers(std::string_view a, std::string_view b) {
  Plain p, q;
  if (parse_plain(a, p) && parse_plain(b, q))
    return p.units * kPowers[q.places] <=> q.units * kPowers[p.places];
  const Decimal x = parse_decimal(a), y = parse_decimal(b);
  const int sign_x = x.zero ? 0 : x.negative ? -1 : 1;
  const int sign_y = y.zero ? 0 : y.negative ? -1 : 1;
  if (sign_x != sign_y) return sign_x <=> sign_y;
  if (sign_x == 0) return std::strong_ordering::equal;
  return sign_x > 0 ? compare_magnitudes(x, y) : compare_magnitudes(y, x);
}

}  // namespace weir::json
