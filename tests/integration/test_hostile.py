"""Producers and surroundings that mean harm, or are just broken: the agent stays up, bounded, and fair to the others."""
import http.client
import json
import os
import signal
import subprocess
import threading
import unittest

import harness
from harness import log

SANITIZED = os.environ.get("WEIR_SANITIZED") == "1"
SMALL_JOURNAL = harness.ALL_TO_FILE + "journal: {max_bytes: 16MiB}\n"


def peak_mib(agent):
    with open("/proc/%d/status" % agent.pid) as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmHWM")) / 1024


class Hostile(harness.AgentTest):
    def assert_alive(self, agent):
        before = agent.sink()["delivered"]
        agent.send_plain([log("neighbour")])
        agent.wait_delivered("out", before + 1)

    def test_a_deep_value_in_a_control_line_ends_that_connection_only(self):
        agent = self.start(SMALL_JOURNAL)
        for line in ('{"weir":"sync","id":' + "[" * 100000 + "]" * 100000 + "}",
                     '{"weir":"hello","client_id":"c","x":' + "[" * 100000 + "]" * 100000 + "}"):
            with agent.connect() as client:
                client.hello(client_id="c")
                client.send([line])
                self.assertEqual(client.read_line()["weir"], "error")
        self.assert_alive(agent)

    def test_a_hello_with_a_key_twice_or_a_wrong_service_is_malformed(self):
        agent = self.start(SMALL_JOURNAL)
        for line in ('{"weir":"hello","weir":"hello"}', '{"weir":"hello","client_id":"a","client_id":"b"}', '{"weir":"hello","service":5}'):
            with agent.connect() as client:
                client.send([line])
                said = client.read_all()
                self.assertEqual([s["weir"] for s in said], ["error"], line)
                self.assertEqual(said[0]["reason"], "bad_hello")

    def test_refusals_that_nobody_reads_stay_bounded(self):
        agent = self.start(SMALL_JOURNAL)
        array = b"[" + b",".join([b"1"] * 131000) + b"]\n"
        clients = [agent.connect() for _ in range(10)]
        for i, client in enumerate(clients):
            client.hello(client_id="c%d" % i)
            client.send(array)
        self.assert_alive(agent)
        # One that reads is told of every single element, in order.
        said = clients[0].read_to_ack(131000)
        self.assertEqual([s["seq"] for s in said if s["weir"] == "reject"], list(range(1, 131001)))
        if not SANITIZED:
            self.assertLess(peak_mib(agent), 100)
        for client in clients:
            client.sock.close()

    def test_an_array_without_line_feed_is_taken_whole_at_the_end(self):
        agent = self.start(SMALL_JOURNAL)
        with agent.connect() as client:
            client.send(b"[" + b",".join(b'{"stream":"log","ts":1,"n":%d}' % n for n in range(5000)) + b",1]")
            client.finish_plain()
        agent.wait_delivered("out", 5000)
        self.assertEqual([r["n"] for r in agent.records("out.jsonl")], list(range(5000)))
        self.assertEqual(agent.source()["rejected"], {"not_an_object": 1})

    def test_small_lines_that_become_large_do_not_pile_up(self):
        config = SMALL_JOURNAL.replace("trace: {", "trace: {context_diff: {mode: full, max_value_len: 1000000}, ")
        agent = self.start(config)
        with agent.connect() as client:
            big = {"stream": "trace", "trace_id": "t", "ctx": {"k%d" % i: "x" * 200 for i in range(900)}}
            client.send([json.dumps(big)] + ['{"stream":"trace","trace_id":"t","ctx_set":{"b":%d}}' % i for i in range(500)])
            client.finish_plain()
        agent.wait_delivered("out", 501)
        if not SANITIZED:
            self.assertLess(peak_mib(agent), 100)

    def test_many_long_unfinished_lines_do_not_stop_those_that_go_on(self):
        agent = self.start(SMALL_JOURNAL)
        stalled = [agent.connect() for _ in range(200)]
        for client in stalled:
            client.send(b'{"stream":"log","m":"' + b"x" * 190000)
        record = b'{"stream":"log","ts":1,"m":"' + b"y" * 240000 + b'"}\n'

        def honest():
            with agent.connect() as client:
                for _ in range(5):
                    client.send(record)
                client.finish_plain()
        threads = [threading.Thread(target=honest) for _ in range(20)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        agent.wait_delivered("out", 100)
        for client in stalled:
            client.sock.close()
        agent.wait_status(lambda s: s["sources"]["local"]["connections"] == 0, "all are gone")

    def test_a_log_that_nobody_reads_stops_nothing(self):
        read_end, write_end = os.pipe()
        agent = self.start(SMALL_JOURNAL, stderr=write_end)
        os.set_blocking(write_end, False)  # fill the pipe to its last byte
        for size in (4096, 1):
            try:
                while True:
                    os.write(write_end, b"#" * size)
            except BlockingIOError:
                pass
        os.set_blocking(write_end, True)
        agent.send_plain(["bad"] * 10)
        self.assert_alive(agent)
        agent.proc.send_signal(signal.SIGTERM)
        self.assertEqual(agent.proc.wait(harness.DEADLINE_S), 0)
        agent.stopped = True
        os.close(read_end)
        os.close(write_end)


class Surroundings(harness.AgentTest):
    def test_a_ready_descriptor_that_is_not_open_is_refused_before_anything_is_opened(self):
        config = self.write_config(SMALL_JOURNAL)
        for fd in (3, 7, 99):
            done = subprocess.run([harness.BINARY, "agent", "--config", config, "--ready-fd", str(fd)], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=harness.DEADLINE_S)
            self.assertEqual(done.returncode, 64)
            self.assertIn(b"--ready-fd %d" % fd, done.stderr)
            self.assertFalse(os.path.exists(self.path("in.sock")))

    def test_closed_standard_descriptors_are_not_filled_with_the_agents_own(self):
        def close_all():
            os.close(0)
            os.close(1)
        agent = self.start(SMALL_JOURNAL, preexec=close_all)
        for fd in (0, 1):
            self.assertEqual(os.readlink("/proc/%d/fd/%d" % (agent.pid, fd)), "/dev/null")

    def test_a_linked_quarantine_is_refused(self):
        os.makedirs(self.path("victim"))
        os.makedirs(self.path("data"))
        os.symlink(self.path("victim"), self.path("data/quarantine"))
        code, said = self.start_fails(["--config", self.write_config(SMALL_JOURNAL + 'data_dir: "@/data"\n')])
        self.assertEqual(code, 1)
        self.assertIn(self.path("data/quarantine"), said)
        self.assertEqual(os.listdir(self.path("victim")), [])

    def test_usr1_opens_the_file_again_at_once(self):
        agent = self.start(SMALL_JOURNAL)
        agent.send_plain([log("one")])
        agent.wait_delivered("out", 1)
        os.rename(self.path("out.jsonl"), self.path("moved.jsonl"))
        os.kill(agent.pid, signal.SIGUSR1)
        harness.wait_for(lambda: os.path.exists(self.path("out.jsonl")), "the file is there again")
        agent.send_plain([log("two")])
        agent.wait_delivered("out", 2)
        self.assertEqual([r["message"] for r in agent.records("out.jsonl")], ["two"])

    def test_a_stream_that_changes_its_sink_loses_and_doubles_nothing(self):
        # The first sink cannot write yet: what waits for it stays its own when the stream goes elsewhere.
        os.mkdir(self.path("a.jsonl"))
        text = ('sinks: {a: {type: jsonl, path: "@/a.jsonl"}, b: {type: jsonl, path: "@/b.jsonl"}}\nstreams: {log: {sinks: [%s]}}\n')
        agent = self.start(text % "a")
        agent.send_plain([log("old %d" % i) for i in range(100)])
        agent.wait_status(lambda s: s["sinks"]["a"]["lag_records"] == 100, "they wait")
        self.write_config(text % "b")
        self.assertEqual(agent.http("POST", "/v1/reload", {})[0], 200)
        agent.send_plain([log("new %d" % i) for i in range(100)])
        agent.wait_delivered("b", 100)
        os.rmdir(self.path("a.jsonl"))
        agent.wait_delivered("a", 100)
        self.assertEqual([r["message"] for r in agent.records("a.jsonl")], ["old %d" % i for i in range(100)])
        self.assertEqual([r["message"] for r in agent.records("b.jsonl")], ["new %d" % i for i in range(100)])

    def test_sigterm_does_not_wait_for_a_reload_that_waits(self):
        os.mkdir(self.path("a.jsonl"))  # the sink cannot write, so its records cannot drain
        text = 'sinks: {a: {type: jsonl, path: "@/a.jsonl", write_mode: %s}}\nstreams: {log: {sinks: [a]}}\n'
        agent = self.start(text % "auto")
        agent.send_plain([log("held")])
        self.write_config(text % "line")
        waiting = [threading.Thread(target=self.reload_until_closed, args=(agent,)) for _ in range(2)]
        for t in waiting:
            t.start()
        agent.wait_status(lambda s: s["sinks"]["a"]["lag_records"] == 1, "the record waits")
        agent.proc.send_signal(signal.SIGTERM)
        self.assertEqual(agent.proc.wait(harness.DEADLINE_S), 1)  # one record stayed behind, and that is said
        agent.stopped = True
        self.assertIn("1 records undelivered", agent.stderr())
        for sign in harness.FAULT_SIGNS:
            self.assertNotIn(sign, agent.stderr())
        for t in waiting:
            t.join()

    def reload_until_closed(self, agent):
        try:
            agent.http("POST", "/v1/reload", {"wait": True})
        except (OSError, http.client.HTTPException):
            pass  # the agent went away before it could answer

    def test_the_trace_path_takes_no_sink_from_another_stream(self):
        config = self.write_config('sinks: {trace_jsonl: {type: jsonl, path: "@/a.jsonl"}}\n'
                                   'streams: {trace: {sinks: [trace_jsonl]}, log: {sinks: [trace_jsonl]}}\n')
        code, said = self.start_fails(["--config", config, "--trace-path", self.path("p.jsonl")])
        self.assertEqual(code, 78)
        self.assertIn("trace_jsonl", said)
        self.assertFalse(os.path.exists(self.path("p.jsonl")))

    def test_a_change_that_needs_a_restart_is_forgotten_when_it_is_taken_back(self):
        text = SMALL_JOURNAL + 'control: {path: "@/%s.sock"}\n'
        agent = self.start(text % "control")
        self.write_config(text % "other")
        answer = json.loads(agent.http("POST", "/v1/reload", {})[2])
        self.assertEqual(answer["components"]["control"]["result"], "needs a restart")
        self.write_config(text % "control")
        answer = json.loads(agent.http("POST", "/v1/reload", {})[2])
        self.assertNotIn("control", answer["components"])


if __name__ == "__main__":
    unittest.main()
