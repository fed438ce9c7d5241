#include "agent/ingest/control_line.h"

#include <array>
#include <nlohmann/json.hpp>
#include <set>

#include "agent/core/json.h"

namespace weir {
namespace {

constexpr std::array<std::string_view, 4> kLevels{"none", "received", "buffered", "durable"};
constexpr size_t kClientIdBytesMax = 256;
constexpr size_t kControlBytesMax = 4096;

/// What follows the key `weir` of a line, empty when its first key is another.
std::string_view behind_weir_key(std::string_view line) {
  auto skip_space = [&] {
    size_t n = line.find_first_not_of(" \t\r");
    line.remove_prefix(n == line.npos ? line.size() : n);
  };
  auto eat = [&](std::string_view text) {
    skip_space();
    if (!line.starts_with(text)) return false;
    line.remove_prefix(text.size());
    return true;
  };
  if (!eat("{") || !eat("\"weir\"") || !eat(":")) return {};
  skip_space();
  return line;
}

Result<ControlLine> parse_hello(const nlohmann::json& object) {
  ControlLine line;
  line.kind = ControlLine::Kind::hello;
  if (auto id = object.find("client_id"); id != object.end() && !id->is_null()) {
    if (!id->is_string() || id->get_ref<const std::string&>().empty() ||
        id->get_ref<const std::string&>().size() > kClientIdBytesMax)
      return fail("bad_hello: client_id must be a string of 1 to 256 bytes");
    line.hello.client_id = id->get<std::string>();
  }
  if (auto seq = object.find("next_seq"); seq != object.end() && !seq->is_null()) {
    if (!seq->is_number_unsigned() || seq->get<uint64_t>() == 0 || seq->get<uint64_t>() > UINT64_MAX / 2)
      return fail("bad_hello: next_seq must be an integer from 1 on");
    line.hello.next_seq = seq->get<uint64_t>();
  }
  if (auto service = object.find("service");
      service != object.end() && !service->is_null() && !service->is_string())
    return fail("bad_hello: service must be a string");
  if (auto level = object.find("ack"); level != object.end() && !level->is_null()) {
    size_t n = 0;
    while (n < kLevels.size() && *level != kLevels[n]) ++n;
    if (n == kLevels.size()) return fail("unknown_level: ack must be none, received, buffered or durable");
    // A journal in memory keeps no promise beyond the agent's own life.
    line.level = std::min(AckLevel(n), AckLevel::received);
  }
  return line;
}

}  // namespace

bool is_control_line(std::string_view line) { return !behind_weir_key(line).empty(); }

bool is_hello_line(std::string_view line) { return behind_weir_key(line).starts_with("\"hello\""); }

Result<ControlLine> parse_control_line(std::string_view text) {
  bool hello = is_hello_line(text);
  if (text.size() > kControlBytesMax)
    return fail(std::string(hello ? "bad_hello" : "unknown_control") + ": longer than 4096 bytes");
  std::set<std::string> keys;
  bool twice = false;
  auto note_keys = [&](int depth, nlohmann::json::parse_event_t event, nlohmann::json& value) {
    if (depth == 1 && event == nlohmann::json::parse_event_t::key)
      twice |= !keys.insert(value.get<std::string>()).second;
    return true;
  };
  auto object = nlohmann::json::parse(text, note_keys, false);
  if (twice) return fail(std::string(hello ? "bad_hello" : "unknown_control") + ": a key stands twice");
  if (!object.is_object())
    return fail(hello ? "bad_hello: not valid JSON" : "unknown_control: not valid JSON");
  const auto& word = object["weir"];
  if (word == "hello") return parse_hello(object);
  ControlLine line;
  if (word == "bye") return line;
  if (word == "sync") {
    line.kind = ControlLine::Kind::sync;
    if (auto id = object.find("id"); id != object.end())
      line.id = id->dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    return line;
  }
  return fail("unknown_control: the words understood are hello, sync and bye");
}

std::string_view first_word(std::string_view error) { return error.substr(0, error.find(':')); }

std::string welcome_line(const ControlLine& line, const Producer& producer, const Welcome& welcome,
                         size_t record_bytes_max, const std::string& policy) {
  std::string out = "{\"weir\":\"welcome\",\"proto\":[1,0],\"client_id\":";
  json::append_quoted(out, producer.client->identity->client_id);
  out += ",\"ack\":\"" + std::string(kLevels[size_t(line.level)]) + "\"";
  out += ",\"last_seq\":" + std::to_string(welcome.last_seq);
  out += ",\"limits\":{\"record_bytes_max\":" + std::to_string(record_bytes_max) + "}";
  out += ",\"policy\":" + policy + "}\n";
  return out;
}

}  // namespace weir
