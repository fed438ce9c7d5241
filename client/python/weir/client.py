"""A program's connection to the agent: takes records from any thread, never blocks it, never raises into it.

`put()` is the only way in. In background mode it appends to a queue that a thread of the client's own empties; in
direct mode it sends on the calling thread where that takes no waiting, else it does the same. What does not fit is
dropped, the newest first, and counted exactly; the agent is told (design: wire.md section 4, delivery.md section 2).
"""
from __future__ import annotations

import atexit
import itertools
import os
import sys
import threading
import time
import uuid
import weakref
from collections import deque
from typing import Any, Callable, Container, Deque, Dict, List, Mapping, Optional, Tuple, Union

from .connection import Address, default_address, is_unicode, parse_address
from .correlation import current
from .encode import (MESSAGE_BYTES_MAX, Shortened, are_scalars, dumps, fields_of, level_name, log_line, say_shortened,
                     text_of, with_prefix)
from .policy import Policy
from .sender import LOG_BYTES, Flush, Sender, diagnostics

ACK_LEVELS = ("received", "buffered", "durable")
MODES = ("background", "direct")
FIRST_WELCOME_S = 0.2  # wire.md section 1: no answer in 200 ms, the client goes on
SAY_EVERY_S = 10.0
_LogItem = Tuple[int, str, str, Optional[str], Optional[str], Optional[str], Optional[str], Any]


class Count:
    """A number that any thread, and a signal handler in the middle of it, may add 1 to without a lock."""

    def __init__(self) -> None:
        self._count = itertools.count()  # its next() is one step of the interpreter
        self._reads = 0
        self._lock = threading.RLock()
        self.add: Callable[[], int] = self._count.__next__

    def value(self) -> int:
        with self._lock:  # reading adds 1, too
            value = next(self._count) - self._reads
            self._reads += 1
            return value


class Client:
    """Made by weir.connect(). Safe from all threads, from signal handlers, and across fork().

    After a fork the child is a client of its own, with a new client_id and an empty queue: what the parent has not
    sent yet, the parent sends.
    """

    def __init__(self, address: Optional[Address], service: Optional[str] = None, client_id: Optional[str] = None,
                 ack: str = "buffered", mode: str = "background", queue_records_max: int = 20_000,
                 queue_bytes_max: int = 16 << 20, linger_ms: float = 20.0, exit_timeout_s: float = 1.0,
                 metrics_interval_s: float = 1.0, resource: Optional[Mapping[str, Any]] = None) -> None:
        self.address, self.service, self.ack, self.mode = address, service, ack, mode
        self.queue_records_max, self.queue_bytes_max = queue_records_max, queue_bytes_max
        self.linger_s, self.exit_timeout_s, self.metrics_interval_s = linger_ms / 1000, exit_timeout_s, metrics_interval_s
        self.policy = Policy()
        self.ready = threading.Event()  # the first WELCOME has come
        self._given_id = client_id
        self._no_agent_said = False
        self._common: Dict[str, Any] = {}  # members of every record that has none of that name
        if service is not None:
            self._common["service"] = service
        if resource:
            self._common["resource"] = dict(resource)
        self._collectors: List[Callable[[], List[Dict[str, Any]]]] = []
        self._prefixes = {s: self._prefix(s, ()) for s in ("trace", "log", "telemetry", "monitoring")}
        self.log_head = self._prefixes["log"].decode()
        self._reset(client_id or uuid.uuid4().hex)
        _clients.add(self)
        process = sys.modules.get("multiprocessing.process")
        if process is not None and "multiprocessing.util" in sys.modules and process.parent_process() is not None:
            self._close_with_multiprocessing()

    def _reset(self, client_id: str) -> None:
        """As new, with nothing queued: at the start, and in a child."""
        self.client_id = client_id
        self.queue: Deque[Union[bytes, _LogItem, Flush]] = deque()
        self.queue_bytes = 0
        self._room, self._room_bytes = self.queue_records_max, self.queue_bytes_max
        self.asleep = True  # put() must wake the thread, or start it
        self.closed = False
        self._counts = {r: Count() for r in ("queue_full", "too_long", "not_encodable", "closed", "unfinished")}
        self._disabled = Count()
        self._said_at = 0.0
        self._thread: Optional[threading.Thread] = None
        self._start_lock = threading.Lock()
        self._direct = self.mode == "direct"
        self._sender = Sender(self, explicit_id=self._given_id is not None and client_id == self._given_id)

    # --- in ------------------------------------------------------------------------------------------------------

    def put(self, item: Union[bytes, _LogItem], size: int) -> bool:
        """A whole line without line feed, or a log record still to be encoded. False: dropped, and counted."""
        queue = self.queue
        if len(queue) >= self._room or self.queue_bytes > self._room_bytes:
            self.drop("closed" if self.closed else "queue_full")
            return False
        if self._direct and self._send_now(item):
            return True
        self.queue_bytes += size
        queue.append(item)
        if self.asleep:
            self._wake()
        return True

    def _send_now(self, item: Union[bytes, _LogItem]) -> bool:
        line = item if isinstance(item, bytes) else log_line(self.log_head, *item)
        return self._sender.send_now(line)

    def log(self, level: Any = None, message: Any = None, /, logger: Optional[str] = None, **attributes: Any) -> None:
        """One log record, now, with the ids of the current context. `level`: trace debug info warn error fatal, or a
        number of the logging module. A message that is no text becomes one.
        """
        self.put_log(level, message, logger, attributes)

    def put_log(self, level: Any, message: Any, logger: Optional[str], attributes: Dict[str, Any]) -> None:
        try:
            if not self.policy.log:
                self._disabled.add()
                return
            if type(level) is not str or type(message) is not str:
                level, message = _level_and_message(level, message, attributes)
            context = current.get()
            more: Any = attributes if are_scalars(attributes.values()) else dumps(attributes)  # which could change
            if len(message) > MESSAGE_BYTES_MAX:
                message = message[:MESSAGE_BYTES_MAX + 1]  # what is longer is cut when it is encoded
            self.put((time.time_ns(), level, message, logger, context.correlation_id, context.trace_id, context.span_id,
                      more), len(message) + LOG_BYTES)
        except Exception:
            self.drop("not_encodable")

    def emit(self, stream: str, record: Any) -> None:
        """One record of any stream: a mapping, dataclass or object with attributes. Encoded before this returns."""
        try:
            policy = self.policy
            if not getattr(policy, stream, True):
                self._disabled.add()
                return
            fields = fields_of(record)
            if stream == "trace" and policy.filters_context:
                fields = policy.record(_with_plain_contexts(fields))
            self.put_fields(stream, fields, dumps(fields))
        except Exception:
            self.drop("not_encodable")

    def put_fields(self, stream: str, names: Container[str], body: bytes) -> None:
        """An encoded object; `names`: its members' names, since none may be there twice."""
        if type(body) is Shortened and "shortened" not in names:
            body = say_shortened(body)
        prefix = self._prefixes[stream]
        if "stream" in names or (self._common and ("service" in names or "resource" in names)):
            prefix = self._prefix(stream, names)
        line = with_prefix(prefix, body) if prefix else body
        self.put(line, len(line))

    def _prefix(self, stream: str, names: Container[str]) -> bytes:
        """`{"stream":"x",` and the members that every record has, without those in `names`. Empty: none is left."""
        members = {k: v for k, v in {"stream": stream, **self._common}.items() if k not in names}
        return dumps(members)[:-1] + b"," if members else b""

    def count_disabled(self) -> None:
        self._disabled.add()

    def drop(self, reason: str, count: int = 1) -> None:
        for _ in range(count):
            self._counts[reason].add()

    # --- what is seen from outside -------------------------------------------------------------------------------

    def dropped(self) -> Dict[str, int]:
        """By reason. `unfinished`: not acknowledged when the client was closed; the agent may have them."""
        return {reason: count.value() for reason, count in self._counts.items()}

    def stats(self) -> Dict[str, Any]:
        """Counters since the start (in a child: since the fork). With nobody in put(): offered = acknowledged + queued
        + the sum of dropped; records of streams that the agent has disabled are counted apart. Refused records count
        as acknowledged, too: `rejected` says why. Not for the hot path: it may wait for 50 ms.
        """
        sender, window = self._sender, self._sender.window
        locked = sender.lock.acquire(timeout=0.05)  # else a record on its way from queue to window may be in neither
        try:
            dropped = self.dropped()
            waiting = sum(1 for item in list(self.queue) if not isinstance(item, Flush))
            return {"client_id": self.client_id, "connected": sender.welcomed, "connects": sender.connects,
                    "ack": sender.granted, "acknowledged": window.acknowledged - sender.discarded,
                    "queued": waiting + window.records - dropped["unfinished"],
                    "queued_bytes": self.queue_bytes + window.bytes, "dropped": dropped,
                    "disabled": self._disabled.value(), "rejected": dict(sender.rejected), "last_error": sender.last_error}
        finally:
            if locked:
                sender.lock.release()

    def wait_connected(self, timeout_s: float = 1.0) -> bool:
        """Starts to connect if it has not; True when the agent has answered (then its policy is known)."""
        self._wake()
        return self.ready.wait(timeout_s)

    def flush(self, timeout_s: float = 1.0) -> bool:
        """True: all that was put before, metrics included, has been acknowledged. Waits for at most that long."""
        return not self.closed and self._flush(Flush(), timeout_s)

    def _flush(self, flush: Flush, timeout_s: float) -> bool:
        self.queue.append(flush)
        self._wake()
        self._sender.wake()
        flush.abandoned = not flush.done.wait(timeout_s)
        return flush.complete

    def close(self, timeout_s: Optional[float] = None) -> bool:
        """Flushes for at most that long (default: exit_timeout_s), then ends. Records put later are dropped. Safe twice."""
        if self.closed:
            return True
        self._direct = False
        complete = True
        thread = self._thread
        if thread is not None or self.queue or self._collectors:
            complete = self._flush(Flush(closing=True), self.exit_timeout_s if timeout_s is None else timeout_s)
        self.closed, self._room = True, 0
        self._sender.stop()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(0.5)
            if thread.is_alive():  # waits in connect(): it is a daemon, and touches nothing of the program's
                return False
        left = sum(1 for item in self.queue if not isinstance(item, Flush)) + self._sender.window.records
        self.drop("unfinished", left)
        self._sender.release()
        return complete

    # --- the sender's side ---------------------------------------------------------------------------------------

    def set_room(self, records: int, size: int) -> None:
        """So much is numbered and not acknowledged."""
        if not self.closed:
            self._room, self._room_bytes = self.queue_records_max - records, self.queue_bytes_max - size

    def say(self, text: str, *args: Any) -> None:
        """To the program's own log, seldom."""
        now = time.monotonic()
        if now - self._said_at >= SAY_EVERY_S or not self._said_at:
            self._said_at = now
            diagnostics.warning("weir: " + text, *args)

    def say_no_agent(self, error: BaseException) -> None:
        """Once, for its children too."""
        if not self._no_agent_said:
            self._no_agent_said = True
            diagnostics.warning("weir: no agent at %s: %s; start it (`weir agent`) or set $WEIR_ADDRESS; until it is there "
                                "%d records are kept, and then new ones dropped", self.address, error, self.queue_records_max)

    def add_collector(self, collect: Callable[[], List[Dict[str, Any]]]) -> None:
        """Asked for telemetry records every metrics_interval_s, and at flush() and close()."""
        if collect not in self._collectors:
            self._collectors.append(collect)

    def metrics_changed(self) -> None:
        """Somebody must be there to collect them: in a child after fork() it may be that nothing else was put."""
        if self._thread is None and self.address is not None:
            self._wake()

    def collect_metrics(self) -> List[bytes]:
        out: List[bytes] = []
        for collect in list(self._collectors):
            try:
                records = collect()
                if self.policy.telemetry:
                    out += [with_prefix(self._prefixes["telemetry"], dumps(record)) for record in records]
                else:
                    for _ in records:
                        self._disabled.add()
            except Exception as error:  # the program's own: it costs the others nothing
                self.drop("not_encodable")
                self.say("a collector of metrics raised %s: %s", type(error).__name__, text_of(error))
        return out

    def _wake(self) -> None:
        if self._thread is None and not self.closed and self._start_lock.acquire(False):
            try:
                if self._thread is None:
                    thread = threading.Thread(target=self._sender.run, name="weir", daemon=True)
                    thread.start()
                    self._thread = thread
            except RuntimeError as error:  # no more threads: it is tried again with the next record
                self._sender.last_error = str(error)
            finally:
                self._start_lock.release()
        if self._thread is not None:
            self.asleep = False
            self._sender.wake()

    # --- fork ----------------------------------------------------------------------------------------------------

    def _after_fork_in_child(self) -> None:
        self._sender.close_descriptors()
        self._no_agent_said = True  # the parent's to say
        self.ready = threading.Event()
        was_closed = self.closed
        self._reset("%s.%d.%s" % (self.client_id[:200], os.getpid(), uuid.uuid4().hex[:8]))
        if was_closed:
            self.closed, self._room = True, 0
        util = sys.modules.get("multiprocessing.util")
        if util is not None:  # which forgets, at the start of a child, what was to be done at the end
            util.register_after_fork(self, Client._close_with_multiprocessing)

    def _close_with_multiprocessing(self) -> None:
        """A process of multiprocessing leaves by os._exit(): its own exit functions are the only ones."""
        sys.modules["multiprocessing.util"].Finalize(None, self.close, exitpriority=-100)


def _level_and_message(level: Any, message: Any, attributes: Dict[str, Any]) -> Tuple[str, str]:
    """As text. Of a call that named them, they are among the attributes."""
    if level is None:
        level = attributes.pop("level", None)
    if message is None:
        message = attributes.pop("message", None)
    if type(level) is not str:
        if isinstance(level, str):
            level = str.__str__(level)  # an enum's value
        else:
            level = "info" if level is None else level_name(level) if isinstance(level, (int, float)) else text_of(level)
    return level, message if type(message) is str else text_of(message)


def _with_plain_contexts(fields: Dict[str, Any]) -> Dict[str, Any]:
    """Contexts that are objects become dicts, so that the policy can look into them."""
    for name in ("ctx_before", "ctx_after", "ctx", "ctx_set", "ctx_diff"):
        value = fields.get(name)
        if value is not None and type(value) is not dict:
            try:
                fields = {**fields, name: fields_of(value)}
            except Exception:
                pass  # a text, say: the encoder and the agent see to it
    return fields


_clients: weakref.WeakSet[Client] = weakref.WeakSet()
_default: Optional[Client] = None
_default_lock = threading.Lock()


def connect(address: Optional[str] = None, *, service: Optional[str] = None, client_id: Optional[str] = None,
            ack: str = "buffered", mode: str = "background", default: bool = True, queue_records_max: int = 20_000,
            queue_bytes_max: int = 16 << 20, linger_ms: float = 20.0, exit_timeout_s: float = 1.0,
            metrics_interval_s: float = 1.0, resource: Optional[Mapping[str, Any]] = None) -> Client:
    """A client, which becomes the one that weir.log(), weir.step() and the others use (unless default=False).

    address: `unix:PATH`, `tcp:HOST:PORT` or a path; else $WEIR_ADDRESS, $WEIR_SOCKET, the agent's default place.
    service: member of every record that has none. client_id: a name that outlives the process; default: random.
    ack: what an acknowledgement means: `received` (survives this program), `buffered` (also kill -9 of the agent, with
        a journal on disk), `durable` (also power loss). What is not acknowledged is kept and sent again.
    mode: `background`, or `direct`: one send per record on the calling thread, so that nothing is lost with the process.
    queue_records_max, queue_bytes_max: kept at most, sent and unsent together; what comes on top is dropped and counted.
    linger_ms: while records come, background mode sends so often: seldom, since each time takes the interpreter's lock.
    exit_timeout_s: at exit the client waits at most so long for acknowledgements.
    metrics_interval_s: what changed in the metrics is sent so often; of a killed program's the last second is lost.

    Does not wait for the agent (direct mode: at most 200 ms), and does not mind if there is none: that is logged, once.
    Raises ValueError for an argument that makes no sense, at the start, where it is seen. A $WEIR_ADDRESS that makes
    none is the operator's, and no reason for the program to end: it is logged, and records are dropped.
    """
    global _default
    if ack not in ACK_LEVELS:
        raise ValueError("ack=%r: one of %s" % (ack, ", ".join(ACK_LEVELS)))
    if mode not in MODES:
        raise ValueError("mode=%r: one of %s" % (mode, ", ".join(MODES)))
    if client_id is not None and not (_is_text(client_id) and 0 < len(client_id.encode()) <= 200):
        raise ValueError("client_id=%r: a text of 1 to 200 bytes" % (client_id,))
    if service is not None and not _is_text(service):
        raise ValueError("service=%r: a text" % (service,))
    _check_number("queue_records_max", queue_records_max, 1)
    _check_number("queue_bytes_max", queue_bytes_max, 1)
    _check_number("linger_ms", linger_ms, 0)
    _check_number("exit_timeout_s", exit_timeout_s, 0)
    _check_number("metrics_interval_s", metrics_interval_s, 0.001)
    if resource is not None and not isinstance(resource, Mapping):
        raise ValueError("resource=%r: a mapping" % (resource,))
    target, trouble = _environments_address() if address is None else (parse_address(address), "")
    client = Client(target, service, client_id, ack, mode, queue_records_max, queue_bytes_max, linger_ms, exit_timeout_s,
                    metrics_interval_s, resource)
    if default:
        from .metrics import default_registry
        client.add_collector(default_registry.collect)
        default_registry.on_change = client.metrics_changed
        with _default_lock:
            if _default is not None and default_registry.collect in _default._collectors:
                _default._collectors.remove(default_registry.collect)
            _default = client
    if trouble:  # said when there is a default client: a handler of the program's own log may ask for one
        diagnostics.error("weir: %s; records are dropped", trouble)
    if target is not None:
        client._wake()
        if mode == "direct":
            client.ready.wait(FIRST_WELCOME_S)
    return client


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and is_unicode(value)


def _check_number(name: str, value: float, least: float) -> None:
    if not isinstance(value, (int, float)) or not least <= value < 1e12:
        raise ValueError("%s=%r: a number, at least %g" % (name, value, least))


def _environments_address() -> Tuple[Optional[Address], str]:
    """None: nowhere, and why."""
    try:
        target = default_address()
        return target, "no agent is known: set $WEIR_ADDRESS" if target is None else ""
    except ValueError as error:
        return None, "$WEIR_ADDRESS: %s" % error


def default_client() -> Client:
    """The one of the last connect(); else one is made by the environment. Never raises."""
    return _default or connect()


def _close_all() -> None:
    for client in list(_clients):
        client.close()


def _after_fork_in_child() -> None:
    global _default_lock
    _default_lock = threading.Lock()
    for client in list(_clients):
        client._after_fork_in_child()


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
