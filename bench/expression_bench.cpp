// Nanoseconds of `where` per record and per comparison.   expression_bench STREAM_FILE...   (mkdata trace|log
// ./dev build release expression_bench && build/release/expression_bench build/bench/trace-200000.ndjson
// (made by ./dev bench --count 200000)
#include <chrono>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "agent/process/expression.h"

namespace {

using namespace weir;

constexpr size_t kRecords = 64;  // so few that they stay in the cache
constexpr int kRounds = 3000;

struct Case {
  const char* where;
  int comparisons;  ///< that are made when the ones before do not decide
};
constexpr Case kCases[] = {
    {R"(level >= warn)", 1},
    {R"(status == "error")", 1},
    {R"(duration > 5ms)", 1},
    {R"(trace_id == "no such trace" or service == "orders")", 2},
    {R"(level == trace or message contains "zzz" or service == "none" or logger == "none")", 4},
    {R"(step_name == "a" or step_name == "b" or status == "error" or duration > 5s)", 4},
    {R"(step_name starts_with "system.obs." or step_name == "supervisor.transport")", 2},
    {R"(step_name in ["a", "b", "c", "d", "e", "f", "g", "h"])", 8},
    {R"(message =~ "time.?out|refused")", 1},
    {R"(ctx_after.stage == "none" or stage changed)", 2},
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return std::fprintf(stderr, "usage: expression_bench FILE...\n"), 64;
  for (int file = 1; file < argc; ++file) {
    std::stringstream text;
    text << std::ifstream(argv[file], std::ios::binary).rdbuf();
    const std::string bytes = text.str();
    std::vector<std::string_view> lines;
    for (size_t begin = 0, end; lines.size() < kRecords && (end = bytes.find('\n', begin)) != bytes.npos;
         begin = end + 1)
      lines.emplace_back(bytes.data() + begin, end - begin + 1);
    std::printf("%s\n", argv[file]);
    for (const Case& c : kCases) {
      auto where = Expression::compile(c.where);
      if (!where) return std::fprintf(stderr, "%s: %s\n", c.where, where.error().message.c_str()), 1;
      double best = 1e18;
      size_t hits = 0;
      for (int round = 0; round < kRounds; ++round) {
        const auto start = std::chrono::steady_clock::now();
        for (std::string_view line : lines) hits += where->matches(line);
        const std::chrono::duration<double, std::nano> spent = std::chrono::steady_clock::now() - start;
        best = std::min(best, spent.count() / double(lines.size()));
      }
      std::printf("  %6.1f ns a record, %5.1f a comparison  %3.0f %% match  %s\n", best, best / c.comparisons,
                  100.0 * double(hits) / double(lines.size()) / kRounds, c.where);
    }
  }
}
