// The agent is away, whatever runs on this machine: addresses of static initialisers are read from the
// environment.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdlib>

#include "weir/weir.h"

namespace {
struct NoAgent {
  NoAgent() { setenv("WEIR_ADDRESS", "unix:/nonexistent/weir.sock", 1); }
} no_agent __attribute__((init_priority(101)));
}  // namespace

int main(int argc, char** argv) { return doctest::Context(argc, argv).run(); }
