#include "agent/ingest/ring_writer.h"

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace weir;

TEST_CASE("a process that lives may write, however long it has not") {
  RingWriter writer(getpid());
  for (int i = 0; i < 1000; ++i) CHECK_FALSE(writer.is_gone(7));
}

TEST_CASE("a process that has ended does not, whether its parent has noticed or not") {
  const pid_t child = fork();
  if (child == 0) pause(), _exit(0);
  RingWriter writer(child);
  CHECK_FALSE(writer.is_gone(0));
  kill(child, SIGKILL);
  siginfo_t info;
  REQUIRE(waitid(P_PID, id_t(child), &info, WEXITED | WNOWAIT) == 0);
  CHECK(writer.is_gone(1));
  REQUIRE(waitpid(child, nullptr, 0) == child);
  CHECK(writer.is_gone(2));
  CHECK(RingWriter(child).is_gone(0));
}

TEST_CASE("of a process that the kernel does not name silence tells") {
  RingWriter writer(0);
  CHECK_FALSE(writer.is_gone(1));
  for (int i = 0; i < RingWriter::kQuietLooksMax; ++i) CHECK_FALSE(writer.is_gone(1));
  CHECK_FALSE(writer.is_gone(2));
  for (int i = 0; i < RingWriter::kQuietLooksMax; ++i) CHECK_FALSE(writer.is_gone(2));
  CHECK(writer.is_gone(2));
}
