"""The example programs do what their first lines say."""
import json
import os
import re
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))
import harness
from agent_support import EXAMPLES, PythonTest, by_member  # first: it puts the client on the path
from harness import ALL_TO_FILE

LOAD = os.path.join(harness.ROOT, "tests", "python", "http_load.py")
REQUESTS_PER_S, SECONDS = 1000, 20 if harness.LONG else 3
BARE_P99_MS_MAX = 5  # above it the cores are somebody else's


class Orders(PythonTest):
    def test_the_pipeline_shows_in_weir_tail_and_the_failure_with_it(self):
        agent = self.start(ALL_TO_FILE)
        out = self.run_python("", os.path.join(EXAMPLES, "orders.py"))
        self.assertRegex(out, r"^\d+ records acknowledged, 0 not\n$")
        self.wait_drained(agent)
        tail = self.weir("tail", "trace", "-n", "100", "--no-follow", "-o", "json", "--control", agent.control)
        self.assertEqual(tail.returncode, 0, tail.stderr)
        records = [json.loads(line) for line in tail.stdout.splitlines()]
        self.assertEqual([r for r in records if r.get("step_name")], [r for r in agent.records() if r.get("step_name")])
        traces = {}
        for r in records:
            traces.setdefault(r["correlation_id"], []).append(r)
        names = {k: [r.get("step_name") or r["name"] for r in v] for k, v in traces.items()}
        whole = ["shop", "validate", "catalogue.lookup", "price", "approve", "ship", "carrier"]
        self.assertEqual(names, {"1001": whole, "1002": whole[:5], "1003": whole})
        for records_of_one in traces.values():
            self.assertEqual(len({r["trace_id"] for r in records_of_one}), 1)
        failed = traces["1002"][-1]
        self.assertEqual((failed["status"], failed["error"]["type"]), ("error", "PermissionError"))
        self.assertEqual(failed["ctx_diff"], {"decision": {"before": "new", "after": "refused"}})
        shipped = traces["1001"][5]
        self.assertEqual(shipped["ctx_diff"], {"parcel": {"before": None, "after": "P-1001"}})
        lookup, price = traces["1001"][2:4]
        self.assertEqual(lookup["parent_span_id"], price["span_id"])
        pretty = self.weir("tail", "trace", "-n", "100", "--no-follow", "--control", agent.control).stdout
        self.assertRegex(pretty, r"PermissionError")
        logs = [r for r in agent.records() if r["stream"] == "log"]
        self.assertEqual(by_member(logs, "correlation_id"), ["1001", "1002", "1003", "1003"])

    def test_without_an_agent_it_does_its_work_and_says_that_nobody_listened(self):
        out = self.run_python("", os.path.join(EXAMPLES, "orders.py"), exit_code=1, no_agent=1)
        self.assertRegex(out, "^0 records acknowledged, [1-9]")


class Service(PythonTest):
    def load(self, *options):
        """Starts the service, loads it, ends it: (what the load saw, what the service said at its end)."""
        service = self.python("", os.path.join(EXAMPLES, "service.py"), "--port", "0", *options)
        self.addCleanup(service.communicate)
        self.addCleanup(service.kill)
        port = re.fullmatch(r"ready (\d+)\n", service.stdout.readline().decode()).group(1)
        for seconds in (0.5, SECONDS):  # the first is to warm up
            done = subprocess.run([sys.executable, LOAD, port, str(REQUESTS_PER_S), str(seconds)], stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, timeout=SECONDS + 250)
            self.assertEqual((done.returncode, done.stderr), (0, b""))
        service.send_signal(signal.SIGTERM)
        out, err = service.communicate(timeout=harness.DEADLINE_S)
        self.assertEqual((service.returncode, err), (0, b""))
        return json.loads(done.stdout), out

    def test_under_load_it_keeps_its_promises(self):
        """Traces count every time. Time counts in the long test, when the bare service keeps its pace before and after."""
        agent = self.start(ALL_TO_FILE)
        judged = None
        for _ in range(3):
            bare, _ = self.load("--bare")
            seen, out = self.load()
            stats = json.loads(out)
            self.assertEqual(seen["statuses"], {"201": REQUESTS_PER_S * SECONDS})
            self.wait_drained(agent)
            steps = [r for r in agent.records() if r.get("step_name") == "order.create"]
            collected = set(by_member(steps, "trace_id")) & set(seen["ids"])
            share = len(collected) / len(seen["ids"])
            added = (seen["p50"] - bare["p50"], seen["p99"] - bare["p99"])
            print("\n%d requests/s: added %.2f ms (p50), %.2f ms (p99) to %.2f and %.2f; traces %.3f %%; dropped %d" % (
                  seen["per_s"], *added, bare["p50"], bare["p99"], share * 100, sum(stats["dropped"].values())), file=sys.stderr)
            self.assertGreaterEqual(share, 0.999)
            self.assertEqual(len(steps), len(set(by_member(steps, "trace_id"))))
            self.assertTrue({r["trace_id"] for r in agent.records() if r.get("name") == "stock.reserve"} >= collected)
            self.assertEqual(next(r for r in agent.records() if r["stream"] == "log")["correlation_id"][:2], "c-")
            if not harness.LONG or max(added) < 2 and seen["per_s"] > 0.98 * REQUESTS_PER_S:
                return
            if bare["p99"] < BARE_P99_MS_MAX and self.load("--bare")[0]["p99"] < BARE_P99_MS_MAX:
                judged = added
        if judged is None or harness.SANITIZED:
            self.skipTest("others use this machine: the bare service has %.0f ms at p99" % bare["p99"])
        self.fail("added %.2f ms at p50, %.2f ms at p99; %d requests/s" % (*judged, seen["per_s"]))

    def test_headers_come_back(self):
        self.start(ALL_TO_FILE)
        service = self.python("", os.path.join(EXAMPLES, "service.py"), "--port", "0")
        port = int(service.stdout.readline().split()[1])
        connection = harness.http.client.HTTPConnection("127.0.0.1", port, timeout=harness.DEADLINE_S)
        for body, status in ((b'{"item": "tea"}', 201), (b'{"item": "yeti"}', 404), (b"[]", 400), (b"x", 400)):
            connection.request("POST", "/orders", body, {"X-Correlation-ID": "c-7"})
            answer = connection.getresponse()
            answer.read()
            self.assertEqual(answer.status, status, body)
            if status == 201:
                self.assertEqual(answer.getheader("X-Correlation-ID"), "c-7")
        connection.close()
        service.terminate()
        self.assertEqual(service.communicate(timeout=harness.DEADLINE_S)[1], b"")


if __name__ == "__main__":
    harness.main()
