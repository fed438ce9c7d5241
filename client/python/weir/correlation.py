"""Who asked, and which trace this is: kept in a context variable, so that it follows threads of control and `await`.

Headers: W3C traceparent and tracestate (https://www.w3.org/TR/trace-context/), baggage (https://www.w3.org/TR/baggage/),
X-Correlation-ID, X-Trace-ID. What a peer sends is not trusted: malformed values are ignored, long ones are cut.
"""
from __future__ import annotations

import contextvars
import os
import random
import re
import uuid
from contextlib import contextmanager
from typing import Any, Dict, Iterator, List, Mapping, MutableMapping, NamedTuple, Optional, Tuple
from urllib.parse import quote, unquote

from .encode import text_of

NO_CORRELATION = "no-correlation"
ID_CHARS_MAX = 128
BAGGAGE_BYTES_MAX = 8192
BAGGAGE_MEMBERS_MAX = 64
TRACESTATE_CHARS_MAX = 512
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.A)
_PRINTABLE_ID = re.compile(r"[\x21-\x7e]{1,%d}" % ID_CHARS_MAX)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class Context(NamedTuple):
    """What belongs together in one thread of control. Immutable: a change makes a new one."""

    correlation_id: Optional[str] = None
    trace_id: Optional[str] = None
    span_id: Optional[str] = None
    flags: int = 1  # of traceparent; bit 0: sampled
    trace_state: Optional[str] = None
    baggage: Tuple[Tuple[str, str], ...] = ()


EMPTY = Context()
_IDS = ("correlation_id", "trace_id", "span_id")  # its first members
current: contextvars.ContextVar[Context] = contextvars.ContextVar("weir_context", default=EMPTY)


_random = random.Random()  # our own: a program that seeds the common one must not repeat ids
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_random.seed)


def new_trace_id() -> str:
    """32 hex digits, random, never all zero."""
    return "%032x" % (_random.getrandbits(128) or 1)


def new_span_id() -> str:
    """16 hex digits, random, never all zero."""
    return "%016x" % (_random.getrandbits(64) or 1)


class CorrelationManager:
    """Stateless: all instances see the same context. Nothing here raises for what a header holds."""

    def generate(self) -> str:
        """A new correlation id (a UUID), not set anywhere."""
        return str(uuid.uuid4())

    def get(self) -> Optional[str]:
        return current.get().correlation_id

    def set(self, correlation_id: Optional[str]) -> contextvars.Token[Context]:
        """For this thread of control; reset() with what it returns brings back the one before. A number becomes text."""
        return current.set(_with_texts(current.get()._replace(correlation_id=correlation_id)))

    def reset(self, token: contextvars.Token[Context]) -> None:
        try:
            current.reset(token)
        except (ValueError, RuntimeError):  # from another context, or used: leave what is
            pass

    def get_or_create(self) -> str:
        """The one that is set; else a new one, which is set."""
        known = self.get()
        if known is None:
            known = self.generate()
            self.set(known)
        return known

    def context(self) -> Context:
        return current.get()

    def extract(self, headers: Mapping[str, Any]) -> Context:
        """What the headers of a request or message say, not set anywhere: use activate(). Names in any case, values str or bytes.

        A valid traceparent wins over X-Trace-ID.
        """
        found = _lower(headers)
        correlation_id = _id(found.get("x-correlation-id"))
        trace_id, span_id, flags = _traceparent(found.get("traceparent"))
        trace_state = None
        if trace_id is not None:
            state = found.get("tracestate", "").strip()
            if state and len(state) <= TRACESTATE_CHARS_MAX and state.isprintable():
                trace_state = state
        else:
            trace_id = _id(found.get("x-trace-id"))
        return Context(correlation_id, trace_id, span_id, flags, trace_state, _baggage(found.get("baggage", "")))

    def inject(self, headers: MutableMapping[str, str], context: Optional[Context] = None) -> MutableMapping[str, str]:
        """Writes a context (default: the current one) into headers and returns them. Without a trace id, no trace headers."""
        c = current.get() if context is None else _with_texts(context)
        if c.correlation_id is not None and _PRINTABLE_ID.fullmatch(c.correlation_id):
            headers["X-Correlation-ID"] = c.correlation_id
        if c.trace_id is not None and _PRINTABLE_ID.fullmatch(c.trace_id):
            headers["X-Trace-ID"] = c.trace_id
            parent = "00-%s-%s-%02x" % (c.trace_id, c.span_id or new_span_id(), c.flags & 1)
            if _traceparent(parent)[0] is not None:  # a trace id of another form goes as X-Trace-ID alone
                headers["traceparent"] = parent
                if c.trace_state:
                    headers["tracestate"] = c.trace_state
        if c.baggage:
            headers["baggage"] = ",".join("%s=%s" % (k, quote(v, safe="")) for k, v in c.baggage)
        return headers

    def child_context(self, context: Optional[Context] = None) -> Context:
        """The same trace and correlation, a new span id: for work that this one hands to another. Missing ids are made."""
        c = current.get() if context is None else context
        return c._replace(correlation_id=c.correlation_id or self.generate(), trace_id=c.trace_id or new_trace_id(),
                          span_id=new_span_id())

    @contextmanager
    def activate(self, context: Context) -> Iterator[Context]:
        """with manager.activate(manager.extract(headers)): ..."""
        token = current.set(_with_texts(context))
        try:
            yield context
        finally:
            self.reset(token)


def _with_texts(context: Context) -> Context:
    """What is no context is an empty one, and ids that are no text (a program's numbers) become text."""
    if not isinstance(context, Context):
        return EMPTY
    wrong = {n: text_of(v) for n, v in zip(_IDS, context) if v is not None and type(v) is not str}
    return context._replace(**wrong) if wrong else context


def _lower(headers: Mapping[str, Any]) -> Dict[str, str]:
    """Only the names that matter; a value that is no text is left out. For a name met twice the last one counts."""
    wanted = ("x-correlation-id", "x-trace-id", "traceparent", "tracestate", "baggage")
    out: Dict[str, str] = {}
    try:
        for name, value in headers.items():
            name = name.decode("latin-1") if isinstance(name, bytes) else name
            lower = name.lower() if isinstance(name, str) else ""
            if lower in wanted:
                value = value.decode("latin-1") if isinstance(value, bytes) else value
                if isinstance(value, str):
                    out[lower] = value
    except Exception:
        pass  # not a mapping after all
    return out


def _id(text: Optional[str]) -> Optional[str]:
    if text is None:
        return None
    text = text.strip()[:ID_CHARS_MAX]
    return text if _PRINTABLE_ID.fullmatch(text) else None


def _traceparent(text: Optional[str]) -> Tuple[Optional[str], Optional[str], int]:
    match = _TRACEPARENT.fullmatch(text.strip()) if text else None
    if not match:
        return None, None, 1
    version, trace_id, span_id, flags, more = match.groups()
    if version == "ff" or (version == "00" and more) or trace_id == "0" * 32 or span_id == "0" * 16:
        return None, None, 1
    return trace_id, span_id, int(flags, 16)


def _baggage(text: str) -> Tuple[Tuple[str, str], ...]:
    members: List[Tuple[str, str]] = []
    for member in text[:BAGGAGE_BYTES_MAX].split(",")[:BAGGAGE_MEMBERS_MAX]:
        key, equals, value = member.split(";", 1)[0].partition("=")
        if equals and _TOKEN.fullmatch(key.strip()):
            members.append((key.strip(), unquote(value.strip())))
    return tuple(members)
