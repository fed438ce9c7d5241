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
        told = status["journal"]["damaged_records"]
        self.assertEqual((dropped, told), (lost, lost),
                         "%s: counted by the sink and by the journal, really lost; stderr:\n%s" % (text, agent.stderr()[-3000:]))
        if kind in ("one_slot", "both_slots", "foreign", "duplicate", "header", "header_zero", "identity_lost", "identity_damaged", "swap"):
            self.assertEqual(lost, 0, "%s costs no record" % text)
        shutil.rmtree(self.path(name))
        return text, lost

    def test_a_lost_oldest_segment_is_counted_by_the_journal(self):
        """delivery.md section 3: a deleted, emptied or cut segment counts its missing ordinals (in the status, and said)."""
        self.make_backlog("good")
        for how in ("deleted", "emptied"):
            with self.subTest(how):
                shutil.copytree(self.path("good"), self.path(how))
                oldest = os.path.join(self.path(how + "/journal"), segments(self.path(how + "/journal"))[0])
                if how == "deleted":
                    os.unlink(oldest)
                else:
                    os.truncate(oldest, 0)
                agent = self.start(UP % {"name": how}, name=how + ".yaml")
                status = agent.wait_status(lambda s: s["sinks"]["out"]["lag_records"] == 0, "delivered the rest")
                agent.stop()
                lost = status["sinks"]["out"]["dropped"]["damaged"]
                self.assertGreater(lost, 1000)
                self.assertEqual(status["journal"]["damaged_records"], lost)
                self.assertIn("are lost", agent.stderr())

    def test_no_flipped_bit_of_journal_json_costs_a_record(self):
        """The journal's uuid stands in every segment, too: one damaged digit must not make strangers of all of them."""
        acked = self.make_backlog("good")
        with open(self.path("good/journal/journal.json"), "rb") as f:
            text = f.read()
        for where, bit in ((b'"uuid":"', 1), (b'"format":', 1), (b'"format":', 8)):
            with self.subTest(where=where, bit=bit):
                at = text.index(where) + len(where)
                name = "j%d-%d" % (at, bit)
                shutil.copytree(self.path("good"), self.path(name))
                changed = text[:at] + bytes([text[at] ^ bit]) + text[at + 1:]
                with open(self.path(name + "/journal/journal.json"), "wb") as f:
                    f.write(changed)
                agent = self.start(UP % {"name": name}, name=name + ".yaml")
                agent.wait_status(lambda s: s["sinks"]["out"]["lag_records"] == 0, "drained")
                agent.stop()
                Ledger(self.path(name + "/out.jsonl")).check(self, acked)

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
                if os.environ.get("WEIR_KEEP"):
                    shutil.copytree(self.path("m%d" % n), os.path.join(os.environ["WEIR_KEEP"], "m%d" % n), dirs_exist_ok=True)
                    shutil.copytree(self.path("good"), os.path.join(os.environ["WEIR_KEEP"], "good"), dirs_exist_ok=True)
                for agent in self.agents:
                    self.forget(agent)
        self.assertEqual(faults, [], "\n\n".join(faults))
        figures("damaged_journal", mutations=MUTATIONS, records_each=sum(acked.values()), lost_and_counted=total, lost_uncounted=0)


if __name__ == "__main__":
    harness.main()
