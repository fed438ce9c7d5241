"""Numbered records that are not acknowledged yet: kept, and sent again after a lost connection (proto/WIRE.md)."""
from __future__ import annotations

from collections import deque
from typing import Deque, NamedTuple, Optional


class Batch(NamedTuple):
    """Lines that go out in one frame, and come again in one."""

    first: int  # number of its first record
    records: int
    lines: bytes


class Window:
    """Invariant: numbers are without gaps; `unacked` then `unsent` are all records above `acknowledged`, in order.

    Numbers start at 1 here; the wire's are greater by `offset` where a client_id that is older than this process goes on.
    Not thread-safe: whoever holds the sender's lock.
    """

    def __init__(self) -> None:
        self.unacked: Deque[Batch] = deque()
        self.unsent: Deque[Batch] = deque()
        self.last = 0  # the highest number given
        self.acknowledged = 0
        self.bytes = 0  # of both
        self.offset = 0

    @property
    def records(self) -> int:
        return self.last - self.acknowledged

    def add(self, lines: bytes, count: int) -> None:
        self.unsent.append(Batch(self.last + 1, count, lines))
        self.last += count
        self.bytes += len(lines)

    def next_to_send(self) -> Optional[Batch]:
        """It counts as sent from now on."""
        if not self.unsent:
            return None
        batch = self.unsent.popleft()
        self.unacked.append(batch)
        return batch

    def replace_last_sent(self, lines: bytes) -> Batch:
        """What next_to_send() gave last, as other lines under the same numbers."""
        old = self.unacked.pop()
        self.unacked.append(old._replace(lines=lines))
        self.bytes += len(lines) - len(old.lines)
        return self.unacked[-1]

    def acked(self, seq: int) -> None:
        """`seq` of the wire: it and all below are disposed of. A number that was never given counts as the last one."""
        number = min(seq - self.offset, self.last)
        self.acknowledged = max(self.acknowledged, number)
        for batches in (self.unacked, self.unsent):
            while batches and batches[0].first + batches[0].records - 1 <= self.acknowledged:
                self.bytes -= len(batches.popleft().lines)

    def rewind(self) -> None:
        """The connection is lost: all that is kept goes out again."""
        while self.unacked:
            self.unsent.appendleft(self.unacked.pop())

    def next_seq(self) -> int:
        """For HELLO: the wire's number of the first record that goes out after it. Call after rewind()."""
        return self.offset + (self.unsent[0].first if self.unsent else self.last + 1)
