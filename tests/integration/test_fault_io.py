"""Failing system calls of the real agent: fsync, short writes, EIO (tests/support/fault_shim.c)."""
import errno
import time
import unittest

import harness
from faults.disks import FaultTest
from faults.ledger import Ledger
from faults.producers import Fleet
from faults.scrape import Scraper
from faults.shim import Shim
from harness import log, wait_for

SEGMENTS = "*/journal/*.wseg"
CONFIG = """
journal: {type: disk, path: "@/journal", max_bytes: 8MiB}
streams: {log: {sinks: [out]}}
sinks:
  out: {type: file, path: "@/out/out.jsonl", rotate: {max_bytes: 1MiB}}
"""


class JournalSync(FaultTest):
    def begin(self):
        self.shim = Shim(self)
        return self.start(CONFIG, env=self.shim.env())

    def segments(self):
        import os
        return sorted(n for n in os.listdir(self.path("journal")) if n.endswith(".wseg"))

    def test_one_failed_fsync(self):
        agent = self.begin()
        with agent.connect() as c:
            self.assertEqual(c.hello(client_id="a", ack="durable", next_seq=1)["ack"], "durable")
            c.send([log("a%d" % n) for n in range(10)])
            c.read_to_ack(10)
            before = self.segments()
            rule = self.shim.fail(SEGMENTS, "sync", errno.EIO, times=1)
            c.send([log("b%d" % n) for n in range(10)])
            c.read_to_ack(20)
            self.assertEqual(rule.hits(), 1)
        after = agent.wait_status(lambda s: s["journal"]["state"] == "ok", "ok")
        self.assertEqual(after["journal"]["fsync_errors"], 1)
        self.assertEqual(int(after["journal"]["synced"]), 20)
        self.assertGreater(len(self.segments()), len(before), "rewritten to a new segment")
        agent.wait_delivered("out", 20)
        # The file whose sync failed is not synced again.
        failed = self.shim.add("*/journal/" + before[-1], "sync", 3)
        with agent.connect() as c:
            c.hello(client_id="a", ack="durable")
            c.send([log("c%d" % n) for n in range(10)])
            c.read_to_ack(30)
        self.assertEqual(failed.matches(), 0)
        agent.wait_delivered("out", 30)
        self.forget(agent)
        agent = self.spawn(["--config", self.path("weir.yaml")], env=self.shim.env()).wait_ready()
        agent.wait_status(lambda s: s["sinks"]["out"]["lag_records"] == 0, "drained")
        self.assertEqual([r["message"] for r in agent.records("out/out.jsonl")],
                         [x + str(n) for x in "abc" for n in range(10)])
        self.assertEqual(agent.status()["journal"]["damaged_records"], 0)

    def test_three_failed_fsyncs_nack_and_recovery(self):
        agent = self.begin()
        with agent.connect() as c:
            c.hello(client_id="a", ack="durable", next_seq=1)
            c.send([log("a%d" % n) for n in range(10)])
            c.read_to_ack(10)
            rule = self.shim.fail(SEGMENTS, "sync", errno.EIO)
            c.send([log("b%d" % n) for n in range(10)])
            wait_for(lambda: rule.hits() >= 3, "three failures")
            status = agent.wait_status(lambda s: s["journal"]["state"] == "failed", "failed")
            self.assertGreaterEqual(status["journal"]["fsync_errors"], 3)
            code, _, body = agent.http("GET", "/healthz")
            self.assertEqual(code, 503, body)
            c.send([log("lost")])  # numbered 21; discarded until the next hello
            nack = c.read_until("nack")[-1]
            self.assertEqual(nack["reason"], "failed")
        plain = agent.connect()
        plain.send([log("p%d" % n) for n in range(10)])
        plain.half_close()
        self.shim.clear()
        begin = time.monotonic()
        agent.wait_status(lambda s: s["journal"]["state"] == "ok", "works again")
        self.assertLess(time.monotonic() - begin, 5)
        self.assertEqual(agent.http("GET", "/healthz")[0], 200)
        self.assertEqual(plain.read_all(), [])
        plain.sock.close()
        with agent.connect() as c:
            last = c.hello(client_id="a", ack="durable", next_seq=11)["last_seq"]
            self.assertIn(last, (10, 20))
            c.send([log("b%d" % n) for n in range(10)] + [log("c")])
            c.read_to_ack(21)
        agent.wait_status(lambda s: s["sinks"]["out"]["delivered"] == 31, "each once")
        agent.stop()
        messages = [r["message"] for r in agent.records("out/out.jsonl")]
        self.assertEqual([m for m in messages if m[0] != "p"],
                         ["a%d" % n for n in range(10)] + ["b%d" % n for n in range(10)] + ["c"])
        self.assertEqual([m for m in messages if m[0] == "p"], ["p%d" % n for n in range(10)])

    def test_failing_syncs_under_load(self):
        agent = self.begin()
        scraper, fleet = Scraper(self), Fleet(self)
        for n in range(2):
            fleet.add("durable-%d" % n, "durable", per_second=4000)
        fleet.add("buffered-0", "buffered", per_second=4000)
        for skip in (0, 1, 3, 2, 5):
            rule = self.shim.fail(SEGMENTS, "sync", errno.EIO, skip=skip, times=1)
            wait_for(lambda: rule.hits() == 1, "a failed sync")
            fleet.wait_progress(300)
        rule = self.shim.fail(SEGMENTS, "sync", errno.EIO, times=5)
        wait_for(lambda: rule.hits() == 5, "the journal fails")
        fleet.wait_progress(300)
        self.forget(agent)
        agent = self.spawn(["--config", self.path("weir.yaml")], env=self.shim.env()).wait_ready()
        fleet.wait_progress(300)
        fleet.finish()
        agent.wait_status(lambda s: s["sinks"]["out"]["lag_records"] == 0, "drained")
        scraper.check()
        agent.stop()
        Ledger(self.path("out/out.jsonl")).check(self, fleet.acked())


    def test_slow_syncs_stop_nobody_else(self):
        """Several clients wait for a disk that takes its time; the others, and who asks for the status, do not."""
        agent = self.begin()
        fleet = Fleet(self)
        for n in range(3):
            fleet.add("durable-%d" % n, "durable", per_second=2000)
        fleet.wait_progress(100)
        rule = self.shim.slow(SEGMENTS, "sync", 3, times=1)
        wait_for(lambda: rule.hits() == 1, "a sync that takes three seconds")
        begin = time.monotonic()
        agent.send_plain([log("plain")])
        self.assertEqual(agent.http("GET", "/healthz")[0], 200)
        with agent.connect() as c:
            c.hello(client_id="b", ack="buffered", next_seq=1)
            c.send([log("buffered")])
            c.read_to_ack(1)
        self.assertLess(time.monotonic() - begin, 2, "while a sync was under way")
        fleet.wait_progress(1000)
        fleet.finish()


class Writes(FaultTest):
    def test_short_writes_of_journal_and_output(self):
        shim = Shim(self)
        agent = self.start(CONFIG, env=shim.env())
        scraper, fleet = Scraper(self), Fleet(self)
        fleet.add("durable-0", "durable", per_second=4000)
        fleet.add("buffered-0", "buffered", per_second=4000)
        fleet.wait_progress(300)
        for pattern in (SEGMENTS, "*/out/out.jsonl", "*/checkpoint.*"):
            for nbytes in (1, 100, 4095):
                rule = shim.shorten(pattern, nbytes, times=20)
                wait_for(lambda: rule.hits() >= 5, "short writes to %s" % pattern)
                fleet.wait_progress(100)
                rule.clear()
        self.forget(agent)
        agent = self.spawn(["--config", self.path("weir.yaml")], env=shim.env()).wait_ready()
        fleet.wait_progress(300)
        fleet.finish()
        agent.wait_status(lambda s: s["sinks"]["out"]["lag_records"] == 0, "drained")
        scraper.check()
        agent.stop()
        Ledger(self.path("out/out.jsonl")).check(self, fleet.acked())

    def test_eio_on_output_and_journal(self):
        shim = Shim(self)
        agent = self.start(CONFIG, env=shim.env())
        scraper, fleet = Scraper(self), Fleet(self)
        fleet.add("durable-0", "durable", per_second=20_000, pad=300)
        fleet.add("buffered-0", "buffered", per_second=20_000, pad=300)
        fleet.wait_progress(300)
        for pattern, ops in (("*/out/out.jsonl", "write"), ("*/out/out.jsonl", "sync"), ("*/out", "sync"),
                             ("*/out/out.jsonl", "rename"), ("*/out/out.jsonl", "open"), (SEGMENTS, "write"),
                             (SEGMENTS, "open"), (SEGMENTS, "allocate"), ("*/journal", "sync"), (SEGMENTS, "truncate"),
                             ("*/checkpoint.*", "write"), ("*/checkpoint.*", "sync"), ("*/journal/*", "unlink")):
            for skip in (0, 2):
                rule = shim.fail(pattern, ops, errno.EIO, skip=skip, times=2)
                wait_for(lambda: fleet.check() or rule.hits() == 2, lambda: "%s of %s fails" % (ops, pattern))
                fleet.wait_progress(300)
                rule.clear()
        self.forget(agent)
        agent = self.spawn(["--config", self.path("weir.yaml")], env=shim.env()).wait_ready()
        fleet.wait_progress(300)
        fleet.finish()
        agent.wait_status(lambda s: s["sinks"]["out"]["lag_records"] == 0, "drained")
        scraper.check()
        agent.stop()
        Ledger(self.path("out/out.jsonl")).check(self, fleet.acked())

    def test_killed_at_any_file_operation(self):
        """SIGKILL inside the n-th operation of each kind, also in the middle of a write."""
        shim = Shim(self)
        agent = self.start(CONFIG, env=shim.env())
        fleet = Fleet(self)
        fleet.add("durable-0", "durable", per_second=8000, pad=200)
        fleet.add("buffered-0", "buffered", per_second=8000, pad=200)
        places = [(SEGMENTS, "write"), (SEGMENTS, "sync"), ("*/journal", "sync"), (SEGMENTS, "allocate"), (SEGMENTS, "truncate"),
                  (SEGMENTS, "open"), ("*/checkpoint.*", "write"), ("*/checkpoint.*", "sync"), ("*/out/out.jsonl", "write"),
                  ("*/out/out.jsonl", "sync"), ("*/out/out.jsonl", "rename"), ("*/out", "sync"), ("*/out/out.jsonl", "truncate")]
        tears = [(SEGMENTS, 1), (SEGMENTS, 1000), ("*/checkpoint.*", 300), ("*/out/out.jsonl", 7), ("*/out/out.jsonl", 4096)]
        rounds = [lambda p=p, o=o, s=s: shim.kill(p, o, skip=s) for p, o in places for s in ((0, 1, 5) if harness.LONG else (1,))]
        rounds += [lambda p=p, n=n, s=s: shim.tear(p, n, skip=s) for p, n in tears for s in ((0, 3, 20) if harness.LONG else (3,))]
        reached = 0
        for n, arm in enumerate(rounds):
            fleet.wait_progress(200)
            shim.clear()
            rule = arm()
            before = fleet.acked()
            wait_for(lambda: rule.hits() or all(p.acked > before[p.name] + 12_000 for p in fleet.producers), "round %d" % n)
            reached += rule.hits()
            self.forget(agent)
            shim.clear()
            agent = self.spawn(["--config", self.path("weir.yaml")], env=shim.env()).wait_ready()
        self.assertGreater(reached, len(rounds) * 2 // 3, "operations that were come upon")
        fleet.finish()
        agent.wait_status(lambda s: s["sinks"]["out"]["lag_records"] == 0, "drained")
        agent.stop()
        Ledger(self.path("out/out.jsonl")).check(self, fleet.acked())


if __name__ == "__main__":
    harness.main()
