#include "tests/unit/decode/decode_fixture.h"

using namespace weir;
using namespace std::literals;

namespace {

/// The elements one behind the other with `|`, or the fault.
std::string split(std::string_view text) {
  static ArraySplitter splitter;
  std::string first;
  for (std::string_view behind : {""sv, ",1]"sv, "]"sv, "\""sv, "0"sv}) {
    const Payload payload(text, behind);
    const Fault fault = splitter.split(payload.text());
    std::string out;
    if (fault) {
      out = std::string(reason_name(fault.reason)) + "@" + std::to_string(fault.offset);
    } else {
      for (const Span span : splitter.elements()) out += std::string(span.of(payload.text())) + "|";
    }
    if (behind.empty()) first = out;
    CHECK(out == first);
  }
  return first;
}

}  // namespace

TEST_CASE("a line is an array line when its first byte behind white space is a bracket") {
  CHECK(is_array_line("[1]"));
  CHECK(is_array_line(" \t["));
  CHECK_FALSE(is_array_line("{}"));
  CHECK_FALSE(is_array_line(""));
  CHECK_FALSE(is_array_line("   "));
}

TEST_CASE("an array line is split into its elements") {
  CHECK(split("[]") == "");
  CHECK(split(" [ ] ") == "");
  CHECK(split("[1]") == "1|");
  CHECK(split("[{\"a\":1},{\"b\":[1,{\"c\":2}]} , [] ,{},[[1],2],\"x,y]\",null ]\r") ==
        "{\"a\":1}|{\"b\":[1,{\"c\":2}]}|[]|{}|[[1],2]|\"x,y]\"|null|");
}

TEST_CASE("a fault of grammar concerns the whole array line") {
  CHECK(split("[") == "bad_json@1");
  CHECK(split("[1") == "bad_json@2");
  CHECK(split("[1,") == "bad_json@3");
  CHECK(split("[1,]") == "bad_json@3");
  CHECK(split("[{\"a\":1},{\"b\":01}]") == "bad_json@15");
  CHECK(split("[{\"a\":1}]x") == "bad_json@9");
  CHECK(split("[{\"a\" 1}]") == "bad_json@6");
  CHECK(split("[{\"a\":1]") == "bad_json@7");
  CHECK(split("[{1:1}]") == "bad_json@2");
  CHECK(split("[\"a\tb\"]") == "bad_json@3");
  CHECK(split("[\"\\x\"]") == "bad_json@2");
  CHECK(split("[nul]") == "bad_json@1");
  CHECK(split("[{}}") == "bad_json@3");
  CHECK(split("[\xFF]") == "bad_json@1");
}

TEST_CASE("what is judged per element does not concern the array line") {
  CHECK(split("[\"\xFF\",\"\\ud800\",{\"a\":1,\"a\":2}]") == "\"\xFF\"|\"\\ud800\"|{\"a\":1,\"a\":2}|");
}

TEST_CASE("an array line may be as deep as its elements may be, and one more") {
  const std::string most = std::string(65, '[') + std::string(65, ']');
  CHECK(split(most).size() == most.size() - 2 + 1);
  CHECK(split("[" + most + "]") == "too_deep@65");
  CHECK(split(std::string(100'000, '[')) == "too_deep@65");
}
