"""Shared-memory rings when somebody dies: the agent, the producer, both sides of a connection."""
import collections
import json
import unittest

import harness
import rings
from harness import ALL_TO_FILE, wait_for

DISK = 'journal: {type: disk, path: "@/journal", max_bytes: 64MiB}' + ALL_TO_FILE
RECORD_BYTES = 32  # of a site with one i64 and no ids


class AgentDies(harness.AgentTest):
    def restart(self, agent):
        agent.stopped = True
        agent.kill()
        agent = self.spawn(["--config", self.path("weir.yaml")]).wait_ready()
        self.agents[:-1] = []
        return agent

    def test_the_agent_is_killed_while_rings_fill_and_nothing_is_lost_or_doubled(self):
        agent = self.start(DISK)
        p = rings.Producer().attach_to(agent)
        self.addCleanup(p.disconnect)
        three = [p.ring() for _ in range(3)]
        site = p.site(rings.LOG, "n", args=[("n", rings.I64)])
        written = 0

        def write(count):
            nonlocal written
            for written in range(written, written + count):
                wait_for(lambda: three[written % 3].log(site, written), "room in the ring")
            written += 1
        for cycle in range(3):
            write(20000)
            agent = self.restart(agent)
            write(1000)  # nobody reads now
            p.attach_to(agent)
            if cycle == 1:
                write(1)
                agent = self.restart(agent)
                p.attach_to(agent)
        write(1000)
        wait_for(lambda: all(r[rings.TAIL] == r[rings.HEAD] for r in three), "all is taken")
        agent.wait_status(lambda s: s["sinks"]["out"]["lag_records"] == 0, "all is delivered")
        got = [json.loads(line)["attributes"]["n"] for line in agent.lines()]
        doubled = [n for n, count in collections.Counter(got).items() if count > 1]
        self.assertEqual(doubled, [])
        self.assertEqual(sorted(got), list(range(written)))
        for k in range(3):
            self.assertEqual([n for n in got if n % 3 == k], list(range(k, written, 3)))

    def test_what_a_killed_agent_had_journalled_but_not_said_is_a_duplicate(self):
        agent = self.start(DISK)
        p = rings.Producer().attach_to(agent)
        self.addCleanup(p.disconnect)
        ring = p.ring()
        site = p.site(rings.LOG, "n", args=[("n", rings.I64)])
        for n in range(100):
            ring.log(site, n)
        wait_for(lambda: ring[rings.TAIL] == ring[rings.HEAD], "all is taken")
        agent.wait_delivered("out", 100)
        done = ring[rings.PLACES_DONE]
        for at in (0, 16):  # as if it had died before it said so
            ring[rings.PLACES + at], ring[rings.PLACES + at + 8] = 60 * RECORD_BYTES, 60
        self.assertGreater(done, 0)
        agent = self.restart(agent)
        p.attach_to(agent)
        ring.log(site, 100)
        agent.wait_status(lambda s: s["sources"]["local"]["received"] == 41, "the rest is read")
        self.assertEqual(agent.source()["duplicate"], 40)
        agent.wait_status(lambda s: s["sinks"]["out"]["lag_records"] == 0, "all is delivered")
        self.assertEqual([r["attributes"]["n"] for r in agent.records()], list(range(101)))

    def test_after_sigterm_the_next_agent_goes_on(self):
        agent = self.start(ALL_TO_FILE)
        p = rings.Producer().attach_to(agent)
        self.addCleanup(p.disconnect)
        ring = p.ring()
        site = p.site(rings.LOG, "n", args=[("n", rings.I64)])
        for n in range(1000):
            ring.log(site, n)
        agent.stop()
        self.assertEqual(len(agent.lines()), 1000)
        for n in range(1000, 1500):
            ring.log(site, n)
        agent = self.spawn(["--config", self.path("weir.yaml")]).wait_ready()
        p.attach_to(agent)
        agent.wait_delivered("out", 500)
        self.assertEqual([r["attributes"]["n"] for r in agent.records()], list(range(1500)))

    def test_a_full_journal_stops_the_sweeps_and_nothing_is_lost(self):
        blocked = """
journal: {type: memory, max_bytes: 1MiB}
streams: {log: {sinks: [out]}}
sinks: {out: {type: file, path: "@/no/out.jsonl", when_full: block}}
"""
        self.write("no", "not a directory")
        agent = self.start(blocked)
        p = rings.Producer().attach_to(agent)
        self.addCleanup(p.disconnect)
        ring = p.ring()
        site = p.site(rings.LOG, "n", args=[("n", rings.I64)])
        count = 0
        while agent.status()["journal"]["state"] != "full" or ring[rings.DROPPED] == 0:
            for _ in range(1000):
                count += ring.log(site, count)
        harness.os.remove(self.path("no"))
        wait_for(lambda: ring[rings.TAIL] == ring[rings.HEAD], "all is taken")
        agent.wait_delivered("out", count)
        self.assertEqual([r["attributes"]["n"] for r in agent.records("no/out.jsonl")], list(range(count)))


class ProducerDies(harness.AgentTest):
    def test_all_that_a_killed_producer_had_committed_is_there(self):
        agent = self.start(ALL_TO_FILE)
        p = rings.Producer().attach_to(agent)
        ring = p.ring()
        site = p.site(rings.LOG, "n", args=[("n", rings.I64)])
        child = rings.Child(lambda n: wait_for(lambda: ring.log(site, n), "room"))
        p.connection.sock.close()  # the child holds it, too
        agent.wait_delivered("out", 2000)
        child.kill()
        committed = ring[rings.HEAD] // RECORD_BYTES
        wait_for(lambda: agent.source()["connections"] == 0, "the connection ends")
        agent.wait_delivered("out", committed)
        self.assertEqual([r["attributes"]["n"] for r in agent.records()], list(range(committed)))

    def test_two_hundred_killed_producers_leave_nothing_behind(self):
        agent = self.start(ALL_TO_FILE)
        agent.send_plain([harness.log("first")])
        before = rings.mapped(agent)
        committed = 0
        for _ in range(5):
            children = []
            for _ in range(40):
                p = rings.Producer("p%d" % committed).attach_to(agent)
                ring = p.ring()
                site = p.site(rings.LOG, "n", args=[("n", rings.I64)])
                ring.log(site, committed)
                committed += 1
                children.append(rings.Child(lambda n: wait_for(lambda: False, "killed")))
                p.connection.sock.close()
                p.close()
            for child in children:
                child.kill()
        agent.wait_delivered("out", committed + 1)
        wait_for(lambda: agent.source()["connections"] == 0, "all connections end")
        # The sweeper's own timers and the status connection come and go.
        wait_for(lambda: rings.mapped(agent)[0] == before[0] and rings.mapped(agent)[1] <= before[1] + 2,
                 lambda: "as before: %s, now %s" % (before, rings.mapped(agent)), 5)
        self.assertEqual(agent.source()["rings"]["attached"], 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
