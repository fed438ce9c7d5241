"""Reloads under load: nobody who sends notices, nothing is lost or doubled, the last good file is what runs.

The long version is 200 reloads in 30 s under 20 producers.
"""
import json
import random
import signal
import sys
import threading
import time
import unittest

import harness
from harness import log

RELOADS, SECONDS, PRODUCERS = (200, 30, 20) if harness.LONG else (24, 2.5, 6)
BATCH = 10
CONFIG = """
listen: {{local: {{type: unix, path: "@/in.sock"}}{listener}}}
{journal}
drain_timeout: {drain}ms
streams:
  log: {{sinks: [keep, moved, some{more}]}}
sinks:
  keep: {{type: jsonl, path: "@/keep.jsonl"}}
  moved: {{type: jsonl, path: "@/moved-{path}.jsonl"}}
  some: {{type: jsonl, path: "@/some.jsonl", where: 'n >= {least}'}}
  {extra}
"""
MISTAKES = ["jornal: {}\n", "streams: [\n", "limits: {record_bytes_max: much}\n"]


class Producer(threading.Thread):
    """Sends numbered batches on one connection and waits for each acknowledgement."""

    def __init__(self, agent, name, enough):
        super().__init__()
        self.name, self.enough, self.sent, self.longest, self.error = name, enough, 0, 0, None
        self.connection = agent.connect()
        self.welcome = self.connection.hello(client_id=name, next_seq=1, ack="received")

    def run(self):
        try:
            while not self.enough.is_set():
                self.connection.send([log("m", p=self.name, n=n) for n in range(self.sent, self.sent + BATCH)])
                self.sent += BATCH
                begin = time.monotonic()
                self.connection.read_to_ack(self.sent)
                self.longest = max(self.longest, time.monotonic() - begin)
                self.enough.wait(0.005)
        except (AssertionError, OSError) as error:
            self.error = error
        finally:
            self.connection.sock.close()


class Comer(threading.Thread):
    """Comes again and again, as `nc` would: a connection for each record."""

    def __init__(self, agent, enough):
        super().__init__()
        self.agent, self.enough, self.sent, self.error = agent, enough, 0, None

    def run(self):
        try:
            while not self.enough.is_set():
                self.agent.send_plain([log("m", p="comer", n=self.sent)])
                self.sent += 1
                self.enough.wait(0.02)
        except (AssertionError, OSError) as error:
            self.error = error


class UnderLoad(harness.AgentTest):
    def variants(self, journal):
        """One configuration after the other: a tenth with a mistake, a tenth with another path or filter."""
        dice = random.Random(7)
        state = {"journal": journal, "path": 0, "least": 0, "drain": 1000, "listener": "", "extra": "", "more": ""}
        for n in range(RELOADS):
            kind = ("mistake", "place", "drain", "drain", "listener", "extra", "drain", "same", "drain", "listener")[n % 10]
            mistake = ""
            if kind == "mistake":
                mistake = dice.choice(MISTAKES)
            elif kind == "place":
                state["path"] = 1 - state["path"] if dice.random() < 0.5 else state["path"]
                state["least"] = dice.choice([0, 5, 1000])
            elif kind == "drain":
                state["drain"] = 1000 + n
            elif kind == "listener":
                state["listener"] = "" if state["listener"] else ', more: {type: unix, path: "@/more.sock"}'
            elif kind == "extra":
                state["extra"], state["more"] = ("", "") if state["extra"] else ('extra: {type: jsonl, path: "@/extra.jsonl"}', ", extra")
            yield CONFIG.format(**state) + mistake, bool(mistake)

    def reload_all(self, agent, journal):
        """By all three ways: HTTP, SIGHUP, and `--watch` alone. The last good text."""
        pace, good = threading.Event(), None
        begin = time.monotonic()
        for n, (text, bad) in enumerate(self.variants(journal)):
            pace.wait(max(0, begin + n * SECONDS / RELOADS - time.monotonic()))
            self.write_config(text)
            good = good if bad else text
            if n % 4 == 1:
                agent.signal(signal.SIGHUP)
            elif n % 4 != 3:
                answer = json.loads(agent.http("POST", "/v1/reload", {})[2])
                self.assertIn(answer["result"], ("refused",) if bad else ("applied", "unchanged"), answer)
        return good

    def check_files(self, agent, sent):
        everything = {(p, n) for p, count in sent.items() for n in range(count)}
        for names in (["keep.jsonl"], ["moved-0.jsonl", "moved-1.jsonl"]):
            got = [(r["p"], r["n"]) for name in names for r in agent.records(name)]
            self.assertEqual(len(got), len(everything), "nothing lost, nothing twice in %s" % names)
            self.assertEqual(set(got), everything)
        last = {}
        for r in agent.records("keep.jsonl"):
            self.assertEqual(r["n"], last.get(r["p"], -1) + 1, "in the producer's order")
            last[r["p"]] = r["n"]
        some = [(r["p"], r["n"]) for r in agent.records("some.jsonl")]
        self.assertEqual(len(some), len(set(some)))
        sink = agent.sink("some")
        self.assertEqual((sink["delivered"], sink["delivered"] + sink["filtered"].get("where", 0)), (len(some), len(everything)))

    def check(self, journal):
        first = CONFIG.format(journal=journal, path=0, least=0, drain=1000, listener="", extra="", more="")
        agent = self.start(first, ["--watch"])
        enough = threading.Event()
        producers = [Producer(agent, "p%d" % n, enough) for n in range(PRODUCERS)]
        comer = Comer(agent, enough)
        for thread in producers + [comer]:
            thread.start()
        try:
            good = self.reload_all(agent, journal)
            self.write_config(good)
            begin = time.monotonic()
            planned = json.loads(self.weir("plan", "-o", "json").stdout)
            status = agent.wait_status(lambda s: s["config_hash"] == planned["config_hash"] and s["last_reload"]["result"] != "refused", "the last good file runs")
            live = time.monotonic() - begin
        finally:
            enough.set()
            for thread in producers + [comer]:
                thread.join()
        self.assertEqual([t.error for t in producers + [comer] if t.error], [], "no connection was refused or closed")
        sent = {t.name: t.sent for t in producers}
        sent["comer"] = comer.sent
        for sink in ("keep", "moved"):
            agent.wait_delivered(sink, sum(sent.values()))
        agent.wait_status(lambda s: s["sinks"]["some"]["lag_records"] == 0, "some drained")
        self.check_files(agent, sent)
        longest = max(t.longest for t in producers)
        if harness.LONG:
            print("FIGURES " + json.dumps({"reloads": RELOADS, "generation": status["generation"], "producers": PRODUCERS, "connections": comer.sent,
                                           "records": sum(sent.values()), "longest_ack_ms": round(longest * 1000, 1), "live_s": round(live, 2)}), file=sys.stderr)
            self.assertLessEqual(longest, 0.25)
            self.assertLessEqual(live, 2)

    def test_in_memory(self):
        self.check("journal: {type: memory}")

    @unittest.skipUnless(harness.LONG, "the other journal: ./dev test --long")
    def test_on_disk(self):
        self.check('journal: {type: disk, path: "@/journal", max_bytes: 256MiB}')


if __name__ == "__main__":
    harness.main()
