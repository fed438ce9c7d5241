"""The `http` sink against a receiver whose connections fail in every way: nothing lost, nothing doubled for who looks at keys."""
import contextlib
import os
import signal
import socket
import threading

import harness
from http_receiver import ForwardTest, answer, endless, good, lines_of, lost_answer, raw, stall


SOON = "timeout: 1s"  # for what is about waiting too long; all others wait for a busy machine, too


def reset(peer, _=None):
    peer.reset()
    return False


def half_close(peer, _):
    """Ends its half without a word, and reads on."""
    peer.sock.shutdown(socket.SHUT_WR)
    peer.until_closed()
    return False


def hang_up(peer, _):
    return False


class Faults(ForwardTest):
    def check(self, *script, says, options="", at_connect=(), lines=None):
        """Each fault in turn, then a good receiver. `says`: what last_error holds."""
        receiver = self.receiver(script=script, at_connect=at_connect)
        agent = self.forward(receiver, options)
        lines = lines or lines_of(700)
        self.send_and_check(agent, receiver, lines)
        self.assertEqual(receiver.records(), lines)
        sink = agent.sink("fwd")
        self.assertEqual(sink["state"], "ok")
        self.assertRegex(sink["last_error"], says)
        self.assertTrue(sink["last_error"].startswith("POST http://127.0.0.1:%d/in: " % receiver.port), sink["last_error"])
        return receiver

    def black_hole(self):
        """An address whose queue is full: no SYN is answered."""
        full = socket.socket()
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        sockets = [full] + [socket.socket() for _ in range(3)]
        for sock in sockets:
            self.addCleanup(sock.close)
        for filler in sockets[1:]:
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        return "127.0.0.1:%d" % full.getsockname()[1]

    def test_refused_connections(self):
        receiver = self.receiver()
        receiver.close()
        agent = self.forward(receiver)
        lines = lines_of(600)
        agent.send_plain(lines)
        status = agent.wait_status(lambda s: s["sinks"]["fwd"]["state"] == "retrying", "retrying")
        self.assertIn("Connection refused", status["sinks"]["fwd"]["last_error"])
        self.assertEqual(status["sinks"]["fwd"]["lag_records"], 600)
        harness.assert_conserved(self, status)
        receiver.listen()
        self.wait_all(agent, 600)
        self.assertEqual(receiver.records(), lines)

    def test_resets(self):
        self.check(reset, says="reset")

    def test_reset_on_connecting(self):
        self.check(at_connect=[reset, reset], says="reset|closed|Broken pipe")

    def test_hangs_up_without_an_answer(self):
        self.check(hang_up, hang_up, says="closed before an answer came")

    def test_half_closes(self):
        self.check(half_close, says="closed before an answer came")

    def test_stalls_instead_of_an_answer(self):
        self.check(stall(), options=SOON, says="waiting for an answer took longer than timeout")

    def test_stalls_in_the_headers(self):
        self.check(stall(b"HTTP/1.1 200 OK\r\nContent-Le"), options=SOON, says="reading the answer took longer than timeout")

    def test_stalls_in_the_body(self):
        self.check(stall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345"), options=SOON, says="reading the answer took longer")

    def test_stalls_while_the_request_is_sent(self):
        big = [harness.log("x" * 200_000, n=n) for n in range(40)]

        def take_nothing(peer):
            peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            with contextlib.suppress(OSError):
                peer.receiver.stop_reading.wait(harness.DEADLINE_S)
        receiver = self.receiver(at_connect=[take_nothing])
        receiver.stop_reading = threading.Event()
        self.addCleanup(receiver.stop_reading.set)
        agent = self.forward(receiver, SOON + ", batch: {bytes: 8MiB, linger: 200ms}")
        self.send_and_check(agent, receiver, big)
        self.assertEqual(receiver.records(), big)
        self.assertIn("sending the request took longer than timeout", agent.sink("fwd")["last_error"])

    def test_an_answer_cut_short(self):
        self.check(raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345", take=True), says="in the middle of the answer")

    def test_an_answer_in_chunks_cut_short(self):
        self.check(raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n123", take=True), says="in the middle of the answer")

    def test_answers_lost_with_the_connection_are_the_same_request_again(self):
        receiver = self.check(lost_answer, lost_answer, says="reset|closed")
        self.assertEqual(receiver.taken[0].key, receiver.taken[2].key)
        self.assertEqual(receiver.taken[0].raw_body, receiver.taken[2].raw_body)

    def test_an_answer_that_comes_late_is_never_taken_for_the_next_one(self):
        """The first connection says 200 after the agent has given up on it; the second one is the one that counts."""
        def late(peer, _):
            peer.until_closed()
            with contextlib.suppress(OSError):
                peer.answer("200 OK")
            return False
        receiver = self.check(late, late, options=SOON, says="waiting for an answer took longer")
        self.assertEqual(len(receiver.taken), 2)

    def test_an_answer_too_many_is_not_the_next_ones(self):
        """200 twice: the second is unasked, so its connection is not used again."""
        def twice(peer, request):
            peer.receiver.take(request)
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" * 2)
            with contextlib.suppress(EOFError, OSError):
                peer.read_request()
                peer.receiver.errors.append("a connection with a surplus answer was used again")
            return False
        receiver = self.receiver(script=[twice, twice])
        agent = self.forward(receiver)
        lines = lines_of(1700)
        self.send_and_check(agent, receiver, lines)
        self.assertEqual(receiver.records(), lines)
        self.assertGreaterEqual(receiver.connections, 3)

    def test_garbage_instead_of_http(self):
        self.check(raw(b"SSH-2.0-OpenSSH_9.2\r\n"), says="it is not HTTP")

    def test_endless_headers(self):
        receiver = self.check(endless(b"HTTP/1.1 200 OK\r\n", b"X-Pad: " + b"a" * 1000 + b"\r\n"), says="headers are longer than 64 KiB")
        harness.wait_for(lambda: receiver.cut_off == 1, "the connection is cut")

    def test_an_endless_header_line(self):
        self.check(endless(b"HTTP/1.1 200 OK\r\nX-Pad: ", b"a" * 5000), says="headers are longer than 64 KiB")

    def test_endless_interim_answers(self):
        self.check(endless(b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"), says="headers are longer than 64 KiB")

    def test_an_endless_chunk_header(self):
        self.check(endless(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;", b"x=y;" * 2000), says="it is not HTTP")

    def test_the_stop_waits_for_no_timeout(self):
        for number, fault in enumerate([stall(), stall(b"HTTP/1.1 200 OK\r\nX"), answer(503, headers=["Retry-After: 60"]), answer(401)]):
            with self.subTest(number):
                receiver = self.receiver(always=fault)
                agent = self.forward(receiver, "timeout: 60s, backoff: {min: 60s, max: 60s}, misconfigured_retry: 60s")
                agent.send_plain(lines_of(3))
                harness.wait_for(lambda: receiver.requests, "a request under way")
                with self.subTest("reload"):  # which has to stop the old sink
                    self.write_config(self.config(receiver.url(), "timeout: 61s, backoff: {min: 60s, max: 60s}, misconfigured_retry: 60s"))
                    start = harness.time.monotonic()
                    code, _, body = agent.http("POST", "/v1/reload", {})
                    self.assertEqual(code, 200, body)
                    self.assertLess(harness.time.monotonic() - start, 20)
                harness.assert_conserved(self, agent.status())
                start = harness.time.monotonic()
                agent.signal(signal.SIGTERM)
                self.assertEqual(agent.wait_exit(), 1)  # drain_timeout, then it says what stays behind
                self.assertLess(harness.time.monotonic() - start, 20)
                self.assertIn("3 records stay behind", agent.stderr())

    def test_the_stop_waits_for_no_connection_either(self):
        """A full queue answers no SYN; a server that says nothing in the handshake; a proxy that says nothing."""
        hole = self.black_hole()
        silent = self.receiver(at_connect=[lambda peer: peer.until_closed()] * 10)
        for url, env in (("http://%s/" % hole, {}), ("https://127.0.0.1:%d/" % silent.port, {}), ("https://h.invalid/", {"https_proxy": "http://127.0.0.1:%d" % silent.port})):
            with self.subTest(url):
                agent = self.forward(None, "connect_timeout: 60s", url=url, env=env)
                before = silent.connections
                agent.send_plain(lines_of(3))
                if hole not in url:
                    harness.wait_for(lambda: silent.connections > before, "connected")
                start = harness.time.monotonic()
                agent.signal(signal.SIGTERM)
                self.assertEqual(agent.wait_exit(), 1)
                self.assertLess(harness.time.monotonic() - start, 20)

    def test_connecting_has_a_limit_and_a_silent_address_costs_no_more(self):
        hole = self.black_hole()
        agent = self.forward(None, "connect_timeout: 200ms", url="http://%s/" % hole)
        agent.send_plain(lines_of(3))
        status = agent.wait_status(lambda s: s["sinks"]["fwd"]["last_error"], "an error")
        self.assertIn("Connection timed out", status["sinks"]["fwd"]["last_error"])
        agent.stop(exit_code=1)

    def test_a_stop_waits_a_moment_for_an_answer_that_is_under_way(self):
        answer_now = threading.Event()

        def hold(peer, request):
            answer_now.wait(harness.DEADLINE_S)
            return good(peer, request)
        receiver = self.receiver(script=[hold])
        agent = self.forward(receiver, "timeout: 20s")
        agent.send_plain(lines_of(3))
        harness.wait_for(lambda: receiver.requests, "under way")
        agent.signal(signal.SIGTERM)
        harness.wait_for(lambda: not os.path.exists(self.path("in.sock")), "stopping")
        answer_now.set()
        self.assertEqual(agent.wait_exit(), 0)
        self.assertEqual([r.bounds() for r in receiver.taken], [(1, 3)])

    def test_a_name_that_cannot_be_looked_up(self):
        agent = self.forward(None, url="http://no-such-host.invalid/in")
        agent.send_plain(lines_of(3))
        status = agent.wait_status(lambda s: s["sinks"]["fwd"]["state"] == "retrying", "retrying")
        self.assertRegex(status["sinks"]["fwd"]["last_error"], "(cannot look up|looking up) no-such-host.invalid")
        agent.signal(signal.SIGTERM)
        self.assertEqual(agent.wait_exit(), 1)


if __name__ == "__main__":
    harness.main()
