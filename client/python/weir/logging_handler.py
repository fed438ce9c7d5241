"""The standard library's logging, to the agent."""
from __future__ import annotations

import logging
from typing import Any, Dict, List, Optional, Tuple

from .client import Client, default_client as _default_client
from .correlation import NO_CORRELATION, current
from .encode import ERROR_BYTES_MAX, MESSAGE_BYTES_MAX, Shortened, are_scalars, dumps, error_of, level_name, text_of, was_cut
from .sender import LOG_BYTES, diagnostics

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_STANDARD_COUNT = len(logging.makeLogRecord({}).__dict__)
_IDS = ("correlation_id", "trace_id", "span_id")
_LEVELS = {n: level_name(n) for n in range(0, 61, 10)}


class LoggingHandler(logging.Handler):
    """logging.getLogger().addHandler(weir.LoggingHandler())

    When it was made, level, logger, message, the ids of the current context (correlation_id is `no-correlation` when
    there is none), `extra` as attributes, an exception as exception.type, exception.message and exception.stacktrace.
    Takes no lock. A formatter, if one is set, makes the message; what cannot be formatted arrives as it is.

    Behind a QueueHandler the current context is another thread's: a CorrelationFilter on the QueueHandler puts the ids
    into the record (as correlation_id, trace_id and span_id), and what is there goes before the current context.
    """

    def __init__(self, client: Optional[Client] = None, level: int = logging.NOTSET) -> None:
        super().__init__(level)
        self._client = client

    @property
    def client(self) -> Client:
        if self._client is None:
            return _default_client()
        return self._client

    def handle(self, record: logging.LogRecord) -> bool:  # type: ignore[override,unused-ignore]
        """As logging.Handler's, without its lock: put() needs none."""
        if self.filters:
            passed: Any = self.filter(record)
            if not passed:
                return False
            if isinstance(passed, logging.LogRecord):
                record = passed
        self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Some steps are written out that a method call would make clearer: each costs a tenth of the whole."""
        name = record.name
        if name == diagnostics.name:  # what the client says of itself would go around for ever
            self._say_to_stderr(record)
            return
        try:
            client = self._client or _default_client()
            if not client.policy.log:
                client.count_disabled()
                return
            try:
                if self.formatter is not None:
                    message = self.formatter.format(record)
                else:  # record.getMessage()
                    message = record.msg if type(record.msg) is str else str(record.msg)
                    if record.args:
                        message = message % record.args
            except Exception:
                message = text_of(record.msg)
            if len(message) > MESSAGE_BYTES_MAX:
                message = message[:MESSAGE_BYTES_MAX + 1]  # what is longer is cut when it is encoded
            attributes: Any = None
            context = current.get()
            if record.exc_info or record.exc_text or record.stack_info or len(record.__dict__) > _STANDARD_COUNT:
                attributes, ids = _attributes_and_ids(record)
                if ids is not None:
                    context = context._replace(**ids)
            client.put((int(record.created * 1e9), _LEVELS.get(record.levelno) or level_name(record.levelno), message, name,
                        context.correlation_id or NO_CORRELATION, context.trace_id, context.span_id, attributes),
                       len(message) + LOG_BYTES)
        except Exception:
            self.handleError(record)

    def _say_to_stderr(self, record: logging.LogRecord) -> None:
        """As logging does where there is no handler, if nobody else gets it."""
        logger: Optional[logging.Logger] = diagnostics
        takers: List[logging.Handler] = []
        while logger is not None:
            takers += [h for h in logger.handlers if record.levelno >= h.level]
            logger = logger.parent if logger.propagate else None
        last = logging.lastResort
        if (last is not None and record.levelno >= last.level and takers and takers[0] is self
                and all(isinstance(h, LoggingHandler) for h in takers)):
            last.handle(record)

    def handleError(self, record: logging.LogRecord) -> None:
        """A record that cannot be made is counted, as one that is dropped; nothing is printed and nothing raised."""
        try:
            self.client.drop("not_encodable")
        except Exception:
            pass

    def flush(self) -> None:
        """logging.shutdown() calls this at exit, where the client flushes itself. client.flush() waits."""


def _attributes_and_ids(record: logging.LogRecord) -> Tuple[Any, Optional[Dict[str, Optional[str]]]]:
    """Encoded where a value could change before it is sent. Ids: None if the record has none."""
    out: Dict[str, Any] = {k: v for k, v in record.__dict__.items() if k not in _STANDARD}
    ids: Dict[str, Optional[str]] = {name: out.pop(name) or None for name in _IDS if type(out.get(name)) is str}
    if "trace_id" in ids:
        ids.setdefault("span_id", None)  # that of the context is of another trace
    shortened = False
    error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
    if error is not None:
        told = error_of(error)
        out.update({"exception.type": told["type"], "exception.message": told["message"],
                    "exception.stacktrace": told["stack"]})
        shortened = was_cut(told)
    elif record.exc_text and not record.exc_info:  # from another process
        out["exception.stacktrace"] = record.exc_text[-ERROR_BYTES_MAX:]
    if record.stack_info:
        out["code.stacktrace"] = record.stack_info
    if shortened:
        return Shortened(dumps(out)), ids or None
    return (out if are_scalars(out.values()) else dumps(out)), ids or None


class CorrelationFilter(logging.Filter):
    """For formats of other handlers, and for a QueueHandler before a LoggingHandler: sets record.correlation_id,
    record.trace_id and record.span_id (`%(correlation_id)s`). What the record has already (`extra`) stays."""

    def filter(self, record: logging.LogRecord) -> bool:
        context = current.get()
        has = record.__dict__
        has.setdefault("correlation_id", context.correlation_id or NO_CORRELATION)
        has.setdefault("span_id", "" if "trace_id" in has else context.span_id or "")  # of another trace
        has.setdefault("trace_id", context.trace_id or "")
        return True
