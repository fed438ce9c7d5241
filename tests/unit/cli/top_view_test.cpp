#include "agent/cli/top_view.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <regex>
#include <string>

#include "agent/cli/table.h"
#include "agent/cli/top_rates.h"

using namespace weir::cli;
using nlohmann::json;

namespace {

json sink(uint64_t delivered, uint64_t lag, uint64_t dropped) {
  return {{"type", "http"},
          {"state", "ok"},
          {"routed", delivered + lag},
          {"delivered", delivered},
          {"lag_records", lag},
          {"lag_bytes", lag * 200},
          {"dropped", {{"lag", dropped}}},
          {"quarantined", json::object()},
          {"filtered", json::object()}};
}

json snapshot(double uptime_s, uint64_t n) {
  return {{"version", "0.1.0"},
          {"pid", 42},
          {"uptime_s", uptime_s},
          {"generation", 2},
          {"config_hash", "0123456789abcdef"},
          {"config_files", {"/etc/weir/weir.yaml"}},
          {"last_reload", {{"result", "applied"}}},
          {"memory_bytes", 50 << 20},
          {"sources",
           {{"local",
             {{"address", "unix:/run/weir/weir.sock"},
              {"connections", 3},
              {"received", 100 * n},
              {"journalled", 100 * n - n},
              {"rejected", {{"bad_json", n}}},
              {"dropped_by_rule", json::object()},
              {"duplicate", 10 * n},
              {"disabled", 0},
              {"bytes", 20'000 * n}}}}},
          {"streams", {{"log", {{"enabled", true}, {"records", 100 * n}, {"bytes", 20'000 * n}}}}},
          {"journal", {{"type", "disk"}, {"state", "ok"}, {"bytes", 1 << 20}, {"bytes_max", 4 << 20}}},
          {"sinks", {{"a", sink(90 * n, 0, 0)}, {"b", sink(50 * n, 500, 7 * n)}}},
          {"clients",
           {{"quiet", {{"uid", 1000}, {"pid", 7}, {"last_seq", 5}, {"gaps", 0}}},
            {"loud", {{"uid", 1000}, {"pid", 8}, {"last_seq", 60 * n}, {"gaps", 10 * n}}}}},
          {"conservation_error", 0}};
}

/// As wide and as many as they come.
json crowd(double uptime_s, uint64_t n) {
  json status = snapshot(uptime_s, n);
  const json source = status["sources"]["local"], client = status["clients"]["loud"];
  for (int i = 0; i < 40; ++i) {
    const std::string number = std::to_string(i);
    status["sources"]["a source with a long name " + number] = source;
    status["sinks"]["a sink with a long name " + number] =
        sink(n * 1'000'000'007, n * 1'000'000'009, n * 999'999);
    status["sinks"]["a sink with a long name " + number]["state"] = "misconfigured";
    status["sinks"]["\u6c34\u6c34\u6c34\u6c34\u6c34\u6c34\u6c34\u6c34\u6c34" + number] = sink(n, n, n);
    status["clients"]["client-0123456789abcdef-" + number + "\x1b[2J"] = client;
  }
  return status;
}

std::string joined(const std::vector<std::string>& lines) {
  std::string out;
  for (const std::string& line : lines) out += line + "\n";
  return out;
}
bool contains(const std::string& text, std::string_view part) { return text.find(part) != text.npos; }

}  // namespace

TEST_CASE("rates are differences by the agent's own clock") {
  const json rates = top_rates(snapshot(10, 1000), snapshot(12, 1200));
  CHECK(rates["seconds"] == 2.0);
  CHECK(rates["sources"]["local"]["received_per_s"] == 10'000.0);
  CHECK(rates["sources"]["local"]["rejected_per_s"] == 100.0);
  CHECK(rates["streams"]["log"]["bytes_per_s"] == 2e6);
  CHECK(rates["sinks"]["b"]["delivered_per_s"] == 5000.0);
  CHECK(rates["sinks"]["b"]["dropped_per_s"] == 700.0);
  CHECK(rates["sinks"]["b"]["behind_s"] == 0.1);
}

TEST_CASE("a sink's deliveries take what the metrics say, on average") {
  json before = snapshot(10, 1000), now = snapshot(12, 1200);
  const std::string name = "weir_sink_delivery_seconds_", sink = "{sink=\"a\"} ";
  add_metrics(before, "\n" + name + "sum" + sink + "1.5\n" + name + "count" + sink + "100\n");
  add_metrics(now, "\n" + name + "sum" + sink + "2.5\n" + name + "count" + sink + "150\n");
  const json rates = top_rates(before, now);
  CHECK(rates["sinks"]["a"]["delivery_s"] == 0.02);
  CHECK(rates["sinks"]["b"]["delivery_s"].is_null());
  CHECK(contains(joined(top_view(rates, {})), " 20 ms "));
}

TEST_CASE("memory is what the metrics say") {
  json status = json::object();
  add_metrics(
      status,
      "# TYPE x gauge\nprocess_resident_memory_bytes_of_others 5\nprocess_resident_memory_bytes 2.5e+07\n");
  CHECK(status["memory_bytes"] == 25'000'000);
  json other = json::object();
  for (const char* text : {"", "process_resident_memory_bytes", "\nprocess_resident_memory_bytes ",
                           "\nprocess_resident_memory_bytes x\n"})
    add_metrics(other, text);
  CHECK(other.empty());
}

TEST_CASE("producers come noisiest first, without resent records and numbers that never came") {
  const json rates = top_rates(snapshot(10, 1000), snapshot(12, 1200));
  REQUIRE(rates["producers"].size() == 2);
  CHECK(rates["producers"][0]["client_id"] == "loud");
  CHECK(rates["producers"][0]["records_per_s"] == 5000.0);
  CHECK(rates["producers"][1]["records_per_s"] == 0.0);
  CHECK(rates["others_per_s"] == 10'000.0 - 1000.0 - 5000.0);
}

TEST_CASE("a producer that was met in between counts from its first record") {
  json now = snapshot(12, 1200);
  now["clients"]["new"] = {{"uid", nullptr}, {"pid", nullptr}, {"last_seq", 1'000'300}, {"gaps", 1'000'000}};
  CHECK(top_rates(snapshot(10, 1000), now)["producers"][1]["records_per_s"] == 150.0);
}

TEST_CASE("an agent that was started again has no rates yet") {
  json other = snapshot(500, 1200);
  other["pid"] = 43;
  for (const auto& [before, now] : {std::pair(json(), snapshot(12, 1)),
                                    {snapshot(499, 1), other},
                                    {snapshot(500, 1000), snapshot(1, 1)}}) {
    const json rates = top_rates(before, now);
    CHECK(rates["seconds"].is_null());
    CHECK(rates["sources"]["local"]["received_per_s"].is_null());
    CHECK(rates["sinks"]["a"]["delivered_per_s"].is_null());
    CHECK(rates["others_per_s"].is_null());
    CHECK(contains(joined(top_view(rates, {})), "in -  out -"));
  }
}

TEST_CASE("the view has everything at 80x24") {
  TopLook look;
  look.height = 23;
  const auto lines = top_view(top_rates(snapshot(10, 1000), snapshot(12, 1200)), look);
  const std::string view = joined(lines);
  CAPTURE(view);
  CHECK(lines.size() <= 23);
  CHECK(contains(view, "weir 0.1.0  pid 42  up 12s  generation 2  config 0123456789ab\n"));
  CHECK(contains(view, "in 10,000/s  out 14,000/s  lost 800/s  lag 500  memory 50.0 MiB"));
  CHECK(contains(view, "journal disk  ok  1.0 MiB of 4.0 MiB (25%)"));
  CHECK(view.find("\nb ") < view.find("\na "));
  CHECK(contains(view, "loud"));
  CHECK(contains(view, "(not numbered)"));
}

TEST_CASE("no screen is too small, and none has a line that is too long or a number that is cut") {
  const json rates = top_rates(crowd(10, 1000), crowd(12, 2000));
  for (size_t width : {10, 40, 79, 80, 120, 200})
    for (size_t height : {1, 2, 5, 12, 23, 59}) {
      TopLook look;
      look.width = width, look.height = height, look.notice = std::string(300, 'n');
      const auto lines = top_view(rates, look);
      CHECK(lines.size() <= height);
      for (const std::string& line : lines) {
        CAPTURE(line);
        CHECK(display_width(line) <= width);
        CHECK_FALSE(contains(line, "\x1b"));
        CHECK_FALSE(std::regex_search(line, std::regex("(^|\\s)[0-9.,]*[0-9]\\.\\.\\.")));
      }
      for (const std::string& line : top_help(look)) CHECK(display_width(line) <= width);
    }
  TopLook screen;
  screen.height = 23;
  const std::string view = joined(top_view(rates, screen));
  CAPTURE(view);
  CHECK(contains(view, "SINK 4/82"));
  CHECK(contains(view, "SOURCE 4/41"));
  CHECK(contains(view, "PRODUCER 3/42"));
  CHECK(contains(view, "DROPPED/S"));
  CHECK(top_help(screen).size() <= 23);
}

TEST_CASE("sinks are ordered as asked") {
  const json rates = top_rates(snapshot(10, 1000), snapshot(12, 1200));
  TopLook look;
  for (const auto& [sort, first] :
       {std::pair(TopSort::lag, 'b'), {TopSort::rate, 'a'}, {TopSort::drops, 'b'}, {TopSort::name, 'a'}}) {
    look.sort = sort;
    const std::string view = joined(top_view(rates, look));
    CHECK((view.find("\na ") < view.find("\nb ")) == (first == 'a'));
  }
}

TEST_CASE("a status of another shape does not hurt top") {
  for (
      const char* text :
      {"{}", R"({"sources":5,"sinks":{"a":null},"journal":[],"streams":{"trace":1},"producers":1})",
       R"({"pid":-1,"uptime_s":"x","sinks":{"a":{"lag_records":"x","dropped":[]}},"clients":{"c":1,"d":[]}})"}) {
    CHECK_FALSE(top_view(top_rates(json(), json::parse(text)), {}).empty());
    CHECK_FALSE(top_view(top_rates(json::parse(text), snapshot(1, 1)), {}).empty());
  }
}
