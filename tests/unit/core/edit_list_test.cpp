#include "agent/core/edit_list.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <list>
#include <new>
#include <nlohmann/json.hpp>
#include <random>

#include "agent/core/json.h"

using namespace weir;
using Ordered = nlohmann::ordered_json;

namespace {

/// Every top-level member of `line` as a decoder would give it.
std::vector<FieldValue> fields_of(std::string_view line) {
  std::vector<FieldValue> fields;
  const auto begin = uint32_t(line.find('{'));
  for (json::Members m(line.data(), {begin, uint32_t(line.size())}); m.next();) {
    FieldValue field;
    static_cast<Member&>(field) = m.member();
    field.ordinal = uint32_t(fields.size());
    fields.push_back(field);
  }
  return fields;
}

/// A copy with the readable bytes behind it that a line has in the agent. Stays until the end of the program.
std::string_view padded(std::string_view line) {
  static std::list<std::string> lines;
  lines.emplace_back(line).append(EditList::kSlack, '#');
  return std::string_view(lines.back()).substr(0, line.size());
}

std::string render(EditList& edits) {
  std::string out(edits.rendered_bytes_max(), '?');
  out.resize(size_t(edits.render(out.data()) - out.data()));
  return out;
}

std::string without(std::string_view line, std::initializer_list<size_t> ordinals, bool append = false) {
  const auto fields = fields_of(line);
  EditList edits;
  edits.reset(padded(line), uint32_t(fields.size()));
  for (size_t i : ordinals) edits.remove(fields[i]);
  if (append) edits.append("n"), edits.text("9"), edits.end();
  return render(edits);
}

}  // namespace

TEST_CASE("a line without edits is copied") {
  EditList edits;
  edits.reset(padded(" {\"a\" : 1} "), 1);
  CHECK(edits.empty());
  CHECK(render(edits) == " {\"a\" : 1} ");
}

TEST_CASE("replacements are pieces of the original and of our own") {
  const std::string line = R"({"a":{"x":1,"y":2},"b":"long text","c":3})";
  const auto fields = fields_of(line);
  EditList edits;
  edits.reset(padded(line), 3);
  edits.replace(fields[2].value);
  edits.text("nu"), edits.text("ll"), edits.end();
  edits.replace(fields[0].value);
  edits.text("{"), edits.original({12, 17}), edits.text(","), edits.original({6, 11}), edits.text("}"),
      edits.end();
  CHECK_FALSE(edits.empty());
  CHECK(render(edits) == R"({"a":{"y":2,"x":1},"b":"long text","c":null})");
}

TEST_CASE("an empty replacement inserts or deletes") {
  EditList edits;
  edits.reset(padded(R"({"a":"bc"})"), 1);
  edits.replace({6, 6}), edits.text("x"), edits.end();
  edits.replace({7, 8}), edits.end();
  CHECK(render(edits) == R"({"a":"xb"})");
}

TEST_CASE("a removed member takes one comma with it") {
  const std::string_view line = R"({"a":1,"b":2,"c":3})";
  CHECK(without(line, {0}) == R"({"b":2,"c":3})");
  CHECK(without(line, {1}) == R"({"a":1,"c":3})");
  CHECK(without(line, {2}) == R"({"a":1,"b":2})");
  CHECK(without(line, {1, 0}) == R"({"c":3})");
  CHECK(without(line, {2, 1}) == R"({"a":1})");
  CHECK(without(line, {0, 2}) == R"({"b":2})");
  CHECK(without(line, {2, 0, 1}) == "{}");
  CHECK(without(line, {2, 0, 1}, true) == R"({"n":9})");
  CHECK(without(line, {0, 1}, true) == R"({"c":3,"n":9})");
  CHECK(without(line, {1, 2}, true) == R"({"a":1,"n":9})");
}

TEST_CASE("white space around kept members stays") {
  const std::string_view line = "{ \"a\" : 1 , \"b\" : 2 ,\t\"c\" : 3 } ";
  CHECK(without(line, {1}) == "{ \"a\" : 1  ,\t\"c\" : 3 } ");
  CHECK(without(line, {0}) == "{  \"b\" : 2 ,\t\"c\" : 3 } ");
  CHECK(without(line, {2}, true) == "{ \"a\" : 1 , \"b\" : 2  ,\"n\":9} ");
}

TEST_CASE("members are appended to an empty object without a comma") {
  CHECK(without("{}", {}, true) == R"({"n":9})");
  CHECK(without(" { } ", {}, true) == " { \"n\":9} ");
  EditList edits;
  edits.reset(padded("{}"), 0);
  edits.append("a"), edits.text("1"), edits.end();
  edits.append("b"), edits.text("2"), edits.end();
  CHECK_FALSE(edits.empty());
  CHECK(render(edits) == R"({"a":1,"b":2})");
}

TEST_CASE("any subset of removals, replacements and appended members gives what a model gives") {
  const unsigned seed = 4711;
  MESSAGE("seed " << seed);
  std::mt19937 random(seed);
  EditList edits;
  const auto blank = [&] { return std::string(random() % 3 == 0 ? random() % 3 : 0, ' '); };
  for (int round = 0; round < 3000; ++round) {
    const size_t count = random() % 8;
    std::string line = blank() + "{";
    for (size_t i = 0; i < count; ++i) {
      const std::string values[] = {"1", "\"x,}y\"", "[1, 2]", "{\"a\" : 1}", "null"};
      line += (i > 0 ? "," : "") + blank() + "\"k" + std::to_string(i) + "\"" + blank() + ":" + blank() +
              values[random() % 5] + blank();
    }
    line += (count == 0 ? blank() : "") + "}" + blank();
    const auto fields = fields_of(line);
    Ordered model = Ordered::object();
    edits.reset(padded(line), uint32_t(count));
    std::vector<size_t> calls(count);
    for (size_t i = 0; i < count; ++i) calls[i] = i;
    std::shuffle(calls.begin(), calls.end(), random);
    std::vector<int> fate(count);
    for (size_t i : calls) {
      fate[i] = int(random() % 3);
      if (fate[i] == 1) edits.remove(fields[i]);
      if (fate[i] == 2)
        edits.replace(fields[i].value), edits.text("[\"new\","), edits.original(fields[i].value),
            edits.text("]"), edits.end();
    }
    const Ordered sent = Ordered::parse(line);
    for (size_t i = 0; i < count; ++i) {
      const std::string key = "k" + std::to_string(i);
      if (fate[i] == 0) model[key] = sent[key];
      if (fate[i] == 2) model[key] = Ordered::array({"new", sent[key]});
    }
    const char* appended[] = {"n0", "n1", "n2"};
    for (size_t i = 0; i < random() % 4; ++i) {
      if (i == 3 || model.contains(appended[i])) break;
      edits.append(appended[i]), edits.text(std::to_string(i)), edits.end();
      model[appended[i]] = int(i);
    }
    const std::string out = render(edits);
    CAPTURE(line);
    CAPTURE(out);
    REQUIRE(Ordered::accept(out));
    CHECK(Ordered::parse(out).dump() == model.dump());
    if (out.size() < line.size()) CHECK(out.front() == line.front());
  }
}

TEST_CASE("what the agent made is found again in the rendered line") {
  const std::string_view line = R"({"a":1,"b":2})";
  const auto fields = fields_of(line);
  EditList edits;
  for (int round = 0; round < 2; ++round) {
    edits.reset(padded(line), 2);
    edits.append("ts");
    edits.made("\"now\"");
    edits.end();
    edits.replace(fields[1].value);
    edits.text("[");
    edits.made("77");
    edits.text("]");
    edits.end();
    const std::string out = render(edits);
    CHECK(out == R"({"a":1,"b":[77],"ts":"now"})");
    REQUIRE(edits.made_spans().size() == 2);
    CHECK(edits.made_spans()[0].of(out) == "77");
    CHECK(edits.made_spans()[1].of(out) == "\"now\"");
  }
}
