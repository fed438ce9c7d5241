"""A native program's side of the shared-memory ring (proto/RING.md), in Python: for tests of the agent, where
what it commits, and when, is the test's to say.

    with rings.connect(agent, client_id="app") as p:
        site = p.site(rings.LOG, "took {n}", args=[("n", rings.I64)])
        ring = p.ring()
        ring.log(site, 5)
"""
import ctypes
import fcntl
import itertools
import mmap
import os
import signal
import socket
import struct
import time

import frames

RING_MAGIC, ARENA_MAGIC = b"WEIRRNG1", b"WEIRRAN1"
HEADER = 4096
CAPACITY, ARENA_BYTES = 64 << 10, 64 << 10
ARENA_FRAME, DOORBELL_FRAME, RING_FRAME = 1, 2, 3
REALTIME, TSC = 0, 1
LOG, SPAN, COUNTER, GAUGE, HISTOGRAM = range(1, 6)
(NULL, I32, U32, I64, U64, F64, BOOL, TEXT, STRING, JSON, TIME, ID16, ID8) = range(13)
LEVELS = ("trace", "debug", "info", "warn", "error", "fatal")
HAS_TRACE, HAS_SPAN, HAS_PARENT, HAS_CORRELATION, HAS_ERROR, SHORTENED = 1, 2, 4, 8, 16, 32
DYNAMIC = 1 << 31
STREAMS = ("trace", "log", "telemetry", "monitoring")
SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
HEAD, TAIL, PLACES_DONE, PLACES, REJECTED, DROPPED, CLOSED = 128, 256, 264, 272, 312, 384, 392
USED, NAPPING = 128, 256


def padded(data):
    return data + bytes(-len(data) % 8)


def memory(size, seals=SEALS, sealable=True):
    fd = os.memfd_create("weir", os.MFD_CLOEXEC | (os.MFD_ALLOW_SEALING if sealable else 0))
    os.ftruncate(fd, size)
    if seals:
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd


def value(kind, x):
    """One value as it lies in a record."""
    if kind == NULL:
        return b""
    if kind in (I32, U32, I64, U64, F64, BOOL, STRING, TIME):
        form = {I32: "<i", U32: "<I", I64: "<q", U64: "<Q", F64: "<d", BOOL: "<B", STRING: "<I", TIME: "<Q"}[kind]
        return struct.pack(form, x)
    data = x if isinstance(x, bytes) else x.encode()
    if kind == TEXT:
        return struct.pack("<H", len(data)) + data
    return struct.pack("<I", len(data)) + data if kind == JSON else data


class Words:
    """Shared memory with 64-bit words that are stored and loaded whole."""

    def __init__(self, fd, size):
        self.fd, self.map = fd, mmap.mmap(fd, size)
        self.views = {}

    def word(self, at):
        if at not in self.views:
            self.views[at] = ctypes.c_uint64.from_buffer(self.map, at)
        return self.views[at]

    def close_memory(self):
        self.views.clear()
        self.map.close()
        os.close(self.fd)

    def __getitem__(self, at):
        return self.word(at).value

    def __setitem__(self, at, x):
        self.word(at).value = x


class Ring(Words):
    def __init__(self, capacity=CAPACITY, ring_id=None, clock=REALTIME, header=None, fd=None):
        self.capacity = capacity
        self.id = ring_id or int.from_bytes(os.urandom(8), "little") | 1
        super().__init__(memory(HEADER + capacity) if fd is None else fd, HEADER + capacity)
        self.map[0:40] = header or struct.pack("<8sIIQQII", RING_MAGIC, 1, HEADER, capacity, self.id, os.getpid(), clock)
        self.on_commit = lambda: None
        self.clock = time.time_ns

    def put(self, at, data):
        first = at % self.capacity
        cut = min(len(data), self.capacity - first)
        self.map[HEADER + first:HEADER + first + cut] = data[:cut]
        self.map[HEADER:HEADER + len(data) - cut] = data[cut:]

    def record(self, site, body, clock=None, length=None):
        """Commits one record. False: there is no room for it, so it was dropped."""
        body = padded(body)
        size = 16 + len(body)
        if self[HEAD] - self[TAIL] + size > self.capacity:
            self[DROPPED] += 1
            return False
        self.put(self[HEAD], struct.pack("<IIQ", size if length is None else length, site, self.clock() if clock is None else clock) + body)
        self[HEAD] += size
        self.on_commit()
        return True

    def head_of(self, trace_id=None, span_id=None, parent_id=None, correlation_id=None, error=None, shortened=False):
        has, out = 0, b""
        for bit, data in ((HAS_TRACE, trace_id), (HAS_SPAN, span_id), (HAS_PARENT, parent_id)):
            if data is not None:
                has, out = has | bit, out + data
        if correlation_id is not None:
            has, out = has | HAS_CORRELATION, out + struct.pack("<B", len(correlation_id)) + correlation_id.encode()
        if error is not None:
            has |= HAS_ERROR
            out += struct.pack("<B", len(error[0])) + error[0].encode() + value(TEXT, error[1])
        return struct.pack("<B", has | (SHORTENED if shortened else 0)) + out

    def log(self, site, *args, clock=None, **ids):
        return self.record(site.id, self.head_of(**ids) + site.values(args), clock)

    def span(self, site, start, *args, clock=None, **ids):
        return self.record(site.id, self.head_of(**ids) + struct.pack("<Q", start) + site.values(args), clock)

    def metric(self, site, x, *args, clock=None, **ids):
        return self.record(site.id, self.head_of(**ids) + struct.pack("<d", x) + site.values(args), clock)

    def dynamic(self, stream, members, clock=None):
        """members: (name, kind, value)..."""
        body = b"".join(struct.pack("<B", len(n.encode())) + n.encode() + struct.pack("<B", k) + value(k, x) for n, k, x in members)
        return self.record(DYNAMIC | STREAMS.index(stream), body, clock)

    def close(self):
        self[CLOSED] = 1


class Site:
    def __init__(self, number, args):
        self.id, self.args = number, args

    def values(self, values):
        return b"".join(value(kind, x) for (_, kind), x in zip(self.args, values))


class Arena(Words):
    def __init__(self, size=ARENA_BYTES):
        super().__init__(memory(HEADER + size), HEADER + size)
        self.map[0:32] = struct.pack("<8sIIQII", ARENA_MAGIC, 1, HEADER, size, os.getpid(), 0)
        self.sites, self.strings = itertools.count(1), itertools.count(1)

    def entry(self, kind, number, record, level, args, data):
        data = padded(struct.pack("<IIBBBB", 0, number, kind, record, level, args) + data)
        at = self[USED]
        self.map[HEADER + at:HEADER + at + len(data)] = struct.pack("<I", len(data)) + data[4:]
        self[USED] = at + len(data)

    def site(self, record, name, text="", where="", level="info", args=()):
        number = next(self.sites)
        data = b"".join(value(TEXT, x) for x in (name, text, where))
        data += b"".join(struct.pack("<BB", kind, len(n.encode())) + n.encode() for n, kind in args)
        self.entry(1, number, record, LEVELS.index(level), len(args), data)
        return Site(number, args)

    def string(self, text):
        number = next(self.strings)
        self.entry(2, number, 0, 0, 0, value(JSON, text))
        return number


class Producer:
    """A process with an arena, a doorbell and rings, attached to one agent at a time."""

    def __init__(self, client_id="app"):
        self.client_id = client_id
        self.arena, self.rings = Arena(), []
        self.doorbell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.connection = None
        self.answers = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.disconnect()

    def attach_to(self, agent):
        """Connects, says hello, attaches what there is. After a restart of the agent: again."""
        self.disconnect()
        self.connection = frames.connect(agent)
        self.welcome = self.connection.hello(client_id=self.client_id, ack="none").json
        self.attach(ARENA_FRAME, 0, self.arena.fd)
        self.attach(DOORBELL_FRAME, 0, self.doorbell)
        for ring in self.rings:
            self.attach(RING_FRAME, ring.id, ring.fd)
        return self

    def attach(self, what, ring_id, fd, code=0):
        """Returns the answer's text."""
        payload = struct.pack("<BQ", what, ring_id)
        got, text = self.ask(payload, [] if fd is None else [fd])
        assert got == code, "RING %d was answered by %d: %s" % (what, got, text)
        return text

    def ask(self, payload, fds):
        socket.send_fds(self.connection.sock, [frames.frame(frames.RING, payload)], fds)
        answer = self.connection.read_until(frames.RING)[-1].payload
        what, ring_id, code = struct.unpack("<BQH", answer[:11])
        assert len(payload) != 9 or answer[:9] == payload, (payload, answer)
        return code, answer[11:].decode()

    def ring(self, capacity=CAPACITY, attached=True, **more):
        ring = Ring(capacity, **more)
        ring.on_commit = self.wake
        self.rings.append(ring)
        if attached and self.connection:
            self.attach(RING_FRAME, ring.id, ring.fd)
        return ring

    def wake(self):
        if self.arena.map[NAPPING]:
            os.eventfd_write(self.doorbell, 1)

    def site(self, *args, **more):
        return self.arena.site(*args, **more)

    def string(self, text):
        return self.arena.string(text)

    def close(self):
        """Gives back what this process has of it."""
        self.disconnect()
        for words in [self.arena] + self.rings:
            words.close_memory()
        os.close(self.doorbell)

    def disconnect(self):
        if self.connection:
            self.connection.sock.close()
            self.connection = None


def connect(agent, client_id="app"):
    return Producer(client_id).attach_to(agent)


class Child:
    """A process of its own that writes to `ring` (made here, so that what it has committed can be seen) until it is
    killed. `write(n)` commits the n-th record, from 0 on."""

    def __init__(self, write):
        self.pid = os.fork()
        if self.pid == 0:
            try:
                for n in itertools.count():
                    write(n)
            finally:
                os._exit(1)

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def mapped(agent):
    """How many mappings of rings and arenas, and how many descriptors, the agent has."""
    with open("/proc/%d/maps" % agent.pid, encoding="utf-8") as f:
        maps = sum("/memfd:weir" in line for line in f)
    return maps, len(os.listdir("/proc/%d/fd" % agent.pid))
