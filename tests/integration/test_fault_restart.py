"""What is true across processes: replies lost after the commit, orderly ends, a backlog, another agent, another format."""
import json
import os
import re
import shutil
import signal
import time
import unittest

import harness
from faults.disks import FaultTest
from faults.ledger import Ledger
from faults.mutator import segments
from faults.producers import Fleet
from faults.scrape import Scraper, figures, percentile, rss_bytes, rss_peak_bytes
from harness import log, wait_for

MIB = 1 << 20
CONFIG = """
journal: {type: disk, path: "@/journal", max_bytes: 64MiB}
streams: {log: {sinks: [out]}}
sinks:
  out: {type: file, path: "@/out.jsonl"}
"""
DOWN = """
journal: {type: disk, path: "@/journal", max_bytes: %s}
streams: {log: {sinks: [out]}}
sinks:
  out: {type: http, url: "http://127.0.0.1:9/", when_full: block}
"""
UP = """
journal: {type: disk, path: "@/journal", max_bytes: %s}
streams: {log: {sinks: [out]}}
sinks:
  out: {type: file, path: "@/out.jsonl"}
"""


class LostReply(FaultTest):
    def messages(self, agent):
        agent.wait_status(lambda s: s["sinks"]["out"]["lag_records"] == 0, "drained")
        return [r["message"] for r in agent.records()]

    def test_recognised_after_client_and_agent_were_killed(self):
        lines = [log("m%d" % n) for n in range(1, 151)]
        for level, mark in (("durable", "synced"), ("buffered", "written")):
            with self.subTest(level=level):
                shutil.rmtree(self.path("journal"), ignore_errors=True)
                self.write("out.jsonl", "")
                agent = self.start(CONFIG)
                c = agent.connect()
                self.assertEqual(c.hello(client_id="c", ack=level, next_seq=1)["ack"], level)
                c.send(lines[:100])
                agent.wait_status(lambda s: int(s["journal"][mark]) == 100, "committed")
                c.sock.close()  # and never reads its acknowledgement
                with agent.connect() as again:
                    self.assertEqual(again.hello(client_id="c", ack=level, next_seq=1)["last_seq"], 100)
                    again.send(lines[:100])
                    again.read_to_ack(100)
                status = agent.source()
                self.assertEqual((status["duplicate"], status["journalled"]), (100, 100))
                self.forget(agent)  # kill -9
                agent = self.spawn(["--config", self.path("weir.yaml")]).wait_ready()
                with agent.connect() as again:
                    self.assertEqual(again.hello(client_id="c", ack=level, next_seq=51)["last_seq"], 100)
                    again.send(lines[50:])
                    again.read_to_ack(150)
                status = agent.source()
                self.assertEqual((status["duplicate"], status["journalled"]), (50, 50))
                self.assertEqual(self.messages(agent), ["m%d" % n for n in range(1, 151)])
                agent.stop()

    def test_both_are_killed_in_turn(self):
        agent = self.start(CONFIG)
        fleet = Fleet(self)
        for n in range(2):
            fleet.add("durable-%d" % n, "durable", per_second=5000)
            fleet.add("buffered-%d" % n, "buffered", per_second=5000)
        done = 0
        recognised = 0
        for n in range(60 if harness.LONG else 6):
            fleet.wait_progress(50 + 37 * n % 400)
            victims = [fleet.producers[n % 4]] if n % 3 else list(fleet.producers)
            for p in victims:
                p.kill()
            if n % 2:
                self.forget(agent)
            for p in victims:
                done, recognised = done + 1, recognised + p.recognised
            if n % 2:
                agent = self.spawn(["--config", self.path("weir.yaml")]).wait_ready()
            for p in victims:
                fleet.replace(p)
        fleet.wait_progress(100)
        fleet.finish()
        acked = fleet.acked()
        recognised += sum(p.recognised for p in fleet.producers)
        agent.wait_status(lambda s: s["sinks"]["out"]["lag_records"] == 0, "drained")
        agent.stop()
        Ledger(self.path("out.jsonl")).check(self, acked)
        figures("reply_lost", clients_killed=done, acknowledged=sum(acked.values()), lost=0, twice=0)


class OrderlyEnd(FaultTest):
    def test_sigterm_with_dead_sinks_and_connected_clients(self):
        agent = self.start(DOWN % "64MiB")
        fleet = Fleet(self)
        fleet.add("durable-0", "durable", per_second=20_000)
        fleet.add("buffered-0", "buffered", per_second=20_000)
        fleet.wait_progress(2000)
        idle, acked_client, plain = agent.connect(), agent.connect(), agent.connect()
        self.assertEqual(acked_client.hello(client_id="last", ack="durable", next_seq=1)["ack"], "durable")
        acked_client.send([log("last%d" % n) for n in range(500)])
        plain.send([log("plain%d" % n) for n in range(500)])
        begin = time.monotonic()
        agent.signal(signal.SIGTERM)
        code = agent.wait_exit()
        took = time.monotonic() - begin
        self.assertEqual(code, 0, agent.stderr())
        self.assertLess(took, 2)
        # Everything that was in the sockets is acknowledged before the connection ends.
        said = acked_client.read_all()
        self.assertEqual([x["seq"] for x in said if x["weir"] == "ack"][-1:], [500], said)
        self.assertEqual(plain.read_all(), [])
        for c in (idle, acked_client, plain):
            c.sock.close()
        agent = self.start(UP % "64MiB")
        fleet.wait_progress(100)
        fleet.finish()
        agent.wait_status(lambda s: s["sinks"]["out"]["lag_records"] == 0, "delivered after the next start")
        self.assertEqual(agent.sink()["dropped"], {})
        agent.stop()
        lines = agent.lines()
        mine = [json.loads(x)["message"] for x in lines if '"p"' not in x]
        self.assertEqual([m for m in mine if m.startswith("last")], ["last%d" % n for n in range(500)])
        self.assertEqual([m for m in mine if m.startswith("plain")], ["plain%d" % n for n in range(500)])
        Ledger(lines=[x for x in lines if '"p"' in x]).check(self, fleet.acked())
        figures("sigterm", exit_s=round(took, 2), acknowledged=sum(fleet.acked().values()) + 500)


class Directory(FaultTest):
    def tree(self):
        """Everything in the data directory and the journal, byte for byte; the lock's file may change its time."""
        out = {}
        for top in ("data", "journal"):
            for where, _, names in os.walk(self.path(top)):
                for name in names:
                    path = os.path.join(where, name)
                    with open(path, "rb") as f:
                        out[path] = (f.read(), os.stat(path).st_mtime_ns if name != "lock" else 0)
        return out

    def test_a_second_agent_is_refused(self):
        agent = self.start(CONFIG)
        fleet = Fleet(self)
        fleet.add("durable-0", "durable", per_second=5000)
        fleet.wait_progress(100)
        for what, text in (("journal and data directory", CONFIG), ("data directory", CONFIG.replace("@/journal", "@/journal2"))):
            with self.subTest(same=what):
                other = self.write_config('listen: {local: {type: unix, path: "@/in2.sock"}}\ncontrol: {path: "@/control2.sock"}\n' +
                                          text, name="second.yaml")
                begin = time.monotonic()
                code, said = self.start_fails(["--config", other])
                self.assertEqual(code, 1, said)
                self.assertIn("pid %d" % agent.pid, said)
                self.assertIn(self.path("data"), said)
                self.assertLess(time.monotonic() - begin, 10)
        other = self.write_config('listen: {local: {type: unix, path: "@/in2.sock"}}\ncontrol: {path: "@/control2.sock"}\n'
                                  'data_dir: "@/data2"\n' + CONFIG, name="third.yaml")
        code, said = self.start_fails(["--config", other])
        self.assertEqual(code, 1, said)
        self.assertIn("pid %d" % agent.pid, said)
        fleet.wait_progress(1000)
        fleet.finish()
        agent.wait_status(lambda s: s["sinks"]["out"]["lag_records"] == 0, "the first goes on")
        agent.stop()
        Ledger(self.path("out.jsonl")).check(self, fleet.acked())
        agent = self.start(CONFIG)  # the lock goes with its process
        agent.stop()

    def refuse_newer(self, change):
        agent = self.start(DOWN % "64MiB")
        with agent.connect() as c:
            c.hello(client_id="c", ack="durable", next_seq=1)
            c.send([log("m%d" % n) for n in range(100)])
            c.read_to_ack(100)
        agent.stop()
        saved = {path: data for path, (data, _) in self.tree().items()}
        change()
        before = self.tree()
        code, said = self.start_fails(["--config", self.path("weir.yaml")])
        self.assertEqual(code, 1, said)
        self.assertIn("format", said)
        self.assertIn(self.path("journal"), said)
        after = self.tree()
        self.assertEqual({p: m for p, (_, m) in before.items()}, {p: m for p, (_, m) in after.items()}, "nothing is touched")
        self.assertEqual({p: d for p, (d, _) in before.items() if not p.endswith("/lock")},
                         {p: d for p, (d, _) in after.items() if not p.endswith("/lock")}, "nothing is touched")
        for path, data in saved.items():  # the newer weir goes on where it was
            with open(path, "wb") as f:
                f.write(data)
        agent = self.start(UP % "64MiB")
        agent.wait_status(lambda s: s["sinks"]["out"]["delivered"] == 100, "all there")

    def test_a_newer_format_is_refused(self):
        def change():
            path = self.path("journal/journal.json")
            with open(path, encoding="utf-8") as f:
                text = f.read()
            self.assertIn('"format":1', text)
            with open(path, "w", encoding="utf-8") as f:
                f.write(text.replace('"format":1', '"format":2').replace('"again":"1 ', '"again":"2 '))
        self.refuse_newer(change)

    def test_a_newer_format_of_segments_without_identity_is_refused(self):
        """journal.json is lost, and the newest segment was written by a newer weir."""
        def change():
            os.unlink(self.path("journal/journal.json"))
            path = os.path.join(self.path("journal"), segments(self.path("journal"))[-1])
            with open(path, "r+b") as f:
                header = bytearray(f.read(4096))
                header[12:16] = (2).to_bytes(4, "little")
                header[8:12] = crc32c(bytes(header[12:])).to_bytes(4, "little")
                f.seek(0)
                f.write(header)
        self.refuse_newer(change)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


class Backlog(FaultTest):
    def test_restart_with_a_backlog(self):
        """Ready at once, and drained in a memory that does not depend on it. Long: 1 GB."""
        producers, each, pad = (4, 700_000, 300) if harness.LONG else (3, 15_000, 300)
        agent = self.start(DOWN % "4GiB")
        fleet = Fleet(self)
        for n in range(producers):
            fleet.add("durable-%d" % n, "durable", pad=pad, count=each)
        fleet.finish(deadline_s=900)
        acked = fleet.acked()
        lag = agent.sink()["lag_bytes"]
        self.forget(agent)  # kill -9
        config = self.write_config(UP % "4GiB")
        ready_ms = []
        for _ in range(3):  # killed again before it is done
            begin = time.monotonic()
            agent = self.spawn(["--config", config]).wait_ready()
            ready_ms.append((time.monotonic() - begin) * 1000)
            wait_for(lambda: agent.sink()["delivered"] > 0, "begins to drain")
            if len(ready_ms) < 3:
                self.forget(agent)
        begin, peak = time.monotonic(), 0
        half = agent.sink()["lag_records"] / 2

        def drained():
            nonlocal peak
            peak = max(peak, rss_bytes(agent.pid))
            return agent.sink()["lag_records"] == 0
        wait_for(drained, "drained", deadline_s=600)
        took = time.monotonic() - begin
        peak = max(peak, rss_peak_bytes(agent.pid))
        self.assertGreater(half, 0)
        agent.stop()
        if harness.LONG:
            self.assertEqual(os.path.getsize(self.path("out.jsonl")) > 1 << 30, True)
        Ledger(self.path("out.jsonl")).check(self, acked)
        figures("backlog", backlog_mib=lag >> 20, ready_ms=[round(x) for x in ready_ms], drained_s=round(took, 1),
                mib_per_s=round(lag / MIB / took), rss_mib_peak=peak >> 20)
        self.assertLessEqual(peak, 96 * MIB)
        self.assertLess(min(ready_ms), 300)


if __name__ == "__main__":
    harness.main()
