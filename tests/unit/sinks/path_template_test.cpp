#include "agent/sinks/path_template.h"

#include <doctest/doctest.h>

#include <random>

#include "agent/sinks/rotated_name.h"

using namespace weir;

namespace {

std::string value(std::string_view json) {
  std::string out;
  append_path_value(out, json);
  return out;
}

std::string render(std::string_view text, std::string_view line, Stream stream = Stream::log) {
  auto parsed = PathTemplate::parse(text);
  REQUIRE(parsed);
  std::string out;
  parsed->render(line, stream, out);
  return out;
}

std::string mistake(std::string_view text) {
  auto parsed = PathTemplate::parse(text);
  return parsed ? "" : parsed.error().message;
}

bool is_invalid(const std::string& text) {
  return text.size() == 16 && text.starts_with("invalid-") &&
         text.find_first_not_of("0123456789abcdef", 8) == text.npos;
}

}  // namespace

TEST_CASE("a value that is a plain name stays as it is") {
  for (const char* plain : {"orders", "a", "A-b_c.9", "-", "_", "a..b", "x."})
    CHECK(value("\"" + std::string(plain) + "\"") == plain);
  CHECK(value("\"" + std::string(64, 'x') + "\"") == std::string(64, 'x'));
  CHECK(value(R"("ord\u0065rs")") == "orders");
  CHECK(value("17") == "17");
  CHECK(value("true") == "true");
}

TEST_CASE("what is missing has a name too") {
  CHECK(value("") == "none");
  CHECK(value("null") == "none");
}

TEST_CASE("anything else becomes invalid and a number") {
  for (const char* bad : {R"("")",
                          R"("..")",
                          R"(".")",
                          R"("../../etc/passwd")",
                          R"("/etc/passwd")",
                          R"("a/b")",
                          R"("a\u0000b")",
                          R"("\u0000")",
                          R"(".hidden")",
                          R"("a b")",
                          R"("a\nb")",
                          R"("caf\u00e9")",
                          "\"\xC3\xA9\"",
                          R"("a\\b")",
                          R"("~")",
                          R"("a:b")",
                          R"("*")",
                          R"({"a":1})",
                          "[1]",
                          "1E+2",
                          R"("\u002e\u002e/x")"}) {
    CAPTURE(bad);
    CHECK(is_invalid(value(bad)));
  }
  CHECK(is_invalid(value("\"" + std::string(65, 'x') + "\"")));
  CHECK(is_invalid(value("\"" + std::string(300, 'x') + "\"")));
}

TEST_CASE("the number is always the same, and another one for other contents") {
  CHECK(value(R"("../x")") == value(R"("..\/x")"));
  CHECK(value(R"("../x")") == "invalid-f2be8f5c");
  CHECK(value(R"("../x")") != value(R"("../y")"));
}

TEST_CASE("the path of a record") {
  CHECK(render("/log/{service}/{stream}.jsonl", R"({"stream":"logs","service":"orders"})") ==
        "orders/log.jsonl");
  CHECK(render("/log/{service}/{stream}.jsonl", R"({"service":"../x"})", Stream::trace) ==
        "invalid-f2be8f5c/trace.jsonl");
  CHECK(render("/log/a-{service}-{level}.x/b/c", R"({"level":"WARNING"})") == "a-none-warn.x/b/c");
  CHECK(render("{level}", R"({"level":"loud"})") == "loud");
  CHECK(render("x/{{{kind}", R"({"kind":"span"})") == "{{span");
  CHECK(render("{process_group}{scenario}{logger}", R"({"logger":"l","process_group":"p","scenario":"s"})") ==
        "psl");
}

TEST_CASE("the root is what lies before the first field") {
  auto root = [](std::string_view text) { return PathTemplate::parse(text)->root(); };
  CHECK(root("/var/log/{service}.jsonl") == "/var/log");
  CHECK(root("/var/log/a{service}/x.jsonl") == "/var/log");
  CHECK(root("{service}.jsonl") == ".");
  CHECK(root("log/{service}") == "log");
  CHECK(root("/{service}") == "/");
  for (const char* plain : {"/a/{{service}}", "/a/${service}", "/a/{SERVICE}", "/a/{service", "/a/service}",
                            "/a/{}", "/a/{a b}", "{{{"}) {
    CAPTURE(plain);
    REQUIRE(PathTemplate::parse(plain));
    CHECK_FALSE(PathTemplate::parse(plain)->has_fields());
  }
  CHECK(PathTemplate::parse("/a/${service}{A}{")->path() == "/a/${service}{A}{");
  CHECK(PathTemplate::parse("/a/{{b}}.jsonl")->path() == "/a/{b}.jsonl");
}

TEST_CASE("mistakes are named") {
  CHECK(mistake("/a/{servce}").find("did you mean {service}?") != std::string::npos);
  CHECK(mistake("/a/{trace_id}").find("stream, service, scenario, level, logger, kind, process_group") !=
        std::string::npos);
  CHECK(mistake("/a/{something}").find("{{something}} is {something} itself") != std::string::npos);
  CHECK(mistake("/a/{service}/../b").find("..") != std::string::npos);
  CHECK(mistake("/a/{service}//b").find("empty name") != std::string::npos);
  CHECK(mistake("/a/{service}{stream}{kind}{level}.jsonl").find("too long") != std::string::npos);
  CHECK(mistake("/a/{service}.20261122T030405Z.1").find("rotated") != std::string::npos);
  CHECK(mistake("/a/../{service}.jsonl") == "");  // the fixed part is the operator's
}

TEST_CASE("a record cannot name a rotated file") {
  CHECK(is_invalid(render("/a/{service}", R"({"service":"orders.20261122T030405Z.1"})")));
  CHECK(is_invalid(render("/a/{service}", R"({"service":"orders.20261122T030405Z.1.zst"})")));
  const std::string split =
      render("/a/{service}.{scenario}", R"({"service":"x.20261122T030405Z","scenario":"1"})");
  RotatedName rotated;
  CHECK_FALSE(parse_rotated_name(split, rotated));
}

TEST_CASE("names that it may have made are recognised") {
  auto t = *PathTemplate::parse("/a/x-{service}/{stream}{kind}.jsonl");
  REQUIRE(t.depth() == 2);
  CHECK(t.may_be(0, "x-orders"));
  CHECK(t.may_be(0, "x-invalid-00000000"));
  CHECK_FALSE(t.may_be(0, "x-"));
  CHECK_FALSE(t.may_be(0, "y-orders"));
  CHECK_FALSE(t.may_be(0, "x-.orders"));
  CHECK_FALSE(t.may_be(0, "x-" + std::string(65, 'a')));
  CHECK(t.may_be(1, "logspan.jsonl"));
  CHECK_FALSE(t.may_be(1, "l.jsonl"));
  CHECK_FALSE(t.may_be(1, "logspan.jsonl.1"));
  CHECK_FALSE(t.may_be(2, "x"));
}

TEST_CASE("whatever bytes a value holds, the path stays beneath the root") {
  const unsigned seed = std::random_device()();
  INFO("seed " << seed);
  std::mt19937 random(seed);
  auto t = *PathTemplate::parse("/a/{service}/{logger}.jsonl");
  std::string out;
  for (int i = 0; i < 20'000; ++i) {
    std::string line = "{\"service\":\"";
    constexpr std::string_view alphabet = "./.a-Z~ \\\\u0000";
    for (unsigned n = random() % 80; n > 0; --n) {
      const char c = alphabet[random() % alphabet.size()];
      line += c == '\\' ? "\\u002f" : std::string(1, c);
    }
    line += R"(","logger":"..\/.."})";
    t.render(line, Stream::log, out);
    const size_t slash = out.find('/');
    REQUIRE(slash != out.npos);
    REQUIRE(out.find('/', slash + 1) == out.npos);
    REQUIRE(out[0] != '.');
    REQUIRE(slash <= 64);
    REQUIRE(out.find('\0') == out.npos);
    REQUIRE(out.substr(slash) == out.substr(out.size() - 23));
  }
}
