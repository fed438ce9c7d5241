#include <functional>
#include <random>

#include "tests/unit/decode/shape_pair.h"

using namespace weir;
using namespace std::literals;

namespace {

constexpr auto kTrace =
    R"({"stream":"trace","trace_id":"0af7","line_no":7,"step_name":"decode","duration_ms":12.50,)"
    R"("msg_in":{"type_name":"T","value":{"a":[1,2,{"b":null}]}},"msg_out":[{"type_name":"X"},{"type_name":"Y"}],)"
    R"("ctx_before":{"id":1,"ok":true,"deep":{"a":"x"},"none":{}},"ctx_after":{"id":2,"ok":false,"deep":{"a":"y"},"none":{}},)"
    R"("more":[],"error":null})"sv;

std::string replaced(std::string_view text, std::string_view what, std::string_view by) {
  std::string out(text);
  const size_t at = out.find(what);
  REQUIRE(at != out.npos);
  return out.replace(at, what.size(), by);
}

}  // namespace

TEST_CASE("the second record of a shape is known, and its fields are where they are") {
  with_each([](ShapePair& pair) {
    CHECK_FALSE(pair.judge(kTrace));
    CHECK(pair.judge(kTrace));
    for (std::string_view id :
         {"", "x", "a much longer name than the one that was there before, longer than one block of bytes",
          "with \\\"quotes\\\" and \\\\", "\\u00e9\\ud83d\\ude00", "\u00e9\u4e2d\U0001F600", "}{][,:"})
      CHECK(pair.judge(replaced(kTrace, "0af7", id)));
    for (std::string_view number : {"0", "-0", "12345678901234567890123", "-17"}) {
      CHECK(pair.judge(replaced(kTrace, "\"line_no\":7", "\"line_no\":" + std::string(number))));
      CHECK(
          pair.judge(replaced(kTrace, "[1,2,", "[" + std::string(number) + "," + std::string(number) + ",")));
    }
    for (std::string_view number : {"0.5", "-0.25", "null", "1234567890.0987654321"})
      CHECK(pair.judge(replaced(kTrace, "12.50", number)));
    for (std::string_view bare : {"null", "true", "3", "0.1", "1e5", "-1.25E-3"})
      CHECK(pair.judge(replaced(kTrace, "\"ok\":true", "\"ok\":" + std::string(bare))));
  });
}

TEST_CASE("what a shape does not allow is judged by the parser, whatever was accepted before") {
  with_each([](ShapePair& pair) {
    pair.judge(kTrace);
    REQUIRE(pair.judge(kTrace));
    for (std::string_view number : {"01", "1.", "+1", ".5", "-", "1e", "0x1", "", " ", "1 2", "tru", "nulls",
                                    "truefalse", "1\t", "\"\""}) {
      pair.judge(replaced(kTrace, "\"line_no\":7", "\"line_no\":" + std::string(number)));
      pair.judge(replaced(kTrace, "[1,2,", "[" + std::string(number) + ",2,"));
      pair.judge(replaced(kTrace, "12.50", number));
    }
    for (std::string_view type : {"1.5", "true", "1e2", "[]", "{}"})
      pair.judge(replaced(kTrace, "\"line_no\":7", "\"line_no\":" + std::string(type)));
    pair.judge(replaced(kTrace, "12.50", "1e400"));
    pair.judge(replaced(kTrace, "12.50", "1" + std::string(400, '0')));
    pair.judge(replaced(kTrace, "{\"type_name\":\"Y\"}", "null"));
    pair.judge(replaced(kTrace, "{\"type_name\":\"Y\"}", "7"));
    for (std::string_view id : {"\\", "\\x", "\\u12", "\\ud800", "\\ud800\\u0041", "\xC3", "\xED\xA0\x80",
                                "\xFF", "\t", "\x7F", "\x01", "\"", "\\\""})
      pair.judge(replaced(kTrace, "0af7", id));
    pair.judge(replaced(kTrace, "\"trace\"", "\"nonsense\""));
    pair.judge(replaced(kTrace, "\"trace\"", "\"log\""));
    pair.judge(replaced(kTrace, "\"trace\"", "null"));
    pair.judge(replaced(kTrace, "\"ok\":true", "\"id\":true"));
    pair.judge(std::string(kTrace) + " ");
    pair.judge(" " + std::string(kTrace));
    pair.judge(std::string(kTrace) + "}");
    pair.judge("x" + std::string(kTrace));
    for (size_t size = 0; size < kTrace.size(); ++size) {
      pair.judge(kTrace.substr(0, size), kTrace.substr(size));
      pair.judge(kTrace.substr(size));
    }
    CHECK(pair.judge(kTrace));
  });
}

TEST_CASE("a record that takes the listener's stream is known with and without one") {
  with_each([](ShapePair& pair) {
    for (int i = 0; i < 3; ++i) {
      CHECK(pair.judge(R"({"message":"a"})", "", Stream::log) == (i > 0));
      CHECK_FALSE(pair.judge(R"({"message":"a"})", "", std::nullopt));
      CHECK(pair.judge(R"({"message":"a"})", "", Stream::telemetry));
    }
  });
}

TEST_CASE("shapes that begin alike, in any order, with and without white space") {
  const std::vector<std::string> texts = {R"({"stream":"log","a":1})",
                                          R"({"stream":"log","a":"1"})",
                                          R"({"stream":"log","a":[1]})",
                                          R"({"stream":"log","a":[1,2]})",
                                          R"({"stream":"log","a":{"b":1}})",
                                          R"({"stream":"log","a":{}})",
                                          R"({"stream":"log","a":1,"b":"2"})",
                                          R"({"stream":"log","ab":1})",
                                          R"({"stream": "log", "a": 1})",
                                          R"({ "stream" : "log" , "a" : "x" } )",
                                          R"({"stream":"log","a":null})",
                                          R"({"stream":"trace","a":1})",
                                          R"({"stream":"log"})",
                                          R"({"a":1,"stream":"log"})",
                                          R"({"a":[1],"stream":"log"})",
                                          R"({"a":[[2]],"stream":"log"})",
                                          R"({"stream":"log","\u0061":"1"})",
                                          R"({"stream":"log","a":[true,false,null,-1.5e3]})"};
  with_each([&](ShapePair& pair) {
    std::mt19937 random(7);
    for (int i = 0; i < 400; ++i) pair.judge(texts[random() % texts.size()]);
    for (const std::string& text : texts) {
      CAPTURE(text);
      CHECK(pair.judge(text) == (text.find("\\u") == text.npos));
    }
  });
}

TEST_CASE("an end that begins as another end") {
  with_each([](ShapePair& pair) {
    for (const char* value : {"\"x\"", "7", "[]"}) {
      const std::string text = std::string("{\"a\":") + value + "}";
      for (int i = 0; i < 3; ++i)
        for (const char* behind : {"", " ", "  "}) CHECK(pair.judge(text + behind) == (i > 0));
    }
  });
}

TEST_CASE("glue of more than 32 bytes, and records whose quotes fill their blocks") {
  with_each([](ShapePair& pair) {
    const std::string long_key(90, 'k');
    const std::string text = "{\"" + long_key + "\":1,\"" + long_key + "2\":{\"" + long_key +
                             "\":\"v\",\"e\":{},\"f\":{},\"g\":[[],[]]},\"z\":\"\"}";
    std::string dense = "{\"a\":[";
    for (int i = 0; i < 100; ++i) dense += "\"\",";
    dense += "\"\"]}";
    const std::string very_long = "{\"" + std::string(300, 'k') + "\":1}";
    for (int i = 0; i < 2; ++i) {
      CHECK(pair.judge(text) == (i > 0));
      CHECK(pair.judge(dense) == (i > 0));
      CHECK_FALSE(pair.judge(very_long));
    }
    pair.judge(replaced(text, "kkkk2", "kkk12"));
    for (size_t size = 0; size < text.size(); ++size) pair.judge(text.substr(0, size), text.substr(size));
  });
}

TEST_CASE("very long records are left to the parser, long ones are known") {
  with_each([](ShapePair& pair) {
    for (size_t size : {60'000u, 65'520u, 65'521u, 65'522u, 70'000u}) {
      const std::string text = "{\"stream\":\"log\",\"message\":\"" + std::string(size, 'x') + "\"}";
      pair.judge(text);
      CHECK(pair.judge(text) == (text.size() <= 65'535));
    }
  });
}

TEST_CASE("ever new shapes do not pile up, and known ones come back") {
  with_each([](ShapePair& pair) {
    for (int i = 0; i < 6000; ++i) {
      const std::string text = "{\"stream\":\"log\",\"k" + std::to_string(i) + "\":1,\"a\":\"b\"}";
      pair.judge(text);
    }
    int known = 0;
    for (int i = 0; i < 30'000 && known < 100; ++i) known += pair.judge(R"({"stream":"log","message":"m"})");
    CHECK(known == 100);
  });
}

TEST_CASE("random values in random shapes are judged as by a decoder without experience") {
  const unsigned seed = std::random_device{}();
  MESSAGE("seed " << seed);
  std::mt19937 random(seed);
  const std::vector<std::string> keys = {"stream", "trace_id",   "line_no",  "ctx_before", "ctx_after",
                                         "msg_in", "msg_out",    "a",        "b",          "duration_ms",
                                         "level",  "attributes", "ctx_unset"};
  const std::vector<std::string> scalars = {"null",
                                            "true",
                                            "false",
                                            "0",
                                            "-1",
                                            "12.5",
                                            "1e3",
                                            "123456789012345678",
                                            "\"\"",
                                            "\"x\"",
                                            "\"log\"",
                                            "\"trace\"",
                                            "\"a longer text, with \\\"escapes\\\" \\u00e9\"",
                                            "\"\u00e9\"",
                                            "01",
                                            "nul",
                                            "\"\\x\"",
                                            "\"\t\""};
  const auto pick = [&](const auto& from) { return from[random() % from.size()]; };
  const std::function<std::string(int)> value = [&](int depth) -> std::string {
    const auto kind = random() % 10;
    if (depth > 2 || kind < 7)
      return scalars[random() % (random() % 8 == 0 ? scalars.size() : scalars.size() - 4)];
    std::string out = kind == 7 ? "[" : "{";
    for (auto n = random() % 3, i = n; i > 0; --i) {
      if (i < n) out += ',';
      if (kind != 7) out += "\"" + pick(keys) + "\":";
      out += value(depth + 1);
    }
    return out + (kind == 7 ? "]" : "}");
  };
  with_each([&](ShapePair& pair) {
    int known = 0;
    for (int i = 0; i < 8000; ++i) {
      std::string text = "{";
      const size_t first = random() % 4;
      for (size_t n = 0, count = 1 + random() % 4; n < count; ++n)
        text += (n > 0 ? ",\"" : "\"") + keys[(first + n * 2) % keys.size()] + "\":" + value(0);
      known += pair.judge(text + "}");
    }
    CHECK(known > 30);
  });
}
