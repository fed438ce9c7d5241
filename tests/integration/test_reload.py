"""Reload: everything new is built beside what runs, then swapped; a bad file changes nothing. And the orderly stop."""
import http.client
import json
import os
import signal
import socket
import subprocess
import threading
import unittest

import harness
import http_receiver
from harness import log

ONE = """
streams: {log: {sinks: [keep, moved]}}
sinks:
  keep: {type: jsonl, path: "@/keep.jsonl"}
  moved: {type: jsonl, path: "@/a.jsonl"}
"""
TWO = ONE.replace("@/a.jsonl", "@/b.jsonl")


class Load:
    """A producer that sends numbered records on one connection until it is told to stop."""

    def __init__(self, agent, batch=50):
        self.connection, self.batch, self.sent = agent.connect(), batch, 0
        self.enough = threading.Event()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        while not self.enough.is_set():
            self.connection.send([log("m", n=n) for n in range(self.sent, self.sent + self.batch)])
            self.sent += self.batch

    def wait_more(self):
        """Until more records have gone out than now."""
        target = self.sent + 10 * self.batch
        harness.wait_for(lambda: self.sent >= target, "the load goes on")

    def finish(self):
        self.enough.set()
        self.thread.join()
        self.connection.finish_plain()
        self.connection.sock.close()
        return self.sent


class Reload(harness.AgentTest):
    def numbers(self, agent, *names):
        return [r["n"] for name in names for r in agent.records(name)]

    def reload(self, *args, code=0):
        done = self.weir("reload", *args)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done

    def test_a_changed_sink_goes_on_from_its_cursor_under_load(self):
        agent = self.start(ONE)
        load = Load(agent)
        load.wait_more()
        for text in (TWO, ONE, TWO):
            self.write_config(text)
            self.reload()
            load.wait_more()
        count = load.finish()
        agent.wait_delivered("keep", count)
        agent.wait_delivered("moved", count)
        self.assertEqual(self.numbers(agent, "keep.jsonl"), list(range(count)), "an unchanged sink notices nothing")
        everything = self.numbers(agent, "a.jsonl", "b.jsonl")
        self.assertEqual(len(everything), count, "nothing lost, nothing twice")
        self.assertEqual(sorted(everything), list(range(count)))
        for name in ("a.jsonl", "b.jsonl"):
            numbers = self.numbers(agent, name)
            self.assertTrue(numbers)
            self.assertEqual(numbers, sorted(numbers))
        status = agent.status()
        self.assertEqual((status["sinks"]["moved"]["delivered"], status["generation"]), (count, 4))

    def test_sighup_does_the_same(self):
        agent = self.start(ONE)
        load = Load(agent)
        load.wait_more()
        self.write_config(TWO)
        agent.signal(signal.SIGHUP)
        agent.wait_status(lambda s: s["generation"] == 2, "a new generation")
        load.wait_more()
        count = load.finish()
        agent.wait_delivered("moved", count)
        self.assertEqual(self.numbers(agent, "a.jsonl", "b.jsonl"), list(range(count)))
        self.assertEqual(agent.status()["last_reload"]["result"], "applied")

    def test_a_bad_file_changes_nothing(self):
        agent = self.start(ONE)
        load = Load(agent)
        load.wait_more()
        before = agent.status()
        self.write_config(TWO.replace("type: jsonl", "type: jsonk", 1) + "jornal: {}\n")
        done = self.reload(code=78)
        said = done.stdout + done.stderr
        for words in ("sinks.keep.type", "jornal", "did you mean"):
            self.assertIn(words, said)
        after = agent.status()
        self.assertEqual(after["generation"], before["generation"])
        self.assertEqual(after["config_hash"], before["config_hash"])
        self.assertEqual(after["last_reload"]["result"], "refused")
        self.assertEqual(len(after["last_reload"]["errors"]), 2)
        agent.signal(signal.SIGHUP)
        agent.wait_status(lambda s: s["last_reload"]["time"] != after["last_reload"]["time"], "the SIGHUP was answered too")
        self.assertEqual(agent.status()["generation"], before["generation"])
        load.wait_more()
        count = load.finish()
        agent.wait_delivered("moved", count)
        self.assertEqual(self.numbers(agent, "a.jsonl"), list(range(count)))
        self.assertFalse(os.path.exists(self.path("b.jsonl")))
        self.write_config(TWO)
        self.reload()
        self.assertEqual(agent.status()["last_reload"]["errors"], [])

    def test_a_bad_place_refuses_the_whole_of_it(self):
        agent = self.start(ONE)
        os.mkdir(self.path("taken.sock"))
        self.write_config(TWO + 'listen: {local: {type: unix, path: "@/in.sock"}, more: {type: unix, path: "@/taken.sock"}}\n')
        done = self.reload(code=1)
        self.assertIn("taken.sock", done.stdout + done.stderr)
        self.assertEqual(agent.status()["generation"], 1)
        agent.send_plain([log("x", n=0)])
        agent.wait_delivered("moved", 1)
        self.assertEqual(self.numbers(agent, "a.jsonl"), [0])
        self.assertTrue(os.path.isdir(self.path("taken.sock")))

    def test_unchanged_is_said(self):
        agent = self.start(ONE)
        code, _, body = agent.http("POST", "/v1/reload", {})
        answer = json.loads(body)
        self.assertEqual((code, answer["result"], answer["generation"], answer["errors"]), (200, "unchanged", 1, []))
        self.write_config("# another comment\n" + ONE)
        self.reload()
        self.assertEqual(agent.status()["generation"], 1)
        self.write_config(TWO)
        code, _, body = agent.http("POST", "/v1/reload", {"drain": False, "drop_lag": False, "require_reachable": False})
        answer = json.loads(body)
        self.assertEqual((answer["result"], answer["generation"]), ("applied", 2))
        self.assertEqual(set(answer), {"generation", "result", "config_hash", "errors", "components"})
        self.assertIn("moved", " ".join(answer["components"]))
        for component in answer["components"].values():
            self.assertTrue({"action", "result", "message"} <= set(component))

    def test_listeners_come_and_go_and_others_keep_their_connections(self):
        agent = self.start(ONE.replace("streams", 'listen: {local: {type: unix, path: "@/in.sock"}}\nstreams'))
        held = agent.connect()
        held.send([log("m", n=0)])
        self.write_config(ONE + 'listen: {local: {type: unix, path: "@/in.sock"}, second: {type: unix, path: "@/second.sock"}, '
                                'net: {type: tcp, bind: "127.0.0.1:0"}}\n')
        self.reload()
        sources = agent.status()["sources"]
        self.assertEqual(set(sources), {"local", "second", "net"})
        second = socket.socket(socket.AF_UNIX)
        second.connect(self.path("second.sock"))
        with harness.Connection(second) as c:
            c.send([log("m", n=1)])
            c.finish_plain()
        held.send([log("m", n=2)])
        agent.wait_delivered("moved", 3)
        self.write_config(ONE + 'listen: {local: {type: unix, path: "@/in.sock"}}\n')
        self.reload()
        self.assertEqual(set(agent.status()["sources"]), {"local"})
        self.assertFalse(os.path.exists(self.path("second.sock")))
        held.send([log("m", n=3)])
        held.finish_plain()
        agent.wait_delivered("moved", 4)
        self.assertEqual(self.numbers(agent, "a.jsonl"), [0, 1, 2, 3])

    def test_another_kind_of_listener_takes_over_the_address(self):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        text = 'listen: {local: {type: unix, path: "@/in.sock"}, net: {type: %%s, bind: "127.0.0.1:%d"}}\n' % port + ONE
        agent = self.start(text % "tcp")
        agent.send_plain([log("m", n=0)], "net")
        self.write_config(text % "http")
        planned = json.loads(self.weir("plan", "-o", "json").stdout)["components"]["listen.net"]
        self.assertEqual((planned["action"], planned["result"]), ("change", "ok"))
        self.reload()
        self.assertEqual(agent.status()["sources"]["net"]["address"], "http:127.0.0.1:%d" % port)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=harness.DEADLINE_S)
        connection.request("POST", "/", body=log("m", n=1) + "\n")
        self.assertEqual(connection.getresponse().status, 200)
        connection.close()
        self.write_config(text % "tcp")
        self.reload()
        agent.send_plain([log("m", n=2)], "net")
        agent.wait_delivered("keep", 3)
        self.assertEqual(self.numbers(agent, "keep.jsonl"), [0, 1, 2])

    def test_a_removed_stream_route_stops_only_that(self):
        agent = self.start(ONE)
        agent.send_plain([log("m", n=0)])
        agent.wait_delivered("moved", 1)
        self.write_config(ONE.replace("[keep, moved]", "[keep]").replace('  moved: {type: jsonl, path: "@/a.jsonl"}\n', ""))
        self.reload()
        agent.send_plain([log("m", n=1)])
        agent.wait_delivered("keep", 2)
        status = agent.status()
        self.assertEqual(set(status["sinks"]), {"keep"})
        self.assertEqual((self.numbers(agent, "keep.jsonl"), self.numbers(agent, "a.jsonl")), ([0, 1], [0]))

    def test_a_sink_with_lag_is_not_removed_unless_told(self):
        read_end, write_end = os.pipe()
        stuck = ONE.replace("moved: {type: jsonl, path: \"@/a.jsonl\"}", "moved: {type: stdout, format: json}")
        agent = self.spawn(["--config", self.write_config(stuck)], stdout=write_end)
        os.close(write_end)
        agent.wait_ready()
        agent.send_plain([log("x" * 1000, n=n) for n in range(500)])  # more than the pipe holds, and nobody reads
        agent.wait_delivered("keep", 500)
        self.assertGreater(agent.sink("moved")["lag_records"], 0)
        without = ONE.replace("[keep, moved]", "[keep]").replace('  moved: {type: jsonl, path: "@/a.jsonl"}\n', "")
        self.write_config(without)
        done = self.reload(code=1)
        self.assertIn("moved", done.stdout + done.stderr)
        self.assertEqual(agent.status()["generation"], 1)
        self.reload("--drop-lag")
        self.assertEqual(set(agent.status()["sinks"]), {"keep"})
        os.close(read_end)

    def test_policy_is_pushed_when_the_whitelist_changes(self):
        text = 'streams: {trace: {context_diff: {mode: whitelist, whitelist: [%s]}}, log: {sinks: [out]}}\nsinks: {out: {type: jsonl, path: "@/out.jsonl"}}\n'
        agent = self.start(text % "a")
        with agent.connect() as numbered, agent.connect() as plain:
            welcome = numbered.hello(client_id="x", next_seq=1)
            self.assertEqual(welcome["policy"]["trace"], {"context_diff": "whitelist", "whitelist": ["a"]})
            plain.send([log("plain")])
            agent.wait_delivered("out", 1)
            self.write_config(text % "a, b.c")
            self.reload()
            pushed = numbered.read_until("policy")[-1]
            said = pushed.get("policy", pushed)
            self.assertEqual(said["trace"], {"context_diff": "whitelist", "whitelist": ["a", "b.c"]})
            numbered.send([log("still numbered")])
            self.assertEqual(numbered.read_to_ack(1)[-1], {"weir": "ack", "seq": 1})
            plain.finish_plain()

    def test_a_disabled_stream_can_be_enabled(self):
        text = 'streams: {log: {enabled: %s, sinks: [out]}}\nsinks: {out: {type: jsonl, path: "@/out.jsonl"}}\n'
        agent = self.start(text % "false")
        with agent.connect() as c:
            c.hello(client_id="x", next_seq=1)
            c.send([log("unheard")])
            c.read_to_ack(1)
            self.write_config(text % "true")
            self.reload()
            c.send([log("heard")])
            c.read_to_ack(2)
        agent.wait_delivered("out", 1)
        self.assertEqual(agent.lines(), [log("heard")])

    def test_every_caller_gets_an_answer_and_all_of_one_moment_are_one(self):
        agent = self.start(ONE)
        self.write_config(TWO)
        answers, lock = [], threading.Lock()

        def ask():
            answer = json.loads(agent.http("POST", "/v1/reload", {})[2])
            with lock:
                answers.append(answer)
        threads = [threading.Thread(target=ask) for _ in range(30)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual({a["generation"] for a in answers}, {2})
        self.assertEqual({a["config_hash"] for a in answers}, {agent.status()["config_hash"]})
        self.assertEqual(len(answers), 30)

    def test_waiting_for_a_dead_receiver_holds_up_nobody(self):
        receiver = http_receiver.Receiver(self)
        text = ONE.replace('moved: {type: jsonl, path: "@/a.jsonl"}', 'moved: {type: http, url: "%s", backoff: {min: 10ms, max: 20ms}}')
        dead = text % "http://127.0.0.1:1/"
        agent = self.start(dead, env=http_receiver.NO_PROXIES)
        agent.send_plain([log("m", n=n) for n in range(10)])
        agent.wait_status(lambda s: s["sinks"]["moved"]["state"] == "retrying", "nobody takes them")
        self.write_config(dead.replace("20ms", "30ms"))
        waiting = subprocess.Popen([harness.BINARY, "reload", "--wait"], stdout=subprocess.PIPE, env=self.env())
        agent.wait_status(lambda s: s["generation"] == 2, "the first reload is done")
        self.write_config(text % receiver.url() + "log: {level: debug}\n")
        self.reload("--wait")
        self.assertEqual(len(receiver.taken), 1)
        out, _ = waiting.communicate(timeout=harness.DEADLINE_S)
        self.assertEqual(waiting.returncode, 0)
        self.assertIn("applied, generation 2", out.decode())
        self.assertEqual(agent.status()["generation"], 3)

    def test_the_agent_stops_while_somebody_waits_for_a_sink(self):
        dead = ONE.replace('moved: {type: jsonl, path: "@/a.jsonl"}', 'moved: {type: http, url: "http://127.0.0.1:1/"}') + "drain_timeout: 1ms\n"
        agent = self.start(dead, env=http_receiver.NO_PROXIES)
        agent.send_plain([log("m")])
        self.write_config(dead.replace('127.0.0.1:1/"', '127.0.0.1:1/", timeout: 1s'))
        waiting = subprocess.Popen([harness.BINARY, "reload", "--wait"], stderr=subprocess.PIPE, env=self.env())
        agent.wait_status(lambda s: s["generation"] == 2, "applied")
        agent.signal(signal.SIGTERM)
        self.assertEqual(agent.wait_exit(), 1, "one record stays behind")
        _, said = waiting.communicate(timeout=harness.DEADLINE_S)
        self.assertEqual(waiting.returncode, 1, said)

    def test_many_reloads_at_once_coalesce(self):
        agent = self.start(ONE)
        load = Load(agent)
        for n in range(20):
            self.write_config(TWO if n % 2 else ONE)
            agent.signal(signal.SIGHUP)
        self.write_config(TWO)
        self.reload()
        load.wait_more()
        count = load.finish()
        agent.wait_delivered("moved", count)
        self.assertEqual(sorted(self.numbers(agent, "a.jsonl", "b.jsonl")), list(range(count)))


class Stop(harness.AgentTest):
    COUNT = 20000 if harness.SANITIZED else 300000

    def stop_after_the_last_write(self, source):
        agent = self.start(ONE)
        payload = harness.as_bytes(['{"stream":"log","ts":"%s","n":%d}' % (harness.TS, n) for n in range(self.COUNT)])
        with agent.connect(source) as c:
            c.send(payload)
            agent.signal(signal.SIGTERM)
            self.assertEqual(agent.wait_exit(), 0, agent.stderr())
        for name in ("keep.jsonl", "a.jsonl"):
            self.assertEqual(agent.raw(name), payload)

    def test_sigterm_right_after_the_last_write_loses_nothing(self):
        self.stop_after_the_last_write("local")

    def test_sigterm_right_after_the_last_write_loses_nothing_over_tcp(self):
        self.stop_after_the_last_write("net")

    def test_numbered_clients_get_their_acks_before_the_end(self):
        agent = self.start(ONE)
        with agent.connect() as c:
            c.hello(client_id="x", next_seq=1)
            c.send([log("m", n=n) for n in range(2000)])
            agent.signal(signal.SIGTERM)
            said = c.read_all()
        self.assertEqual([x["seq"] for x in said if x["weir"] == "ack"][-1], 2000)
        self.assertEqual(agent.wait_exit(), 0)
        self.assertEqual(len(agent.lines("keep.jsonl")), 2000)

    def test_a_producer_that_never_stops_does_not_hold_the_agent(self):
        agent = self.start(ONE)
        enough = threading.Event()
        connection = agent.connect()

        def flood():
            try:
                while not enough.is_set():
                    connection.send([log("flood")] * 200)
            except OSError:
                pass
        thread = threading.Thread(target=flood)
        thread.start()
        agent.wait_delivered("keep", 1000)
        agent.signal(signal.SIGTERM)
        code = agent.wait_exit()
        enough.set()
        connection.sock.close()
        thread.join()
        self.assertEqual(code, 0, agent.stderr())
        self.assertEqual(agent.raw("keep.jsonl"), agent.raw("a.jsonl"))
        self.assertTrue(agent.raw("keep.jsonl").endswith(b"\n"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
