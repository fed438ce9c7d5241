#include "agent/core/log.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

using namespace weir;

namespace {

struct Log {
  ManualClock clock;
  std::vector<std::string> lines;
  log::Logger logger;

  explicit Log(log::Format format = log::Format::json)
      : logger(clock, format, [this](std::string_view line) { lines.emplace_back(line); }) {}
  void sampled(std::string_view key) {
    if (auto left_out = logger.admit(log::Level::warn, key)) logger.write(log::Level::warn, key, *left_out);
  }
  nlohmann::json parsed(size_t i) const { return nlohmann::json::parse(lines.at(i)); }
};

}  // namespace

TEST_CASE("a line is one JSON object with time, level and message") {
  Log log;
  log.logger.write(log::Level::error, "disk \"a\" is full");
  CHECK(log.lines.at(0) ==
        "{\"time\":\"2023-11-14T22:13:20.000000000Z\",\"level\":\"error\",\"message\":\"disk \\\"a\\\" is "
        "full\"}\n");
}

TEST_CASE("on a terminal a line is text") {
  Log log(log::Format::text);
  log.logger.write(log::Level::warn, "disk is full", 3);
  CHECK(log.lines.at(0) == "22:13:20.000 warn  disk is full (3 more like this left out)\n");
}

TEST_CASE("nothing reaches a terminal raw, in any form") {
  for (auto format : {log::Format::json, log::Format::text}) {
    Log log(format);
    log.logger.write(log::Level::info, "a\x1b[2J\n\x7f\xc2\x9b\xe2\x80\xae\xe2\x80\xa8\xff.");
    const std::string& line = log.lines.at(0);
    for (char c : line.substr(0, line.size() - 1)) CHECK((c >= 0x20 && c < 0x7f));
    CHECK(line.find("\\u001b[2J") != std::string::npos);
    CHECK(line.find("\\u202e\\u2028") != std::string::npos);
    if (format == log::Format::json) CHECK(log.parsed(0)["message"].is_string());
  }
}

TEST_CASE("lines below the level are not written") {
  Log log;
  log.logger.write(log::Level::debug, "no");
  log.logger.set_level(log::Level::debug);
  CHECK(log.logger.level() == log::Level::debug);
  log.logger.write(log::Level::debug, "yes");
  REQUIRE(log.lines.size() == 1);
  CHECK(log.parsed(0)["message"] == "yes");
}

TEST_CASE("of one key five lines pass per window, and the next one tells the exact number left out") {
  Log log;
  for (int i = 0; i < 100; ++i) log.sampled("k");
  CHECK(log.lines.size() == 5);
  log.sampled("another");
  CHECK(log.lines.size() == 6);
  log.clock.advance_ns(log::kSampledWindowNs);
  log.sampled("k");
  REQUIRE(log.lines.size() == 7);
  CHECK(log.parsed(6)["suppressed"] == 95);
  log.sampled("k");
  CHECK_FALSE(log.parsed(7).contains("suppressed"));
}

TEST_CASE("flush tells what was left out, once") {
  Log log;
  for (int i = 0; i < 8; ++i) log.sampled("k");
  log.logger.flush();
  log.logger.flush();
  REQUIRE(log.lines.size() == 6);
  CHECK(log.parsed(5)["suppressed"] == 3);
  CHECK(log.parsed(5)["message"] == "k: further lines left out");
}

TEST_CASE("the number of keys is bounded and no count is lost") {
  Log log;
  for (int i = 0; i < 7; ++i) log.sampled("first");
  log.clock.advance_ns(1);
  for (size_t i = 0; i < log::kSampledKeysMax; ++i) log.sampled("key " + std::to_string(i));
  REQUIRE(log.lines.size() == 5 + 1 + log::kSampledKeysMax);
  CHECK(log.parsed(5 + log::kSampledKeysMax - 1)["message"] == "first: further lines left out");
  CHECK(log.parsed(5 + log::kSampledKeysMax - 1)["suppressed"] == 2);
}

TEST_CASE("counts are exact with several threads") {
  Log log;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 1000; ++i) log.sampled("k");
    });
  for (auto& t : threads) t.join();
  log.logger.flush();
  REQUIRE(log.lines.size() == 6);
  CHECK(log.parsed(5)["suppressed"] == 3995);
}

TEST_CASE("levels have names") {
  CHECK(log::parse_level("warn") == log::Level::warn);
  CHECK_FALSE(log::parse_level("loud").has_value());
  CHECK(log::level_name(log::Level::trace) == "trace");
}
