// mkdata: deterministic records for the benchmarks, one JSON object per line.
//   mkdata trace|log|telemetry COUNT FILE
// The same arguments give the same bytes on every machine. Numbers are spelled in ways that only survive if
// nobody prints them anew (622.60, two digits of a price).
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace {

uint64_t state = 0x9E3779B97F4A7C15ull;
uint64_t next() {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state;
}

const char* const kScenarios[] = {"order-intake", "billing-close", "image-resize", "sensor-fusion",
                                  "nightly-report"};
const char* const kSteps[] = {"decode", "validate",      "enrich", "lookup_customer",
                              "price",  "reserve_stock", "commit", "publish"};
const char* const kTypes[] = {"OrderPlaced", "PriceRequest", "StockReserved", "TokenIssued", "ReportRow"};
const char* const kLevels[] = {"debug", "info", "info", "info", "warn", "error"};
const char* const kMessages[] = {"accepted connection from worker pool", "cache miss, falling back to store",
                                 "retrying after transient failure", "request completed within budget"};
const char* const kMetrics[] = {"queue.depth", "step.duration", "heap.used", "socket.rx"};

void context(FILE* out, uint64_t a, uint64_t b, uint64_t c, long step, bool after) {
  std::fprintf(out,
               R"({"order_id":%lu,"customer":"c-%06lu","amount":%lu.%02lu,"currency":"EUR","retries":%lu,)"
               R"("stage":"%s","token":"%08lx","rush":%s})",
               (unsigned long)(a % 10000000), (unsigned long)(b % 1000000), (unsigned long)(c % 10000),
               (unsigned long)(c / 10000 % 100), (unsigned long)((c >> 40) % 4 + after),
               kSteps[(step + after) % 8], (unsigned long)(a >> 32), b & 1 ? "true" : "false");
}

void trace(FILE* out, long n, const char* at) {
  const uint64_t a = next(), b = next(), c = next();
  const long step = n % 8;
  std::fprintf(
      out,
      R"({"stream":"trace","trace_id":"%016lx%016lx","scenario":"%s","line_no":%ld,"step_index":%ld,)"
      R"("step_name":"%s","work_index":0,"t_enter":"%s","t_exit":"%s","duration_ms":%lu.%02lu,)"
      R"("msg_in":{"type_name":"%s"},"msg_out":[{"type_name":"%s"}],"msg_out_count":1,"ctx_before":)",
      (unsigned long)a, (unsigned long)b, kScenarios[c % 5], n, step, kSteps[step], at, at,
      (unsigned long)(c % 1000), (unsigned long)(c / 1000 % 100), kTypes[a % 5], kTypes[b % 5]);
  context(out, a, b, c, step, false);
  std::fputs(",\"ctx_after\":", out);
  context(out, a, b, c, step, true);
  std::fputs(",\"status\":\"ok\",\"error\":null}\n", out);
}

void log(FILE* out, long n, const char* at) {
  const uint64_t a = next(), b = next();
  std::fprintf(
      out,
      R"({"stream":"log","ts":"%s","level":"%s","logger":"app.%s","thread":"w-%02lu","trace_id":"%016lx%016lx",)"
      R"("file":"%s.cpp","line":%lu,"message":"%s","seq":%ld})"
      "\n",
      at, kLevels[a % 6], kScenarios[b % 5], (unsigned long)(a % 16), (unsigned long)a, (unsigned long)b,
      kSteps[b % 8], (unsigned long)(b % 2000), kMessages[(a >> 8) % 4], n);
}

void telemetry(FILE* out, long n, const char* at) {
  const uint64_t a = next();
  std::fprintf(
      out,
      R"({"stream":"telemetry","ts":"%s","name":"%s","value":%lu.%03lu,"unit":"ms","proc":"p%02lu","seq":%ld})"
      "\n",
      at, kMetrics[a % 4], (unsigned long)(a % 10000), (unsigned long)(a / 10000 % 1000),
      (unsigned long)(a >> 40) % 32, n);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return std::fputs("usage: mkdata trace|log|telemetry COUNT FILE\n", stderr), 64;
  const std::string kind = argv[1];
  FILE* out = std::fopen(argv[3], "w");
  if (!out) return std::perror(argv[3]), 1;
  for (long n = 0, count = std::atol(argv[2]); n < count; ++n) {
    char at[32];
    std::snprintf(at, sizeof at, "2026-01-21T%02ld:%02ld:%02ld.%03ldZ", n / 3600000 % 24, n / 60000 % 60,
                  n / 1000 % 60, n % 1000);
    if (kind == "trace")
      trace(out, n, at);
    else if (kind == "log")
      log(out, n, at);
    else
      telemetry(out, n, at);
  }
  return std::fclose(out) ? 1 : 0;
}
