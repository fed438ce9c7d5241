"""The `http` sink as it should be: bodies, headers, batches, keys, connections, several requests in flight; its configuration."""
import base64
import collections
import gzip
import json
import re
import socket
import threading

import harness
from http_receiver import ForwardTest, answer, good, lines_of, lost_answer


class Requests(ForwardTest):
    def one_request(self, options="", lines=None, **kwargs):
        receiver = self.receiver()
        agent = self.forward(receiver, options, **kwargs)
        lines = lines or lines_of(20)
        self.send_and_check(agent, receiver, lines)
        self.assertEqual(receiver.records(), lines)
        return receiver.requests[0], receiver

    def test_lines_as_they_are(self):
        lines = ['{"stream":"log", "ts":"2026-01-21T10:00:00Z" ,"message":"é \\u00e9 \\n", "n":1.0}'] + lines_of(3)
        request, receiver = self.one_request(lines=lines)
        self.assertEqual(request.raw_body, harness.as_bytes(lines))
        self.assertEqual((request.method, request.target, request.version), ("POST", "/in", "HTTP/1.1"))
        self.assertEqual({k: v for k, v in request.headers.items() if k != "idempotency-key"},
                         {"host": "127.0.0.1:%d" % receiver.port, "user-agent": "weir/" + self.agents[0].status()["version"],
                          "content-type": "application/x-ndjson", "content-length": str(len(request.raw_body))})

    def test_a_json_array(self):
        lines = lines_of(3)
        request, _ = self.one_request("format: json_array", lines)
        self.assertEqual(request.raw_body.decode(), "[" + ",".join(lines) + "]")
        self.assertEqual(request.headers["content-type"], "application/json")

    def test_gzip(self):
        for options in ("compress: gzip", "compress: gzip, format: json_array"):
            with self.subTest(options):
                lines = lines_of(500)
                request, _ = self.one_request(options, lines)
                self.assertEqual(request.headers["content-encoding"], "gzip")
                self.assertLess(len(request.raw_body), len(gzip.decompress(request.raw_body)) / 4)

    def test_large_bodies_out_of_the_journals_own_memory(self):
        lines = [harness.log("x" * 3000, n=n) for n in range(400)]
        for options in ("batch: {bytes: 8MiB, linger: 100ms}", "batch: {bytes: 8MiB, linger: 100ms}, format: json_array", "batch: {bytes: 8MiB, linger: 100ms}, compress: gzip"):
            with self.subTest(options):
                self.one_request(options + ", timeout: 5s", lines)

    def test_only_the_streams_that_name_it(self):
        receiver = self.receiver()
        agent = self.start("streams: {log: {sinks: [fwd]}, trace: {sinks: []}, telemetry: {sinks: [fwd]}}\nsinks: {fwd: {type: http, url: \"%s\", %s}}\n"
                           % (receiver.url(), self.OPTIONS))
        lines, mine = [], []
        for n in range(3000):
            mine.append(harness.log("m", n=n))
            lines += [mine[-1]] + [harness.trace("t%d" % n)] * (n % 3)
        self.send_and_check_mine(agent, receiver, lines, mine)

    def test_where_and_its_keys(self):
        receiver = self.receiver(script=[lost_answer])
        agent = self.forward(receiver, "where: 'level >= warn'")
        mine = [harness.log("m", n=n).replace('"info"', '"error"') for n in range(1500)]
        lines = [line for pair in zip(lines_of(1500), mine) for line in pair]
        self.send_and_check_mine(agent, receiver, lines, mine)
        self.assertEqual(agent.sink("fwd")["filtered"], {"where": 1500})
        self.assertEqual(receiver.requests[0].bounds()[0], 2, "the ordinal of its own first record")

    def send_and_check_mine(self, agent, receiver, lines, mine):
        agent.send_plain(lines)
        agent.wait_status(lambda s: s["sinks"]["fwd"]["delivered"] >= len(mine) and s["sinks"]["fwd"]["lag_records"] == 0, "forwarded")
        self.assertEqual(receiver.records(), mine)

    def test_auth_and_headers(self):
        request, _ = self.one_request("auth: {basic: {user: \"${env:U}\", password: \"${env:P}\"}}, headers: {X-A: b, Content-Type: text/plain}",
                                      env={"U": "me", "P": "p:w"})
        self.assertEqual(request.headers["authorization"], "Basic bWU6cDp3")
        self.assertEqual((request.headers["x-a"], request.headers["content-type"]), ("b", "text/plain"))
        request, _ = self.one_request("auth: {bearer: \"${env:T}\"}", env={"T": "tok"})
        self.assertEqual(request.headers["authorization"], "Bearer tok")

    def test_batches_by_count_bytes_and_time(self):
        for batch, sizes in (("records: 100, linger: 10s", [100, 100]), ("records: 100, linger: 1ms", [100, 100, 50]),
                             ("records: 1000, bytes: 8KiB, linger: 10s", None)):
            with self.subTest(batch):
                receiver = self.receiver()
                agent = self.forward(receiver, "batch: {%s}" % batch)
                with agent.connect() as connection:
                    connection.send(lines_of(250))
                    connection.finish_plain()
                if sizes:
                    agent.wait_delivered("fwd", sum(sizes))
                    self.assertEqual([len(r.lines()) for r in receiver.taken], sizes)
                else:
                    agent.wait_delivered("fwd", 100)
                    self.assertTrue(all(7000 < len(r.raw_body) <= 8192 for r in receiver.taken))
                agent.stop()  # hands out the rest at once
                self.assertEqual(receiver.records(), lines_of(250))

    def test_keys_are_the_journals_ordinals_and_another_sinks_differ(self):
        receivers = [self.receiver(), self.receiver()]
        agent = self.start("streams: {log: {sinks: [a, b]}}\nsinks:\n" + "".join(
            "  %s: {type: http, url: \"%s\", %s}\n" % (name, r.url(), self.OPTIONS) for name, r in zip("ab", receivers)))
        agent.send_plain(lines_of(1200))
        for name in "ab":
            agent.wait_delivered(name, 1200)
        keys = [[r.key for r in receiver.taken] for receiver in receivers]
        uuids = []
        for own in keys:
            self.assertEqual([k.split("-", 5)[5] for k in own], ["1-500", "501-1000", "1001-1200"])
            self.assertEqual(len({k[:36] for k in own}), 1)
            self.assertRegex(own[0], r"^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}-1-500$")
            uuids.append(own[0][:36])
        self.assertNotEqual(*uuids)

    def test_one_connection_is_kept(self):
        receiver = self.receiver()
        agent = self.forward(receiver)
        for n in range(5):
            agent.send_plain(lines_of(100, 100 * n))
            agent.wait_delivered("fwd", 100 * (n + 1))
        self.assertEqual(receiver.connections, 1)

    def test_a_kept_connection_that_was_closed_as_idle_is_no_failure(self):
        receiver = self.receiver()
        agent = self.forward(receiver)
        for n in range(5):
            self.send_more(agent, receiver, n)
            receiver.drop_connections()
        self.assertEqual(receiver.connections, 5)
        self.assertIsNone(agent.sink("fwd")["last_error"])

    def test_a_name_with_several_addresses(self):
        """localhost may be ::1 first, where nobody listens."""
        try:
            socket.getaddrinfo("localhost", 80)
        except socket.gaierror:
            self.skipTest("this machine does not know localhost (no /etc/hosts)")
        receiver = self.receiver()
        agent = self.forward(receiver, url=receiver.url(host="localhost"))
        self.send_more(agent, receiver, 0)
        self.assertIsNone(agent.sink("fwd")["last_error"])

    def test_one_that_is_closed_as_the_request_comes_is_none_either(self):
        def hang_up_unheard(peer, request):
            if peer.served:
                peer.reset()
                return False
            peer.served = True
            return good(peer, request)
        receiver = self.receiver(always=hang_up_unheard)
        agent = self.forward(receiver)
        for n in range(5):
            self.send_more(agent, receiver, n)
        self.assertEqual(receiver.connections, 5)
        self.assertIsNone(agent.sink("fwd")["last_error"])

    def send_more(self, agent, receiver, n):
        agent.send_plain(lines_of(10, 10 * n))
        agent.wait_delivered("fwd", 10 * (n + 1))
        self.assertEqual(receiver.records(), lines_of(10 * (n + 1)))

    def test_four_in_flight_deliver_all_whatever_happens(self):
        counter = collections.Counter()

        def moody(peer, request):
            counter["all"] += 1
            mood = counter["all"] % 7
            if mood not in (3, 5) and any('"poison":true' in line for line in request.lines()):
                return answer(400)(peer, request)
            if mood == 2:
                counter["lost"] += 1
                return lost_answer(peer, request)
            if mood in (3, 5):
                return answer(503)(peer, request)
            return good(peer, request)
        receiver = self.receiver(always=moody)
        agent = self.forward(receiver, "in_flight: 4, batch: {records: 100, linger: 5ms}")
        lines = lines_of(20_000)
        bad = [harness.log("bad", n=n, poison=True) for n in range(7)]
        for n, line in enumerate(bad):
            lines[2500 * n + 7] = line
        self.send_and_check(agent, receiver, lines, quarantined=len(bad))
        self.assertEqual(collections.Counter(receiver.records()), collections.Counter(lines) - collections.Counter(bad))
        self.assertEqual(sorted(e["raw"] for e in agent.quarantine("sink.fwd")), bad)
        again = len(receiver.taken) - len({r.key for r in receiver.taken})
        self.assertLessEqual(again, counter["lost"], "only what lost its answer came again")

    def test_four_at_once(self):
        barrier = threading.Barrier(4)

        def all_four(peer, request):
            barrier.wait(harness.DEADLINE_S)
            return good(peer, request)
        receiver = self.receiver(script=[all_four] * 4)
        agent = self.forward(receiver, "in_flight: 4, timeout: 10s, batch: {records: 10, linger: 200ms}")
        with agent.connect() as connection:
            connection.send(lines_of(40))
            connection.finish_plain()
        self.wait_all(agent, 40)
        self.assertEqual(sorted(receiver.records()), sorted(lines_of(40)))

    def test_a_reload_keeps_the_bounds_of_what_is_unanswered(self):
        receiver = self.receiver(script=[lost_answer] * 3)
        agent = self.forward(receiver, "backoff: {min: 60s, max: 60s}")
        agent.send_plain(lines_of(120))
        harness.wait_for(lambda: agent.sink("fwd")["state"] == "retrying", "retrying")
        agent.send_plain(lines_of(200, 120))
        self.write_config(self.config(receiver.url(), "timeout: 2s, batch: {records: 400, bytes: 1KiB, linger: 5ms}"))
        self.assertEqual(self.weir("reload").returncode, 0)
        self.wait_all(agent, 320)
        self.assertEqual([b for b in sorted({r.bounds() for r in receiver.requests}) if b[0] <= 121][0], (1, 120))
        self.assertEqual(receiver.records(), lines_of(320))

    def test_a_changed_filter_changes_the_keys(self):
        receiver = self.receiver(script=[lost_answer])
        agent = self.forward(receiver, "backoff: {min: 60s, max: 60s}, where: 'n < 100'")
        agent.send_plain(lines_of(120))
        harness.wait_for(lambda: agent.sink("fwd")["state"] == "retrying", "retrying")
        self.write_config(self.config(receiver.url(), "where: 'n >= 0'"))
        self.assertEqual(self.weir("reload").returncode, 0)
        agent.wait_status(lambda s: s["sinks"]["fwd"]["lag_records"] == 0, "forwarded")
        self.assertEqual(collections.Counter(receiver.records()), collections.Counter(lines_of(120) + lines_of(100)), "100 came twice, none is missing")


class Configuration(ForwardTest):
    def mistakes(self, options, url="http://h/"):
        path = self.write_config(self.config(url, options, base=""))
        done = self.weir("check", path, "-o", "json")
        self.assertEqual(done.returncode, 78, done.stdout)
        found = json.loads(done.stdout)
        for mistake in found:
            self.assertGreater(mistake["line"], 0)
            self.assertGreater(mistake["col"], 0)
        return [(m["path"], m["message"]) for m in found]

    def test_urls(self):
        for url, says in (("ftp://h/", "http or https"), ("h:80", "must be a URL"), ("http://", "names no host"), ("http://u:p@h/", "auth: {basic:"),
                          ("http://h:0/", "between 1 and 65535"), ("http://h:99999/", "between 1 and 65535"), ("http://::1/", "brackets"),
                          ("http://h/#x", "fragment"), ("http://h/a b", "spaces"), ("http://h\\r\\nX: y/", "")):
            with self.subTest(url):
                (path, message), = self.mistakes("", url)
                self.assertEqual(path, "sinks.fwd.url")
                self.assertIn(says, message)
                self.assertNotIn("u:p", message)

    def test_headers(self):
        for headers, says in (('"Bad Name": a', "not the name of a header"), ("host: a", "sets itself"), ("Content-Length: 1", "sets itself"),
                              ("Transfer-Encoding: chunked", "sets itself"), ("IDEMPOTENCY-KEY: a", "sets itself"), ('X: "a\\r\\nY: b"', "line break"),
                              ('X: "a\\nb"', "line break")):
            with self.subTest(headers):
                (path, message), = self.mistakes("headers: {%s}" % headers)
                self.assertTrue(path.startswith("sinks.fwd.headers."), path)
                self.assertIn(says, message)
        self.assertIn("twice", str(self.mistakes("headers: {X-A: 1, x-a: 2}")))
        self.assertIn("keep one", str(self.mistakes("headers: {Authorization: x}, auth: {bearer: y}")))

    def test_the_rest(self):
        for options, path, says in (("auth: {bearer: x, basic: {user: a, password: b}}", "auth.bearer", "exclude"), ("auth: {basic: {user: a}}", "auth.basic", "password"),
                                    ("auth: {basic: {password: a}}", "auth.basic", "user"), ("auth: {bearer: \"a\\nb\"}", "auth.bearer", "line break"),
                                    ("tls: {ca: /x}", "tls.ca", "https"), ("backoff: {min: 2s, max: 1s}", "backoff.min", "longer"),
                                    ("in_flight: 0", "in_flight", "at least 1"), ("batch: {record: 5}", "batch.record", "not known")):
            with self.subTest(options):
                (at, message), = self.mistakes(options)
                self.assertEqual(at, "sinks.fwd." + path)
                self.assertIn(says, message)
        self.assertIn("come together", str(self.mistakes("tls: {cert: /x}", "https://h/")))


class Secrets(ForwardTest):
    CANARY = 'CANARY-"quoted"-7f3a'

    def test_a_secret_is_nowhere(self):
        """A server that echoes everything back in every kind of error."""
        def echo(status):
            def behave(peer, request):
                value = request.headers["authorization"].encode() + request.headers["x-api-key"].encode() + request.target.encode()
                peer.answer(status, b"you sent " + value + json.dumps(request.headers).encode() * 3, ["X-Echo: a"])
                return True
            return behave
        seen = []
        for auth in ("auth: {bearer: \"${env:CANARY}\"}", "auth: {basic: {user: me, password: \"${env:CANARY}\"}}"):
            receiver = self.receiver(always=echo("503 " + self.CANARY))
            agent = self.forward(receiver, auth + ", headers: {X-Api-Key: \"${env:CANARY}\", X-Other: \"${file:%s}\"}" % self.write("secret", self.CANARY),
                                 url=receiver.url("/in?a=b&token=CANARY-in-the-query&c"), env={"CANARY": self.CANARY}, args=["--set", "log.level=trace"])
            agent.send_plain(lines_of(4))
            for status, state in (("503", "retrying"), ("401", "misconfigured"), ("302", "misconfigured"), ("400", "ok")):
                receiver.always = echo(status + " " + self.CANARY)
                text = agent.wait_status(lambda s: s["sinks"]["fwd"]["state"] == state and
                                         (state == "ok" or ": " + status in (s["sinks"]["fwd"]["last_error"] or "")), state)
                seen.append(json.dumps(text))
                self.assertIn("***", text["sinks"]["fwd"]["last_error"])
            self.wait_all(agent, 0, 4)
            seen += [agent.http("GET", path)[2].decode() for path in ("/v1/status", "/v1/config", "/metrics")]
            seen.append(self.weir("check", self.path("weir.yaml"), "--print", env={"CANARY": self.CANARY}).stdout)
            seen.append(self.weir("status").stdout)
            self.write_config(self.config(receiver.url(), auth + ", timeout: soon"))
            reload = self.weir("reload", env={"CANARY": self.CANARY})
            self.assertEqual(reload.returncode, 78)
            seen += [reload.stdout, reload.stderr]
            self.assertEqual(len(agent.quarantine("sink.fwd")), 4)
            seen += [agent.raw("data/quarantine/sink.fwd.jsonl").decode(), agent.stderr()]
            agent.stop()
            self.assertEqual(receiver.requests[0].headers["x-api-key"], self.CANARY)
            seen.append(agent.stderr())
        for text in seen:
            for form in ("quoted", "7f3a", base64.b64encode(("me:" + self.CANARY).encode()).decode()[:20]):
                self.assertNotIn(form, text)
        self.assertEqual([x for x in seen if "CANARY-in-the-query" in x and "url:" not in x], [])

    def test_a_config_error_shows_no_secret(self):
        path = self.write_config(self.config("http://h/", "auth: {bearer: \"${env:CANARY}\"}, headers: {X: \"${env:CANARY}\"}", base=""))
        done = self.weir("check", path, env={"CANARY": "canary\n-secret"})
        self.assertEqual(done.returncode, 78)
        self.assertEqual(len(re.findall("line break", done.stdout)), 2)
        self.assertNotIn("secret", done.stdout + done.stderr)


if __name__ == "__main__":
    harness.main()
