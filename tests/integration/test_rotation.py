"""Rotation of output files under load: by size, by age, by others; what stays, what is compressed, what a crash leaves."""
import ctypes
import gzip
import json
import multiprocessing
import os
import re
import signal
import socket
import subprocess
import threading
import unittest

import harness
from harness import log, wait_for

COUNT = 30_000 if harness.SANITIZED else 300_000
PRODUCERS = 4
MIB = 1 << 20
ROTATED = re.compile(r"out\.jsonl\.(\d{8}T\d{6}Z)\.(\d+)(\.zst|\.gz)?$")
CONFIG = """
streams: {log: {sinks: [out]}}
sinks: {out: {type: file, path: "@/out/out.jsonl"%s}}
"""


def config(options):
    return CONFIG % (", " + options if options else "")


def produce(path, producer, count):
    """`count` numbered records over one connection; ends when all of them are in the journal."""
    line = '{"stream":"log","ts":"2026-01-21T10:00:00Z","message":"m","p":%d,"n":%%d,"pad":"%s"}\n' % (producer, "x" * 120)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)
        for first in range(0, count, 500):
            sock.sendall("".join(line % n for n in range(first, min(first + 500, count))).encode())
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(4096):
            pass


def unpacked_zstd(data):
    """By the library, since the command need not be there."""
    library = ctypes.CDLL("libzstd.so.1")
    library.ZSTD_decompress.restype = ctypes.c_size_t
    library.ZSTD_decompress.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]
    library.ZSTD_isError.argtypes = [ctypes.c_size_t]
    out = ctypes.create_string_buffer(2 * MIB)
    size = library.ZSTD_decompress(out, len(out), data, len(data))
    assert not library.ZSTD_isError(size), "no whole zstd frame"
    return out.raw[:size]


def unpacked(path):
    if path.endswith(".gz"):
        with gzip.open(path) as f:
            return f.read()
    with open(path, "rb") as f:
        data = f.read()
    return unpacked_zstd(data) if path.endswith(".zst") else data


class RotationTest(harness.AgentTest):
    def setUp(self):
        super().setUp()
        os.mkdir(self.path("out"))

    def rotated(self):
        """Paths of rotated files, oldest first."""
        found = [(m.group(1), int(m.group(2)), m.group(0)) for m in map(ROTATED.match, os.listdir(self.path("out"))) if m]
        return [self.path("out/" + name) for _, _, name in sorted(found)]

    def load(self, agent, count=COUNT):
        fork = multiprocessing.get_context("fork")
        senders = [fork.Process(target=produce, args=(self.path("in.sock"), p, count // PRODUCERS)) for p in range(PRODUCERS)]
        for sender in senders:
            sender.start()
        return senders

    def finish(self, agent, senders, count=COUNT):
        for sender in senders:
            sender.join()
        self.assertEqual([s.exitcode for s in senders], [0] * len(senders))
        agent.wait_status(lambda s: s["sinks"]["out"]["lag_records"] == 0, "everything delivered")
        self.assertEqual(agent.sink()["delivered"], count)

    def check_whole(self, paths, count=COUNT):
        """Every file is whole lines of JSON; together they hold each producer's records once, in order."""
        numbers = [[] for _ in range(PRODUCERS)]
        for path in paths:
            data = unpacked(path)
            self.assertTrue(data == b"" or data.endswith(b"\n"), "torn: " + path)
            for line in data.splitlines():
                record = json.loads(line)
                numbers[record["p"]].append(record["n"])
        for producer in numbers:
            self.assertEqual(producer, list(range(count // PRODUCERS)))


class UnderLoad(RotationTest):
    def test_by_size(self):
        agent = self.start(config("rotate: {max_bytes: 1MiB}"))
        self.finish(agent, self.load(agent))
        rotated = self.rotated()
        self.assertGreater(len(rotated), COUNT // 8000)
        for path in rotated:
            self.assertLessEqual(os.path.getsize(path), MIB, path)
            self.assertGreater(os.path.getsize(path), MIB - 1024, "not before it must")
            self.assertEqual(os.stat(path).st_mode & 0o777, 0o640)
        self.check_whole(rotated + [self.path("out/out.jsonl")])

    def test_one_write_per_record(self):
        count = COUNT // 10
        agent = self.start(config("write_mode: line, rotate: {max_bytes: 100KiB}"))
        self.finish(agent, self.load(agent, count), count)
        for path in self.rotated():
            self.assertLessEqual(os.path.getsize(path), 100 * 1024, path)
        self.check_whole(self.rotated() + [self.path("out/out.jsonl")], count)

    def test_while_others_rename_the_file(self):
        agent = self.start(config("rotate: {max_bytes: 1MiB}"))
        moved = []
        senders = self.load(agent)
        while any(s.is_alive() for s in senders):
            try:
                os.rename(self.path("out/out.jsonl"), self.path("out/moved.%d" % len(moved)))
            except FileNotFoundError:
                continue
            moved.append(self.path("out/moved.%d" % len(moved)))
            wait_for(lambda: os.path.exists(self.path("out/out.jsonl")) or not any(s.is_alive() for s in senders), "a new file")
        self.finish(agent, senders)
        self.assertGreater(len(moved), 3)
        numbers = [[] for _ in range(PRODUCERS)]
        for path in self.rotated() + moved + [self.path("out/out.jsonl")]:
            if not os.path.exists(path):
                continue  # moved away after the last record
            data = unpacked(path)
            self.assertTrue(data == b"" or data.endswith(b"\n"), "torn: " + path)
            last = [-1] * PRODUCERS
            for line in data.splitlines():
                record = json.loads(line)
                self.assertGreater(record["n"], last[record["p"]], "order within a file")
                last[record["p"]] = record["n"]
                numbers[record["p"]].append(record["n"])
        for producer in numbers:
            self.assertEqual(sorted(producer), list(range(COUNT // PRODUCERS)), "0 lost, 0 doubled")

    def test_while_reloads_change_the_rules_and_signals_reopen(self):
        texts = [config("rotate: {max_bytes: %s}" % size) for size in ("1MiB", "300KiB, compress: zstd", "2MiB, compress: gzip")]
        agent = self.start(texts[0])
        senders = self.load(agent)
        reloads = 0
        while any(s.is_alive() for s in senders):
            reloads += 1
            self.write_config(texts[reloads % 3])
            done = self.weir("reload")
            self.assertEqual(done.returncode, 0, done.stderr)
            agent.signal(signal.SIGUSR1)
        self.finish(agent, senders)
        self.assertEqual(agent.status()["generation"], reloads + 1)  # a slow, instrumented build comes to one
        agent.stop()
        self.check_whole(self.rotated() + [self.path("out/out.jsonl")])

    @unittest.skipUnless(os.getuid() == 0, "needs root, to mount a small file system")
    def test_a_full_disk_between_rotations_loses_and_doubles_nothing(self):
        for options in ("size=700k", "size=64m,nr_inodes=6"):  # no room for bytes; no room for another file
            with self.subTest(options):
                if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", self.path("out")], stderr=subprocess.DEVNULL).returncode:
                    self.skipTest("cannot mount a tmpfs here")
                try:
                    agent = self.start(config("rotate: {max_bytes: 100KiB}"))
                    senders = self.load(agent, 20_000)
                    agent.wait_status(lambda s: s["sinks"]["out"]["state"] == "down", "no room")
                    subprocess.run(["mount", "-o", "remount,size=64m,nr_inodes=1000", self.path("out")], check=True)
                    self.finish(agent, senders, 20_000)
                    self.check_whole(self.rotated() + [self.path("out/out.jsonl")], 20_000)
                    for path in self.rotated():
                        self.assertLessEqual(os.path.getsize(path), 100 * 1024)
                    agent.stop()
                finally:
                    subprocess.run(["umount", "-l", self.path("out")])

    def compress(self, word, suffix):
        agent = self.start(config("rotate: {max_bytes: 1MiB, compress: %s}" % word))
        self.finish(agent, self.load(agent))
        wait_for(lambda: all(p.endswith(suffix) for p in self.rotated()), "everything compressed", 60)
        self.assertEqual([n for n in os.listdir(self.path("out")) if n.endswith(".part")], [])
        for path in self.rotated():
            self.assertLess(os.path.getsize(path), MIB // 4)
            self.assertLessEqual(len(unpacked(path)), MIB)
        self.check_whole(self.rotated() + [self.path("out/out.jsonl")])

    def test_compressed_with_zstd(self):
        self.compress("zstd", ".zst")

    def test_compressed_with_gzip(self):
        self.compress("gzip", ".gz")

    def test_stop_in_the_middle_leaves_whole_files(self):
        agent = self.start(config("rotate: {max_bytes: 1MiB, compress: gzip}"))
        senders = self.load(agent)
        wait_for(lambda: len(self.rotated()) > 2, "rotation under way")
        for sender in senders:
            sender.kill()
            sender.join()
        agent.signal(signal.SIGTERM)
        self.assertIn(agent.wait_exit(), (0, 1))
        self.assertEqual([n for n in os.listdir(self.path("out")) if n.endswith(".part")], [], "given up and removed")
        last = [-1] * PRODUCERS
        for path in self.rotated() + [self.path("out/out.jsonl")]:
            data = unpacked(path)
            self.assertTrue(data == b"" or data.endswith(b"\n"), path)
            for line in data.splitlines():
                record = json.loads(line)
                self.assertEqual(record["n"], last[record["p"]] + 1)
                last[record["p"]] = record["n"]

    def test_kill_in_the_middle_is_made_good_at_the_next_start(self):
        text = config("rotate: {max_bytes: 1MiB, compress: zstd}")
        agent = self.start(text)
        senders = self.load(agent)
        wait_for(lambda: len(self.rotated()) > 2, "rotation under way")
        for sender in senders:
            os.kill(sender.pid, signal.SIGSTOP)
        agent.kill()
        agent.stopped = True
        for sender in senders:
            sender.kill()
            sender.join()
        for path in self.rotated():
            self.assertTrue(unpacked(path).endswith(b"\n"), "only the active file may end in a part of a line")
        # What a kill while compressing leaves:
        self.write("out/out.jsonl.20200101T000000Z.1", log("old") + "\n")
        self.write("out/out.jsonl.20200101T000000Z.1.zst.part", "half")
        again = self.start(text)
        again.send_plain([log("after")])
        again.wait_delivered("out", 1)
        wait_for(lambda: all(p.endswith(".zst") for p in self.rotated()), "everything compressed", 60)
        self.assertEqual([n for n in os.listdir(self.path("out")) if n.endswith(".part")], [])
        self.assertEqual(unpacked(self.rotated()[0]).decode(), log("old") + "\n")
        self.assertEqual(again.lines("out/out.jsonl")[-1], log("after"))
        for line in again.lines("out/out.jsonl"):
            json.loads(line)


class Rules(RotationTest):
    def send_one_by_one(self, agent, count, first=0):
        for n in range(first, first + count):
            agent.send_plain([log("m", n=n)])
            agent.wait_delivered("out", n + 1)

    def test_keep(self):
        agent = self.start(config("rotate: {max_bytes: 1, keep: 3}"))
        self.write("out/out.jsonl.20200101T000000Z.1", "old\n")
        self.write("out/out.jsonl.1", "not ours\n")
        self.write("out/out.jsonl.20200101T000000Z.1.bak", "not ours\n")
        self.send_one_by_one(agent, 10)
        wait_for(lambda: len(self.rotated()) == 3, lambda: "three files stay, not %s" % self.rotated())
        self.assertEqual([json.loads(unpacked(p))["n"] for p in self.rotated()], [6, 7, 8])
        self.assertEqual([r["n"] for r in agent.records("out/out.jsonl")], [9], "a record longer than max_bytes has a file to itself")
        for name in ("out.jsonl.1", "out.jsonl.20200101T000000Z.1.bak"):
            self.assertEqual(agent.raw("out/" + name), b"not ours\n")

    def test_keep_bytes(self):
        size = len(log("m", n=10)) + 1
        agent = self.start(config("rotate: {max_bytes: %d, keep_bytes: %d}" % (2 * size, 5 * size)))
        self.send_one_by_one(agent, 21)
        wait_for(lambda: sum(map(os.path.getsize, self.rotated())) <= 5 * size, "the limit is kept")
        self.assertEqual([[json.loads(x)["n"] for x in unpacked(p).splitlines()] for p in self.rotated()], [[16, 17], [18, 19]])

    def test_age_without_any_further_record(self):
        agent = self.start(config("rotate: {every: 1s}"))
        agent.send_plain([log("m", n=0)])
        agent.wait_delivered("out", 1)
        wait_for(self.rotated, "rotated although nothing comes")
        self.assertEqual(unpacked(self.rotated()[0]).decode(), log("m", n=0) + "\n")
        self.assertEqual(agent.lines("out/out.jsonl"), [])
        agent.send_plain([log("m", n=1)])
        agent.wait_delivered("out", 2)
        wait_for(lambda: len(self.rotated()) == 2, "the next one too")
        self.assertEqual(os.path.getsize(self.path("out/out.jsonl")), 0)

    def test_age_counts_on_after_a_restart(self):
        self.write("out/out.jsonl", log("m", n=0) + "\n")
        born = os.stat(self.path("out/out.jsonl")).st_mtime
        wait_for(lambda: harness.time.time() - born > 1.1, "a second passes")
        agent = self.start(config("rotate: {every: 1s}"))
        agent.send_plain([log("m", n=1)])
        agent.wait_delivered("out", 1)
        self.assertEqual(unpacked(self.rotated()[0]).decode(), log("m", n=0) + "\n")
        self.assertEqual(agent.lines("out/out.jsonl") or unpacked(self.rotated()[1]).decode().splitlines(), [log("m", n=1)])

    def test_a_planted_name_is_never_overwritten(self):
        agent = self.start(config("rotate: {max_bytes: 1}"))
        now = int(harness.time.time())
        names = [harness.time.strftime("out/out.jsonl.%Y%m%dT%H%M%SZ.", harness.time.gmtime(now + s)) + str(n) for s in range(30) for n in (1, 2)]
        names += [n + ".zst" for n in names[::2]]
        for n, name in enumerate(names):
            self.write(name, "precious %d\n" % n)
        self.send_one_by_one(agent, 5)
        for n, name in enumerate(names):
            self.assertEqual(agent.raw(name), b"precious %d\n" % n)
        self.assertEqual(len(self.rotated()), len(names) + 4)

    @unittest.skipUnless(os.getuid() == 0, "needs root, to make a directory immutable")
    def test_what_cannot_be_renamed_grows_on_and_nothing_is_lost(self):
        agent = self.start(config("rotate: {max_bytes: 1}"))
        agent.send_plain([log("m", n=0)])
        agent.wait_delivered("out", 1)
        if subprocess.run(["chattr", "+a", self.path("out/out.jsonl")], stderr=subprocess.DEVNULL).returncode:
            self.skipTest("no append-only files here")
        self.addCleanup(subprocess.run, ["chattr", "-a", self.path("out/out.jsonl")], stderr=subprocess.DEVNULL)
        agent.send_plain([log("m", n=1), log("m", n=2)])
        agent.wait_delivered("out", 3)
        self.assertEqual([r["n"] for r in agent.records("out/out.jsonl")], [0, 1, 2])
        self.assertEqual(self.rotated(), [])
        self.assertIn("not rotated", agent.stderr())
        self.assertEqual(agent.sink()["state"], "ok")
        subprocess.run(["chattr", "-a", self.path("out/out.jsonl")], check=True)
        count = 3
        while not self.rotated():  # within a second it is tried again
            agent.send_plain([log("m", n=count)])
            count += 1
            agent.wait_delivered("out", count)
        records = [json.loads(x)["n"] for p in self.rotated() + [self.path("out/out.jsonl")] for x in unpacked(p).splitlines()]
        self.assertEqual(records, list(range(count)))


class ByOthers(RotationTest):
    def test_rename_without_a_signal(self):
        agent = self.start(config(""))
        for n in range(3):
            agent.send_plain([log("m", n=n)])
            agent.wait_delivered("out", n + 1)
            os.rename(self.path("out/out.jsonl"), self.path("out/moved.%d" % n))
        agent.send_plain([log("m", n=3)])
        agent.wait_delivered("out", 4)
        for n in range(3):
            self.assertEqual(agent.lines("out/moved.%d" % n), [log("m", n=n)])
        self.assertEqual(agent.lines("out/out.jsonl"), [log("m", n=3)])
        self.assertEqual(os.stat(self.path("out/out.jsonl")).st_mode & 0o777, 0o640)

    def test_removal_of_the_file_and_of_its_directory(self):
        agent = self.start(config(""))
        agent.send_plain([log("m", n=0)])
        agent.wait_delivered("out", 1)
        os.unlink(self.path("out/out.jsonl"))
        agent.send_plain([log("m", n=1)])
        agent.wait_delivered("out", 2)
        self.assertEqual(agent.lines("out/out.jsonl"), [log("m", n=1)])
        os.unlink(self.path("out/out.jsonl"))
        os.rmdir(self.path("out"))
        agent.send_plain([log("m", n=2)])
        agent.wait_delivered("out", 3)
        self.assertEqual(agent.lines("out/out.jsonl"), [log("m", n=2)])

    def test_removal_under_load_costs_only_what_the_file_held(self):
        """A file that is removed again and again: whatever is lost lies in one run before a removal, and order is kept."""
        agent = self.start(config(""))
        stop = threading.Event()
        seen = []

        def remove():
            while not stop.is_set():
                try:
                    held = open(self.path("out/out.jsonl"), "rb")
                    os.unlink(self.path("out/out.jsonl"))
                    seen.append(held)  # what was written to it stays readable here
                except FileNotFoundError:
                    pass
        remover = threading.Thread(target=remove)
        senders = self.load(agent)
        remover.start()
        try:
            self.finish(agent, senders)
        finally:
            stop.set()
            remover.join()
        numbers = [set() for _ in range(PRODUCERS)]
        for held in seen + ([open(self.path("out/out.jsonl"), "rb")] if os.path.exists(self.path("out/out.jsonl")) else []):
            with held:
                for line in held.read().splitlines():
                    record = json.loads(line)
                    numbers[record["p"]].add(record["n"])
        self.assertGreater(len(seen), 3)
        for producer in numbers:
            self.assertEqual(len(producer), COUNT // PRODUCERS, "every record was in one of the files")

    def test_copytruncate(self):
        agent = self.start(config("rotate: {max_bytes: 200}"))
        size = len(log("m", n=0)) + 1
        fits = 200 // size
        for n in range(fits):
            agent.send_plain([log("m", n=n)])
            agent.wait_delivered("out", n + 1)
        os.truncate(self.path("out/out.jsonl"), 0)
        agent.send_plain([log("m", n=fits)])
        agent.wait_delivered("out", fits + 1)
        self.assertEqual(self.rotated(), [], "the room is free again")
        self.assertEqual(agent.lines("out/out.jsonl"), [log("m", n=fits)])

    def test_a_link_planted_after_a_rename_is_not_followed(self):
        victim = self.write("victim", "precious\n")
        agent = self.start(config(""))
        agent.send_plain([log("m", n=0)])
        agent.wait_delivered("out", 1)
        os.rename(self.path("out/out.jsonl"), self.path("out/moved"))
        os.symlink(victim, self.path("out/out.jsonl"))
        agent.send_plain([log("m", n=1)])
        agent.wait_status(lambda s: s["sinks"]["out"]["state"] == "down", "down")
        os.unlink(self.path("out/out.jsonl"))
        agent.wait_delivered("out", 2)
        self.assertEqual(agent.lines("out/out.jsonl"), [log("m", n=1)])
        self.assertEqual(agent.raw("victim"), b"precious\n")


if __name__ == "__main__":
    unittest.main(verbosity=2)
