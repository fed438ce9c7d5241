"""Producers that do what interface.md section 2 asks of a client: number, keep, resend after a fault what was not acknowledged.

Each is a process of its own, so that a killed agent, a killed client and several cores are real. The test and the
process share a few numbers (acked, sent, ...), which is what the test waits for.
"""
import ctypes
import json
import multiprocessing
import os
import select
import signal
import socket
import time

import harness

_fork = multiprocessing.get_context("fork")
LINE = '{"stream":"log","ts":"2026-01-21T10:00:00Z","level":"info","message":"m","p":"%s","n":%d,"pad":"%s"}\n'
CHUNK = 128
RETRY_S = 0.005  # between attempts to connect to an agent that is down


class Producer:
    """`level`: durable, buffered, received, or None for plain lines. It stops when told to (finish()), and then only with
    everything acknowledged. `window`: unacknowledged records at most. `per_second`: aims at that rate."""

    def __init__(self, socket_path, name, level, first=1, window=2000, per_second=None, pad=60, count=None, source_tcp=None):
        self.path, self.name, self.level, self.first = socket_path, name, level, first
        self.window, self.per_second, self.pad, self.count = window, per_second, "x" * pad, count
        self.tcp = source_tcp
        self._numbers = _fork.RawArray(ctypes.c_uint64, 8)
        self._fault = _fork.RawArray(ctypes.c_char, 2000)
        self._stop = _fork.RawValue(ctypes.c_int, 0)
        self._numbers[0] = self._numbers[1] = first - 1
        self.process = None

    acked = property(lambda self: self._numbers[0])       # every record up to this one is acknowledged
    sent = property(lambda self: self._numbers[1])        # handed to the kernel at least once (some of the last not whole)
    connects = property(lambda self: self._numbers[2])
    resent = property(lambda self: self._numbers[3])      # records that were sent more than once
    nacks = property(lambda self: self._numbers[4])
    last_ack_ns = property(lambda self: self._numbers[5])  # CLOCK_MONOTONIC
    recognised = property(lambda self: self._numbers[6])  # of the resent ones, the agent had already stored so many
    fault = property(lambda self: self._fault.value.decode())

    def start(self):
        self.process = _fork.Process(target=self._run, daemon=True)
        self.process.start()
        return self

    def kill(self):
        """kill -9, as the test's agent gets it."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.join()

    def again(self, **changes):
        """A new process of the same client; it knows what was acknowledged to the one before."""
        options = {"level": self.level, "window": self.window, "per_second": self.per_second, "pad": len(self.pad),
                   "count": self.count, "source_tcp": self.tcp}
        options.update(changes)
        return Producer(self.path, self.name, first=self.acked + 1, **options)

    def check(self):
        assert not self.fault, "producer %s: %s" % (self.name, self.fault)

    def finish(self, deadline_s=None):
        """Waits until all it has sent (with `count`: so many) is acknowledged and it has ended."""
        self._stop.value = 0 if self.count else 1
        self.process.join(deadline_s or harness.DEADLINE_S)
        self.check()
        assert self.process.exitcode == 0, "producer %s: exit code %s (None: still waits), acked %d of %d" % (
            self.name, self.process.exitcode, self.acked, self.sent)

    # --- in the process ----------------------------------------------------------------------------------------

    def _run(self):
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        parent = os.getppid()
        self._begin = time.monotonic()
        try:
            while not self._done() and os.getppid() == parent:
                try:
                    with self._connect() as sock:
                        if self.level:
                            self._talk(sock)
                        else:
                            self._pour(sock)
                except OSError:
                    select.select([], [], [], RETRY_S)
        except Exception as error:  # told to the test, which fails
            self._fault.value = ("%s: %s" % (type(error).__name__, error)).encode()[:1999]
            os._exit(1)
        os._exit(0)

    def _connect(self):
        sock = socket.socket(socket.AF_INET if self.tcp else socket.AF_UNIX)
        try:
            sock.connect(self.tcp or self.path)
        except OSError:
            sock.close()
            raise
        self._numbers[2] += 1
        return sock

    def _stopping(self):
        return self._stop.value or (self.count and self.sent - self.first + 1 >= self.count)

    def _done(self):
        return self._stopping() and (not self.level or self.acked >= self.sent)

    def _allowed(self, number):
        """May the record with this number be sent now? (pacing only)"""
        if not self.per_second:
            return True
        return number - self.first < (time.monotonic() - self._begin) * self.per_second + CHUNK

    def _lines(self, first, end):
        return "".join(LINE % (self.name, n, self.pad) for n in range(first, end)).encode()

    def _pour(self, sock):
        """Plain: what was under way when the agent died is not known, so it goes on behind it."""
        while not self._stopping():
            first = self.sent + 1
            if not self._allowed(first):
                select.select([], [], [], 0.002)
                continue
            data = self._lines(first, first + CHUNK)
            self._numbers[1] = first + CHUNK - 1
            sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(4096):
            pass

    def _talk(self, sock):
        sock.sendall((harness.compact({"weir": "hello", "client_id": self.name, "ack": self.level,
                                       "next_seq": self.acked + 1}) + "\n").encode())
        buffer, out, nxt, welcomed = b"", b"", self.acked + 1, False
        sock.setblocking(False)
        while True:
            if self._done() and welcomed:
                return
            more = welcomed and nxt - self.acked <= self.window and \
                (nxt <= self.sent or (not self._stopping() and self._allowed(nxt)))
            if not out and more:
                end = min(nxt + CHUNK, self.sent + 1) if nxt <= self.sent else nxt + CHUNK
                out, nxt = self._lines(nxt, end), end
                self._numbers[3] += max(0, min(self.sent + 1, end) - (end - CHUNK)) if end <= self.sent + 1 else 0
                self._numbers[1] = max(self.sent, end - 1)
            readable, writable, _ = select.select([sock], [sock] if out else [], [], 0.002 if not out else 0.25)
            if writable:
                try:
                    out = out[sock.send(out):]
                except BlockingIOError:
                    pass
            if not readable:
                continue
            try:
                got = sock.recv(65536)
            except BlockingIOError:
                continue
            if not got:
                return
            *lines, buffer = (buffer + got).split(b"\n")
            for line in lines:
                if not self._answer(json.loads(line)):
                    return
                welcomed = True

    def _answer(self, answer):
        """False: this connection is done with."""
        kind = answer["weir"]
        if kind == "welcome":
            assert answer["ack"] == self.level, "granted %s instead of %s" % (answer["ack"], self.level)
            assert answer["last_seq"] >= self.acked, "acknowledged up to %d, and now only %d is known" % (
                self.acked, answer["last_seq"])
            self._numbers[6] += max(0, min(answer["last_seq"], self.sent) - self.acked)
        elif kind == "ack":
            assert self.acked <= answer["seq"] <= self.sent, "ack %d, acked %d, sent %d" % (
                answer["seq"], self.acked, self.sent)
            self._numbers[0] = answer["seq"]
            self._numbers[5] = time.monotonic_ns()
        elif kind == "nack":
            self._numbers[4] += 1
            select.select([], [], [], 0.02)
            return False
        elif kind in ("policy", "drops"):
            pass
        else:
            raise AssertionError("unexpected answer %s" % answer)
        return True


class Fleet:
    """Several producers of one test; killed at its end whatever happens."""

    def __init__(self, test, socket_path=None):
        self.test, self.path = test, socket_path or test.path("in.sock")
        self.producers = []
        test.addCleanup(self._cleanup)

    def add(self, name, level, **options):
        producer = Producer(self.path, name, level, **options).start()
        self.producers.append(producer)
        return producer

    def replace(self, old, **changes):
        new = old.again(**changes).start()
        self.producers[self.producers.index(old)] = new
        return new

    def check(self):
        for p in self.producers:
            p.check()

    def numbered(self):
        return [p for p in self.producers if p.level]

    def acked(self):
        return {p.name: p.acked for p in self.numbered()}

    def wait_progress(self, records=1, names=None, deadline_s=None):
        """Every numbered producer (or those named) gets so many more acknowledgements."""
        before = {p.name: p.acked for p in self.numbered() if names is None or p.name in names}

        def moved():
            self.check()
            return all(p.acked >= before[p.name] + records for p in self.numbered() if p.name in before)
        harness.wait_for(moved, lambda: "progress of all producers: %s, then %s" % (before, self.acked()), deadline_s)

    def finish(self, deadline_s=None):
        for p in self.producers:
            p._stop.value = 0 if p.count else 1
        for p in self.producers:
            p.finish(deadline_s)

    def _cleanup(self):
        for p in self.producers:
            if p.process and p.process.is_alive():
                p.kill()
