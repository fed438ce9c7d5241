"""The half of a client that runs on a thread of its own: encodes, numbers, sends, reads answers, connects again.

A cycle of run(): take from the queue for a bounded time, exchange bytes, pause. It holds the interpreter for at most
SLICE_S at a stretch, since the program's threads wait for as long (longer for a record that has to be shortened); and it
never waits for the agent but in pauses.
"""
from __future__ import annotations

import logging
import os
import random
import select
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, Dict, List, Optional

from . import frames, lines
from .connection import Connection
from .encode import log_line
from .policy import Policy
from .shorten import shorten
from .window import Window

if TYPE_CHECKING:
    from .client import Client

SLICE_S = 0.00025  # of taking records at a stretch; four times as long when the queue is a quarter full
YIELD_S = 0.0002  # between two slices
ACTIVE_S = 0.1  # so long after the last record it naps, then it sleeps until it is woken
BATCH_BYTES = 48 << 10  # with the one record more it stays below the payload any agent takes
BATCH_RECORDS = 512
BACKOFF_MIN_S, BACKOFF_MAX_S = 0.05, 2.0
REFUSED_S = 10.0  # after BYE or ERROR: it would be said again
HANDSHAKE_S = 10.0
NACK_PAUSE_S = 0.2
DIRECT_WAIT_S = 0.0005  # for this thread to finish what it does with the connection; a signal handler in vain
LOG_BYTES = 200  # what a log record takes beside its message, about

diagnostics = logging.getLogger("weir.client")


class Flush:
    """Put into the queue; done when all before it has been acknowledged, or cannot be."""

    def __init__(self, closing: bool = False) -> None:
        self.closing = closing
        self.abandoned = False  # nobody waits any more
        self.number = 0
        self.with_metrics = False  # they have been collected; not while there is no room
        self.complete = False
        self.done = threading.Event()

    def finish(self, complete: bool) -> None:
        self.complete = complete
        self.done.set()


class Sender:
    def __init__(self, client: "Client", explicit_id: bool) -> None:
        self._client = client
        self._queue = client.queue
        self.lock = threading.Lock()  # window and connection: this thread, and in direct mode the program's
        self.window = Window()
        self.connection: Optional[Connection] = None
        self.welcomed = False
        self._broken: Optional[OSError] = None  # met by send_now()
        self.connects = 0
        self._lines_next = False  # the agent refused frames: it is sent lines
        self.granted: Optional[str] = None
        self.last_error: Optional[str] = None
        self.rejected: Dict[str, int] = {}
        self.discarded = 0  # numbered, then dropped
        self.record_bytes_max = 262_144
        self.payload_bytes_max = 327_680
        self._numbered = not explicit_id  # else the agent says in its first WELCOME where the numbers go on
        self._waiting: List[Flush] = []
        self._drops_reported = 0
        self._drops_in_flight = 0
        self._retry_at = 0.0
        self._backoff_s = BACKOFF_MIN_S
        self._connected_at = 0.0
        self._active_until = 0.0
        self._metrics_at = time.monotonic() + client.metrics_interval_s
        self._stop = False
        self._closing = False
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)

    # --- called from any thread --------------------------------------------------------------------------------

    def wake(self) -> None:
        """Costs a system call."""
        if self._wake_write >= 0:
            try:
                os.write(self._wake_write, b"w")
            except OSError:
                pass  # full: it wakes anyway

    def send_now(self, line: bytes) -> bool:
        """Direct mode. False: it is not connected, or not free soon; the caller puts it into the queue."""
        if not self.welcomed or not self.lock.acquire(timeout=DIRECT_WAIT_S):
            return False
        try:
            connection, window, client = self.connection, self.window, self._client
            if self._queue:  # from a moment when the lock was not free: first come, first served
                self._take(time.perf_counter())
            if (connection is None or not self.welcomed or self._broken or self._queue or len(line) > self.record_bytes_max or
                    window.records >= client.queue_records_max or window.bytes >= client.queue_bytes_max):
                return False
            window.add(line + b"\n", 1)
            try:
                self._send_batches(connection)
            except OSError as error:
                self._broken = error  # closing is for the thread that waits for it in select()
            if connection.pending or self._broken:
                self.wake()
            return True
        finally:
            self.lock.release()

    def stop(self) -> None:
        self._stop = True
        self.wake()

    # --- the thread ----------------------------------------------------------------------------------------------

    def run(self) -> None:
        last = 0
        while not self._stop:
            try:
                with self.lock:
                    moved = self._take(time.perf_counter())
                    self._exchange(time.monotonic())
                    self._client.set_room(self.window.records, self.window.bytes)
                    moved = moved or self.window.last != last  # direct mode: others have sent
                    last = self.window.last
                self._pause(moved)
            except Exception as error:  # a fault of ours costs this connection, never the program or the thread
                diagnostics.exception("weir: internal error")
                with self.lock:
                    self._lost(error)
                self._wait(None, False, self._backoff_s)

    def _take(self, now: float) -> bool:
        """From the queue into the window, encoded, for SLICE_S at most. True: something was there."""
        queue, client = self._queue, self._client
        deadline = now + (SLICE_S if len(queue) * 4 < client.queue_records_max else 4 * SLICE_S)
        lines: List[bytes] = []
        size = taken = taken_bytes = 0
        while True:
            try:
                item = queue.popleft()
            except IndexError:
                client.queue_bytes = 0  # heals what racing additions to it have lost
                break
            taken += 1
            if isinstance(item, bytes):
                line = item
                taken_bytes += len(line)
            elif isinstance(item, tuple):
                taken_bytes += len(item[2]) + LOG_BYTES
                try:
                    line = log_line(client.log_head, *item)
                except Exception:
                    client.drop("not_encodable")
                    continue
            else:
                self._add(lines)
                lines, size = [], 0
                self._on_flush(item)
                continue
            if len(line) > self.record_bytes_max:
                short = shorten(line, self.record_bytes_max)
                if short is None:
                    client.drop("too_long")
                    continue
                line, deadline = short, 0.0  # that took long enough
            lines.append(line)
            size += len(line) + 1
            if size >= BATCH_BYTES or len(lines) >= BATCH_RECORDS:
                self._add(lines)
                lines, size = [], 0
            if (not taken & 15 or not deadline) and time.perf_counter() > deadline:
                client.queue_bytes -= taken_bytes
                break
        self._add(lines)
        return taken > 0

    def _add(self, lines: List[bytes]) -> None:
        if lines:
            lines.append(b"")
            # A record of any size beside others could make a frame too large for the agent.
            if len(lines) > 2 and len(lines[-2]) > BATCH_BYTES // 3:
                self.window.add(b"\n".join(lines[:-2]) + b"\n", len(lines) - 2)
                self.window.add(lines[-2] + b"\n", 1)
            else:
                self.window.add(b"\n".join(lines), len(lines) - 1)

    def _on_flush(self, flush: Flush) -> None:
        flush.with_metrics = self._collect_metrics()
        flush.number = self.window.last
        self._closing = self._closing or flush.closing
        if flush.closing:
            self._retry_at = min(self._retry_at, time.monotonic())
        self._waiting.append(flush)

    def _collect_metrics(self) -> bool:
        """Not while there is no room: what is not collected stays added up. False: so it is."""
        client = self._client
        self._metrics_at = time.monotonic() + client.metrics_interval_s
        if self.window.records < client.queue_records_max and self.window.bytes < client.queue_bytes_max:
            lines = client.collect_metrics()
            for at in range(0, len(lines), 64):
                self._add(lines[at:at + 64])
            return True
        return False

    def _pause(self, moved: bool) -> None:
        """Until there is something to do; see client.put() for who wakes it."""
        client, connection, now = self._client, self.connection, time.monotonic()
        if moved:
            self._active_until = now + ACTIVE_S
        if self._queue:
            time.sleep(YIELD_S)
            return
        if now < self._active_until:
            timeout_s = client.linger_s
            if connection is None and self._waiting:
                timeout_s = min(timeout_s, max(0.0, self._retry_at - now))
        else:
            timeout_s = self._until_due(now)
            client.asleep = True
            if self._queue:  # came before they could see that somebody must wake us
                timeout_s = 0.0
        listen = connection is not None and (bool(self._waiting) or client.asleep or not self.welcomed)
        self._wait(connection, listen, timeout_s)
        client.asleep = False

    def _wait(self, connection: Optional[Connection], listen: bool, timeout_s: float) -> None:
        """Until woken, the socket takes what is pending or (`listen`) has something to say, or the time is over."""
        poll = select.poll()  # select() has no descriptors above 1023
        poll.register(self._wake_read, select.POLLIN)
        if connection is not None and (listen or connection.pending):
            poll.register(connection, (select.POLLIN if listen else 0) | (select.POLLOUT if connection.pending else 0))
        for fd, _ in poll.poll(timeout_s * 1000):
            if fd == self._wake_read:
                os.read(fd, 4096)

    def _until_due(self, now: float) -> float:
        """Seconds until the clock alone is a reason to get up."""
        if self.connection is None:
            return max(0.0, self._retry_at - now) if self._client.address is not None else 60.0
        if not self.welcomed:
            return max(0.0, self._connected_at + HANDSHAKE_S - now)
        return max(0.0, self._metrics_at - now)

    # --- the connection (under the lock) ---------------------------------------------------------------------------

    def _exchange(self, now: float) -> None:
        try:
            if self.connection is None:
                if now < self._retry_at or self._client.address is None:
                    self._give_up_waiting()
                    return
                self._connect(now)
            connection = self.connection
            assert connection is not None
            if self._broken is not None:
                raise self._broken
            for frame in connection.receive():
                self._on_frame(frame)
                if self.connection is None:
                    return
            if self.welcomed:
                if now >= self._metrics_at:
                    self._collect_metrics()
                self._report_drops(connection)
                self._send_batches(connection)
            elif now > self._connected_at + HANDSHAKE_S:
                raise TimeoutError("no WELCOME in %d s" % HANDSHAKE_S)
            else:
                connection.flush()
        except frames.OtherVersion as error:
            self._speak_lines(str(error))
        except (OSError, UnicodeError, frames.ProtocolError) as error:  # UnicodeError: a host name that can be none
            self._lost(error)
        self._finish_waiting()

    def _speak_lines(self, why: str) -> None:
        """On the next connection, at once; the one after that tries frames again."""
        self.last_error, self._lines_next = why, True
        self._disconnect(0.0)

    def _connect(self, now: float) -> None:
        client = self._client
        assert client.address is not None
        speech, self._lines_next = lines if self._lines_next else frames, False
        self.connection = Connection(client.address, speech)
        self.welcomed, self._connected_at, self._drops_in_flight = False, now, 0
        self.window.rewind()
        fields: Dict[str, Any] = {"client_id": client.client_id, "ack": client.ack, "pid": os.getpid()}
        if client.service is not None:
            fields["service"] = client.service
        if self._numbered:
            fields["next_seq"] = self.window.next_seq()
        self.connection.send(speech.hello(fields))

    def _send_batches(self, connection: Connection) -> None:
        window = self.window
        while connection.flush():
            batch = window.next_to_send()
            if batch is None:
                return
            if batch.records == 1 and len(batch.lines) > self.record_bytes_max + 1:  # taken before it was known
                short = shorten(batch.lines[:-1], self.record_bytes_max)
                batch = batch if short is None else window.replace_last_sent(short + b"\n")
            if len(batch.lines) + 8 > self.payload_bytes_max and connection.speech is frames:  # an agent with a smaller limit than the one before
                self._client.drop("too_long", batch.records)
                self._discard(batch.first)
                continue
            connection.send(connection.speech.records(window.offset + batch.first, batch.lines))

    def _discard(self, first: int) -> None:
        """The batch that was just taken: its numbers never come, the agent counts them as a gap."""
        batch = self.window.unacked.pop()
        assert batch.first == first
        self.window.bytes -= len(batch.lines)
        self.discarded += batch.records

    def _report_drops(self, connection: Connection) -> None:
        """DROPS, and a SYNC to know that it was read. If the connection is lost in between it is said again."""
        if self._drops_in_flight:
            return
        by_reason = self._client.dropped()
        count = sum(by_reason.values()) - self._drops_reported
        if count > 0:
            self._drops_in_flight = count
            why = ", ".join("%s %d" % item for item in sorted(by_reason.items()) if item[1])
            connection.send(connection.speech.drops(count, "in all: " + why) + connection.speech.sync())

    def _lost(self, error: BaseException) -> None:
        self.last_error = "%s: %s" % (type(error).__name__, error)
        if self.connection is None and not self.connects:
            self._client.say_no_agent(error)
        self._disconnect(self._backoff_s)
        self._backoff_s = min(self._backoff_s * 2, BACKOFF_MAX_S)

    def _disconnect(self, pause_s: float) -> None:
        if self.connection is not None:
            self.connection.close()
        self.connection, self.welcomed, self._broken = None, False, None
        self.window.rewind()
        self._retry_at = time.monotonic() + pause_s * random.uniform(0.75, 1.25)

    # --- answers -----------------------------------------------------------------------------------------------------

    def _on_frame(self, frame: frames.Frame) -> None:
        kind, payload = frame
        if kind == frames.ACK:
            self.window.acked(frames.unpack_ack(payload))
        elif kind == frames.WELCOME:
            self._on_welcome(frames.unpack_object(payload))
        elif kind == frames.POLICY:
            self._client.policy = Policy(frames.unpack_object(payload))
        elif kind == frames.REJECT:
            seq, reason, text = frames.unpack_refusal(payload)
            self.rejected[reason] = self.rejected.get(reason, 0) + 1
            self._client.say("the agent refused record %d: %s: %s", seq, reason, text)
        elif kind == frames.SYNC:
            self._drops_reported += self._drops_in_flight
            self._drops_in_flight = 0
        elif kind == frames.NACK:
            seq, reason, text = frames.unpack_refusal(payload)
            self.last_error = "nack %d: %s %s" % (seq, reason, text)
            self._disconnect(NACK_PAUSE_S)
        elif kind == frames.ERROR and payload.startswith(b"bad_version"):
            self._speak_lines(payload.decode("utf-8", "replace"))
        elif kind in (frames.BYE, frames.ERROR):
            self.last_error = payload.decode("utf-8", "replace") or "bye"
            self._client.say("the agent ended the connection: %s", self.last_error)
            self._disconnect(REFUSED_S)

    def _on_welcome(self, welcome: Dict[str, Any]) -> None:
        limits, last_seq = welcome.get("limits"), welcome.get("last_seq")
        if not isinstance(limits, dict) or not isinstance(last_seq, int):
            raise frames.ProtocolError("WELCOME without limits or last_seq")
        self.record_bytes_max = int(limits.get("record_bytes_max", self.record_bytes_max))
        self.payload_bytes_max = int(limits.get("payload_bytes_max", self.record_bytes_max + 65_536))
        if not self._numbered:
            self._numbered, self.window.offset = True, last_seq
        self.window.acked(last_seq)
        policy = welcome.get("policy")
        self._client.policy = Policy(policy if isinstance(policy, dict) else None)
        granted = welcome.get("ack")
        if granted != self._client.ack and granted != self.granted:
            diagnostics.info("weir: the agent grants %r, %r was asked for", granted, self._client.ack)
        self.granted = granted if isinstance(granted, str) else None
        self.welcomed, self._backoff_s, self.connects = True, BACKOFF_MIN_S, self.connects + 1
        self._client.ready.set()

    def _finish_waiting(self) -> None:
        if self._waiting:
            still = []
            for flush in self._waiting:
                if flush.number <= self.window.acknowledged and not flush.with_metrics:
                    self._on_room_for_metrics(flush)
                if flush.number > self.window.acknowledged or self._drops_unsaid(flush):
                    still.append(flush)
                else:
                    flush.finish(True)
            self._waiting = still
            self._give_up_waiting()

    def _on_room_for_metrics(self, flush: Flush) -> None:
        flush.with_metrics = True
        self._collect_metrics()
        flush.number = self.window.last
        if self.connection is not None and self.welcomed:
            try:
                self._send_batches(self.connection)
            except OSError as error:
                self._lost(error)

    def _drops_unsaid(self, flush: Flush) -> bool:
        """The last flush of a program also sees to it that the agent knows what was dropped."""
        return flush.closing and self.welcomed and sum(self._client.dropped().values()) > self._drops_reported

    def _give_up_waiting(self) -> None:
        """A program that ends does not wait for an agent that was never there."""
        if self._waiting:
            self._waiting = [f for f in self._waiting if not f.abandoned]
        if self._closing and self.connection is None and not self.connects:
            for flush in self._waiting:
                flush.finish(False)
            self._waiting = []

    # --- the end -------------------------------------------------------------------------------------------------------

    def release(self) -> None:
        """The thread has ended. Says goodbye, closes everything; who still waits in flush() waits no longer."""
        connection, self.connection = self.connection, None
        if connection is not None:
            try:
                if self.welcomed and not connection.pending:
                    connection.send(connection.speech.bye())
                    connection.socket.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # it is gone already
            connection.close()
        self.close_descriptors()
        waiting, self._waiting = self._waiting, []
        for flush in waiting:
            flush.finish(False)

    def close_descriptors(self) -> None:
        """In a child after fork() this is all: the connection is the parent's, and locks may be held by its threads."""
        if self.connection is not None:
            self.connection.close()
        read, write = self._wake_read, self._wake_write
        self._wake_read = self._wake_write = -1
        for fd in (read, write):
            if fd >= 0:
                os.close(fd)
