#include <doctest/doctest.h>

#include <cstdlib>
#include <fstream>

#include "agent/config/config.h"
#include "agent/ingest/listeners.h"
#include "agent/sinks/sink.h"
#include "tests/support/temp_dir.h"

using namespace weir;

TEST_CASE("a secret is printed as the one reference it came from, else not at all") {
  test::TempDir dir;
  ::setenv("W_TOKEN", "hunter2", 1);
  ::setenv("WEIR_SOCKET", "/tmp/weir_secret_test.sock", 1);
  const auto shown = [&](const std::string& bearer) {
    const std::string file = dir / "s.yaml";
    std::ofstream(file) << "listen: {c: {type: http, bind: '127.0.0.1:0', auth: {bearer: " << bearer
                        << "}}}\n";
    const auto loaded = load_config({.files = {file}}, listener_component_types(), sink_component_types());
    REQUIRE(loaded.config);
    CHECK(loaded.config->listen[0].settings.secret("auth.bearer").find("hunter2") != std::string::npos);
    const std::string printed =
        print_config(*loaded.config, listener_component_types(), sink_component_types());
    CHECK(printed.find("hunter2") == std::string::npos);
    const size_t at = printed.find("bearer: ");
    return printed.substr(at, printed.find('\n', at) - at);
  };
  CHECK(shown("\"${env:W_TOKEN}\"") == "bearer: \"${env:W_TOKEN}\"");
  CHECK(shown("hunter2") == "bearer: \"***\"");
  CHECK(shown("\"${W_NONE:-hunter2}\"") == "bearer: \"***\"");
  CHECK(shown("\"hunter2${env:W_TOKEN}\"") == "bearer: \"***\"");
  CHECK(shown("\"${env:W_TOKEN}hunter2${env:W_TOKEN}\"") == "bearer: \"***\"");
}

TEST_CASE("an empty group of options is noted: tls: {} is no TLS") {
  test::TempDir dir;
  const std::string file = dir / "t.yaml";
  std::ofstream(file) << "listen: {n: {type: tcp, bind: '127.0.0.1:0', tls: {}}}\nsinks: {}\n";
  const auto loaded = load_config({.files = {file}}, listener_component_types(), sink_component_types());
  REQUIRE(loaded.config);
  REQUIRE(loaded.config->notes.size() == 1);
  CHECK(loaded.config->notes[0].find("listen.n.tls: is empty: it changes nothing") != std::string::npos);
}
