"""Paths with fields of the record: where files may lie whatever a producer sends, and that nothing is lost on the way."""
import json
import os
import re
import signal
import stat
import subprocess
import threading
import unittest

import harness
from harness import log, wait_for

PER_SERVICE = """
streams: {log: {sinks: [out]}, trace: {sinks: [out], context_diff: {mode: none}}}
sinks: {out: {type: file, path: "@/root/%s", %s}}
"""
DISTINCT = 2_000 if harness.SANITIZED else 100_000


def per_service(path="{service}/{stream}.jsonl", options="mode: 0640"):
    return PER_SERVICE % (path, options)


class TemplateTest(harness.AgentTest):
    def files(self):
        """Path beneath the root -> contents; there must be nothing but directories and regular files."""
        found = {}
        for top, directories, names in os.walk(self.path("root")):
            for name in directories + names:
                mode = os.lstat(os.path.join(top, name)).st_mode
                self.assertTrue(stat.S_ISDIR(mode) or stat.S_ISREG(mode))
            for name in names:
                path = os.path.join(top, name)
                with open(path, "rb") as f:
                    found[os.path.relpath(path, self.path("root"))] = f.read().decode()
        return found

    def outside(self):
        """Everything in the test's directory that is not beneath the root."""
        return sorted(n for n in os.listdir(self.dir) if n != "root" and not n.startswith("agent-"))

    def open_files(self, agent):
        """Descriptors of the agent that are files beneath the root, at one moment: it stands still meanwhile."""
        def stands():
            for task in os.listdir("/proc/%d/task" % agent.pid):
                with open("/proc/%d/task/%s/stat" % (agent.pid, task)) as f:
                    if f.read().rpartition(")")[2].split()[0] != "T":
                        return False
            return True
        agent.signal(signal.SIGSTOP)
        try:
            wait_for(stands, "every thread stands")
            links = [os.readlink("/proc/%d/fd/%s" % (agent.pid, fd)) for fd in os.listdir("/proc/%d/fd" % agent.pid)]
        finally:
            agent.signal(signal.SIGCONT)
        return sum(link.startswith(self.path("root") + "/") for link in links)


class Values(TemplateTest):
    def test_each_record_goes_where_its_values_say(self):
        agent = self.start(per_service())
        lines = [log("m", service="orders", n=1), harness.trace("t", service="orders"), log("m", service="billing"), log("m", service=None), log("m"),
                 log("m", service="orders", n=2)]
        agent.send_plain(lines)
        agent.wait_delivered("out", 6)
        self.assertEqual(self.files(), {
            "orders/log.jsonl": lines[0] + "\n" + lines[5] + "\n",
            "orders/trace.jsonl": lines[1] + "\n",
            "billing/log.jsonl": lines[2] + "\n",
            "none/log.jsonl": lines[3] + "\n" + lines[4] + "\n"})
        self.assertEqual(stat.S_IMODE(os.stat(self.path("root/orders")).st_mode), 0o750)
        self.assertEqual(stat.S_IMODE(os.stat(self.path("root/orders/log.jsonl")).st_mode), 0o640)

    def test_hostile_values_stay_beneath_the_root(self):
        agent = self.start(per_service())
        before = self.outside()
        hostile = ["../x", "../../../../tmp/x", "/etc/passwd", "..", ".", "", ".hidden", "a/b", "a\x00b", "\x00", "x" * 300, "x" * 65, "caf\xe9", "a b", "a\nb",
                   "~root", "\u202egnp", "CON ", "a\\b", "*", "$(id)", "-rf /", "%2e%2e", "\ufffd", "a\u0301"]
        lines = [log("m", service=value, n=n) for n, value in enumerate(hostile)]
        lines += [log("m", service="orders.20261122T030405Z.1"), '{"stream":"log","ts":"%s","message":"m","service":"\\u002e\\u002e\\/x"}' % harness.TS]
        agent.send_plain(lines)
        agent.wait_delivered("out", len(lines))
        files = self.files()
        for name in files:
            self.assertRegex(name, r"^(invalid-[0-9a-f]{8}|orders\.20261122T030405Z\.1)/log\.jsonl$")
        self.assertEqual(sorted("".join(files.values()).splitlines()), sorted(lines), "nothing lost")
        self.assertEqual(len(files), len(hostile) + 1, "the escaped ../x goes where the plain one goes")
        self.assertEqual(self.outside(), before)

    def test_links_beneath_the_root_are_not_followed(self):
        os.mkdir(self.path("root"))
        os.mkdir(self.path("elsewhere"))
        os.symlink(self.path("elsewhere"), self.path("root/orders"))
        agent = self.start(per_service() + "drain_timeout: 200ms\n")
        agent.send_plain([log("m", service="orders")])
        agent.wait_status(lambda s: s["sinks"]["out"]["state"] == "down", "down")
        self.assertEqual(os.listdir(self.path("elsewhere")), [])
        self.assertIn(self.path("root/orders/log.jsonl"), agent.sink()["last_error"])
        os.unlink(self.path("root/orders"))
        agent.wait_delivered("out", 1)
        self.assertEqual(list(self.files()), ["orders/log.jsonl"])

    def test_many_distinct_values_in_bounded_memory_and_descriptors(self):
        agent = self.start(per_service("{service}.jsonl"))
        most = [0]
        done = threading.Event()

        def watch():
            while not done.wait(0.02):
                most[0] = max(most[0], self.open_files(agent))
        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            names = ["s%d" % n if n % 2 else "../%d" % n for n in range(DISTINCT)]
            for first in range(0, DISTINCT, 5000):
                agent.send_plain([log("m", service=name) for name in names[first:first + 5000]])
            harness.wait_for(lambda: agent.sink()["delivered"] >= DISTINCT, "all delivered", 120)
        finally:
            done.set()
            watcher.join()
        with open("/proc/%d/status" % agent.pid) as f:
            peak_kib = int(next(x for x in f if x.startswith("VmHWM")).split()[1])
        self.assertGreater(most[0], 100)
        self.assertLessEqual(most[0], 256)
        found = os.listdir(self.path("root"))
        self.assertEqual(sum(n.startswith("s") for n in found), DISTINCT // 2)
        self.assertTrue(all(re.match(r"(s\d+|invalid-[0-9a-f]{8})\.jsonl$", n) for n in found))
        self.assertEqual(sum(agent.raw("root/" + n).count(b"\n") for n in found), DISTINCT, "one line for each record")
        print("peak RSS %.1f MiB, at most %d files open" % (peak_kib / 1024, most[0]))
        if not harness.SANITIZED:
            self.assertLess(peak_kib, 128 * 1024)


class Delivery(TemplateTest):
    def test_order_within_each_file_with_more_files_than_may_be_open(self):
        for mode in ("auto", "line", "batch"):
            with self.subTest(mode):
                agent = self.start(per_service("%s-{service}.jsonl" % mode, "write_mode: %s" % mode))
                lines = [log("m", service="s%d" % (n % 400), n=n) for n in range(8000)]
                agent.send_plain(lines)
                agent.wait_delivered("out", len(lines))
                agent.stop()
                for service in range(400):
                    self.assertEqual([r["n"] for r in agent.records("root/%s-s%d.jsonl" % (mode, service))], list(range(service, 8000, 400)))

    def test_rotation_and_compression_of_each_file(self):
        agent = self.start(per_service("{service}.jsonl", "rotate: {max_bytes: 2KiB, keep: 2, compress: gzip}"))
        for n in range(0, 3000, 300):
            agent.send_plain([log("m", service="s%d" % (i % 3), n=i) for i in range(n, n + 300)])
            agent.wait_delivered("out", n + 300)
        pattern = re.compile(r"s(\d)\.jsonl\.\d{8}T\d{6}Z\.\d+\.gz$")
        rotated = lambda: sorted(n for n in os.listdir(self.path("root")) if not n.endswith(".jsonl"))
        wait_for(lambda: len(rotated()) == 6 and all(pattern.match(n) for n in rotated()), lambda: "two of each: %s" % rotated())
        for service in range(3):
            self.assertLessEqual(os.path.getsize(self.path("root/s%d.jsonl" % service)), 2048)

    def test_leftovers_of_an_earlier_life_are_compressed(self):
        name = "root/a/log.jsonl.20200101T000000Z.1"
        os.makedirs(self.path("root/a"))
        self.write(name, "old\n")
        self.write(name + ".zst.part", "half")
        self.write("root/a/other.20200101T000000Z.1", "not ours\n")
        os.makedirs(self.path("root/.hidden"))
        self.write("root/.hidden/log.jsonl.20200101T000000Z.1", "not ours\n")
        agent = self.start(per_service("{service}/{stream}.jsonl", "rotate: {every: 1h, compress: zstd}"))
        wait_for(lambda: os.path.exists(self.path(name + ".zst")), "compressed")
        wait_for(lambda: not os.path.exists(self.path(name)), "the original goes")
        self.assertFalse(os.path.exists(self.path(name + ".zst.part")))
        for foreign in ("root/a/other.20200101T000000Z.1", "root/.hidden/log.jsonl.20200101T000000Z.1"):
            self.assertEqual(agent.raw(foreign), b"not ours\n")

    def test_renamed_and_removed_files_and_root(self):
        agent = self.start(per_service("{service}.jsonl"))
        agent.send_plain([log("m", service="a", n=0), log("m", service="b", n=0)])
        agent.wait_delivered("out", 2)
        os.rename(self.path("root/a.jsonl"), self.path("root/moved"))
        os.unlink(self.path("root/b.jsonl"))
        agent.send_plain([log("m", service="a", n=1), log("m", service="b", n=1)])
        agent.wait_delivered("out", 4)
        self.assertEqual(self.files(), {"moved": log("m", service="a", n=0) + "\n", "a.jsonl": log("m", service="a", n=1) + "\n",
                                        "b.jsonl": log("m", service="b", n=1) + "\n"})
        os.rename(self.path("root"), self.path("root.old"))
        agent.send_plain([log("m", service="a", n=2)])
        agent.wait_delivered("out", 5)
        self.assertEqual(self.files(), {"a.jsonl": log("m", service="a", n=2) + "\n"})

    @unittest.skipUnless(os.getuid() == 0, "needs root, to mount a small file system")
    def test_a_full_disk_loses_and_doubles_nothing(self):
        os.mkdir(self.path("root"))
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", self.path("root")], stderr=subprocess.DEVNULL).returncode:
            self.skipTest("cannot mount a tmpfs here")
        self.addCleanup(subprocess.run, ["umount", "-l", self.path("root")])
        agent = self.start(per_service("{service}.jsonl"))
        lines = [log("y" * 100, service="s%d" % (n % 7), n=n) for n in range(3000)]
        agent.send_plain(lines)
        agent.wait_status(lambda s: s["sinks"]["out"]["state"] == "down", "no space")
        subprocess.run(["mount", "-o", "remount,size=8m", self.path("root")], check=True)
        agent.wait_delivered("out", 3000)
        for service in range(7):
            self.assertEqual([r["n"] for r in agent.records("root/s%d.jsonl" % service)], list(range(service, 3000, 7)))


class Text(TemplateTest):
    def test_text_lines_in_a_file_per_level(self):
        agent = self.start(per_service("{level}.log", "format: text"))
        agent.send_plain([log("slow", level="WARNING", service="orders", logger="db", correlation_id="c-1"), log("hi\nthere\x1b[2J")])
        agent.wait_delivered("out", 2)
        self.assertEqual(self.files(), {"warn.log": "2026-01-21T10:00:00.000Z WARN  [orders/db] slow  c-1\n",
                                        "info.log": "2026-01-21T10:00:00.000Z INFO  [-] hi\\nthere\\u001b[2J  no-correlation\n"})


class Check(harness.AgentTest):
    def mistakes(self, sinks):
        path = self.write_config("streams: {log: {sinks: [a, b]}}\nsinks:\n  a: {type: file, path: \"@/log/x.jsonl\"}\n" + sinks)
        done = self.weir("check", path, "-o", "json")
        return [(m["path"], m["message"]) for m in json.loads(done.stdout)]

    def test_mistakes_in_a_template(self):
        (path, message), = self.mistakes('  b: {type: file, path: "@/other/{servce}.jsonl"}\n')
        self.assertEqual(path, "sinks.b.path")
        self.assertIn("did you mean {service}", message)

    def test_a_file_within_the_reach_of_a_template_of_another_sink(self):
        (path, message), = self.mistakes('  b: {type: file, path: "@/log/{service}.jsonl"}\n')
        self.assertIn("sinks.a.path", path + message)
        self.assertEqual(self.mistakes('  b: {type: file, path: "@/log/services/{service}.jsonl"}\n'), [])

    def test_rules_that_do_nothing(self):
        found = self.mistakes('  b: {type: file, path: "@/b", rotate: {keep: 3, compress: zstd}}\n')
        self.assertEqual([p for p, _ in found], ["sinks.b.rotate.keep", "sinks.b.rotate.compress"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
