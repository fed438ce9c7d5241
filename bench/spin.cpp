// spin: keeps a processor awake and leaves nearly all of it to the other hardware thread of its core.
//   spin PROCESSOR     ends with its parent
// At the lowest priority (SCHED_IDLE), so that it yields to everything else at once. Each step waits for the
// one before it, which takes next to nothing of what two hardware threads share; PAUSE would leave the
// virtual machine.
#include <emmintrin.h>
#include <sched.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>

int main(int argc, char** argv) {
  if (argc != 2) return std::fputs("usage: spin PROCESSOR\n", stderr), 64;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  std::signal(SIGINT, SIG_IGN);
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(size_t(std::atoi(argv[1])), &set);
  const sched_param lowest{};
  if (sched_setaffinity(0, sizeof set, &set) != 0 || sched_setscheduler(0, SCHED_IDLE, &lowest) != 0)
    return std::perror("spin"), 1;
  for (;;) _mm_lfence();
}
