#include "agent/ring/transcode.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "tests/support/ring_memory.h"

namespace weir::ring {
namespace {

using test::ClientArena;
using test::ClientRing;
using test::raw;
using test::sized;
using Kind = RecordKind;

constexpr uint64_t kNs = 1'769'000'000'123'456'789;
const std::string kNone(1, '\0');

struct Bench {
  ClientArena client;
  std::unique_ptr<Arena> arena = std::move(*Arena::attach(client.fd));
  RingClock clock;
  Transcoder transcoder;
  Transcoded of(uint32_t site, const std::string& body, ClockKind kind = ClockKind::realtime,
                uint64_t at = kNs) {
    std::string record = ClientRing::record_bytes(site, at, body);
    const size_t size = record.size();
    record.append(Transcoder::kReadBeyond, '\0');
    return transcoder.transcode({record.data(), size}, kind, *arena, clock);
  }
  std::string line(uint32_t site, const std::string& body) {
    const Transcoded t = of(site, body);
    return t.refused.empty() ? std::string(t.line) : "refused: " + std::string(t.refused);
  }
};

std::string has(int bits) { return std::string(1, char(bits)); }

const std::string kTrace("\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff", 16);
const std::string kSpan("\x01\x23\x45\x67\x89\xab\xcd\xef", 8),
    kParent("\xfe\xdc\xba\x98\x76\x54\x32\x10", 8);

TEST_CASE("a log: constants, ids, and arguments in its message") {
  Bench b;
  CHECK(b.line(b.client.site(Kind::log, "hello"), kNone) ==
        R"({"stream":"log","ts":1769000000123456789,"level":"info","message":"hello"})");
  const uint32_t site = b.client.site(Kind::log, "{n} of {who} {n}{} {x} {", "app.\"db\"", "db.cc:1",
                                      {{"n", ValueType::i32}, {"who", ValueType::text}}, Level::error);
  CHECK(b.line(site, has(kTraceId | kSpanId | kParentId | kCorrelationId) + kTrace + kSpan + kParent +
                         sized<uint8_t>("c\n") + raw(int32_t(-5)) + sized<uint16_t>("a\"b")) ==
        R"({"stream":"log","ts":1769000000123456789,"level":"error","message":"-5 of a\"b -5{} {x} {",)"
        R"("logger":"app.\"db\"","trace_id":"00112233445566778899aabbccddeeff","span_id":"0123456789abcdef",)"
        R"("parent_span_id":"fedcba9876543210","correlation_id":"c\n","attributes":{"n":-5,"who":"a\"b"}})");
}

TEST_CASE("a span: ok, failed, shortened") {
  Bench b;
  const uint32_t site = b.client.site(Kind::span, "load", "", "db.cc:20", {{"rows", ValueType::u32}});
  const std::string rest = raw(kNs - 1000) + raw(uint32_t(7));
  CHECK(b.line(site, has(kTraceId | kSpanId | kParentId) + kTrace + kSpan + kParent + rest) ==
        R"({"stream":"trace","kind":"span","name":"load","trace_id":"00112233445566778899aabbccddeeff",)"
        R"("span_id":"0123456789abcdef","parent_span_id":"fedcba9876543210","start":1769000000123455789,)"
        R"("end":1769000000123456789,"status":"ok","attributes":{"rows":7}})");
  CHECK(
      b.line(site, has(kError | kShortened) + sized<uint8_t>("io") + sized<uint16_t>("no") + rest) ==
      R"({"stream":"trace","kind":"span","name":"load","start":1769000000123455789,"end":1769000000123456789,)"
      R"("status":"error","error":{"type":"io","message":"no","where":"db.cc:20"},"attributes":{"rows":7},)"
      R"("shortened":true})");
}

TEST_CASE("metrics") {
  Bench b;
  CHECK(b.line(b.client.site(Kind::counter, "requests", "1", "", {{"code", ValueType::i64}}),
               kNone + raw(1.0) + raw(int64_t(200))) ==
        R"({"stream":"telemetry","ts":1769000000123456789,"name":"requests","type":"counter",)"
        R"("temporality":"delta","value":1,"unit":"1","attributes":{"code":200}})");
  CHECK(b.line(b.client.site(Kind::gauge, "depth"), kNone + raw(622.5)) ==
        R"({"stream":"telemetry","ts":1769000000123456789,"name":"depth","type":"gauge","value":622.5})");
  CHECK(
      b.line(b.client.site(Kind::histogram, "t", "ms"), kNone + raw(std::nan(""))) ==
      R"({"stream":"telemetry","ts":1769000000123456789,"name":"t","type":"histogram","value":"NaN","unit":"ms"})");
}

TEST_CASE("a value of each type") {
  Bench b;
  const uint32_t string = b.client.string("kept \x01");
  const auto site = [&](ValueType type) { return b.client.site(Kind::log, "{a}", "", "", {{"a", type}}); };
  const auto check = [&](ValueType type, const std::string& value, const std::string& json,
                         const std::string& message) {
    CAPTURE(int(type));
    CHECK(b.line(site(type), kNone + value) == R"({"stream":"log","ts":1769000000123456789,"level":"info",)"
                                               "\"message\":\"" +
                                                   message + "\",\"attributes\":{\"a\":" + json + "}}");
  };
  check(ValueType::null, "", "null", "null");
  check(ValueType::i32, raw(INT32_MIN), "-2147483648", "-2147483648");
  check(ValueType::u32, raw(UINT32_MAX), "4294967295", "4294967295");
  check(ValueType::i64, raw(INT64_MIN), "-9223372036854775808", "-9223372036854775808");
  check(ValueType::u64, raw(UINT64_MAX), "18446744073709551615", "18446744073709551615");
  check(ValueType::f64, raw(1.0), "1.0", "1.0");
  check(ValueType::f64, raw(-0.0), "-0.0", "-0.0");
  check(ValueType::f64, raw(0.1), "0.1", "0.1");
  check(ValueType::f64, raw(1e300), "1e+300", "1e+300");
  check(ValueType::f64, raw(-std::numeric_limits<double>::infinity()), "\"-Infinity\"", "-Infinity");
  check(ValueType::boolean, raw(uint8_t(1)), "true", "true");
  check(ValueType::boolean, raw(uint8_t(0)), "false", "false");
  check(ValueType::text, sized<uint16_t>("\xc3\xa9\\ \x1f\x7f"), "\"\xc3\xa9\\\\ \\u001f\x7f\"",
        "\xc3\xa9\\\\ \\u001f\x7f");
  check(ValueType::string, raw(string), "\"kept \\u0001\"", "kept \\u0001");
  check(ValueType::json, sized<uint32_t>("{\"x\":\n[\"\\\"\",1]}"), "{\"x\": [\"\\\"\",1]}",
        "{\\\"x\\\":\\n[\\\"\\\\\\\"\\\",1]}");
  check(ValueType::time, raw(kNs), "\"2026-01-21T12:53:20.123456789Z\"", "2026-01-21T12:53:20.123456789Z");
  check(ValueType::id16, kTrace, "\"00112233445566778899aabbccddeeff\"", "00112233445566778899aabbccddeeff");
  check(ValueType::id8, kSpan, "\"0123456789abcdef\"", "0123456789abcdef");
}

TEST_CASE("bytes that are no UTF-8 are replaced, wherever they stand") {
  Bench b;
  const uint32_t site = b.client.site(Kind::log, "\xff", "", "", {{"a", ValueType::text}});
  const std::string bad[] = {"\xff", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82", "\x80"};
  for (const std::string& text : bad)
    for (size_t before = 0; before < 18; ++before) {
      const std::string clean(before, 'x');
      std::string replaced;
      for (size_t i = 0; i < text.size(); ++i) replaced += "\xEF\xBF\xBD";
      const std::string got = b.line(site, kNone + sized<uint16_t>(clean + text + "y"));
      CHECK(got.ends_with("\"a\":\"" + clean + replaced + "y\"}}"));
    }
  for (size_t before = 0; before < 18; ++before) {
    const std::string text =
        std::string(before, 'x') + "\xf0\x9f\x98\x80\xed\x9f\xbf\xef\xbf\xbd" + "\xc2\x80";
    CHECK(b.line(site, kNone + sized<uint16_t>(text)).ends_with("\"a\":\"" + text + "\"}}"));
  }
}

TEST_CASE("a dynamic record: its members in order, ts but for traces") {
  Bench b;
  const auto member = [](std::string_view name, ValueType type, const std::string& value) {
    return sized<uint8_t>(name) + raw(type) + value;
  };
  CHECK(b.line(kDynamic | 3, member("rule", ValueType::text, sized<uint16_t>("r")) +
                                 member("b", ValueType::u32, raw(uint32_t(2)))) ==
        R"({"stream":"monitoring","ts":1769000000123456789,"rule":"r","b":2})");
  CHECK(b.line(kDynamic, member("at", ValueType::time, raw(kNs))) ==
        R"({"stream":"trace","at":"2026-01-21T12:53:20.123456789Z"})");
  CHECK(b.line(kDynamic | 1, "") == R"({"stream":"log","ts":1769000000123456789})");
  CHECK_FALSE(b.of(kDynamic | 1, "").plain);
}

TEST_CASE("the process's name is in each record, once") {
  Bench b;
  b.arena = std::move(*Arena::attach(b.client.fd, "or\"ders"));
  CHECK(b.line(b.client.site(Kind::log, "hello"), kNone) ==
        R"({"stream":"log","service":"or\"ders","ts":1769000000123456789,"level":"info","message":"hello"})");
  CHECK(b.line(kDynamic, "") == R"({"stream":"trace","service":"or\"ders"})");
  CHECK(b.line(kDynamic, sized<uint8_t>("service") + raw(ValueType::text) + sized<uint16_t>("own")) ==
        R"({"stream":"trace","service":"own"})");
}

TEST_CASE("what makes no sense is refused") {
  Bench b;
  const uint32_t site =
      b.client.site(Kind::log, "x", "", "", {{"s", ValueType::string}, {"t", ValueType::text}});
  const std::string fit = "refused: its values do not fit its length";
  const std::string unknown_string = "refused: it names a string that is not in the arena";
  CHECK(b.line(0, kNone) == "refused: it names a site that is not in the arena");
  CHECK(b.line(7, kNone) == "refused: it names a site that is not in the arena");
  CHECK(b.line(site, "") == fit);
  CHECK(b.line(site, kNone + raw(uint32_t(1)) + sized<uint16_t>("")) == unknown_string);
  b.client.string("s");
  CHECK(b.line(site, kNone + raw(uint32_t(1)) + raw(uint16_t(60000))) == fit);
  CHECK(b.line(site, kNone + raw(uint32_t(1)) + sized<uint16_t>("t") + std::string(16, 'x')) == fit);
  CHECK(b.line(site, has(kError) + sized<uint8_t>("e") + sized<uint16_t>("m") + raw(uint32_t(1)) +
                         sized<uint16_t>("t")) == fit);
  CHECK(b.line(kDynamic | 4, "") == "refused: its stream is not one of the four");
  CHECK(b.line(kDynamic | 1, sized<uint8_t>("a") + raw(uint8_t(13))) ==
        "refused: it has a value of an unknown type");
}

TEST_CASE("of arguments with the same name the last one counts") {
  Bench b;
  const uint32_t site = b.client.site(Kind::log, "{a}", "", "",
                                      {{"a", ValueType::i32}, {"b", ValueType::i32}, {"a", ValueType::text}});
  const std::string values = kNone + raw(int32_t(1)) + raw(int32_t(2)) + sized<uint16_t>("last");
  CHECK(b.line(site, values) == R"({"stream":"log","ts":1769000000123456789,"level":"info","message":"last",)"
                                R"("attributes":{"b":2,"a":"last"}})");
  CHECK(b.of(site, values).plain);
  // What is not UTF-8 is shown the same.
  CHECK(b.line(b.client.site(Kind::log, "x", "", "", {{"\xff", ValueType::null}, {"\xfe", ValueType::null}}),
               kNone) ==
        "{\"stream\":\"log\",\"ts\":1769000000123456789,\"level\":\"info\",\"message\":\"x\","
        "\"attributes\":{\"\xef\xbf\xbd\":null}}");
}

TEST_CASE("JSON is left for the decoder to judge") {
  Bench b;
  CHECK(b.of(b.client.site(Kind::log, "x", "", "", {{"a", ValueType::null}}), kNone).plain);
  CHECK_FALSE(
      b.of(b.client.site(Kind::log, "x", "", "", {{"a", ValueType::json}}), kNone + sized<uint32_t>("1"))
          .plain);
}

TEST_CASE("a message that names a text again and again does not grow without end") {
  Bench b;
  std::string message;
  while (message.size() < 60000) message += "{a}";
  const uint32_t site = b.client.site(Kind::log, message, "", "", {{"a", ValueType::text}});
  const Transcoded t = b.of(site, kNone + sized<uint16_t>(std::string(10000, '\x01')));
  CHECK(t.too_long);
  CHECK(t.line.empty());
}

TEST_CASE("the time stamp counter shows the time") {
  if (!RingClock::has_tsc()) return;
  RingClock clock;
  const int64_t before = clock.now_ns();
  const int64_t shown = clock.ns(ClockKind::tsc, __builtin_ia32_rdtsc());
  CHECK(std::abs(shown - before) < 50'000'000);
  for (uint64_t extreme : {uint64_t(0), UINT64_MAX, uint64_t(1) << 63})
    for (ClockKind kind : {ClockKind::tsc, ClockKind::realtime}) CHECK(clock.ns(kind, extreme) >= 0);
}

}  // namespace
}  // namespace weir::ring
