"""What each answer of an HTTP receiver means for the records of its request (delivery.md section 2)."""
import collections
import email.utils
import signal

import harness
from http_receiver import ForwardTest, answer, endless, good, lines_of, lost_answer, raw, refuse_lines


def poison(line):
    return '"poison":true' in line


class Retried(ForwardTest):
    def check(self, *script, says, options="", count=700):
        receiver = self.receiver(script=script)
        agent = self.forward(receiver, options)
        lines = lines_of(count)
        start = harness.time.monotonic()
        self.send_and_check(agent, receiver, lines)
        self.took_s = harness.time.monotonic() - start
        self.assertEqual(receiver.records(), lines)
        sink = agent.sink("fwd")
        self.assertRegex(sink["last_error"] or "", says)
        self.assertEqual(sink["state"], "ok")
        bounds = [r.bounds() for r in receiver.requests[:len(script) + 1]]
        self.assertEqual(bounds, [bounds[0]] * len(bounds), "the same request each time")
        return receiver

    def test_503_500_502_504_408_429(self):
        for status in ("503 Service Unavailable", "500 Internal Server Error", "502 Bad Gateway", "504 Gateway Timeout", "408 Request Timeout",
                       "429 Too Many Requests", "507 Insufficient Storage"):
            with self.subTest(status):
                self.check(answer(status, b"try  again\nlater"), says=": %s: try again later$" % status)

    def test_429_with_retry_after_in_seconds(self):
        self.check(answer(429, headers=["Retry-After: 1"]), says=": 429$", options="backoff: {min: 1ms, max: 1ms}")
        self.assertGreaterEqual(self.took_s, 1)

    def test_503_with_retry_after_as_a_date(self):
        date = email.utils.formatdate(harness.time.time() + 2, usegmt=True)  # whole seconds: 1 to 2 from now
        self.check(answer(503, headers=["Retry-After: " + date]), says=": 503$", options="backoff: {min: 1ms, max: 1ms}")
        self.assertGreaterEqual(self.took_s, 0.9)

    def test_retry_after_is_obeyed_up_to_five_minutes(self):
        for header, least, most in (("3600", 290, 300), ("120", 110, 120), ("99999999999999999999", 290, 300), ("-5", 0, 30), ("soon", 0, 30)):
            with self.subTest(header):
                receiver = self.receiver(always=answer(503, headers=["Retry-After: " + header]))
                agent = self.forward(receiver, "backoff: {min: 20s, max: 30s}")
                agent.send_plain(lines_of(3))
                status = agent.wait_status(lambda s: s["sinks"]["fwd"]["retry_in_s"], "waiting")
                self.assertLessEqual(status["sinks"]["fwd"]["retry_in_s"], most)
                self.assertGreater(status["sinks"]["fwd"]["retry_in_s"], least)
                agent.signal(signal.SIGTERM)
                self.assertEqual(agent.wait_exit(), 1)

    def test_an_answer_before_the_whole_request_was_read(self):
        """503 and the door shut while the body is still on its way."""
        def impatient(peer):
            peer.read_head()
            peer.answer("503 Busy")
        receiver = self.receiver(at_connect=[impatient])
        agent = self.forward(receiver, "batch: {bytes: 16MiB, linger: 300ms}")
        lines = [harness.log("x" * 200_000, n=n) for n in range(60)]
        self.send_and_check(agent, receiver, lines)
        self.assertEqual(receiver.records(), lines)

    def test_interim_answers_are_skipped(self):
        def interim(peer, request):
            peer.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
            return good(peer, request)
        receiver = self.receiver(script=[interim] * 2)
        agent = self.forward(receiver)
        self.send_and_check(agent, receiver, lines_of(700))
        self.assertEqual([len(r.lines()) for r in receiver.taken], [500, 200])
        self.assertIsNone(agent.sink("fwd")["last_error"])

    def test_what_counts_as_delivered(self):
        for name, data in {
            "no length, closed": b"HTTP/1.1 200 OK\r\n\r\nall of it",
            "HTTP/1.0": b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
            "204": b"HTTP/1.1 204 No Content\r\n\r\n",
            "205": b"HTTP/1.1 205 Reset Content\r\n\r\n",
            "202 in chunks": b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            "a long body, closed": b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n" + b"x" * 60000,
        }.items():
            with self.subTest(name):
                receiver = self.receiver(script=[raw(data, take=True)] * 2)
                agent = self.forward(receiver)
                lines = lines_of(700)
                self.send_and_check(agent, receiver, lines)
                self.assertEqual([len(r.lines()) for r in receiver.taken], [500, 200])
                self.assertIsNone(agent.sink("fwd")["last_error"])

    def test_a_gigabyte_of_answer_is_delivered_after_64_kib(self):
        def gigabyte(peer, request):
            peer.receiver.take(request)
            return endless(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n", b"x" * 65536)(peer, request)
        receiver = self.receiver(script=[gigabyte] * 2)
        agent = self.forward(receiver)
        lines = lines_of(700)
        self.send_and_check(agent, receiver, lines)
        self.assertEqual([len(r.lines()) for r in receiver.taken], [500, 200])
        harness.wait_for(lambda: receiver.cut_off == 2, "the connections are cut")
        with open("/proc/%d/status" % agent.pid) as f:
            peak_kib = next(int(x.split()[1]) for x in f if x.startswith("VmHWM"))
        self.assertLess(peak_kib, 120_000 if not harness.SANITIZED else 10**7)

    def test_a_gigabyte_after_503_is_a_failed_attempt(self):
        self.check(endless(b"HTTP/1.1 503 Busy\r\n\r\n", b"x" * 65536), says=": 503 Busy: x{200}$")


class Refused(ForwardTest):
    def check_one_poison(self, status, index, options=""):
        receiver = self.receiver(always=refuse_lines(poison, status))
        agent = self.forward(receiver, options)
        lines = lines_of(500)
        lines[index] = harness.log("bad", poison=True)
        with agent.connect() as connection:  # one write: one batch of 500
            connection.send(lines)
            connection.finish_plain()
        self.wait_all(agent, 499, 1)
        self.assertEqual(receiver.records(), lines[:index] + lines[index + 1:])
        self.assertEqual(len(receiver.taken), len({r.key for r in receiver.taken}))
        entries = agent.quarantine("sink.fwd")
        self.assertEqual([e["raw"] for e in entries], [lines[index]])
        self.assertEqual((entries[0]["sink"], entries[0]["reason"]), ("fwd", "refused"))
        self.assertEqual(entries[0]["answer"], "POST %s: %s: cannot take this" % (receiver.url(), status))
        self.assertGreaterEqual(entries[0]["attempts"], 1)
        self.assertEqual(agent.sink("fwd")["quarantined"], {"refused": 1})
        self.assertEqual(agent.sink("fwd")["state"], "ok")
        self.assertLessEqual(len(receiver.requests), 40)
        return receiver, entries[0]

    def test_one_poison_record_among_500(self):
        for status, index in (("400 Bad Request", 250), ("413 Content Too Large", 0), ("422 Unprocessable Content", 499), ("400 Bad Request", 77)):
            with self.subTest(status=status, index=index):
                self.check_one_poison(status, index)

    def test_the_same_with_four_in_flight(self):
        receiver = self.receiver(always=refuse_lines(poison))
        agent = self.forward(receiver, "in_flight: 4")
        lines = lines_of(2000)
        for index in (3, 700, 701, 1999):
            lines[index] = harness.log("bad", poison=True, n=index)
        with agent.connect() as connection:
            connection.send(lines)
            connection.finish_plain()
        self.wait_all(agent, 1996, 4)
        self.assertEqual(collections.Counter(receiver.records()), collections.Counter(x for x in lines if not poison(x)))
        self.assertEqual([e["raw"] for e in agent.quarantine("sink.fwd")], [x for x in lines if poison(x)])

    def test_all_records_refused(self):
        receiver = self.receiver(always=answer(400, b"never"))
        agent = self.forward(receiver, "batch: {records: 64, linger: 300ms}")
        lines = lines_of(64)
        agent.send_plain(lines)
        self.wait_all(agent, 0, 64)
        self.assertEqual([e["raw"] for e in agent.quarantine("sink.fwd")], lines)
        self.assertLessEqual(len(receiver.requests), 2 * 64)

    def test_a_failure_in_the_middle_of_splitting_keeps_what_is_done(self):
        """The halves that were taken are not sent again, and the others keep their bounds."""
        calls = []

        def sometimes_busy(peer, request):
            calls.append(request)
            if len(calls) % 3 == 0:
                peer.answer("503 Busy")
                return True
            return refuse_lines(poison)(peer, request)
        receiver = self.receiver(always=sometimes_busy)
        agent = self.forward(receiver)
        lines = lines_of(500)
        lines[313] = harness.log("bad", poison=True)
        with agent.connect() as connection:
            connection.send(lines[:499])
            connection.send(lines[499:])
            harness.wait_for(lambda: len(calls) > 5, "in the middle")
            connection.send(lines_of(300, 1000))  # come in meanwhile
            connection.finish_plain()
        self.wait_all(agent, 799, 1)
        self.assertEqual(receiver.records(), lines[:313] + lines[314:] + lines_of(300, 1000))
        self.assertEqual(len(receiver.taken), len({r.key for r in receiver.taken}), "nothing was sent twice")
        self.assertEqual(len(agent.quarantine("sink.fwd")), 1)

    def test_lost_answers_in_the_middle_of_splitting(self):
        receiver = self.receiver(always=refuse_lines(poison))
        first = []

        def behave(peer, request):
            if len(first) in (2, 4):
                first.append(0)
                return lost_answer(peer, request) if not any(map(poison, request.lines())) else raw(b"")(peer, request)
            first.append(0)
            return refuse_lines(poison)(peer, request)
        receiver.always = behave
        agent = self.forward(receiver)
        lines = lines_of(500)
        lines[100] = harness.log("bad", poison=True)
        agent.send_plain(lines)
        self.wait_all(agent, 499, 1)
        self.assertEqual(receiver.records(), lines[:100] + lines[101:])

    def test_the_answer_in_the_quarantine_is_short_and_on_one_line(self):
        receiver = self.receiver(always=answer("400 Bad", b"a\n\x00\x1b[31m" + b"y" * 100_000))
        agent = self.forward(receiver)
        agent.send_plain(lines_of(1))
        self.wait_all(agent, 0, 1)
        text = agent.quarantine("sink.fwd")[0]["answer"]
        self.assertEqual(text, "POST %s: 400 Bad: a [31m%s" % (receiver.url(), "y" * 194))


class Misconfigured(ForwardTest):
    def check(self, status, hint, headers=(), body=b"no"):
        receiver = self.receiver(always=answer(status, body, headers))
        agent = self.forward(receiver)
        lines = lines_of(600)
        agent.send_plain(lines)
        state = agent.wait_status(lambda s: s["sinks"]["fwd"]["state"] == "misconfigured", "misconfigured")
        sink = state["sinks"]["fwd"]
        self.assertEqual((sink["lag_records"], sink["delivered"], sink["quarantined"]), (600, 0, {}))
        self.assertEqual(sink["last_error"], "POST %s: %s: no (%s)" % (receiver.url(), status, hint))
        harness.assert_conserved(self, state)
        harness.wait_for(lambda: len(receiver.requests) >= 3, "it goes on trying")
        self.assertEqual(len({r.key for r in receiver.requests}), 1)
        receiver.always = good
        self.wait_all(agent, 600)
        self.assertEqual(receiver.records(), lines)
        return receiver

    def test_401_and_the_others(self):
        for status, hint in (("401 Unauthorized", "check `auth` and `headers`"), ("403 Forbidden", "these credentials may not write there"),
                             ("404 Not Found", "check the path of `url`"), ("405 Method Not Allowed", "check the path of `url`"),
                             ("415 Unsupported Media Type", "check `format`, `compress` and the Content-Type header"),
                             ("418 I'm a teapot", "no records are given up; check the sink's options against what the server wants")):
            with self.subTest(status):
                self.check(status, hint)

    def test_redirects_are_not_followed(self):
        other = self.receiver()
        for status in ("301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"):
            with self.subTest(status):
                place = other.url("/elsewhere")
                self.check(status, "redirects are not followed: it points to %s, put the right address into `url`" % place,
                           ["Location: " + place + "?token=abc"])
        self.assertEqual(other.connections, 0)

    def test_the_slow_retry_is_its_own(self):
        receiver = self.receiver(always=answer(401))
        agent = self.forward(receiver, "misconfigured_retry: 40s")
        agent.send_plain(lines_of(3))
        sink = agent.wait_status(lambda s: s["sinks"]["fwd"]["state"] == "misconfigured", "misconfigured")["sinks"]["fwd"]
        self.assertGreater(sink["retry_in_s"], 15)
        agent.signal(signal.SIGTERM)
        self.assertEqual(agent.wait_exit(), 1)
        self.assertEqual(len(receiver.requests), 1)


if __name__ == "__main__":
    harness.main()
