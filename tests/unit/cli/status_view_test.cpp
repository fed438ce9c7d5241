#include "agent/cli/status_view.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

#include "agent/cli/table.h"

using namespace weir::cli;
using nlohmann::json;

namespace {

json snapshot(uint64_t n) {
  return json{
      {"version", "0.1.0"},
      {"pid", 42},
      {"uptime_s", 4000},
      {"generation", 2},
      {"config_files", {"/etc/weir/weir.yaml"}},
      {"last_reload",
       {{"time", "2026-01-02T03:04:05.000000000Z"}, {"result", "applied"}, {"errors", json::array()}}},
      {"sources",
       {{"local",
         {{"address", "unix:/run/weir/weir.sock"},
          {"connections", 3},
          {"received", n},
          {"journalled", n - 2},
          {"rejected", {{"bad_json", 2}, {"too_long", 0}}},
          {"bytes", n * 215},
          {"dropped_by_rule", json::object()},
          {"duplicate", 0},
          {"disabled", 0}}}}},
      {"streams",
       {{"trace", {{"enabled", true}, {"records", n}, {"bytes", n * 215}}},
        {"log", {{"enabled", false}, {"records", 0}, {"bytes", 0}}}}},
      {"journal",
       {{"type", "memory"},
        {"bytes", 1 << 20},
        {"bytes_max", 64 << 20},
        {"written", std::to_string(n)},
        {"state", "ok"},
        {"oldest", "2026-01-02T03:04:05.000000000Z"}}},
      {"sinks",
       {{"archive_of_everything",
         {{"type", "file"},
          {"streams", {"trace", "log"}},
          {"state", "retrying"},
          {"delivered", n},
          {"lag_records", 7},
          {"lag_bytes", 1500},
          {"dropped", {{"lag", 5}}},
          {"last_error", "write: No space left \x1b[2J"},
          {"retry_in_s", 1.25}}}}},
      {"clients", {{"orders-7", {{"uid", 1000}, {"last_seq", 5}, {"gaps", 0}}}}},
      {"conservation_error", 0}};
}

bool contains(const std::string& text, std::string_view part) { return text.find(part) != text.npos; }

}  // namespace

TEST_CASE("the view has everything, with rates, within 80 columns") {
  const std::string view = status_view(snapshot(1'000'000), snapshot(1'200'000), 0.5, false);
  CAPTURE(view);
  CHECK(contains(view, "weir 0.1.0  pid 42  up 1h 6m  generation 2  /etc/weir/weir.yaml\n"));
  CHECK(contains(view, "1,200,000  400,000"));
  CHECK(contains(view, "rejected: bad_json 2\n"));
  CHECK(contains(view, "1.0 MiB of 64.0 MiB (1%)"));
  CHECK(contains(view, "archive_of_...  retrying"));
  CHECK(contains(view, "last error: write: No space left \\u001b[2J (again in 1.2 s)"));
  CHECK(contains(view, "dropped: lag 5"));
  CHECK(contains(view, "balance: every record accounted for\n"));
  std::istringstream lines(view);
  for (std::string line; std::getline(lines, line);) CHECK(display_width(line) <= 80);
}

TEST_CASE("an error is shown whole: its end says what to do") {
  json now = snapshot(5);
  const std::string error =
      "POST https://collector.example:4318/v1/logs: answered 401 Unauthorized; is the token of " +
      std::string(60, 'x') + " right? Give another in auth.bearer";
  now["sinks"]["archive_of_everything"]["last_error"] = error;
  now["last_reload"] = {
      {"time", "2026-01-02T03:04:05Z"},
      {"result", "refused"},
      {"errors",
       {{{"file", "a.yaml"}, {"line", 3}, {"col", 1}, {"path", ""}, {"message", error}},
        {{"file", "a.yaml"}, {"line", 4}, {"col", 2}, {"path", "listen.x"}, {"message", "bad"}}}}};
  const std::string view = status_view(now, now, 1, false);
  CAPTURE(view);
  CHECK(contains(view, "last error: " + error));
  CHECK(contains(view, "    a.yaml:3:1: " + error + "\n    a.yaml:4:2: listen.x: bad\n"));
}

TEST_CASE("records that are not accounted for are said aloud") {
  json now = snapshot(5);
  now["conservation_error"] = 3;
  CHECK(contains(status_view(now, now, 1, true), "\x1b[31mbalance: 3 records are not accounted for"));
}

TEST_CASE("a status of another shape does not hurt") {
  for (const char* text :
       {"{}", "[]", "null", R"({"sources":5,"sinks":{"a":null},"journal":[],"streams":{"trace":1}})",
        R"({"sinks":{"a":{"streams":[1],"dropped":[],"last_error":7,"retry_in_s":"x"}},"clients":{"c":1}})"})
    CHECK_FALSE(status_view(json(), json::parse(text), 0, false).empty());
}
