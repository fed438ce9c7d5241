#include "agent/cli/demo_records.h"

#include <doctest/doctest.h>

#include <map>
#include <optional>
#include <string>

#include "agent/decode/decoder.h"

using namespace weir;

TEST_CASE("the demonstration is made of records that the agent takes, in the order of their time") {
  uint64_t next = 1;
  const auto records = cli::demo_records(1'700'000'000'000'000'000, [&] { return next++; });
  Decoder decoder;
  FieldTable fields;
  std::map<Stream, int> count;
  int64_t last_ns = 0;
  for (const auto& record : records) {
    CAPTURE(record.line);
    std::string padded = record.line.substr(0, record.line.size() - 1);
    const size_t length = padded.size();
    padded.append(64, '\0');
    CHECK_FALSE(bool(decoder.decode(std::string_view(padded).substr(0, length), std::nullopt, fields)));
    ++count[fields.stream];
    CHECK(record.at_ns >= last_ns);
    last_ns = record.at_ns;
  }
  CHECK(count[Stream::trace] == 18);
  CHECK(count[Stream::log] == 6);
  CHECK(count[Stream::telemetry] == 4);
  CHECK(count[Stream::monitoring] == 1);
  CHECK(last_ns < 2'500'000'000);
}
