"""What is counted of a sink never goes down while reloads change it, take it away and bring it back."""
import threading
import unittest

import harness
from harness import log

CONFIG = """
streams: {log: {sinks: [SINKS]}}
sinks:
  other: {type: jsonl, path: "@/other.jsonl"}
  out: {type: jsonl, path: "@/out.jsonl", where: 'n >= LEAST'}
"""
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
        seen = set()
        for line in self.agent.http("GET", "/metrics")[2].decode().splitlines():
            series, _, value = line.rpartition(" ")
            if series.startswith(COUNTERS) and 'sink="out"' in series:
                self.see(series, float(value))
                seen.add(series.split("{")[0])
        missing = set(COUNTERS) - {"weir_records_filtered_total"} - seen
        if missing:
            self.faults.append("missing: %s" % sorted(missing))
        self.looks += 1


class Counters(harness.AgentTest):
    def reload(self, least, **options):
        self.write_config(CONFIG.replace("SINKS", "out, other").replace("LEAST", str(least)))
        code, _, body = self.agents[0].http("POST", "/v1/reload", options)
        self.assertEqual(code, 200, body)

    def test_counters_never_go_down_while_reloads_change_the_sink(self):
        agent = self.start(CONFIG.replace("SINKS", "out, other").replace("LEAST", "0"))
        lines = [log("m", n=n) for n in range(500)]
        agent.send_plain(lines)
        agent.wait_delivered("out", 500)
        watcher = Watcher(agent)
        watcher.start()
        try:
            for turn in range(1, 41):
                self.reload(turn % 7)
                agent.send_plain(lines)
            harness.wait_for(lambda: watcher.looks > 20 or watcher.faults, "the watcher looks")
        finally:
            watcher.enough.set()
            watcher.join()
        self.assertEqual(watcher.faults[:5], [])


if __name__ == "__main__":
    harness.main()
