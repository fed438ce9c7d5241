#include "agent/cli/event_reader.h"

#include <doctest/doctest.h>

#include <string>

using weir::cli::EventReader;

TEST_CASE("events come out the same however the bytes were cut") {
  const std::string bytes =
      ": keep-alive\n\ndata: {\"a\":1}\n\nevent: skipped\r\ndata: 12\r\n\r\ndata:one\ndata: two\n\nevent: "
      "none\n\ndata: part";
  for (size_t piece = 1; piece <= bytes.size(); ++piece) {
    std::string seen;
    EventReader reader([&](std::string_view type, std::string_view data) {
      seen.append(type).append("[").append(data).append("]");
    });
    for (size_t i = 0; i < bytes.size(); i += piece) reader.feed(std::string_view(bytes).substr(i, piece));
    CHECK(seen == "[{\"a\":1}]skipped[12][one\ntwo]");
  }
}
