// Nanoseconds per record of the decoder.   decode_bench FILE...   (newline-delimited JSON, see tests and
// ./dev build release decode_bench && build/release/decode_bench build/bench/trace-200000.ndjson   (made by
// ./dev bench --count 200000)
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "agent/decode/parser.h"

namespace {

using weir::decode::ParseRecord;

struct Lines {
  std::string bytes;  // 64 readable bytes behind the last line
  std::vector<std::string_view> lines;
};

Lines read_lines(const char* path) {
  std::stringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  Lines out{text.str(), {}};
  const size_t size = out.bytes.size();
  out.bytes.append(64, '\0');
  for (size_t begin = 0, end; (end = out.bytes.find('\n', begin)) < size; begin = end + 1) {
    out.lines.emplace_back(out.bytes.data() + begin, end - begin);
  }
  return out;
}

/// Blocks of lines that stay in the cache, as they do in the agent, each timed several times: the best run of
/// a block is the one that nothing else on the machine disturbed.
double best_ns(const Lines& input, ParseRecord parse, size_t& faults) {
  constexpr size_t kBlock = 500;
  weir::FieldTable table;
  weir::decode::Workspace work;
  double sum = 0;
  faults = 0;
  for (size_t first = 0; first < input.lines.size(); first += kBlock) {
    const size_t last = std::min(first + kBlock, input.lines.size());
    double best = 1e18;
    size_t block_faults = 0;
    for (int round = 0; round < 15; ++round) {
      block_faults = 0;
      const auto start = std::chrono::steady_clock::now();
      for (size_t i = first; i < last; ++i) block_faults += bool(parse(input.lines[i], {}, table, work));
      const std::chrono::duration<double, std::nano> spent = std::chrono::steady_clock::now() - start;
      best = std::min(best, spent.count());
    }
    sum += best;
    faults += block_faults;
  }
  return sum / double(input.lines.size());
}

}  // namespace

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const Lines input = read_lines(argv[i]);
    if (input.lines.empty()) continue;
    const double bytes = double(input.bytes.size() - 64) / double(input.lines.size());
    for (const ParseRecord parse : weir::decode::parse_records()) {
      const char* const name = parse == weir::decode::parse_record_sse2   ? "sse2"
                               : parse == weir::decode::parse_record_avx2 ? "avx2"
                                                                          : "avx512";
      size_t faults = 0;
      const double ns = best_ns(input, parse, faults);
      std::printf("%s %s: %.0f bytes, %.1f ns per record, %.2f GB/s, %zu faults\n", argv[i], name, bytes, ns,
                  bytes / ns, faults);
    }
  }
}
