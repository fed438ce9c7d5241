"""The wall clock jumps: no rotated file is overwritten, and everything that waits goes on."""
import os
import unittest

import harness
from faults.disks import FaultTest
from faults.ledger import Ledger, rotated
from faults.producers import Fleet
from faults.scrape import Scraper
from faults.shim import Shim
from harness import wait_for
from http_receiver import NO_PROXIES, Receiver, answer, good

DAY = 86_400


class ClockJumps(FaultTest):
    def test_rotation_never_overwrites(self):
        shim = Shim(self)
        agent = self.start("""
journal: {type: disk, path: "@/journal", max_bytes: 64MiB}
streams: {log: {sinks: [out, packed, aged]}}
sinks:
  out: {type: file, path: "@/out/out.jsonl", rotate: {max_bytes: 32KiB}}
  packed: {type: file, path: "@/out/packed.jsonl", rotate: {max_bytes: 64KiB, compress: gzip}}
  aged: {type: file, path: "@/out/aged.jsonl", rotate: {every: 1s}}
""", env=shim.env())
        scraper, fleet = Scraper(self), Fleet(self)
        fleet.add("durable-0", "durable", per_second=3000)
        fleet.add("buffered-0", "buffered", per_second=3000)
        start = shim.wall()
        names = set()
        for n, offset in enumerate((0, DAY, -2 * DAY, 0, None, None, None, -40 * 365 * DAY, 3600, -3600, 0)):
            # None: the same second once more
            shim.set_wall_offset(offset if offset is not None else start - (shim.wall() - self.offset(shim)))
            before = len(rotated(self.path("out/out.jsonl")))
            fleet.wait_progress(300)
            wait_for(lambda: len(rotated(self.path("out/out.jsonl"))) >= before + 2, "rotations after jump %d" % n)
            now = set(rotated(self.path("out/out.jsonl")))
            self.assertEqual(names - now, set(), "rotated files are gone")
            names = now
        aged = len(rotated(self.path("out/aged.jsonl")))
        wait_for(lambda: len(rotated(self.path("out/aged.jsonl"))) >= aged + 2, "rotation by age goes on")
        fleet.finish()
        agent.wait_status(lambda s: all(x["lag_records"] == 0 for x in s["sinks"].values()), "drained")
        scraper.check()
        agent.stop()
        for name in ("out", "packed", "aged"):  # order of names is not order of time here
            Ledger(self.path("out/%s.jsonl" % name)).check(self, fleet.acked(), order=False)

    def offset(self, shim):
        import struct
        return struct.unpack_from("<q", shim.map, 8)[0] / 1e9

    def test_timers_go_on(self):
        shim, receiver = Shim(self), Receiver(self, always=answer("503 Down"))
        agent = self.start("""
journal: {type: disk, path: "@/journal", max_bytes: 64MiB}
streams: {log: {sinks: [fwd, steps]}}
sinks:
  fwd: {type: http, url: "%s", when_full: block, backoff: {min: 50ms, max: 100ms}}
  steps: {type: file, path: "@/steps.jsonl", write_mode: batch, flush_every_n: 1000, flush_every_ms: 100}
""" % receiver.url(), env={**NO_PROXIES, **shim.env()})
        for n, offset in enumerate((-3600, 3600, -30 * DAY, 30 * DAY, 0)):
            shim.set_wall_offset(offset)
            with agent.connect() as c:  # group commit
                c.hello(client_id="c", ack="durable", next_seq=n + 1)
                c.send([harness.log("m%d" % n)])
                c.read_to_ack(n + 1)
            agent.wait_delivered("steps", n + 1)  # flush_every_ms
            asked = len(receiver.requests)
            wait_for(lambda: len(receiver.requests) >= asked + 2, "retries go on")
        with receiver.lock:
            receiver.always = good
        agent.wait_delivered("fwd", 5)
        self.assertEqual(len(receiver.records()), 5)
        agent.stop()


if __name__ == "__main__":
    harness.main()
