"""Steps and spans: what happened to one message, and how long it took (records.md section 3).

    with weir.step("approve", ctx, message=order) as step:
        ctx["decision"] = "approved"
        step.output(order)

    @weir.span(kind="client")
    async def fetch(): ...

Both are context managers (`with`, `async with`) and decorators (of functions and coroutine functions; a generator
function's body is not timed). What is raised inside is noted and goes on its way. Nothing of their own is raised.
"""
from __future__ import annotations

import functools
import inspect
import time
from contextvars import Token
from types import TracebackType
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple, Type, TypeVar, cast

from .client import Client, default_client
from .correlation import Context, current, new_span_id, new_trace_id
from .encode import Shortened, are_scalars, dumps, error_of, fields_of, text_of, timestamp, was_cut

F = TypeVar("F", bound=Callable[..., Any])


def signature(message: Any, with_value: bool = False) -> Dict[str, Any]:
    """{type_name, identity, hash}; with_value: and the message itself, for the agent to hash (records.md section 4)."""
    identity = message.get("id") if isinstance(message, Mapping) else getattr(message, "id", None)
    out = {"type_name": type(message).__name__, "identity": None if identity is None else text_of(identity), "hash": None}
    if with_value:
        out["value"] = message
    return out


def _name_of(function: Any) -> str:
    """Also of what is called like a function and has no name: a partial is named after what it calls."""
    function = getattr(function, "func", function)
    return str(getattr(function, "__qualname__", None) or type(function).__qualname__)


class _Scope:
    """One step or span. Not for two at the same time, but again after it has ended, and as a decorator as often as wanted."""

    def __init__(self, name: Optional[str], trace_id: Optional[str], client: Optional[Client], **fields: Any) -> None:
        self.name = name
        self.trace_id = trace_id
        self.span_id: Optional[str] = None
        self.error: Optional[BaseException] = None
        self._given = (trace_id, client, fields)
        self._attributes: Dict[str, Any] = {}
        self._token: Optional[Token[Context]] = None
        self._client: Optional[Client] = None

    def set(self, key: str, value: Any) -> None:
        """An attribute; encoded at the end."""
        self._attributes[key if type(key) is str else text_of(key)] = value

    def fail(self, error: BaseException) -> None:
        """The status is error, though nothing is raised."""
        self.error = error

    # --- with ------------------------------------------------------------------------------------------------------

    def __enter__(self) -> Any:
        try:
            outer = current.get()
            trace_id = self._given[0] or outer.trace_id or new_trace_id()
            if type(trace_id) is not str:
                trace_id = text_of(trace_id)
            self.trace_id, self.span_id, self.error = trace_id, new_span_id(), None
            self._parent = outer.span_id if trace_id == outer.trace_id else None
            self._token = current.set(outer._replace(trace_id=trace_id, span_id=self.span_id))
            self._client = self._given[1] or default_client()
            self._begin(self._client)
            self._start_ns, self._clock_ns = time.time_ns(), time.perf_counter_ns()
        except Exception:
            if self._client is not None:
                self._client.drop("not_encodable")
            self._client = None
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException],
                 traceback: Optional[TracebackType]) -> None:
        client, self._client = self._client, None
        token, self._token = self._token, None
        try:
            if client is not None:
                took_ns = time.perf_counter_ns() - self._clock_ns
                if client.policy.trace:
                    self._send(client, took_ns, error or self.error)
                else:
                    client.count_disabled()
        except Exception:
            if client is not None:
                client.drop("not_encodable")
        if token is not None:
            try:
                current.reset(token)
            except (ValueError, RuntimeError):
                pass  # left in another context than it was entered in

    async def __aenter__(self) -> Any:
        return self.__enter__()

    async def __aexit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException],
                        traceback: Optional[TracebackType]) -> None:
        self.__exit__(kind, error, traceback)

    # --- decorator ---------------------------------------------------------------------------------------------------

    def __call__(self, function: F) -> F:
        if inspect.iscoroutinefunction(function):
            @functools.wraps(function)
            async def wrapped(*args: Any, **kwargs: Any) -> Any:
                with self._for_call(function, args, kwargs) as scope:
                    result = await function(*args, **kwargs)
                    scope._returned(result)
                    return result
        else:
            @functools.wraps(function)
            def wrapped(*args: Any, **kwargs: Any) -> Any:
                with self._for_call(function, args, kwargs) as scope:
                    result = function(*args, **kwargs)
                    scope._returned(result)
                    return result
        return cast(F, wrapped)

    def _for_call(self, function: Callable[..., Any], args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> "_Scope":
        raise NotImplementedError

    def _returned(self, result: Any) -> None:
        pass

    def _begin(self, client: Client) -> None:
        pass

    def _send(self, client: Client, took_ns: int, error: Optional[BaseException]) -> None:
        raise NotImplementedError

    def _common(self, took_ns: int, error: Optional[BaseException]) -> Dict[str, Any]:
        out: Dict[str, Any] = {"duration_ms": took_ns / 1e6, "status": "ok" if error is None else "error",
                               "error": None if error is None else error_of(error), "span_id": self.span_id}
        if self._parent is not None:
            out["parent_span_id"] = self._parent
        correlation_id = current.get().correlation_id
        if correlation_id is not None:
            out["correlation_id"] = correlation_id
        if self._attributes:
            out["attributes"] = self._attributes
        return out


class Step(_Scope):
    """Made by weir.step()."""

    def __init__(self, name: Optional[str], ctx: Any, message: Any, values: bool, trace_id: Optional[str],
                 client: Optional[Client], fields: Dict[str, Any]) -> None:
        super().__init__(name, trace_id, client, **fields)
        self._ctx, self._message, self._values = ctx, message, values
        self._out: List[Dict[str, Any]] = []
        self._in: Optional[bytes] = None
        self._before: Optional[bytes] = None

    def output(self, message: Any) -> None:
        """One message that leaves the step; what it is now is what is recorded."""
        try:
            made = signature(message, self._values)
            if self._values:
                made["value"] = _Encoded(dumps(message))
            self._out.append(made)
        except Exception:
            pass  # a message whose members cannot be read: the step is recorded without it

    def _begin(self, client: Client) -> None:
        self._out, self._attributes, self._in, self._before = [], {}, None, None
        if client.policy.trace:  # which may change while the step is open
            self._before = self._context(client)
            if self._message is not None:
                try:
                    self._in = dumps(signature(self._message, self._values), not self._values)
                except Exception:
                    pass  # as in output()

    def _context(self, client: Client) -> Optional[bytes]:
        """The context as it is now. None: there is none, it cannot be read, or the agent would throw it away."""
        policy, ctx = client.policy, self._ctx
        if ctx is None or policy.context_mode == "none":
            return None
        try:
            fields = _members_of(ctx)
            return dumps(policy.context(fields) if policy.filters_context else fields)
        except Exception as error:
            client.say("the context of step %s cannot be read: %s: %s", self.name, type(error).__name__, text_of(error))
            return None

    def _send(self, client: Client, took_ns: int, error: Optional[BaseException]) -> None:
        fields = {"trace_id": self.trace_id, "step_name": self.name, **self._given[2],
                  "t_enter": timestamp(self._start_ns), "t_exit": timestamp(self._start_ns + took_ns),
                  **self._common(took_ns, error)}
        head, after = dumps(fields, are_scalars(self._attributes.values())), self._context(client)
        body = head[:-1]
        if self._in is not None:
            body += b',"msg_in":' + self._in
        out = [_signature_bytes(s) for s in self._out]
        body += b',"msg_out":[%s],"msg_out_count":%d' % (b",".join(out), len(out))
        if self._ctx is not None:
            body += b',"ctx_before":%s,"ctx_after":%s' % (self._before or b"null", after or b"null")
        body += b"}"
        if Shortened in map(type, (head, self._in, self._before, after, *out)) or (error is not None and was_cut(fields["error"])):
            body = Shortened(body)
        client.put_fields("trace", fields, body)

    def _returned(self, result: Any) -> None:
        if result is not None:
            for message in result if type(result) in (list, tuple) else (result,):  # a named tuple is one message
                self.output(message)

    def _for_call(self, function: Callable[..., Any], args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> "_Scope":
        trace_id, client, fields = self._given
        ctx, message = self._ctx, self._message
        try:
            ctx = ctx(*args, **kwargs) if callable(ctx) else ctx
            message = message(*args, **kwargs) if callable(message) else message
        except Exception:
            (client or default_client()).say("weir.step: what finds ctx or message of %s raised", _name_of(function))
            ctx = message = None
        return Step(self.name or _name_of(function), ctx, message, self._values, trace_id, client, fields)


_VALUES = (str, bytes, int, float, list, tuple, set, frozenset, Mapping)


def _members_of(ctx: Any) -> Dict[str, Any]:
    """As fields_of(); an object that has no public member yet has none."""
    try:
        return fields_of(ctx)
    except TypeError:
        if isinstance(ctx, _VALUES) or not (hasattr(ctx, "__dict__") or hasattr(ctx, "__slots__")):
            raise
        return {}


class _Encoded:
    """A value that is JSON already."""

    def __init__(self, data: bytes) -> None:
        self.data = data


def _signature_bytes(made: Dict[str, Any]) -> bytes:
    value = made.get("value")
    if isinstance(value, _Encoded):
        rest = {k: v for k, v in made.items() if k != "value"}
        return type(value.data)(dumps(rest)[:-1] + b',"value":' + value.data + b"}")  # Shortened, it remains so
    return dumps(made, True)


class Span(_Scope):
    """Made by weir.span()."""

    def __init__(self, name: Optional[str], kind: str, trace_id: Optional[str], client: Optional[Client],
                 attributes: Dict[str, Any], links: List[Dict[str, Any]]) -> None:
        super().__init__(name, trace_id, client)
        self._kind, self._links, self._first_attributes = kind, links, attributes
        self._events: List[Dict[str, Any]] = []

    def event(self, name: Any = None, /, **attributes: Any) -> None:
        """Something that happened within the span, now."""
        if name is None:
            name = attributes.pop("name", None)
        self._events.append({"name": name, "ts": timestamp(time.time_ns()), "attributes": attributes})

    def _begin(self, client: Client) -> None:
        self._events, self._attributes = [], dict(self._first_attributes)

    def _send(self, client: Client, took_ns: int, error: Optional[BaseException]) -> None:
        fields = {"trace_id": self.trace_id, "name": self.name, "span_kind": self._kind,
                  "start": timestamp(self._start_ns), "end": timestamp(self._start_ns + took_ns),
                  **self._common(took_ns, error)}
        state = current.get().trace_state
        if state:
            fields["trace_state"] = state
        if self._events:
            fields["events"] = self._events
        if self._links:
            fields["links"] = self._links
        if error is not None and was_cut(fields["error"]):
            fields["shortened"] = True
        small = not self._events and not self._links and are_scalars(self._attributes.values())
        client.put_fields("trace", fields, dumps(fields, small))

    def _for_call(self, function: Callable[..., Any], args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> "_Scope":
        trace_id, client, _ = self._given
        return Span(self.name or _name_of(function), self._kind, trace_id, client, self._first_attributes, self._links)


def step(name: Optional[str] = None, ctx: Any = None, *, message: Any = None, values: bool = False,
         trace_id: Optional[str] = None, step_index: Optional[int] = None, scenario: Optional[str] = None,
         line_no: Optional[int] = None, work_index: Optional[int] = None, process_group: Optional[str] = None,
         client: Optional[Client] = None) -> Step:
    """One step of a pipeline for one message.

    ctx: the context, a mapping or object that the step may change: it is encoded at both ends, and the agent says what
    changed. message: what comes in; Step.output() says what goes out. values: ship the messages themselves, for the
    agent to hash. trace_id: default: that of the current context, else a new one. As a decorator, ctx and message may
    be functions of the arguments, the name is the function's if none is given, and what is returned (one message, or a
    list or tuple of several) goes out.
    """
    given = {"scenario": scenario, "line_no": line_no, "step_index": step_index, "work_index": work_index,
             "process_group": process_group}
    return Step(name, ctx, message, values, trace_id, client, {k: v for k, v in given.items() if v is not None})


def span(name: Optional[str] = None, *, kind: str = "internal", trace_id: Optional[str] = None,
         attributes: Optional[Mapping[str, Any]] = None, links: Optional[List[Dict[str, Any]]] = None,
         client: Optional[Client] = None) -> Span:
    """A span as OpenTelemetry has it. kind: internal, server, client, producer, consumer."""
    given: Any = attributes or {}
    if not isinstance(given, Mapping):
        given = {"attributes": given}
    return Span(name, kind, trace_id, client, dict(given), list(links) if isinstance(links, (list, tuple)) else [])


def boundary(kind: str, name: Any, message: Any, fields: Dict[str, Any]) -> None:
    """A message enters (`ingress`, before its first step) or leaves (`egress`, after the step that made it).

    `fields`: members of the record; `client`: another client. Of a call that named them, `name` and `message`, too.
    """
    where: Optional[Client] = fields.pop("client", None)
    try:
        where = where or default_client()
        if name is None:
            name = fields.pop("name", None)
        if message is None:
            message = fields.pop("message", None)
        context = current.get()
        now = timestamp(time.time_ns())
        record: Dict[str, Any] = {"trace_id": context.trace_id, "step_name": name, "t_enter": now, "t_exit": now,
                                  "duration_ms": 0, "status": "ok", **fields, "kind": kind}
        if record["trace_id"] is None:
            record["trace_id"] = context.trace_id
        if context.correlation_id is not None:
            record.setdefault("correlation_id", context.correlation_id)
        if message is not None:
            record["msg_in" if kind == "ingress" else "msg_out"] = (
                signature(message) if kind == "ingress" else [signature(message)])
        where.emit("trace", record)
    except Exception:
        if where is not None:
            where.drop("not_encodable")
