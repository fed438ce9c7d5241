"""Producers that break the rules of rings and frames: they harm nobody else, and are let alone after three times
(security.md, ingest)."""
import fcntl
import json
import os
import struct
import unittest

import frames
import harness
import rings
from harness import ALL_TO_FILE, wait_for

NO_DESCRIPTOR, BAD_MEMORY, BAD_ORDER, TOO_MANY, BAD_FRAME = 2, 3, 4, 5, 1


def in_child(work):
    """Runs work() in a process of its own, which has violations of its own; returns what it returned."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        said = "died"
        try:
            said = work()
        except BaseException as e:  # pylint: disable=broad-except
            said = repr(e)
        finally:
            os.write(write, json.dumps(said).encode())
            os._exit(0)
    os.close(write)
    with open(read, "rb") as f:
        said = f.read()
    os.waitpid(pid, 0)
    return json.loads(said)


class Refused(harness.AgentTest):
    """What is no ring or arena is answered with a code and a text; each attempt in a process of its own."""

    def setUp(self):
        super().setUp()
        self.agent = self.start(ALL_TO_FILE)

    def attempt(self, payload, fds=(), arena=True):
        def work():
            with rings.Producer() as p:
                p.connection = frames.connect(self.agent)
                p.connection.hello(client_id="x")
                if arena:
                    p.attach(rings.ARENA_FRAME, 0, p.arena.fd)
                return p.ask(payload, list(fds))
        return in_child(work)

    def ring_frame(self, ring_id=7):
        return struct.pack("<BQ", rings.RING_FRAME, ring_id)

    def test_memory_that_is_not_sealed_as_it_must_be(self):
        shrink_grow = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW
        for seals in (0, fcntl.F_SEAL_SHRINK, shrink_grow, rings.SEALS | fcntl.F_SEAL_WRITE):
            ring = rings.Ring(fd=rings.memory(rings.HEADER + rings.CAPACITY, 0), ring_id=7)
            if seals == rings.SEALS | fcntl.F_SEAL_WRITE:
                ring.map.close()
            fcntl.fcntl(ring.fd, fcntl.F_ADD_SEALS, seals)
            code, text = self.attempt(self.ring_frame(), [ring.fd])
            self.assertEqual((code, text), (BAD_MEMORY, "its seals must be exactly SHRINK, GROW and SEAL"))
        with open(self.path("file"), "w+b") as f:
            f.truncate(rings.HEADER + rings.CAPACITY)
            self.assertEqual(self.attempt(self.ring_frame(), [f.fileno()])[0], BAD_MEMORY)
        self.assertEqual(self.agent.source()["rings"]["refused"], 5)

    def test_headers_and_sizes_that_cannot_be(self):
        def header(magic=rings.RING_MAGIC, version=1, bytes_=4096, capacity=rings.CAPACITY, ring_id=7, clock=0):
            return struct.pack("<8sIIQQII", magic, version, bytes_, capacity, ring_id, 1, clock)
        for bad in (header(magic=b"WEIRRAN1"), header(version=2), header(bytes_=64), header(capacity=2 * rings.CAPACITY),
                    header(ring_id=8), header(clock=5)):
            self.assertEqual(self.attempt(self.ring_frame(), [rings.Ring(header=bad).fd])[0], BAD_MEMORY, bad)
        for capacity in (4096, 60 << 10, 96 << 10, 32 << 20):
            self.assertEqual(self.attempt(self.ring_frame(), [rings.Ring(capacity, ring_id=7).fd])[0], BAD_MEMORY, capacity)
        placed = rings.Ring(ring_id=7)
        placed[rings.PLACES] = 8  # behind its head
        self.assertEqual(self.attempt(self.ring_frame(), [placed.fd])[0], BAD_MEMORY)

    def test_frames_that_make_no_sense(self):
        ring = rings.Ring(ring_id=7)
        self.assertEqual(self.attempt(self.ring_frame(), [])[0], NO_DESCRIPTOR)
        self.assertEqual(self.attempt(self.ring_frame(0), [ring.fd])[0], BAD_FRAME)
        self.assertEqual(self.attempt(self.ring_frame()[:5], [ring.fd])[0], BAD_FRAME)
        self.assertEqual(self.attempt(struct.pack("<BQ", 9, 0), [ring.fd])[0], BAD_FRAME)
        self.assertEqual(self.attempt(self.ring_frame(), [ring.fd], arena=False)[0], BAD_ORDER)
        self.assertEqual(self.attempt(struct.pack("<BQ", rings.ARENA_FRAME, 0), [rings.Arena().fd])[0], BAD_ORDER)
        self.assertEqual(self.attempt(struct.pack("<BQ", rings.DOORBELL_FRAME, 0), [ring.fd])[0], BAD_MEMORY)
        self.assertEqual(self.attempt(self.ring_frame(), [ring.fd] * 200)[0], 0)

    def test_more_rings_than_there_may_be(self):
        p = rings.connect(self.agent)
        self.addCleanup(p.close)
        for n in range(1024):
            p.attach(rings.RING_FRAME, n + 1, (ring := rings.Ring(ring_id=n + 1)).fd)
            ring.close_memory()
        p.attach(rings.RING_FRAME, 7777, rings.Ring(ring_id=7777).fd, TOO_MANY)
        self.assertEqual(self.agent.source()["rings"]["attached"], 1024)
        self.assertEqual(self.agent.source()["rings"]["violations"], 0)

    def test_memory_of_a_user_is_limited(self):
        self.write_config(ALL_TO_FILE + "limits: {per_uid: {memory: 1MiB}}")
        self.assertEqual(self.weir("reload").returncode, 0)
        p = rings.connect(self.agent)
        self.addCleanup(p.close)
        for n in range(15):
            p.ring()
        p.attach(rings.RING_FRAME, 7, rings.Ring(ring_id=7).fd, TOO_MANY)
        p.disconnect()
        wait_for(lambda: self.agent.source()["connections"] == 0, "it ends")
        p.attach_to(self.agent)


class Rewritten(harness.AgentTest):
    """A hostile process beside an honest one."""

    def beside_an_honest_one(self, hostile):
        """hostile(producer, ring, site, n) is called until its process is disconnected."""
        agent = self.start(ALL_TO_FILE)
        p = rings.connect(agent, "honest")
        self.addCleanup(p.disconnect)
        ring = p.ring()
        site = p.site(rings.LOG, "honest", args=[("n", rings.I64)])

        def work():
            bad = rings.connect(agent, "hostile")
            bad_ring = bad.ring()
            bad_site = bad.site(rings.LOG, "bad", args=[("n", rings.I64)])
            bad.connection.sock.settimeout(0.002)
            for n in range(100000):
                hostile(bad, bad_ring, bad_site, n)
                try:
                    said = bad.connection.read()
                    return said.text if said else "closed"
                except TimeoutError:
                    pass
            return "never noticed"
        for n in range(1000):
            ring.log(site, n)
        said = in_child(work)
        for n in range(1000, 2000):
            wait_for(lambda n=n: ring.log(site, n), "room")
        wait_for(lambda: ring[rings.TAIL] == ring[rings.HEAD], "the honest one is served")
        agent.wait_status(lambda s: s["sinks"]["out"]["lag_records"] == 0, "all is written")
        honest = [r["attributes"]["n"] for r in agent.records() if r["message"] == "honest"]
        self.assertEqual(honest, list(range(2000)))
        self.assertEqual(said, "violations: this process has broken the protocol three times")
        counted = agent.source()["rings"]
        self.assertGreaterEqual(counted["violations"] + counted["refused"], 3)

    def test_a_head_that_goes_back(self):
        def hostile(_, ring, site, n):
            ring.log(site, n)
            if n % 2:
                ring[rings.HEAD] -= 64
        self.beside_an_honest_one(hostile)

    def test_a_head_that_is_too_far(self):
        def hostile(_, ring, __, n):
            ring[rings.HEAD] += ring.capacity * (n % 5 + 2)
        self.beside_an_honest_one(hostile)

    def test_lengths_that_none_can_have(self):
        def hostile(_, ring, site, n):
            ring.record(site.id, bytes(40), length=(0, 8, 17, 1 << 31, 0xFFFFFFF8)[n % 5])
        self.beside_an_honest_one(hostile)

    def test_an_arena_that_is_rewritten(self):
        seen = []

        def hostile(bad, ring, site, n):
            ring.log(site, n)
            bad.arena[rings.USED] = 0 if n % 2 else 1 << 40
            ring.record(1000 + n, b"")
            if n % 50 == 0:
                bad.connection.sock.settimeout(5)
                seen.append(bad.ask(b"", []))
                bad.connection.sock.settimeout(0.002)
        self.beside_an_honest_one(hostile)


class Frames(harness.AgentTest):
    def test_after_three_bad_frames_a_process_is_refused_and_others_are_not(self):
        agent = self.start(ALL_TO_FILE)

        def work():
            said = []
            idle = frames.connect(agent)
            idle.hello(client_id="idle")
            for _ in range(3):
                with frames.connect(agent) as c:
                    c.hello(client_id="x")
                    c.send(frames.records(0, [harness.log("a")]))
                    said.append(c.read_all()[-1].text.split(":")[0])
            with agent.connect() as c:
                said.append(c.read_line())
            idle.send(frames.frame(frames.SYNC, "s"))
            said.append([f.name for f in idle.read_all()])
            return said
        self.assertEqual(in_child(work), ["bad_frame"] * 3 + [
            {"weir": "error", "reason": "violations", "detail": "this process has broken the protocol three times"}, []])
        agent.send_plain([harness.log("fine")])

    def test_bad_records_never_count(self):
        agent = self.start(ALL_TO_FILE)

        def work():
            with frames.connect(agent) as c:
                c.hello(client_id="x", next_seq=1)
                c.send(frames.records(1, ["bad"] * 100 + [harness.log("good")]))
                return c.read_to_ack(101)[-1].seq
        self.assertEqual(in_child(work), 101)


class Idle(harness.AgentTest):
    def test_an_idle_agent_with_64_rings_costs_nearly_nothing(self):
        agent = self.start(ALL_TO_FILE)
        producers = [rings.connect(agent, "p%d" % n) for n in range(64)]
        for p in producers:
            self.addCleanup(p.close)
            p.ring()
        for p in producers:
            wait_for(lambda p=p: p.arena.map[rings.NAPPING], "all nap")

        def cpu_s():
            total = 0
            for task in os.listdir("/proc/%d/task" % agent.pid):
                with open("/proc/%d/task/%s/schedstat" % (agent.pid, task), encoding="utf-8") as f:
                    total += int(f.read().split()[0])
            return total / 1e9
        begin, cpu = harness.time.monotonic(), cpu_s()
        wait_for(lambda: harness.time.monotonic() - begin > 3, "three seconds have been measured")
        used = (cpu_s() - cpu) / (harness.time.monotonic() - begin)
        print("CPU of an idle agent with 64 rings: %.3f %%" % (100 * used))
        if not harness.SANITIZED:
            self.assertLess(used, 0.002)


if __name__ == "__main__":
    unittest.main(verbosity=2)
