// Sections 2 to 6: structure, literals and numbers.
#include "tests/unit/decode/rfc8259.h"

using namespace weir;
using namespace weir::rfc8259;
using namespace std::literals;

TEST_CASE("RFC 8259, 2: white space is four characters, wherever a token ends, and nothing else is") {
  const std::vector<std::string> tokens = {"{",    "\"a\"", ":", "1",     ",", "\"b\"", ":", "[",
                                           "null", ",",     "{", "\"c\"", ":", "\"d\"", "}", "]",
                                           ",",    "\"e\"", ":", "{",     "}", "}"};
  const auto with_gap = [&](size_t gap, std::string_view filling) {
    std::string text;
    for (size_t i = 0; i < tokens.size(); ++i) text += (i == gap ? std::string(filling) : "") + tokens[i];
    return gap == tokens.size() ? text + std::string(filling) : text;
  };
  Experienced experienced({"", ""}, {with_gap(SIZE_MAX, "")});
  for (size_t gap = 0; gap <= tokens.size(); ++gap) {
    for (std::string_view space :
         {" ", "\t", "\n", "\r", "  ", " \t\n\r", "\r\n", "                                 "}) {
      const std::string text = with_gap(gap, space);
      CHECK(verdict(text) == "ok");
      experienced.judge(text, "ok");
      check_by_others(text, Reason::none);
    }
    size_t at = 0;
    for (size_t i = 0; i < gap; ++i) at += tokens[i].size();
    constexpr std::string_view kOthers[] = {"\v",     "\f",     "\b",     "\0"sv,   "\x1f",   "\x7f",
                                            "\u0085", "\u00a0", "\u2028", "\u3000", "\ufeff", "#",
                                            "//",     "/**/",   ";",      "\\n"};
    for (std::string_view other : kOthers) {
      const std::string text = with_gap(gap, other), wanted = "bad_json@" + std::to_string(at);
      CHECK(verdict(text) == wanted);
      experienced.judge(text, wanted);
      check_by_others(text, Reason::bad_json);
    }
  }
}

TEST_CASE("RFC 8259, 2, 4 and 5: tokens in any other order are no record") {
  const std::vector<std::string> tokens = {"{", "\"a\"", ":",     "1", ",",     "\"b\"", ":", "[", "2",
                                           ",", "{",     "\"c\"", ":", "\"d\"", "}",     "]", "}"};
  const auto joined = [](const std::vector<std::string>& all) {
    std::string text;
    for (const std::string& token : all) text += token;
    return text;
  };
  Experienced experienced({"", ""}, {joined(tokens)});
  const auto check = [&](const std::vector<std::string>& changed) {
    const std::string text = joined(changed);
    test::JsonFacts facts;
    const bool json = test::accepted_by_nlohmann(text, facts).value();
    const std::string said = verdict(text);
    CAPTURE(text);
    if (!json) CHECK(said.starts_with("bad_json@"));
    if (json && facts.object) CHECK(said == (facts.duplicates ? "duplicate_key@" + said.substr(14) : "ok"));
    if (json && !facts.object) CHECK(said == "not_an_object@0");
    experienced.judge(text, said);
  };
  for (size_t i = 0; i < tokens.size(); ++i) {
    std::vector<std::string> changed = tokens;
    changed.erase(changed.begin() + ptrdiff_t(i));
    check(changed);
    for (std::string_view other : {"{", "}", "[", "]", ":", ",", "1", "\"k\"", "{}", "[]", "null"}) {
      changed = tokens;
      changed[i] = other;
      check(changed);
      changed[i] = tokens[i] + std::string(other);
      check(changed);
    }
    for (size_t j = i + 1; j < tokens.size(); ++j) {
      changed = tokens;
      std::swap(changed[i], changed[j]);
      check(changed);
    }
  }
}

TEST_CASE("RFC 8259, 3: three literal names, in lower case") {
  std::vector<Case> cases = {{"true"}, {"false"}, {"null"}};
  for (std::string_view name : {"true"sv, "false"sv, "null"sv}) {
    for (size_t size = 1; size < name.size(); ++size)
      cases.push_back(refused(std::string(name.substr(0, size)), 0));
    for (size_t at = 0; at < name.size(); ++at) {
      std::string other(name);
      other[at] ^= 0x20;
      cases.push_back(refused(other, 0));
      other[at] = '\0';
      cases.push_back(refused(other, 0));
      other = std::string(name).insert(at, 1, name[at]);
      cases.push_back(refused(other, other.starts_with(name) ? name.size() : 0));
    }
    for (std::string_view behind : {"x", "1", "\"\"", "{}", "true", ".", "-", ":", "\xC2\xA0"})
      cases.push_back(refused(std::string(name) + std::string(behind), name.size()));
  }
  for (std::string_view other : {"None", "nil", "undefined", "yes", "NaN", "Infinity", "t", "'x'", "x", "",
                                 "\\u0074rue", "<1>", "(1)", "`x`", "@", "\x7f"})
    cases.push_back(refused(std::string(other), 0));
  check_values(cases);
}

TEST_CASE("RFC 8259, 3: any value but an object is JSON and no record") {
  for (std::string_view text :
       {"0", "-1.5e3", "\"\"", "\"{}\"", "true", "false", "null", "[]", "[{}]", " [ ] ", "\t1\n"}) {
    CHECK(verdict(text) == "not_an_object@0");
    CHECK(test::accepted_by_nlohmann(text) == true);
  }
}

TEST_CASE("RFC 8259, 6: numbers") {
  std::vector<Case> cases;
  for (std::string_view sign : {"", "-"})
    for (std::string_view integer : {"0", "9", "42", "1234567890123456789012345678901234567890"})
      for (std::string_view fraction : {"", ".0", ".120", ".1234567890123456789012345678901234567890"})
        for (std::string_view exponent : {"", "e0", "E+5", "e-007"})
          cases.push_back(
              {std::string(sign) + std::string(integer) + std::string(fraction) + std::string(exponent)});
  for (size_t length : kLengths) {
    const std::string digits = repeated(length, "7");
    cases.insert(cases.end(), {{"1" + digits}, {"0." + digits + "1"}, {"-1" + digits + "." + digits + "2"}});
    cases.insert(cases.end(),
                 {refused("0" + digits + "1", 1), refused("1" + digits + ".", length + 2),
                  refused("1" + digits + "x", length + 1), refused("1" + digits + ".5.", length + 3)});
    cases.insert(cases.end(),
                 {refused("1." + digits + "1e", length + 4), refused("1." + digits + "1e+", length + 5)});
  }
  cases.insert(cases.end(), {{"1e400"},
                             {"-1e400"},
                             {"1e-400"},
                             {"0e99999"},
                             {"1e" + repeated(200, "9")},
                             {repeated(400, "9")},
                             {"1e" + repeated(200, "0") + "1"}});
  for (auto [text, offset] : {std::pair{"-", 1},
                              {"+1", 0},
                              {"+", 0},
                              {"--1", 1},
                              {"-+1", 1},
                              {"- 1", 1},
                              {"00", 1},
                              {"01", 1},
                              {"-00", 2},
                              {"-01", 2},
                              {"00.5", 1},
                              {"0123456789012345678", 1},
                              {".5", 0},
                              {"-.5", 1},
                              {".", 0},
                              {"0.", 2},
                              {"1.", 2},
                              {"-0.", 3},
                              {"1.e5", 2},
                              {"1..5", 2},
                              {"1.-5", 2},
                              {"1.+5", 2},
                              {"1.5.2", 3},
                              {"1. 5", 2},
                              {"1 .5", 2},
                              {"e5", 0},
                              {"-e5", 1},
                              {"1e", 2},
                              {"1E", 2},
                              {"1e+", 3},
                              {"1e-", 3},
                              {"1e.5", 2},
                              {"1e5.5", 3},
                              {"1e5e5", 3},
                              {"1ee5", 2},
                              {"1e++5", 3},
                              {"1e+-5", 3},
                              {"1e 5", 2},
                              {"1 e5", 2},
                              {"1e5f", 3},
                              {"0x10", 1},
                              {"0b1", 1},
                              {"0o7", 1},
                              {"1_000", 1},
                              {"1 000", 2},
                              {"1'000", 1},
                              {"1f", 1},
                              {"1L", 1},
                              {"1.5f", 3},
                              {"1/2", 1},
                              {"1%", 1},
                              {"1a", 1},
                              {"1true", 1},
                              {"-true", 1},
                              {"-Infinity", 1},
                              {"-NaN", 1},
                              {"\uff11", 0},
                              {"\u2212"
                               "1",
                               0},
                              {"1\u0660", 1},
                              {"1\"\"", 1},
                              {"1[]", 1},
                              {"0-1", 1},
                              {"1-1", 1},
                              {"1.5-1", 3},
                              {"1:1", 1}})
    cases.push_back(refused(text, size_t(offset)));
  check_values(cases);
}

TEST_CASE("RFC 8259, 6: ten thousand digits are a number, too") {
  for (const std::string& digits :
       {repeated(10'000, "7"), "0." + repeated(10'000, "3"), "1e" + repeated(10'000, "4")}) {
    CHECK(verdict("{\"a\":" + digits + "}") == "ok");
    CHECK(verdict("{\"a\":" + digits + "x}") == "bad_json@" + std::to_string(digits.size() + 5));
    CHECK(verdict("{\"line_no\":" + digits + "}") == (digits.front() == '7' ? "ok" : "bad_field@11"));
    CHECK(verdict("{\"duration_ms\":" + digits + "}") == (digits.front() == '0' ? "ok" : "bad_field@15"));
  }
}
