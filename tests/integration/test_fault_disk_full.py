"""A full disk, under the journal or under an output: nothing is acknowledged that is not kept, others go on, and it ends by itself."""
import time
import unittest

import harness
from faults.disks import FaultTest, Tmpfs
from faults.ledger import Ledger
from faults.producers import Fleet
from faults.scrape import Scraper, figures
from harness import wait_for

RECOVERY_S = 5  # delivery.md section 3


class FullDisk(FaultTest):
    def recovery_s(self, disk, condition, what):
        """From the moment space returns until condition() is true."""
        begin = time.monotonic()
        disk.release()
        wait_for(condition, what, deadline_s=2 * RECOVERY_S)
        took = time.monotonic() - begin
        self.assertLess(took, RECOVERY_S, what)
        return took

    def test_journal(self):
        disk = Tmpfs(self, "small", 160 << 10)
        agent = self.start("""
journal: {type: disk, path: "@/small/journal", max_bytes: 1GiB}
streams: {log: {sinks: [out, dead]}}
sinks:
  dead: {type: http, url: "http://127.0.0.1:9/", when_full: block}  # so that nothing can be let go of
  out: {type: file, path: "@/out.jsonl", rotate: {max_bytes: 4MiB}}
""")
        scraper, fleet = Scraper(self), Fleet(self)
        for name, level in (("durable-0", "durable"), ("durable-1", "durable"), ("buffered-0", "buffered")):
            fleet.add(name, level, pad=400)
        fleet.wait_progress(1000)
        disk.fill()
        agent.wait_status(lambda s: s["journal"]["state"] == "full", "the journal is full")
        # What was promised is delivered while nothing more can be taken.
        agent.wait_status(lambda s: s["sinks"]["out"]["delivered"] >= sum(fleet.acked().values()), "delivered what was acknowledged")
        stuck = self.stuck(fleet, disk)
        self.assertEqual(self.stuck(fleet, disk), stuck, "an acknowledgement while there was no space")
        took = self.recovery_s(disk, lambda: all(p.acked > stuck[p.name] for p in fleet.producers), "acknowledged again")
        self.assertEqual(agent.proc.poll(), None)
        fleet.wait_progress(500)
        fleet.finish()
        acked = fleet.acked()
        agent.wait_status(lambda s: s["sinks"]["out"]["lag_records"] == 0 and s["journal"]["state"] == "ok", "all delivered")
        scraper.check()
        agent.stop()
        Ledger(self.path("out.jsonl")).check(self, acked)
        figures("full_disk_journal", acknowledged=sum(acked.values()), recovered_s=round(took, 2), lost=0, torn=0, twice=0)

    def stuck(self, fleet, disk):
        """Takes what space the agent makes (by deleting what every sink has read) until no acknowledgement has come for
        a while that is long against group commit and retry."""
        last, since = None, 0
        def quiet():
            nonlocal last, since
            disk.fill()
            now = fleet.acked()
            if now != last:
                last, since = now, time.monotonic()
            return time.monotonic() - since > 1.2
        wait_for(quiet, "acknowledgements stop")
        return last

    def test_output(self):
        disk = Tmpfs(self, "small", 2 << 10)
        agent = self.start("""
journal: {type: disk, path: "@/journal", max_bytes: 64MiB}
streams: {log: {sinks: [full, other]}}
sinks:
  full: {type: file, path: "@/small/full.jsonl"}
  other: {type: file, path: "@/other.jsonl"}
""")
        scraper, fleet = Scraper(self), Fleet(self)
        fleet.add("durable-0", "durable", per_second=4000)
        fleet.add("buffered-0", "buffered", per_second=4000)
        fleet.wait_progress(500)
        disk.fill(leave=100_000)  # it ends in the middle of a batch
        down = agent.wait_status(lambda s: s["sinks"]["full"]["state"] != "ok", "the sink is down")
        self.assertIn("space", down["sinks"]["full"]["last_error"])
        disk.fill()
        # The others and the acknowledgements go on.
        before = agent.status()["sinks"]["other"]["delivered"]
        fleet.wait_progress(2000)
        agent.wait_status(lambda s: s["sinks"]["other"]["delivered"] >= before + 4000, "the other sink goes on")
        now = agent.status()
        self.assertGreater(now["sinks"]["full"]["lag_records"], 0)
        self.assertEqual(now["journal"]["state"], "ok")
        data = agent.raw("small/full.jsonl")
        self.assertTrue(data.endswith(b"\n"), "ends in the middle of a line: %r" % data[-100:])
        fleet.finish()
        acked = fleet.acked()
        # Room for all of it: the mount grows.
        disk.release()
        from faults.disks import must
        begin = time.monotonic()
        must("mount", "-o", "remount,size=64m", disk.path)
        agent.wait_status(lambda s: s["sinks"]["full"]["state"] == "ok" and s["sinks"]["full"]["lag_records"] == 0, "drained")
        took = time.monotonic() - begin
        self.assertLess(took, RECOVERY_S)
        scraper.check()
        agent.stop()
        for name in ("small/full.jsonl", "other.jsonl"):
            Ledger(self.path(name)).check(self, acked)
        figures("full_disk_output", acknowledged=sum(acked.values()), recovered_s=round(took, 2), lost=0, torn=0, twice=0)


if __name__ == "__main__":
    harness.main()
