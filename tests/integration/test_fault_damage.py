"""Damaged journals: the agent starts, delivers everything else, and loses exactly what it counts."""
import os
import random
import shutil
import unittest

import harness
from faults.disks import FaultTest
from faults.ledger import Ledger
from faults.mutator import Mutator, segments
from faults.producers import Fleet
from faults.scrape import figures

MUTATIONS = 200 if harness.LONG else 20
PER_CLIENT = 5000
DOWN = """
journal: {type: disk, path: "@/%(name)s/journal", max_bytes: 32MiB}
data_dir: "@/%(name)s"
streams: {log: {sinks: [out]}}
sinks:
  out: {type: http, url: "http://127.0.0.1:9/", when_full: block}
"""
UP = """
journal: {type: disk, path: "@/%(name)s/journal", max_bytes: 32MiB}
data_dir: "@/%(name)s"
streams: {log: {sinks: [out]}}
sinks:
  out: {type: file, path: "@/%(name)s/out.jsonl"}
"""


class DamagedJournal(FaultTest):
    def make_backlog(self, name):
        """A journal of several segments that no sink has read: {client: records}."""
        agent = self.start(DOWN % {"name": name}, name=name + ".yaml")
        fleet = Fleet(self)
        for n in range(3):
            fleet.add("durable-%d" % n, "durable", pad=250, count=PER_CLIENT)
        for p in fleet.producers:
            p.finish()
        acked = fleet.acked()
        agent.stop()
        self.agents.remove(agent)
        self.assertGreaterEqual(len(segments(self.path(name + "/journal"))), 4)
        return acked

    def one(self, rng, name, acked, kind):
        """Returns (what was done, records lost)."""
        shutil.copytree(self.path("good"), self.path(name))
        kind, what = Mutator(rng, self.path(name + "/journal"), self.path("other/journal")).mutate(kind)
        text = "%s: %s" % (kind, what)
        agent = self.start(UP % {"name": name}, name=name + ".yaml")
        try:
            status = agent.wait_status(lambda s: s["sinks"]["out"]["lag_records"] == 0, "delivered the rest")
            with agent.connect() as c:  # it works on: a client of before is known, a new record is kept
                welcome = c.hello(client_id="durable-0", ack="durable")
                if kind not in ("several",):
                    self.assertGreaterEqual(welcome["last_seq"], 0, welcome)
                c.send([harness.log("after")])
                c.read_to_ack(welcome["last_seq"] + 1)
            agent.wait_status(lambda s: s["sinks"]["out"]["lag_records"] == 0, "delivered what came after")
            status = agent.status()
            agent.stop()
        except AssertionError as error:
            raise AssertionError("after %s: %s" % (text, error)) from error
        self.agents.remove(agent)
        path = self.path(name + "/out.jsonl")
        with open(path, "rb") as f:
            data = f.read()
        after = (harness.log("after") + "\n").encode()
        self.assertEqual(data.count(after), 1, "%s: the record behind the damage" % text)
        with open(path, "wb") as f:
            f.write(data.replace(after, b""))
        ledger = Ledger(path)
        self.assertEqual(ledger.faults, [], text)
        self.assertEqual(ledger.disorder()[:3] if kind not in Mutator.REPEATS else [], [], text)
        self.assertEqual(ledger.duplicates() if kind not in Mutator.REPEATS else 0, 0, text)
        lost = sum(len(x) for x in ledger.missing(acked).values())
        dropped = status["sinks"]["out"]["dropped"].get("damaged", 0)
        self.assertEqual((dropped, status["journal"]["damaged_records"]), (lost, lost),
                         "%s: counted by the sink and by the journal, really lost; stderr:\n%s" % (text, agent.stderr()[-3000:]))
        if kind in ("one_slot", "both_slots", "foreign", "duplicate", "header", "header_zero", "identity_lost", "identity_damaged", "swap"):
            self.assertEqual(lost, 0, "%s costs no record" % text)
        shutil.rmtree(self.path(name))
        return text, lost

    def test_mutations(self):
        seed = int(os.environ.get("WEIR_SEED") or random.randrange(1 << 32))
        print("seed", seed, flush=True)
        acked = self.make_backlog("good")
        self.make_backlog("other")
        total, faults = 0, []
        for n in range(MUTATIONS):
            rng = random.Random("%d/%d" % (seed, n))
            kind = Mutator.KINDS[n % len(Mutator.KINDS)]
            try:
                total += self.one(rng, "m%d" % n, acked, kind)[1]
            except AssertionError as error:
                faults.append("mutation %d of seed %d: %s" % (n, seed, error))
                for agent in self.agents:
                    self.forget(agent)
        self.assertEqual(faults, [], "\n\n".join(faults))
        figures("damaged_journal", mutations=MUTATIONS, records_each=sum(acked.values()), lost_and_counted=total, lost_uncounted=0)


if __name__ == "__main__":
    harness.main()
