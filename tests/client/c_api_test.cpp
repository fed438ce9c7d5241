// What the C interface makes of arguments that are none; client/c/examples and test_cpp_examples.py have the
// rest.
#include <doctest/doctest.h>

#include "client/c/include/weir.h"
#include "tests/client/fake_reader.h"

using weir::test::take_all;

TEST_CASE("C: null texts are empty, labels that are no texts are left out") {
  take_all();
  const weir_arg labels[] = {weir_text("a", nullptr), weir_i64("n", 1), weir_text(nullptr, "x"),
                             weir_text("b", "y")};
  static weir_gauge* const gauge = weir_gauge_new("gauge", nullptr, labels, 4);  // as long as the program
  weir_gauge_set(gauge, 2);
  CHECK(
      weir::test::stable(take_all().at(0)) ==
      R"({"stream":"telemetry","ts":N,"name":"gauge","type":"gauge","value":2,"attributes":{"a":"","":"x","b":"y"}})");
  for (int i = 0; i < 2; ++i)
    weir_log(WEIR_LEVEL_INFO, "names", i == 0 ? weir_i64(nullptr, 1) : weir_text(nullptr, nullptr));
  const auto lines = take_all();
  REQUIRE(lines.size() == 2);
  CHECK(lines[0].find(R"("attributes":{"":1}})") != std::string::npos);
  CHECK(lines[1].find(R"("attributes":{"":""}})") != std::string::npos);
}

TEST_CASE("C: a level that is none is the nearest one") {
  take_all();
  weir_log(99, "high");
  weir_log(-1, "low");
  weir_log_text(99, "high", nullptr);
  weir_log_text(-1, "low", nullptr);
  const auto lines = take_all();
  REQUIRE(lines.size() == 4);
  for (size_t i = 0; i < 4; ++i)
    CHECK(lines[i].find(i % 2 == 0 ? R"("level":"fatal","message":"high")"
                                   : R"("level":"trace","message":"low")") != std::string::npos);
}
