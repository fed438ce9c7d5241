#include "agent/core/json.h"

#include <doctest/doctest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <nlohmann/json.hpp>
#include <random>

using namespace weir;
using namespace std::literals;

namespace {

/// Text whose last byte is the last of a mapped page: what is read behind it and matters to the processor
/// crashes.
class AtPageEnd {
 public:
  explicit AtPageEnd(std::string_view text) {
    const auto page = size_t(sysconf(_SC_PAGESIZE));
    const size_t pages = (text.size() + page - 1) / page + 1;
    bytes_ = (pages + 1) * page;
    map_ =
        static_cast<char*>(mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    REQUIRE(mprotect(map_ + pages * page, page, PROT_NONE) == 0);
    begin_ = map_ + pages * page - text.size();
    std::memcpy(begin_, text.data(), text.size());
    size_ = text.size();
  }
  ~AtPageEnd() { munmap(map_, bytes_); }
  AtPageEnd(const AtPageEnd&) = delete;
  AtPageEnd& operator=(const AtPageEnd&) = delete;
  std::string_view view() const { return {begin_, size_}; }

 private:
  char* map_;
  char* begin_;
  size_t bytes_, size_;
};

int order(std::string_view a, std::string_view b) {
  const auto o = json::compare_numbers(a, b);
  return o < 0 ? -1 : o > 0 ? 1 : 0;
}

std::string safe(std::string_view text) {
  std::string out;
  json::append_terminal_safe(out, text);
  return out;
}

std::string literal_of(std::string_view text) {
  std::string out;
  json::append_quoted(out, text);
  return out;
}

std::string decoded(std::string_view raw) {
  std::string out;
  json::decode_string(raw, out);
  return out;
}

}  // namespace

TEST_CASE("skip_value finds the end of every kind of value") {
  for (std::string_view value :
       {"1"sv, "-1.5e+10"sv, "true"sv, "false"sv, "null"sv, R"("")"sv, R"("a\"b\\")"sv, "[]"sv, "{}"sv,
        R"([1,"]",{"a":"}"}])"sv,
        R"({"a":[{"b":"[{\"}"}],"a much longer key than a block":"and a longer value"})"sv}) {
    const std::string text = std::string(value) + ",x";
    CAPTURE(text);
    CHECK(json::skip_value(text.data()) == text.data() + value.size());
  }
}

TEST_CASE("numbers of few digits compare as those of many do") {
  const std::vector<std::string> numbers{
      "0",         "-0",           "0.0",         "1",         "1.0",   "10",
      "9.99",      "-1",           "-0.5",        "0.05",      "0.050", "12345",
      "123456789", "1234567890",   "99999.9999",  "1e1",       "1E-1",  "0.1",
      "999999999", "-999999999.0", "0.000000001", "1.00000001"};
  for (const std::string& a : numbers)
    for (const std::string& b : numbers) {
      CAPTURE(a);
      CAPTURE(b);
      const long double x = std::stold(a), y = std::stold(b);
      CHECK(order(a, b) == (x < y ? -1 : x > y ? 1 : 0));
    }
}

TEST_CASE("skip_value needs no stack for depth") {
  const std::string deep = std::string(1'000'000, '[') + std::string(1'000'000, ']');
  CHECK(json::skip_value(deep.data()) == deep.data() + deep.size());
}

TEST_CASE("a walk reads nothing that matters behind the end of the text") {
  const AtPageEnd object(R"({"a":1,"b":{"c":[1,2,"x\"y"]},"d":"0123456789abcdef0123456789"})");
  CHECK(json::find_path(object.view(), "b.c") == R"([1,2,"x\"y"])");
  CHECK(json::find_key(object.view(), "d") == R"("0123456789abcdef0123456789")");
  CHECK(json::find_key(object.view(), "e").empty());
  const AtPageEnd number("123"), other("123.0");
  CHECK(json::equal_values(number.view(), other.view()));
}

TEST_CASE("Members walks an object with all its white space") {
  const std::string text = " { \"a\" : 1 ,\t\"b\\u0063\": [ ] , \"\":null}";
  std::vector<std::string> seen;
  for (json::Members m(text.data(), {1, uint32_t(text.size())}); m.next();) {
    const Member& x = m.member();
    seen.push_back(std::string(x.key.of(text)) + "|" + std::string(x.value.of(text)) +
                   (x.key_escaped ? "|escaped" : ""));
  }
  CHECK(seen == std::vector<std::string>{"\"a\"|1", "\"b\\u0063\"|[ ]|escaped", "\"\"|null"});
}

TEST_CASE("Members walks arrays and empty containers") {
  const std::string text = "[1, {\"a\":2} ,\"x\",[3]]";
  std::vector<JsonType> types;
  for (json::Members m(text.data(), {0, uint32_t(text.size())}); m.next();) types.push_back(m.member().type);
  CHECK(types == std::vector{JsonType::number, JsonType::object, JsonType::string, JsonType::array});
  for (const char* empty : {"{}", "[]", "{ }", "[\t]"}) {
    json::Members m(empty, {0, uint32_t(std::strlen(empty))});
    CHECK_FALSE(m.next());
    CHECK_FALSE(m.next());
  }
}

TEST_CASE("strings are decoded with all their escapes") {
  CHECK(decoded(R"("")") == "");
  CHECK(decoded(R"("plain")") == "plain");
  CHECK(decoded(R"("\"\\\/\b\f\n\r\t")") == "\"\\/\b\f\n\r\t");
  CHECK(decoded(R"("a\u0041\u00e9\u20AC\ud83d\ude00z")") == "aA\u00e9\u20ac\U0001F600z");
  CHECK(decoded(R"("\u0000")") == "\0"sv);
}

TEST_CASE("strings compare by their contents") {
  CHECK(json::same_string(R"("run_id")", R"("run\u005fid")"));
  CHECK(json::same_string(R"("\u00e9")", "\"\u00e9\""));
  CHECK_FALSE(json::same_string(R"("a")", R"("b")"));
  CHECK_FALSE(json::same_string(R"("a\\u0062")", R"("ab")"));
  CHECK(json::string_is(R"("str\u0065am")", "stream"));
  CHECK(json::string_is(R"("")", ""));
  CHECK_FALSE(json::string_is(R"("strea")", "stream"));
  CHECK_FALSE(json::string_is(R"("a\\b")", R"(a\\b)"));
  CHECK_FALSE(json::string_is(R"("\u0061")", "ab"));
  CHECK_FALSE(json::string_is(R"("\u0061b")", "a"));
}

TEST_CASE("strings are ordered by code point") {
  CHECK(json::compare_strings(R"("a")", R"("b")") < 0);
  CHECK(json::compare_strings(R"("a")", R"("")") > 0);
  CHECK(json::compare_strings(R"("a")", R"("\u0061")") == 0);
  CHECK(json::compare_strings("\"\uffff\"", R"("\ud83d\ude00")") < 0);
  CHECK(json::compare_strings(R"("\uffff")", "\"\U0001F600\"") < 0);
  CHECK(json::compare_strings(R"("z")", "\"\u00e9\"") < 0);
}

TEST_CASE("numbers are compared by exact decimal value") {
  for (auto [a, b] : {std::pair{"1", "1.0"},
                      {"1", "1e0"},
                      {"100", "1E+2"},
                      {"0.001", "1e-3"},
                      {"-0", "0"},
                      {"0", "0e999"},
                      {"0.0", "-0.00e5"},
                      {"12.50", "1.25e1"},
                      {"1000000000000000000000", "1e21"},
                      {"0.10", "0.1"},
                      {"123e-2", "1.23"},
                      {"1e000000000000000000000000000000000000000001", "10"},
                      {"1e99999999999999999999", "10e99999999999999999998"}}) {
    CAPTURE(a);
    CAPTURE(b);
    CHECK(order(a, b) == 0);
    CHECK(order(b, a) == 0);
  }
  for (auto [a, b] : {std::pair{"1", "2"},
                      {"-2", "-1"},
                      {"-1", "0"},
                      {"0", "1e-400"},
                      {"9007199254740992", "9007199254740993"},
                      {"0.1", "0.10000000000000000000000000001"},
                      {"9", "10"},
                      {"-10", "-9"},
                      {"1e400", "1e401"},
                      {"99e-1", "1e1"},
                      {"-1e400", "1e-400"},
                      {"1e99999999999999999998", "1e99999999999999999999"},
                      {"1e-99999999999999999999999999999999999", "1"},
                      {"1.25", "1.3"},
                      {"-1.3", "-1.25"},
                      {"1e1"
                       "000000000000000000000000000000000000000",
                       "1e2"
                       "000000000000000000000000000000000000000"},
                      {"1e-2"
                       "000000000000000000000000000000000000000",
                       "1e-1"
                       "000000000000000000000000000000000000000"}}) {
    CAPTURE(a);
    CAPTURE(b);
    CHECK(order(a, b) == -1);
    CHECK(order(b, a) == 1);
  }
  const std::string nines(10'000, '9');
  CHECK(order(nines, nines + ".0") == 0);
  CHECK(order(nines, "1" + std::string(10'000, '0')) == -1);
  CHECK(order(nines, nines.substr(1) + "8") == 1);
}

TEST_CASE("random numbers keep their order in every spelling") {
  std::mt19937 random(20261);
  MESSAGE("seed 20261");
  for (int i = 0; i < 5000; ++i) {
    const auto x = int64_t(random() % 2000) - 1000, y = int64_t(random() % 2000) - 1000;
    const auto spell = [&](int64_t hundredths) {
      const int64_t whole = std::abs(hundredths);
      const std::string sign = hundredths < 0 ? "-" : "";
      switch (random() % 4) {
        case 0:
          return sign + std::to_string(whole) + "e-2";
        case 1:
          return sign + std::to_string(whole) + "00E-4";
        case 2:
          return sign + std::to_string(whole) + ".000e-02";
        default: {
          std::string cents = std::to_string(whole % 100);
          return sign + std::to_string(whole / 100) + (cents.size() == 1 ? ".0" : ".") + cents;
        }
      }
    };
    const std::string a = spell(x), b = spell(y);
    CAPTURE(a);
    CAPTURE(b);
    CHECK(order(a, b) == (x < y ? -1 : x > y ? 1 : 0));
  }
}

TEST_CASE("values are equal whatever the order of keys and the spelling") {
  const auto equal = [](std::string_view a, std::string_view b) {
    const bool forward = json::equal_values(a, b);
    CHECK(json::equal_values(b, a) == forward);
    return forward;
  };
  CHECK(equal("null", "null"));
  CHECK_FALSE(equal("true", "false"));
  CHECK_FALSE(equal("0", "false"));
  CHECK_FALSE(equal(R"("1")", "1"));
  CHECK(equal(R"({"a":1,"b":[1,2]})", R"({ "b" : [1.0,2] , "\u0061":1e0})"));
  CHECK(equal(R"({"x":{"p":1,"q":2},"y":{"p":1,"q":2}})", R"({"y":{"q":2,"p":1.0},"x":{"q":2,"p":1}})"));
  CHECK_FALSE(equal("[1,2]", "[2,1]"));
  CHECK_FALSE(equal("[1]", "[1,1]"));
  CHECK_FALSE(equal(R"({"a":1})", R"({"a":1,"b":1})"));
  CHECK_FALSE(equal(R"({"a":1,"b":2})", R"({"b":1,"a":2})"));
  CHECK_FALSE(equal(R"({"a":1,"c":2})", R"({"b":1,"a":2})"));
  CHECK(equal("[]", "[ ]"));
  CHECK_FALSE(equal("[]", "{}"));
}

TEST_CASE("a thousand keys in reverse order compare without quadratic cost") {
  std::string forward = "{", backward = "{";
  for (int i = 0; i < 1024; ++i) {
    forward += (i > 0 ? ",\"k" : "\"k") + std::to_string(i) + "\":" + std::to_string(i);
    backward += (i > 0 ? ",\"k" : "\"k") + std::to_string(1023 - i) + "\":" + std::to_string(1023 - i) + ".0";
  }
  CHECK(json::equal_values(forward + "}", backward + "}"));
}

TEST_CASE("text is quoted with what JSON requires and no more") {
  CHECK(literal_of("") == R"("")");
  CHECK(literal_of("a\"b\\c/d") == R"("a\"b\\c/d")");
  CHECK(literal_of("\b\f\n\r\t\x01\x1f\x7f") == "\"\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\"");
  CHECK(literal_of("\0x"sv) == "\"\\u0000x\"");
  CHECK(literal_of("\u00e9\U0001F600") == "\"\u00e9\U0001F600\"");
}

TEST_CASE("what could steer a terminal is escaped") {
  CHECK(safe(R"({"a":"b\n"})") == R"({"a":"b\n"})");
  CHECK(safe("a\nb\tc\x1b[0m\x7f") == R"(a\u000ab\u0009c\u001b[0m\u007f)");
  CHECK(safe("\u0080\u009b\u009f\u00a0") == "\\u0080\\u009b\\u009f\u00a0");
  CHECK(safe("\u061c\u200e\u200f\u2028\u2029\u202a\u202e\u2066\u2069") ==
        R"(\u061c\u200e\u200f\u2028\u2029\u202a\u202e\u2066\u2069)");
  CHECK(safe("\u2027\u202f\u2065\u206a\u200d") == "\u2027\u202f\u2065\u206a\u200d");
  CHECK(safe("\u20ac\U0001F600\u4e2d") == "\u20ac\U0001F600\u4e2d");
  CHECK(safe("a\x9b"
             "b\xc3") ==
        "a\\ufffd"
        "b\\ufffd");
}

TEST_CASE("a path is one key first, then split at each of its dots") {
  CHECK(json::find_path(R"({"a":{"b":5},"a.b":6})", "a.b") == "6");
  CHECK(json::find_path(R"({"a":{"b":5}})", "a.b") == "5");
  CHECK(json::find_path(R"({"a":{"b.c":1,"b":{"c":2}}})", "a.b.c") == "1");
  CHECK(json::find_path(R"({"a.b":{"c":3}})", "a.b.c") == "3");
  CHECK(json::find_path(R"({"a":{"x":1},"a.b":{"c":3}})", "a.b.c") == "3");
  CHECK(json::find_path(R"({"a":[{"b":1}]})", "a.b").empty());
  CHECK(json::find_path(R"({"a":1})", "a.b").empty());
  CHECK(json::find_path(R"({"\u0061":{"b":null}})", "a.b") == "null");
  CHECK(json::find_path("  {\"a\":1}", "a") == "1");
  CHECK(json::find_path("[1]", "a").empty());
  CHECK(json::find_path("", "a").empty());
  CHECK(json::find_path(R"({"a..b":1,"":{"":2}})", ".") == "2");
}

TEST_CASE("random strings come back from quoting and decoding") {
  std::mt19937 random(7);
  MESSAGE("seed 7");
  for (int i = 0; i < 2000; ++i) {
    std::string text;
    for (auto n = random() % 40; n > 0; --n) text += char(random() % 128);
    const std::string raw = literal_of(text);
    CHECK(decoded(raw) == text);
    CHECK(nlohmann::json::parse(raw).get<std::string>() == text);
    CHECK(json::string_is(raw, text));
    CHECK(json::skip_value((raw + ",").data()) != nullptr);
  }
}
