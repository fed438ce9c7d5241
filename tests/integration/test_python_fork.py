"""Programs that fork: every process is a client of its own, nothing is lost, nothing comes twice."""
import collections
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))
import harness
from agent_support import PythonTest, by_member, without_no_agent  # first: it puts the client on the path
from harness import ALL_TO_FILE

# A pre-fork server: the parent has connected, logged and counted before its workers are there; its threads log on
# while it forks. Workers serve requests from one listening socket until the parent says stop, and end as such do.
PREFORK = """
import json, os, signal, socket, sys, threading, weir
mode, workers = sys.argv[1], int(sys.argv[2])
weir.connect(mode=mode, service="web")
registry = weir.Registry()
weir.default_client().add_collector(registry.collect)
requests = registry.counter("requests", ("who",))
requests.inc(who="parent")
stop = threading.Event()
logged = [0, 0, 0]
def chatter(n):
    while not stop.is_set():
        weir.log("info", "thread-%d-%d" % (n, logged[n]))
        logged[n] += 1
        stop.wait(0.0005)
threads = [threading.Thread(target=chatter, args=(n,)) for n in range(3)]
for t in threads: t.start()
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen(64)
children = []
for w in range(workers):
    weir.log("info", "forking-%d" % w)
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        served = 0
        while True:
            peer, _ = listener.accept()
            with weir.step("serve", {"n": served}):
                weir.log("info", "worker-%d-%d" % (w, served))
                requests.inc(who="worker")
            peer.sendall(b"%d" % w)
            peer.close()
            served += 1
    children.append(pid)
served = [0] * workers
for n in range(200):
    with socket.create_connection(listener.getsockname()) as peer:
        served[int(peer.recv(10))] += 1
stop.set()
for t in threads: t.join()
for pid in children: os.kill(pid, signal.SIGTERM)
statuses = [os.waitpid(pid, 0)[1] for pid in children]
print(json.dumps({"served": served, "logged": logged, "statuses": statuses}))
"""


class PreFork(PythonTest):
    def test_a_pre_fork_server(self):
        workers = 4
        for mode in ("background", "direct"):
            with self.subTest(mode=mode), self.start(ALL_TO_FILE) as agent:
                told = json.loads(self.run_python(PREFORK, mode, str(workers)))
                self.assertEqual(told["statuses"], [0] * workers)
                self.wait_drained(agent)
                records = agent.records()
                logs = [r["message"] for r in records if r["stream"] == "log"]
                expected = ["forking-%d" % w for w in range(workers)]
                expected += ["thread-%d-%d" % (t, n) for t in range(3) for n in range(told["logged"][t])]
                expected += ["worker-%d-%d" % (w, n) for w in range(workers) for n in range(told["served"][w])]
                self.assertEqual(collections.Counter(logs), collections.Counter(expected))
                self.assertEqual(sum(told["served"]), 200)
                self.assertEqual(len([r for r in records if r["stream"] == "trace"]), 200)
                self.assertEqual(len({r["trace_id"] for r in records if r["stream"] == "trace"}), 200)
                counts = collections.Counter()
                for r in records:
                    if r["stream"] == "telemetry":
                        counts[r["attributes"]["who"]] += r["value"]
                self.assertEqual(counts, {"parent": 1, "worker": 200})
                clients = agent.status()["clients"]
                self.assertEqual(len(clients), 1 + len([n for n in told["served"] if n]))
                self.assertEqual([c["gaps"] for c in clients.values()], [0] * len(clients))
                agent.stop()
            os.remove(self.path("out.jsonl"))

    def test_what_the_parent_had_queued_is_sent_by_the_parent_alone(self):
        code = """
import os, sys, weir
client = weir.connect()
for n in range(100): weir.log("info", "parent-%d" % n)
pid = os.fork()
if pid == 0:
    weir.log("info", "child")
    sys.exit(0)
print(os.waitpid(pid, 0)[1], flush=True)
input()
"""
        process = self.python(code)
        self.assertEqual(process.stdout.readline(), b"0\n")
        agent = self.start(ALL_TO_FILE)  # the child was without an agent; the parent finds one
        self.assertEqual(without_no_agent(process.communicate(b"\n", timeout=harness.DEADLINE_S)[1])[0], b"")
        agent.wait_delivered("out", 100)
        self.wait_drained(agent)
        self.assertEqual(by_member(agent.records(), "message"), ["parent-%d" % n for n in range(100)])

    def test_a_fork_in_a_fork_and_one_that_ends_without_a_word(self):
        agent = self.start(ALL_TO_FILE)
        self.run_python("""
import os, sys, weir
client = weir.connect()
weir.log("info", "0")
ids = [client.client_id]
for depth in "123":
    pid = os.fork()
    if pid:
        assert os.waitpid(pid, 0)[1] == 0
        sys.exit(0)
    assert client.client_id not in ids
    ids.append(client.client_id)
    if depth == "2":
        weir.log("info", depth)
        assert client.flush(10)
    elif depth == "3":
        weir.log("info", depth)
        assert client.flush(10)
        os._exit(0)
""")
        self.wait_drained(agent)
        self.assertEqual(sorted(by_member(agent.records(), "message")), ["0", "2", "3"])

    def test_processes_of_multiprocessing_flush_too(self):
        agent = self.start(ALL_TO_FILE)
        for method in ("fork", "spawn", "forkserver"):
            self.write("pool.py", """
import multiprocessing, sys, weir
def work(n):
    weir.log("info", "%s-%%d" %% n)
if __name__ == "__main__":
    weir.connect()
    weir.log("info", "%s-main")
    context = multiprocessing.get_context("%s")
    processes = [context.Process(target=work, args=(n,)) for n in range(4)]
    for p in processes: p.start()
    for p in processes: p.join()
    assert [p.exitcode for p in processes] == [0] * 4
""" % (method, method, method))
            self.run_python("", self.path("pool.py"))
            self.wait_drained(agent)
            got = [m for m in by_member(agent.records(), "message") if m.startswith(method + "-")]
            self.assertEqual(sorted(got), ["%s-%s" % (method, n) for n in ("0", "1", "2", "3", "main")], method)

    def test_a_child_that_only_counts_is_heard_before_it_is_killed(self):
        agent = self.start(ALL_TO_FILE)
        process = self.python("import os, signal, sys, weir\n"
                              "weir.connect()\n"
                              "served = weir.counter('served')\n"
                              "pid = os.fork()\n"
                              "if pid == 0:\n"
                              "    served.inc(3)\n"
                              "    signal.pause()\n"
                              "sys.stdin.read()\n"
                              "os.kill(pid, signal.SIGTERM)\n"
                              "os.waitpid(pid, 0)\n")
        agent.wait_delivered("out", 1)
        out, err = process.communicate(timeout=harness.DEADLINE_S)
        self.assertEqual((process.returncode, err), (0, b""))
        self.assertEqual(by_member(agent.records(), "value"), [3])

    def test_a_child_that_only_runs_another_program_leaves_the_connection_alone(self):
        agent = self.start(ALL_TO_FILE)
        self.run_python("""
import subprocess, sys, weir
client = weir.connect()
assert client.wait_connected(10)
for n in range(20):
    weir.log("info", str(n))
    subprocess.run([sys.executable, "-c", "import os; assert not os.path.exists('/proc/self/fd/9')"], preexec_fn=lambda: None, check=True)
assert client.flush(10)
assert client.stats()["connects"] == 1, client.stats()
""")
        self.wait_drained(agent)
        self.assertEqual(len(agent.records()), 20)


if __name__ == "__main__":
    harness.main()
