// The agent is away, whatever runs on this machine: static initialisers log, and read where it is, before
// main.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdlib>

#include "tests/client/fake_reader.h"
#include "weir/weir.h"

namespace {

/// Runs before the library's own initialisers, if it had any.
struct Early {
  Early() {
    setenv("WEIR_ADDRESS", "unix:/nonexistent/weir.sock", 1);
    WEIR_INFO("before main");
  }
} early __attribute__((init_priority(101)));

}  // namespace

/// The child of a fork starts a thread of its own, which the thread sanitizer only watches when it is told
/// to.
extern "C" const char* __tsan_default_options() { return "die_after_fork=0"; }

int main(int argc, char** argv) {
  weir::test::before_main = weir::test::take_all();
  return doctest::Context(argc, argv).run();
}
