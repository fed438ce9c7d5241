"""What is counted of a sink never goes down while reloads change it, take it away and bring it back."""
import contextlib
import json
import threading

import harness
from harness import log

OTHER = """
streams: {log: {sinks: [other]}}
sinks:
  other: {type: jsonl, path: "@/other.jsonl"}
"""
CHANGES = OTHER.replace("[other]", "[other, out]") + '  out: {type: jsonl, path: "@/out.jsonl", where: "n >= LEAST"}\n'
DEAD = OTHER.replace("[other]", "[other, out]") + '  out: {type: http, url: "http://127.0.0.1:9/", backoff: {min: 10ms, max: 20ms}}\n'
COUNTERS = ("weir_records_routed_total", "weir_records_delivered_total", "weir_records_filtered_total", "weir_sink_retries_total",
            "weir_sink_delivery_seconds_count", "weir_sink_latency_seconds_count")


class Watcher(threading.Thread):
    """Reads status and metrics as fast as it can, and writes down what went down or was missing."""

    def __init__(self, agent):
        super().__init__()
        self.agent, self.enough, self.faults, self.looks, self.last = agent, threading.Event(), [], 0, {}

    def see(self, name, value):
        if value < self.last.get(name, 0):
            self.faults.append("%s went from %s to %s" % (name, self.last[name], value))
        self.last[name] = value

    def run(self):
        try:
            while not self.enough.is_set():
                self.look()
        except Exception as error:  # shown by the test
            self.faults.append(repr(error))

    def look(self):
        status = self.agent.status()
        sink = status["sinks"]["out"]
        for name in ("routed", "delivered"):
            self.see(name, sink[name])
        self.see("filtered", sum(sink["filtered"].values()))
        if status["conservation_error"]:
            self.faults.append("conservation_error %s" % status["conservation_error"])
        seen, found = set(), set()
        for line in self.agent.http("GET", "/metrics")[2].decode().splitlines():
            series, _, value = line.rpartition(" ")
            if series.startswith(COUNTERS) and 'sink="out"' in series:
                if series in found:
                    self.faults.append("twice: " + series)
                found.add(series)
                self.see(series, float(value))
                seen.add(series.split("{")[0])
        missing = set(COUNTERS) - {"weir_records_filtered_total"} - seen
        if missing:
            self.faults.append("missing: %s" % sorted(missing))
        self.looks += 1


class Counters(harness.AgentTest):
    def reload(self, config, **options):
        self.write_config(config)
        code, _, body = self.agents[0].http("POST", "/v1/reload", options)
        self.assertEqual((code, json.loads(body)["result"]), (200, "applied"), body)

    @contextlib.contextmanager
    def watched(self, agent):
        watcher = Watcher(agent)
        watcher.start()
        try:
            yield
            harness.wait_for(lambda: watcher.looks > 20 or watcher.faults, "the watcher looks")
        finally:
            watcher.enough.set()
            watcher.join()
        self.assertEqual(watcher.faults[:5], [])

    def test_counters_never_go_down_while_reloads_change_the_sink(self):
        agent = self.start(CHANGES.replace("LEAST", "0"))
        lines = [log("m", n=n) for n in range(500)]
        agent.send_plain(lines)
        agent.wait_delivered("out", 500)
        with self.watched(agent):
            for turn in range(1, 101):
                self.reload(CHANGES.replace("LEAST", str(turn % 7)))
                agent.send_plain(lines)

    def test_a_sink_that_drains_and_comes_back_is_there_all_the_time(self):
        agent = self.start("journal: {type: disk}\n" + DEAD)
        agent.send_plain([log("m", n=n) for n in range(500)])
        agent.wait_status(lambda s: s["sinks"]["out"]["state"] == "retrying", "out does not get through")
        with self.watched(agent):
            for _ in range(30):
                self.reload("journal: {type: disk}\n" + OTHER, drain=True)
                self.reload("journal: {type: disk}\n" + DEAD)
        status = agent.wait_status(lambda s: s["sinks"]["out"]["state"] == "retrying", "it goes on trying")
        self.assertEqual(status["sinks"]["out"]["lag_records"], 500)


if __name__ == "__main__":
    harness.main()
