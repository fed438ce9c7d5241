"""What the tests of the Python client share: where it is, a client that keeps what it would send, an agent made of a socket."""
import json
import logging
import os
import shutil
import socket
import struct
import sys
import tempfile
import threading
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "client", "python"))
DEADLINE_S = 20

from weir import frames  # noqa: E402
from weir.client import Client  # noqa: E402
from weir.connection import Address  # noqa: E402
from weir.encode import log_line  # noqa: E402
from weir.policy import Policy  # noqa: E402

logging.getLogger("weir.client").addHandler(logging.NullHandler())  # else what it says goes to stderr
_pace = threading.Event()  # never set: wait() on it only paces the polling of a condition


def wait_for(condition, what, deadline_s=DEADLINE_S):
    """Polls until condition() is true; returns its value."""
    end = time.monotonic() + deadline_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError("never came true: " + what)
        _pace.wait(0.002)


class KeepingClient(Client):
    """Records end in a list; no thread, no socket."""

    def __init__(self, policy=None, **settings):
        super().__init__(None, **settings)
        self.lines = []
        self.policy = Policy(policy)

    def put(self, item, size):
        self.lines.append(item if isinstance(item, bytes) else log_line(self.log_head, *item))
        return True

    def records(self):
        """Parsed strictly: a key that is there twice, or NaN, is an error."""
        return [strict(line) for line in self.lines]

    def all_dropped(self):
        return sum(self.dropped().values())


def strict(line):
    def once(pairs):
        keys = [k for k, _ in pairs]
        assert len(set(keys)) == len(keys), "a key twice in %r" % line
        return dict(pairs)

    def refuse(text):
        raise AssertionError("not JSON: " + text)
    assert b"\n" not in line
    return json.loads(line.decode("utf-8"), object_pairs_hook=once, parse_constant=refuse)


class FakeAgent:
    """One connection at a time, by hand: the test says what it answers."""

    def __init__(self, path):
        self.path = path
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(8)
        self.listener.settimeout(DEADLINE_S)
        self.sock = None
        self.buffer = b""

    def accept(self):
        """The next connection, up to its HELLO, which is returned. The magic is answered."""
        if self.sock is not None:
            self.sock.close()
        self.sock, _ = self.listener.accept()
        self.sock.settimeout(DEADLINE_S)
        self.buffer = b""
        assert self._read(5) == frames.MAGIC
        self.sock.sendall(frames.MAGIC)
        kind, payload = self.read()
        assert kind == frames.HELLO
        return json.loads(payload)

    def welcome(self, last_seq=0, policy=None, ack="buffered", record_bytes_max=262144, **more):
        self.say(frames.WELCOME, json.dumps({
            "proto": [1, 0], "ack": ack, "last_seq": last_seq, "policy": policy or {},
            "limits": {"record_bytes_max": record_bytes_max, "payload_bytes_max": record_bytes_max + 65536}, **more}).encode())

    def say(self, kind, payload=b""):
        self.sock.sendall(frames.pack(kind, payload))

    def ack(self, seq):
        self.say(frames.ACK, struct.pack("<Q", seq))

    def read(self):
        """(type, payload) of the next frame; None at the end."""
        header = self._read(8)
        if header is None:
            return None
        length, kind, _, _ = struct.unpack("<IBBH", header)
        return kind, self._read(length) if length else b""

    def read_records(self, count):
        """Reads frames of records until `count` have come, and no more: [(number, record)]."""
        got = self.read_to(lambda got: len(got) >= count)
        assert len(got) == count, got
        return got

    def read_to(self, end):
        """Reads frames of records up to a number, or until end(all of them)."""
        got = []
        while not (end(got) if callable(end) else got and got[-1][0] >= end):
            frame = self.read()
            assert frame is not None, "closed after %s" % got
            assert frame[0] == frames.REC_JSON, frame
            (first,) = struct.unpack("<Q", frame[1][:8])
            lines = frame[1][8:].split(b"\n")
            assert lines.pop() == b""
            got += [(first + i, strict(line)) for i, line in enumerate(lines)]
        return got

    def _read(self, count):
        while len(self.buffer) < count:
            got = self.sock.recv(65536)
            if not got:
                return None
            self.buffer += got
        out, self.buffer = self.buffer[:count], self.buffer[count:]
        return out

    def close(self):
        for sock in (self.sock, self.listener):
            if sock is not None:
                sock.close()


class FakeAgentTest(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="weir-py-")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.path = os.path.join(self.dir, "in.sock")
        self.clients = []

    def agent(self):
        agent = FakeAgent(self.path)
        self.addCleanup(agent.close)
        return agent

    def client(self, **settings):
        client = Client(Address("unix", self.path), **settings)
        self.addCleanup(client.close, 0.0)
        return client
