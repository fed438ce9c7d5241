#include "agent/cli/text_level.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace weir::cli;

namespace {

struct Row {
  std::string_view level, line;
};

const std::vector<Row> kLevels{
    // at the start of the line
    {"error", "ERROR something broke"},
    {"error", "ERROR"},
    {"error", "  ERROR indented"},
    {"error", "error: cannot open x"},
    {"error", "Error: Cannot find module 'x'"},
    {"warn", "warning: unused variable"},
    {"warn", "WARNING! disk"},
    {"warn", "[warn] disk"},
    {"info", "[INFO ] padded"},
    {"info", "(INFO) round"},
    {"debug", "<debug> angle"},
    {"info", "INFO:     Uvicorn running"},
    {"warn", "WARNING:root:python"},
    {"fatal", "CRITICAL:a.b:python"},
    {"trace", "TRACE x"},
    {"info", "Notice: x"},
    {"fatal", "fatal: not a git repository"},
    {"error", "error[E0308]: mismatched types"},
    {"info", "INFO[0000] logrus"},
    {"error", "ERRO[0012] logrus"},
    {"info", "info - x"},
    {"error", "SEVERE: java.util.logging"},
    // behind a time, a process, a thread, a logger
    {"error", "2026-01-01 12:00:00,123 ERROR x"},
    {"warn", "2026-01-01 12:00:00,123 - my.logger - WARNING - x"},
    {"warn", "2026-01-01 12:00:00,123 - main - WARNING - x"},
    {"info", "2026-01-01 12:00:00.123  INFO 12345 --- [main] c.x.App : x"},
    {"debug", "12:00:00.000 [main] DEBUG com.x.Y - x"},
    {"debug", "12:00:00.000 [worker thread 7] DEBUG com.x.Y - x"},
    {"error", "2026-01-01 12:00:00,123 com.x.Y ERROR x"},
    {"info", "2026-01-01T12:00:00.000Z\tinfo\tmain.go:1\tx"},
    {"info", "[2026-01-01T00:00:00Z INFO  crate] x"},
    {"info", "[2026-01-01 12:00:00 +0000] [1] [INFO] gunicorn"},
    {"info", "[12:00:00 INF] serilog"},
    {"error", "2026/01/01 12:00:00 [error] 1#1: nginx"},
    {"error", "[Fri Jan 01 12:00:00.000 2026] [core:error] [pid 1] apache"},
    {"warn", "2026-01-01T12:00:00.000000Z 0 [Warning] [MY-1] mysql"},
    {"error", "2026-01-01 12:00:00.000 UTC [1] ERROR:  postgres"},
    {"error", "Jan  1 12:00:00 host app[12]: ERROR x"},
    {"error", "Jan  1 12:00:00 host app[12]: error: x"},
    {"warn", "[2026-01-01 12:00:00,123: WARNING/MainProcess] celery"},
    {"error", "a.c:10:5: error: x"},
    {"warn", "curl: warning: x"},
    {"info", "2026-01-01 12:00:00 | INFO | x"},
    {"warn", "2026-01-01 12:00:00 | warning | x"},
    // pairs
    {"info", "level=info msg=\"no errors\""},
    {"error", "time=\"Jan 1 ERROR: none\" level=error msg=x"},
    {"warn", "ts=2026-01-01T12:00:00Z caller=a.go:1 lvl=WARN x"},
    {"error", "severity=\"ERROR\" x"},
    // letters and numbers
    {"warn", "W0101 12:00:00.000000 7 a.go:1] x"},
    {"error", "E0101 12:00:00.000000 7 a.go:1] x"},
    {"warn", "W, [2026-01-01T12:00:00 #1]  WARN -- : ruby"},
    {"error", "<3>kernel"},
    {"fatal", "<34>1 2026-01-01T12:00:00Z host app - - - x"},
    {"debug", "<191>x"},
    // faults
    {"error", "Traceback (most recent call last):"},
    {"error", "Exception in thread \"main\" java.lang.IllegalStateException: x"},
    {"error", "java.lang.IllegalStateException: x"},
    {"error", "ValueError: x"},
    {"error", "ZeroDivisionError"},
    {"fatal", "panic: runtime error: index out of range"},
    {"fatal", "fatal error: all goroutines are asleep - deadlock!"},
    {"fatal", "thread 'main' panicked at src/main.rs:2:5:"},
    // looked through
    {"error", "\x1b[31mERROR\x1b[0m red"},
    {"warn", "\x1b[2m2026-01-01T12:00:00Z\x1b[0m \x1b[33m WARN\x1b[0m x"},
};

const std::vector<std::string_view> kNoLevel{
    "",
    "   ",
    "no errors found",
    "0 errors found",
    "1 ERROR found",
    "0 error(s)",
    "No ERROR was seen",
    "error handling is enabled",
    "Error handling is enabled",
    "errors: none",
    "error-free since Monday",
    "info desk opened",
    "Warning lights are on",
    "Debug mode is off",
    "the level is ERROR",
    "(error code 5) happened",
    "- error handling",
    "May error rates rise",
    "12:00:00 the ERROR flag is off",
    "12:00:00 - error rates are low",
    "ERROR_COUNT=5",
    "ERROR=none",
    "ERRORS 5",
    "INFO2 x",
    "error_log opened",
    "E0404 not found",
    "<b>bold</b>",
    "<999>x",
    "<>x",
    "GET /error 200",
    "127.0.0.1 - - [01/Jan/2026:12:00:00 +0000] \"GET /error HTTP/1.1\" 200 5",
    "make: *** [Makefile:5: all] Error 2",
    "panicking is no use",
    "Errors",
    "msg=\"level=error\"",
    "\x1b[31",
    "\x1b[31mred only",
    "[",
    "[[[[",
    "level=",
    "level=\"",
    "\xff\xfe ERROR",
};

}  // namespace

TEST_CASE("a line's own level is found in the usual places") {
  for (const Row& row : kLevels) {
    CAPTURE(std::string(row.line));
    CHECK(guess_level(row.line) == row.level);
  }
}

TEST_CASE("a sentence has no level") {
  for (std::string_view line : kNoLevel) {
    CAPTURE(std::string(line));
    CHECK(guess_level(line) == "");
  }
}

TEST_CASE("a cut of any line is judged without a fault, and a level word far behind is not looked at") {
  for (const Row& row : kLevels)
    for (size_t n = 0; n <= row.line.size(); ++n) {
      const std::string exact(
          row.line.substr(0, n));  // of its own, so that sanitizers see every byte too far
      guess_level(exact);
      leading_time(exact);
      is_exception_line(exact);
    }
  CHECK(guess_level(std::string(300, ' ') + "ERROR x") == "");
}

TEST_CASE("a time at the start counts only with its zone") {
  constexpr int64_t kSecond = 1'000'000'000;
  constexpr int64_t k2026 = 1'767'225'600;  // 2026-01-01T00:00:00Z
  CHECK(leading_time("2026-01-01T00:00:00Z x") == k2026 * kSecond);
  CHECK(leading_time("2026-01-01T00:00:00Z") == k2026 * kSecond);
  CHECK(leading_time("[2026-01-01T00:00:00Z INFO] x") == k2026 * kSecond);
  CHECK(leading_time("2026-01-01 00:00:01.5+00:00 x") == (k2026 + 1) * kSecond + kSecond / 2);
  CHECK(leading_time("2026-01-01T00:00:00.123456789Z x") == k2026 * kSecond + 123'456'789);
  CHECK(leading_time("2026-01-01T01:30:00+01:30\tx") == k2026 * kSecond);
  CHECK(leading_time("2025-12-31T23:00:00-01:00 x") == k2026 * kSecond);
  CHECK(leading_time("2024-02-29T00:00:00Z x") == 1'709'164'800 * kSecond);
  for (std::string_view line :
       {"2026-01-01 00:00:00 x", "2026-01-01T00:00:00 Z", "2026-02-29T00:00:00Z x", "2026-13-01T00:00:00Z x",
        "2026-01-01T24:00:00Z x", "2026-01-01T00:00:60Z x", "2026-01-01T00:00:00.Z x",
        "2026-01-01T00:00:00Zx", "2026-01-01T00:00:00.1234567890Z x", "2026-01-01T00:00:00+0100 x",
        "x 2026-01-01T00:00:00Z", "", "1969-12-31T00:00:00Z x", "1970-01-01T00:00:05+01:00 x",
        "2262-12-31T23:59:59Z x", "2O26-01-01T00:00:00Z x"}) {
    CAPTURE(std::string(line));
    CHECK_FALSE(leading_time(line).has_value());
  }
}
