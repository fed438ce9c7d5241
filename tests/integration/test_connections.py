"""Thousands of connections, most of them idle and some dripping a byte now and then: an honest producer goes on beside them."""
import json
import multiprocessing
import os
import resource
import select
import socket
import time
import unittest

import harness
from faults.scrape import figures, rss_peak_bytes

CONNECTIONS, DRIPPING = (10_000, 2_000) if harness.LONG else (1_000, 200)
SPARE = 500  # descriptors beside those of connections
ACKNOWLEDGED = 300_000 if harness.LONG else 3_000
DRIPS_PER_S = 20_000


def drip(path, count, ready):
    """`count` connections; each in turn gets one more byte of a record that never ends."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    socks = [dial(path) for _ in range(count)]
    ready.set()
    text, sent, begin = b'{"stream":"log","message":"' + b"x" * 100_000, 0, time.monotonic()
    while True:
        for sock in socks:
            sock.send(text[sent // count:sent // count + 1])
            sent += 1
        select.select([], [], [], max(0, begin + sent / DRIPS_PER_S - time.monotonic()))  # the pace of the load, waited for by nobody


def dial(path):
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(path)
    return sock


class Connections(harness.AgentTest):
    def test_an_honest_producer_beside_thousands(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard < CONNECTIONS + SPARE:
            self.skipTest("%d open files are allowed here, %d are needed" % (hard, CONNECTIONS + SPARE))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))  # the agent knows that it may have more
        agent = self.start(harness.ALL_TO_FILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        path, ready = self.path("in.sock"), multiprocessing.Event()
        dripping = multiprocessing.Process(target=drip, args=[path, DRIPPING, ready], daemon=True)
        dripping.start()
        self.addCleanup(dripping.kill)
        idle = [dial(path) for _ in range(CONNECTIONS - DRIPPING)]
        self.addCleanup(lambda: [sock.close() for sock in idle])
        self.assertTrue(ready.wait(harness.DEADLINE_S))
        agent.wait_status(lambda s: s["sources"]["local"]["connections"] == CONNECTIONS, "all connected")
        took_ms = []
        with agent.connect() as honest:
            honest.hello(client_id="honest", ack="received", next_seq=1)
            for n in range(1, ACKNOWLEDGED + 1):
                begin = time.monotonic()
                honest.send([harness.log(str(n))])
                self.assertEqual(honest.read_line(), {"weir": "ack", "seq": n})
                took_ms.append((time.monotonic() - begin) * 1000)
        took_ms.sort()
        status = agent.status()
        peak = rss_peak_bytes(agent.pid)
        figures("connections", connections=CONNECTIONS, dripping=DRIPPING, p50_ms=round(took_ms[len(took_ms) // 2], 2),
                p99_ms=round(took_ms[len(took_ms) * 99 // 100], 2), max_ms=round(took_ms[-1], 2), rss_mib_peak=peak >> 20)
        dripping.kill()
        agent.wait_status(lambda s: s["sources"]["local"]["connections"] == len(idle), "those that dripped are gone")
        self.assertGreaterEqual(status["sources"]["local"]["connections"], CONNECTIONS)
        agent.wait_delivered("out", ACKNOWLEDGED)
        self.assertEqual([json.loads(line)["message"] for line in agent.lines()], [str(n) for n in range(1, ACKNOWLEDGED + 1)])
        self.assertEqual(agent.source()["rejected"], {"truncated": DRIPPING})
        if not harness.SANITIZED:
            self.assertLess(peak, 160 << 20)
            if harness.LONG:
                self.assertLess(took_ms[len(took_ms) * 99 // 100], 50)


if __name__ == "__main__":
    unittest.main()
