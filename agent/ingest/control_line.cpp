#include "agent/ingest/control_line.h"

#include <nlohmann/json.hpp>
#include <set>

namespace weir {
namespace {

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

Request error(std::string text) { return {.kind = Request::Kind::error, .text = std::move(text)}; }

/// Text that is a JSON object without a key twice; else a word on what it is.
Result<nlohmann::json> parse_object(std::string_view text) {
  if (text.size() > kControlBytesMax) return fail("longer than 4096 bytes");
  std::set<std::string> keys;
  bool twice = false;
  auto note_keys = [&](int depth, nlohmann::json::parse_event_t event, nlohmann::json& value) {
    if (depth == 1 && event == nlohmann::json::parse_event_t::key)
      twice |= !keys.insert(value.get<std::string>()).second;
    return true;
  };
  auto object = nlohmann::json::parse(text, note_keys, false);
  if (twice) return fail("a key stands twice");
  if (!object.is_object()) return fail("not a JSON object");
  return object;
}

/// What a hello says in lines and frames alike.
Request parse_hello(const nlohmann::json& object) {
  Request request{.kind = Request::Kind::hello};
  Hello& hello = request.hello;
  if (auto id = object.find("client_id"); id != object.end() && !id->is_null()) {
    if (!id->is_string() || id->get_ref<const std::string&>().empty() ||
        id->get_ref<const std::string&>().size() > kClientIdBytesMax)
      return error("bad_hello: client_id must be a string of 1 to 256 bytes");
    hello.client_id = id->get<std::string>();
  }
  if (auto seq = object.find("next_seq"); seq != object.end() && !seq->is_null()) {
    if (!seq->is_number_unsigned() || seq->get<uint64_t>() == 0 || seq->get<uint64_t>() > kSeqMax)
      return error("bad_hello: next_seq must be an integer from 1 on");
    hello.next_seq = seq->get<uint64_t>();
  }
  if (auto service = object.find("service"); service != object.end() && !service->is_null()) {
    if (!service->is_string()) return error("bad_hello: service must be a string");
    hello.service = service->get<std::string>();
  }
  if (auto level = object.find("ack"); level != object.end() && !level->is_null()) {
    size_t n = 0;
    while (n < kAckLevelCount && *level != ack_level_name(AckLevel(n))) ++n;
    if (n == kAckLevelCount) return error("unknown_level: ack must be none, received, buffered or durable");
    hello.level = AckLevel(n);
  }
  return request;
}

/// `proto`, the version the client would like, and `min`, the lowest it can speak: ours is 1.
bool speaks_our_version(const nlohmann::json& object, bool& well_formed) {
  auto proto = object.find("proto"), min = object.find("min");
  const bool has_proto = proto != object.end(), has_min = min != object.end();
  well_formed = (!has_proto || (proto->is_array() && proto->size() == 2 && (*proto)[0].is_number_unsigned() &&
                                (*proto)[1].is_number_unsigned())) &&
                (!has_min || min->is_number_unsigned());
  if (!well_formed) return false;
  const uint64_t highest = has_proto ? (*proto)[0].get<uint64_t>() : 1;
  return highest >= 1 && (has_min ? min->get<uint64_t>() : highest) <= 1;
}

}  // namespace

bool is_control_line(std::string_view line) { return !behind_weir_key(line).empty(); }

bool is_hello_line(std::string_view line) { return behind_weir_key(line).starts_with("\"hello\""); }

Request parse_control_line(std::string_view text) {
  const std::string word = is_hello_line(text) ? "bad_hello" : "unknown_control";
  const auto object = parse_object(text);
  if (!object) return error(word + ": " + object.error().message);
  const auto& name = object->at("weir");
  if (name == "hello") return parse_hello(*object);
  if (name == "bye") return {.kind = Request::Kind::bye};
  if (name == "sync") {
    Request request{.kind = Request::Kind::sync, .text = "null"};
    if (auto id = object->find("id"); id != object->end())
      request.text = id->dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    return request;
  }
  return error("unknown_control: the words understood are hello, sync and bye");
}

Request parse_hello_frame(std::string_view payload) {
  const auto object = parse_object(payload);
  if (!object) return error("bad_hello: " + object.error().message);
  bool well_formed;
  if (!speaks_our_version(*object, well_formed))
    return error(well_formed ? "bad_version: this agent speaks version 1 of the framed protocol; "
                               "newline-delimited JSON is understood by all"
                             : "bad_hello: proto must be [MAJOR,MINOR], min a number");
  return parse_hello(*object);
}

}  // namespace weir
