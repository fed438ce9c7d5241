"""Listeners: sockets and what may stand in their place, rights, many connections, back-pressure."""
import json
import os
import shutil
import socket
import stat
import threading
import unittest

import harness
from harness import log


def mode(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


class Places(harness.AgentTest):
    def test_a_stale_socket_file_is_replaced(self):
        for name in ("in.sock", "control.sock"):
            stale = socket.socket(socket.AF_UNIX)
            stale.bind(self.path(name))
            stale.close()
        agent = self.start(harness.ALL_TO_FILE)
        agent.send_plain([log("x")])
        agent.wait_delivered("out", 1)

    def test_a_live_socket_is_refused_and_left_alone(self):
        first = self.start(harness.ALL_TO_FILE)
        other = self.write_config(harness.ALL_TO_FILE.replace("out.jsonl", "other.jsonl") + 'control: {path: "@/c2.sock"}\n', "other.yaml")
        code, said = self.start_fails(["--config", other])
        self.assertEqual(code, 1)
        self.assertIn(self.path("in.sock"), said)
        first.send_plain([log("still here")])
        first.wait_delivered("out", 1)

    def test_a_live_control_socket_is_refused_too(self):
        first = self.start(harness.ALL_TO_FILE)
        other = self.write_config(harness.ALL_TO_FILE.replace("out.jsonl", "other.jsonl") + 'listen: {local: {type: unix, path: "@/i2.sock"}}\n',
                                  "other.yaml")
        code, said = self.start_fails(["--config", other])
        self.assertEqual(code, 1)
        self.assertIn(self.path("control.sock"), said)
        self.assertEqual(first.http("GET", "/healthz")[0], 200)

    def test_what_is_planted_at_a_socket_path_is_named_and_unharmed(self):
        victim = self.write("victim", "precious")
        for name in ("in.sock", "control.sock"):
            for kind in ("symlink", "dangling symlink", "file", "directory", "fifo"):
                with self.subTest(name=name, kind=kind):
                    path = self.path(name)
                    if kind == "symlink":
                        os.symlink(victim, path)
                    elif kind == "dangling symlink":
                        os.symlink(self.path("nowhere"), path)
                    elif kind == "file":
                        self.write(name, "precious")
                    elif kind == "directory":
                        os.mkdir(path)
                    else:
                        os.mkfifo(path)
                    before = os.lstat(path)
                    code, said = self.start_fails(["--config", self.write_config(harness.ALL_TO_FILE)])
                    self.assertEqual(code, 1)
                    self.assertIn(path, said)
                    after = os.lstat(path)
                    self.assertEqual((before.st_ino, before.st_mode, before.st_size), (after.st_ino, after.st_mode, after.st_size))
                    self.assertFalse(os.path.lexists(self.path("nowhere")))
                    os.rmdir(path) if kind == "directory" else os.unlink(path)
        with open(victim) as f:
            self.assertEqual(f.read(), "precious")

    def test_symlinked_directories_are_refused_too(self):
        os.mkdir(self.path("real"))
        os.symlink(self.path("real"), self.path("link"))
        for text in ('listen: {local: {type: unix, path: "@/link/in.sock"}}\n', 'control: {path: "@/link/control.sock"}\n', 'data_dir: "@/link"\n'):
            with self.subTest(text=text):
                code, said = self.start_fails(["--config", self.write_config(harness.ALL_TO_FILE + text)])
                self.assertEqual(code, 1)
                self.assertIn(self.path("link"), said)
                self.assertEqual(os.listdir(self.path("real")), [])

    def test_rights_whatever_the_umask(self):
        for umask in (0o000, 0o022):
            with self.subTest(umask=oct(umask)), self.start(harness.ALL_TO_FILE.replace("@/out.jsonl", "@/made/here/out.jsonl"),
                                                            preexec=lambda: os.umask(umask)) as agent:
                agent.send_plain([log("x"), "bad"])
                agent.wait_delivered("out", 1)
                modes = {name: oct(mode(self.path(name))) for name in
                         ("in.sock", "control.sock", "made/here/out.jsonl", "made", "made/here", "data", "data/quarantine/rejected.jsonl")}
                agent.stop()
                self.assertEqual(modes, {"in.sock": "0o660", "control.sock": "0o600", "made/here/out.jsonl": "0o640", "made": "0o750",
                                         "made/here": "0o750", "data": "0o700", "data/quarantine/rejected.jsonl": "0o600"})
                shutil.rmtree(self.path("made"))
                shutil.rmtree(self.path("data"))

    def test_the_mode_of_a_socket_can_be_set(self):
        self.start(harness.ALL_TO_FILE + 'listen: {local: {type: unix, path: "@/in.sock", mode: 0600}}\n')
        self.assertEqual(oct(mode(self.path("in.sock"))), "0o600")

    def test_sockets_are_removed_at_the_end_but_not_somebody_elses(self):
        agent = self.start(harness.ALL_TO_FILE)
        agent.stop()
        self.assertFalse(os.path.exists(self.path("in.sock")))
        agent = self.start(harness.ALL_TO_FILE)
        os.unlink(self.path("in.sock"))
        self.write("in.sock", "not a socket any more")
        agent.stop()
        self.assertEqual(agent.raw("in.sock"), b"not a socket any more")

    def test_a_taken_tcp_port_is_said(self):
        holder = socket.socket()
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        address = "127.0.0.1:%d" % holder.getsockname()[1]
        code, said = self.start_fails(["--config", self.write_config(harness.ALL_TO_FILE + 'listen: {net: {type: tcp, bind: "%s"}}\n' % address)])
        holder.close()
        self.assertEqual(code, 1)
        self.assertIn(address, said)
        self.assertFalse(os.path.exists(self.path("control.sock")))


class Connections(harness.AgentTest):
    def test_five_hundred_at_once(self):
        agent = self.start(harness.ALL_TO_FILE)
        for source in ("local", "net"):
            with self.subTest(source=source):
                connections = [agent.connect(source) for _ in range(500)]
                agent.wait_status(lambda s: s["sources"][source]["connections"] == 500, "500 connections")
                for round_number in range(4):
                    for n, connection in enumerate(connections):
                        connection.send([log("m", source=source, c=n, n=5 * round_number + k) for k in range(5)])
                for connection in connections:
                    connection.finish_plain()
                    connection.sock.close()
                agent.wait_status(lambda s: s["sources"][source]["connections"] == 0, "all gone")
                self.assertEqual(agent.source(source)["journalled"], 10000)
        agent.wait_delivered("out", 20000)
        seen = {}
        for record in agent.records():
            seen.setdefault((record["source"], record["c"]), []).append(record["n"])
        self.assertEqual(len(seen), 1000)
        self.assertTrue(all(numbers == list(range(20)) for numbers in seen.values()), "each in its own order")

    def test_idle_connections_cost_no_buffers(self):
        agent = self.start(harness.ALL_TO_FILE)
        connections = [agent.connect() for _ in range(400)]
        for connection in connections:
            connection.send(b'{"stream":"log","message":"never finished')
        agent.wait_status(lambda s: s["sources"]["local"]["connections"] == 400, "400 connections")
        agent.send_plain([log("others go on")])
        agent.wait_delivered("out", 1)
        with open("/proc/%d/status" % agent.pid) as f:
            rss_kib = int(next(x for x in f if x.startswith("VmRSS")).split()[1])
        if not harness.SANITIZED:
            self.assertLess(rss_kib, 48 * 1024)
        for connection in connections:
            connection.sock.close()
        agent.wait_status(lambda s: s["sources"]["local"]["rejected"] == {"truncated": 400}, "400 truncated")

    def test_large_records_of_many_connections_at_once(self):
        agent = self.start(harness.ALL_TO_FILE)
        connections = [agent.connect() for _ in range(16)]
        lines = [log("%x" % n * 200000, c=n) for n in range(16)]
        threads = [threading.Thread(target=lambda c=c, x=x: [c.send([x]) for _ in range(3)]) for c, x in zip(connections, lines)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for connection in connections:
            connection.finish_plain()
            connection.sock.close()
        agent.wait_delivered("out", 48)
        self.assertEqual(sorted(agent.lines()), sorted(lines * 3))


class BackPressure(harness.AgentTest):
    COUNT = 30000
    TEXT = """
journal: {max_bytes: 1MiB}
streams: {log: {sinks: [console]}}
sinks: {console: {type: stdout, format: json%s}}
"""

    def start_stuck(self, options):
        """An agent whose stdout nobody reads yet."""
        self.read_end, write_end = os.pipe()
        agent = self.spawn(["--config", self.write_config(self.TEXT % options)], stdout=write_end)
        os.close(write_end)
        return agent.wait_ready()

    def read_lines(self, agent, enough):
        """Reads stdout until enough(lines so far)."""
        data = b""
        while not enough(data.count(b"\n")):
            got = os.read(self.read_end, 1 << 20)
            self.assertTrue(got)
            data += got
        return data.decode().split("\n")[:-1]

    def test_a_full_journal_pushes_back_and_loses_nothing(self):
        agent = self.start_stuck(", when_full: block")
        lines = [log("x" * 200, n=n) for n in range(self.COUNT)]
        connection = agent.connect()
        thread = threading.Thread(target=lambda: connection.send(lines))
        thread.start()
        status = agent.wait_status(lambda s: s["journal"]["state"] == "full", "the journal is full")
        self.assertTrue(thread.is_alive(), "the producer waits")
        self.assertLess(status["sources"]["local"]["received"], self.COUNT // 2)
        self.assertLessEqual(status["journal"]["bytes"], status["journal"]["bytes_max"])
        self.assertEqual(self.weir("status").returncode, 0, "the agent answers meanwhile")
        got = self.read_lines(agent, lambda count: count >= self.COUNT)
        thread.join()
        connection.finish_plain()
        self.assertEqual(got, lines)
        agent.wait_delivered("console", self.COUNT)
        self.assertEqual(agent.status()["journal"]["state"], "ok")

    def test_drop_oldest_counts_what_it_skips(self):
        agent = self.start_stuck("")
        lines = [log("x" * 200, n=n) for n in range(self.COUNT)]
        agent.send_plain(lines)  # does not wait for anybody
        self.assertEqual(agent.source()["journalled"], self.COUNT)
        status = agent.wait_status(lambda s: s["sinks"]["console"]["dropped"].get("lag", 0) > 0, "some were dropped")
        harness.assert_conserved(self, status)
        got = []
        reader = threading.Thread(target=lambda: got.extend(self.read_to_marker(agent)))
        reader.start()
        agent.wait_status(lambda s: s["sinks"]["console"]["lag_records"] == 0, "drained")
        agent.send_plain([log("marker")])
        reader.join()
        sink = agent.wait_status(lambda s: s["sinks"]["console"]["lag_records"] == 0, "drained")["sinks"]["console"]
        self.assertEqual(len(got), sink["delivered"])
        self.assertEqual(sink["delivered"] + sink["dropped"]["lag"], self.COUNT + 1)
        numbers = [json.loads(line).get("n") for line in got[:-1]]
        self.assertEqual(numbers, sorted(numbers), "what came through is in order")
        self.assertEqual(got[-2], lines[-1])

    def read_to_marker(self, agent):
        data = b""
        while b'"marker"' not in data[-4096:] or not data.endswith(b"\n"):
            data += os.read(self.read_end, 1 << 20)
        return data.decode().split("\n")[:-1]

    def test_a_numbered_client_is_pushed_back_too(self):
        agent = self.start_stuck(", when_full: block")
        lines = [log("x" * 200, n=n) for n in range(self.COUNT // 3)]
        with agent.connect() as c:
            c.hello(client_id="x", next_seq=1)
            thread = threading.Thread(target=lambda: c.send(lines))
            thread.start()
            agent.wait_status(lambda s: s["journal"]["state"] == "full", "the journal is full")
            got = self.read_lines(agent, lambda count: count >= len(lines))
            thread.join()
            c.read_to_ack(len(lines))
        self.assertEqual(got, lines)


if __name__ == "__main__":
    unittest.main(verbosity=2)
