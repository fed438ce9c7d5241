"""POST /v1/sinks/{name}/pause|resume|flush and /v1/log-level on the control socket (interface.md section 6)."""
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import unittest

import harness
import http_receiver
from faults.shim import Shim
from harness import log, wait_for
from test_reload import Load

CONFIG = """
streams: {log: {sinks: [out, keep]}}
sinks:
  out: {type: jsonl, path: "@/out.jsonl"}
  keep: {type: jsonl, path: "@/keep.jsonl"}
"""
BATCH = """
streams: {log: {sinks: [out]}}
sinks: {out: {type: file, path: "@/out.jsonl", write_mode: batch, flush_every_n: 1000}}
"""


class ControlTest(harness.AgentTest):
    def post(self, agent, path, body=None, code=200):
        got, headers, text = agent.http("POST", path, body)
        self.assertEqual(got, code, text)
        kind = "application/json" if code == 200 else "application/problem+json"
        self.assertEqual(headers["Content-Type"], kind)
        return json.loads(text)

    def ask(self, agent, action, sink="out", code=200, **body):
        return self.post(agent, "/v1/sinks/%s/%s" % (sink, action), body or None, code)

    def reload(self, agent, config, **options):
        self.write_config(config)
        return self.post(agent, "/v1/reload", options)

    def numbers(self, agent, *names):
        return [r["n"] for name in names for r in agent.records(name)]

    def metric(self, agent, series):
        return float(re.search(r"(?m)^%s (\S+)$" % re.escape(series), agent.http("GET", "/metrics")[2].decode()).group(1))

    def open_files(self, agent):
        """What it has open; what it closes meanwhile is left out."""
        out = []
        for fd in os.listdir("/proc/%d/fd" % agent.pid):
            with contextlib.suppress(FileNotFoundError):
                out.append(os.readlink("/proc/%d/fd/%s" % (agent.pid, fd)))
        return out


class Pause(ControlTest):
    def pause_and_check(self, agent, load):
        """Nothing comes out of it any more, while the other sink goes on."""
        answer = self.ask(agent, "pause")
        self.assertEqual((answer["sink"], answer["state"], answer["result"], answer["when_full"]), ("out", "paused", "paused", "block"))
        self.assertIn("producers are held up", answer["message"])
        size, keep = len(agent.raw("out.jsonl")), agent.sink("keep")["delivered"]
        load.wait_more()
        agent.wait_delivered("keep", keep + load.batch)
        sink = agent.sink()
        self.assertEqual((sink["state"], sink["delivered"], sink["retry_in_s"]), ("paused", answer["delivered"], None))
        self.assertGreater(sink["lag_records"], 0)
        self.assertEqual(len(agent.raw("out.jsonl")), size)
        return answer

    def test_what_flows_meanwhile_waits_and_comes_once_in_order(self):
        agent = self.start(CONFIG)
        load = Load(agent)
        agent.wait_delivered("out", 1000)
        for _ in range(2):
            self.pause_and_check(agent, load)
            self.assertEqual(self.metric(agent, 'weir_sink_up{sink="out"}'), 0)
            self.assertEqual(self.metric(agent, 'weir_sink_up{sink="keep"}'), 1)
            code, _, body = agent.http("GET", "/readyz")
            self.assertEqual((code, json.loads(body)["reasons"]), (200, ["sink out: paused"]))
            self.assertIn("paused", self.weir("status").stdout)
            self.assertEqual(self.ask(agent, "resume")["result"], "resumed")
            agent.wait_delivered("out", agent.sink("keep")["delivered"])
        count = load.finish()
        for name in ("out", "keep"):
            agent.wait_delivered(name, count)
            self.assertEqual(self.numbers(agent, name + ".jsonl"), list(range(count)))
        self.assertEqual(agent.sink()["state"], "ok")

    def test_it_stays_paused_whatever_a_reload_does_to_it(self):
        agent = self.start(CONFIG)
        load = Load(agent)
        agent.wait_delivered("out", 1000)
        before = self.pause_and_check(agent, load)
        other = CONFIG.replace("keep.jsonl", "kept.jsonl")
        moved = other.replace("out.jsonl", "moved.jsonl")
        for config in (other, moved, other, moved):
            self.assertEqual(self.reload(agent, config)["result"], "applied")
            load.wait_more()
            sink = agent.sink()
            self.assertEqual((sink["state"], sink["delivered"]), ("paused", before["delivered"]))
        self.assertFalse(os.path.exists(self.path("moved.jsonl")), "made with the first record")
        self.ask(agent, "resume")
        count = load.finish()
        agent.wait_delivered("out", count)
        self.assertEqual(self.numbers(agent, "out.jsonl", "moved.jsonl"), list(range(count)))
        self.assertEqual(len(self.numbers(agent, "out.jsonl")), before["delivered"])

    def test_pauses_and_reloads_at_the_same_time(self):
        """Whoever speaks last is heard: a pause is not lost in a reload that is under way."""
        agent = self.start(CONFIG)
        load = Load(agent)
        paused = False
        for turn in range(40):
            self.write_config(CONFIG.replace("out.jsonl", "%s.jsonl" % "ab"[turn % 2]))
            agent.signal(signal.SIGHUP)
            paused = turn % 3 != 0
            self.ask(agent, "pause" if paused else "resume")
            self.assertEqual(agent.sink()["state"] == "paused", paused)
        load.wait_more()
        self.assertEqual(agent.sink()["state"] == "paused", paused)
        self.ask(agent, "resume")
        count = load.finish()
        agent.wait_delivered("out", count)
        got = self.numbers(agent, "out.jsonl", "a.jsonl", "b.jsonl")
        self.assertEqual((len(got), sorted(got)), (count, list(range(count))))

    def test_its_file_is_closed_and_may_be_moved(self):
        for journal in ("memory", "disk"):
            out, old = journal + ".jsonl", journal + ".old"
            with self.subTest(journal), self.start("journal: {type: %s}\n" % journal + CONFIG.replace("out.jsonl", out)) as agent:
                agent.send_plain([log("m", n=0)])
                agent.wait_delivered("out", 1)
                self.assertIn(self.path(out), self.open_files(agent))
                self.ask(agent, "pause")
                self.assertNotIn(self.path(out), self.open_files(agent))
                os.rename(self.path(out), self.path(old))
                agent.send_plain([log("m", n=1)])
                agent.signal(signal.SIGUSR1)
                agent.wait_delivered("keep", 2)
                self.assertFalse(os.path.exists(self.path(out)))
                self.ask(agent, "resume")
                agent.wait_delivered("out", 2)
                self.assertEqual((self.numbers(agent, old), self.numbers(agent, out)), ([0], [1]))

    def test_a_block_sink_holds_producers_up_and_another_drops_its_oldest(self):
        for when_full in ("block", "drop_oldest"):
            with self.subTest(when_full), self.start(CONFIG.replace("out.jsonl\"", "out-%s.jsonl\", max_lag_bytes: 64KiB, when_full: %s" % (when_full, when_full))) as agent:
                answer = self.ask(agent, "pause")
                self.assertEqual((answer["when_full"], answer["max_lag_bytes"]), (when_full, 65536))
                lines = [log("m" * 200, n=n) for n in range(2000)]
                with agent.connect() as producer:
                    producer.hello(client_id=when_full, ack="received", next_seq=1)
                    producer.send(lines)
                    if when_full == "block":
                        self.assertIn("producers are held up", answer["message"])
                        status = agent.wait_status(lambda s: s["journal"]["state"] == "full", "the journal takes no more")
                        self.assertLess(status["sources"]["local"]["journalled"], 2000)
                        self.ask(agent, "resume")
                        producer.read_to_ack(2000)
                    else:
                        self.assertIn("dropped", answer["message"])
                        producer.read_to_ack(2000)
                        self.ask(agent, "resume")
                status = agent.wait_status(lambda s: s["sinks"]["out"]["lag_records"] == 0, "it has caught up")
                dropped = status["sinks"]["out"]["dropped"].get("lag", 0)
                self.assertEqual(dropped > 0, when_full == "drop_oldest")
                self.assertEqual(self.numbers(agent, "out-%s.jsonl" % when_full), list(range(dropped, 2000)))

    def test_kill_9_while_paused_loses_nothing_and_the_next_start_delivers(self):
        config = 'journal: {type: disk, path: "@/journal"}\n' + CONFIG
        agent = self.start(config)
        lines = [log("m", n=n) for n in range(3000)]
        with agent.connect() as producer:
            producer.hello(client_id="c", ack="durable", next_seq=1)
            producer.send(lines[:1000])
            producer.read_to_ack(1000)
            agent.wait_delivered("out", 1000)
            self.ask(agent, "pause")
            producer.send(lines[1000:])
            producer.read_to_ack(3000)
        self.assertEqual((agent.sink()["state"], agent.sink()["lag_records"]), ("paused", 2000))
        agent.kill()
        agent.stopped = True
        agent = self.start(config)
        agent.wait_delivered("out", 3000)
        self.assertEqual(agent.sink()["state"], "ok")
        self.assertEqual(self.numbers(agent, "out.jsonl"), list(range(3000)))

    def test_the_end_of_the_agent_leaves_it_paused(self):
        """With a journal in memory its records stay behind, and that is said."""
        agent = self.start(CONFIG)
        self.ask(agent, "pause")
        agent.send_plain([log("m", n=0)])
        agent.wait_delivered("keep", 1)
        agent.stop(exit_code=1)
        self.assertIn("sink out: 1 records stay behind: it is paused", agent.stderr())

    def test_taken_out_of_the_configuration(self):
        agent = self.start(CONFIG)
        self.ask(agent, "pause")
        agent.send_plain([log("m", n=n) for n in range(10)])
        without = "streams: {log: {sinks: [keep]}}\nsinks: {keep: {type: jsonl, path: \"@/keep.jsonl\"}}\n"
        answer = self.reload(agent, without)
        self.assertEqual(answer["result"], "refused")
        self.assertIn("10 records undelivered (it is paused)", answer["errors"][0]["message"])
        self.assertEqual(self.reload(agent, without, drain=True)["result"], "applied")
        agent.wait_status(lambda s: "out" not in s["sinks"], "out has drained")
        self.assertEqual(self.numbers(agent, "out.jsonl"), list(range(10)))
        self.assertEqual(self.reload(agent, CONFIG)["result"], "applied")
        self.assertEqual(agent.sink()["state"], "ok")


class PauseForwarding(http_receiver.ForwardTest, ControlTest):
    def test_what_is_under_way_ends_and_is_not_tried_again(self):
        receiver = self.receiver(script=[http_receiver.stall()])
        agent = self.start(self.config(receiver.url(), "timeout: 700ms"), env=http_receiver.NO_PROXIES)
        lines = http_receiver.lines_of(10)
        agent.send_plain(lines)
        wait_for(lambda: len(receiver.requests) == 1, "the request")
        answer = self.ask(agent, "pause", "fwd", timeout="0s")
        self.assertEqual((answer["state"], answer["result"]), ("paused", "timeout"))
        self.assertIn("still under way", answer["message"])
        answer = self.ask(agent, "pause", "fwd")
        self.assertEqual((answer["state"], answer["result"], answer["lag_records"], answer["when_full"]), ("paused", "paused", 10, "drop_oldest"))
        self.assertEqual(len(receiver.requests), 1)
        self.ask(agent, "resume", "fwd")
        self.wait_all(agent, 10)
        self.assertEqual(receiver.records(), lines)
        self.assertEqual(receiver.requests[0].key, receiver.requests[1].key, "the same request again")

    def test_a_pause_ends_a_long_wait_for_the_next_attempt(self):
        receiver = self.receiver(script=[http_receiver.answer("503 Busy")])
        agent = self.start(self.config(receiver.url(), "backoff: {min: 1h, max: 1h}"), env=http_receiver.NO_PROXIES)
        agent.send_plain(http_receiver.lines_of(3))
        agent.wait_status(lambda s: s["sinks"]["fwd"]["state"] == "retrying", "refused once")
        self.assertEqual(self.ask(agent, "pause", "fwd")["result"], "paused")
        self.assertEqual(len(receiver.requests), 1)
        self.ask(agent, "resume", "fwd")
        self.wait_all(agent, 3)


class Flush(http_receiver.ForwardTest, ControlTest):
    def test_a_batch_is_written_and_synced_before_it_is_full(self):
        for journal in ("memory", "disk"):
            shim = Shim(self, journal)
            syncs = shim.fail("*/out-%s.jsonl" % journal, "sync", times=0)
            with self.subTest(journal), self.start("journal: {type: %s}\n" % journal + BATCH.replace("out.jsonl", "out-%s.jsonl" % journal), env=shim.env()) as agent:
                for turn in range(1, 4):
                    agent.send_plain([log("m", n=n) for n in range(10)])
                    self.assertEqual((agent.sink()["delivered"], agent.sink()["lag_records"]), (turn * 10 - 10, 10))
                    before = syncs.matches()
                    answer = self.ask(agent, "flush")
                    self.assertEqual((answer["sink"], answer["state"], answer["result"]), ("out", "ok", "flushed"))
                    self.assertEqual((answer["delivered"], answer["lag_records"]), (turn * 10, 0))
                    self.assertEqual(len(agent.lines("out-%s.jsonl" % journal)), turn * 10)
                    self.assertGreater(syncs.matches(), before)

    def test_flushes_under_load_answer_with_everything_before_them(self):
        agent = self.start(BATCH.replace("flush_every_n: 1000", "flush_every_n: 1000, where: 'n >= 0'"))
        load = Load(agent, batch=7)
        for _ in range(20):
            load.wait_more()
            routed = agent.sink()["routed"]
            self.assertEqual(self.ask(agent, "flush")["result"], "flushed")
            self.assertGreaterEqual(len(agent.lines()), routed)
        count = load.finish()
        self.assertEqual(self.ask(agent, "flush")["lag_records"], 0)
        self.assertEqual(self.numbers(agent, "out.jsonl"), list(range(count)))

    def test_a_sink_in_a_long_back_off_tries_now(self):
        receiver = self.receiver(script=[http_receiver.answer("503 Busy"), http_receiver.answer("503 Busy")])
        agent = self.start(self.config(receiver.url(), "backoff: {min: 1h, max: 1h}"), env=http_receiver.NO_PROXIES)
        lines = http_receiver.lines_of(3)
        agent.send_plain(lines)
        agent.wait_status(lambda s: s["sinks"]["fwd"]["retry_in_s"], "it waits for the next attempt")
        self.assertGreater(agent.sink("fwd")["retry_in_s"], 1000)
        answer = self.ask(agent, "flush", "fwd", timeout="300ms")
        self.assertEqual((answer["result"], answer["state"], answer["lag_records"]), ("timeout", "retrying", 3))
        self.assertIn("503", answer["last_error"])
        self.assertEqual(len(receiver.requests), 2, "tried once more")
        answer = self.ask(agent, "flush", "fwd")
        self.assertEqual((answer["result"], answer["state"], answer["delivered"], answer["lag_records"]), ("flushed", "ok", 3, 0))
        self.assertEqual(receiver.records(), lines)

    def test_it_goes_on_with_the_sink_that_a_reload_puts_in_the_place(self):
        receiver = self.receiver(script=[http_receiver.answer("503 Busy")] * 2)
        config = self.config(receiver.url(), "backoff: {min: 1h, max: 1h}")
        agent = self.start(config, env=http_receiver.NO_PROXIES)
        agent.send_plain(http_receiver.lines_of(3))
        agent.wait_status(lambda s: s["sinks"]["fwd"]["state"] == "retrying", "refused once")
        answers = []
        waiting = harness.threading.Thread(target=lambda: answers.append(self.ask(agent, "flush", "fwd", timeout="15s")))
        waiting.start()
        wait_for(lambda: len(receiver.requests) == 2, "the second attempt")
        self.reload(agent, config.replace("1h, max: 1h", "10ms, max: 20ms"))
        waiting.join()
        self.assertEqual((answers[0]["result"], answers[0]["delivered"]), ("flushed", 3))

    def test_an_agent_that_stops_waits_for_no_flush(self):
        receiver = self.receiver(always=http_receiver.answer("503 Busy"))
        agent = self.start(self.config(receiver.url()) + "drain_timeout: 10ms\n", env=http_receiver.NO_PROXIES)
        agent.send_plain(http_receiver.lines_of(1))
        with harness.Connection(socket.socket(socket.AF_UNIX)) as control:
            control.sock.connect(agent.control)
            control.send(b"POST /v1/sinks/fwd/flush HTTP/1.1\r\nContent-Length: 16\r\n\r\n" + b'{"timeout":"1h"}')
            agent.wait_status(lambda s: s["sinks"]["fwd"]["state"] == "retrying", "it does not get through")
            agent.stop(exit_code=1)
            self.assertEqual(control.sock.recv(1), b"")

    def test_a_paused_sink_says_so(self):
        agent = self.start(BATCH)
        self.ask(agent, "pause")
        agent.send_plain([log("m", n=0)])
        answer = self.ask(agent, "flush")
        self.assertEqual((answer["result"], answer["state"], answer["lag_records"]), ("paused", "paused", 1))
        self.ask(agent, "resume")
        self.assertEqual(self.ask(agent, "flush")["result"], "flushed")


class Mistakes(ControlTest):
    def test_each_is_answered_with_what_would_be_right(self):
        agent = self.start(CONFIG)
        problem = self.ask(agent, "pause", "kep", code=404)
        self.assertEqual((problem["status"], problem["title"]), (404, "Not Found"))
        self.assertEqual(problem["detail"], "there is no sink kep; did you mean keep? There are: out, keep")
        self.assertEqual(self.ask(agent, "flush", "nothing", code=404)["detail"], "there is no sink nothing; there are: out, keep")
        self.assertIn("did you mean pause? There are: pause, resume, flush", self.ask(agent, "puase", code=404)["detail"])
        for path in ("/v1/sinks/", "/v1/sinks/out", "/v1/sinks//pause", "/v1/sinks/out/pause/x"):
            self.post(agent, path, code=404)
        for path, allowed in (("/v1/sinks/out/pause", "POST"), ("/v1/reload", "POST")):
            code, headers, _ = agent.http("GET", path)
            self.assertEqual((code, headers["Allow"]), (405, allowed))
        for method, path, allowed in (("DELETE", "/v1/log-level", "GET, POST"), ("POST", "/v1/status", "GET")):
            code, headers, _ = agent.http(method, path)
            self.assertEqual((code, headers["Allow"]), (405, allowed))
        for body in ([], {"timeout": 5}, {"timeout": "soon"}, {"timeout": "2h"}, {"timout": "5s"}):
            self.post(agent, "/v1/sinks/out/flush", body, code=400)
        self.assertIn("unknown key timout", self.ask(agent, "pause", code=400, timout="1s")["detail"])
        self.assertEqual(agent.sink()["state"], "ok")


class LogLevel(ControlTest):
    CONFIG = CONFIG + "log: {level: warn}\n"

    def level(self, agent):
        return json.loads(agent.http("GET", "/v1/log-level")[2])["level"]

    def test_it_changes_at_once_until_a_reload_says_otherwise(self):
        agent = self.start(self.CONFIG)
        self.assertEqual(self.level(agent), "warn")
        self.reload(agent, self.CONFIG + "drain_timeout: 2s\n")
        self.assertNotIn("reload: applied", agent.stderr())
        self.assertEqual(self.post(agent, "/v1/log-level", {"level": "debug"}), {"level": "debug", "before": "warn"})
        self.reload(agent, self.CONFIG + "drain_timeout: 3s\n")
        wait_for(lambda: "reload: applied, generation 3" in agent.stderr(), "what is an info")
        self.assertEqual(self.level(agent), "debug", "that reload had nothing to do with it")
        self.reload(agent, self.CONFIG.replace("warn", "error"))
        self.assertEqual(self.level(agent), "error")
        problem = self.post(agent, "/v1/log-level", {"level": "debg"}, code=400)
        self.assertEqual(problem["detail"], "there is no level debg; did you mean debug? There are: trace, debug, info, warn, error")
        for body in (None, {}, {"level": 1}, {"level": "info", "for": "1h"}, ["info"]):
            self.post(agent, "/v1/log-level", body, code=400)
        self.assertEqual(self.level(agent), "error")


class Readme(ControlTest):
    def test_its_commands_do_what_they_say(self):
        with open(os.path.join(harness.ROOT, "README.md"), encoding="utf-8") as f:
            commands = re.findall(r"(?m)^(curl .*http://weir/v1/(?:sinks|log-level)\S*)", f.read())
        self.assertEqual(len(commands), 4, commands)
        agent = self.start(CONFIG.replace("out", "archive"))
        answers = []
        for command in commands:
            command = command.replace("CONTROL", agent.control)
            try:
                done = subprocess.run(["sh", "-c", command.replace("curl", "curl -sS --noproxy '*'", 1)], stdout=subprocess.PIPE, check=True)
            except subprocess.CalledProcessError as error:
                self.assertEqual(error.returncode, 127, command)
                self.skipTest("no curl")
            answers.append(json.loads(done.stdout))
        self.assertEqual([a.get("result", a.get("level")) for a in answers], ["paused", "resumed", "flushed", "debug"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
