"""The command line: send, tail, status, version, usage errors, and the HTTP behind it."""
import json
import os
import re
import signal
import subprocess
import unittest

import harness
from harness import TS, compact, log

STATUS_KEYS = {
    "": {"version", "pid", "uptime_s", "generation", "config_hash", "config_files", "last_reload", "sources", "streams",
         "journal", "sinks", "clients", "conservation_error"},
    "source": {"type", "address", "connections", "received", "accepted", "journalled", "rejected", "dropped_by_rule",
               "duplicate", "disabled", "bytes"},
    "stream": {"enabled", "records", "bytes"},
    "journal": {"type", "bytes", "bytes_max", "oldest", "written", "synced", "state"},
    "sink": {"type", "streams", "state", "routed", "delivered", "filtered", "dropped", "quarantined", "lag_records",
             "lag_bytes", "last_error", "retry_in_s"},
    "client": {"uid", "pid", "last_seq", "gaps"},
}


class Send(harness.AgentTest):
    def test_a_file_and_stdin_arrive(self):
        agent = self.start(harness.ALL_TO_FILE)
        lines = [log("m", n=n) for n in range(5000)]
        file = self.write("in.ndjson", "\n".join(lines[:2500]) + "\n")
        self.assertEqual(self.weir("send", file).returncode, 0)
        self.assertEqual(self.weir("send", stdin="\n".join(lines[2500:])).returncode, 0)
        agent.wait_delivered("out", 5000)
        self.assertEqual(agent.lines(), lines)

    def test_every_level(self):
        agent = self.start(harness.ALL_TO_FILE)
        for level, code in (("none", 0), ("received", 0), ("buffered", 1), ("durable", 1)):
            with self.subTest(level=level):
                done = self.weir("send", "--ack", level, stdin=log(level) + "\n")
                self.assertEqual(done.returncode, code, "1: a lower level was granted than asked; " + done.stderr)
        agent.wait_delivered("out", 4)
        self.assertEqual([r["message"] for r in agent.records()], ["none", "received", "buffered", "durable"])
        self.assertEqual(self.weir("send", "--ack", "platinum").returncode, 64)

    def test_says_how_many_were_taken_and_refused(self):
        self.start(harness.ALL_TO_FILE)
        lines = "\n".join([log("a"), "bad", log("b"), '{"stream":"x"}', log("c"), ""])
        done = self.weir("send", stdin=lines)
        self.assertEqual(done.returncode, 1)
        said = done.stdout + done.stderr
        self.assertRegex(said, r"\b3\b")
        self.assertRegex(said, r"\b2\b")
        self.assertIn("bad_json", said)
        self.assertIn("unknown_stream", said)
        done = self.weir("send", "-o", "json", stdin=lines)
        self.assertEqual(done.returncode, 1)
        counts = json.loads(done.stdout)
        self.assertTrue({3, 2} <= set(v for v in counts.values() if isinstance(v, int)), counts)

    def test_nothing_to_send_is_fine(self):
        self.start(harness.ALL_TO_FILE)
        self.assertEqual(self.weir("send", stdin="").returncode, 0)
        self.assertEqual(self.weir("send", self.write("empty", "")).returncode, 0)
        self.assertEqual(self.weir("send", self.path("absent")).returncode, 1)

    def test_text_lines_become_log_records(self):
        agent = self.start(harness.ALL_TO_FILE)
        self.assertEqual(self.weir("send", "--text", "--service", "cron", stdin='one "quoted"\ttab\nzwei größer\n').returncode, 0)
        agent.wait_delivered("out", 2)
        self.assertEqual([(r["stream"], r["message"], r["service"]) for r in agent.records()],
                         [("log", 'one "quoted"\ttab', "cron"), ("log", "zwei größer", "cron")])

    def test_not_reachable_is_69(self):
        done = self.weir("send", stdin=log("x") + "\n")
        self.assertEqual(done.returncode, 69)
        self.assertIn(self.path("in.sock"), done.stderr)


class Tail(harness.AgentTest):
    RECORDS = [
        compact({"stream": "log", "ts": TS, "level": "WARN", "message": "m0", "attributes": {"http.method": "GET", "n": 5}}),
        compact({"stream": "log", "ts": TS, "level": "error", "message": "m1 \"quoted\"", "service": "orders", "n": 10}),
        compact({"stream": "log", "ts": TS, "level": 9, "message": "m2", "n": 1.5, "ok": True}),
        compact({"stream": "trace", "trace_id": "t3", "message": "m3", "step_name": "price", "duration_ms": 7.5, "status": "ok",
                 "ctx_before": {"decision": "new", "order": {"id": 7}}, "ctx_after": {"decision": "ok", "order": {"id": 7}}}),
        compact({"stream": "trace", "trace_id": "t4", "message": "m4", "step_name": "publish", "duration_ms": 0.2, "status": "error",
                 "ctx_before": {"decision": "ok"}, "ctx_after": {"decision": "ok"}}),
        compact({"stream": "telemetry", "ts": TS, "name": "q", "type": "gauge", "value": -3, "message": "m5"}),
    ]
    # expression -> the records (by number) it lets through
    WHERE = {
        'level == "warn"': [0], 'level >= "warn"': [0, 1], 'level < "warn"': [2], 'level == "info"': [2], 'level != "error"': [0, 2],
        'message == "m2"': [2], 'message starts_with "m1"': [1], 'message contains "\\"quoted\\""': [1], 'message =~ "^m[0-2]"': [0, 1, 2],
        'message =~ "5$"': [5], 'service == "orders"': [1], 'service != "orders"': [], 'exists service': [1], 'not exists service': [0, 2, 3, 4, 5],
        'not (service == "orders")': [0, 2, 3, 4, 5], 'attributes["http.method"] == "GET"': [0], 'attributes.n == 5': [0], 'n > 1': [1, 2],
        'n == 10.0': [1], 'n >= 1.5 and n < 10': [2], 'ok == true': [2], 'duration_ms > 5': [3], 'duration > 5ms': [3], 'duration <= 200us': [4],
        'duration < 1s': [3, 4], 'ctx_after.order.id == 7': [3], 'decision changed': [3], 'status == "error" or level == "error"': [1, 4],
        'step_name in ["price", "publish"]': [3, 4], 'n in [10, 5]': [1], 'value < 0': [5], 'nothing == 1': [], 'nothing != 1': [],
        'not (nothing == 1)': [0, 1, 2, 3, 4, 5], 'stream == "log" and not (level == "warn" or level == "error")': [2],
        'message == "m0" or message == "m1" and ok == true': [0], 'trace_id == "t3"': [3],
    }
    BAD = {"level @ 5": 7, 'message == "open': None, "level ==": None, "(level == 5": None, "level == 5)": None, 'message =~ "["': None,
           "level == 5 and": None, "== 5": 1, 'a in ["x"': None, "a.b. == 1": None, "5": None, "duration > 5parsecs": None}

    def tail(self, *args):
        done = self.weir("tail", *args, "--no-follow", "-o", "json")
        self.assertEqual(done.returncode, 0, done.stderr)
        return [json.loads(line)["message"][:2] for line in done.stdout.splitlines()]

    def start_with_records(self):
        agent = self.start("streams: {trace: {context_diff: {mode: full}}}\n")
        agent.send_plain(self.RECORDS)
        return agent

    def test_streams_and_counts(self):
        self.start_with_records()
        self.assertEqual(self.tail("-n", "100"), ["m0", "m1", "m2", "m3", "m4", "m5"])
        self.assertEqual(self.tail("-n", "2"), ["m4", "m5"])
        self.assertEqual(self.tail("log", "-n", "2"), ["m1", "m2"])
        self.assertEqual(self.tail("telemetry", "-n", "100"), ["m5"])
        self.assertEqual(self.tail("monitoring", "-n", "100"), [])
        self.assertEqual(self.tail("log", "-n", "1", "--where", 'level == "warn"'), ["m0"], "the last N that match")

    def test_expressions(self):
        self.start_with_records()
        for where, numbers in self.WHERE.items():
            with self.subTest(where):
                self.assertEqual(self.tail("-n", "100", "--where", where), ["m%d" % n for n in numbers])

    def test_bad_expressions_exit_64_with_their_column(self):
        self.start_with_records()
        for where, column in self.BAD.items():
            with self.subTest(where):
                done = self.weir("tail", "--no-follow", "-n", "1", "--where", where)
                self.assertEqual((done.returncode, done.stdout), (64, ""))
                match = re.match(r"--where:1:(\d+): .+", done.stderr)
                self.assertTrue(match, done.stderr)
                self.assertTrue(1 <= int(match.group(1)) <= len(where) + 1)
                if column:
                    self.assertEqual(int(match.group(1)), column)

    def test_it_follows_without_touching_any_sink(self):
        agent = self.start(harness.ALL_TO_FILE)
        agent.send_plain([log("old")])
        tail = subprocess.Popen([harness.BINARY, "tail", "log", "-n", "1", "-o", "json", "--where", 'message != "skip"'],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.env())
        try:
            self.assertEqual(tail.stdout.readline().decode(), log("old") + "\n", "the connection stands now")
            for n in range(3):
                agent.send_plain([log("skip"), harness.trace("t"), log("new %d" % n)])
                self.assertEqual(tail.stdout.readline().decode(), log("new %d" % n) + "\n")
            tail.send_signal(signal.SIGINT)
            tail.wait(harness.DEADLINE_S)
        finally:
            tail.kill()
            tail.communicate()
        self.assertEqual(list(agent.status()["sinks"]), ["out"])
        agent.wait_delivered("out", 10)

    def test_a_slow_reader_holds_nobody_up(self):
        agent = self.start(harness.ALL_TO_FILE + "journal: {max_bytes: 2MiB}\n")
        agent.send_plain([log("first")])
        tail = subprocess.Popen([harness.BINARY, "tail", "-n", "1", "-o", "json"], stdout=subprocess.PIPE, env=self.env())
        try:
            self.assertIn(b"first", tail.stdout.readline())
            os.kill(tail.pid, signal.SIGSTOP)
            count = 5000 if harness.SANITIZED else 50000
            agent.send_plain([log("x" * 100, n=n) for n in range(count)])
            agent.wait_delivered("out", count + 1)
        finally:
            os.kill(tail.pid, signal.SIGCONT)
            tail.kill()
            tail.communicate()
        self.assertEqual(len(agent.lines()), count + 1)

    def test_pretty_is_for_people(self):
        self.start_with_records()
        done = self.weir("tail", "trace", "-n", "10", "--no-follow", "-o", "pretty")
        self.assertIn('decision: "new" -> "ok"', done.stdout)
        self.assertNotIn("\x1b", done.stdout, "no colour on a pipe")


class Status(harness.AgentTest):
    def test_json_has_every_key_of_the_interface(self):
        agent = self.start(harness.ALL_TO_FILE)
        with agent.connect() as c:
            c.hello(client_id="x", next_seq=3)
            c.send([log("a"), "bad"])
            c.read_to_ack(4)
        agent.wait_delivered("out", 1)
        done = self.weir("status", "-o", "json")
        self.assertEqual(done.returncode, 0)
        status = json.loads(done.stdout)
        self.assertEqual(set(status), STATUS_KEYS[""])
        self.assertEqual(set(status["sources"]), {"local", "net"})
        self.assertEqual(set(status["streams"]), {"trace", "log", "telemetry", "monitoring"})
        for kind, things in (("source", status["sources"]), ("stream", status["streams"]), ("sink", status["sinks"]),
                             ("client", status["clients"])):
            self.assertTrue(things)
            for name, thing in things.items():
                self.assertEqual(set(thing), STATUS_KEYS[kind], (kind, name))
        self.assertEqual(set(status["journal"]), STATUS_KEYS["journal"])
        self.assertTrue({"time", "result", "errors"} <= set(status["last_reload"] or {"time": 0, "result": 0, "errors": 0}))
        self.assertEqual((status["pid"], status["config_files"]), (agent.pid, [self.path("weir.yaml")]))
        self.assertEqual(status["journal"]["type"], "memory")
        self.assertRegex(status["journal"]["oldest"], "^%s$" % harness.RFC3339)
        for mark in ("written", "synced"):
            self.assertRegex(status["journal"][mark], r"^\d+$", "positions are integers as strings")
        sink = status["sinks"]["out"]
        self.assertEqual((sink["type"], sink["state"], sink["streams"], sink["delivered"]),
                         ("file", "ok", ["trace", "log", "telemetry", "monitoring"], 1), "jsonl shows as file")
        source = status["sources"]["local"]
        self.assertEqual((source["type"], source["received"], source["rejected"]), ("unix", 2, {"bad_json": 1}))
        self.assertIn(self.path("in.sock"), source["address"])
        self.assertIn("127.0.0.1", status["sources"]["net"]["address"])
        self.assertEqual(status["streams"]["log"]["records"], 1)
        self.assertEqual((status["clients"]["x"]["last_seq"], status["clients"]["x"]["gaps"]), (4, 2))
        self.assertEqual(status["conservation_error"], 0)

    def test_for_people(self):
        agent = self.start(harness.ALL_TO_FILE)
        agent.send_plain([log("a"), "bad"])
        done = self.weir("status")
        self.assertEqual(done.returncode, 0)
        for words in ("local", "out", "memory", "bad_json", str(agent.pid)):
            self.assertIn(words, done.stdout)
        self.assertNotIn("\x1b", done.stdout)

    def test_control_path_can_be_given(self):
        self.start(harness.ALL_TO_FILE)
        done = self.weir("status", "--control", self.path("control.sock"), env={"WEIR_CONTROL": None, "WEIR_SOCKET": None})
        self.assertEqual(done.returncode, 0)


class Usage(harness.AgentTest):
    def test_version(self):
        done = self.weir("--version")
        self.assertEqual(done.returncode, 0)
        self.assertRegex(done.stdout, r"^weir \d+\.\d+\.\d+\n$")

    def test_help(self):
        for words in ("help",), ("help", "tail"), ("help", "config", "explain"):
            self.assertEqual(self.weir(*words).stdout, self.weir(*words[1:], "--help").stdout)
        done = self.weir("--help")
        self.assertEqual(done.returncode, 0)
        for command in ("agent", "check", "reload", "status", "tail", "send"):
            self.assertIn(command, done.stdout)

    def test_a_misspelt_word_is_answered_with_the_right_one(self):
        for args, said in ((["tial"], "'tail'"), (["tail", "--no-folow"], "'--no-follow'"), (["send", "--ak=durable"], "'--ack'"),
                           (["status", "--outputt", "json"], "'--output'"), (["config", "explan", "journal"], "'explain'"), (["--verson"], "'--version'")):
            with self.subTest(args=args):
                done = self.weir(*args)
                self.assertEqual(done.returncode, 64)
                self.assertIn("did you mean " + said, done.stderr)

    def test_usage_errors_are_64_and_say_so_on_stderr(self):
        for args in (["frobnicate"], ["status", "--frob"], ["tail", "nostream", "--no-follow"], ["tail", "-n", "many"], ["status", "-o", "xml"],
                     ["agent", "--tracing", "perhaps"], ["reload", "extra", "words"]):
            with self.subTest(args=args):
                done = self.weir(*args)
                self.assertEqual((done.returncode, done.stdout), (64, ""))
                self.assertTrue(done.stderr.strip())

    def test_an_agent_that_is_not_there_is_69(self):
        for args in (["status"], ["status", "-o", "json"], ["tail", "--no-follow", "-n", "1"], ["reload"]):
            with self.subTest(args=args):
                done = self.weir(*args)
                self.assertEqual(done.returncode, 69)
                self.assertIn(self.path("control.sock"), done.stderr)

    def test_the_ready_line_and_the_answers_to_signals(self):
        agent = self.start(harness.ALL_TO_FILE)
        self.assertRegex(agent.stderr(), r"(?m)^weir: ready pid=%d unix:%s tcp:127\.0\.0\.1:[1-9]\d*$" % (agent.pid, self.path("in.sock")))
        self.assertEqual(agent.stderr().count("weir: ready"), 1)
        agent.signal(signal.SIGINT)
        self.assertEqual(agent.wait_exit(), 0)
        self.assertFalse(os.path.exists(self.path("in.sock")))
        self.assertFalse(os.path.exists(self.path("control.sock")))

    def test_the_embedded_default_needs_no_file(self):
        agent = self.spawn(["--set", "data_dir=" + self.path("data")], env={"WEIR_SOCKET": self.path("run/weir.sock"),
                                                                           "WEIR_CONTROL": self.path("run/control.sock")}).wait_ready()
        self.assertEqual(agent.addresses, ["unix:" + self.path("run/weir.sock")])
        self.assertEqual(os.stat(self.path("run")).st_mode & 0o777, 0o700)
        agent.send_plain([log("hi"), harness.trace("t")])
        agent.wait_status(lambda s: sum(x["delivered"] for x in s["sinks"].values()) == 2, "both delivered")
        self.assertEqual(agent.raw(agent.stdout_path).decode(), log("hi") + "\n" + harness.trace("t") + "\n")

    def test_demo_sends_a_small_pipeline(self):
        agent = self.start(harness.ALL_TO_FILE)
        done = self.weir("demo")
        self.assertEqual(done.returncode, 0, done.stderr)
        records = harness.wait_for(lambda: agent.sink()["lag_records"] == 0 and agent.records(), "the demo's records")
        self.assertTrue({"trace", "log", "telemetry"} <= {r["stream"] for r in records})
        diffs = [r["ctx_diff"] for r in records if r.get("ctx_diff")]
        self.assertIn({"before": "new", "after": "approved"}, [d.get("decision") for d in diffs])
        self.assertTrue([r for r in records if r.get("status") == "error"])
        self.assertEqual(agent.source()["rejected"], {})


class Http(harness.AgentTest):
    def test_health_and_errors(self):
        agent = self.start(harness.ALL_TO_FILE)
        self.assertEqual(agent.http("GET", "/healthz")[0], 200)
        for method, path, code in (("GET", "/v1/nothing", 404), ("POST", "/v1/status", 405), ("GET", "/v1/tail?where=%40", 400)):
            with self.subTest(path=path):
                status, headers, body = agent.http(method, path)
                self.assertEqual(status, code)
                self.assertEqual({k.lower(): v for k, v in headers.items()}["content-type"].split(";")[0], "application/problem+json")
                self.assertEqual(json.loads(body)["status"], code)

    def test_tail_is_server_sent_events(self):
        agent = self.start(harness.ALL_TO_FILE)
        agent.send_plain([log("one"), harness.trace("t"), log("two")])
        connection = harness.UnixHTTPConnection(agent.control)
        connection.request("GET", "/v1/tail?stream=log&n=10")
        answer = connection.getresponse()
        self.assertEqual(answer.getheader("Content-Type").split(";")[0], "text/event-stream")
        data = []
        while len(data) < 2:
            line = answer.readline().decode()
            data += [line[5:].strip()] if line.startswith("data:") else []
        connection.close()
        self.assertEqual(data, [log("one"), log("two")])

    def test_who_names_the_socket_for_records_is_told_of_the_other_one(self):
        agent = self.start(harness.ALL_TO_FILE)
        done = self.weir("top", "--once", "--control", self.path("in.sock"))
        self.assertEqual(done.returncode, 1)
        self.assertIn("is it the socket for records? There is %s beside it" % agent.control, done.stderr)

    def test_garbage_on_the_control_socket_harms_nobody(self):
        agent = self.start(harness.ALL_TO_FILE)
        for data in (b"\x00" * 100, b"GET / HTTP/9.9\r\n\r\n", b"GET /v1/status HTTP/1.1\r\n" + b"A: b\r\n" * 5000 + b"\r\n", b"GET " + b"x" * 70000,
                     b"POST /v1/reload HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", b'{"weir":"hello"}\n', b"GET /v1/status HTTP/1.1\r\n\r\n" * 5):
            with self.subTest(data=data[:30]):
                client = harness.UnixHTTPConnection(agent.control)
                client.connect()
                try:
                    client.sock.sendall(data)
                    client.sock.shutdown(harness.socket.SHUT_WR)
                    while client.sock.recv(65536):
                        pass
                except OSError:
                    pass
                client.close()
                self.assertEqual(agent.http("GET", "/healthz")[0], 200)


if __name__ == "__main__":
    unittest.main(verbosity=2)
