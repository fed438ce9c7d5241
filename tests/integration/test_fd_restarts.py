"""Restarts of the agent under load, with a service manager that keeps its descriptors (docs/decisions/0020-descriptor-store.md)."""
import collections
import json
import os
import signal
import socket
import threading
import unittest

import frames
import harness
import rings
from cpp_client import DRIVER, Driver
from harness import log, wait_for
from stored import DISK, Stored, unread

RESTARTS = 200 if harness.LONG else 20


class LineClient:
    """Sends numbered records on one connection for as long as that lives, then on the next; resends what was not acknowledged."""

    def __init__(self, path):
        self.path, self.acked, self.refused, self.connections, self.stopping = path, 0, 0, 0, False
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.stopping:
            try:
                self.talk()
            except ConnectionRefusedError:
                self.refused += 1
            except OSError:
                pass

    def talk(self):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(harness.DEADLINE_S)
            s.connect(self.path)
            self.connections += 1
            sent = self.acked
            s.sendall(harness.as_bytes([harness.compact({"weir": "hello", "client_id": "lines", "ack": "durable", "next_seq": sent + 1})]))
            answers = s.makefile("r", encoding="utf-8")
            while not self.stopping:
                s.sendall(harness.as_bytes([log("m", n=n) for n in range(sent, sent + 12)]))
                sent += 12
                while self.acked < sent:
                    line = answers.readline()
                    if not line:
                        return
                    self.acked = max(self.acked, json.loads(line).get("seq", 0))


def until_ring(driver):
    """How many records it took: those before the ring go as frames."""
    count = 0

    def ring():
        nonlocal count
        count += driver.do("log 1") == "ok"
        return driver.stats()["transport"] == "ring"
    wait_for(ring, "the driver has rings")
    return count


@unittest.skipUnless(os.access(DRIVER, os.X_OK), "no native client at " + DRIVER)
class Restarts(Stored):
    CONFIG = 'sandbox: {}\nlisten: {local: {type: unix, path: "@/in.sock", stamp: true}}\n' + DISK

    def by_producer(self):
        """{pid: numbers of its native records in the order of the file}, and those of the lines."""
        native, lines = collections.defaultdict(list), []
        with open(self.path("out.jsonl"), encoding="utf-8") as f:
            for record in map(json.loads, f.read().split("\n")[:-1]):
                if record["message"] == "m":
                    lines.append(record["n"])
                else:
                    native[record["_peer"]["pid"]].append(record["attributes"]["n"])
        return native, lines

    def test_twenty_restarts_under_load(self):
        """Half of them by SIGKILL; every fourth takes a producer along while no agent runs."""
        self.write_config(self.CONFIG)
        self.supervisor.start()
        alive = Driver(self, "unix:" + self.path("in.sock"))
        logged = {alive.proc.pid: until_ring(alive)}
        lines = LineClient(self.path("in.sock"))
        try:
            for n in range(RESTARTS):
                acked = lines.acked
                wait_for(lambda: lines.acked > acked, "records are acknowledged")
                dying = self.dying_driver() if n % 4 == 0 else None
                alive.do("log 200")
                how, connections = signal.SIGKILL if n % 2 else signal.SIGTERM, lines.connections
                self.restart(how, lambda: self.between(alive, dying))
                acked = lines.acked
                wait_for(lambda: lines.acked > acked, "records are acknowledged again")
                if how == signal.SIGTERM:
                    self.assertEqual(lines.connections, connections, "an orderly stop closes nothing")
                logged[alive.proc.pid] += 300
                if dying:
                    logged[dying[0].proc.pid] = dying[1]
        finally:
            lines.stopping = True
            lines.thread.join()
        self.assertEqual(alive.do("flush 20000"), "done")
        print("connections: native %d, lines %d; %d lines acknowledged" % (alive.stats()["connections"], lines.connections, lines.acked))
        self.assertEqual((lines.refused, alive.stats()["dropped"], alive.stats()["connections"]), (0, 0, 1))
        self.assertEqual(self.supervisor.end(signal.SIGTERM), 0)
        native, numbers = self.by_producer()
        self.assertEqual(numbers[:lines.acked], list(range(lines.acked)))
        self.assertEqual(len(numbers), len(set(numbers)), "nothing twice")
        for pid, count in logged.items():
            self.assertEqual(native[pid], list(range(1, count + 1)), "whole, once and in order: %d" % pid)

    def dying_driver(self):
        driver = Driver(self, "unix:" + self.path("in.sock"))
        count = until_ring(driver)
        driver.do("log 100")
        return driver, count + 300

    def between(self, alive, dying):
        """No agent runs."""
        alive.do("log 100")
        if dying:
            dying[0].do("log 200")
            dying[0].kill()


class Producers(Stored):
    def key(self, *others):
        """Of what is kept beside these."""
        (key,) = wait_for(lambda: {n.split(".")[1] for n in self.supervisor.names()} - set(others), "kept")
        return key

    def begin_frame(self, p):
        """A connection in the midst of a frame cannot go on with another agent."""
        p.connection.sock.sendall(b"half")
        wait_for(lambda: unread(p.connection.sock) == 0, "read")

    def test_a_quiet_connection_goes_on_beside_rings_of_its_name_that_have_none(self):
        """Whichever of them the next agent comes upon first."""
        self.supervisor.start()
        gone = rings.connect(self.supervisor)
        self.addCleanup(gone.close)
        gone.ring()
        first = self.key()
        self.begin_frame(gone)
        self.restart()
        while True:
            quiet = rings.connect(self.supervisor)
            quiet.ring()
            if self.key(first) < first:
                break
            quiet.close()
            wait_for(lambda: all(first in n for n in self.supervisor.names()), "let go of")
        self.addCleanup(quiet.close)
        self.wait_kept()
        self.restart(signal.SIGTERM)
        quiet.ring()  # on the connection that it has
        self.restart()

    def test_what_is_read_on_counts_as_its_users_memory(self):
        self.write_config("limits: {per_uid: {memory: 1280KiB}}\n" + DISK)
        self.supervisor.start()
        p = rings.connect(self.supervisor, "first")
        self.addCleanup(p.close)
        p.ring(1 << 20)
        self.key()
        self.begin_frame(p)
        self.restart()
        other = rings.connect(self.supervisor, "second")
        self.addCleanup(other.close)
        ring = other.ring(1 << 20, attached=False)
        self.assertIn("limits.per_uid.memory", other.attach(rings.RING_FRAME, ring.id, ring.fd, 5))
        other.disconnect()
        p.attach_to(self.supervisor)  # for its own it has room


if __name__ == "__main__":
    harness.main()
