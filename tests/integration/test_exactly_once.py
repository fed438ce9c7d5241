"""Files of a sink over a journal on disk: each record once, whole and in order, whatever kills the agent and whatever
others do to the files (delivery.md sections 2 and 3)."""
import json
import os
import socket
import threading
import unittest

import harness
import test_rotation
from harness import log, wait_for

COUNT = 20_000 if harness.SANITIZED else 150_000
KIB = 1 << 10
CONFIG = """
journal: {type: disk, path: "@/journal", max_bytes: 64MiB}
streams: {log: {sinks: [out]}}
sinks: {out: {type: file, path: "@/out/%s"%s}}
"""


def config(options="", path="out.jsonl"):
    return CONFIG % (path, ", " + options if options else "")


class Client(threading.Thread):
    """Sends `count` numbered records and goes on from what the agent remembers whenever the connection breaks."""

    def __init__(self, path, count, client_id="c", services=1):
        super().__init__(daemon=True)
        self.path, self.count, self.client_id, self.services = path, count, client_id, services
        self.stop = threading.Event()
        self.fault = None
        self.start()

    def line(self, n):
        return ('{"stream":"log","ts":"2026-01-21T10:00:00Z","message":"m","service":"s%d","n":%d,"pad":"%s"}\n'
                % (n % self.services, n, "x" * (n % 200)))

    def run(self):
        try:
            while not self.stop.is_set():
                try:
                    if self.session():
                        return
                except OSError:
                    pass
        except Exception as fault:  # shown by whoever waits for it
            self.fault = fault

    def session(self):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(self.path)
            reader = sock.makefile("rb")
            sock.sendall(json.dumps({"weir": "hello", "client_id": self.client_id, "ack": "buffered"}).encode() + b"\n")
            welcome = self.read(reader)
            assert welcome["weir"] == "welcome" and welcome["ack"] == "buffered", welcome
            acked = sent = welcome["last_seq"]
            while acked < self.count:
                while sent < self.count and sent - acked < 4000:
                    upto = min(sent + 500, self.count)
                    sock.sendall("".join(self.line(n) for n in range(sent + 1, upto + 1)).encode())
                    sent = upto
                message = self.read(reader)
                assert message["weir"] == "ack", message
                acked = message["seq"]
        return True

    @staticmethod
    def read(reader):
        line = reader.readline()
        if not line.endswith(b"\n"):
            raise OSError("the agent is gone")
        return json.loads(line)

    def finished(self):
        if self.fault:
            raise self.fault
        return not self.is_alive()


class DiskTest(test_rotation.RotationTest):
    def files(self):
        return self.rotated() + [self.path("out/out.jsonl")]

    def numbers(self, paths=None):
        """What all files hold, in order; a rotated file that is being compressed counts once."""
        out = []
        for path in paths or self.files():
            data = test_rotation.unpacked(path)
            self.assertTrue(data == b"" or data.endswith(b"\n"), "torn: " + path)
            out += [json.loads(line)["n"] for line in data.splitlines()]
        return out

    def kill(self, agent):
        agent.kill()
        agent.stopped = True

    def finish_client(self, client):
        wait_for(client.finished, "everything is acknowledged", 120)

    def check_delivered(self, agent, count):
        agent.wait_status(lambda s: s["sinks"]["out"]["lag_records"] == 0, "everything delivered")
        status = agent.status()
        self.assertEqual(status["conservation_error"], 0)
        self.assertEqual(status["sinks"]["out"]["delivered"], count, "the counters go on with the place")


class Killed(DiskTest):
    def kills(self, text, times, after):
        """Starts on `text`, kills it `times` times under load, each time after `after` more records; ends delivered."""
        agent = self.start(text)
        client = Client(self.path("in.sock"), COUNT)
        self.addCleanup(client.stop.set)
        for _ in range(times):
            seen = agent.sink()["delivered"]
            wait_for(lambda: client.finished() or agent.sink()["delivered"] >= seen + after, "under load", 60)
            self.kill(agent)
            agent = self.start(text)
        self.finish_client(client)
        agent.wait_status(lambda s: s["sinks"]["out"]["lag_records"] == 0, "everything delivered")
        return agent

    def test_killed_under_load(self):
        agent = self.kills(config(), 8, COUNT // 20)
        self.assertEqual(self.numbers(), list(range(1, COUNT + 1)))
        self.check_delivered(agent, COUNT)

    def test_killed_while_it_rotates_and_compresses(self):
        agent = self.kills(config("rotate: {max_bytes: 256KiB, compress: zstd}"), 12, COUNT // 30)
        wait_for(lambda: all(p.endswith(".zst") for p in self.rotated()), "everything is compressed", 60)
        self.assertEqual([n for n in os.listdir(self.path("out")) if n.endswith(".part")], [])
        self.assertEqual(self.numbers(), list(range(1, COUNT + 1)))
        self.assertGreater(len(self.rotated()), 3)
        self.check_delivered(agent, COUNT)

    def test_killed_while_it_writes_many_files(self):
        text = config("rotate: {max_bytes: 64KiB}", "{service}.jsonl")
        agent = self.start(text)
        client = Client(self.path("in.sock"), COUNT, services=7)
        self.addCleanup(client.stop.set)
        for _ in range(6):
            seen = agent.sink()["delivered"]
            wait_for(lambda: client.finished() or agent.sink()["delivered"] >= seen + COUNT // 20, "under load", 60)
            self.kill(agent)
            agent = self.start(text)
        self.finish_client(client)
        self.check_delivered(agent, COUNT)
        for service in range(7):
            base = "s%d.jsonl" % service
            names = sorted((n for n in os.listdir(self.path("out")) if n.startswith(base + ".")),
                           key=lambda n: (n.split(".")[-2], int(n.split(".")[-1])))
            got = self.numbers([self.path("out/" + n) for n in names + [base]])
            self.assertEqual(got, [n for n in range(1, COUNT + 1) if n % 7 == service])

    def test_reloads_and_kills_together(self):
        texts = [config(x) for x in ("", "rotate: {max_bytes: 300KiB}", "rotate: {max_bytes: 128KiB}, write_mode: batch")]
        agent = self.start(texts[0])
        client = Client(self.path("in.sock"), COUNT)
        self.addCleanup(client.stop.set)
        for turn in range(9):
            seen = agent.sink()["delivered"]
            wait_for(lambda: client.finished() or agent.sink()["delivered"] >= seen + COUNT // 40, "under load", 60)
            self.write_config(texts[turn % 3])
            done = self.weir("reload")
            self.assertEqual(done.returncode, 0, done.stderr)
            if turn % 3 == 2:
                self.kill(agent)
                agent = self.start(texts[turn % 3])
        self.finish_client(client)
        agent.wait_status(lambda s: s["sinks"]["out"]["lag_records"] == 0, "everything delivered")
        self.assertEqual(agent.sink()["delivered"], COUNT)
        self.assertEqual(self.numbers(), list(range(1, COUNT + 1)))

    def test_an_orderly_restart_goes_on_where_it_was(self):
        agent = self.start(config())
        for turn in range(3):
            agent.send_plain([log("m", n=n) for n in range(turn * 10, turn * 10 + 10)])
            agent.wait_delivered("out", turn * 10 + 10)
            agent.stop()
            agent = self.start(config())
        self.assertEqual(self.numbers(), list(range(30)))


class ByOthers(DiskTest):
    """What somebody else has done to the file while the agent was not running, and while it was."""

    def write_ten(self, agent, first):
        agent.send_plain([log("m", n=n) for n in range(first, first + 10)])
        agent.wait_delivered("out", first + 10)

    def begin(self):
        agent = self.start(config())
        self.write_ten(agent, 0)
        agent.stop()

    def test_another_file_in_its_place_is_kept_beside_it_as_it_was(self):
        self.begin()
        os.unlink(self.path("out/out.jsonl"))
        self.write("out/out.jsonl", "precious, and longer than what was there before\n" * 50 + "no line feed")
        precious = test_rotation.unpacked(self.path("out/out.jsonl"))
        agent = self.start(config())
        self.write_ten(agent, 10)
        self.assertEqual([r["n"] for r in agent.records("out/out.jsonl")], list(range(10, 20)))
        self.assertEqual([test_rotation.unpacked(p) for p in self.rotated()], [precious])
        self.assertIn(os.path.basename(self.rotated()[0]), agent.stderr(), "it is said where the file is now")

    def test_another_file_in_the_place_of_an_empty_one(self):
        agent = self.start(config("rotate: {max_bytes: 1KiB, every: 1s}"))
        agent.send_plain([log("m", n=0)])
        wait_for(self.rotated, "rotated by age")
        wait_for(lambda: os.path.exists(self.path("out/out.jsonl")), "a new file")
        self.kill(agent)
        os.unlink(self.path("out/out.jsonl"))
        self.write("out/out.jsonl", "precious\n")
        before = self.rotated()
        agent = self.start(config())
        agent.send_plain([log("m", n=1)])
        agent.wait_delivered("out", 2)
        self.assertEqual(agent.lines("out/out.jsonl"), [log("m", n=1)])
        self.assertEqual([test_rotation.unpacked(p) for p in self.rotated()][len(before):], [b"precious\n"])

    def test_its_file_renamed_stays_and_a_new_one_begins(self):
        self.begin()
        os.rename(self.path("out/out.jsonl"), self.path("out/moved"))
        agent = self.start(config())
        self.write_ten(agent, 10)
        self.assertEqual(self.numbers([self.path("out/moved"), self.path("out/out.jsonl")]), list(range(20)))

    def test_a_truncated_file_goes_on_at_its_end(self):
        self.begin()
        whole = self.path("out/out.jsonl")
        os.truncate(whole, os.path.getsize(whole) // 2)
        agent = self.start(config())
        self.write_ten(agent, 10)
        got = self.numbers()
        self.assertEqual(got[-10:], list(range(10, 20)))
        self.assertEqual(got[:-10], list(range(len(got) - 10)))
        self.assertIn("has lost its last", agent.stderr())

    def test_what_a_kill_left_of_a_write_is_cut_off(self):
        self.begin()
        with open(self.path("out/out.jsonl"), "a") as f:
            f.write(log("m", n=10) + "\n" + log("m", n=11)[:20])
        agent = self.start(config())
        self.write_ten(agent, 10)
        self.assertEqual(self.numbers(), list(range(20)))

    def test_renamed_again_and_again_while_it_runs_under_load(self):
        agent = self.start(config())
        client = Client(self.path("in.sock"), COUNT)
        self.addCleanup(client.stop.set)
        moved = []
        while not client.finished():
            name = self.path("out/moved.%d" % len(moved))
            grown = lambda: os.path.exists(self.path("out/out.jsonl")) and os.path.getsize(self.path("out/out.jsonl")) > 100 * KIB
            wait_for(lambda: client.finished() or grown(), "something to rename")
            if grown():
                os.rename(self.path("out/out.jsonl"), name)
                moved.append(name)
        self.check_delivered(agent, COUNT)
        paths = moved + [self.path("out/out.jsonl")] * os.path.exists(self.path("out/out.jsonl"))
        self.assertEqual(self.numbers(paths), list(range(1, COUNT + 1)))
        self.assertGreater(len(moved), 2)

    def test_appended_to_while_it_runs(self):
        agent = self.start(config())
        self.write_ten(agent, 0)
        with open(self.path("out/out.jsonl"), "a") as f:
            f.write(log("m", n=-1) + "\n")
        self.write_ten(agent, 10)
        self.kill(agent)
        agent = self.start(config())
        self.write_ten(agent, 20)
        self.assertEqual(self.numbers(), list(range(10)) + [-1] + list(range(10, 30)))
        self.assertEqual(self.rotated(), [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
