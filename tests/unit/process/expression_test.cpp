#include "agent/process/expression.h"

#include <string>

#include "tests/unit/process/run_processor.h"

using namespace weir;

namespace {

bool matches(std::string_view text, std::string_view record) {
  const auto expression = Expression::compile(text);
  INFO("expression: ", std::string(text));
  if (!expression) FAIL("column ", expression.error().column, ": ", expression.error().message);
  // Behind the record stands text that must not be looked at.
  const std::string line = std::string(record) + R"(,"level":"fatal","x":1}})";
  return expression->matches(std::string_view(line).substr(0, record.size()));
}

struct Row {
  std::string_view expression, record;
  bool expected;
};
void check(std::initializer_list<Row> rows) {
  for (const Row& row : rows) {
    INFO("expression: ", std::string(row.expression), "  record: ", std::string(row.record));
    CHECK(matches(row.expression, row.record) == row.expected);
  }
}

struct BadRow {
  std::string_view expression;
  int column;
  std::string_view part_of_message;
};
void check_errors(std::initializer_list<BadRow> rows) {
  for (const BadRow& row : rows) {
    INFO("expression: ", std::string(row.expression));
    const auto expression = Expression::compile(row.expression);
    REQUIRE(!expression);
    INFO("message: ", expression.error().message);
    CHECK(expression.error().column == row.column);
    CHECK(expression.error().message.find(row.part_of_message) != std::string::npos);
  }
}

}  // namespace

TEST_CASE("numbers compare exactly by value") {
  check({{"n == 1", R"({"n":1.0})", true},
         {"n == 1", R"({"n":1e0})", true},
         {"n != 1", R"({"n":1})", false},
         {"n != 1", R"({"n":2})", true},
         {"n < 2", R"({"n":1.9999999999999999999999})", true},
         {"n <= 2", R"({"n":2})", true},
         {"n > -1.5e3", R"({"n":-1500})", false},
         {"n >= -1.5e3", R"({"n":-1500})", true},
         {"n == 9007199254740993", R"({"n":9007199254740992})", false},
         {"n > 1e400", R"({"n":1e401})", true},
         {"1 < n", R"({"n":2})", true},
         {"2 <= n", R"({"n":1})", false},
         {"2 == n", R"({"n":2})", true},
         {"3 >= n", R"({"n":2})", true},
         {"3 > n", R"({"n":3})", false}});
}

TEST_CASE("strings compare by code point, decoded") {
  check({{R"(s == "abc")", R"({"s":"abc"})", true},
         {R"(s == "abc")", R"({"s":"\u0061bc"})", true},
         {R"(s == "\u0061bc")", R"({"s":"abc"})", true},
         {R"(s != "abc")", R"({"s":"abd"})", true},
         {R"(s < "b")", R"({"s":"abc"})", true},
         {R"(s < "B")", R"({"s":"abc"})", false},
         {R"(s > "z")", R"({"s":"é"})", true},
         {R"(s == "a\n\"\\")", R"({"s":"a\n\"\\"})", true},
         {R"(s == "😀")", R"({"s":"\ud83d\ude00"})", true},
         {R"(s == "")", R"({"s":""})", true}});
}

TEST_CASE("types that differ are unequal and have no order") {
  check({{R"(a == "1")", R"({"a":1})", false},
         {R"(a != "1")", R"({"a":1})", true},
         {R"(a < "1")", R"({"a":1})", false},
         {R"(a >= 1)", R"({"a":"1"})", false},
         {R"(a == true)", R"({"a":true})", true},
         {R"(a != true)", R"({"a":false})", true},
         {R"(a == true)", R"({"a":"true"})", false},
         {R"(a > false)", R"({"a":true})", false},
         {R"(a == 1)", R"({"a":{}})", false},
         {R"(a != 1)", R"({"a":[1]})", true},
         {R"(a < 1)", R"({"a":[0]})", false}});
}

TEST_CASE("a missing path is null, and every comparison with null is false") {
  for (const std::string_view record : {R"({"x":0})", R"({"a":null})"}) {
    check({{"a == 1", record, false},
           {"a != 1", record, false},
           {"a < 1", record, false},
           {"a >= 1", record, false},
           {"a == null", record, false},
           {"a != null", record, false},
           {"x == null", record, false},
           {"x != null", record, false},
           {R"(a contains "")", record, false},
           {R"(a starts_with "")", record, false},
           {R"(a =~ "")", record, false},
           {"a in [null]", record, false},
           {"a in []", record, false},
           {"a", record, false},
           {"exists a", record, false},
           {"not exists a", record, true},
           {"not (a == 1)", record, true},
           {R"(level != "warn")", record, false}});
  }
}

TEST_CASE("a path alone is true when it is the boolean true") {
  check({{"ok", R"({"ok":true})", true},
         {"ok", R"({"ok":false})", false},
         {"ok", R"({"ok":"true"})", false},
         {"ok", R"({"ok":1})", false},
         {"a.ok", R"({"a":{"ok":true}})", true},
         {"true", "{}", true},
         {"false", "{}", false},
         {"not false", "{}", true}});
}

TEST_CASE("paths reach into objects: as one key first, then at the dots, brackets exactly") {
  check({{"ctx_after.order.id == 7", R"({"ctx_after":{"order":{"id":7}}})", true},
         {"ctx_after.order.id == 7", R"({"ctx_after":{"order.id":7}})", true},
         {"ctx_after.order.id == 7", R"({"ctx_after.order.id":7})", true},
         {"a.b == 2", R"({"a":{"b":1},"a.b":2})", true},
         {R"(attributes["http.method"] == "GET")", R"({"attributes":{"http.method":"GET"}})", true},
         {R"(attributes["http.method"] == "GET")", R"({"attributes":{"http":{"method":"GET"}}})", false},
         {R"(a["x.y"].b == 1)", R"({"a":{"x.y":{"b":1}}})", true},
         {R"(a["x"]["y"] == 1)", R"({"a":{"x":{"y":1}}})", true},
         {R"(["weird key"] == 1)", R"({"weird key":1})", true},
         {R"(["a.b"] == 1)", R"({"a":{"b":1}})", false},
         {R"(["in"].not == 1)", R"({"in":{"not":1}})", true},
         {R"(["\u0061"] == 1)", R"({"\u0061":1})", true},
         {"a.b == 1", R"({"a":[{"b":1}]})", false},
         {"a.b == 1", R"({"a":"b"})", false},
         {"run_id == 1", R"({"run\u005fid":1})", true}});
}

TEST_CASE("two paths compare with each other") {
  check({{"ctx_before.n < ctx_after.n", R"({"ctx_before":{"n":1},"ctx_after":{"n":2}})", true},
         {"ctx_before == ctx_after", R"({"ctx_before":{"a":1,"b":[1]},"ctx_after":{"b":[1.0],"a":1}})", true},
         {"ctx_before != ctx_after", R"({"ctx_before":{"a":1},"ctx_after":{"a":2}})", true},
         {"ctx_before < ctx_after", R"({"ctx_before":{"a":1},"ctx_after":{"a":2}})", false},
         {"trace_id == correlation_id", R"({"trace_id":"t","correlation_id":"t"})", true},
         {"trace_id == correlation_id", R"({"trace_id":"t"})", false}});
}

TEST_CASE("levels compare by severity in all their spellings") {
  check({{R"(level == "warning")", R"({"level":"WARN"})", true},
         {R"(level == warn)", R"({"level":"Warning"})", true},
         {R"(warn == level)", R"({"level":"Warning"})", true},
         {R"(level >= warn)", R"({"level":"error"})", true},
         {R"(level >= warn)", R"({"level":"info"})", false},
         {R"(level < error)", R"({"level":"notice"})", true},
         {R"(error > level)", R"({"level":"notice"})", true},
         {R"(level == error)", R"({"level":"ERR","error":"ERR"})", true},
         {R"(level == message)", R"({"level":"odd","message":"odd"})", true},
         {R"(level >= "ERROR")", R"({"level":3})", true},
         {R"(level >= "ERROR")", R"({"level":17})", true},
         {R"(level == "info")", R"({"level":6})", true},
         {R"(level == "fatal")", R"({"level":"crit"})", true},
         {R"(level in [warn, "err"])", R"({"level":"ERROR"})", true},
         {R"(level in [warn, "err"])", R"({"level":"info"})", false},
         {R"(level == warn)", R"({"level":"loud"})", false},
         {R"(level != warn)", R"({"level":"loud"})", true},
         {R"(level > warn)", R"({"level":"loud"})", false},
         {R"(level != warn)", R"({"level":{}})", true},
         {R"(level == 13)", R"({"level":13})", true},
         {R"(level contains "AR")", R"({"level":"WARN"})", true},
         {R"(level =~ "(?i)warn")", R"({"level":"Warning"})", true},
         {R"(attributes.level == "loud")", R"({"attributes":{"level":"loud"}})", true}});
}

TEST_CASE("severity of every spelling of a level") {
  const std::pair<std::string_view, int> rows[] = {{"\"trace\"", 1},
                                                   {"\"DEBUG\"", 5},
                                                   {"\"Info\"", 9},
                                                   {"\"information\"", 9},
                                                   {"\"notice\"", 9},
                                                   {"\"warn\"", 13},
                                                   {"\"WARNING\"", 13},
                                                   {"\"error\"", 17},
                                                   {"\"err\"", 17},
                                                   {"\"fatal\"", 21},
                                                   {"\"crit\"", 21},
                                                   {"\"critical\"", 21},
                                                   {"\"alert\"", 21},
                                                   {"\"emerg\"", 21},
                                                   {"\"panic\"", 21},
                                                   {"0", 21},
                                                   {"1", 21},
                                                   {"2", 21},
                                                   {"3", 17},
                                                   {"4", 13},
                                                   {"5", 9},
                                                   {"6", 9},
                                                   {"7", 5},
                                                   {"8", 5},
                                                   {"9", 9},
                                                   {"12", 9},
                                                   {"13", 13},
                                                   {"16", 13},
                                                   {"17", 17},
                                                   {"20", 17},
                                                   {"21", 21},
                                                   {"24", 21},
                                                   {"25", 0},
                                                   {"-1", 0},
                                                   {"\"4\"", 13},
                                                   {"\"17\"", 17},
                                                   {"17.0", 17},
                                                   {"17.5", 0},
                                                   {"1e1", 0},
                                                   {"\"\"", 0},
                                                   {"\"loud\"", 0},
                                                   {"\"warn \"", 0},
                                                   {"\"w\\u0061rn\"", 13},
                                                   {"null", 0},
                                                   {"true", 0},
                                                   {"", 0},
                                                   {"{}", 0},
                                                   {"99999999999999999999", 0}};
  for (const auto& [raw, severity] : rows) {
    INFO(std::string(raw));
    CHECK(level_severity(raw) == severity);
  }
}

TEST_CASE("durations are converted to the unit that the path names") {
  check({{"duration > 5ms", R"({"duration_ms":5.01})", true},
         {"duration > 5ms", R"({"duration_ms":5})", false},
         {"5ms < duration", R"({"duration_ms":5.01})", true},
         {"duration == 1.5s", R"({"duration_ms":1500})", true},
         {"duration == 250us", R"({"duration_ms":0.25})", true},
         {"duration == 3ns", R"({"duration_ms":0.000003})", true},
         {"duration >= 2m", R"({"duration_ms":120000})", true},
         {"duration < 1h", R"({"duration_ms":3599999})", true},
         {"duration == 1e3ms", R"({"duration_ms":1000})", true},
         {"duration > -1ms", R"({"duration_ms":0})", true},
         {"duration > 5ms", R"({"duration":6})", false},
         {"duration in [1ms, 2ms]", R"({"duration_ms":2})", true},
         {"duration == null", R"({"duration_ms":2})", false},
         {"duration != null", R"({"duration_ms":2})", false},
         {"exists duration", R"({"duration_ms":2})", true},
         {"duration_ms > 5", R"({"duration_ms":6})", true},
         {"duration_ms > 5ms", R"({"duration_ms":6})", true},
         {"attributes.wait_us == 5ms", R"({"attributes":{"wait_us":5000}})", true},
         {"wait_ns == 1us", R"({"wait_ns":1000})", true},
         {"uptime_s > 2m", R"({"uptime_s":121})", true},
         {"uptime_s == 5ms", R"({"uptime_s":0.005})", true},
         {R"(attributes["db.time_ms"] < 1s)", R"({"attributes":{"db.time_ms":999.9}})", true}});
}

TEST_CASE("sizes are bytes") {
  check({{"bytes == 1KiB", R"({"bytes":1024})", true},
         {"bytes == 1.5KB", R"({"bytes":1500})", true},
         {"bytes >= 2MiB", R"({"bytes":2097152})", true},
         {"bytes < 1GB", R"({"bytes":999999999})", true},
         {"bytes == 1MB", R"({"bytes":1000000})", true},
         {"bytes == 1GiB", R"({"bytes":1073741824})", true},
         {"bytes == 7B", R"({"bytes":7})", true}});
}

TEST_CASE("contains finds a text in a string and an equal element in an array") {
  check({{R"(s contains "b c")", R"({"s":"ab cd"})", true},
         {R"(s contains "bd")", R"({"s":"ab cd"})", false},
         {R"(s contains "é\n")", R"({"s":"x\u00e9\ny"})", true},
         {R"(s contains "n")", R"({"s":"x\n"})", false},
         {R"(s contains "")", R"({"s":""})", true},
         {R"(s contains 1)", R"({"s":"1"})", false},
         {R"(l contains 1)", R"({"l":[3, 1.0]})", true},
         {R"(l contains "a")", R"({"l":["b",["a"],{"a":1}]})", false},
         {R"(l contains "a")", R"({"l":["b" , "\u0061"]})", true},
         {R"(l contains true)", R"({"l":[true]})", true},
         {R"(l contains null)", R"({"l":[null]})", false},
         {R"(l contains 1)", R"({"l":[]})", false},
         {R"(o contains "a")", R"({"o":{"a":1}})", false}});
}

TEST_CASE("starts_with, in and regular expressions look at decoded strings") {
  check({{R"(s starts_with "ab")", R"({"s":"abc"})", true},
         {R"(s starts_with "bc")", R"({"s":"abc"})", false},
         {R"(s starts_with "aé")", R"({"s":"a\u00e9c"})", true},
         {R"(s starts_with "1")", R"({"s":1})", false},
         {R"(s in ["a", 1, true])", R"({"s":true})", true},
         {R"(s in ["a", 1, true])", R"({"s":1.0})", true},
         {R"(s in ["a"])", R"({"s":"b"})", false},
         {R"(s =~ "b+")", R"({"s":"abbc"})", true},
         {R"(s =~ "^b")", R"({"s":"abbc"})", false},
         {R"(s =~ "^\\d+$")", R"({"s":"123"})", true},
         {R"(s =~ "^\\d+$")", R"({"s":123})", false},
         {R"(s =~ "^é$")", R"({"s":"\u00e9"})", true},
         {R"(s =~ "^.$")", R"({"s":"€"})", true}});
}

TEST_CASE("exists is true for what is there and not null") {
  check({{"exists a.b", R"({"a":{"b":false}})", true},
         {"exists(a)", R"({"a":0})", true},
         {"exists a", R"({"a":{}})", true},
         {"exists a.c", R"({"a":{"b":1}})", false},
         {"exists error and status == \"error\"", R"({"error":{"type":"E"},"status":"error"})", true}});
}

TEST_CASE("changed is true when ctx_diff has the key, or an enclosing key that differs there") {
  const std::string_view record =
      R"({"ctx_diff":{"a":{"before":1,"after":2},"d.s":{"before":1,"after":null},)"
      R"("o":{"before":{"x":1,"y":{"z":1}},"after":{"x":1.0,"y":{"z":2},"n":null}},"odd":5}})";
  check({{"a changed", record, true},
         {"b changed", record, false},
         {"d.s changed", record, true},
         {R"(["d.s"] changed)", record, true},
         {"d changed", record, false},
         {"o changed", record, true},
         {"o.x changed", record, false},
         {"o.y changed", record, true},
         {"o.y.z changed", record, true},
         {R"(o["y"].z changed)", record, true},
         {"o.n changed", record, false},
         {"a.b changed", record, false},
         {"odd.x changed", record, false},
         {"odd changed", record, true},
         {"not b changed", record, true},
         {"a changed and o.y changed", record, true},
         {"a changed", R"({"ctx_diff":null})", false},
         {"a changed", R"({})", false},
         {"duration changed", R"({"ctx_diff":{"duration":{"before":1,"after":2}}})", true}});
}

TEST_CASE("or binds weaker than and, and weaker than not, and weaker than a comparison") {
  const std::string_view r = R"({"t":true,"f":false,"n":1})";
  check({{"t or f and f", r, true},
         {"(t or f) and f", r, false},
         {"f and f or t", r, true},
         {"not f and t", r, true},
         {"not (f and t)", r, true},
         {"not t or t", r, true},
         {"not n == 2", r, true},
         {"not not t", r, true},
         {"n == 1 and n < 2 or f", r, true},
         {"f or f or t", r, true},
         {"t and t and f", r, false},
         {" ( ( t ) ) ", r, true},
         {"n==1 and(t)", r, true}});
}

TEST_CASE("a mistake is told with its column and the way out") {
  check_errors({{"", 1, "expected a path"},
                {"   ", 4, "expected a path"},
                {"a ==", 5, "expected a value"},
                {"a = 1", 3, "`==`"},
                {"a === 1", 3, "`==`"},
                {"a <> 1", 3, "`!=`"},
                {"a == 1 && b == 2", 8, "`and`"},
                {"a == 1 || b == 2", 8, "`or`"},
                {"!a", 1, "`not`"},
                {"a !~ \"x\"", 3, "not (path =~"},
                {"a == 'x'", 6, "double quotes"},
                {"a == \"x", 6, "closing"},
                {"a == \"\\x\"", 7, "escape"},
                {"a == \"\\ud800\"", 7, "escape"},
                {"a == \"\t\"", 7, "escape"},
                {"a-b == 1", 2, "brackets"},
                {"a-1 == 1", 2, "brackets"},
                {"a..b == 1", 3, "expected a name"},
                {"a. == 1", 4, "expected a name"},
                {"a[0] == 1", 3, "double quotes"},
                {"a[\"x\" == 1", 7, "expected `]`"},
                {"a == 05", 6, "leading zeros"},
                {"a == 1.", 7, "digit"},
                {"a == 5min", 6, "no unit `min`"},
                {"a == 1 b == 2", 8, "expected `and`, `or` or the end"},
                {"a == 1 AND b == 2", 8, "did you mean `and`?"},
                {"a == 1 nd b == 2", 8, "expected `and`"},
                {"a startswith \"x\"", 3, "did you mean `starts_with`?"},
                {"a contians \"x\"", 3, "did you mean `contains`?"},
                {"a not in [1]", 3, "stands in front"},
                {"a \"x\"", 3, "expected `==`"},
                {"1 < a < 3", 7, "do not chain"},
                {"1 == 2", 1, "one side must be a path"},
                {"5", 1, "compare it with a path"},
                {"(a", 1, "no `)`"},
                {"a)", 2, "no `(`"},
                {"(a b)", 4, "expected `==`"},
                {"and a", 1, "word of the language"},
                {"a == in", 6, "word of the language"},
                {"exists", 7, "behind `exists`"},
                {"exists 5", 8, "behind `exists`"},
                {"a in 5", 6, "expected a list"},
                {"a in [1 2]", 9, "`,` or `]`"},
                {"a in [1", 8, "`,` or `]`"},
                {"a in [x]", 7, "\"x\""},
                {"a contains x", 12, "\"x\""},
                {"a starts_with 5", 15, "string"},
                {"a =~ 5", 6, "regular expression"},
                {"a =~ \"(\"", 6, "regular expression of RE2"},
                {"status == ok", 11, "\"ok\""},
                {"status == ok or a", 11, "\"ok\""},
                {"level == \"wran\"", 10, "did you mean `warn`?"},
                {"level == wran", 10, "did you mean `warn`?"},
                {"level >= \"loud\"", 10, "levels are"},
                {"level in [\"eror\"]", 11, "did you mean `error`?"},
                {"duration > 5", 12, "5ms"},
                {"duration in [5]", 14, "5ms"},
                {"duration == \"5ms\"", 13, "`5ms`"},
                {"duration > 1MiB", 12, "`5ms`"},
                {"latency > 5ms", 11, "_ms"},
                {"5ms < latency", 1, "_ms"},
                {"ctx_after.a changed", 1, "leave `ctx_after.` out"},
                {"\"a\" contains \"b\"", 1, "path on the left"},
                {"é == 1", 1, "unexpected"},
                {"s == \"é\" x", 10, "expected `and`"}});
}

TEST_CASE("text and depth have limits") {
  const std::string deep = std::string(64, '(') + "a" + std::string(64, ')');
  CHECK(Expression::compile(deep));
  const std::string deeper = "(" + deep + ")";
  check_errors({{deeper, 65, "64 deep"}});
  std::string nots;
  for (int i = 0; i < 65; ++i) nots += "not ";
  nots += "a";
  check_errors({{nots, 257, "64 deep"}});
  std::string wide = "a";
  while (wide.size() < 4000) wide += " or a";
  CHECK(matches(wide + " or ok", R"({"ok":true})"));
  CHECK(!Expression::compile(std::string(4097, ' ')));
  CHECK(!Expression::compile("a == \"\xff\""));
}

TEST_CASE("any text compiles or is refused, whatever it is") {
  const uint64_t seed = 20260121;
  MESSAGE("seed ", seed);
  uint64_t state = seed;
  const auto random = [&] { return state ^= state << 13, state ^= state >> 7, state ^= state << 17; };
  const std::string_view words[] = {
      "a",  "a.b",    "level", "duration", "5",    "5ms",  "\"x\"", "==", "<",    "and",
      "or", "not",    "(",     ")",        "in",   "[",    "]",     ",",  "=~",   "contains",
      "-",  "exists", "\"",    ".",        "null", "true", "é",     "!",  "warn", "changed"};
  size_t compiled = 0;
  for (int i = 0; i < 50000; ++i) {
    std::string text;
    for (uint64_t n = random() % 9; n > 0; --n) {
      text += words[random() % std::size(words)];
      if (random() % 4 != 0) text += ' ';
    }
    const auto expression = Expression::compile(text);
    if (!expression) {
      REQUIRE(expression.error().column >= 1);
      REQUIRE(!expression.error().message.empty());
      continue;
    }
    ++compiled;
    expression->matches(R"({"a":{"b":5},"level":"warn","duration_ms":5})");
  }
  CHECK(compiled > 1000);
}

TEST_CASE("matching costs no allocation") {
  const auto expression = Expression::compile(
      R"(level >= warn and duration > 5ms and ctx_after.order.id == 7 and message contains "x" and not (a changed) )"
      R"(and attributes["http.method"] in ["GET", "PUT"] and service starts_with "or" and message =~ "a.x")");
  REQUIRE(expression);
  const std::string line =
      R"({"level":"Error","duration_ms":6.5,"ctx_after":{"order":{"id":7}},"message":"an \u0061xx","ctx_diff":{},)"
      R"("attributes":{"http.method":"PUT"},"service":"orders"})";
  for (int i = 0; i < 10; ++i) REQUIRE(expression->matches(line));
  const uint64_t before = test::allocations();
  for (int i = 0; i < 100; ++i) expression->matches(line);
  CHECK(test::allocations() == before);
}
