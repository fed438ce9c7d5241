#include "agent/decode/decoder.h"

#include "tests/unit/decode/decode_fixture.h"

using namespace weir;
using namespace std::literals;

namespace {

std::string nested(int depth, std::string_view open, std::string_view close, std::string_view core) {
  std::string text;
  for (int i = 0; i < depth; ++i) text += open;
  text += core;
  for (int i = 0; i < depth; ++i) text += close;
  return text;
}

std::string object_of(int keys, std::string_view prefix = "k") {
  std::string text = "{";
  for (int i = 0; i < keys; ++i) {
    text += (i > 0 ? ",\"" : "\"") + std::string(prefix) + std::to_string(i) + "\":0";
  }
  return text + "}";
}

}  // namespace

TEST_CASE("a record is taken with all its white space") {
  CHECK(verdict("{}") == "ok");
  CHECK(verdict(" \t\r\n{ \"a\" :\t1 , \"b\": [ ] , \"c\" : { } , \"d\":[ 1 , 2 ]} \r") == "ok");
  CHECK(verdict(R"({"a":{"b":[{"c":[[],{}]}]},"d":-0.0e-0,"e":"","f":true,"g":false,"h":null})") == "ok");
}

TEST_CASE("what is not JSON is refused at its first wrong byte") {
  for (auto [text, expected] : {
           std::pair{"{\"a\":01}"sv, "bad_json@6"},
           {"{\"a\":-01}", "bad_json@7"},
           {"{\"a\":1.}", "bad_json@7"},
           {"{\"a\":1.e5}", "bad_json@7"},
           {"{\"a\":1e}", "bad_json@7"},
           {"{\"a\":1e+}", "bad_json@8"},
           {"{\"a\":-}", "bad_json@6"},
           {"{\"a\":-.5}", "bad_json@6"},
           {"{\"a\":.5}", "bad_json@5"},
           {"{\"a\":+1}", "bad_json@5"},
           {"{\"a\":0x10}", "bad_json@6"},
           {"{\"a\":1_000}", "bad_json@6"},
           {"{\"a\":1.5.2}", "bad_json@8"},
           {"{\"a\":1e5e5}", "bad_json@8"},
           {"{\"a\":--1}", "bad_json@6"},
           {"{\"a\":NaN}", "bad_json@5"},
           {"{\"a\":Infinity}", "bad_json@5"},
           {"{\"a\":nul}", "bad_json@5"},
           {"{\"a\":True}", "bad_json@5"},
           {"{\"a\":fals}", "bad_json@5"},
           {"{\"a\":nullx}", "bad_json@9"},
           {"{\"a\":1234567890123456789x}", "bad_json@24"},
           {"{\"a\":00000000000000000000}", "bad_json@6"},
           {"{'a':1}", "bad_json@1"},
           {"{a:1}", "bad_json@1"},
           {"{\"a\":'b'}", "bad_json@5"},
           {"{\"a\"}", "bad_json@4"},
           {"{\"a\" 1}", "bad_json@5"},
           {"{\"a\":}", "bad_json@5"},
           {"{\"a\":1,}", "bad_json@7"},
           {"{,}", "bad_json@1"},
           {"{\"a\":1 \"b\":2}", "bad_json@7"},
           {"{\"a\":1,,}", "bad_json@7"},
           {"{\"a\":[1,]}", "bad_json@8"},
           {"{\"a\":[,1]}", "bad_json@6"},
           {"{\"a\":[1 2]}", "bad_json@8"},
           {"{\"a\":[1}", "bad_json@7"},
           {"{\"a\":{\"b\":1]}", "bad_json@11"},
           {"{\"a\":{\"b\":1,}}", "bad_json@12"},
           {"{1:2}", "bad_json@1"},
           {"{\"a\":{\"b\"}}", "bad_json@9"},
           {"{\"a\":{1}}", "bad_json@6"},
           {"{\"a\":1}x", "bad_json@7"},
           {"{\"a\":1}}", "bad_json@7"},
           {"{\"a\":1} {\"b\":2}", "bad_json@8"},
           {"{}[]", "bad_json@2"},
           {"{}\0"sv, "bad_json@2"},
           {"{\0}"sv, "bad_json@1"},
           {"{\"a\":\0}"sv, "bad_json@5"},
           {"{\"a\":\"\0\"}"sv, "bad_json@6"},
           {"{\"a\":\"b\tc\"}", "bad_json@7"},
           {"{\"a\nb\":1}", "bad_json@3"},
           {"{\"a\":\"0123456789012345678901234567890123456789\x1f\"}", "bad_json@46"},
           {"{\"a\":\"\\x\"}", "bad_json@6"},
           {"{\"a\":\"bc\\u12g4\"}", "bad_json@8"},
           {"{\"a\":\"\\u12\"}", "bad_json@6"},
           {"{\"a\":\"\\U0041\"}", "bad_json@6"},
           {"{\"\\q\":1}", "bad_json@2"},
           {"{\"a\":1/**/}", "bad_json@6"},
           {"\xEF\xBB\xBF{}", "bad_json@0"},
           {"{\"a\":\v1}", "bad_json@5"},
           {"{\f}", "bad_json@1"},
           {"{\xC2\xA0}", "bad_json@1"},
           {"{\"a\":1;}", "bad_json@6"},
           {"{\"a\"=1}", "bad_json@4"},
           {"{\"a\":(1)}", "bad_json@5"},
       }) {
    CAPTURE(text);
    CHECK(verdict(text) == expected);
  }
}

TEST_CASE("what is no value at all is told in these words, at the start of the token") {
  for (std::string_view text :
       {"not json", "nul", "NaN", "+1", "tru", "f", "undefined", "'a'", "}", "]", ",", ":"}) {
    const Fault fault = judge(text);
    CAPTURE(text);
    CHECK(fault.reason == Reason::bad_json);
    CHECK(fault.offset == 0);
    CHECK(fault.detail == "expected a value");
  }
}

TEST_CASE("a text that ends too early is refused at its length") {
  const std::string_view whole = R"({"a":[1.5e3,{"b":"cA\"\ud83d\ude00d"},"x\n"],"e":-0,"line_no":12})";
  for (size_t length = 0; length < whole.size(); ++length) {
    CHECK(verdict(whole.substr(0, length)) == "bad_json@" + std::to_string(length));
  }
  CHECK(verdict("") == "bad_json@0");
  CHECK(verdict("  ") == "bad_json@2");
  CHECK(verdict("{\"a\":\"\xE2\x82") == "bad_json@8");
  CHECK(verdict("{\"a\":tr") == "bad_json@5");
}

TEST_CASE("a text that is JSON but no object is told apart from one that is not JSON") {
  for (std::string_view text :
       {"1", " null ", "\"x\"", "true", "[]", "[1,{\"a\":[]}]", "-1.5e3", "[{\"a\":1}]"}) {
    CAPTURE(text);
    CHECK(verdict(text) == "not_an_object@0");
  }
  CHECK(verdict(nested(5000, "[", "]", "")) == "not_an_object@0");
  CHECK(verdict("[1") == "bad_json@2");
  CHECK(verdict("[1,]") == "bad_json@3");
  CHECK(verdict("1 2") == "bad_json@2");
  CHECK(verdict("01") == "bad_json@1");
  CHECK(verdict("[1]]") == "bad_json@3");
  CHECK(verdict("\"\xFF\"") == "bad_utf8@1");
  CHECK(verdict("\xFF") == "bad_utf8@0");
  CHECK(verdict("{}{}") == "bad_json@2");
}

TEST_CASE("UTF-8 is taken when it is well-formed and only then") {
  for (std::string_view good : {"\u00e9", "\u07ff", "\u0800", "\ud7ff", "\ue000", "\uffff", "\U00010000",
                                "\U0010ffff", "\x7f", "\u2028", "\u0080"}) {
    CAPTURE(good);
    CHECK(verdict("{\"a\":\"" + std::string(good) + "\"}") == "ok");
    CHECK(verdict("{\"" + std::string(good) + "\":1}") == "ok");
  }
  for (std::string_view bad : {"\x80",
                               "\xBF",
                               "\xC0\x80",
                               "\xC1\xBF",
                               "\xC3",
                               "\xC3(",
                               "\xE0\x80\x80",
                               "\xE0\x9F\xBF",
                               "\xED\xA0\x80",
                               "\xED\xBF\xBF",
                               "\xE2\x82",
                               "\xE2(\xA1",
                               "\xF0\x80\x80\x80",
                               "\xF0\x8F\xBF\xBF",
                               "\xF4\x90\x80\x80",
                               "\xF5\x80\x80\x80",
                               "\xF8\x88\x80\x80\x80",
                               "\xFE",
                               "\xFF",
                               "\xF0\x9F\x98",
                               "\xF0\x9F\x98z"}) {
    CAPTURE(bad);
    CHECK(verdict("{\"a\":\"x" + std::string(bad) + "\"}") == "bad_utf8@7");
    CHECK(verdict("{\"a\":\"0123456789abcdef0123456789abcdef0123456789" + std::string(bad) + "yy\"}") ==
          "bad_utf8@48");
    CHECK(verdict("{\"a\":" + std::string(bad) + "}") == "bad_utf8@5");
  }
  CHECK(verdict("{}\xFF") == "bad_utf8@2");
  CHECK(verdict("{\"a\":\"\xC3\xA9\xFF\"}") == "bad_utf8@8");
}

TEST_CASE("a lone surrogate escape is bad UTF-8, a pair is not") {
  CHECK(verdict(R"({"a":"\ud83d\ude00"})") == "ok");
  CHECK(verdict(R"({"a":"\uD83D\uDE00\uDBFF\uDFFF"})") == "ok");
  CHECK(verdict(R"({"a":"\ud800"})") == "bad_utf8@6");
  CHECK(verdict(R"({"a":"x\udc00"})") == "bad_utf8@7");
  CHECK(verdict(R"({"a":"\ud800\ud800"})") == "bad_utf8@6");
  CHECK(verdict(R"({"a":"\ud800\n"})") == "bad_utf8@6");
  CHECK(verdict(R"({"a":"\ud800x"})") == "bad_utf8@6");
  CHECK(verdict(R"({"a":"\ude00\ud83d"})") == "bad_utf8@6");
  CHECK(verdict(R"({"\ud800":1})") == "bad_utf8@2");
  CHECK(verdict(R"({"a":"\ud7ff\ue000"})") == "ok");
}

TEST_CASE("the same key twice in one object is refused at any level, compared decoded") {
  CHECK(verdict(R"({"a":1,"a":2})") == "duplicate_key@7");
  CHECK(verdict(R"({"a":1,"\u0061":2})") == "duplicate_key@7");
  CHECK(verdict(R"({"\u0061":1,"a":2})") == "duplicate_key@12");
  CHECK(verdict(R"({"x":{"a":1,"a":2}})") == "duplicate_key@12");
  CHECK(verdict(R"({"x":[[{"b":1,"a":1,"b":2}]]})") == "duplicate_key@20");
  CHECK(verdict(R"({"ctx":{"a":1,"b":2,"a":2}})") == "duplicate_key@20");
  CHECK(verdict(R"({"stream":"log","stre\u0061m":"log"})") == "duplicate_key@16");
  CHECK(verdict(R"({"":1,"":2})") == "duplicate_key@6");
  CHECK(verdict("{\"\u00e9\":1,\"\\u00e9\":2}") == "duplicate_key@8");
  CHECK(verdict(
            R"({"a key that is longer than sixteen bytes":1,"a key that is longer than sixteen byteZ":1})") ==
        "ok");
  CHECK(verdict(R"({"a key of more than sixteen bytes":1,"a key of more than\u0020sixteen bytes":1})") ==
        "duplicate_key@38");
  CHECK(verdict(R"({"a":{"a":{"a":[{"a":1},{"a":2}]}},"b":{"a":1},"c":{"a":1}})") == "ok");
  CHECK(verdict(R"({"ts":1,"ts\u0000":2})") == "ok");
  CHECK(verdict(R"({"a":1,"b":{"a":1},"a":2})") == "duplicate_key@19");
}

TEST_CASE("duplicates are found among many keys") {
  for (int keys : {10, 63, 64, 65, 66, 500, 1023}) {
    for (int twin : {0, keys / 2, keys - 1}) {
      std::string text = object_of(keys);
      text.pop_back();
      const size_t offset = text.size() + 1;
      text += ",\"k" + std::to_string(twin) + "\":1}";
      CHECK(verdict(text) == "duplicate_key@" + std::to_string(offset));
      CHECK(verdict("{\"x\":" + text + "}") == "duplicate_key@" + std::to_string(offset + 5));
    }
  }
}

TEST_CASE("an object takes 1024 keys and not one more") {
  for (std::string_view prefix : {"k", "a much longer prefix of a key "}) {
    const std::string most = object_of(1024, prefix), more = object_of(1025, prefix);
    const size_t offset = more.rfind(',') + 1;
    CHECK(verdict(most) == "ok");
    CHECK(verdict(more) == "too_many_keys@" + std::to_string(offset));
    CHECK(verdict("{\"ctx\":" + most + "}") == "ok");
    CHECK(verdict("{\"ctx\":" + more + "}") == "too_many_keys@" + std::to_string(offset + 7));
    CHECK(verdict("{\"x\":[" + most + "," + most + "]}") == "ok");
    CHECK(verdict("{\"x\":[" + more + "]}") == "too_many_keys@" + std::to_string(offset + 6));
  }
  // All fields that list their members, full.
  std::string text = "{";
  for (const char* field : {"ctx", "ctx_before", "ctx_after", "ctx_diff", "ctx_set", "msg_in"}) {
    text += std::string(text.size() > 1 ? "," : "") + "\"" + field + "\":" + object_of(1024);
  }
  FieldTable table;
  CHECK_FALSE(judge(text + "}", table));
  CHECK(table.members() == 6 * 1024);
  CHECK(table[Field::msg_in].first_member == 5 * 1024);
}

TEST_CASE("depth 64 is taken, the bracket of depth 65 is refused") {
  CHECK(verdict(nested(64, "{\"a\":", "}", "1")) == "ok");
  CHECK(verdict(nested(65, "{\"a\":", "}", "1")) == "too_deep@320");
  CHECK(verdict("{\"a\":" + nested(63, "[", "]", "") + "}") == "ok");
  CHECK(verdict("{\"a\":" + nested(64, "[", "]", "") + "}") == "too_deep@68");
  CHECK(verdict("{\"ctx\":{\"a\":" + nested(62, "[", "]", "") + "}}") == "ok");
  CHECK(verdict("{\"ctx\":{\"a\":" + nested(63, "[", "]", "") + "}}") == "too_deep@74");
  CHECK(verdict("{\"msg_out\":[{\"a\":" + nested(61, "[", "]", "") + "}]}") == "ok");
  CHECK(verdict("{\"msg_out\":[{\"a\":" + nested(62, "[", "]", "") + "}]}") == "too_deep@78");
  CHECK(verdict("{\"a\":" + nested(100'000, "[", "]", "") + "}") == "too_deep@68");
}

TEST_CASE("every reserved field takes its type and null, and is named when it has another") {
  struct Row {
    std::string_view fields, good;
  };
  const Row rows[] = {
      {"service span_id parent_span_id correlation_id scenario step_name t_enter t_exit status kind message "
       "logger name rule",
       "\""},
      {"trace_id ctx_id", "\"1"},
      {"line_no step_index work_index msg_out_count duration_ms", "1"},
      {"ctx_before ctx_after ctx_diff ctx ctx_set msg_in attributes resource error", "{"},
      {"ctx_unset msg_out", "["},
      {"ts level", "\"1{[t"},
  };
  const std::pair<char, std::string_view> values[] = {{'"', "\"x\""}, {'1', "17"},   {'{', "{}"},
                                                      {'[', "[]"},    {'t', "true"}, {'t', "false"}};
  for (const Row& row : rows) {
    for (size_t begin = 0; begin < row.fields.size();) {
      const size_t end = std::min(row.fields.find(' ', begin), row.fields.size());
      const auto name = std::string(row.fields.substr(begin, end - begin));
      begin = end + 1;
      CAPTURE(name);
      CHECK(verdict("{\"" + name + "\":null}") == "ok");
      for (auto [kind, value] : values) {
        CAPTURE(value);
        const Fault fault = judge("{\"" + name + "\": " + std::string(value) + "}");
        if (row.good.find(kind) != row.good.npos) {
          CHECK_FALSE(fault);
        } else {
          CHECK(fault.reason == Reason::bad_field);
          CHECK(fault.offset == name.size() + 5);
          CHECK(fault.detail.substr(0, name.size() + 1) == name + ":");
        }
      }
      // Reserved at the top only.
      CHECK(verdict("{\"x\":{\"" + name + "\":5,\"y\":[{\"" + name + "\":true}]}}") == "ok");
    }
  }
}

TEST_CASE("integers have neither fraction nor exponent, durations are finite") {
  CHECK(verdict(R"({"line_no":-12})") == "ok");
  CHECK(verdict(R"({"line_no":123456789012345678901234567890})") == "ok");
  CHECK(verdict(R"({"line_no":1.0})") == "bad_field@11");
  CHECK(verdict(R"({"step_index":1e2})") == "bad_field@14");
  CHECK(verdict(R"({"work_index":12345678901234567890.5})") == "bad_field@14");
  CHECK(verdict(R"({"msg_out_count":1.})") == "bad_json@19");
  CHECK(verdict(R"({"duration_ms":1e308})") == "ok");
  CHECK(verdict(R"({"duration_ms":1e400})") == "bad_field@15");
  CHECK(verdict(R"({"duration_ms":-1e400})") == "bad_field@15");
  CHECK(verdict(R"({"duration_ms":1e-400})") == "ok");
  CHECK(verdict(R"({"duration_ms":0e400})") == "ok");
  CHECK(verdict(R"({"duration_ms":1.7976931348623157e308})") == "ok");
  CHECK(verdict(R"({"duration_ms":1.7976931348623159e308})") == "bad_field@15");
  CHECK(verdict("{\"duration_ms\":" + std::string(308, '9') + "}") == "ok");
  CHECK(verdict("{\"duration_ms\":" + std::string(310, '9') + "}") == "bad_field@15");
  CHECK(verdict("{\"duration_ms\":0." + std::string(400, '0') + "1}") == "ok");
  CHECK(verdict(R"({"x":1e400,"ctx":{"duration_ms":1e400}})") == "ok");
  CHECK(verdict("{\"x\":" + std::string(10'000, '7') + "}") == "ok");
}

TEST_CASE("elements of reserved arrays are checked") {
  CHECK(verdict(R"({"msg_out":[]})") == "ok");
  CHECK(verdict(R"({"msg_out":[ {"type_name":"A"} , null,{}]})") == "ok");
  CHECK(verdict(R"({"msg_out":[{},5]})") == "bad_field@15");
  CHECK(verdict(R"({"msg_out":[[]]})") == "bad_field@12");
  CHECK(verdict(R"({"msg_out":["x"]})") == "bad_field@12");
  CHECK(verdict(R"({"msg_out":[true]})") == "bad_field@12");
  CHECK(verdict(R"({"msg_out":[tru]})") == "bad_json@12");
  CHECK(verdict(R"({"ctx_unset":["a","b.c"]})") == "ok");
  CHECK(verdict(R"({"ctx_unset":["a",null]})") == "bad_field@18");
  CHECK(verdict(R"({"ctx_unset":[1]})") == "bad_field@14");
  CHECK(verdict(R"({"ctx_unset":[{}]})") == "bad_field@14");
  CHECK(verdict(R"({"ctx_unset":["a" "b"]})") == "bad_json@18");
  CHECK(verdict(R"({"ctx_unset":["a",]})") == "bad_json@18");
}

TEST_CASE("the stream is the record's or the listener's") {
  FieldTable table;
  for (auto [name, stream] : {std::pair{"trace", Stream::trace},
                              {"tracing", Stream::trace},
                              {"logs", Stream::log},
                              {"lo\\u0067", Stream::log},
                              {"metric", Stream::telemetry},
                              {"alerts", Stream::monitoring}}) {
    CHECK_FALSE(judge("{\"stream\":\"" + std::string(name) + "\"}", table, {}));
    CHECK(table.stream == stream);
  }
  CHECK_FALSE(judge(R"({"str\u0065am":"logs"})", table, Stream::trace));
  CHECK(table.stream == Stream::log);
  CHECK(table.has(Field::stream));
  CHECK(table[Field::stream].key_escaped);
  CHECK_FALSE(judge("{}", table, Stream::monitoring));
  CHECK(table.stream == Stream::monitoring);
  CHECK_FALSE(judge(R"({"stream":null})", table, Stream::telemetry));
  CHECK(table.stream == Stream::telemetry);
  CHECK(table.sent(Field::stream));
  CHECK_FALSE(table.has(Field::stream));
  CHECK(verdict("{}", {}) == "no_stream@0");
  CHECK(verdict(R"({"a":1,"stream":null})", {}) == "no_stream@0");
  CHECK(verdict(R"({"stream":"nope"})") == "unknown_stream@10");
  CHECK(verdict(R"({"stream":"Log"})") == "unknown_stream@10");
  CHECK(verdict(R"({"stream":""})") == "unknown_stream@10");
  CHECK(verdict(R"({"stream":5})") == "bad_field@10");
  CHECK(verdict(R"({"stream":["log"]})") == "bad_field@10");
}

TEST_CASE("the first fault by position wins") {
  CHECK(verdict(R"({"ctx":5,"a":01})") == "bad_field@7");
  CHECK(verdict(R"({"a":01,"ctx":5})") == "bad_json@6");
  CHECK(verdict(R"({"stream":"nope","a":1,"a":2})") == "unknown_stream@10");
  CHECK(verdict(R"({"a":1,"a":x})") == "duplicate_key@7");
  CHECK(verdict("{\"ctx\":\"\xFF\"}") == "bad_field@7");
  CHECK(verdict("{\"a\":\"\xFF\",\"ctx\":1") == "bad_utf8@6");
  CHECK(verdict(R"({"a":1}})", {}) == "bad_json@7");
}

TEST_CASE("the table says where the reserved fields and their members are") {
  const std::string_view line = R"({"x":0, "stream":"trace" ,"ctx_before":{"a" : 1,"\u0062":{"c":[2]}},)"
                                R"("msg_in":{"type_name":"T"},)"
                                R"("error":{"type":"E"},"ctx_after":{},"trace_id":12,"line_no":null,)"
                                R"("msg_out":[{"type_name":"U"}],"ctx_diff":null})";
  FieldTable table;
  REQUIRE_FALSE(judge(line, table, {}));
  CHECK(table.stream == Stream::trace);
  CHECK(table.member_count == 10);
  const FieldValue& before = table[Field::ctx_before];
  CHECK(before.key.of(line) == "\"ctx_before\"");
  CHECK(before.value.of(line) == R"({"a" : 1,"\u0062":{"c":[2]}})");
  CHECK(before.type == JsonType::object);
  CHECK(before.ordinal == 2);
  REQUIRE(before.member_count == 2);
  const Member& a = table.members_of(Field::ctx_before)[0];
  const Member& b = table.members_of(Field::ctx_before)[1];
  CHECK(a.key.of(line) == "\"a\"");
  CHECK(a.value.of(line) == "1");
  CHECK(a.type == JsonType::number);
  CHECK_FALSE(a.key_escaped);
  CHECK(b.key.of(line) == R"("\u0062")");
  CHECK(b.value.of(line) == R"({"c":[2]})");
  CHECK(b.type == JsonType::object);
  CHECK(b.key_escaped);
  REQUIRE(table[Field::msg_in].member_count == 1);
  CHECK(table.members_of(Field::msg_in)[0].value.of(line) == "\"T\"");
  CHECK(table[Field::error].member_count == 0);
  CHECK(table[Field::ctx_after].member_count == 0);
  CHECK(table[Field::trace_id].value.of(line) == "12");
  CHECK(table[Field::trace_id].ordinal == 6);
  CHECK(table.sent(Field::line_no));
  CHECK_FALSE(table.has(Field::line_no));
  CHECK(table[Field::msg_out].value.of(line) == R"([{"type_name":"U"}])");
  CHECK(table[Field::msg_out].member_count == 0);
  CHECK(table[Field::ctx_diff].ordinal == 9);
  CHECK_FALSE(table.sent(Field::ctx));
  CHECK_FALSE(table.sent(Field::service));
  CHECK(table.members() == 3);
}

TEST_CASE("every reserved field is found by its name, escaped or not") {
  for (size_t i = 0; i < kFieldCount; ++i) {
    const auto name = std::string(field_name(Field(i)));
    if (Field(i) == Field::stream) continue;
    CAPTURE(name);
    FieldTable table;
    CHECK_FALSE(judge("{\"" + name + "\":null,\"" + name + "x\":1,\"" + name.substr(1) + "\":null}", table));
    CHECK(table.sent(Field(i)));
    CHECK(table[Field(i)].ordinal == 0);
    char escape[8];
    std::snprintf(escape, sizeof escape, "\\u%04x", unsigned(name.back()));
    CHECK_FALSE(judge("{\"y\":1,\"" + name.substr(0, name.size() - 1) + escape + "\" :null}", table));
    CHECK(table.sent(Field(i)));
    CHECK(table[Field(i)].ordinal == 1);
    CHECK(table[Field(i)].key_escaped);
  }
}

TEST_CASE("details never repeat what was sent") {
  for (std::string_view text :
       {"{\"secret\":secret}", "{\"secret\":\"\xFFsecret\"}", "{\"secret\":1,\"secret\":2}",
        "{\"stream\":\"secret\"}", "{\"ctx\":\"secret\"}", "secret"}) {
    CHECK(judge(text).detail.find("secret") == std::string_view::npos);
  }
}
