"""What an honest program's logs cost beside hostile ones that attach, break the rules, are shut out and come back.

    ./dev build && python3 bench/hostile.py [--count N] [--repeat N]

Each run: N logs of the native client, 10 us apart, each call timed; in turn alone and beside two processes that start
children without end, each of which attaches rings, rewrites their headers, sends bad frames and memory, and connects on
until it is refused. Prints the medians and their ratio, and what was lost: nothing may be.
"""
import argparse
import multiprocessing
import os
import statistics
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "integration"))
import cpp_client
import frames
import harness
import rings


def attack_once(agent):
    """Until the agent will have no more of it."""
    with rings.connect(agent, "hostile-%d" % os.getpid()) as bad:
        ring = bad.ring()
        site = bad.site(rings.LOG, "bad", args=[("n", rings.I64)])
        for n in range(2000):
            ring.log(site, n)
        bad.attach(rings.RING_FRAME, 7, rings.Ring(fd=rings.memory(rings.HEADER + rings.CAPACITY, 0), ring_id=7).fd, 3)
        for n in range(100):
            ring[rings.HEAD] += ring.capacity * (n % 5 + 2)
            bad.arena[rings.USED] = 1 << 40
            bad.connection.send(frames.records(0, [harness.log("a")]))


def attack(agent):
    while True:
        pid = os.fork()
        if pid == 0:
            try:
                attack_once(agent)
            except BaseException:  # pylint: disable=broad-except
                pass
            os._exit(0)
        os.waitpid(pid, 0)


class Run(harness.AgentTest):
    def runTest(self):
        agent = self.start(harness.ALL_TO_FILE)
        driver = cpp_client.Driver(self, "unix:" + self.path("in.sock"))
        driver.do("log 1000")
        assert driver.do("flush 60000") == "done"
        sent, seen = 1000, {False: [], True: []}
        for _ in range(OPTIONS.repeat):
            for beside in (False, True):
                before = self.connections(agent)
                attackers = [multiprocessing.Process(target=attack, args=[agent]) for _ in range(2 if beside else 0)]
                for a in attackers:
                    a.start()
                seen[beside].append([int(x) for x in driver.do("paced %d 10000" % OPTIONS.count).split()])
                for a in attackers:
                    a.kill()
                    a.join()
                sent += OPTIONS.count
                print("%-8s p50 %d p99 %d p99.9 %d ns; %d violations more" % (
                      "beside" if beside else "alone", *seen[beside][-1], self.connections(agent) - before), flush=True)
        assert driver.do("flush 60000") == "done"
        agent.wait_status(lambda s: s["sinks"]["out"]["lag_records"] == 0, "all delivered")
        lost = sent - len(cpp_client.numbers(agent))
        medians = {b: [statistics.median(x) for x in zip(*seen[b])] for b in seen}
        print("p50, p99, p99.9 alone %s, beside %s; p99 times %.2f; lost %d, dropped %d of %d" % (
              medians[False], medians[True], medians[True][1] / medians[False][1], lost, driver.stats()["dropped"], sent))
        driver.end()

    def connections(self, agent):
        counted = agent.source()["rings"]
        return counted["violations"] + counted["refused"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200_000)
    parser.add_argument("--repeat", type=int, default=5)
    OPTIONS = parser.parse_args()
    multiprocessing.set_start_method("fork")
    harness.unittest.TextTestRunner().run(Run())
