"""The rules of a stream from outside: redaction everywhere, sampling with its counts, and reload."""
import json
import os
import unittest

import harness

CANARY = "c4n4ry"  # stands in every secret, and nowhere else

REDACTED = """
quarantine: {raw: false}
log: {level: trace}
limits: {record_bytes_max: 4KiB}
streams:
  trace:
    redact: &rules {keys: [password, secret], paths: [ctx.user.ssn, attributes.token, msg_in.value.card], patterns: ['c4n4ry\\w*']}
    signature: {mode: hash}
    context_diff: {max_value_len: 20}
    sinks: [out, console]
  log: {redact: *rules, set: {attributes.token: c4n4ry_set}, sinks: [out, console]}
  telemetry: {redact: *rules, sinks: [out, console]}
  monitoring: {redact: *rules, sinks: [out, console]}
sinks:
  out: {type: jsonl, path: "@/out.jsonl"}
  console: {type: stdout, format: pretty}
"""
GOOD = [
    {"stream": "trace", "trace_id": "1", "ctx_before": {"password": CANARY, "user": {"ssn": CANARY + "1"}},
     "ctx_after": {"password": [CANARY], "user": {"ssn": CANARY + "2"}}},
    {"stream": "trace", "trace_id": "2", "ctx": {"secret": {CANARY: CANARY}, "note": "is " + CANARY}},
    {"stream": "trace", "trace_id": "2", "ctx_set": {"user": {"ssn": {CANARY: 1}}}},
    {"stream": "trace", "trace_id": "2", "ctx_unset": ["secret"]},
    {"stream": "trace", "ctx_diff": {"password": {"before": {CANARY: 1}, "after": CANARY}, "user.ssn": {"before": [CANARY], "after": None}}},
    {"stream": "trace", "msg_in": {"type_name": "T", "value": {"id": CANARY, "card": {CANARY: 1}}}, "msg_out": [{"value": CANARY}]},
    {"stream": "log", "level": "error", "message": "a " + CANARY, "error": {"message": CANARY, "stack": ["at " + CANARY]}},
    {"stream": "log", "message": "b", "service": CANARY, "logger": CANARY, "trace_id": CANARY + "9"},
    {"stream": "telemetry", "name": CANARY, "type": "gauge", "value": 1, "attributes": {"token": {CANARY: [CANARY]}}},
    {"stream": "monitoring", "rule": CANARY, "state": "firing", "message": CANARY},
]
BAD = [
    '{"stream":"log","message":"%s",}', '%s', '"%s"', '["%s"]', '{"stream":"%s"}', '{"stream":"log","%s":1,"%s":2}',
    '{"stream":"log","service":["%s"]}', '{"stream":"trace","ctx_after":"%s"}', '{"message":"%s"}', '{"stream":"log","message":"%s\\ud800"}',
    '{"stream":"log","message":"%s', '[{"stream":"log","message":"%s"},]', '{"stream":"log","message":"%s' + "x" * 5000 + '"}',
    '{"stream":"log","a":' + '["%s",' * 70 + "1" + "]" * 70 + "}", "%s\x01",
]


def spelled(text):
    """Each second canary with an escape in it: the same to JSON."""
    return text.replace(CANARY, CANARY.replace("4", "\\u0034", 1), 1)


class Redaction(harness.AgentTest):
    def files(self, top):
        for directory, _, names in os.walk(self.path(top)):
            for name in names:
                with open(os.path.join(directory, name), "rb") as f:
                    yield os.path.join(directory, name), f.read().decode("utf-8", "backslashreplace")

    def test_a_secret_is_found_nowhere_for_good_and_bad_records_alike(self):
        agent = self.start(REDACTED)
        good = [harness.compact(r) for r in GOOD]
        good += [spelled(line) for line in good] + ["[" + ",".join(good) + "]"]
        agent.send_plain(good)
        agent.send_plain(good, "net")
        bad = [line.replace("%s", CANARY) for line in BAD]
        agent.send_plain(bad)
        agent.send_plain([('{"stream":"log","message":"%s' % CANARY).encode() + b'\xff"}'])
        with agent.connect() as c:
            c.hello(client_id="c", ack="received")
            c.send(bad[:3])
            c.read_until("ack")
            c.send(['{"weir":"%s"}' % CANARY])
            self.assertNotIn(CANARY, json.dumps(c.read_until("error")))
        with agent.connect() as c:
            self.assertNotIn(CANARY, json.dumps(c.hello(client_id="d", ack=CANARY)))
        written = 6 * len(GOOD)
        status = agent.wait_delivered("out", written)
        agent.wait_delivered("console", written)
        self.assertGreaterEqual(sum(status["sources"]["local"]["rejected"].values()), len(BAD) + 3)

        places = {"tail": self.weir("tail", "-n", "1000", "--no-follow").stdout, "status": self.weir("status", "-o", "json").stdout,
                  "plain status": self.weir("status").stdout, "metrics": agent.http("GET", "/metrics")[2].decode("utf-8", "replace"),
                  "config": agent.http("GET", "/v1/config")[2].decode("utf-8", "replace")}
        agent.stop()
        lines = agent.lines()
        self.assertEqual(len(lines), written)
        self.assertEqual(len(agent.quarantine()), sum(status["sources"]["local"]["rejected"].values()))
        places["quarantine of the agent"] = json.dumps(agent.quarantine())
        places.update(self.files("data"))
        places.update({"out": "\n".join(lines), "stdout": agent.raw("agent-0.stdout").decode(), "stderr": agent.stderr()})
        self.assertGreaterEqual(places["tail"].count("\n"), written)
        for record in map(json.loads, lines):
            self.assertIn("***", json.dumps(record))
        for name, text in places.items():
            if name == "config":
                continue  # it holds the rules themselves
            plain = text.replace("\\u0034", "4").replace("\\\\u0034", "4")
            at = plain.find(CANARY)
            self.assertEqual(at, -1, "%s: ...%s" % (name, plain[max(at - 200, 0):at + 100]))

    def test_without_raw_false_the_quarantine_keeps_what_was_refused(self):
        agent = self.start(REDACTED.replace("quarantine: {raw: false}", ""))
        agent.send_plain(['{"stream":"log","password":"%s",}' % CANARY])
        self.assertIn(CANARY, agent.quarantine()[0]["raw"])
        self.assertNotIn(CANARY, agent.quarantine()[0]["detail"] + agent.stderr())

    def test_new_rules_hold_from_the_next_record_on_and_the_memory_stays(self):
        config = "streams: {trace: {sinks: [out]%s}}\nsinks: {out: {type: jsonl, path: \"@/out.jsonl\"}}\n"
        agent = self.start(config % "")
        agent.send_plain([harness.trace("t", ctx={"pin": 1})])
        for rules, pin in ((", redact: {keys: [pin]}", 2), (", redact: {keys: [other], replace: x}", 3)):
            self.write_config(config % rules)
            self.assertEqual(self.weir("reload").returncode, 0)
            agent.send_plain([harness.trace("t", ctx_set={"pin": pin})])
        agent.wait_delivered("out", 3)
        self.assertEqual([r["ctx_diff"]["pin"] for r in agent.records()],
                         [{"before": None, "after": 1}, {"before": "***", "after": "***"}, {"before": 2, "after": 3}])
        self.write_config(config % ", redact: {patterns: ['(']}")
        refused = self.weir("reload")
        self.assertEqual(refused.returncode, 78)
        self.assertIn("streams.trace.redact.patterns[0]: not a regular expression of RE2", refused.stdout + refused.stderr)

    def test_environment_goes_into_set_as_text(self):
        agent = self.start("streams: {log: {set: {attributes.host: \"${W_HOST}\", overwrite: true}, sinks: [out]}}\n"
                           "sinks: {out: {type: jsonl, path: \"@/out.jsonl\"}}\n", env={"W_HOST": "12"})
        agent.send_plain([harness.log("a"), harness.log("b", attributes={"host": None})])
        agent.wait_delivered("out", 2)
        self.assertEqual([r["attributes"] for r in agent.records()], [{"host": "12"}] * 2)


class Sampling(harness.AgentTest):
    CONFIG = ("streams: {trace: {sample: {ratio: 0.1}, context_diff: {mode: full}, sinks: [out]}, log: {sample: {ratio: 0.5, keep_errors: false}, sinks: [out]}}\n"
              "sinks: {out: {type: jsonl, path: \"@/out.jsonl\"}}\n")

    def test_a_trace_is_kept_or_dropped_as_a_whole_and_counted(self):
        agent = self.start(self.CONFIG)
        ids = ["t-%d" % n for n in range(1000)]
        agent.send_plain([harness.trace(i, step) for step in "abc" for i in ids])
        agent.send_plain([harness.trace("t-%d" % n, "bad", status="error") for n in range(50)], "net")
        source = agent.source()
        kept = source["journalled"]
        self.assertEqual(source["dropped_by_rule"], {"sample": 3000 - kept})
        agent.wait_delivered("out", kept + 50)
        steps = {}
        for record in agent.records():
            steps.setdefault(record["trace_id"], []).append(record["step_name"])
        whole = {i for i, s in steps.items() if s[:3] == ["a", "b", "c"]}
        self.assertEqual(kept, 3 * len(whole))
        self.assertTrue(60 <= len(whole) <= 140, len(whole))
        self.assertTrue(all(s[-1] == "bad" for i, s in steps.items() if i not in whole))
        agent.stop()
        os.unlink(self.path("out.jsonl"))
        agent = self.start(self.CONFIG)  # another agent decides the same
        agent.send_plain([harness.trace(i) for i in ids])
        agent.wait_delivered("out", len(whole))
        self.assertEqual({r["trace_id"] for r in agent.records()}, whole)

    def test_dropped_records_are_acknowledged_and_still_seen_by_the_context_memory(self):
        agent = self.start(self.CONFIG.replace("ratio: 0.1", "ratio: 0"))
        with agent.connect() as c:
            c.hello(client_id="c", ack="received")
            c.send([harness.trace("t", ctx={"a": 1}), harness.trace("t", ctx_set={"a": 2}), harness.trace("t", ctx_set={"a": 3}, status="error")])
            self.assertEqual(c.read_to_ack(3)[-1]["seq"], 3)
        agent.wait_delivered("out", 1)
        self.assertEqual(agent.records()[0]["ctx_diff"], {"a": {"before": 2, "after": 3}})
        self.assertEqual(agent.source()["dropped_by_rule"], {"sample": 2})

    def test_records_without_a_trace_are_sampled_by_their_count(self):
        agent = self.start(self.CONFIG)
        agent.send_plain([harness.log("same", level="error")] * 2000)
        kept = agent.source()["journalled"]
        self.assertTrue(850 <= kept <= 1150, kept)


if __name__ == "__main__":
    unittest.main(verbosity=2)
