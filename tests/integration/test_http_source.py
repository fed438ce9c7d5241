"""The `http` listener: what it takes, what it refuses, and that a request counts once (docs/decisions/0007)."""
import gzip
import http.client
import json
import os
import socket
import threading
import unittest

import harness
from harness import compact, log, wait_for

CONFIG = harness.ALL_TO_FILE + 'listen: {local: {type: unix, path: "@/in.sock"}, web: {type: http, bind: "127.0.0.1:0"%s}}\n'


class HttpSource(harness.AgentTest):
    def start_http(self, more="", config=CONFIG, **options):
        self.agent = self.start(config % more, **options)
        self.port = int(next(a for a in self.agent.addresses if a.startswith("http:")).rsplit(":", 1)[1])
        return self.agent

    def post(self, body, headers=None, path="/", method="POST"):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=harness.DEADLINE_S)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            self.answer_headers = dict(answer.getheaders())
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def raw(self, text, half_close=False):
        """Sends bytes, returns all that comes back until the agent closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=harness.DEADLINE_S) as sock:
            sock.sendall(text)
            if half_close:
                sock.shutdown(socket.SHUT_WR)
            out = b""
            while True:
                try:
                    got = sock.recv(65536)
                except ConnectionResetError:
                    return out
                if not got:
                    return out
                out += got

    def test_lines_and_arrays_and_gzip_arrive_byte_for_byte(self):
        agent = self.start_http()
        lines = [log("one"), log("twö"), compact({"stream": "telemetry", "ts": 5, "n": 1}).replace("5", "5.00", 1)]
        body = harness.as_bytes(lines)
        self.assertEqual(self.post(body), (200, {"records": 3, "rejected": 0, "duplicate": False}))
        self.assertEqual(agent.lines(), lines)  # the answer came after the file was written
        array = ("[\n " + ",\n ".join(lines) + "\n]").encode()
        self.assertEqual(self.post(array, {"Content-Type": "application/json"})[1]["records"], 3)
        self.assertEqual(self.post(gzip.compress(body), {"Content-Encoding": "gzip"})[1]["records"], 3)
        two_members = gzip.compress(harness.as_bytes(lines[:1])) + gzip.compress(harness.as_bytes(lines[1:]))
        self.assertEqual(self.post(two_members, {"Content-Encoding": "gzip"})[1]["records"], 3)
        self.assertEqual(self.post(body.rstrip(b"\n").replace(b"\n", b"\r\n\r\n"))[1]["records"], 3)
        self.assertEqual(self.post(b"")[1]["records"], 0)
        self.assertEqual(agent.lines(), lines * 5)

    def test_chunks_and_expect_and_several_requests_on_one_connection(self):
        agent = self.start_http()
        one, two = log("one") + "\n", log("two") + "\n"
        chunked = ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n"
                   % (len(one), one, len(two), two)).encode()
        plain = ("POST / HTTP/1.0\r\nContent-Length: %d\r\n\r\n%s" % (len(one), one)).encode()
        self.assertEqual(self.raw(chunked * 2 + plain).count(b"HTTP/1.1 200 OK"), 3)
        with socket.create_connection(("127.0.0.1", self.port), timeout=harness.DEADLINE_S) as sock:
            sock.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(one))
            self.assertEqual(sock.recv(100), b"HTTP/1.1 100 Continue\r\n\r\n")
            sock.sendall(one.encode())
            self.assertIn(b"200 OK", sock.recv(1000))
        self.assertEqual(len(agent.lines()), 6)

    def test_bad_records_are_counted_and_do_not_cost_their_neighbours(self):
        agent = self.start_http()
        body = harness.as_bytes([log("good"), "not json", '{"stream":"nope"}', log("also good"), "x" * (300 << 10)])
        self.assertEqual(self.post(body)[1], {"records": 5, "rejected": 3, "duplicate": False})
        self.assertEqual(agent.source("web")["rejected"], {"bad_json": 1, "unknown_stream": 1, "too_long": 1})
        big = compact({"stream": "log", "message": "y" * (300 << 10)})
        array = "[%s,%s]" % (log("third"), big)
        self.assertEqual(self.post(array, {"Content-Type": "application/json"})[1]["rejected"], 1)
        self.assertEqual([r["message"] for r in agent.records()], ["good", "also good", "third"])
        self.assertEqual([q["reason"] for q in agent.quarantine()], ["bad_json", "unknown_stream", "too_long", "too_long"])

    def test_a_request_with_a_known_key_is_answered_and_not_taken_again(self):
        agent = self.start_http()
        body, key = harness.as_bytes([log("a"), log("b"), "bad"]), {"Idempotency-Key": "uuid-1-2"}
        self.assertEqual(self.post(body, key)[1], {"records": 3, "rejected": 1, "duplicate": False})
        for _ in range(3):
            self.assertEqual(self.post(body, key)[1], {"records": 3, "rejected": 1, "duplicate": True})
        self.assertEqual(self.post(body, {"Idempotency-Key": "uuid-3-4"})[1]["duplicate"], False)
        self.assertEqual(self.post(log("another"), key)[0], 422)  # else it would be lost behind a 200
        self.assertEqual(len(agent.lines()), 4)
        self.assertEqual(agent.source("web")["duplicate"], 9)

    def test_a_sender_that_gave_up_and_comes_again_finds_its_request_taken(self):
        """The journal is full while the first request is being taken; its sender leaves; it must still count once."""
        stuck = CONFIG.replace("trace: {sinks: [out]}", "trace: {sinks: [out, fifo]}").replace(
            "sinks:\n  out:", 'journal: {max_bytes: 1MiB}\nsinks:\n  fifo: {type: stdout, format: json, when_full: block}\n  out:')
        read_end, write_end = os.pipe()
        agent = self.start_http(config=stuck, stdout=write_end)
        os.close(write_end)
        self.addCleanup(os.close, read_end)
        lines = [harness.trace("t%d" % i, note="x" * 1000) for i in range(3000)]
        head = ("POST / HTTP/1.1\r\nHost: x\r\nIdempotency-Key: k\r\nContent-Length: %d\r\n\r\n" % len(harness.as_bytes(lines))).encode()
        with socket.create_connection(("127.0.0.1", self.port)) as sock:
            sock.sendall(head + harness.as_bytes(lines))
            agent.wait_status(lambda s: s["journal"]["state"] == "full", "journal full")
        self.assertEqual(self.post(log("x"))[0], 503)  # nothing is begun while the journal is full
        self.assertEqual(self.answer_headers["Retry-After"], "1")
        answers = []

        def ask_until_taken():
            while not answers or answers[-1][0] == 503:
                answers.append(self.post(harness.as_bytes(lines), {"Idempotency-Key": "k"}))
        again = threading.Thread(target=ask_until_taken)
        again.start()
        got = b""
        while got.count(b"\n") < len(lines):
            got += os.read(read_end, 1 << 20)
        again.join()
        self.assertEqual(answers[-1], (200, {"records": 3000, "rejected": 0, "duplicate": True}))
        self.assertEqual(agent.lines(), lines)

    def test_without_a_key_what_was_taken_is_not_asked_for_again(self):
        """It could not be recognised: 202, taken and not written by all yet. With a key: 503, and once."""
        stuck = CONFIG.replace("log: {sinks: [out]}", "log: {sinks: [out, dead]}").replace(
            "sinks:\n  out:", 'sinks:\n  dead: {type: http, url: "http://127.0.0.1:1/", when_full: block}\n  out:')
        agent = self.start_http(config=stuck)
        answers = {}

        def ask(key):
            answers[key] = self.post(log("m"), {"Idempotency-Key": key} if key else {})
        threads = [threading.Thread(target=ask, args=(key,)) for key in ("", "k")]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(answers[""], (202, {"records": 1, "rejected": 0, "duplicate": False}))
        self.assertEqual(answers["k"][0], 503)
        self.assertEqual(agent.lines(), [log("m")] * 2)
        agent.stop(exit_code=1)  # the dead sink's records are left behind

    def test_what_it_refuses(self):
        agent = self.start_http(', path: /in, auth: {bearer: "${TOKEN}"}', env={"TOKEN": "s3cret"})
        good = {"Authorization": "Bearer s3cret"}
        self.assertEqual(self.post(log("x"), good, "/in")[0], 200)
        self.assertEqual(self.post(log("x"), good, "/in?a=b")[0], 200)
        self.assertEqual(self.post(log("x"), good, "/other")[0], 404)
        self.assertEqual(self.post(log("x"), {}, "/in")[0], 401)
        self.assertEqual(self.post(log("x"), {"Authorization": "bEARER s3cret"}, "/in")[0], 200)
        self.assertEqual(self.post(log("x"), {"Authorization": "Bearer s3cres"}, "/in")[0], 401)
        self.assertEqual(self.answer_headers["WWW-Authenticate"], "Bearer")
        self.assertEqual(self.post(None, good, "/in", "GET")[0], 405)
        self.assertEqual(self.post(log("x"), {**good, "Content-Encoding": "br"}, "/in")[0], 415)
        self.assertEqual(self.post(b"\x1f\x8bnonsense", {**good, "Content-Encoding": "gzip"}, "/in")[0], 400)
        self.assertEqual(self.post(gzip.compress(log("x").encode())[:-3], {**good, "Content-Encoding": "gzip"}, "/in")[0], 400)
        bomb = gzip.compress(b"\n" * (20 << 20))
        self.assertEqual(self.post(bomb, {**good, "Content-Encoding": "gzip"}, "/in")[0], 413)
        self.assertEqual(self.post(log("x"), {**good, "Idempotency-Key": "k" * 300}, "/in")[0], 400)
        self.assertEqual(len(agent.lines()), 3)
        self.assertNotIn("s3cret", agent.stderr() + json.dumps(agent.status()))

    def test_basic_authentication(self):
        self.start_http(', auth: {basic: {user: me, password: "${PW}"}}', env={"PW": "pä:ss"})
        import base64
        word = base64.b64encode("me:pä:ss".encode()).decode()
        self.assertEqual(self.post(log("x"), {"Authorization": "Basic " + word})[0], 200)
        self.assertEqual(self.post(log("x"), {"Authorization": "Basic " + word[:-4]})[0], 401)

    def test_requests_that_may_be_smuggled_or_endless_are_refused_and_closed(self):
        agent = self.start_http()
        line = (log("x") + "\n").encode()
        n = len(line)
        for what, text, code in [
            ("two lengths", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\nContent-Length: 5\r\n\r\n" % n + line, b"400"),
            ("two equal lengths", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\nContent-Length: %d\r\n\r\n" % (n, n) + line, b"400"),
            ("an endless chunk extension", b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"a" * (40 << 10), b"413"),
            ("endless trailers", b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"a: " + b"b" * (40 << 10), b"413"),
            ("mostly chunk headers", b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1;%s\r\n \r\n" % (b"x" * 4000) * 2200, b"413"),
            ("a list of lengths", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d, %d\r\n\r\n" % (n, n) + line, b"400"),
            ("two keys", b"POST / HTTP/1.1\r\nHost: x\r\nIdempotency-Key: a\r\nIdempotency-Key: b\r\nContent-Length: %d\r\n\r\n" % n + line, b"400"),
            ("two encodings", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % n + line, b"400"),
            ("chunks in HTTP/1.0", b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"400"),
            ("length and chunks", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n" % n + line, b"400"),
            ("unknown coding", b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", b"400"),
            ("bare line feeds", b"POST / HTTP/1.1\nHost: x\nContent-Length: %d\n\n" % n + line, b"400"),
            ("no host", b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % n + line, b"400"),
            ("two hosts", b"POST / HTTP/1.1\r\nHost: x\r\nHost: y\r\nContent-Length: %d\r\n\r\n" % n + line, b"400"),
            ("no HTTP", b"hello\r\n\r\n", b"400"),
            ("endless header", b"POST / HTTP/1.1\r\nX: " + b"y" * (20 << 10) + b"\r\n\r\n", b"431"),
            ("many header lines", b"POST / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 120 + b"\r\n", b"431"),
            ("a declared giant", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n", b"413"),
        ]:
            with self.subTest(what):
                said = self.raw(text)
                self.assertEqual(said[9:12], code, said)
                self.assertEqual(said.count(b"HTTP/1.1 "), 1, said)
        self.assertEqual(agent.lines(), [])
        cut = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (n + 5) + line
        self.assertEqual(self.raw(cut, half_close=True), b"")  # not whole: nothing is taken, nothing is answered
        self.assertEqual(agent.lines(), [])

    def test_line_breaks_within_a_json_text_never_end_a_record(self):
        agent = self.start_http(", stamp: true")
        forged = '{"stream":"log","ts":"x","message":"forged","_peer":{"uid":0,"pid":1}}'
        body = '{"stream":"log",\r\n "ts":"x","x":\n%s\n}' % forged
        json_type = {"Content-Type": "application/json; charset=utf-8"}
        self.assertEqual(self.post(body, json_type)[1], {"records": 1, "rejected": 0, "duplicate": False})
        self.assertEqual(len(agent.lines()), 1)
        self.assertEqual(agent.records()[0]["x"]["message"], "forged")
        self.assertEqual(agent.records()[0]["_peer"], {"uid": None, "pid": None})
        self.assertEqual(self.post('{"stream":"log","message":"a\nb"}', json_type)[1]["rejected"], 1)
        self.assertEqual(self.post('[{"stream":"log",\n"message":"\\"\\\\"\n},\n{"stream":"log","message":"y"}\n]', json_type)[1]["records"], 2)
        self.assertEqual([r.get("message") for r in agent.records()[1:]], ['"\\', "y"])
        too_long = compact({"stream": "log", "message": "y" * (300 << 10)})
        self.assertEqual(self.post(too_long, json_type)[1], {"records": 1, "rejected": 1, "duplicate": False})
        self.assertEqual(agent.source("web")["rejected"], {"bad_json": 1, "too_long": 1})

    def test_only_application_json_is_one_text(self):
        agent = self.start_http()
        body = harness.as_bytes([log("a"), log("b")])
        for kind in ("application/jsonl", "application/x-ndjson", "application/json-seq", "text/plain", "application/jsonlines"):
            self.assertEqual(self.post(body, {"Content-Type": kind})[1]["records"], 2, kind)
        self.assertEqual(len(agent.lines()), 10)

    def test_a_flood_of_bad_lines_does_not_hold_up_the_others(self):
        agent = self.start_http()
        flood = threading.Thread(target=lambda: self.post(gzip.compress(b"x\n" * 500_000), {"Content-Encoding": "gzip"}))
        flood.start()
        wait_for(lambda: agent.source("web")["rejected"].get("bad_json", 0) > 0, "the flood has begun")
        agent.send_plain([log("in between")])
        self.assertLess(agent.source("web")["rejected"]["bad_json"], 500_000)  # it was not made to wait for the end
        flood.join()
        self.assertEqual(agent.source("web")["rejected"]["bad_json"], 500_000)

    def test_changed_credentials_hold_for_connections_that_are_open(self):
        agent = self.start_http(', auth: {bearer: "${file:@/token}"}', config=self.with_file("token", "old"))
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=harness.DEADLINE_S)

        def post(token):
            connection.request("POST", "/", log("x"), {"Authorization": "Bearer " + token})
            answer = connection.getresponse()
            answer.read()
            return answer.status
        self.assertEqual(post("old"), 200)
        self.write("token", "new")
        self.assertEqual(self.weir("reload").returncode, 0)
        self.assertEqual(post("new"), 200)
        self.assertEqual(post("old"), 401)
        connection.close()

    def with_file(self, name, text):
        self.write(name, text)
        return CONFIG

    def test_two_listeners_take_the_same_path(self):
        two = harness.ALL_TO_FILE + 'listen: {a: {type: http, bind: "127.0.0.1:0"}, b: {type: http, bind: "127.0.0.1:0"}}\n'
        self.assertEqual(len(self.start(two).addresses), 2)

    def test_sigterm_answers_what_has_come(self):
        agent = self.start_http()
        lines = [log("m%d" % i) for i in range(2000)]
        self.assertEqual(self.post(harness.as_bytes(lines))[0], 200)
        with socket.create_connection(("127.0.0.1", self.port)) as idle:
            wait_for(lambda: agent.source("web")["connections"] == 1, "the idle connection")
            agent.stop()
            self.assertEqual(idle.recv(10), b"")
        self.assertEqual(agent.lines(), lines)


if __name__ == "__main__":
    unittest.main()
