"""Acknowledgements at `buffered` and `durable` with a journal on disk (interface.md section 2, delivery.md section 2):
what is acknowledged is there after kill -9, what is sent again is recognised, and the end tells of everything."""
import json
import os
import random
import subprocess
import unittest

import frames
import harness
from harness import log, wait_for

CONFIG = """
journal: {type: disk, path: "@/journal", max_bytes: 64MiB}
streams: {log: {sinks: [out]}}
sinks: {out: {type: file, path: "@/out.jsonl"}}
"""


class DurableTest(harness.AgentTest):
    def kill(self, agent):
        agent.kill()
        agent.stopped = True

    def restart(self, agent, config=CONFIG):
        self.kill(agent)
        return self.start(config)

    def messages(self, agent):
        agent.wait_status(lambda s: s["sinks"]["out"]["lag_records"] == 0, "everything delivered")
        return [r["message"] for r in agent.records()]


class Levels(DurableTest):
    def test_each_level_is_granted_by_lines_and_by_frames(self):
        agent = self.start(CONFIG)
        for level in ("none", "received", "buffered", "durable"):
            with self.subTest(level), agent.connect() as c, frames.connect(agent) as f:
                self.assertEqual(c.hello(ack=level)["ack"], level)
                self.assertEqual(f.hello(ack=level).json["ack"], level)

    def test_an_acknowledgement_is_true(self):
        """When it comes, the journal's own marks have passed the records."""
        agent = self.start(CONFIG)
        for level, mark in (("buffered", "written"), ("durable", "synced")):
            with self.subTest(level), agent.connect() as c:
                before = int(agent.status()["journal"]["written"])
                c.hello(client_id=level, ack=level, next_seq=1)
                for seq in range(1, 20):
                    c.send([log("m")])
                    c.read_to_ack(seq)
                    self.assertGreaterEqual(int(agent.status()["journal"][mark]), before + seq)

    def test_acks_are_cumulative_come_in_order_and_refusals_before_them(self):
        agent = self.start(CONFIG)
        lines = ["bad" if n % 100 == 0 else log("m", n=n) for n in range(1, 20001)]
        with agent.connect() as c:
            c.hello(client_id="x", ack="durable", next_seq=1)
            c.send(lines)
            got = c.read_to_ack(len(lines))
        acks = [x["seq"] for x in got if x["weir"] == "ack"]
        self.assertEqual(acks, sorted(set(acks)))
        told = set()
        for line in got:
            if line["weir"] == "reject":
                told.add(line["seq"])
            else:
                self.assertLessEqual(set(range(100, line["seq"] + 1, 100)), told)
        self.assertEqual(len(told), 200)

    def test_a_sync_is_answered_behind_the_last_ack(self):
        agent = self.start(CONFIG)
        with agent.connect() as c:
            c.hello(client_id="x", ack="durable", next_seq=1)
            c.send([log("1"), log("2"), '{"weir":"sync","id":1}', log("3"), '{"weir":"sync","id":2}'])
            got = c.read_until("synced") + c.read_until("synced")
        self.assertEqual([(x["weir"], x["seq"]) for x in got if x["weir"] == "synced"], [("synced", 2), ("synced", 3)])
        self.assertEqual([x["seq"] for x in got if x["weir"] == "ack"], [2, 3])
        self.assertEqual(int(agent.status()["journal"]["synced"]), 3)

    def test_what_was_only_received_becomes_durable_when_it_is_sent_again_so(self):
        agent = self.start(CONFIG)
        with agent.connect() as c:
            c.hello(client_id="x", ack="received", next_seq=1)
            c.send([log("1"), log("2")])
            c.read_to_ack(2)
        with agent.connect() as c:
            self.assertEqual(c.hello(client_id="x", ack="durable", next_seq=1)["last_seq"], 2)
            self.assertEqual(int(agent.status()["journal"]["synced"]), 2, "last_seq is true at the level granted")
            c.send([log("1"), log("2")])
            c.read_to_ack(2)
        self.assertEqual(agent.source()["duplicate"], 2)


class Killed(DurableTest):
    def test_what_is_acknowledged_outlives_kill_9_and_what_comes_again_is_recognised(self):
        for level in ("buffered", "durable"):
            with self.subTest(level):
                self.kill_while_sending(level)

    def kill_while_sending(self, level):
        count, step = 12000, 200
        lines = [log("%s-%d" % (level, n)) for n in range(1, count + 1)]
        agent = self.start(CONFIG)
        acked, seed = 0, random.randrange(2**32)
        rng = random.Random(seed)
        for _ in range(5):
            with agent.connect() as c:
                welcome = c.hello(client_id=level, ack=level, next_seq=acked + 1)
                self.assertGreaterEqual(welcome["last_seq"], acked, "acknowledged and gone (seed %d)" % seed)
                c.send(lines[acked:acked + 10 * step])
                wanted = acked + rng.randrange(1, step)
                while acked < wanted:
                    acked = c.read_to_ack(acked + 1)[-1]["seq"]
                self.kill(agent)
            agent = self.start(CONFIG)
        with agent.connect() as c:
            c.hello(client_id=level, ack=level, next_seq=acked + 1)
            c.send(lines[acked:])
            c.read_to_ack(count)
        got = [m for m in self.messages(agent) if m.startswith(level)]
        self.assertEqual(got, ["%s-%d" % (level, n) for n in range(1, count + 1)])
        self.kill(agent)

    def test_numbers_of_refused_and_missing_records_are_remembered(self):
        agent = self.start(CONFIG)
        with agent.connect() as c:
            c.hello(client_id="x", ack="durable", next_seq=1)
            c.send([log("1"), "bad"])
            c.read_to_ack(2)
            c.send([harness.compact({"weir": "hello", "client_id": "x", "ack": "durable", "next_seq": 10}), "bad"])
            c.read_until("welcome")
            c.read_to_ack(10)
        self.assertEqual(agent.status()["clients"]["x"]["gaps"], 7)
        agent = self.restart(agent)
        with agent.connect() as c:
            self.assertEqual(c.hello(client_id="x", ack="durable", next_seq=9)["last_seq"], 10)
            c.send(["bad", "bad", log("11")])
            got = c.read_to_ack(11)
            self.assertEqual([x for x in got if x["weir"] == "reject"], [], "a duplicate is not judged again")
        self.assertEqual(self.messages(agent), ["1", "11"])
        self.assertEqual(agent.source()["duplicate"], 2)

    def test_frames_and_their_client_outlive_it_too(self):
        agent = self.start(CONFIG)
        with frames.connect(agent) as c:
            c.hello(client_id="x", ack="durable", next_seq=1)
            c.send(frames.records(1, [log("1"), log("2")]))
            c.read_to_ack(2)
        agent = self.restart(agent)
        with frames.connect(agent) as c:
            self.assertEqual(c.hello(client_id="x", ack="durable", next_seq=2).json["last_seq"], 2)
            c.send(frames.records(2, [log("2"), log("3")]))
            c.read_to_ack(3)
        self.assertEqual(self.messages(agent), ["1", "2", "3"])

    @unittest.skipUnless(os.getuid() == 0, "needs root, to connect as somebody else")
    def test_a_client_still_belongs_to_its_user(self):
        agent = self.start(CONFIG)
        os.chmod(self.dir, 0o710)
        with agent.connect() as c:
            c.hello(client_id="mine", ack="durable", next_seq=1)
            c.send([log("1")])
            c.read_to_ack(1)
        agent = self.restart(agent)
        read_end, write_end = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.setuid(65534)
                with agent.connect() as c:
                    os.write(write_end, harness.compact(c.hello(client_id="mine")).encode())
            finally:
                os._exit(0)
        os.close(write_end)
        os.waitpid(child, 0)
        with os.fdopen(read_end) as f:
            self.assertEqual(json.loads(f.read())["reason"], "not_yours")

    def test_taken_over_again_and_again_under_load(self):
        """Each connection sends on from what its welcome says and is taken over while acknowledgements are due."""
        agent = self.start(CONFIG)
        lines = [log(str(n)) for n in range(1, 5001)]
        connections, last = [], 0
        for _ in range(20):
            c = agent.connect()
            self.addCleanup(c.sock.close)
            last = c.hello(client_id="x", ack="durable")["last_seq"]
            if connections:
                said = connections[-1].read_all()
                self.assertEqual(said[-1], {"weir": "bye", "reason": "taken_over"})
                self.assertLessEqual(max([x["seq"] for x in said if x["weir"] == "ack"], default=0), last)
            c.send(lines[last:last + 300])
            connections.append(c)
        with agent.connect() as c:
            last = c.hello(client_id="x", ack="durable")["last_seq"]
            c.send(lines[last:])
            if last < len(lines):
                c.read_to_ack(len(lines))
        self.assertEqual(self.messages(agent), [str(n) for n in range(1, len(lines) + 1)])


class TheEnd(DurableTest):
    def test_after_a_half_close_and_after_bye_all_acks_come_before_the_close(self):
        agent = self.start(CONFIG)
        for last in ("half", "bye"):
            with self.subTest(last), agent.connect() as c:
                c.hello(client_id=last, ack="durable", next_seq=1)
                c.send([log("m", n=n) for n in range(3000)])
                c.send(['{"weir":"bye"}']) if last == "bye" else c.half_close()
                self.assertEqual(c.read_all()[-1], {"weir": "ack", "seq": 3000})
                self.assertGreaterEqual(int(agent.status()["journal"]["synced"]), 3000)

    def test_sigterm_acknowledges_everything_and_nothing_is_left_out(self):
        agent = self.start(CONFIG)
        count, clients = 2000, []
        for i in range(10):
            c = (frames if i % 2 else agent).connect(*([agent] if i % 2 else []))
            self.addCleanup(c.sock.close)
            c.hello(client_id="c%d" % i, ack="durable", next_seq=1)
            lines = [log("c%d-%d" % (i, n)) for n in range(1, count + 1)]
            for first in range(0, count, 500):
                part = lines[first:first + 500]
                c.send(frames.records(first + 1, part) if i % 2 else part)
            clients.append(c)
        agent.signal(harness.signal.SIGTERM)
        for i, c in enumerate(clients):
            said = c.read_all()
            last = said[-1].seq if i % 2 else said[-1]["seq"]
            self.assertEqual(last, count, "client %d" % i)
        self.assertEqual(agent.wait_exit(), 0)
        agent = self.start(CONFIG)
        with agent.connect() as c:
            self.assertEqual(c.hello(client_id="c0")["last_seq"], count)
        self.assertEqual(len(self.messages(agent)), 10 * count)

    def test_http_answers_when_it_is_on_the_disk(self):
        agent = self.start(CONFIG + 'listen: {local: {type: unix, path: "@/in.sock"}, web: {type: http, bind: "127.0.0.1:0"}}')
        port = int(next(a for a in agent.addresses if a.startswith("http:")).rsplit(":", 1)[1])
        connection = harness.http.client.HTTPConnection("127.0.0.1", port, timeout=harness.DEADLINE_S)
        self.addCleanup(connection.close)
        for n in range(1, 20):
            connection.request("POST", "/", body=log("m") + "\n")
            answer = connection.getresponse()
            self.assertEqual((answer.status, json.loads(answer.read())["records"]), (200, 1))
            self.assertGreaterEqual(int(agent.status()["journal"]["synced"]), n)


class Send(DurableTest):
    def test_it_reports_what_was_granted(self):
        agent = self.start(CONFIG)
        for level in ("none", "received", "buffered", "durable"):
            done = self.weir("send", "--ack", level, "-o", "json", stdin=log(level) + "\n")
            self.assertEqual((done.returncode, json.loads(done.stdout)["level"]), (0, level), done.stderr)
        self.assertEqual(self.messages(agent), ["none", "received", "buffered", "durable"])

    def test_it_sends_again_what_a_killed_agent_had_not_acknowledged(self):
        count = 30000
        agent = self.start(CONFIG)
        proc = subprocess.Popen([harness.BINARY, "send", "--ack", "durable", "-o", "json"], stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.env())
        self.addCleanup(proc.kill)
        lines = [log(str(n), pad="x" * 100) for n in range(1, count + 1)]
        for part in range(3):
            proc.stdin.write(harness.as_bytes(lines[part * count // 3:(part + 1) * count // 3]))
            proc.stdin.flush()
            if part < 2:
                wait_for(lambda: agent.source()["received"] > 100, "something was taken")
                agent = self.restart(agent)
        out, err = proc.communicate(timeout=harness.DEADLINE_S)
        report = json.loads(out)
        self.assertEqual((proc.returncode, report["taken"], report["refused"], report["level"]), (0, count, 0, "durable"), err)
        self.assertEqual(self.messages(agent), [str(n) for n in range(1, count + 1)])

    def test_without_a_durable_level_it_says_what_is_not_known(self):
        agent = self.start(harness.ALL_TO_FILE)
        proc = subprocess.Popen([harness.BINARY, "send"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, env=self.env())
        self.addCleanup(proc.kill)
        proc.stdin.write(log("1").encode() + b"\n")
        proc.stdin.flush()
        agent.wait_delivered("out", 1)
        self.kill(agent)
        _, err = proc.communicate(timeout=harness.DEADLINE_S)
        self.assertEqual(proc.returncode, 1)
        self.assertIn("of 1 records sent were acknowledged", err.decode())


if __name__ == "__main__":
    harness.main()
