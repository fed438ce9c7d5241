"""The units in systemd/, and what systemd does for the agent: sockets it keeps open, readiness, the watchdog (interface.md
section 7, security.md). A small supervisor here takes its part."""
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import unittest

import harness
from supervisor import Supervisor

UNITS = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "systemd")
RESTARTS = 20
CONFIG = """
journal: {type: disk}
streams: {log: {sinks: [out]}}
sinks: {out: {type: jsonl, path: "@/out.jsonl"}}
"""


@unittest.skipUnless(shutil.which("systemd-analyze"), "systemd-analyze (Debian: systemd) is not installed")
class Units(harness.AgentTest):
    def setUp(self):
        super().setUp()
        for name in os.listdir(UNITS):
            with open(os.path.join(UNITS, name), encoding="utf-8") as f:
                self.write(name, f.read().replace("/usr/bin/weir", harness.BINARY))

    def analyze(self, *words):
        done = subprocess.run(["systemd-analyze", *words], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def test_they_are_understood(self):
        units = [self.path(name) for name in ("weir.service", "weir.socket", "weir-control.socket")]
        self.assertEqual(self.analyze("verify", *units), "")

    def test_exposure(self):
        self.analyze("security", "--offline=yes", "--threshold=12", self.path("weir.service"))


class Manager(harness.AgentTest):
    """A service manager that is not there, or does not listen."""

    def come_and_go(self, agent, count):
        for n in range(count):
            with agent.connect() as c:
                c.hello(client_id="c%d" % n, ack="received")
        agent.wait_status(lambda s: s["sources"]["local"]["connections"] == 0, "all are gone")
        return len(os.listdir("/proc/%d/fd" % agent.pid))

    def test_one_that_is_not_there_costs_no_descriptors(self):
        agent = self.start(CONFIG, env={"NOTIFY_SOCKET": self.path("nowhere")})
        before = self.come_and_go(agent, 3)
        self.assertLess(self.come_and_go(agent, 100), before + 10)
        self.assertIn("$NOTIFY_SOCKET cannot be reached", agent.stderr())

    def test_one_that_never_reads_holds_up_no_end(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
            deaf.bind(self.path("deaf"))
            agent = self.start(CONFIG, env={"NOTIFY_SOCKET": self.path("deaf")})
            self.come_and_go(agent, 100)
            agent.stop()


class Client:
    """Sends numbered records, a connection for each dozen, and counts connections that were refused."""

    def __init__(self, path):
        self.path, self.next_seq, self.acked, self.refused, self.stopping = path, 1, 0, 0, False
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.stopping:
            try:
                self.dozen()
            except ConnectionRefusedError:
                self.refused += 1
            except OSError:
                pass  # the agent went away: all of it again

    def dozen(self):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(harness.DEADLINE_S)
            s.connect(self.path)
            last = self.acked + 12
            hello = {"weir": "hello", "client_id": "restarts", "ack": "durable", "next_seq": self.acked + 1}
            lines = [json.dumps(hello)] + [harness.log("r", n=n) for n in range(self.acked + 1, last + 1)]
            s.sendall(harness.as_bytes(lines))
            for line in s.makefile("r", encoding="utf-8"):
                answer = json.loads(line)
                if answer.get("weir") == "ack" and answer["seq"] >= last:
                    self.acked = last
                    return


class Activation(harness.AgentTest):
    def setUp(self):
        super().setUp()
        self.write_config(CONFIG)
        self.supervisor = Supervisor(self)

    def test_no_connection_is_refused_and_nothing_acknowledged_is_lost_by_restarts(self):
        client = Client(self.path("in.sock"))
        client.thread.start()
        try:
            for n in range(RESTARTS):
                before = client.acked
                self.supervisor.start()
                harness.wait_for(lambda: client.acked > before, "records are acknowledged")
                code = self.supervisor.end(signal.SIGKILL if n % 2 else signal.SIGTERM)
                self.assertEqual(code, -signal.SIGKILL if n % 2 else 0)
            self.supervisor.start()
        finally:
            client.stopping = True
            client.thread.join()
        self.assertEqual(client.refused, 0)
        self.assertEqual(self.supervisor.end(signal.SIGTERM), 0)
        with open(self.path("out.jsonl"), encoding="utf-8") as f:
            numbers = [json.loads(line)["n"] for line in f]
        self.assertEqual(numbers[: client.acked], list(range(1, client.acked + 1)))
        self.assertEqual(len(numbers), len(set(numbers)))
        for name in ("in.sock", "control.sock"):
            self.assertTrue(os.path.exists(self.path(name)), name + " is not the agent's to remove")

    def test_control_and_reload_work_on_a_passed_socket(self):
        self.supervisor.start()
        done = subprocess.run([harness.BINARY, "reload", "-o", "json"], env=self.env(), capture_output=True, text=True)
        self.assertEqual((done.returncode, json.loads(done.stdout)["result"]), (0, "unchanged"))

    def test_the_watchdog_is_fed_while_the_pipe_answers(self):
        self.supervisor.start(WATCHDOG_USEC="300000")
        for _ in range(3):
            self.supervisor.wait_for("WATCHDOG=1")


if __name__ == "__main__":
    unittest.main()
