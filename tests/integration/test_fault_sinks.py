"""Dead and slow sinks: the lag lies on disk, memory stays flat, others go on, and all comes in order when they are back."""
import os
import socket
import statistics
import threading
import time
import unittest

import harness
from faults.disks import FaultTest
from faults.ledger import Ledger, ranges
from faults.producers import Fleet
from faults.scrape import Scraper, figures, rss_bytes
from harness import wait_for
from http_receiver import NO_PROXIES, Receiver, good

MIB = 1 << 20
FAST = "backoff: {min: 20ms, max: 100ms}, timeout: 2s, connect_timeout: 1s"


def config(port, when_full, journal_mib=64, more=""):
    return """
journal: {type: disk, path: "@/journal", max_bytes: %dMiB}
streams: {log: {sinks: [fwd, other]}}
sinks:
  fwd: {type: http, url: "http://127.0.0.1:%d/in", when_full: %s, %s%s}
  other: {type: file, path: "@/other.jsonl"}
""" % (journal_mib, port, when_full, FAST, more)


def closed_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


class DeadSink(FaultTest):
    def revive(self, port):
        """A receiver where none was."""
        receiver = Receiver.__new__(Receiver)
        original, Receiver.listen = Receiver.listen, lambda self: None
        try:
            receiver.__init__(self)
        finally:
            Receiver.listen = original
        receiver.port = port
        receiver.listen()
        return receiver

    def test_drop_oldest(self):
        port = closed_port()
        agent = self.start(config(port, "drop_oldest", journal_mib=8), env=NO_PROXIES)
        scraper, fleet = Scraper(self), Fleet(self)
        for n in range(2):
            fleet.add("durable-%d" % n, "durable", pad=500, count=15_000)
        fleet.finish()  # about 18 MiB through a journal of 8: the dead sink holds nobody up
        acked = fleet.acked()
        status = agent.wait_status(lambda s: s["sinks"]["other"]["lag_records"] == 0 and s["sinks"]["fwd"]["dropped"].get("lag"),
                                   "the other sink has all, the dead one has given up what was oldest")
        self.assertEqual(status["sinks"]["fwd"]["delivered"], 0)
        receiver = self.revive(port)
        status = agent.wait_status(lambda s: s["sinks"]["fwd"]["lag_records"] == 0, "drained")["sinks"]["fwd"]
        scraper.check()
        agent.stop()
        Ledger(self.path("other.jsonl")).check(self, acked)
        got = Ledger(lines=receiver.records())
        total = sum(acked.values())
        self.assertEqual((got.faults, got.disorder(), got.duplicates()), ([], [], 0))
        self.assertEqual(got.lines, status["delivered"])
        self.assertEqual(total - got.lines, status["dropped"]["lag"], "what it has not got is counted")
        for name, numbers in got.numbers.items():  # the batch it was at, then the newest without a hole
            behind = [n for n in range(1, acked[name] + 1) if n not in set(numbers)]
            self.assertEqual(len(ranges(behind)), 1, "one hole")
            self.assertLess(behind[-1], acked[name])

    def test_block(self):
        port = closed_port()
        agent = self.start(config(port, "block", journal_mib=8), env=NO_PROXIES)
        scraper, fleet = Scraper(self), Fleet(self)
        for n in range(2):
            fleet.add("durable-%d" % n, "durable", pad=500)
        agent.wait_status(lambda s: s["journal"]["state"] == "full", "the journal is full")
        last, since = {}, time.monotonic()

        def quiet():
            nonlocal last, since
            if fleet.acked() != last:
                last, since = fleet.acked(), time.monotonic()
            return time.monotonic() - since > 1
        wait_for(quiet, "nothing more is taken in")
        status = agent.status()
        self.assertLessEqual(status["journal"]["bytes"], 8 * MIB)
        self.assertGreater(status["sinks"]["fwd"]["lag_bytes"], 4 * MIB)
        receiver = self.revive(port)
        fleet.wait_progress(1)
        fleet.finish()
        acked = fleet.acked()
        status = agent.wait_status(lambda s: s["sinks"]["fwd"]["lag_records"] == 0, "drained")
        self.assertEqual(status["sinks"]["fwd"]["dropped"], {})
        scraper.check()
        agent.stop()
        Ledger(lines=receiver.records()).check(self, acked)
        Ledger(self.path("other.jsonl")).check(self, acked)

    def test_lag_lies_on_disk_not_in_memory(self):
        """All sinks down, producers at full speed."""
        producers, each = (8, 250_000) if harness.LONG else (4, 15_000)
        port = closed_port()
        agent = self.start("""
journal: {type: disk, path: "@/journal", max_bytes: 4GiB}
streams: {log: {sinks: [fwd, second]}}
sinks:
  fwd: {type: http, url: "http://127.0.0.1:%d/in", when_full: block, %s}
  second: {type: http, url: "http://127.0.0.1:%d/second", when_full: drop_oldest, %s}
""" % (port, FAST, port, FAST), env=NO_PROXIES)
        begin, peak, at_half = time.monotonic(), 0, 0
        scraper, fleet = Scraper(self, every_s=0.1), Fleet(self)
        for n in range(producers):
            fleet.add("%s-%d" % ("durable" if n % 2 else "buffered", n), "durable" if n % 2 else "buffered", pad=400, count=each)

        def done():
            nonlocal peak, at_half
            peak = max(peak, rss_bytes(agent.pid))
            if not at_half and sum(fleet.acked().values()) > producers * each / 2:
                at_half = peak
            fleet.check()
            return all(p.acked >= each for p in fleet.producers)
        wait_for(done, "all taken in", deadline_s=600)
        took = time.monotonic() - begin
        lag = agent.sink("fwd")["lag_bytes"]
        fleet.finish()
        acked = fleet.acked()
        receiver = self.revive(port)
        drain = time.monotonic()
        wait_for(lambda: agent.sink("fwd")["lag_records"] == 0, "drained", deadline_s=600)
        drain = time.monotonic() - drain
        peak = max(peak, rss_bytes(agent.pid), scraper.rss_max)
        scraper.check()
        if not harness.LONG:
            receiver.taken = [r for r in receiver.taken if r.target == "/in"]
            Ledger(lines=receiver.records()).check(self, acked)
        agent.stop()
        figures("dead_sinks_memory", producers=producers, lag_mib=lag >> 20, rss_mib_peak=peak >> 20, rss_mib_at_half=at_half >> 20,
                records_per_s=round(sum(acked.values()) / took), drained_s=round(drain, 1))
        self.assertGreater(lag, sum(acked.values()) * 400)
        self.assertLessEqual(peak, 128 * MIB, "resident memory")


@unittest.skipUnless(harness.LONG, "a measurement: ./dev test --long")
class SlowSink(FaultTest):
    def rate(self, name, slow):
        """Records per second of a file sink, at full load."""
        def crawl(peer, request):
            threading.Event().wait(0.05)  # the receiver's slowness, not a wait
            return good(peer, request)
        receiver = Receiver(self, always=crawl)
        agent = self.start("""
journal: {type: disk, path: "@/%s/journal", max_bytes: 2GiB}
data_dir: "@/%s"
streams: {log: {sinks: [fast%s]}}
sinks:
  fast: {type: file, path: "@/%s/fast.jsonl"}
%s""" % (name, name, ", slow" if slow else "", name, '  slow: {type: http, url: "%s", batch: {records: 100}, when_full: drop_oldest}\n' %
         receiver.url() if slow else ""), env=NO_PROXIES)
        fleet = Fleet(self)
        begin = time.monotonic()
        for n in range(3):
            fleet.add("buffered-%d" % n, "buffered", pad=200, count=150_000)
        wait_for(lambda: agent.sink("fast")["delivered"] >= 450_000, "delivered", deadline_s=300)
        took = time.monotonic() - begin
        fleet.finish()
        lag = agent.sink("slow")["lag_records"] if slow else 0
        if slow:
            self.assertGreater(lag, 100_000, "the slow sink is slow")
        agent.stop()
        self.agents.remove(agent)
        return 450_000 / took

    def test_the_others_keep_their_rate(self):
        alone, beside = [], []
        for n in range(5):
            alone.append(self.rate("a%d" % n, False))
            beside.append(self.rate("b%d" % n, True))
        ratio = statistics.median(beside) / statistics.median(alone)
        figures("slow_sink", alone_per_s=round(statistics.median(alone)), beside_per_s=round(statistics.median(beside)),
                ratio=round(ratio, 3), best_ratio=round(max(beside) / max(alone), 3))
        self.assertGreaterEqual(max(ratio, max(beside) / max(alone)), 0.95)


if __name__ == "__main__":
    harness.main()
