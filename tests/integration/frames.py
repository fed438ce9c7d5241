"""The framed protocol (proto/WIRE.md) from a client's side: a small reference in Python.

    with frames.connect(agent) as c:
        welcome = c.hello(client_id="orders-7", ack="durable", next_seq=1)
        c.send(frames.records(1, [harness.log("a"), harness.log("b")]))
        c.read_to_ack(2)
"""
import json
import struct

import harness

MAGIC = b"WEIR\x01"
(HELLO, WELCOME, RING, SITE, STR, REC_BIN, REC_JSON, DROPS, SYNC, BYE, ACK, NACK, POLICY, ERROR, REJECT) = range(1, 16)
CRITICAL = 1
NAMES = ("HELLO WELCOME RING SITE STR REC_BIN REC_JSON DROPS SYNC BYE ACK NACK POLICY ERROR REJECT").split()
CODES = {1: "bad_json", 2: "not_an_object", 3: "no_stream", 4: "unknown_stream", 5: "bad_utf8", 6: "duplicate_key",
         7: "too_long", 8: "too_deep", 9: "too_many_keys", 10: "bad_field", 11: "truncated", 100: "full",
         101: "failed", 102: "not_yours"}


def frame(kind, payload=b"", flags=0):
    if isinstance(payload, str):
        payload = payload.encode()
    return struct.pack("<IBBH", len(payload), kind, flags, 0) + payload


def hello(**members):
    return frame(HELLO, harness.compact({"proto": [1, 0], "min": 1, **members}))


def records(first_seq, lines):
    return frame(REC_JSON, struct.pack("<Q", first_seq) + (lines if isinstance(lines, bytes) else harness.as_bytes(lines)))


def drops(count, why=""):
    return frame(DROPS, struct.pack("<Q", count) + why.encode())


class Frame:
    """One frame of the agent, with what its type holds: json, seq, code, reason, text."""

    def __init__(self, kind, flags, payload):
        self.kind, self.flags, self.payload = kind, flags, payload
        self.name = NAMES[kind - 1] if 1 <= kind <= len(NAMES) else "type %d" % kind
        if kind in (WELCOME, POLICY):
            self.json = json.loads(payload)
        elif kind == ACK:
            (self.seq,) = struct.unpack("<Q", payload)
        elif kind in (NACK, REJECT):
            self.seq, self.code = struct.unpack("<QH", payload[:10])
            self.reason, self.text = CODES[self.code], payload[10:].decode()
        elif kind in (BYE, ERROR):
            self.text = payload.decode()

    def __repr__(self):
        return "%s %r" % (self.name, self.payload)


class FrameConnection:
    """One connection that has sent the magic; the agent's is read before its first frame."""

    def __init__(self, sock, magic=True):
        self.sock, self.buffer, self.magic_read = sock, b"", False
        sock.settimeout(harness.DEADLINE_S)
        if magic:
            sock.sendall(MAGIC)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data)

    def half_close(self):
        self.sock.shutdown(harness.socket.SHUT_WR)

    def read_bytes(self, count):
        """So many bytes; None when the agent has closed before the first of them."""
        while len(self.buffer) < count:
            try:
                got = self.sock.recv(65536)
            except ConnectionResetError:
                got = b""
            if not got:
                assert not self.buffer, "closed in the middle of a frame: %r" % self.buffer
                return None
            self.buffer += got
        out, self.buffer = self.buffer[:count], self.buffer[count:]
        return out

    def read(self):
        """The agent's next frame; None when it has closed."""
        if not self.magic_read:
            magic = self.read_bytes(len(MAGIC))
            if magic is None:
                return None
            assert magic == MAGIC, magic
            self.magic_read = True
        header = self.read_bytes(8)
        if header is None:
            return None
        length, kind, flags, reserved = struct.unpack("<IBBH", header)
        assert (flags, reserved) == (0, 0), header
        payload = self.read_bytes(length) if length else b""
        assert payload is not None, "closed behind a frame's header"
        return Frame(kind, flags, payload)

    def read_all(self):
        got = []
        while True:
            frame_read = self.read()
            if frame_read is None:
                return got
            got.append(frame_read)

    def read_until(self, *kinds):
        """Frames up to and including the first of one of these kinds. Closing early is a failure."""
        got = []
        while not got or got[-1].kind not in kinds:
            frame_read = self.read()
            assert frame_read is not None, "closed before %s; got %s" % (kinds, got)
            got.append(frame_read)
        return got

    def read_to_ack(self, seq):
        got = []
        while not (got and got[-1].kind == ACK and got[-1].seq >= seq):
            got += self.read_until(ACK, NACK, ERROR, BYE)
            assert got[-1].kind == ACK, "wanted ack %d, got %s" % (seq, got)
        return got

    def hello(self, **members):
        """Says hello, returns the answer (WELCOME or ERROR)."""
        self.send(hello(**members))
        return self.read_until(WELCOME, ERROR)[-1]


def connect(agent, source="local"):
    return FrameConnection(agent.connect(source).sock)
