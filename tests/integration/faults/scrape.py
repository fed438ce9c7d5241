"""Looks at the books all the time, whoever runs: the law of delivery.md section 2 must hold at every scrape."""
import http.client
import json
import os
import threading

import harness


class Scraper:
    def __init__(self, test, control=None, every_s=0.02):
        self.test, self.control, self.every_s = test, control or test.path("control.sock"), every_s
        self.count, self.faults, self.rss_max = 0, [], 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        test.addCleanup(self.stop)

    def _run(self):
        while not self._stop.wait(self.every_s):
            connection = harness.UnixHTTPConnection(self.control)
            try:
                connection.request("GET", "/v1/status")
                answer = connection.getresponse()
                body = answer.read()
                if answer.status != 200:
                    continue
                self._look(json.loads(body))
            except (OSError, http.client.HTTPException, json.JSONDecodeError):
                pass  # it was killed meanwhile
            finally:
                connection.close()

    def _look(self, status):
        self.count += 1
        try:
            harness.assert_conserved(self.test, status)
        except AssertionError as error:
            if len(self.faults) < 5:
                self.faults.append("%s in %s" % (str(error)[:400], json.dumps(status)[:3000]))
        self.rss_max = max(self.rss_max, rss_bytes(status["pid"]))

    def stop(self):
        self._stop.set()
        self._thread.join()

    def check(self, at_least=1):
        self.stop()
        self.test.assertEqual(self.faults, [], "books that do not balance")
        self.test.assertGreaterEqual(self.count, at_least, "scrapes")


def rss_bytes(pid):
    try:
        with open("/proc/%d/status" % pid, encoding="ascii") as f:
            for line in f:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def rss_peak_bytes(pid):
    with open("/proc/%d/status" % pid, encoding="ascii") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith("VmHWM:"))


def figures(name, **values):
    """One JSON line of what was measured; $WEIR_FIGURES: a file that gets it, too."""
    line = json.dumps({"test": name, "long": harness.LONG, **values})
    print("FIGURES " + line, flush=True)
    if os.environ.get("WEIR_FIGURES"):
        with open(os.environ["WEIR_FIGURES"], "a", encoding="utf-8") as f:
            f.write(line + "\n")


def percentile(values, p):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * p / 100))]
