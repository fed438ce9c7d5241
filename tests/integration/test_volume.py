"""A million trace records over eight connections into two sinks: all there, in order, in bounded memory."""
import filecmp
import multiprocessing
import os
import socket
import unittest

import harness

COUNT = 100_000 if harness.SANITIZED else 1_000_000
CONNECTIONS = 8
PER_CONNECTION = COUNT // CONNECTIONS
CHUNK = 500
CONFIG = """
journal: {type: memory, max_bytes: 16MiB}
streams:
  trace: {sinks: [one, two], context_diff: {mode: whitelist, whitelist: [decision, run_id]}}
sinks:
  one: {type: jsonl, path: "@/one.jsonl"}
  two: {type: jsonl, path: "@/two.jsonl"}
"""
# What is sent and what must come out, per record number. Odd records have no context: byte for byte the same.
HEAD = (b'{"stream":"trace","n":%d,"c":CCC,"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","scenario":"order-intake","step_index":3,'
        b'"step_name":"reserve_stock","t_enter":"2026-01-21T10:00:00.120Z","duration_ms":622.60,"msg_in":{"type_name":"OrderPlaced"},')
TAIL = b'"msg_out_count":1,"status":"ok","error":null,"big":12345678901234567890123,"t":"caf\\u00e9 \xc3\xa9"}\n'
WITH_CONTEXT = HEAD + (b'"ctx_before":{"decision":"new","order_id":8812,"run_id":"r-7","token":"0badcafe"},'
                       b'"ctx_after":{"order_id":8812,"decision":"approved","run_id":"r-7","token":"deadbeef"},') + TAIL
WITHOUT_CONTEXT = HEAD + b'"attributes": { "a" : [1, 2.50] },"pad":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",' + TAIL
FILTERED = HEAD + (b'"ctx_before":{"decision":"new","run_id":"r-7"},"ctx_after":{"decision":"approved","run_id":"r-7"},' +
                   TAIL[:-2] + b',"ctx_diff":{"decision":{"before":"new","after":"approved"}}}\n')


def pairs(even, odd, connection):
    """A template of CHUNK records, for one `%` with their numbers."""
    return ((even + odd) * (CHUNK // 2)).replace(b"CCC", b"%d" % connection)


def send(path, connection):
    template = pairs(WITH_CONTEXT, WITHOUT_CONTEXT, connection)
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(path)
    for first in range(0, PER_CONNECTION, CHUNK):
        sock.sendall(template % tuple(range(first, first + CHUNK)))
    sock.shutdown(socket.SHUT_WR)
    while sock.recv(4096):
        pass


class Volume(harness.AgentTest):
    def test_every_record_in_each_file(self):
        agent = self.start(CONFIG)
        fork = multiprocessing.get_context("fork")
        senders = [fork.Process(target=send, args=(self.path("in.sock"), c)) for c in range(CONNECTIONS)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
        self.assertEqual([s.exitcode for s in senders], [0] * CONNECTIONS)
        status = agent.wait_status(lambda s: all(x["lag_records"] == 0 for x in s["sinks"].values()), "both sinks have everything")
        self.assertEqual(status["sources"]["local"]["journalled"], COUNT)
        self.assertEqual([s["delivered"] for s in status["sinks"].values()], [COUNT, COUNT])
        with open("/proc/%d/status" % agent.pid) as f:
            peak_kib = int(next(x for x in f if x.startswith("VmHWM")).split()[1])
        agent.stop()
        self.check_file()
        self.assertTrue(filecmp.cmp(self.path("one.jsonl"), self.path("two.jsonl"), shallow=False), "both files are the same, byte for byte")
        print("peak RSS %.1f MiB" % (peak_kib / 1024))
        if not harness.SANITIZED:
            self.assertLess(peak_kib, 64 * 1024)

    def check_file(self):
        """Each connection's lines are exactly the expected ones, in order. Compared in chunks, so that Python keeps up."""
        templates = [pairs(FILTERED, WITHOUT_CONTEXT, c) for c in range(CONNECTIONS)]
        marks = [b'"c":%d,' % c for c in range(CONNECTIONS)]
        waiting = [[] for _ in range(CONNECTIONS)]
        checked = [0] * CONNECTIONS
        with open(self.path("one.jsonl"), "rb") as f:
            for line in f:
                c = next(c for c, mark in enumerate(marks) if mark in line)
                waiting[c].append(line)
                if len(waiting[c]) == CHUNK:
                    want = templates[c] % tuple(range(checked[c], checked[c] + CHUNK))
                    if b"".join(waiting[c]) != want:
                        for number, (got, wanted) in enumerate(zip(waiting[c], want.splitlines(keepends=True)), checked[c]):
                            self.assertEqual(got, wanted, "connection %d, record %d" % (c, number))
                    checked[c] += CHUNK
                    waiting[c].clear()
        self.assertEqual(checked, [PER_CONNECTION] * CONNECTIONS)
        self.assertEqual([len(w) for w in waiting], [0] * CONNECTIONS)
        self.assertGreater(os.path.getsize(self.path("one.jsonl")), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
