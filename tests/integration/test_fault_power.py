"""The power goes under load: what was acknowledged as durable is there at the next boot, and in the files once."""
import random
import time
import unittest

import harness
from faults.disks import CutDisk, FaultTest
from faults.ledger import Ledger
from faults.producers import Fleet
from faults.scrape import Scraper, figures, percentile
from faults.shim import Shim

CUTS = 40 if harness.LONG else 3
CONFIG = """
data_dir: "@/disk/data"
journal: {type: disk, path: "@/disk/journal", max_bytes: 32MiB}
streams: {log: {sinks: [out]}}
sinks:
  out: {type: file, path: "@/disk/out/out.jsonl", rotate: {max_bytes: 2MiB}%s}
"""


class PowerCut(FaultTest):
    def boot_agent(self, shim, disk):
        return self.spawn(["--config", self.path("weir.yaml")], env=shim.env(boot_id=disk.boot())).wait_ready()

    def cut(self, disk, agent):
        disk.cut()
        self.forget(agent)

    def test_durable_records_survive_power_cuts(self):
        seed = random.randrange(1 << 32)
        print("seed", seed)
        rng = random.Random(seed)
        disk, shim = CutDisk(self, mib=512 if harness.LONG else 96), Shim(self)
        agent = self.start(CONFIG % "", env=shim.env(boot_id="11111111-1111-4111-8111-111111111111"))
        scraper, fleet = Scraper(self), Fleet(self)
        for n in range(3):
            fleet.add("durable-%d" % n, "durable", per_second=3000)
        fleet.add("plain-0", None, per_second=2000)
        ready_ms = []
        for _ in range(CUTS):
            fleet.wait_progress(rng.randrange(1, 1500))
            self.cut(disk, agent)
            begin = time.monotonic()
            agent = self.boot_agent(shim, disk)
            ready_ms.append((time.monotonic() - begin) * 1000)
        fleet.wait_progress(500)
        fleet.finish()
        acked = fleet.acked()
        agent.wait_status(lambda s: s["sinks"]["out"]["lag_records"] == 0, "all delivered")
        status = agent.status()
        scraper.check()
        agent.stop()
        Ledger(self.path("disk/out/out.jsonl")).check(self, acked)
        figures("power_cut", cuts=CUTS, acknowledged=sum(acked.values()), lost=0, torn=0, twice=0,
                torn_bytes_at_last_start=status["journal"]["torn_bytes"], ready_ms_p50=round(percentile(ready_ms, 50)),
                ready_ms_max=round(max(ready_ms)))

    def test_the_cut_takes_what_was_not_synced(self):
        """Shows that the test above could fail: with a disk that only says it has synced, records are lost."""
        disk, shim = CutDisk(self), Shim(self)
        agent = self.start(CONFIG % "", env=shim.env(boot_id="11111111-1111-4111-8111-111111111111"))
        with agent.connect() as c:
            self.assertEqual(c.hello(client_id="a", ack="durable", next_seq=1)["ack"], "durable")
            shim.lie("*", "sync")
            c.send([harness.log("n%d" % n) for n in range(100)])
            c.read_to_ack(100)
            self.cut(disk, agent)
        agent = self.boot_agent(shim, disk)
        with agent.connect() as c:
            self.assertLess(c.hello(client_id="a", ack="durable", next_seq=1)["last_seq"], 100)


if __name__ == "__main__":
    harness.main()
