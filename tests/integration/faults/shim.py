"""Faults in the real agent's file operations, while it runs (tests/support/fault_shim.c, loaded with LD_PRELOAD).

    shim = Shim(test)
    agent = test.start(CONFIG, env=shim.env())
    rule = shim.fail("*/journal/*.wseg", ops="sync", error=errno.EIO, times=1)
    ...
    wait_for(lambda: rule.hits() == 1, "the failed sync")

The rules lie in a mapped file, so hits() is what to wait for.
"""
import errno
import mmap
import os
import struct
import time
import unittest

import harness

LIBRARY = os.environ.get("WEIR_FAULT_SHIM") or os.path.join(os.path.dirname(harness.BINARY), "tests", "libfault_shim.so")
RULES, HEADER_BYTES, RULE_BYTES, PATTERN_AT, PATTERN_BYTES = 32, 256, 256, 56, 192
OPS = {"write": 1, "sync": 2, "open": 4, "rename": 8, "unlink": 16, "allocate": 32, "truncate": 64}
FAIL, SHORT, LIE, WAIT, KILL, SHORT_KILL = 1, 2, 3, 4, 5, 6
ALWAYS = -1


class Rule:
    def __init__(self, shim, at):
        self.shim, self.at = shim, at

    def hits(self):
        """How often it was acted on."""
        return struct.unpack_from("<Q", self.shim.map, self.at + 40)[0]

    def matches(self):
        """How often an operation met it, those of `skip` and those after `times` too."""
        return struct.unpack_from("<Q", self.shim.map, self.at + 48)[0]

    def clear(self):
        struct.pack_into("<I", self.shim.map, self.at, 0)


class Shim:
    def __init__(self, test, name="faults"):
        if harness.SANITIZED:
            raise unittest.SkipTest("a sanitizer's runtime must be the first library, so nothing can be preloaded")
        if not os.path.exists(LIBRARY):
            raise unittest.SkipTest("no %s: ./dev build (target fault_shim)" % LIBRARY)
        self.path = test.path(name + ".rules")
        self.boot_id_path = test.path(name + ".boot_id")
        with open(self.path, "wb") as f:
            f.write((b"WEIRFLT1" + bytes(HEADER_BYTES - 8)) + bytes(RULES * RULE_BYTES))
        with open(self.path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), 0)
        self.next = 0

    def env(self, boot_id=None):
        """For the agent. `boot_id`: what the agent takes for the kernel's."""
        out = {"LD_PRELOAD": LIBRARY, "WEIR_FAULTS": self.path}
        if boot_id:
            with open(self.boot_id_path, "w", encoding="ascii") as f:
                f.write(boot_id + "\n")
            out["WEIR_FAULT_BOOT_ID"] = self.boot_id_path
        return out

    def add(self, pattern, ops, action, error=0, value=0, skip=0, times=ALWAYS):
        assert len(pattern) < PATTERN_BYTES, pattern
        at = HEADER_BYTES + RULE_BYTES * (self.next % RULES)
        self.next += 1
        struct.pack_into("<I", self.map, at, 0)
        bits = sum(OPS[op] for op in ops.split("|"))
        struct.pack_into("<IIiQqqQQ", self.map, at + 4, bits, action, error, value, skip, times, 0, 0)
        self.map[at + PATTERN_AT:at + PATTERN_AT + PATTERN_BYTES] = pattern.encode().ljust(PATTERN_BYTES, b"\0")
        struct.pack_into("<I", self.map, at, 1)
        return Rule(self, at)

    def fail(self, pattern, ops, error=errno.EIO, skip=0, times=ALWAYS):
        return self.add(pattern, ops, FAIL, error=error, skip=skip, times=times)

    def shorten(self, pattern, nbytes, skip=0, times=ALWAYS):
        """Writes take at most so many bytes; 0: they answer 0."""
        return self.add(pattern, "write", SHORT, value=nbytes, skip=skip, times=times)

    def lie(self, pattern, ops, skip=0, times=ALWAYS):
        """Nothing is done, and success reported."""
        return self.add(pattern, ops, LIE, skip=skip, times=times)

    def slow(self, pattern, ops, seconds, skip=0, times=ALWAYS):
        return self.add(pattern, ops, WAIT, value=int(seconds * 1e6), skip=skip, times=times)

    def kill(self, pattern, ops, skip=0):
        """SIGKILL at the operation, instead of it."""
        return self.add(pattern, ops, KILL, skip=skip, times=1)

    def tear(self, pattern, nbytes, skip=0):
        """SIGKILL after so many bytes of a write."""
        return self.add(pattern, "write", SHORT_KILL, value=nbytes, skip=skip, times=1)

    def clear(self):
        for n in range(RULES):
            struct.pack_into("<I", self.map, HEADER_BYTES + RULE_BYTES * n, 0)

    def set_wall_offset(self, seconds):
        struct.pack_into("<q", self.map, 8, int(seconds * 1e9))

    def wall(self):
        """The agent's wall clock, seconds."""
        return time.time() + struct.unpack_from("<q", self.map, 8)[0] / 1e9
