"""The client against an agent whose every answer the test chooses."""
import os
import resource
import signal
import struct
import threading
import unittest
from unittest import mock

import support
import weir
from support import Client, FakeAgentTest, wait_for
from weir import connection, frames
from weir.connection import Address, parse_address


def line(n):
    return {"trace_id": "t", "n": n}


def numbers(records):
    return [(seq, r["n"]) for seq, r in records]


class Answers(FakeAgentTest):
    def emit(self, client, *ns):
        for n in ns:
            client.emit("trace", line(n))

    def test_records_are_numbered_from_1_and_forgotten_when_acknowledged(self):
        agent, client = self.agent(), self.client(service="orders")
        self.emit(client, 1, 2, 3)
        hello = agent.accept()
        self.assertEqual((hello["ack"], hello["next_seq"], hello["service"], hello["client_id"]),
                         ("buffered", 1, "orders", client.client_id))
        agent.welcome()
        got = agent.read_records(3)
        self.assertEqual(got[0], (1, {"stream": "trace", "service": "orders", "trace_id": "t", "n": 1}))
        self.assertEqual(numbers(got), [(1, 1), (2, 2), (3, 3)])
        self.assertFalse(client.flush(0.01))  # nothing was acknowledged
        self.assertEqual(client.stats()["queued"], 3)
        agent.ack(3)
        self.assertTrue(client.flush(support.DEADLINE_S))
        self.assertEqual((client.stats()["queued"], client.stats()["queued_bytes"], client.stats()["acknowledged"]), (0, 0, 3))

    def test_what_was_not_acknowledged_comes_again_under_its_number(self):
        agent, client = self.agent(), self.client()
        self.emit(client, 1, 2, 3)
        agent.accept()
        agent.welcome()
        agent.read_records(3)
        agent.ack(1)
        wait_for(lambda: client.stats()["acknowledged"] == 1, "acknowledged")
        agent.sock.close()
        hello = agent.accept()
        self.assertEqual(hello["client_id"], client.client_id)
        agent.welcome(last_seq=2)
        self.assertEqual(numbers(agent.read_to(3))[-1], (3, 3))  # perhaps others of its batch: the agent recognises them
        agent.ack(3)
        self.assertTrue(client.flush(support.DEADLINE_S))

    def test_welcome_tells_of_what_was_acknowledged_in_vain(self):
        agent, client = self.agent(), self.client()
        self.emit(client, 1, 2)
        agent.accept()
        agent.welcome()
        agent.read_records(2)
        agent.sock.close()
        agent.accept()
        agent.welcome(last_seq=2)
        self.emit(client, 3)
        self.assertEqual(numbers(agent.read_records(1)), [(3, 3)])

    def test_nack_means_hello_again_after_a_moment(self):
        agent, client = self.agent(), self.client()
        self.emit(client, 1, 2)
        agent.accept()
        agent.welcome()
        agent.read_records(2)
        agent.say(frames.NACK, struct.pack("<QH", 1, 100) + b"full")
        hello = agent.accept()
        self.assertEqual(hello["next_seq"], 1)
        agent.welcome()
        self.assertEqual(numbers(agent.read_records(2)), [(1, 1), (2, 2)])
        self.assertIn("full", client.stats()["last_error"])

    def test_bye_and_error_keep_it_away_for_long(self):
        for kind, text in ((frames.BYE, b"taken_over"), (frames.ERROR, b"not_yours: of another user")):
            with self.subTest(kind=kind):
                agent, client = self.agent(), self.client()
                self.emit(client, 1)
                agent.accept()
                with self.assertLogs("weir.client", "WARNING") as said:
                    agent.say(kind, text)
                    wait_for(lambda: client.stats()["last_error"] == text.decode(), "noticed")
                self.assertIn(text.decode(), said.output[0])
                self.assertGreater(client._sender._retry_at - support.time.monotonic(), 5)
                client.close(0)
                agent.close()
                os.unlink(self.path)

    def test_a_refused_record_is_counted_with_its_reason(self):
        agent, client = self.agent(), self.client()
        self.emit(client, 1)
        agent.accept()
        agent.welcome()
        agent.read_records(1)
        with self.assertLogs("weir.client", "WARNING"):
            agent.say(frames.REJECT, struct.pack("<QH", 1, 10) + b"at byte 3: no")
            agent.ack(1)
            self.assertTrue(client.flush(support.DEADLINE_S))
        self.assertEqual(client.stats()["rejected"], {"bad_field": 1})

    def test_drops_are_said_once_and_again_only_if_nobody_can_know_that_they_were_read(self):
        agent, client = self.agent(), self.client(queue_records_max=2)
        accepted = sum(client.put(b'{"n":%d}' % n, 8) for n in range(10))
        dropped = client.dropped()["queue_full"]
        self.assertEqual((accepted + dropped, accepted >= 2), (10, True))
        agent.accept()
        agent.welcome()
        for again in (False, True):
            kind, payload = agent.read()
            self.assertEqual((kind, struct.unpack("<Q", payload[:8])[0], payload[8:]),
                             (frames.DROPS, dropped, b"in all: queue_full %d" % dropped))
            kind, payload = agent.read()
            self.assertEqual(kind, frames.SYNC)
            if not again:
                agent.sock.close()
                agent.accept()
                agent.welcome()
        agent.say(frames.SYNC, payload)
        agent.read_records(accepted)
        agent.ack(accepted)
        self.assertTrue(client.flush(support.DEADLINE_S))
        self.assertEqual(client._sender._drops_reported, dropped)
        client.close()
        self.assertEqual(agent.read()[0], frames.BYE)  # and no second DROPS before it

    def test_a_record_beyond_the_agents_limit_is_dropped_here_and_costs_no_other(self):
        agent, client = self.agent(), self.client()
        client._wake()
        agent.accept()
        agent.welcome(record_bytes_max=1000)
        self.assertTrue(client.wait_connected(support.DEADLINE_S))
        client.emit("trace", {str(n): n for n in range(1000)})
        self.emit(client, 2)
        said = [agent.read() for _ in range(3)]  # in any order: both may have been taken in one cycle or in two
        self.assertEqual(sorted(kind for kind, _ in said), [frames.REC_JSON, frames.DROPS, frames.SYNC])
        self.assertIn(struct.pack("<Q", 1) + b'{"stream":"trace","trace_id":"t","n":2}\n', [payload for _, payload in said])
        self.assertEqual(client.dropped()["too_long"], 1)

    def test_a_long_record_is_shortened_and_says_so(self):
        for mode in ("background", "direct"):
            with self.subTest(mode=mode):
                agent, client = self.agent(), self.client(mode=mode)
                client._wake()
                agent.accept()
                agent.welcome(record_bytes_max=1000)
                self.assertTrue(client.wait_connected(support.DEADLINE_S))
                client.emit("trace", {"n": 1, "ctx": {"long": "x" * 100_000, "short": "y"}})
                client.log("info", "z" * 100_000)
                (_, trace), (_, log) = agent.read_records(2)
                self.assertEqual((trace["n"], trace["ctx"]["short"], trace["shortened"], log["shortened"]), (1, "y", True, True))
                self.assertRegex(trace["ctx"]["long"], r"^x{100,}\.\.\.\(truncated\)$")
                client.close(0.0)
                agent.close()
                os.remove(self.path)

    def test_a_record_from_before_the_limit_was_known_is_shortened_too(self):
        client = self.client()
        for n in range(3):
            client.emit("trace", {"n": n, "pad": "x" * 100_000})
        support.wait_for(lambda: client._sender.window.records == 3, "taken")
        agent = self.agent()
        agent.accept()
        agent.welcome(record_bytes_max=10_000)
        records = agent.read_records(3)
        self.assertEqual([(seq, r["n"], r["shortened"]) for seq, r in records], [(1, 0, True), (2, 1, True), (3, 2, True)])
        agent.ack(3)
        support.wait_for(lambda: client.stats()["acknowledged"] == 3, "acknowledged")
        self.assertEqual(client.stats()["queued_bytes"], 0)

    def test_large_records_go_in_frames_that_fit(self):
        agent, client = self.agent(), self.client()
        client.put(b'{"n":0}', 7)
        for n in range(1, 10):
            client.emit("trace", {"n": n, "pad": "x" * (250_000 if n % 3 == 0 else 30_000)})
        agent.accept()
        agent.welcome()
        self.assertEqual([r["n"] for _, r in agent.read_records(10)], list(range(10)))

    def test_the_policy_of_welcome_and_one_pushed_later(self):
        agent, client = self.agent(), self.client()
        client._wake()
        agent.accept()
        agent.welcome(policy={"trace": {"context_diff": "whitelist", "whitelist": ["a"]}, "log": {"enabled": False}})
        self.assertTrue(client.wait_connected(support.DEADLINE_S))
        client.log("info", "not wanted")
        client.emit("trace", {"n": 1, "ctx": {"a": 1, "b": 2}})
        self.assertEqual(agent.read_records(1)[0][1]["ctx"], {"a": 1})
        self.assertEqual(client.stats()["disabled"], 1)
        agent.say(frames.POLICY, b'{"trace":{"context_diff":"full"}}')
        wait_for(lambda: client.policy.log, "the new policy")
        client.emit("trace", {"n": 2, "ctx": {"a": 1, "b": 2}})
        self.assertEqual(agent.read_records(1)[0][1]["ctx"], {"a": 1, "b": 2})

    def test_a_named_client_goes_on_where_the_agent_says(self):
        agent, client = self.agent(), self.client(client_id="orders-7")
        self.emit(client, 1)
        hello = agent.accept()
        self.assertEqual((hello["client_id"], "next_seq" in hello), ("orders-7", False))
        agent.welcome(last_seq=41)
        self.assertEqual(numbers(agent.read_records(1)), [(42, 1)])
        agent.sock.close()
        self.assertEqual(agent.accept()["next_seq"], 42)

    def test_something_that_is_no_agent_costs_nothing_but_the_connection(self):
        agent, client = self.agent(), self.client()
        self.emit(client, 1)
        sock, _ = agent.listener.accept()
        sock.sendall(b"HTTP/1.1 400 Bad Request\r\n")
        wait_for(lambda: "not an agent" in (client.stats()["last_error"] or ""), "noticed")
        sock.close()
        self.assertEqual(client.stats()["queued"], 1)

    def test_a_program_with_more_than_a_thousand_descriptors(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard != resource.RLIM_INFINITY and hard < 2000:
            self.skipTest("no more than %d descriptors here" % hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (2000 if hard == resource.RLIM_INFINITY else min(hard, 2000), hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        agent = self.agent()
        for _ in range(1100):
            self.addCleanup(os.close, os.dup(0))
        client = self.client()
        self.emit(client, 1)
        agent.accept()
        agent.welcome()
        agent.read_records(1)
        self.assertGreater(client._sender.connection.fileno(), 1023)
        agent.ack(1)
        self.assertTrue(client.flush(support.DEADLINE_S), client.stats())

    def test_flushes_that_nobody_waits_for_any_more_are_forgotten(self):
        client = self.client()
        for _ in range(20):
            client.flush(0.001)
        wait_for(lambda: not client.queue and len(client._sender._waiting) <= 1, "forgotten")

    def test_a_fault_of_the_clients_own_does_not_end_its_thread(self):
        agent, client = self.agent(), self.client()
        real, faults = client.set_room, [RuntimeError("a bug")]

        def once(*args):
            if faults:
                raise faults.pop()
            real(*args)
        with mock.patch.object(client, "set_room", once), self.assertLogs("weir.client", "ERROR") as said:
            self.emit(client, 1)
            wait_for(lambda: not faults, "it happened")
            wait_for(lambda: "a bug" in (client.stats()["last_error"] or ""), "noticed")
            agent.listener.accept()[0].close()  # the connection of that moment
            agent.accept()
        self.assertEqual(len(said.output), 1)
        agent.welcome()
        self.assertEqual(numbers(agent.read_records(1)), [(1, 1)])


class Bounds(FakeAgentTest):
    def offered(self, client):
        s = client.stats()
        return s["acknowledged"] + s["queued"] + sum(s["dropped"].values())

    def test_without_an_agent_the_queue_is_bounded_by_records_and_nothing_is_uncounted(self):
        client = self.client(queue_records_max=100)
        for n in range(1000):
            client.emit("trace", line(n))
        stats = client.stats()
        self.assertLessEqual(stats["queued"], 200)
        self.assertEqual(self.offered(client), 1000)
        self.assertGreaterEqual(stats["dropped"]["queue_full"], 800)

    def test_without_an_agent_the_queue_is_bounded_by_bytes(self):
        client = self.client(queue_bytes_max=1 << 20)
        for n in range(200):
            client.emit("trace", {"n": n, "pad": "x" * 50_000})
            client.log("info", "y" * 50_000)
        self.assertLess(client.stats()["queued_bytes"], 3 << 20)
        self.assertEqual(self.offered(client), 400)

    def test_drops_of_many_threads_are_counted_exactly(self):
        client = self.client(queue_records_max=50)
        threads = [threading.Thread(target=lambda: [client.log("info", "x") for _ in range(5000)]) for _ in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(self.offered(client), 20_000)

    def test_a_signal_handler_may_log_at_any_moment(self):
        client = self.client(mode="direct", queue_records_max=50)
        agent = self.agent()
        client._wake()
        agent.accept()
        agent.welcome()
        self.assertTrue(client.wait_connected(support.DEADLINE_S))
        handled = []

        def handler(*_):
            client.log("info", "from the handler")
            handled.append(1)
        self.addCleanup(signal.signal, signal.SIGALRM, signal.signal(signal.SIGALRM, handler))
        signal.setitimer(signal.ITIMER_REAL, 0.003, 0.003)  # seldomer than one of them waits, else they could pile up
        count = 0
        while len(handled) < 20:
            client.log("info", "x")
            count += 1
        signal.setitimer(signal.ITIMER_REAL, 0)
        self.assertEqual(self.offered(client), count + len(handled))

    def test_nothing_a_program_hands_over_is_raised(self):
        client = self.client()
        for record in (None, 5, "x", object(), {"ctx": object()}, {object(): object()}):
            client.emit("trace", record)
        client.log(5, "level is no text")
        client.log("info", object())
        client.log("info", "x", a=object(), b={1: {2: 3}})
        self.assertEqual(self.offered(client), 9)

    def test_closing_without_an_agent_does_not_wait_and_what_comes_later_is_counted(self):
        client = self.client()
        client.log("info", "x")
        begin = support.time.monotonic()
        self.assertFalse(client.close(10))
        self.assertLess(support.time.monotonic() - begin, 5)
        client.log("info", "late")
        dropped = client.dropped()
        self.assertEqual((dropped["unfinished"], dropped["closed"]), (1, 1))
        self.assertTrue(client.close())
        self.assertFalse(client.flush())

    def test_a_thread_that_cannot_be_started_is_tried_again(self):
        agent, client = self.agent(), self.client()
        with mock.patch("threading.Thread.start", side_effect=RuntimeError("can't start new thread")):
            client.log("info", "a")
        client.log("info", "b")
        agent.accept()
        agent.welcome()
        self.assertEqual([r["message"] for _, r in agent.read_records(2)], ["a", "b"])

    def test_members_every_record_has_are_not_there_twice(self):
        client = support.KeepingClient(service="orders", resource={"host": "h"})
        client.emit("trace", {"n": 1})
        client.emit("trace", {"stream": "trace", "service": "own", "n": 2})
        client.emit("trace", {"resource": {}, "n": 3})
        client.emit("trace", {"stream": "trace", "service": "own", "resource": {}})
        client.emit("telemetry", {})
        self.assertEqual(client.records(), [
            {"stream": "trace", "service": "orders", "resource": {"host": "h"}, "n": 1},
            {"resource": {"host": "h"}, "stream": "trace", "service": "own", "n": 2},
            {"stream": "trace", "service": "orders", "resource": {}, "n": 3},
            {"stream": "trace", "service": "own", "resource": {}},
            {"stream": "telemetry", "service": "orders", "resource": {"host": "h"}}])


class Addresses(unittest.TestCase):
    def test_forms(self):
        for text, expected in (("unix:/a/b", ("unix", "/a/b", 0)), ("/a", ("unix", "/a", 0)), ("./a", ("unix", "./a", 0)),
                               ("tcp:h:1", ("tcp", "h", 1)), ("tcp:[::1]:4320", ("tcp", "::1", 4320))):
            self.assertEqual(parse_address(text), expected)
        for text in ("", "unix:", "tcp:h", "tcp::1", "tcp:h:0", "tcp:h:70000", "tcp:h:x", "h:1", b"unix:/x", 5, "/a\0", "/\ud800"):
            with self.assertRaises(ValueError, msg=text):
                parse_address(text)
        for url in ("http://h:1", "unix:///run/weir.sock", "tcp://h:1"):
            with self.assertRaisesRegex(ValueError, "URL: unix:PATH, tcp:HOST:PORT or a path"):
                parse_address(url)

    def test_the_environment_and_the_default_place(self):
        def place(uid=1000, **env):
            with mock.patch.dict(os.environ, env, clear=True), mock.patch("os.geteuid", return_value=uid):
                return connection.default_address()
        self.assertEqual(place(WEIR_ADDRESS="tcp:h:1", WEIR_SOCKET="/s"), Address("tcp", "h", 1))
        self.assertEqual(place(WEIR_SOCKET="s"), Address("unix", "s"))
        self.assertEqual(place(0, XDG_RUNTIME_DIR="/x"), Address("unix", "/run/weir/weir.sock"))
        self.assertEqual(place(XDG_RUNTIME_DIR="/x"), Address("unix", "/x/weir/weir.sock"))
        self.assertIsNone(place())

    def test_arguments_that_make_no_sense_are_said_at_once(self):
        for bad in ({"ack": "maybe"}, {"mode": "fast"}, {"client_id": ""}, {"client_id": 5}, {"client_id": "\ud800"}, {"service": 3},
                    {"service": b"x"}, {"service": "x\ud800"}, {"resource": 5}, {"queue_records_max": 0}, {"linger_ms": "a"},
                    {"exit_timeout_s": -1}, {"metrics_interval_s": float("nan")}, {"address": "nowhere"}, {"address": b""}):
            with self.assertRaises(ValueError, msg=bad):
                weir.connect(**{"address": "unix:/nowhere", "default": False, **bad})

    def test_an_environment_that_makes_no_sense_does_not_stop_a_program(self):
        for use in (lambda: weir.log("info", "x"), lambda: weir.connect(service="x"), lambda: weir.connect(mode="direct")):
            with mock.patch.dict(os.environ, {"WEIR_ADDRESS": "http://nonsense"}), mock.patch("weir.client._default", None), \
                    self.assertLogs("weir.client", "ERROR") as said:
                use()
                weir.log("info", "x")
            self.assertEqual(len(said.output), 1)
            self.assertIn("$WEIR_ADDRESS: 'http://nonsense' is no address", said.output[0])


class NoAgent(FakeAgentTest):
    def test_it_is_said_once_and_not_at_all_after_a_restart(self):
        with self.assertLogs("weir.client", "WARNING") as said:
            client = self.client()
            client.log("info", "x")
            support.wait_for(lambda: client._sender._backoff_s > 0.3, "tried several times")
        self.assertEqual(len(said.output), 1)
        self.assertRegex(said.output[0], r"no agent at unix:%s: .*No such file.*; start it \(`weir agent`\) or set \$WEIR_ADDRESS; " % self.path)

    def test_a_host_that_can_be_none(self):
        with self.assertLogs("weir.client", "WARNING") as said:
            client = Client(Address("tcp", "a" * 70 + ".example", 1))
            self.addCleanup(client.close, 0.0)
            client._wake()
            support.wait_for(lambda: client.stats()["last_error"], "tried")
        self.assertNotIn("internal error", "".join(said.output))


if __name__ == "__main__":
    unittest.main()
