"""GET /metrics and /readyz on the control socket and over TCP (interface.md sections 4 and 6), and what is made of them in deploy/."""
import json
import os
import re
import shutil
import socket
import subprocess
import unittest
import urllib.error
import urllib.parse
import urllib.request

import harness

DEPLOY = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "deploy")

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
            family = name if name in types else re.sub("_(total|bucket|sum|count)$", "", name)
            assert family in types, "not announced: " + name
            assert family == name or (types[family] == "histogram") == (not name.endswith("_total")), name
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

    def histogram(self, samples, name, **label):
        """(records up to each bound, all of them, their sum), checked for form."""
        own = tuple(sorted(label.items()))
        buckets = {dict(labels)["le"]: n for (sample, labels), n in samples.items()
                   if sample == name + "_bucket" and tuple(x for x in labels if x[0] != "le") == own}
        self.assertEqual(list(buckets)[-1], "+Inf")
        bounds = [float(le) for le in buckets]
        self.assertEqual(bounds, sorted(set(bounds)))
        self.assertEqual(list(buckets.values()), sorted(buckets.values()), "cumulative")
        self.assertEqual(buckets["+Inf"], samples[(name + "_count", own)])
        return buckets, samples[(name + "_count", own)], samples[(name + "_sum", own)]

    def test_histograms_count_every_record_once(self):
        agent = self.start("journal: {type: disk, max_bytes: 64MiB}\n" + harness.ALL_TO_FILE.replace("log: {sinks: [out]}", "log: {sinks: [out, some, dead]}") +
                           "  some: {type: jsonl, path: '@/some.jsonl', where: 'message == \"x\"'}\n  dead: {type: http, url: 'http://127.0.0.1:9/'}\n")
        with agent.connect() as c:
            c.hello(client_id="a", ack="durable")
            c.send([harness.log("x")] * 20 + ["not json"])
            c.read_to_ack(21)
        agent.send_plain([harness.log("y")] * 30 + [harness.trace("t")] * 7)
        agent.wait_status(lambda s: s["sinks"]["out"]["delivered"] == 57 and s["sinks"]["some"]["lag_records"] == 0 and s["sinks"]["dead"]["state"] == "retrying",
                          "all is delivered")
        for accept in (None, OPEN_METRICS):
            samples = parse(self.scrape(agent, accept)[1])
            self.assertEqual(self.histogram(samples, "weir_stage_duration_seconds", stage="journalled")[1], 57)
            self.assertEqual(self.histogram(samples, "weir_stage_duration_seconds", stage="acknowledged")[1], 21)
            self.assertEqual(self.histogram(samples, "weir_sink_latency_seconds", sink="out")[1], 57)
            self.assertEqual(self.histogram(samples, "weir_sink_latency_seconds", sink="some")[1], 20)
            self.assertEqual(self.histogram(samples, "weir_sink_latency_seconds", sink="dead")[1:], (0, 0))
            self.assertGreaterEqual(self.histogram(samples, "weir_sink_delivery_seconds", sink="dead")[1], 1)
            for name, label in (("weir_journal_fsync_seconds", {}), ("weir_sink_delivery_seconds", {"sink": "out"}), ("weir_sink_latency_seconds", {"sink": "out"})):
                _, count, total = self.histogram(samples, name, **label)
                self.assertTrue(count > 0 and 0 < total < count * harness.DEADLINE_S, name)

    def test_latency_has_the_time_that_a_sink_was_away(self):
        """Of each record its own: the one that waited does not make the others late."""
        os.mkdir(os.path.join(self.dir, "out.jsonl"))
        agent = self.start(harness.ALL_TO_FILE)
        agent.send_plain([harness.log("x")])
        agent.wait_status(lambda s: s["sinks"]["out"]["state"] == "down", "the sink is down")
        os.rmdir(os.path.join(self.dir, "out.jsonl"))
        agent.wait_delivered("out", 1)
        for n in range(2, 12):
            agent.send_plain([harness.log("x")])
            agent.wait_delivered("out", n)
        buckets, count, total = self.histogram(parse(self.scrape(agent)[1]), "weir_sink_latency_seconds", sink="out")
        self.assertEqual(count, 11)
        self.assertLessEqual(buckets["0.05"], 10, "the first one took longer")
        self.assertGreaterEqual(total, 0.05)

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


class OverTcp(harness.AgentTest):
    def start_with_metrics(self):
        agent = self.start('metrics: {bind: "127.0.0.1:0"}\n' + harness.ALL_TO_FILE)
        address = [a for a in agent.addresses if a.startswith("metrics:")]
        self.assertEqual(len(address), 1, agent.addresses)
        return agent, address[0][len("metrics:"):]

    def get(self, address, path):
        try:
            with urllib.request.urlopen("http://%s%s" % (address, path), timeout=harness.DEADLINE_S) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def test_metrics_and_health_and_nothing_else(self):
        _, address = self.start_with_metrics()
        parse(self.get(address, "/metrics")[1])
        self.assertEqual([self.get(address, p)[0] for p in ("/metrics", "/healthz", "/readyz")], [200] * 3)
        self.assertEqual([self.get(address, p)[0] for p in ("/v1/status", "/v1/tail", "/v1/reload", "/")], [404] * 4)

    def test_an_address_that_others_can_reach_needs_to_be_asked_for(self):
        path = self.write_config('metrics: {bind: "0.0.0.0:0"}\n' + harness.ALL_TO_FILE)
        check = subprocess.run([harness.BINARY, "check", path], capture_output=True, text=True)
        self.assertEqual(check.returncode, 78)
        self.assertRegex(check.stdout, r"weir\.yaml:\d+:\d+: metrics\.bind: 0\.0\.0\.0 can be reached from outside.*insecure: true")

    @unittest.skipUnless(shutil.which("prometheus"), "prometheus (Debian: prometheus) is not installed")
    def test_prometheus_scrapes_it(self):
        _, address = self.start_with_metrics()
        self.write("prometheus.yml", "global: {scrape_interval: 200ms}\nscrape_configs: [{job_name: weir, static_configs: [{targets: ['%s']}]}]\n" % address)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        with open(self.path("prometheus.log"), "wb") as log:
            server = subprocess.Popen(["prometheus", "--config.file=" + self.path("prometheus.yml"), "--storage.tsdb.path=" + self.path("tsdb"),
                                       "--web.listen-address=127.0.0.1:%d" % port], stdout=log, stderr=log)
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)

        def scraped():
            try:  # it is not up yet, or says 503 while it starts
                text = self.get("127.0.0.1:%d" % port, "/api/v1/query?query=" + urllib.parse.quote("weir_conservation_error{job='weir'}"))[1]
                return json.loads(text)["data"]["result"]
            except (OSError, ValueError):
                return []

        self.assertEqual(harness.wait_for(scraped, "prometheus has scraped")[0]["value"][1], "0")


class Deploy(harness.AgentTest):
    def test_rules_and_dashboard_use_metrics_that_there_are(self):
        agent = self.start(harness.ALL_TO_FILE)
        families = [line.split(" ")[2:] for line in agent.http("GET", "/metrics")[2].decode().splitlines() if line.startswith("# TYPE")]
        names = {name + suffix for name, kind in families for suffix in (("_bucket", "_sum", "_count") if kind == "histogram" else ("",))}
        for path in ("prometheus/weir.rules.yaml", "grafana/weir.json"):
            with open(os.path.join(DEPLOY, path), encoding="utf-8") as f:
                text = f.read()
            used = set(re.findall(r"\b(?:weir|process)_[a-z_]+\b(?=[{\[ ])", text))
            self.assertGreater(len(used), 5)
            self.assertEqual(used - names, set(), path)

    @unittest.skipUnless(shutil.which("promtool"), "promtool (Debian: prometheus) is not installed")
    def test_rules_do_what_they_say(self):
        done = subprocess.run(["promtool", "test", "rules", "weir.rules.test.yaml"], cwd=os.path.join(DEPLOY, "prometheus"), capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main()
