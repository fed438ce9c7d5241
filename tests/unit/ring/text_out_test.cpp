#include "agent/ring/text_out.h"

#include <doctest/doctest.h>

#include <random>

using namespace weir::ring;

namespace {

std::string number_text(double value) {
  char bytes[out::kNumberBytesMax + out::kSlack];
  return {bytes, out::number(bytes, value, true)};
}

/// What the standard library makes of it: the shortest text that means this number.
std::string shortest(double value) {
  char bytes[64];
  return {bytes, std::to_chars(bytes, bytes + sizeof bytes, value).ptr};
}

}  // namespace

TEST_CASE("a number with a fraction is written as short as it can be") {
  std::mt19937_64 random(20261129);
  for (const double value : {0.75, -0.75, 0.1, 0.3, 0.001, 0.000999, 1e-7, 999999999.999999, 1e9 + 0.5,
                             0.1 + 0.2, 5e-324, 1.7976931348623157e308, 123456.789012, 0.0010005})
    CHECK(number_text(value) == shortest(value));
  for (int i = 0; i < 200'000; ++i) {
    const int decimals = int(random() % 9);
    const double value = double(int64_t(random() % 4'000'000'000) - 2'000'000'000) / std::pow(10, decimals);
    if (double(int64_t(value)) == value) continue;
    REQUIRE(number_text(value) == shortest(value));
    const double next = std::nextafter(value, 1e300);
    REQUIRE(number_text(next) == shortest(next));
  }
}

TEST_CASE("text: what has to be escaped is, wherever it stands") {
  for (size_t size = 1; size < 40; ++size)
    for (size_t at = 0; at < size; ++at)
      for (const std::string special : {"\"", "\\", "\n", "\x1f", "\xc3\xa9", "\xff"}) {
        std::string text(size, 'a');
        text.replace(at, 1, special);
        std::string expected(size, 'a');
        expected.replace(at, 1,
                         special == "\""     ? "\\\""
                         : special == "\\"   ? "\\\\"
                         : special == "\n"   ? "\\n"
                         : special == "\x1f" ? "\\u001f"
                         : special == "\xff" ? "\xef\xbf\xbd"
                                             : special);
        REQUIRE(out::escaped(text) == expected);
      }
  CHECK(out::escaped(" ~\x7f") == " ~\x7f");
}

TEST_CASE("hex: every byte, any number of them") {
  for (size_t count = 0; count < 40; ++count) {
    std::string bytes, expected;
    for (size_t i = 0; i < count; ++i) {
      const auto byte = static_cast<unsigned char>(i * 37 + count);
      bytes += char(byte);
      constexpr char kDigits[] = "0123456789abcdef";
      expected += kDigits[byte / 16], expected += kDigits[byte % 16];
    }
    char to[128];
    REQUIRE(std::string(to, out::hex(to, bytes.data(), count)) == expected);
  }
}
