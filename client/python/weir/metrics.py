"""Counters, gauges and histograms, added up in the program and sent as telemetry records (records.md section 6).

What is sent is what came since the last time (`"temporality":"delta"`), so that several workers of one service add up to
the whole, and a worker that restarts takes nothing back. A gauge is its last value. While the agent is away nothing is
sent: it stays added up, and nothing is lost but the time of day. Series that did not change send nothing.
"""
from __future__ import annotations

import math
import os
import threading
import time
import weakref
from bisect import bisect_left
from contextlib import contextmanager
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple, Type, TypeVar

from .encode import text_of, timestamp

DURATION_BOUNDS_S = (.001, .005, .01, .025, .05, .1, .25, .5, 1.0, 2.5, 5.0, 10.0)
SERIES_MAX = 10_000
NUMBER_MAX = 1e300  # no measurement is larger; sums stay numbers
_OVERFLOW = object()
_NOT_GIVEN: Any = object()


def _number(value: Any) -> float:
    """Of a Decimal, say. What is none is counted as not encodable, and no number (NaN) to who asks."""
    try:
        return float(value)
    except Exception:
        pass
    try:
        from .client import default_client
        default_client().drop("not_encodable")
    except Exception:
        pass
    return math.nan


class _Series:
    """One set of label values of a metric. Methods take the registry's lock, which a signal handler may take again.

    What cannot be made a number changes nothing, and is counted: stats()["dropped"]["not_encodable"]. NaN, and what a
    counter cannot be told (less than zero, infinite), changes nothing either.
    """

    __slots__ = ("attributes", "lock", "value", "changed", "registry")

    def __init__(self, attributes: Dict[str, Any], registry: "Registry", bounds: Sequence[float]) -> None:
        self.attributes, self.lock, self.registry = attributes, registry.lock, registry
        self.clear()

    def clear(self) -> None:
        self.value: float = 0
        self.changed = False

    def take(self) -> Dict[str, Any]:
        """What to send, under the lock."""
        value, self.value, self.changed = self.value, 0, False
        return {"value": value, "temporality": "delta"}


class CounterSeries(_Series):
    __slots__ = ()

    def inc(self, value: float = 1) -> None:
        """Counters only grow: what is negative or no number is not added."""
        if type(value) is not int and type(value) is not float:
            value = _number(value)
        if 0 <= value <= NUMBER_MAX:
            with self.lock:
                self.value += value
                first, self.changed = not self.changed, True
            if first:
                self.registry.on_change()


class GaugeSeries(_Series):
    __slots__ = ()

    def set(self, value: float) -> None:
        if type(value) is not int and type(value) is not float:
            value = _number(value)
        self._set(value, 0)

    def inc(self, value: float = 1) -> None:
        if type(value) is not int and type(value) is not float:
            value = _number(value)
        self._set(value, 1)

    def _set(self, value: float, times_old: int) -> None:
        if -NUMBER_MAX <= value <= NUMBER_MAX:
            with self.lock:
                self.value = self.value * times_old + value
                first, self.changed = not self.changed, True
            if first:
                self.registry.on_change()

    def dec(self, value: float = 1) -> None:
        if type(value) is not int and type(value) is not float:
            value = _number(value)
        self.inc(-value)

    def take(self) -> Dict[str, Any]:
        self.changed = False
        return {"value": self.value}


class HistogramSeries(_Series):
    __slots__ = ("bounds", "buckets")

    def __init__(self, attributes: Dict[str, Any], registry: "Registry", bounds: Sequence[float]) -> None:
        self.bounds = bounds
        super().__init__(attributes, registry, bounds)

    def clear(self) -> None:
        super().clear()
        self.buckets = [0] * (len(self.bounds) + 1)

    def observe(self, value: float) -> None:
        """Bucket i counts values up to and including bound i, the last one all above. No number is no observation;
        an infinite one is counted, and not added."""
        if type(value) is not int and type(value) is not float:
            value = _number(value)
        if value == value:
            at = bisect_left(self.bounds, value)
            with self.lock:
                self.buckets[at] += 1
                if -NUMBER_MAX <= value <= NUMBER_MAX:
                    self.value += value
                first, self.changed = not self.changed, True
            if first:
                self.registry.on_change()

    @contextmanager
    def time(self) -> Iterator[None]:
        """Observes the seconds the block takes, however it ends."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.observe(time.perf_counter() - begin)

    def take(self) -> Dict[str, Any]:
        buckets, total = self.buckets, self.value
        self.clear()
        return {"count": sum(buckets), "sum": total, "bounds": list(self.bounds), "buckets": buckets, "temporality": "delta"}


S = TypeVar("S", bound=_Series)


class _Metric:
    kind = ""
    series_type: Type[_Series] = _Series

    def __init__(self, registry: "Registry", name: str, labels: Sequence[str], unit: Optional[str],
                 bounds: Sequence[float] = ()) -> None:
        self.name, self.label_names, self.unit, self.bounds = name, tuple(labels), unit, tuple(bounds)
        self._registry, self._lock = registry, registry.lock
        self._series: Dict[Any, Any] = {}
        if not self.label_names:
            self._of(())

    def series(self) -> List[_Series]:
        return list(self._series.values())

    def _find(self, labels: Dict[str, Any]) -> Any:
        """By name; a label that is left out is empty, one that is not the metric's is not looked at."""
        key = tuple([labels.get(n, "") for n in self.label_names])
        try:
            return self._series[key]
        except Exception:  # not there, or not hashable
            return self._of(key)

    def _amount(self, value: Any, labels: Dict[str, Any]) -> Any:
        """`value` may be a label; where it is none, who names it means the number."""
        return labels["value"] if "value" in labels and "value" not in self.label_names else value

    def _of(self, key: Tuple[Any, ...]) -> Any:
        """What is no text or number counts as its text, made here: code of the program must not run under the lock."""
        key = tuple([v if isinstance(v, (str, int, float)) else text_of(v) for v in key])
        with self._lock:
            found = self._series.get(key)
            if found is None:
                values = dict(zip(self.label_names, key))
                if key and not self._registry.room_for_series():
                    found = self._series.get(_OVERFLOW)
                    values, key = {"overflow": True}, _OVERFLOW  # type: ignore[assignment]
                if found is None:
                    found = self.series_type(values, self._registry, self.bounds)
                    self._series[key] = found
            return found

    def replace_lock(self, lock: Any) -> None:
        self._lock = lock
        for series in self._series.values():
            series.lock = lock
            series.clear()


class Counter(_Metric):
    kind = "counter"
    series_type = CounterSeries

    def labels(self, *values: Any) -> CounterSeries:
        """One series, for the hot path: look it up once. Values in the order of the metric's labels."""
        found: CounterSeries = self._find(dict(zip(self.label_names, values)))
        return found

    def inc(self, value: float = 1, /, **labels: Any) -> None:
        self._find(labels).inc(self._amount(value, labels) if "value" in labels else value)


class Gauge(_Metric):
    kind = "gauge"
    series_type = GaugeSeries

    def labels(self, *values: Any) -> GaugeSeries:
        """As Counter.labels()."""
        found: GaugeSeries = self._find(dict(zip(self.label_names, values)))
        return found

    def set(self, value: float = _NOT_GIVEN, /, **labels: Any) -> None:
        self._find(labels).set(self._amount(value, labels) if "value" in labels else value)

    def inc(self, value: float = 1, /, **labels: Any) -> None:
        self._find(labels).inc(self._amount(value, labels) if "value" in labels else value)

    def dec(self, value: float = 1, /, **labels: Any) -> None:
        self._find(labels).dec(self._amount(value, labels) if "value" in labels else value)


class Histogram(_Metric):
    kind = "histogram"
    series_type = HistogramSeries

    def labels(self, *values: Any) -> HistogramSeries:
        """As Counter.labels()."""
        found: HistogramSeries = self._find(dict(zip(self.label_names, values)))
        return found

    def observe(self, value: float = _NOT_GIVEN, /, **labels: Any) -> None:
        self._find(labels).observe(self._amount(value, labels) if "value" in labels else value)

    def time(self, /, **labels: Any) -> Any:
        """with histogram.time(service="orders"): ..."""
        return self._find(labels).time()


M = TypeVar("M", bound=_Metric)


def _nothing() -> None:
    pass


class Registry:
    """All metrics of a program. The default one is sent by the default client; another by client.add_collector(registry.collect)."""

    def __init__(self, series_max: int = SERIES_MAX) -> None:
        """series_max: beyond so many sets of label values a metric adds all new ones up in one, {"overflow": true}."""
        self.lock = threading.RLock()
        self._metrics: Dict[str, _Metric] = {}
        self._series_left = series_max
        self.on_change: Callable[[], Any] = _nothing  # a series has changed, for the first time since it was collected
        _registries.add(self)

    def room_for_series(self) -> bool:
        self._series_left -= 1
        return self._series_left >= 0

    def counter(self, name: str, labels: Sequence[str] = (), unit: Optional[str] = None) -> Counter:
        return self._add(Counter, name, labels, unit, ())

    def gauge(self, name: str, labels: Sequence[str] = (), unit: Optional[str] = None) -> Gauge:
        return self._add(Gauge, name, labels, unit, ())

    def histogram(self, name: str, labels: Sequence[str] = (), unit: Optional[str] = None,
                  bounds: Sequence[float] = DURATION_BOUNDS_S) -> Histogram:
        """bounds: upper ends of the buckets, ascending."""
        if not bounds or list(bounds) != sorted(set(bounds)):
            raise ValueError("bounds of %s: ascending, at least one" % name)
        return self._add(Histogram, name, labels, unit, bounds)

    def _add(self, kind: Type[M], name: str, labels: Sequence[str], unit: Optional[str], bounds: Sequence[float]) -> M:
        """The one that has the name already, if it is the same; else ValueError, where the program defines it."""
        with self.lock:
            known = self._metrics.get(name)
            if known is None:
                made = kind(self, name, labels, unit, bounds)
                self._metrics[name] = made
                return made
            if isinstance(known, kind) and known.label_names == tuple(labels) and known.bounds == tuple(bounds):
                return known
            raise ValueError("metric %s is defined twice, and not alike" % name)

    def collect(self) -> List[Dict[str, Any]]:
        """What changed since the last time, as telemetry records; it counts as sent."""
        out: List[Dict[str, Any]] = []
        ts = timestamp(time.time_ns())
        with self.lock:
            for metric in list(self._metrics.values()):
                for series in metric.series():
                    if series.changed:
                        record: Dict[str, Any] = {"ts": ts, "name": metric.name, "type": metric.kind, **series.take()}
                        if metric.unit is not None:
                            record["unit"] = metric.unit
                        if series.attributes:
                            record["attributes"] = series.attributes
                        out.append(record)
        return out

    def after_fork_in_child(self) -> None:
        """What was added up is the parent's to send; its locks may be held by threads that are not here."""
        self.lock = threading.RLock()
        for metric in self._metrics.values():
            metric.replace_lock(self.lock)


class BusMetrics:
    """The service bus's metrics, `<prefix>_requests_total` and so on."""

    def __init__(self, prefix: str = "bus", registry: Optional[Registry] = None) -> None:
        r, p = registry or default_registry, prefix + "_" if prefix else ""
        self.requests_total = r.counter(p + "requests_total", ("service", "feature_type", "dto_name", "status"))
        self.request_duration_seconds = r.histogram(p + "request_duration_seconds", ("service", "feature_type", "dto_name"),
                                                    unit="s")
        self.active_requests = r.gauge(p + "active_requests", ("service", "feature_type"))
        self.dependency_operations_total = r.counter(p + "dependency_operations_total",
                                                     ("service", "dependency_name", "operation", "status"))
        self.cache_operations_total = r.counter(p + "cache_operations_total", ("service", "operation", "result"))

    @contextmanager
    def request(self, service: str, feature_type: str, dto_name: str) -> Iterator[None]:
        """One request: active while it lasts, its duration, and `success` or, when it raises, `error`."""
        active = self.active_requests.labels(service, feature_type)
        active.inc()
        begin, status = time.perf_counter(), "error"
        try:
            yield
            status = "success"
        finally:
            active.dec()
            self.request_duration_seconds.labels(service, feature_type, dto_name).observe(time.perf_counter() - begin)
            self.requests_total.labels(service, feature_type, dto_name, status).inc()


def _after_fork_in_child() -> None:
    for registry in list(_registries):
        registry.after_fork_in_child()


_registries: weakref.WeakSet[Registry] = weakref.WeakSet()
default_registry = Registry()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
