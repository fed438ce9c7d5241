// mkdata: deterministic records for the benchmarks, one JSON object per line.
//   mkdata trace|routed|log|telemetry|mixed|sized:BYTES COUNT FILE
// routed: trace records whose two contexts have names that mean nothing to the agent, so that it has
// everything to check and nothing to rewrite. mixed: trace, log, telemetry, log in turn. sized: log records
// of exactly BYTES (from 100 on, line feed included), the larger the more members they have. The same
// arguments give the same bytes on every machine. Numbers are spelled in ways that only survive if nobody
// prints them anew (622.60, two digits of a price).
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

void trace(FILE* out, long n, const char* at, const char* before_key, const char* after_key) {
  const uint64_t a = next(), b = next(), c = next();
  const long step = n % 8;
  std::fprintf(
      out,
      R"({"stream":"trace","trace_id":"%016lx%016lx","scenario":"%s","line_no":%ld,"step_index":%ld,)"
      R"("step_name":"%s","work_index":0,"t_enter":"%s","t_exit":"%s","duration_ms":%lu.%02lu,)"
      R"("msg_in":{"type_name":"%s"},"msg_out":[{"type_name":"%s"}],"msg_out_count":1,"%s":)",
      (unsigned long)a, (unsigned long)b, kScenarios[c % 5], n, step, kSteps[step], at, at,
      (unsigned long)(c % 1000), (unsigned long)(c / 1000 % 100), kTypes[a % 5], kTypes[b % 5], before_key);
  context(out, a, b, c, step, false);
  std::fprintf(out, ",\"%s\":", after_key);
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

/// `count` members of one object, a string and a number in turn.
std::string members(int count) {
  std::string text;
  char member[64];
  for (int i = 0; i < count; ++i) {
    const uint64_t a = next();
    if (i % 2 == 0)
      std::snprintf(member, sizeof member, R"(,"k%02d":"%016lx")", i, (unsigned long)a);
    else
      std::snprintf(member, sizeof member, R"(,"k%02d":%lu.%02lu)", i, (unsigned long)(a % 100000),
                    (unsigned long)(a / 100000 % 100));
    text += member;
  }
  return text.substr(1);
}

void sized(FILE* out, long n, const char* at, size_t bytes) {
  constexpr size_t kGroupBytesMax = 360, kMessageBytesMin = 32;
  char head[128];
  std::snprintf(head, sizeof head, R"({"stream":"log","ts":"%s","level":"info","seq":%ld)", at, n);
  std::string line = head;
  const std::string tail = "\"}\n";
  std::string groups;
  for (int i = 0; line.size() + groups.size() + kGroupBytesMax + kMessageBytesMin < bytes; ++i)
    groups += (i ? ",\"g" : "\"g") + std::to_string(i) + "\":{" + members(14) + "}";
  if (!groups.empty()) line += ",\"attributes\":{" + groups + "}";
  line += ",\"message\":\"";
  while (line.size() + tail.size() < bytes) line += char('a' + line.size() % 26);
  std::fputs((line + tail).c_str(), out);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4)
    return std::fputs("usage: mkdata trace|routed|log|telemetry|mixed|sized:BYTES COUNT FILE\n", stderr), 64;
  const std::string kind = argv[1];
  FILE* out = std::fopen(argv[3], "w");
  if (!out) return std::perror(argv[3]), 1;
  for (long n = 0, count = std::atol(argv[2]); n < count; ++n) {
    char at[32];
    std::snprintf(at, sizeof at, "2026-01-21T%02ld:%02ld:%02ld.%03ldZ", n / 3600000 % 24, n / 60000 % 60,
                  n / 1000 % 60, n % 1000);
    if (kind == "trace" || (kind == "mixed" && n % 4 == 0))
      trace(out, n, at, "ctx_before", "ctx_after");
    else if (kind == "routed")
      trace(out, n, at, "prev_state", "new_state");
    else if (kind == "telemetry" || (kind == "mixed" && n % 4 == 2))
      telemetry(out, n, at);
    else if (kind.rfind("sized:", 0) == 0)
      sized(out, n, at, size_t(std::atol(kind.c_str() + 6)));
    else
      log(out, n, at);
  }
  return std::fclose(out) ? 1 : 0;
}
