"""weir: records of a program (traces, logs, telemetry, monitoring) to the local agent. Standard library only.

    import logging, weir

    weir.connect(service="orders")                       # $WEIR_ADDRESS, else the agent's usual socket
    logging.getLogger().addHandler(weir.LoggingHandler())

    with weir.step("approve", ctx, message=order) as step:
        ctx["decision"] = "approved"

No call raises, waits for the agent, or takes long; what cannot be delivered is counted (weir.stats()). At exit the client
flushes; what atexit functions registered before `import weir`, and __del__ at the interpreter's end, log can be lost.
"""
from __future__ import annotations

from typing import Any, Optional, Sequence

from .client import Client, connect, default_client
from .correlation import NO_CORRELATION, Context, CorrelationManager
from .encode import timestamp as _timestamp
from .logging_handler import CorrelationFilter, LoggingHandler
from .metrics import DURATION_BOUNDS_S, BusMetrics, Counter, Gauge, Histogram, Registry, default_registry
from .trace_sink import TraceSink
from .tracing import Span, Step, boundary, span, step

__version__ = "0.1.0"
__all__ = ["BusMetrics", "Client", "Context", "CorrelationFilter", "CorrelationManager", "Counter", "DURATION_BOUNDS_S",
           "Gauge", "Histogram", "LoggingHandler", "NO_CORRELATION", "Registry", "Span", "Step", "TraceSink", "close",
           "connect", "correlation_manager", "counter", "default_client", "egress", "flush", "gauge", "histogram",
           "ingress", "log", "monitor", "span", "stats", "step"]

correlation_manager = CorrelationManager()


def log(level: Any = None, message: Any = None, /, **attributes: Any) -> None:
    """One log record. `level`: trace, debug, info, warn, error or fatal, or a number of the logging module."""
    try:
        default_client().put_log(level, message, None, attributes)
    except OSError:
        pass  # no client, for want of descriptors: the next call tries again


def monitor(rule: Any = None, /, *, severity: str = "warning", state: str = "firing", value: Optional[float] = None,
            threshold: Optional[float] = None, message: Optional[str] = None, client: Optional[Client] = None,
            **attributes: Any) -> None:
    """One monitoring record: a rule fires or is resolved. The current trace is its exemplar."""
    import time

    from .correlation import current
    if rule is None:
        rule = attributes.pop("rule", None)
    context = current.get()
    record = {"ts": _timestamp(time.time_ns()), "rule": rule, "severity": severity, "state": state, "value": value,
              "threshold": threshold, "message": message, "trace_id": context.trace_id,
              "correlation_id": context.correlation_id, "attributes": attributes or None}
    try:
        (client or default_client()).emit("monitoring", {k: v for k, v in record.items() if v is not None})
    except OSError:
        pass  # as in log()


def ingress(name: Any = None, message: Any = None, /, **fields: Any) -> None:
    """A message enters the system: before the first step of its trace."""
    boundary("ingress", name, message, fields)


def egress(name: Any = None, message: Any = None, /, **fields: Any) -> None:
    """A message leaves the system: after the step that made it."""
    boundary("egress", name, message, fields)


def counter(name: str, labels: Sequence[str] = (), unit: Optional[str] = None) -> Counter:
    """Of the default registry; the same name gives the same metric. Raises ValueError if it is not defined alike."""
    return default_registry.counter(name, labels, unit)


def gauge(name: str, labels: Sequence[str] = (), unit: Optional[str] = None) -> Gauge:
    """As counter()."""
    return default_registry.gauge(name, labels, unit)


def histogram(name: str, labels: Sequence[str] = (), unit: Optional[str] = None,
              bounds: Sequence[float] = DURATION_BOUNDS_S) -> Histogram:
    """As counter(). Bounds: by default those of request_duration_seconds, in seconds."""
    return default_registry.histogram(name, labels, unit, bounds)


def flush(timeout_s: float = 1.0) -> bool:
    """Of the default client: True when the agent has acknowledged everything."""
    return default_client().flush(timeout_s)


def close(timeout_s: Optional[float] = None) -> bool:
    """Of the default client. At exit this happens by itself, before atexit functions registered earlier are called."""
    return default_client().close(timeout_s)


def stats() -> Any:
    """Of the default client."""
    return default_client().stats()
