#include "agent/process/redact.h"

#include <nlohmann/json.hpp>

#include "agent/core/clock.h"
#include "agent/process/context_diff.h"
#include "agent/process/redact_rules.h"
#include "agent/process/signature.h"
#include "tests/unit/process/run_processor.h"

using namespace weir;

namespace {

std::string redact(const RedactOptions& options, std::string line, std::vector<Span> made = {}) {
  Redactor redactor(options, 0);
  std::string out;
  return redactor.rewrite(line, made, out) ? out : line;
}

std::string by_pattern(const std::string& pattern, const std::string& value, std::string replace = "***") {
  const std::string line =
      redact({.patterns = {pattern}, .replace = std::move(replace)}, "{\"v\":" + value + "}");
  return line.substr(5, line.size() - 6);
}

}  // namespace

TEST_CASE("a line without anything to redact is not copied") {
  Redactor redactor({.keys = {"k"}, .paths = {"a.b"}, .patterns = {"secret"}}, 0);
  std::string out = "untouched";
  CHECK_FALSE(redactor.rewrite(R"( { "a" : {"c":[1, "x\n", {}]} , "b":"kk"} )", {}, out));
  CHECK(out == "untouched");
}

TEST_CASE("a pattern sees the decoded text, and what it does not match keeps its bytes") {
  CHECK(by_pattern("b", R"("a\u0062c\u0063")") == R"("a***c\u0063")");
  CHECK(by_pattern("\\n\"", R"("x\n\"y\\")") == R"("x***y\\")");
  CHECK(by_pattern("😀", R"("\ud83d\ude00😀\u00e9")") == R"("******\u00e9")");
  CHECK(by_pattern("é", R"("\u00e9é\u00E9e")") == R"("*********e")");
  CHECK(by_pattern("^a|z$", R"("azaz")") == R"("***za***")");
  CHECK(by_pattern(".+", R"("")") == R"("")");
  CHECK(by_pattern("(?s).+", R"("a\nb")") == R"("***")");
  CHECK(by_pattern("a", R"("xa")", "\"\\\n") == R"("x\"\\\n")");
  CHECK(by_pattern("a", R"("xay")", "") == R"("xy")");
}

TEST_CASE("a pattern that matches a part of a character takes all of it") {
  const std::string out = by_pattern(R"(\C)", R"("aé")");
  CHECK(nlohmann::json::parse(out).is_string());
  CHECK(out.find("a") == out.npos);
  CHECK(out.find("é") == out.npos);
}

TEST_CASE("a number that a pattern matches goes as a whole, true, false and null never do") {
  CHECK(by_pattern("11", "4115") == R"("***")");
  CHECK(by_pattern("^4115$", "4115") == R"("***")");
  CHECK(by_pattern("e", "1.5e3") == R"("***")");
  CHECK(by_pattern("true|null|false", "[true,null,false]") == "[true,null,false]");
}

TEST_CASE("a pattern that makes much work of a text takes all of the text") {
  const std::string text(200'000, 'a');  // each search would go to the end of it
  CHECK(by_pattern("a.*z|a", "\"" + text + "\"") == R"("***")");
  const std::string short_text(1000, 'a');
  CHECK(by_pattern("a.*z|a", "\"" + short_text + "\"", "-") == "\"" + std::string(1000, '-') + "\"");
}

TEST_CASE("a pattern with more states than RE2 can keep still finds what it is to find") {
  // Its automaton has 2^24 states.
  const std::string pattern = "[ab]*a[ab]{24}c";
  std::string text, secret = "a";
  uint32_t bits = 1;
  for (int i = 0; i < 60'000; ++i) text += (bits = bits * 1664525 + 1013904223) >> 31 ? 'a' : 'b';
  for (int i = 0; i < 24; ++i) secret += i % 3 ? 'b' : 'a';
  CHECK(by_pattern(pattern, "\"x" + text + secret + "c!\"") == R"("x***!")");
}

TEST_CASE("patterns stay apart from each other, whatever stands in them") {
  const auto both = [](const char* a, const char* b, const std::string& value) {
    return redact({.patterns = {a, b}}, "{\"v\":\"" + value + "\"}");
  };
  CHECK(both("\\Qa.b", "c", "a.b axb c") == R"({"v":"*** axb ***"})");
  CHECK(both("\\Qacct.", "\\Qtok\\E[a-z]+", "acct. tokabc") == R"({"v":"*** ***"})");
  CHECK(both("(?i)a", "b", "A B b") == R"({"v":"*** B ***"})");
  CHECK(both("(?P<n>a)", "(?P<n>b)", "ab") == R"({"v":"******"})");
  CHECK(both("a|b", "^c", "c c ab") == R"({"v":"*** c ******"})");
}

TEST_CASE("patterns that cannot be used are told apart") {
  CHECK(check_pattern("a+") == "");
  CHECK(check_pattern("") == "is empty");
  CHECK(check_pattern("a(").starts_with("not a regular expression of RE2: missing )"));
  CHECK(check_pattern("(?=a)").starts_with("not a regular expression of RE2"));
  CHECK(check_pattern("a*").starts_with("matches empty text"));
  CHECK(check_pattern("\\b").starts_with("matches empty text"));
  CHECK(check_pattern("((a{100}){100}){100}").starts_with("not a regular expression of RE2"));
}

TEST_CASE("patterns do not touch what the agent made; keys and paths do") {
  const std::string line = R"({"ts":"2026","n":7,"x":"2026"})";
  CHECK(redact({.patterns = {"\\d+"}}, line, {{6, 12}, {17, 18}}) == R"({"ts":"2026","n":7,"x":"***"})");
  CHECK(redact({.keys = {"ts"}, .paths = {"n"}}, line, {{6, 12}, {17, 18}}) ==
        R"({"ts":"***","n":"***","x":"2026"})");
}

TEST_CASE("a name with dots is a part of a diff's key only where the whole of it stands between dots") {
  const NameSet names({"b", "c.d"});
  for (const char* path : {"b", "a.b", "b.a", "a.b.c", "c.d", "x.c.d", "c.d.x", "b..", ".b"})
    CHECK(names.contains_part(path));
  for (const char* path : {"", ".", "a", "ab", "a.bc", "c", "d", "c.x.d", "xc.d", "c.dx", "a.c", ".."})
    CHECK_FALSE(names.contains_part(path));
}

TEST_CASE("paths that share a beginning, keys with dots and odd names") {
  CHECK(
      redact({.paths = {"a.b.c", "a.b.d.e"}},
             R"({"a":{"b":{"c":1,"d":{"e":2,"f":3},"d.e":4},"b.c":5},"a.b":{"c":6},"a.b.c":7})") ==
      R"({"a":{"b":{"c":"***","d":{"e":"***","f":3},"d.e":"***"},"b.c":"***"},"a.b":{"c":"***"},"a.b.c":"***"})");
  CHECK(redact({.paths = {"a.b", "a.b.c"}}, R"({"a":{"b":{"c":1}}})") == R"({"a":{"b":"***"}})");
  CHECK(redact({.paths = {"x y.\"q\"", "é"}}, R"({"x y":{"\"q\"":1,"q":2},"\u00e9":3,"e":4})") ==
        R"({"x y":{"\"q\"":"***","q":2},"\u00e9":"***","e":4})");
}

TEST_CASE("the value of a message is known only in its redacted form") {
  Redactor redactor({.keys = {"k"}, .paths = {"msg_in.value.a.b", "msg_out.value"}, .patterns = {"secret"}},
                    0);
  std::string out;
  CHECK(redactor.message_value(Redactor::Message::in, R"({"a":{"b":1,"c":2},"k":3,"s":"a secret"})", out) ==
        R"({"a":{"b":"***","c":2},"k":"***","s":"a ***"})");
  CHECK(redactor.message_value(Redactor::Message::out, R"({"a":1})", out) == R"("***")");
  const std::string_view same = R"({"a":{"c":1}})";
  CHECK(redactor.message_value(Redactor::Message::in, same, out).data() == same.data());
}

TEST_CASE("a rule for the key value hides all of a message") {
  Redactor redactor({.keys = {"value"}}, 0);
  std::string out;
  CHECK(redactor.message_value(Redactor::Message::in, R"({"id":1})", out) == R"("***")");
  CHECK(redactor.message_value(Redactor::Message::out, R"([1])", out) == R"("***")");
}

TEST_CASE("no identity and no hash tell a redacted message apart from another") {
  const auto redactor = std::make_shared<Redactor>(RedactOptions{.keys = {"id", "pin"}}, 0);
  const auto signature = make_signature({SignatureMode::hash}, redactor);
  test::Runner runner(*signature);
  const std::string one(runner.run(R"({"msg_in":{"type_name":"T","value":{"id":"o1","pin":1}}})"));
  const std::string two(runner.run(R"({"msg_in":{"type_name":"T","value":{"id":77,"pin":[2]}}})"));
  CHECK(one == two);
  CHECK(one.starts_with(R"({"msg_in":{"type_name":"T","identity":"***","hash":")"));
}

TEST_CASE("nothing allocates on the steady path") {
  const auto redactor = std::make_shared<Redactor>(RedactOptions{.keys = {"password"},
                                                                 .paths = {"ctx.user.ssn", "attributes.x"},
                                                                 .patterns = {"\\d{16}", "tok_\\w+"}},
                                                   64);
  const auto signature = make_signature({SignatureMode::hash}, redactor);
  test::Runner runner(*signature);
  runner.once();
  std::string out;
  const auto one = [&] {
    const std::string_view line = runner.run(
        R"({"stream":"trace","pass\u0077ord":1,"msg_in":{"value":{"id":"a","n":4111111111111111}},"ctx_before":{"user":{"ssn":1}},"attributes":{"x":[1],"y":"tok_abc \"4111111111111111\u00e9\""}})");
    REQUIRE(redactor->rewrite(line, {}, out));
  };
  for (int i = 0; i < 3; ++i) one();
  const uint64_t before = test::allocations();
  for (int i = 0; i < 100; ++i) one();
  CHECK(test::allocations() == before);
}
