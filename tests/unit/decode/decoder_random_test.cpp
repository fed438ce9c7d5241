#include <cstdlib>
#include <new>
#include <random>

#include "tests/support/json_oracle.h"
#include "tests/unit/decode/decode_fixture.h"

using namespace weir;
using namespace std::literals;

namespace {

size_t allocations = 0;

const std::string kRecords[] = {
    R"({"stream":"trace","trace_id":"00ab","scenario":"order-intake","line_no":3,"step_index":0,)"
    R"("step_name":"decode","work_index":0,"t_enter":"2026-01-21T00:00:00.003Z","duration_ms":12.50,)"
    R"("msg_in":{"type_name":"OrderPlaced"},"msg_out":[{"type_name":"X"}],"msg_out_count":1,)"
    R"("ctx_before":{"order_id":1,"flags":true},)"
    R"("ctx_after":{"order_id":2,"flags":false,"amount":-1.5e+3},"error":null})",
    "{\"stream\":\"log\", \"message\":\"\u00e9 \u4e2d\u6587 \U0001F600 tab\\t \\u00e9 \\ud83d\\ude00 and a "
    "text that "
    "is longer than two blocks, \\\"quoted\\\", with a slash \\/ and \\\\\",\"n\":[1,2.5,{\"a\":[]},null]}",
    R"({ "stream" : "telemetry" , "name" : "queue.depth" , "value" : 0.125 ,)"
    R"( "attributes" : { "host" : "a" , "port" : 8080 } })",
};

std::string mutate(std::string text, std::mt19937& random) {
  static constexpr auto kInteresting =
      "\"\\{}[]:,0123456789.eE+-tfn \t\n\r\0\x1f\x7f\x80\xC3\xA9\xE2\x82\xED\xA0\xF0\x9F\xFFu/"sv;
  for (auto n = 1 + random() % 3; n > 0 && !text.empty(); --n) {
    const size_t at = random() % text.size();
    switch (random() % 6) {
      case 0:
        text[at] = kInteresting[random() % kInteresting.size()];
        break;
      case 1:
        text.erase(at, 1 + random() % 3);
        break;
      case 2:
        text.insert(at, 1, kInteresting[random() % kInteresting.size()]);
        break;
      case 3:
        text.insert(at, text.substr(random() % text.size(), random() % 12));
        break;
      case 4:
        text.resize(at);
        break;
      default:
        text[at] = char(text[at] ^ (1 << random() % 8));
        break;
    }
  }
  return text;
}

}  // namespace

// Not inlined: the compiler would warn of malloc that meets delete.
[[gnu::noinline]] void* operator new(size_t size) {
  ++allocations;
  if (void* p = std::malloc(size)) return p;
  throw std::bad_alloc();
}
[[gnu::noinline]] void* operator new(size_t size, const std::nothrow_t&) noexcept {
  ++allocations;
  return std::malloc(size);
}
[[gnu::noinline]] void operator delete(void* p) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, size_t) noexcept { std::free(p); }

TEST_CASE("random mutations are judged as two other parsers judge them") {
  const unsigned seed = std::random_device{}();
  MESSAGE("seed " << seed);
  std::mt19937 random(seed);
  simdjson::dom::parser simd;
  Decoder decoder;
  FieldTable table;
  int accepted = 0;
  for (int i = 0; i < 60'000; ++i) {
    const std::string text = mutate(kRecords[random() % std::size(kRecords)], random);
    const Payload payload(text, i % 2 == 0 ? "" : "\",:1}]{");
    const Fault fault = decoder.decode(payload.text(), Stream::log, table);
    test::JsonFacts facts;
    const std::optional<bool> json = test::accepted_by_nlohmann(text, facts);
    if (!json) continue;
    CAPTURE(text);
    CAPTURE(fault.detail);
    CAPTURE(fault.offset);
    CHECK(fault.offset <= text.size());
    if (!fault) {
      ++accepted;
      CHECK(*json);
      CHECK(test::accepted_by_simdjson(text, simd).value_or(true));
    } else if (fault.reason == Reason::bad_json || fault.reason == Reason::bad_utf8) {
      CHECK_FALSE(*json);
      CHECK_FALSE(test::accepted_by_simdjson(text, simd).value_or(false));
    } else if (fault.reason == Reason::not_an_object) {
      CHECK((*json && !facts.object));
    } else if (fault.reason == Reason::duplicate_key && *json) {
      CHECK(facts.duplicates);
    }
  }
  CHECK(accepted > 1000);
}

TEST_CASE("mutations get one verdict whatever the instruction set and the bytes behind them") {
  const unsigned seed = std::random_device{}();
  MESSAGE("seed " << seed);
  std::mt19937 random(seed);
  for (int i = 0; i < 1500; ++i) judge(mutate(kRecords[random() % std::size(kRecords)], random));
}

TEST_CASE("records cost no allocation once capacities have grown") {
  Decoder decoder;
  FieldTable table;
  std::vector<std::unique_ptr<Payload>> payloads;
  for (const std::string& record : kRecords) payloads.push_back(std::make_unique<Payload>(record));
  payloads.push_back(std::make_unique<Payload>(
      R"({"str\u0065am":"lo\u0067","ctx":{"\u0061":1,"b\u0062 and a long key":2}})"));
  payloads.push_back(std::make_unique<Payload>("[1,[2]]"));
  payloads.push_back(std::make_unique<Payload>("{\"a\":nope}"));
  std::string many = "{\"x\":{";
  for (int i = 0; i < 1000; ++i) many += (i > 0 ? ",\"k" : "\"k") + std::to_string(i) + "\":{}";
  payloads.push_back(std::make_unique<Payload>(many + "}}"));
  size_t before = 0;
  for (int round = 0; round < 4; ++round) {
    if (round == 2) before = allocations;  // the second round is the first that knows the shapes
    for (const auto& payload : payloads) decoder.decode(payload->text(), Stream::log, table);
  }
  CHECK(allocations == before);
}

TEST_CASE("hostile objects of many keys cost about as much as harmless ones") {
  // 1024 keys that share head and tail; only the seeded hash tells them apart. No time is measured: the test
  // would run into its limit if each key were compared with all others over and over.
  std::string object = "{";
  for (int i = 0; i < 1024; ++i)
    object += (i > 0 ? ",\"aaaaaaaaaaaaaaaaaaaa" : "\"aaaaaaaaaaaaaaaaaaaa") + std::to_string(i) + "\":0";
  object += "}";
  std::string text = "{\"x\":[";
  for (int i = 0; i < 250; ++i) text += (i > 0 ? "," : "") + object;
  const Payload payload(text + "]}");
  Decoder decoder;
  FieldTable table;
  CHECK_FALSE(decoder.decode(payload.text(), Stream::log, table));
}
