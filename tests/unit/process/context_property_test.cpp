// Random contexts against a model of records.md section 5 written with nlohmann::json, which knows nothing of
// spans.
#include <nlohmann/json.hpp>
#include <random>
#include <set>

#include "agent/process/context_diff.h"
#include "agent/process/signature.h"
#include "tests/unit/process/run_processor.h"

using namespace weir;
using nlohmann::json;
using nlohmann::ordered_json;
using weir::test::Runner;

namespace {

constexpr uint32_t kSeed = 0x5eed0005;

/// Random JSON text: odd white space, escapes and key orders, few distinct keys so that both sides meet.
class Random {
 public:
  explicit Random(uint32_t seed) : engine_(seed) {}
  size_t below(size_t n) { return engine_() % n; }

  std::string space() { return below(8) == 0 ? std::string(1 + below(2), " \t"[below(2)]) : ""; }

  std::string key() {
    static const char* const kKeys[] = {"a", "b",       "c", "a.b", "a.b.c", "b.c",  "\\u0061", "\\u0062.c",
                                        "é", "\\u00e9", "d", "",    "\\n",   "\\\"", "e",       "f"};
    return std::string("\"") + kKeys[below(std::size(kKeys))] + "\"";
  }

  std::string string() {
    static const char* const kParts[] = {"x",    "y", "é", "\\u00e9", "\\ud83d\\ude00", "😀", "\\n", "\\/",
                                         "\\\\", ",", "}", "\\\""};
    std::string out = "\"";
    for (size_t n = below(9); n > 0; --n) out += kParts[below(std::size(kParts))];
    return out + "\"";
  }

  std::string value(int depth) {
    switch (below(depth > 0 ? 9 : 6)) {
      case 0:
        return "null";
      case 1:
        return below(2) == 0 ? "true" : "false";
      case 2:
        return below(2) == 0 ? "1" : "1.0";
      case 3:
        return below(2) == 0 ? "20" : "2e1";
      case 4:
      case 5:
        return string();
      case 6: {
        std::string out = "[";
        for (size_t i = 0, n = below(4); i < n; ++i) out += (i == 0 ? "" : ",") + space() + value(depth - 1);
        return out + space() + "]";
      }
      default:
        return object(depth - 1, 4);
    }
  }

  std::string object(int depth, size_t keys_max) {
    std::set<std::string> seen;
    std::string out = "{" + space();
    for (size_t n = below(keys_max + 1); n > 0; --n) {
      const std::string name = key();
      if (!seen.insert(json::parse(name).get<std::string>()).second) continue;
      if (seen.size() > 1) out += "," + space();
      out += name + space() + ":" + space() + value(depth) + space();
    }
    return out + "}";
  }

 private:
  std::mt19937 engine_;
};

const json* resolve(const json& object, const std::string& path) {
  if (!object.is_object()) return nullptr;
  if (object.contains(path)) return &object.at(path);
  for (size_t dot = path.find('.'); dot != path.npos; dot = path.find('.', dot + 1)) {
    const std::string head = path.substr(0, dot);
    if (!object.contains(head)) continue;
    if (const json* found = resolve(object.at(head), path.substr(dot + 1))) return found;
  }
  return nullptr;
}

/// Puts what `path` finds in `from` into `to`, nested the same way.
bool keep(const ordered_json& from, const std::string& path, json& to) {
  if (!from.is_object()) return false;
  if (from.contains(path)) {
    to[path] = json::parse(from.at(path).dump());
    return true;
  }
  for (size_t dot = path.find('.'); dot != path.npos; dot = path.find('.', dot + 1)) {
    const std::string head = path.substr(0, dot);
    if (!from.contains(head)) continue;
    json inside = to.contains(head) ? to.at(head) : json::object();
    if (!keep(from.at(head), path.substr(dot + 1), inside)) continue;
    to[head] = inside;
    return true;
  }
  return false;
}

json model_filter(const std::string& context, const std::vector<std::string>& entries) {
  json out = json::object();
  for (const std::string& entry : entries) keep(ordered_json::parse(context), entry, out);
  return out;
}

json model_diff(const json& before, const json& after, const std::vector<std::string>* entries) {
  std::set<std::string> keys;
  if (entries != nullptr) {
    keys.insert(entries->begin(), entries->end());
  } else {
    for (const auto& [key, value] : before.items()) keys.insert(key);
    for (const auto& [key, value] : after.items()) keys.insert(key);
  }
  json out = json::object();
  for (const std::string& key : keys) {
    const json* b = entries != nullptr     ? resolve(before, key)
                    : before.contains(key) ? &before.at(key)
                                           : nullptr;
    const json* a = entries != nullptr ? resolve(after, key) : after.contains(key) ? &after.at(key) : nullptr;
    const json old_value = b == nullptr ? json() : *b, new_value = a == nullptr ? json() : *a;
    if (old_value != new_value) out[key] = {{"before", old_value}, {"after", new_value}};
  }
  return out;
}

size_t code_points(const std::string& text) {
  size_t count = 0;
  for (const char c : text) count += (c & 0xc0) != 0x80;
  return count;
}

/// The model of cutting: on decoded text.
json cut(const json& value, size_t max) {
  if (value.is_string()) {
    const std::string text = value.get<std::string>();
    if (code_points(text) <= max) return value;
    size_t end = 0;
    for (size_t points = 0; points < max || (text[end] & 0xc0) == 0x80; ++end) {
      if (end + 1 == text.size() || (text[end + 1] & 0xc0) != 0x80) ++points;
      if (points == max) {
        ++end;
        break;
      }
    }
    return text.substr(0, end) + "...(truncated)";
  }
  json out = value;
  if (value.is_structured()) {
    for (auto& element : out) element = cut(element, max);
  }
  return out;
}

}  // namespace

TEST_CASE("full and whitelist agree with a naive model on random contexts") {
  MESSAGE("seed ", kSeed);
  Random random(kSeed);
  ManualClock clock;
  const std::vector<std::string> all_entries{"a", "a.b", "a.b.c", "b.c",   "b",  "é",
                                             "d", "",    "a.a",   "b.b.b", "\n", "a.é"};
  for (int round = 0; round < 300; ++round) {
    std::vector<std::string> entries;
    for (const std::string& entry : all_entries) {
      if (random.below(3) == 0) entries.push_back(entry);
    }
    const size_t max = random.below(3) == 0 ? 1 + random.below(6) : 256;
    const bool whitelist = random.below(3) != 0;
    const auto processor =
        make_context_diff({.mode = whitelist ? ContextDiffMode::whitelist : ContextDiffMode::full,
                           .whitelist = entries,
                           .max_value_len = int64_t(max)},
                          make_context_memory(), clock);
    Runner runner(*processor);
    for (int i = 0; i < 60; ++i) {
      const std::string before = random.object(3, 8);
      const std::string after = random.below(6) == 0 ? before : random.object(3, 8);
      const std::string record = R"({"x":1,"ctx_before":)" + before + R"(,"ctx_after":)" + after + "}";
      const std::string out(runner.run(record));
      INFO(record, "\n -> ", out);
      const json result = json::parse(out);
      const json b = json::parse(before), a = json::parse(after);
      REQUIRE(result.size() == 4);
      REQUIRE(result["ctx_before"] == cut(whitelist ? model_filter(before, entries) : b, max));
      REQUIRE(result["ctx_after"] == cut(whitelist ? model_filter(after, entries) : a, max));
      REQUIRE(result["ctx_diff"] == cut(model_diff(b, a, whitelist ? &entries : nullptr), max));
      // Keys of the diff are sorted, those of the snapshots are in the order sent: an ordered parse shows
      // both.
      const ordered_json ordered = ordered_json::parse(out);
      std::string last;
      bool first = true;
      for (const auto& [key, value] : ordered["ctx_diff"].items()) {
        REQUIRE((first || last < key));
        first = false;
        last = key;
      }
      const ordered_json sent = ordered_json::parse(before);
      auto position = sent.begin();
      for (const auto& [key, value] : ordered["ctx_before"].items()) {
        while (position != sent.end() && position.key() != key) ++position;
        REQUIRE(position != sent.end());
      }
    }
  }
}

TEST_CASE("the light form agrees with a naive model over random steps") {
  MESSAGE("seed ", kSeed + 1);
  Random random(kSeed + 1);
  ManualClock clock;
  const auto processor = make_context_diff({}, make_context_memory(), clock);
  Runner runner(*processor);
  std::map<std::string, json> contexts;
  for (int i = 0; i < 10000; ++i) {
    const std::string id(1, "abcde"[random.below(5)]);
    const bool known = contexts.contains(id);
    const bool whole = random.below(3) == 0, set = random.below(2) == 0, unset = random.below(3) == 0;
    if (!whole && !set && !unset) continue;
    const json before = known ? contexts[id] : json::object();
    json after = before;
    std::string record = R"({"trace_id":")" + id + "\"";
    if (whole) {
      const std::string text = random.object(2, 6);
      record += ",\"ctx\":" + text;
      after = json::parse(text);
    }
    if (set) {
      const std::string text = random.object(2, 3);
      record += ",\"ctx_set\":" + text;
      after.update(json::parse(text));
    }
    if (unset) {
      const std::string key = random.key();
      record += ",\"ctx_unset\":[" + key + "," + key + "]";
      after.erase(json::parse(key).get<std::string>());
    }
    const std::string out(runner.run(record + "}"));
    INFO(record, "\n -> ", out);
    const json result = json::parse(out);
    REQUIRE(result["ctx_before"] == before);
    REQUIRE(result["ctx_after"] == after);
    REQUIRE(result["ctx_diff"] == model_diff(before, after, nullptr));
    REQUIRE(result.contains("ctx_reset") == (!known && !whole));
    contexts[id] = after;
  }
}

TEST_CASE("the canonical form agrees with nlohmann's sorted ASCII dump of random values") {
  MESSAGE("seed ", kSeed + 2);
  Random random(kSeed + 2);
  for (int i = 0; i < 20000; ++i) {
    std::string value = random.value(4);
    // Numbers stay as written, which a dump does not do: only spellings that it keeps.
    for (size_t at; (at = value.find("2e1")) != value.npos;) value.replace(at, 3, "21");
    std::string out;
    append_canonical(value, out);
    INFO(value);
    REQUIRE(out == json::parse(value).dump(-1, ' ', true));
  }
}
