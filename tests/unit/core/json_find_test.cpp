#include <doctest/doctest.h>

#include <map>
#include <random>

#include "agent/core/json.h"

using namespace weir;

namespace {

/// Random valid JSON with keys of few names, strings full of what could be taken for structure, white space.
class Writer {
 public:
  explicit Writer(uint32_t seed) : random_(seed) {}
  std::string object(int depth) {
    std::map<std::string, std::string> members;  // decoded key -> text of the member
    for (uint32_t i = random_() % 12; i > 0; --i) {
      std::string decoded, raw = key(decoded);
      members.emplace(decoded, raw + space() + ":" + space() + value(depth));
    }
    std::string out = "{";
    for (const auto& [decoded, text] : members) out += (out.size() > 1 ? "," : "") + space() + text + space();
    return out + "}";
  }
  static const std::vector<std::string>& keys() {
    static const std::vector<std::string> list{
        "a", "status", "level", "ctx_after.stage", "ключ", ",",       ":",  "",
        "}", "a b",    "x\"y",  "tab\t",           "a:b",  "status2", "\\", "]"};
    return list;
  }

 private:
  std::string space() { return random_() % 6 ? "" : std::string(random_() % 3, ' '); }
  std::string quoted(const std::string& text) {
    std::string out;
    json::append_quoted(out, text);
    return out;
  }
  std::string key(std::string& decoded) {
    decoded = keys()[random_() % keys().size()];
    std::string raw = quoted(decoded);
    if (decoded == "status" && random_() % 3 == 0) return "\"st\\u0061tus\"";
    return raw;
  }
  std::string value(int depth) {
    switch (random_() % (depth > 0 ? 8 : 5)) {
      case 0:
        return "null";
      case 1:
        return std::to_string(random_() % 100000);
      case 2:
        return quoted(keys()[random_() % keys().size()]);
      case 3:
        return quoted("\"status\":1,{\"level\":[\\\\\"" + std::string(random_() % 40, '}'));
      case 4:
        return quoted(std::string(random_() % 30, 'x') + "\\");
      case 5:
        return "[" + value(depth - 1) + "," + value(depth - 1) + ",{\"status\":7}]";
      default:
        return object(depth - 1);
    }
  }
  std::mt19937 random_;
};

std::string_view walked(std::string_view object, std::string_view key) {
  for (json::Members m(object.data(), {0, uint32_t(object.size())}); m.next();)
    if (json::string_is(m.member().key.of(object), key)) return m.member().value.of(object);
  return {};
}

}  // namespace

TEST_CASE("find_key finds a key behind many of the same name that are not the object's own") {
  std::string text = "{\"x\":[";
  for (int i = 0; i < 1000; ++i) text += "{\"level\":1},";
  text += "{}],\"level\":2}";
  const std::string padded = text + std::string(64, '\0');
  CHECK(json::find_key({padded.data(), text.size()}, "level") == "2");
  CHECK(json::find_key({padded.data(), text.size()}, "status").empty());
}

TEST_CASE("find_key finds what a walk over all members finds, whatever the strings hold") {
  size_t found = 0;
  for (uint32_t seed = 1; seed <= 20'000; ++seed) {
    CAPTURE(seed);
    const std::string text = Writer(seed).object(3) + (seed % 2 ? "\n" : "") + std::string(64, '\0');
    const std::string_view object(text.data(), text.size() - 64);
    for (const std::string& key : Writer::keys()) {
      const std::string_view expected = walked(object, key), got = json::find_key(object, key);
      found += !expected.empty();
      REQUIRE(got == expected);
      REQUIRE((expected.empty() || got.data() == expected.data()));
    }
  }
  CHECK(found > 20'000);
}
