#include "agent/process/signature.h"

#include <string>

#include "tests/unit/process/run_processor.h"

using namespace weir;
using weir::test::Runner;

namespace {

std::string run(SignatureMode mode, std::string_view record) {
  const auto processor = make_signature({mode});
  return std::string(Runner(*processor).run(record));
}
std::string type_only(std::string_view record) { return run(SignatureMode::type_only, record); }
std::string identity(std::string_view record) { return run(SignatureMode::type_and_identity, record); }
std::string hash(std::string_view record) { return run(SignatureMode::hash, record); }

std::string canonical(std::string_view value) {
  std::string out;
  append_canonical(value, out);
  return out;
}

// sha256(b'{"id":7}') and sha256(b'null') by Python's hashlib.
constexpr char kHashId7[] = "a3c90e3b7448d23d9eacebd0ebf15cae100e21f9b2c688f3f9d238edcd26d67f";
constexpr char kHashNull[] = "74234e98afe7498fb5daf1f36ac2d78acc339464f950703b8c019892f982b90b";

}  // namespace

TEST_CASE("type_only makes identity and hash null where they were sent") {
  CHECK(type_only(R"({"msg_in":{"type_name":"T","identity":"a","hash":"b"}})") ==
        R"({"msg_in":{"type_name":"T","identity":null,"hash":null}})");
  CHECK(type_only(R"({"msg_in":{"hash":"b","type_name":"T"}})") ==
        R"({"msg_in":{"hash":null,"type_name":"T"}})");
}

TEST_CASE("type_only leaves absent identity and hash absent") {
  CHECK(type_only(R"({"msg_in":{"type_name":"T"},"msg_out":[{"type_name":"U"}]})") ==
        R"({"msg_in":{"type_name":"T"},"msg_out":[{"type_name":"U"}]})");
}

TEST_CASE("a signature that needs no change gets no edit") {
  for (const auto mode : {SignatureMode::type_only, SignatureMode::type_and_identity, SignatureMode::hash}) {
    const auto processor = make_signature({mode});
    Runner runner(*processor);
    runner.run(R"({"msg_in":{ "type_name" : "T" , "identity" : null, "hash":null },"msg_out":[null,{}]})");
    CHECK(!runner.edited());
    runner.run(R"({"msg_in":null,"msg_out":null})");
    CHECK(!runner.edited());
    runner.run(R"({"x":{"value":1,"identity":"a","hash":"b"}})");
    CHECK(!runner.edited());
  }
}

TEST_CASE("value never leaves the agent, wherever it stands in the signature") {
  for (const auto mode : {SignatureMode::type_only, SignatureMode::type_and_identity, SignatureMode::hash}) {
    CHECK(run(mode, R"({"msg_in":{"value":{"a":1},"hash":"h","identity":"i"}})").find("value") ==
          std::string::npos);
  }
  CHECK(type_only(R"({"msg_in":{"value":5}})") == R"({"msg_in":{}})");
  CHECK(type_only(R"({"msg_in":{"value":5,"type_name":"T"}})") == R"({"msg_in":{"type_name":"T"}})");
  CHECK(type_only(R"({"msg_in":{"type_name":"T","value":5}})") == R"({"msg_in":{"type_name":"T"}})");
  CHECK(type_only(R"({"msg_in":{"a":1,"value":5,"b":2}})") == R"({"msg_in":{"a":1,"b":2}})");
  CHECK(type_only(R"({"msg_in":{"hash":1,"value":5,"identity":2}})") ==
        R"({"msg_in":{"hash":null,"identity":null}})");
  CHECK(type_only(R"({"msg_in":{"value":5,"hash":1,"identity":2}})") ==
        R"({"msg_in":{"hash":null,"identity":null}})");
  CHECK(type_only(R"({"msg_in":{"hash":1,"identity":2,"value":5}})") ==
        R"({"msg_in":{"hash":null,"identity":null}})");
  CHECK(type_only(R"({"msg_in":{"v\u0061lue":5,"identit\u0079":1}})") ==
        R"({"msg_in":{"identit\u0079":null}})");
  CHECK(type_only(R"({"msg_in":{"values":5,"valuf":1}})") == R"({"msg_in":{"values":5,"valuf":1}})");
}

TEST_CASE("white space and spelling of what is kept in a signature stay") {
  CHECK(type_only(R"({"msg_in":{ "type_name" : "\u0054" ,  "value" : 1 , "n" : 1E+2 } , "x":1})") ==
        R"({"msg_in":{ "type_name" : "\u0054" , "n" : 1E+2 } , "x":1})");
  CHECK(type_only(R"({"msg_in": { "value" : 1 } })") == R"({"msg_in": {  } })");
}

TEST_CASE("identity is kept when it was sent") {
  CHECK(identity(R"({"msg_in":{"identity":"mine","value":{"id":"x"}}})") ==
        R"({"msg_in":{"identity":"mine"}})");
  CHECK(identity(R"({"msg_in":{"identity":7,"hash":"h"}})") == R"({"msg_in":{"identity":7,"hash":null}})");
}

TEST_CASE("identity is derived from value.id and appended where it was absent") {
  CHECK(identity(R"({"msg_in":{"type_name":"T","value":{"id":"o-1"}}})") ==
        R"({"msg_in":{"type_name":"T","identity":"o-1"}})");
  CHECK(identity(R"({"msg_in":{"value":{"x":{"id":2},"id":"a\u00e9\n"}}})") ==
        R"({"msg_in":{"identity":"a\u00e9\n"}})");
  CHECK(identity(R"({"msg_in":{"value":{"id":1.50E+1}}})") == R"({"msg_in":{"identity":"1.50E+1"}})");
  CHECK(identity(R"({"msg_in":{"value":{"id":true}}})") == R"({"msg_in":{"identity":"true"}})");
  CHECK(identity(R"({"msg_in":{"value":{"i\u0064":false}}})") == R"({"msg_in":{"identity":"false"}})");
}

TEST_CASE("a derived identity takes the place of a null one") {
  CHECK(identity(R"({"msg_in":{"identity":null,"value":{"id":"o-1"},"type_name":"T"}})") ==
        R"({"msg_in":{"identity":"o-1","type_name":"T"}})");
  CHECK(identity(R"({"msg_in":{"value":{"id":12},"identity":null}})") == R"({"msg_in":{"identity":"12"}})");
}

TEST_CASE(
    "nothing is derived from an id that is null, an array or an object, or from a value that is no object") {
  CHECK(identity(R"({"msg_in":{"type_name":"T","value":{"id":null}}})") == R"({"msg_in":{"type_name":"T"}})");
  CHECK(identity(R"({"msg_in":{"type_name":"T","value":{"id":[1]}}})") == R"({"msg_in":{"type_name":"T"}})");
  CHECK(identity(R"({"msg_in":{"identity":null,"value":{"id":{}}}})") == R"({"msg_in":{"identity":null}})");
  CHECK(identity(R"({"msg_in":{"type_name":"T","value":["id"]}})") == R"({"msg_in":{"type_name":"T"}})");
  CHECK(identity(R"({"msg_in":{"type_name":"T","value":"id"}})") == R"({"msg_in":{"type_name":"T"}})");
}

TEST_CASE("hash is kept when it was sent") {
  CHECK(hash(R"({"msg_in":{"hash":"h","value":{"id":7}}})") == R"({"msg_in":{"hash":"h","identity":"7"}})");
}

TEST_CASE("hash is SHA-256 of the canonical value, appended behind identity or in the place of null") {
  const std::string h = kHashId7;
  CHECK(hash(R"({"msg_in":{"type_name":"T","value":{ "id" : 7 }}})") ==
        R"({"msg_in":{"type_name":"T","identity":"7","hash":")" + h + "\"}}");
  CHECK(hash(R"({"msg_in":{"value":{"id":7}}})") == R"({"msg_in":{"identity":"7","hash":")" + h + "\"}}");
  CHECK(hash(R"({"msg_in":{"hash":null,"value":{"id":7},"identity":"i"}})") ==
        R"({"msg_in":{"hash":")" + h + R"(","identity":"i"}})");
}

TEST_CASE("the hash is the one that Python computes") {
  CHECK(
      hash(
          R"v({"msg_in":{"hash":null,"value":{"run_id":"r-1","amount":622.6,"items":[{"sku":"a/b","qty":2},{"qty":1,"sku":"c"}],"note":"dél ai"}}})v") ==
      R"({"msg_in":{"hash":"0eb3523dcb7e3e16a0469ac90c6c7bdcbfe45ce918c476ca579ee563c8f45e39"}})");
}

TEST_CASE("a null value is hashed, and an absent one is not") {
  CHECK(hash(R"({"msg_in":{"value":null}})") == std::string(R"({"msg_in":{"hash":")") + kHashNull + "\"}}");
  CHECK(hash(R"({"msg_in":{"type_name":"T","hash":null}})") == R"({"msg_in":{"type_name":"T","hash":null}})");
}

TEST_CASE("every element of msg_out is a signature of its own, null elements stay") {
  CHECK(
      hash(
          R"({"msg_out":[{"value":null},null,{"hash":"x","value":1}, {"type_name":"T"}],"msg_in":{"value":{"id":7}}})") ==
      std::string(R"({"msg_out":[{"hash":")") + kHashNull +
          R"("},null,{"hash":"x"}, {"type_name":"T"}],"msg_in":{"identity":"7","hash":")" + kHashId7 +
          "\"}}");
}

TEST_CASE("the hash of one value does not leak into the next") {
  const auto processor = make_signature({SignatureMode::hash});
  Runner runner(*processor);
  const std::string first(runner.run(R"({"msg_in":{"value":{"id":7}}})"));
  runner.run(R"({"msg_in":{"value":[1,2,3]}})");
  CHECK(runner.run(R"({"msg_in":{"value":{"id":7}}})") == first);
}

// Expected texts: json.dumps(v, sort_keys=True, separators=(",", ":")) of Python 3.11, hashes by hashlib.
TEST_CASE("the canonical form is that of Python's json") {
  CHECK(canonical(R"( {"b":1,"a":2} )") == R"({"a":2,"b":1})");
  CHECK(
      canonical(
          R"v({"a\u0000":"\"\\\/\b\f\n\r\t\u0001\u001f\u007f","é":"ü€😀","\ud83d\ude00":"\u00e9\u20AC\uD83D\uDE00"})v") ==
      R"v({"a\u0000":"\"\\/\b\f\n\r\t\u0001\u001f\u007f","\u00e9":"\u00fc\u20ac\ud83d\ude00","\ud83d\ude00":"\u00e9\u20ac\ud83d\ude00"})v");
  CHECK(canonical(R"v({"":1,"😀":2,"z":3,"Z":4,"":5,"aa":6,"a":7,"":8,"é":9})v") ==
        R"v({"":5,"Z":4,"a":7,"aa":6,"z":3,"\u007f":8,"\u00e9":9,"\ue000":1,"\ud83d\ude00":2})v");
  CHECK(canonical(
            R"v({"o":{"y":[{"d":1,"c":{"f":null,"e":true}},[],{}],"x":false},"n":[1, 2.5,-3 ,1e+16]})v") ==
        R"v({"n":[1,2.5,-3,1e+16],"o":{"x":false,"y":[{"c":{"e":true,"f":null},"d":1},[],{}]}})v");
  CHECK(canonical(R"v({"b\u0061":1,"b":2,"ba ":3,"a\"":4,"a!":5,"a#":6})v") ==
        R"v({"a!":5,"a\"":4,"a#":6,"b":2,"ba":1,"ba ":3})v");
  CHECK(canonical(R"v("plain")v") == R"v("plain")v");
  CHECK(canonical(R"v([])v") == R"v([])v");
  CHECK(canonical(R"v({})v") == R"v({})v");
  CHECK(canonical(R"v([[[[{"k":[{"j":{}}]}]]]])v") == R"v([[[[{"k":[{"j":{}}]}]]]])v");
  CHECK(canonical(R"v(true)v") == R"v(true)v");
  CHECK(canonical(R"v(-12.75)v") == R"v(-12.75)v");
  CHECK(
      canonical(
          R"v({"run_id":"r-1","amount":622.6,"items":[{"sku":"a/b","qty":2},{"qty":1,"sku":"c"}],"note":"dél ai"})v") ==
      R"v({"amount":622.6,"items":[{"qty":2,"sku":"a/b"},{"qty":1,"sku":"c"}],"note":"d\u00e9l\u2028ai","run_id":"r-1"})v");
}

TEST_CASE("numbers are written into the canonical form as they were sent") {
  CHECK(canonical("[622.60, 1E+2,-0 ,12345678901234567890123,1e400]") ==
        "[622.60,1E+2,-0,12345678901234567890123,1e400]");
}

TEST_CASE("signatures cost no allocation once the buffers have grown") {
  const std::string record =
      R"({"msg_in":{"type_name":"T","identity":null,"value":{"z":{"b":1,"a":2},"id":"o-1","text":"long enough for a heap string \u00e9"}},)"
      R"("msg_out":[{"type_name":"U","hash":"h","value":[1,{"y":1,"x":2}]},null,{"type_name":"V"}]})";
  for (const auto mode : {SignatureMode::type_only, SignatureMode::type_and_identity, SignatureMode::hash}) {
    const auto processor = make_signature({mode});
    Runner runner(*processor);
    runner.once();
    for (int i = 0; i < 3; ++i) runner.run(record);
    const uint64_t before = test::allocations();
    for (int i = 0; i < 100; ++i) runner.run(record);
    CHECK(test::allocations() == before);
  }
}
