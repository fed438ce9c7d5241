"""What the service manager keeps for the agent (docs/decisions/0020-descriptor-store.md): ring contents outlive both sides,
connections outlive the agent."""
import contextlib
import os
import re
import resource
import signal
import socket
import unittest

import frames
import harness
import rings
from harness import log, wait_for
from stored import DISK, Stored, unread

RECORD_BYTES = 32  # of a site with one i64 and no ids


def write(n, producer, agent, ring, site, go_on):
    """In a process of its own: a hundred records, and when the test says so as many as find room."""
    if n == 0:
        producer.attach_to(agent)
    if n == 100:
        os.read(go_on, 1)
    if not ring.log(site, n):
        wait_for(lambda: False, "killed", 60)


class Rings(Stored):
    def producer(self):
        p = rings.Producer().attach_to(self.supervisor)
        self.addCleanup(p.disconnect)
        return p, p.ring(), p.site(rings.LOG, "n", args=[("n", rings.I64)])

    def test_contents_outlive_both_sides(self):
        """The producer goes on while no agent runs, and is killed before the next one starts."""
        self.supervisor.start()
        p = rings.Producer()
        ring, site = p.ring(), p.site(rings.LOG, "n", args=[("n", rings.I64)])

        go_on, hold = os.pipe()
        child = rings.Child(lambda n: write(n, p, self.supervisor, ring, site, go_on))
        wait_for(lambda: ring[rings.TAIL] == 100 * RECORD_BYTES, "what was written first is taken")
        self.supervisor.end()
        os.write(hold, b"x")
        wait_for(lambda: ring[rings.DROPPED] > 0, "the ring is full")
        child.kill()
        committed = ring[rings.HEAD] // RECORD_BYTES
        p.close()
        os.close(go_on), os.close(hold)
        self.supervisor.start()
        self.wait_numbers(committed)
        wait_for(lambda: self.supervisor.names() == [], lambda: "nothing is kept any more: %s" % self.supervisor.names())

    def test_a_producer_that_lives_on_keeps_its_connection_and_nothing_comes_twice(self):
        self.supervisor.start()
        p, ring, site = self.producer()
        written = 0
        for how in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL):
            self.wait_kept()

            def write():
                nonlocal written
                for written in range(written, written + 500):
                    ring.log(site, written)
                written += 1
            write()
            self.restart(how, write)
            write()
            self.wait_numbers(written)
        p.ring(attached=True).log(site, written)  # the connection is still one that is answered
        self.wait_numbers(written + 1)

    def read_on_without_connection(self):
        """A producer that lives, whose connection the next agent could not go on with."""
        self.supervisor.start()
        p, ring, site = self.producer()
        self.wait_kept()
        p.connection.sock.sendall(b"half")
        wait_for(lambda: unread(p.connection.sock) == 0, "it is read")
        self.restart(between=lambda: ring.log(site, 0))
        self.assertEqual(p.connection.read_all(), [])
        self.wait_numbers(1)
        ring.log(site, 1)
        self.wait_numbers(2)
        return p, ring, site

    def attached(self):
        return self.supervisor.status()["sources"]["local"].get("rings", {}).get("attached", 0)

    def test_a_producer_that_is_back_and_attaches_nothing_sends_its_rings_itself(self):
        p, ring, site = self.read_on_without_connection()
        self.assertEqual(self.attached(), 1)
        p.disconnect()
        p.connection = frames.connect(self.supervisor)
        p.connection.hello(client_id=p.client_id)
        wait_for(lambda: self.attached() == 0, "they are left to it")
        wait_for(lambda: ring[rings.TAIL] == ring[rings.HEAD], "what was read is said")
        ring.log(site, 2)
        p.connection.send(frames.records(1, [log("m", n=2)]))
        self.wait_numbers(3)

    def test_another_process_of_that_name_does_not_end_them(self):
        _, ring, site = self.read_on_without_connection()

        def hello():
            with frames.connect(self.supervisor) as c:
                c.hello(client_id="app")
            return True
        child = rings.Child(lambda n: n == 0 and hello() or wait_for(lambda: False, "killed", 60))
        wait_for(lambda: self.supervisor.status()["clients"].get("app", {}).get("pid") == child.pid, "it has said hello")
        begin = harness.time.monotonic()
        wait_for(lambda: harness.time.monotonic() - begin > 2, "two looks")
        child.kill()
        ring.log(site, 2)
        self.wait_numbers(3)

    @unittest.skipUnless(harness.LONG, "takes a minute: WEIR_LONG=1")
    def test_a_slow_producer_is_read_for_as_long_as_it_lives(self):
        _, ring, site = self.read_on_without_connection()
        begin = harness.time.monotonic()
        wait_for(lambda: harness.time.monotonic() - begin > 65, "a minute without a record", 70)
        ring.log(site, 2)
        self.wait_numbers(3)

    def assert_begins_anew(self, p, ring, site, count):
        """The connection has ended, so that nobody writes to a ring that nobody reads."""
        self.assertEqual(p.connection.read_all(), [])
        p.attach_to(self.supervisor)
        ring.log(site, count)
        self.wait_numbers(count + 1)

    def test_a_ring_that_there_was_no_room_for_ends_its_connection_with_the_agent(self):
        self.supervisor.start(FDSTORE="4")  # arena, card, connection, doorbell
        p, ring, site = self.producer()
        wait_for(lambda: len(self.supervisor.names()) == 3, lambda: "without the connection: %s" % self.supervisor.names())
        self.assertRegex(self.supervisor.said(), r"unix:uid=%d,pid=%d: .*not keep.*raise FileDescriptorStoreMax" % (os.getuid(), os.getpid()))
        self.restart()
        self.assert_begins_anew(p, ring, site, 0)

    def test_a_ring_that_cannot_be_read_on_ends_its_connection_and_the_others_are_read(self):
        self.supervisor.start()
        p, ring, site = self.producer()
        broken = p.ring()
        self.wait_kept()

        def between():
            ring.log(site, 0)
            broken[rings.PLACES] = broken[rings.PLACES + 16] = 8  # behind its head
        self.restart(between=between)
        self.assertIn("what was kept of its rings cannot be read: its place makes no sense", self.supervisor.said())
        p.rings.remove(broken)
        self.assert_begins_anew(p, ring, site, 1)
        wait_for(lambda: len(self.supervisor.names()) == 5, lambda: "card, connection, arena, doorbell, ring: %s" % self.supervisor.names())

    def test_a_producer_that_attaches_anew_takes_its_rings_over(self):
        self.supervisor.start()
        p, ring, site = self.producer()
        for n in range(100):
            ring.log(site, n)
        self.supervisor.end()
        for n in range(100, 200):
            ring.log(site, n)
        self.supervisor.start()
        p.attach_to(self.supervisor)
        for n in range(200, 300):
            ring.log(site, n)
        self.wait_numbers(300)
        wait_for(lambda: len(self.supervisor.names()) == 5, lambda: "card, connection, arena, doorbell, ring: %s" % self.supervisor.names())
        self.restart()
        ring.log(site, 300)
        self.wait_numbers(301)
        p.attach_to(self.supervisor)
        p.disconnect()
        wait_for(lambda: self.supervisor.names() == [], lambda: "all is let go of: %s" % self.supervisor.names())


    def test_rings_of_a_listener_that_is_gone_wait_until_it_is_back(self):
        self.supervisor.start()
        p, ring, site = self.producer()
        self.supervisor.end()
        ring.log(site, 0)
        p.disconnect()
        self.write_config('listen: {other: {type: tcp, bind: "127.0.0.1:0"}}\n' + DISK)
        self.supervisor.start()
        self.assertIn("there is no listener of that name now", self.supervisor.said())
        self.assertEqual(self.supervisor.end(signal.SIGTERM), 0)
        self.assertEqual(self.numbers(), [])
        self.write_config(DISK)
        self.supervisor.start()
        self.wait_numbers(1)


class Connections(Stored):
    def test_numbered_lines_go_on_where_they_were(self):
        self.supervisor.start()
        c = self.open()
        self.assertEqual(c.hello(client_id="c", ack="durable", next_seq=1)["last_seq"], 0)
        sent = 0
        for how in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL):
            c.send([log("m", n=n) for n in range(sent, sent + 10)])
            c.read_to_ack(sent + 10)
            self.wait_kept()
            self.restart(how, lambda: c.send([log("m", n=n) for n in range(sent + 10, sent + 20)]))
            sent += 20
            self.assertEqual({line["weir"] for line in c.read_to_ack(sent)}, {"ack"}, "it notices nothing")
        self.wait_numbers(sent)
        self.assertEqual(self.supervisor.status()["clients"]["c"]["last_seq"], sent)
        c.send(['{"weir":"bye"}'])
        self.assertEqual(c.read_all(), [])
        wait_for(lambda: self.supervisor.names() == [], lambda: "all is let go of: %s" % self.supervisor.names())

    def test_frames_go_on_over_tcp(self):
        self.write_config('listen: {net: {type: tcp, bind: "127.0.0.1:0"}}\n' + DISK)
        self.supervisor.start()
        address = wait_for(lambda: re.search(r"tcp:127.0.0.1:(\d+)", self.supervisor.said()), "the ready line")
        c = frames.FrameConnection(socket.create_connection(("127.0.0.1", int(address.group(1)))))
        self.addCleanup(c.sock.close)
        c.hello(client_id="c", ack="durable")
        for first, how in ((1, signal.SIGKILL), (5, signal.SIGTERM), (9, None)):
            c.send(frames.records(first, [log("m", n=n) for n in range(first - 1, first + 3)]))
            c.read_to_ack(first + 3)
            self.wait_kept()
            if how:
                self.restart(how)
        self.wait_numbers(12)

    def test_plain_lines_go_on_and_the_first_is_not_taken_for_a_hello(self):
        self.supervisor.start()
        c = self.open()
        c.send([log("m", n=0)])
        self.wait_kept()
        self.restart(between=lambda: c.send([log("m", n=1)]))
        c.send(['{"weir":"hello","client_id":"x"}', log("m", n=2)])
        c.finish_plain()
        self.wait_numbers(3)
        self.assertEqual(self.supervisor.status()["sources"]["local"]["rejected"], {"no_stream": 1})

    def test_a_policy_that_has_changed_meanwhile_is_told(self):
        self.supervisor.start()
        c = self.open()
        c.hello(client_id="c", ack="durable")
        self.wait_kept()
        self.restart(between=lambda: self.write_config(DISK.replace("telemetry: {", "telemetry: {enabled: false, ")))
        self.assertEqual(c.read_line()["policy"]["telemetry"], {"enabled": False})

    def test_a_full_journal_hides_nothing_from_the_next_agent(self):
        """What was read but not taken in belongs to a busy connection, whatever else the journal gets on with."""
        self.write("no", "not a directory")
        full = DISK.replace("64MiB", "8MiB").replace("@/out.jsonl", "@/no/out.jsonl")
        self.write_config(full)
        self.supervisor.start()
        c = self.open()
        c.hello(client_id="c", ack="durable", next_seq=1)
        c.sock.setblocking(False)
        sent = 0
        pad = "x" * 2000
        data = b""
        while self.supervisor.status()["journal"]["state"] != "full" or len(data) == 0:
            with contextlib.suppress(BlockingIOError):
                for _ in range(500):
                    if not data:
                        data, sent = harness.as_bytes([log("m", n=sent, pad=pad)]), sent + 1
                    data = data[c.sock.send(data):]
        self.supervisor.end()
        os.remove(self.path("no"))
        os.mkdir(self.path("no"))
        self.supervisor.start()
        c = self.open()
        known = c.hello(client_id="c", ack="durable")["last_seq"]
        c.send([log("m", n=n, pad=pad) for n in range(known, sent)])
        c.read_to_ack(sent)
        self.assertEqual(self.supervisor.status()["clients"]["c"]["gaps"], 0)
        os.symlink(self.path("no/out.jsonl"), self.path("out.jsonl"))
        self.wait_numbers(sent)

    @unittest.skipIf(harness.SANITIZED, "UBSan looks at memory through a pipe, for which there is no descriptor")
    def test_a_client_without_a_card_is_not_taken_for_the_one_before(self):
        self.supervisor.start()
        c = self.open()
        c.hello(client_id="a", ack="durable", next_seq=1)
        c.send([log("m", n=n) for n in range(10)])
        c.read_to_ack(10)
        self.wait_kept()
        pid = self.supervisor.agent.pid
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, before[1]))  # no descriptor for another card
        c.hello(client_id="b", ack="durable", next_seq=1)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
        c.send([log("m", n=10)])
        c.read_to_ack(1)
        wait_for(lambda: self.supervisor.names() == [], lambda: "nothing is kept: %s" % self.supervisor.names())
        self.assertRegex(self.supervisor.said(), r"pid=%d: .*no card.*Too many open files" % os.getpid())
        self.restart()
        self.assertEqual(c.read_all(), [])
        c = self.open()
        self.assertEqual(c.hello(client_id="b", ack="durable")["last_seq"], 1)
        c.send([log("m", n=11)])
        c.read_to_ack(2)
        self.wait_numbers(12)

    def test_half_a_line_ends_the_connection_and_the_client_sends_it_again(self):
        self.supervisor.start()
        c = self.open()
        c.hello(client_id="c", ack="durable", next_seq=1)
        c.send([log("m", n=0)])
        c.read_to_ack(1)
        self.wait_kept()
        half = harness.as_bytes([log("m", n=1)])
        c.send(half[:20])
        wait_for(lambda: unread(c.sock) == 0, "it is read")
        self.restart(between=lambda: c.send(half[20:]))
        self.assertEqual(c.read_all(), [], "closed: who could say what the rest of it is")
        c = self.open()
        self.assertEqual(c.hello(client_id="c", ack="durable")["last_seq"], 1)
        c.send([log("m", n=1)])
        c.read_to_ack(2)
        self.wait_numbers(2)
        self.assertEqual(self.supervisor.status()["sources"]["local"]["rejected"], {})

    def test_half_a_line_at_an_orderly_stop(self):
        self.supervisor.start()
        c = self.open()
        c.hello(client_id="c", ack="durable", next_seq=1)
        c.send([log("m", n=0)])
        c.read_to_ack(1)
        self.wait_kept()
        c.send(harness.as_bytes([log("m", n=1)])[:20])
        self.restart(signal.SIGTERM)
        self.assertEqual(c.read_all(), [])
        c = self.open()
        self.assertEqual(c.hello(client_id="c", ack="durable")["last_seq"], 1)
        c.send([log("m", n=1)])
        c.read_to_ack(2)
        self.wait_numbers(2)

    def test_a_short_connection_costs_the_service_manager_nothing(self):
        self.supervisor.start()
        for n in range(20):
            c = self.open()
            c.send([log("m", n=n)])
            c.finish_plain()
        self.wait_numbers(20)
        with self.supervisor.lock:
            self.assertEqual([w for w in self.supervisor.words if "FDSTORE" in w], [])


if __name__ == "__main__":
    harness.main()
