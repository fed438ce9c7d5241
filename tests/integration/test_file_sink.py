"""The file sink: write modes as the kernel sees them, what may stand at its path, reopening, unfinished lines."""
import os
import re
import signal
import subprocess
import unittest

import harness
from harness import log

TWO_SINKS = """
streams: {log: {sinks: [good, bad]}}
sinks:
  good: {type: jsonl, path: "@/good.jsonl"}
  bad: {type: jsonl, path: "%s"}
drain_timeout: 200ms
"""


def strace_works():
    try:
        return subprocess.run(["strace", "-f", "-o", "/dev/null", "true"], stderr=subprocess.DEVNULL).returncode == 0
    except FileNotFoundError:
        return False


@unittest.skipIf(harness.SANITIZED, "the leak checker does not run under strace")
@unittest.skipUnless(strace_works(), "needs strace")
class WriteModes(harness.AgentTest):
    """Counts the write and fdatasync calls on the sink's file."""

    def calls(self, options, lines, one_by_one=False):
        """(records per write call, number of fdatasync calls) after a stop."""
        trace_file = self.path("strace.out")
        agent = self.spawn(["--config", self.write_config(
            "streams: {log: {sinks: [out]}}\nsinks: {out: {type: jsonl, path: \"@/out.jsonl\"%s}}\n" % options)],
            wrapper=["strace", "-f", "-y", "-s", "1000000", "-e", "trace=write,writev,pwrite64,pwritev,pwritev2,fsync,fdatasync", "-o", trace_file])
        agent.wait_ready()
        if one_by_one:
            with agent.connect() as c:
                for n, line in enumerate(lines):
                    c.send([line])
                    agent.wait_status(lambda s: s["sources"]["local"]["journalled"] == n + 1, "taken")
        else:
            agent.send_plain(lines)
        agent.stop()
        self.assertEqual(agent.lines(), lines)
        with open(trace_file) as f:
            text = f.read()
        os.unlink(self.path("out.jsonl"))
        on_file = [x for x in text.splitlines() if re.search(r"(write|writev|pwrite64|pwritev2?|fsync|fdatasync)\(\d+<[^>]*/out\.jsonl>", x)]
        syncs = [x for x in on_file if "sync(" in x]
        return [x.count('\\"stream\\"') for x in on_file if "sync(" not in x], len(syncs)

    LINES = [log("m", n=n) for n in range(50)]

    def test_line_is_one_write_per_record(self):
        self.assertEqual(self.calls(", write_mode: line", self.LINES), ([1] * 50, 0))
        self.assertEqual(self.calls(", write_mode: line, flush_every_n: 1, fsync_every_n: null", self.LINES), ([1] * 50, 0))

    def test_line_with_n_is_one_write_per_n_records(self):
        writes, _ = self.calls(", write_mode: line, flush_every_n: 5", self.LINES)
        self.assertEqual(writes, [5] * 10)
        writes, _ = self.calls(", write_mode: line, flush_every_n: 5", self.LINES[:23], one_by_one=True)
        self.assertEqual(writes, [5, 5, 5, 5, 3], "the rest at exit")

    def test_batch_is_one_write_per_n_records(self):
        writes, _ = self.calls(", write_mode: batch, flush_every_n: 10, flush_every_ms: null", self.LINES[:25], one_by_one=True)
        self.assertEqual(writes, [10, 10, 5])
        writes, _ = self.calls(", write_mode: batch, flush_every_ms: null", self.LINES * 5)
        self.assertEqual(writes, [100, 100, 50], "100 by default")

    def test_fsync_every_n(self):
        for options, count in ((", write_mode: line, fsync_every_n: 10", 5), (", write_mode: line, fsync_every_n: 1", 50),
                               (", write_mode: batch, flush_every_n: 20, flush_every_ms: null, fsync_every_n: 20", 2)):
            with self.subTest(options=options):
                self.assertEqual(self.calls(options, self.LINES)[1], count)

    def test_auto_writes_whatever_is_there_at_once(self):
        writes, syncs = self.calls("", [log("m", n=n) for n in range(5000)])
        self.assertEqual((sum(writes), syncs), (5000, 0))
        self.assertLess(len(writes), 500)


class Holding(harness.AgentTest):
    def test_batch_gives_up_waiting_after_flush_every_ms(self):
        agent = self.start("streams: {log: {sinks: [out]}}\n"
                           "sinks: {out: {type: jsonl, path: \"@/out.jsonl\", write_mode: batch, flush_every_n: 1000, flush_every_ms: 20}}\n")
        agent.send_plain([log("a"), log("b")])
        agent.wait_delivered("out", 2)
        self.assertEqual(agent.lines(), [log("a"), log("b")])

    def test_batch_without_a_time_holds_until_reload_and_exit(self):
        text = ("streams: {log: {sinks: [out]}}\nsinks: {out: {type: jsonl, path: \"@/out.jsonl\", write_mode: batch, "
                "flush_every_n: %d, flush_every_ms: null}}\n")
        agent = self.start(text % 10)
        agent.send_plain([log("m", n=n) for n in range(13)])
        agent.wait_delivered("out", 10)
        self.assertEqual((len(agent.lines()), agent.sink()["lag_records"]), (10, 3))
        self.write_config(text % 11)
        self.assertEqual(self.weir("reload").returncode, 0)
        agent.wait_delivered("out", 13)
        agent.send_plain([log("last")])
        agent.stop()
        self.assertEqual(len(agent.lines()), 14)


class Planted(harness.AgentTest):
    def run_beside(self, path, kind):
        """The bad sink is down and named, the good one goes on, nothing at the path changed; the exit says what was left."""
        before = os.lstat(path)
        agent = self.start(TWO_SINKS % path)
        agent.send_plain([log("m", n=n) for n in range(3)])
        agent.wait_delivered("good", 3)
        status = agent.wait_status(lambda s: s["sinks"]["bad"]["state"] == "down", kind + ": the sink is down")
        self.assertEqual((status["sinks"]["bad"]["delivered"], status["sinks"]["bad"]["lag_records"]), (0, 3))
        self.assertTrue(status["sinks"]["bad"]["last_error"])
        self.assertEqual(status["sinks"]["good"]["state"], "ok")
        after = os.lstat(path)
        self.assertEqual((before.st_ino, before.st_mode, before.st_size, before.st_mtime_ns),
                         (after.st_ino, after.st_mode, after.st_size, after.st_mtime_ns))
        self.assertIn(path, agent.stderr())
        return agent

    def finish(self, agent):
        agent.signal(signal.SIGTERM)
        self.assertEqual(agent.wait_exit(), 1, "something accepted could not be kept")
        self.assertRegex(agent.stderr(), r"\b3\b")
        os.unlink(self.path("good.jsonl"))

    def test_whatever_is_no_regular_file_of_ours(self):
        victim = self.write("victim", "precious")
        path = self.path("bad.jsonl")
        plant = {"symlink": lambda: os.symlink(victim, path), "dangling symlink": lambda: os.symlink(self.path("nowhere"), path),
                 "fifo": lambda: os.mkfifo(path), "directory": lambda: os.mkdir(path), "hard link": lambda: os.link(victim, path)}
        for kind, make in plant.items():
            with self.subTest(kind):
                make()
                self.finish(self.run_beside(path, kind))
                os.rmdir(path) if kind == "directory" else os.unlink(path)
        with open(victim) as f:
            self.assertEqual(f.read(), "precious")
        self.assertFalse(os.path.lexists(self.path("nowhere")))

    def test_a_device(self):
        self.finish(self.run_beside("/dev/full", "device"))

    @unittest.skipUnless(os.getuid() == 0, "needs root, to own a file as somebody else")
    def test_somebody_elses_file(self):
        path = self.write("bad.jsonl", "precious\n")
        os.chown(path, 65534, 65534)
        self.finish(self.run_beside(path, "foreign"))

    def test_it_recovers_by_itself_when_the_path_is_free(self):
        path = self.path("bad.jsonl")
        os.mkfifo(path)
        agent = self.run_beside(path, "fifo")
        os.unlink(path)
        status = agent.wait_delivered("bad", 3)
        self.assertEqual(status["sinks"]["bad"]["state"], "ok")
        self.assertEqual(agent.lines("bad.jsonl"), agent.lines("good.jsonl"))


class Files(harness.AgentTest):
    def test_an_existing_file_is_appended_to(self):
        self.write("out.jsonl", '{"old":1}\n')
        agent = self.start(harness.ALL_TO_FILE)
        agent.send_plain([log("new")])
        agent.wait_delivered("out", 1)
        self.assertEqual(agent.lines(), ['{"old":1}', log("new")])

    def test_an_unfinished_last_line_goes_to_the_quarantine(self):
        self.write("out.jsonl", '{"old":1}\n{"torn":')
        agent = self.start(harness.ALL_TO_FILE)
        agent.send_plain([log("new")])
        agent.wait_delivered("out", 1)
        self.assertEqual(agent.lines(), ['{"old":1}', log("new")])
        entry = agent.quarantine("sink.out")[0]
        self.assertEqual((entry["sink"], entry["raw"], entry["length"]), ("out", '{"torn":', 8))

    def test_sigusr1_reopens(self):
        agent = self.start(harness.ALL_TO_FILE)
        agent.send_plain([log("m", n=0)])
        agent.wait_delivered("out", 1)
        os.rename(self.path("out.jsonl"), self.path("out.jsonl.1"))
        agent.signal(signal.SIGUSR1)
        count = 1
        while not os.path.exists(self.path("out.jsonl")):  # the signal comes through at some point, and the next record tells
            agent.send_plain([log("m", n=count)])
            count += 1
            agent.wait_delivered("out", count)
            self.assertLess(count, 5000)
        agent.send_plain([log("m", n=count)])
        agent.wait_delivered("out", count + 1)
        self.assertEqual([r["n"] for r in agent.records("out.jsonl.1") + agent.records()], list(range(count + 1)))

    def test_two_sinks_of_different_streams_each_get_their_own_in_order(self):
        agent = self.start("""
streams: {trace: {sinks: [t, all], context_diff: {mode: none}}, log: {sinks: [l, all]}, telemetry: {sinks: [all]}}
sinks: {t: {type: jsonl, path: "@/t.jsonl"}, l: {type: jsonl, path: "@/l.jsonl"}, all: {type: jsonl, path: "@/all.jsonl"}}
""")
        lines = []
        for n in range(2000):
            lines += [harness.trace("t%d" % n), log("m", n=n), harness.compact({"stream": "metric", "ts": harness.TS, "name": "x", "value": n})][:1 + n % 3]
        agent.send_plain(lines)
        agent.wait_delivered("all", len(lines))
        agent.wait_status(lambda s: all(x["lag_records"] == 0 for x in s["sinks"].values()), "all delivered")
        self.assertEqual(agent.lines("all.jsonl"), lines)
        self.assertEqual(agent.lines("t.jsonl"), [x for x in lines if '"trace"' in x])
        self.assertEqual(agent.lines("l.jsonl"), [x for x in lines if '"log"' in x])
        sinks = agent.status()["sinks"]
        self.assertEqual((sinks["t"]["streams"], sinks["all"]["streams"]), (["trace"], ["trace", "log", "telemetry"]))

    @unittest.skipUnless(os.getuid() == 0, "needs root, to mount a small file system")
    def test_a_full_disk_costs_nothing_but_time(self):
        os.mkdir(self.path("small"))
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", self.path("small")], stderr=subprocess.DEVNULL).returncode:
            self.skipTest("cannot mount a tmpfs here")
        self.addCleanup(subprocess.run, ["umount", "-l", self.path("small")])
        agent = self.start(TWO_SINKS % "@/small/bad.jsonl")
        self.write("small/ballast", "x" * 150000)
        lines = [log("y" * 100, n=n) for n in range(1500)]
        agent.send_plain(lines)
        agent.wait_delivered("good", 1500)
        agent.wait_status(lambda s: s["sinks"]["bad"]["state"] in ("down", "retrying"), "no space: the sink is not ok")
        self.assertEqual(agent.lines("small/bad.jsonl"), lines[:len(agent.lines("small/bad.jsonl"))], "whole lines only")
        subprocess.run(["mount", "-o", "remount,size=4m", self.path("small")], check=True)
        agent.wait_delivered("bad", 1500)
        self.assertEqual(agent.lines("small/bad.jsonl"), lines)
        self.assertEqual(agent.sink("bad")["state"], "ok")
        agent.stop()


class Limits(harness.AgentTest):
    def test_a_file_at_the_process_limit_is_the_sinks_trouble_and_not_the_agents_end(self):
        import resource
        limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, resource.RLIM_INFINITY))
        agent = self.start(harness.ALL_TO_FILE, preexec=limit)
        lines = [harness.log("m%d" % i, note="x" * 100) for i in range(1000)]
        agent.send_plain(lines)
        agent.wait_status(lambda s: s["sinks"]["out"]["state"] == "down", "the sink is down")
        resource.prlimit(agent.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        agent.wait_delivered("out", len(lines))
        self.assertEqual(agent.lines(), lines)


if __name__ == "__main__":
    unittest.main(verbosity=2)
