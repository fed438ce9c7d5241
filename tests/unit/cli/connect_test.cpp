#include "agent/cli/connect.h"

#include <doctest/doctest.h>

#include "agent/cli/control_client.h"

using namespace weir::cli;

TEST_CASE("addresses are written as unix:PATH or tcp:HOST:PORT") {
  CHECK(parse_ingest_address("unix:/run/weir.sock")->path == "/run/weir.sock");
  CHECK(parse_ingest_address("tcp:127.0.0.1:4320")->port == "4320");
  CHECK(parse_ingest_address("tcp:[::1]:4320")->host == "::1");
  CHECK(parse_ingest_address("tcp:[::1]:4320")->text() == "tcp:[::1]:4320");
  for (const char* bad : {"", "unix:", "tcp:", "tcp:4320", "tcp::4320", "tcp:host:", "http://x"})
    CHECK_FALSE(bool(parse_ingest_address(bad)));
}

TEST_CASE("an agent that is not there is exit code 69, with the path and the remedy") {
  const auto answer = ControlClient("/nonexistent/control.sock").get("/v1/status");
  REQUIRE_FALSE(bool(answer));
  CHECK(answer.error().exit_code == 69);
  CHECK(answer.error().message.find("/nonexistent/control.sock (No such file or directory)") !=
        std::string::npos);
  CHECK(answer.error().message.find("weir agent") != std::string::npos);
  CHECK_FALSE(bool(connect_unix(std::string(200, 'x'))));
}

TEST_CASE("query strings are encoded byte by byte") {
  CHECK(percent_encode("level >= \"warn\" & \xc3\xa4") == "level%20%3E%3D%20%22warn%22%20%26%20%C3%A4");
}
