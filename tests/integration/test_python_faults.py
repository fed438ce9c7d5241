"""The agent is absent, stopped, killed, restarted: the program does not notice, and every record is accounted for."""
import collections
import json
import os
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))
import harness
from agent_support import DISK, PythonTest, by_member, offered, without_no_agent  # first: it puts the client on the path
from harness import ALL_TO_FILE, wait_for
import weir

CALLS = 30_000
CONTEXT = {"run_id": "r-1", "decision": "new", "lines": [1, 2, 3], "customer": {"id": 7, "name": "x" * 40}}

# What a program sees: the longest of all calls but one in a thousand, in nanoseconds, and whether anything was raised.
PROGRAM = """
import json, logging, os, sys, time, weir
calls, mode = int(sys.argv[1]), sys.argv[2]
client = weir.connect(mode=mode, queue_records_max=2000, metrics_interval_s=1000)
if "connected" in sys.argv: assert client.wait_connected(10)
print("ready", flush=True)
sys.stdin.readline()
logger = logging.Logger("x")
logger.addHandler(weir.LoggingHandler())
counter = weir.counter("c", ("a",))
ctx = %r
def one(n):
    kind = n %% 4
    if kind == 0: logger.info("number %%d", n)
    elif kind == 1: client.emit("trace", {"trace_id": "t", "step_name": "s", "ctx": ctx})
    elif kind == 2: counter.inc(a=n %% 7)
    else:
        with weir.step("s", ctx): pass
def waited_for_cores():  # ns that threads of this process were ready to run and others ran
    total = 0
    for task in os.listdir("/proc/self/task"):
        try:
            with open("/proc/self/task/%%s/schedstat" %% task) as f: total += int(f.read().split()[1])
        except OSError: pass  # a kernel that does not say, or a thread that has ended
    return total
took, stolen, most = [], waited_for_cores(), 0
for n in range(calls):
    begin = time.perf_counter_ns()
    one(n)
    ns = time.perf_counter_ns() - begin
    if ns > 500_000:
        most, before, stolen = max(most, ns), stolen, waited_for_cores()
        ns = max(0, ns - (stolen - before))
    took.append(ns)
took.sort()
print(json.dumps({"p999": took[-calls // 1000], "p50": took[calls // 2], "most": most, "stats": client.stats()}), flush=True)
client.close(float(sys.stdin.readline()))
print(json.dumps(client.stats()), flush=True)
""" % CONTEXT


class Latency(PythonTest):
    """30,000 calls of four kinds in a row, as fast as they go: the program's own figures.

    Time in which the process was ready to run and others had the cores is not counted: this machine is not ours alone.
    While the agent is there the calling thread, the client's own and the agent share two cores and the interpreter.
    """

    def measure(self, state, mode, agent=None):
        process = self.python(PROGRAM, str(CALLS), mode, *(["connected"] if agent else []))
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.stdin.close)
        self.addCleanup(process.kill)

        def go(line=b"\n"):
            process.stdin.write(line)
            process.stdin.flush()
        self.assertEqual(process.stdout.readline(), b"ready\n")
        if state == "stopped":
            agent.signal(signal.SIGSTOP)
        if state == "killed":
            killer = threading.Thread(target=lambda: (os.kill(agent.pid, signal.SIGKILL)))
            killer.start()
        go()
        got = json.loads(process.stdout.readline())
        stats = got["stats"]
        if state == "stopped":
            agent.signal(signal.SIGCONT)
        if state == "killed":
            self.kill(agent)
        print("\n%-10s %-11s p50 %.1f us, p99.9 %.0f us, by the clock at most %.0f us, dropped %d" % (state, mode, got["p50"] / 1e3,
              got["p999"] / 1e3, got["most"] / 1e3, sum(stats["dropped"].values())), file=sys.stderr)
        got["limit"] = 1_000_000 if state != "there" else 10_000_000
        records = CALLS // 4 * 3  # counters make no record each
        self.assertEqual(offered(stats), records)
        go(b"10\n" if state in ("there", "stopped") else b"0.1\n")
        last = json.loads(process.stdout.readline())
        process.stdin.close()
        self.assertEqual((process.wait(harness.DEADLINE_S), without_no_agent(process.stderr.read())[0]), (0, b""))
        return got["p999"] < got["limit"], stats, last

    def check(self, state, mode):
        """Up to twice: what the host takes from this machine is in no file of /proc. The books are right every time."""
        for _ in range(2):
            if self.check_once(state, mode):
                return
        self.fail("p99.9 of a call is above 1 ms (above 10 ms while the agent is there and takes turns with us)")

    def check_once(self, state, mode):
        agent = None if state == "absent" else self.start(ALL_TO_FILE)
        fast, stats, last = self.measure(state, mode, agent)
        if state == "absent":
            self.assertGreater(stats["dropped"]["queue_full"], 10_000)
        if state in ("absent", "killed"):
            return fast
        self.assertEqual(last["queued"], 0)
        dropped = sum(last["dropped"].values())
        agent.wait_status(lambda s: s["clients"][last["client_id"]].get("dropped", 0) == dropped, "drops are told")
        self.assertEqual(agent.source()["accepted"], last["acknowledged"])
        agent.stop()
        return fast

    def test_absent_background(self):
        self.check("absent", "background")

    def test_absent_direct(self):
        self.check("absent", "direct")

    def test_there_background(self):
        self.check("there", "background")

    def test_there_direct(self):
        self.check("there", "direct")

    def test_stopped_background(self):
        self.check("stopped", "background")

    def test_stopped_direct(self):
        self.check("stopped", "direct")

    def test_killed_background(self):
        self.check("killed", "background")

    def test_killed_direct(self):
        self.check("killed", "direct")


class Restarts(PythonTest):
    def test_an_agent_that_comes_late_gets_what_was_kept_and_is_told_what_was_not(self):
        client = self.client(queue_records_max=500)
        for n in range(2000):
            client.log("info", str(n))
        agent = self.start(ALL_TO_FILE)
        self.flush(client)
        stats = client.stats()
        self.assertEqual((stats["queued"], offered(stats)), (0, 2000))
        self.assertGreater(stats["dropped"]["queue_full"], 0)
        agent.wait_status(lambda s: s["clients"][client.client_id].get("dropped") == stats["dropped"]["queue_full"], "told")
        agent.wait_delivered("out", stats["acknowledged"])
        kept = [int(m) for m in by_member(agent.records(), "message")]
        self.assertEqual(kept[:500], list(range(500)))  # the newest are dropped, not the oldest
        self.assertEqual(kept, sorted(set(kept)))

    def test_drops_while_it_is_stopped_are_told_when_it_goes_on(self):
        agent = self.start(ALL_TO_FILE)
        client = self.connected(queue_records_max=100, queue_bytes_max=1 << 30)
        agent.signal(signal.SIGSTOP)
        for n in range(3000):
            client.emit("trace", {"n": n, "pad": "x" * 1000})
        agent.signal(signal.SIGCONT)
        self.flush(client)
        stats = client.stats()
        self.assertEqual(offered(stats), 3000)
        status = agent.wait_status(lambda s: s["clients"][client.client_id]["dropped"] == sum(stats["dropped"].values()), "told")
        self.assertEqual(status["sources"]["local"]["accepted"], stats["acknowledged"])
        self.wait_drained(agent)
        numbers = by_member(agent.records(), "n")
        self.assertEqual((len(numbers), numbers), (stats["acknowledged"], sorted(set(numbers))))

    def hammer(self, ack, kill):
        """Threads that log for as long as the agent is killed and started under them; nothing lost, nothing twice."""
        agent = self.start(DISK + ALL_TO_FILE)
        client = self.connected(ack=ack, queue_records_max=200_000)
        self.assertEqual(client.stats()["ack"], ack)
        counts, stop = collections.Counter(), threading.Event()

        def run(name):
            while not stop.wait(0.001):  # a pace, not a wait: records go on through every state of the agent
                for _ in range(10):
                    client.log("info", "%s-%d" % (name, counts[name]))
                    counts[name] += 1
        connects = []

        def progress():
            """With an agent that has not been killed yet."""
            was = client.stats()["acknowledged"]
            wait_for(lambda: client.stats()["connects"] > len(connects) and client.stats()["acknowledged"] > was + 300, "progress")
            connects.append(client.stats()["connects"])
        threads = [threading.Thread(target=run, args=("t%d" % n,)) for n in range(3)]
        for t in threads:
            t.start()
        try:
            for _ in range(6 if harness.LONG else 3):
                progress()
                if kill:
                    self.kill(agent)
                else:
                    agent.stop()
                agent = self.restart()
            progress()
        finally:
            stop.set()
            for t in threads:
                t.join()
        self.flush(client)
        stats = client.stats()
        self.assertEqual((stats["acknowledged"], sum(stats["dropped"].values())), (sum(counts.values()), 0))
        self.wait_drained(agent)
        messages = by_member(agent.records(), "message")
        for name, count in counts.items():
            self.assertEqual([m for m in messages if m.startswith(name + "-")], ["%s-%d" % (name, n) for n in range(count)])
        self.assertEqual(len(messages), sum(counts.values()))
        self.assertEqual(agent.status()["clients"][client.client_id]["gaps"], 0)

    def test_killed_again_and_again_with_a_disk_journal_nothing_is_lost_or_doubled_buffered(self):
        self.hammer("buffered", kill=True)

    def test_killed_again_and_again_with_a_disk_journal_nothing_is_lost_or_doubled_durable(self):
        self.hammer("durable", kill=True)

    def test_stopped_in_an_orderly_way_and_started_again(self):
        self.hammer("buffered", kill=False)

    def test_direct_mode_through_a_kill(self):
        agent = self.start(DISK + ALL_TO_FILE)
        client = self.connected(mode="direct")
        for n in range(300):
            client.log("info", str(n))
            if n == 150:
                self.kill(agent)
        agent = self.restart()
        self.flush(client)
        self.wait_drained(agent)
        self.assertEqual(by_member(agent.records(), "message"), [str(n) for n in range(300)])

    def test_metrics_of_the_time_without_an_agent_arrive_added_up(self):
        registry = weir.Registry()
        client = self.client(metrics_interval_s=0.02)
        client.add_collector(registry.collect)
        counter = registry.counter("c")
        for _ in range(100):
            counter.inc()
        wait_for(lambda: client.stats()["last_error"], "tried")
        agent = self.start(ALL_TO_FILE)
        agent.wait_delivered("out", 1)
        self.assertEqual([(r["name"], r["value"]) for r in agent.records()], [("c", 100)])

    def test_the_same_client_twice_is_said_and_the_older_one_stays_away(self):
        agent = self.start(ALL_TO_FILE)
        first = self.connected(client_id="orders")
        with self.assertLogs("weir.client", "WARNING") as said:
            second = self.connected(client_id="orders")
            wait_for(lambda: first.stats()["last_error"] == "taken_over", "said")
        self.assertIn("taken_over", said.output[0])
        second.log("info", "x")
        self.flush(second)
        agent.wait_delivered("out", 1)

    def test_at_exit_a_stopped_agent_is_waited_for_one_second_at_most(self):
        agent = self.start(ALL_TO_FILE)
        process = self.python("import weir\nc = weir.connect()\nassert c.wait_connected(10)\nprint('ready', flush=True)\ninput()\nweir.log('info', 'x')")
        self.assertEqual(process.stdout.readline(), b"ready\n")
        agent.signal(signal.SIGSTOP)
        begin = time.monotonic()
        _, err = process.communicate(b"\n", timeout=harness.DEADLINE_S)
        took = time.monotonic() - begin
        agent.signal(signal.SIGCONT)
        self.assertEqual((process.returncode, err), (0, b""))
        self.assertLess(took, 5 if harness.SANITIZED else 2.5)
        agent.wait_delivered("out", 1)  # it was sent

    def test_at_exit_an_agent_that_was_never_there_is_not_waited_for(self):
        begin = time.monotonic()
        self.run_python("import weir\nweir.connect(exit_timeout_s=30)\nweir.log('info', 'x')", no_agent=1)
        self.assertLess(time.monotonic() - begin, 15)


if __name__ == "__main__":
    harness.main()
