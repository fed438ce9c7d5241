"""Nothing raw from a record reaches a terminal; what people see says what happened."""
import os
import re
import signal
import subprocess
import unittest

import bad_records
import harness

EVIL = "\\u001b[35;41mEVIL\\u001b]0;owned\\u0007\\u0000\\r\\b\\u009b2J\\u202egnp.exe\\u2028\\u007f"
EVIL_RAW = "\u009b35;41mEVIL\u202e\u2066\u2028\u2029\u200f\x7f"
STRINGS = [f for f in bad_records.STRINGS if f != "kind"] + ["level", "ts", "correlation_id", "unit", "severity", "state"]


def evil_records():
    """Every field of every stream holds what a terminal would obey."""
    for payload in (EVIL, EVIL_RAW):
        for stream in ("trace", "log", "telemetry", "monitoring"):
            fields = ['"%s":"%s"' % (f, payload) for f in dict.fromkeys(STRINGS)]
            fields += ['"%s":{"%s":"%s"}' % (f, payload, payload) for f in ("attributes", "resource")]
            fields += ['"error":{"type":"%s","message":"%s","where":"%s","stack":"%s"}' % ((payload,) * 4)]
            fields += ['"msg_in":{"type_name":"%s"},"msg_out":[{"type_name":"%s"}]' % (payload, payload)]
            fields += ['"ctx_before":{"%s":"a"},"ctx_after":{"%s":"%s"}' % ((payload,) * 3)] if stream == "trace" else []
            fields += ['"%s":"%s"' % (payload, payload)]
            yield '{"stream":"%s",%s,"done":"MARK"}' % (stream, ",".join(fields))


CONSOLE = """
streams:
  trace: {sinks: [console]}
  log: {sinks: [console]}
  telemetry: {sinks: [console]}
  monitoring: {sinks: [console]}
sinks: {console: {type: stdout%s}}
"""


class Terminal(harness.AgentTest):
    def agent_on_a_terminal(self, options=""):
        self.out, self.err = harness.Pty(), harness.Pty()
        return self.spawn(["--config", self.write_config(CONSOLE % options)], stdout=self.out.slave, stderr=self.err.slave).wait_ready()

    def leave(self, agent):
        agent.stop()
        self.out.close()
        self.err.close()

    def check_screen(self, text):
        self.assertEqual(harness.screen_faults(text), [])
        self.assertNotIn("\x1b[35;41m", text)

    def test_hostile_records_stay_text_on_the_screen(self):
        for options in ("", ", format: pretty", ", format: json"):
            with self.subTest(options=options), self.agent_on_a_terminal(options) as agent:
                records = list(evil_records())
                agent.send_plain(records)
                self.assertEqual(agent.source()["journalled"], len(records))
                agent.wait_delivered("console", len(records))
                harness.wait_for(lambda: self.out.text().count("EVIL") >= len(records), "the records on the screen")
                self.leave(agent)
                self.check_screen(self.out.text())
                self.check_screen(self.err.text())

    def test_refused_bytes_never_reach_the_agents_own_terminal(self):
        agent = self.agent_on_a_terminal()
        agent.send_plain([b'\x1b[35;41mEVIL', b'{"stream":"\x1b]0;owned\x07"}', '{"stream":"%s"}' % EVIL, '{"%s":1,"%s":1}' % (EVIL, EVIL),
                          b"\xc2\x9b31m", '{"stream":"log","message":5,"%s":1}' % EVIL_RAW])
        self.assertEqual(sum(agent.source()["rejected"].values()), 6)
        self.leave(agent)
        self.check_screen(self.err.text())
        self.check_screen(self.out.text())

    def test_tail_and_status_escape_too(self):
        agent = self.start(harness.ALL_TO_FILE)
        records = list(evil_records())
        agent.send_plain(records)
        with agent.connect() as c:
            c.hello(client_id=EVIL_RAW)
            c.send([harness.log("x")])
            c.read_to_ack(1)
        for args in (["tail", "-n", "100", "--no-follow"], ["tail", "-n", "100", "--no-follow", "-o", "json"],
                     ["tail", "-n", "100", "--no-follow", "-o", "pretty"], ["status"], ["status", "-o", "json"]):
            with self.subTest(args=args):
                screen = harness.Pty()
                done = subprocess.run([harness.BINARY] + args, stdout=screen.slave, stderr=screen.slave,
                                      stdin=subprocess.DEVNULL, env=self.env(), timeout=harness.DEADLINE_S)
                screen.close()
                self.assertEqual(done.returncode, 0)
                self.assertIn("EVIL" if "tail" in args else "local", screen.text())
                self.check_screen(screen.text())

    def test_a_pipe_gets_the_bytes_as_they_are(self):
        agent = self.start(CONSOLE % "")
        records = [r for r in evil_records() if '"stream":"log"' in r]
        agent.send_plain(records)
        agent.wait_delivered("console", len(records))
        with open(agent.stdout_path, encoding="utf-8", newline="\n") as f:
            self.assertEqual(f.read().split("\n")[:-1], records, "json is the default on a pipe, byte for byte")

    def test_pretty_says_what_a_person_wants_to_know(self):
        agent = self.agent_on_a_terminal()
        agent.send_plain([
            harness.compact({"stream": "trace", "trace_id": "t1", "step_name": "approve_order", "service": "orders-svc",
                             "duration_ms": 12.5, "status": "ok", "ctx_before": {"decision": "new", "same": 1},
                             "ctx_after": {"decision": "approved", "same": 1}}),
            harness.compact({"stream": "trace", "trace_id": "t1", "step_name": "publish_order", "status": "error",
                             "error": {"type": "IOError", "message": "pipe is gone"}}),
            harness.log("hello reader", correlation_id="corr-1"), harness.log("no id here"),
            harness.compact({"stream": "telemetry", "ts": harness.TS, "name": "queue.depth", "type": "gauge", "value": 17.5}),
            harness.compact({"stream": "monitoring", "ts": harness.TS, "rule": "slo-latency", "state": "firing", "severity": "page"})])
        agent.wait_delivered("console", 6)
        harness.wait_for(lambda: "slo-latency" in self.out.text(), "the last record on the screen")
        self.leave(agent)
        text = re.sub("\x1b\\[[0-9;]*m", "", self.out.text())
        self.assertIn("\x1b[", self.out.text(), "colour on a terminal")
        for words in ("approve_order", "orders-svc", "12.5", 'decision: "new" -> "approved"', "publish_order", "IOError",
                      "pipe is gone", "hello reader", "corr-1", "no-correlation", "queue.depth", "17.5", "slo-latency", "firing"):
            self.assertIn(words, text)
        self.assertNotIn("same", text, "what did not change is not shown")

    def test_no_color_is_obeyed(self):
        screen = harness.Pty()
        agent = self.spawn(["--config", self.write_config(CONSOLE % "")], stdout=screen.slave, env={"NO_COLOR": "1"}).wait_ready()
        agent.send_plain([harness.log("plain words")])
        harness.wait_for(lambda: "plain words" in screen.text(), "the record on the screen")
        agent.stop()
        screen.close()
        self.assertNotIn("\x1b", screen.text())

    def test_a_terminal_that_goes_away_takes_nothing_else_along(self):
        read_end, write_end = os.pipe()
        agent = self.spawn(["--config", self.write_config(CONSOLE.replace("log: {sinks: [console]}", "log: {sinks: [console, out]}")
                            .replace("sinks: {console", 'sinks: {out: {type: jsonl, path: "@/out.jsonl"}, console') % "")],
                           stdout=write_end)
        os.close(write_end)
        agent.wait_ready()
        os.close(read_end)  # EPIPE from now on: that sink is down, the agent is not
        agent.send_plain([harness.log("kept")])
        agent.wait_delivered("out", 1)
        agent.wait_status(lambda s: s["sinks"]["console"]["state"] in ("down", "retrying"), "console is not ok")
        agent.signal(signal.SIGTERM)
        self.assertEqual(agent.wait_exit(), 1, "one record could not be delivered: said at exit")
        self.assertIn("1", agent.stderr())


if __name__ == "__main__":
    unittest.main(verbosity=2)
