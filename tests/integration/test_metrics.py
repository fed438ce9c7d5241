"""GET /metrics and /readyz on the control socket (interface.md sections 4 and 6)."""
import json
import os
import re
import shutil
import subprocess
import unittest

import harness

SAMPLE = re.compile(r'^([a-z_]+)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\[\\"n])*",?)+)\})? (-?[0-9.e+-]+)$')
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')
OPEN_METRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def parse(text):
    """{(name, labels): value}; every line must be one of the format's, every family announced before its samples."""
    samples, types = {}, {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in types, "announced twice: " + name
            types[name] = kind
        elif not line.startswith("# HELP ") and line != "# EOF":
            match = SAMPLE.match(line)
            assert match, "not a sample: " + line
            name, labels, value = match.groups()
            family = name if name in types else name[: -len("_total")]
            assert family in types, "not announced: " + name
            assert not name.endswith("_total") or types[family] == "counter", name
            key = (name, tuple(sorted(LABEL.findall(labels or ""))))
            assert key not in samples, "there twice: " + line
            samples[key] = float(value)
    return samples


class Metrics(harness.AgentTest):
    def scrape(self, agent, accept=None):
        connection = harness.UnixHTTPConnection(agent.control)
        connection.request("GET", "/metrics", headers={"Accept": accept} if accept else {})
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        self.assertEqual(answer.status, 200)
        return answer.getheader("Content-Type"), text

    def test_the_counters_are_those_of_the_status(self):
        agent = self.start(harness.ALL_TO_FILE)
        lines = ['{"stream":"log","message":"%d"}' % n for n in range(5)] + ["not json", '{"stream":"nope"}']
        agent.send_plain(lines)
        agent.wait_status(lambda s: s["sources"]["local"]["received"] == 7, "all is read")
        kind, text = self.scrape(agent)
        self.assertEqual(kind, "text/plain; version=0.0.4; charset=utf-8")
        samples, status = parse(text), agent.status()
        source = status["sources"]["local"]
        for name in ("received", "accepted", "journalled", "duplicate", "disabled"):
            self.assertEqual(samples["weir_records_%s_total" % name, (("source", "local"),)], source[name])
        for reason, n in source["rejected"].items():
            self.assertEqual(samples["weir_records_rejected_total", (("reason", reason), ("source", "local"))], n)
        for sink, s in status["sinks"].items():
            self.assertEqual(samples["weir_records_routed_total", (("sink", sink),)], s["routed"])
            self.assertEqual(samples["weir_sink_up", (("sink", sink),)], 1)
        self.assertEqual(samples["weir_journal_state", (("state", "ok"),)], 1)
        self.assertEqual(samples["weir_conservation_error", ()], 0)
        self.assertEqual(samples["weir_config_generation", ()], 1)
        self.assertGreater(samples["process_resident_memory_bytes", ()], 1 << 20)

    def test_open_metrics(self):
        agent = self.start(harness.ALL_TO_FILE)
        kind, text = self.scrape(agent, OPEN_METRICS + ",text/plain;q=0.5")
        self.assertEqual(kind, OPEN_METRICS)
        self.assertTrue(text.endswith("\n# EOF\n"))
        self.assertIn("# TYPE weir_records_received counter\n", text)
        parse(text)

    def test_reloads_are_counted_by_result(self):
        agent = self.start(harness.ALL_TO_FILE)
        self.assertEqual(json.loads(agent.http("POST", "/v1/reload", {})[2])["result"], "unchanged")
        samples = parse(self.scrape(agent)[1])
        self.assertEqual({dict(labels)["result"]: n for (name, labels), n in samples.items() if name == "weir_config_reloads_total"},
                         {"applied": 0, "refused": 0, "unchanged": 1})

    @unittest.skipUnless(shutil.which("promtool"), "promtool (Debian: prometheus) is not installed")
    def test_promtool_finds_nothing_wrong(self):
        agent = self.start(harness.ALL_TO_FILE)
        check = subprocess.run(["promtool", "check", "metrics"], input=self.scrape(agent)[1], text=True, capture_output=True)
        self.assertEqual((check.returncode, check.stdout + check.stderr), (0, ""))

    def test_ready_says_which_sink_is_down_and_still_takes_records(self):
        os.mkdir(os.path.join(self.dir, "out.jsonl"))
        agent = self.start(harness.ALL_TO_FILE)
        agent.send_plain([harness.log("x")])
        agent.wait_status(lambda s: s["sinks"]["out"]["state"] == "down", "the sink is down")
        code, _, body = agent.http("GET", "/readyz")
        answer = json.loads(body)
        self.assertEqual((code, answer["status"]), (200, "ready"))
        self.assertEqual(len(answer["reasons"]), 1)
        self.assertRegex(answer["reasons"][0], r"^sink out: down: .*out\.jsonl")
        self.assertEqual(parse(self.scrape(agent)[1])["weir_sink_up", (("sink", "out"),)], 0)
        os.rmdir(os.path.join(self.dir, "out.jsonl"))
        agent.wait_delivered("out", 1)


if __name__ == "__main__":
    unittest.main()
