"""Python values as JSON that the agent takes (records.md sections 6, 7 and 9). Nothing here raises for what a value is.

The fast way is the C encoder of the standard library. What it cannot take (not a number, lone surrogates, cycles, keys
that are no text) goes a slow way that changes the least: such a record arrives, and says what could not be kept.
"""
from __future__ import annotations

import base64
import dataclasses
import datetime
import decimal
import enum
import gc
import json
import json.encoder
import math
import threading
import time
import traceback
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Set, Tuple

from .shorten import CUT, cut, quote

DEPTH_MAX = 60  # the agent takes 64 with the record itself
OBJECTS_MAX = 10_000  # that the fast way meets: what is shared counts each time, since it is written each time
VALUES_MAX = 50_000  # that the slow way keeps
KEYS_MAX = 1024  # of an object, for the agent
LOOKED_AT_MAX = 200  # references of a value of ordinary size
ERROR_BYTES_MAX = 16_384  # of an exception's message, and of its stack
MESSAGE_BYTES_MAX = 65_536  # of a log message
_UTC = datetime.timezone.utc


_last_second: Tuple[int, str] = (-1, "")  # replaced as a whole: threads may race, each has what it read


def timestamp(ns: int) -> str:
    """Nanoseconds since the epoch as RFC 3339 UTC with nanoseconds."""
    global _last_second
    second, rest = divmod(ns, 1_000_000_000)
    known, text = _last_second
    if known != second:
        text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        _last_second = (second, text)
    return "%s.%09dZ" % (text, rest)


def rfc3339(value: datetime.datetime) -> str:
    """UTC with `Z`. A datetime without a zone is taken as UTC, as the stream framework's are."""
    if value.tzinfo is not None:
        if value.tzinfo is not _UTC:
            try:
                value = value.astimezone(_UTC)
            except (OverflowError, ValueError):  # at the ends of the calendar
                return value.isoformat()
        return value.isoformat()[:-6] + "Z"
    return value.isoformat() + "Z"


def text_of(value: Any) -> str:
    """str(), whatever it does."""
    try:
        return str.__str__(str(value))  # a plain str, whatever class it has
    except Exception:
        return "<unprintable %s>" % type(value).__name__


def fields_of(record: Any) -> Dict[str, Any]:
    """The members of a record: a mapping, dataclass, named tuple, or any object with attributes. Raises TypeError."""
    if type(record) is dict:
        return record
    if isinstance(record, Mapping):
        return dict(record)
    names = _DATACLASS_FIELDS.get(type(record))
    if names is None and dataclasses.is_dataclass(record) and not isinstance(record, type):
        names = tuple(f.name for f in dataclasses.fields(record))
        if len(_DATACLASS_FIELDS) < 10_000:
            _DATACLASS_FIELDS[type(record)] = names
    if names is not None:
        return {n: getattr(record, n) for n in names}
    if isinstance(record, tuple) and hasattr(record, "_asdict"):
        return dict(record._asdict())
    members = {n: getattr(record, n) for c in type(record).__mro__ for n in _slots(c) if hasattr(record, n)}
    members.update(getattr(record, "__dict__", {}))
    members = {k: v for k, v in members.items() if not k.startswith("_")}
    if not members:
        raise TypeError("no record: %s" % type(record).__name__)
    return members


_DATACLASS_FIELDS: Dict[type, Tuple[str, ...]] = {}


def _slots(cls: type) -> Tuple[str, ...]:
    slots = cls.__dict__.get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)


def plain(value: Any) -> Any:
    """What stands for a value that JSON has no form for; called by the encoder for each such value."""
    kind = type(value)
    if kind is datetime.datetime:
        return rfc3339(value)
    if kind is decimal.Decimal:
        return str(value)
    if isinstance(value, datetime.datetime):
        return rfc3339(value)
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, enum.Enum):
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _counted({f.name: getattr(value, f.name, None) for f in dataclasses.fields(value)})
    if isinstance(value, Mapping):
        return _counted(dict(value))
    if isinstance(value, (set, frozenset)):
        return _counted(sorted(value, key=text_of))  # sets have no order; the diff of two contexts needs one
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, BaseException):
        return error_of(value, stack=False)
    if hasattr(kind, "__index__"):  # the integers of other libraries
        return kind.__index__(value)
    return text_of(value)


def error_of(error: BaseException, stack: bool = True) -> Dict[str, Any]:
    """The `error` member of a trace record (records.md section 3)."""
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else "%s.%s" % (kind.__module__, kind.__qualname__)
    where, text = None, None
    try:
        frames = traceback.extract_tb(error.__traceback__)
        if frames:
            where = "%s:%s in %s" % (frames[-1].filename, frames[-1].lineno, frames[-1].name)
        if stack:
            text = "".join(traceback.format_exception(kind, error, error.__traceback__))[-ERROR_BYTES_MAX:]
    except Exception:
        pass  # an exception that cannot be printed is an error all the same
    return {"type": name, "message": cut(text_of(error), ERROR_BYTES_MAX), "where": where, "stack": text}


def was_cut(error: Mapping[str, Any]) -> bool:
    """What error_of() made does not say it all."""
    return bool(error["message"].endswith(CUT))


class Shortened(bytes):
    """JSON that does not hold all of the value: its record says `"shortened":true`."""


class _Budget(threading.local):
    left = OBJECTS_MAX


class _TooMuch(Exception):
    """For the slow way, which keeps a part."""


_budget = _Budget()
_CONTAINERS = (dict, list, tuple)


def _counted(made: Any) -> Any:
    """What plain() makes of an object. Objects that hold each other, or share what they hold, could go on for ever."""
    if _budget.left <= OBJECTS_MAX:
        _budget.left -= 1 + _containers(made)
        if _budget.left < 0:
            raise _TooMuch
    return made


def _containers(value: Any) -> int:
    """How many dicts, lists and tuples are written for it, not looking into other objects; more than OBJECTS_MAX: there
    are more, or the agent takes none that are so deep or have so many keys. Asked before the C encoder, which nothing stops."""
    if not isinstance(value, _CONTAINERS):
        return 0
    count, level = 0, [value]
    for _ in range(DEPTH_MAX):
        references = gc.get_referents(*level)
        if len(references) > 2 * KEYS_MAX and any(isinstance(v, dict) and len(v) > KEYS_MAX for v in level):
            break
        if SCALARS.issuperset(map(type, references)):
            return count
        level = [v for v in references if isinstance(v, _CONTAINERS)]
        if not level:
            return count
        count += len(level)
        if count > OBJECTS_MAX:
            break
    return OBJECTS_MAX + 1


def _is_vast(value: Any) -> bool:
    """All that most values pay for is this loop, which looks into other objects, too."""
    references, count = gc.get_referents(value), 0
    for _ in range(DEPTH_MAX):
        if not references:
            return False
        count += len(references)
        if count > LOOKED_AT_MAX:
            break
        references = gc.get_referents(*references)
    return _containers(value) > OBJECTS_MAX


class _Cleaner:
    """The slow way: only what JSON has, nothing too deep or too much, no cycles, only valid text."""

    def __init__(self) -> None:
        self.shortened = False
        self._left = VALUES_MAX
        self._path: Set[int] = set()  # ids of what is being written

    def clean(self, value: Any, depth: int = 0) -> Any:
        self._left -= 1
        if value is None or value is True or value is False:
            return value
        if isinstance(value, str):
            return str.__str__(value).encode("utf-8", "replace").decode()
        if isinstance(value, int):
            try:
                text = int.__repr__(value)
                return int(text)
            except ValueError:  # more digits than Python prints
                return "<an integer of %d bits>" % value.bit_length()
        if isinstance(value, float):
            if math.isfinite(value):
                return float(value)
            return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
        if id(value) in self._path:
            return "<cycle: %s>" % type(value).__name__
        if depth >= DEPTH_MAX:
            self.shortened = True
            return "<too deep: %s>" % type(value).__name__
        self._path.add(id(value))
        try:
            return self._clean_container(value, depth)
        except Exception:
            return "<unprintable %s>" % type(value).__name__
        finally:
            self._path.discard(id(value))

    def _clean_container(self, value: Any, depth: int) -> Any:
        if isinstance(value, dict):
            members: Dict[str, Any] = {}
            for key, member in list(value.items()):
                if self._left <= 0 or len(members) == KEYS_MAX - 1 < len(value) - 1:
                    members["..."] = self._rest(len(value) - len(members))
                    break
                members[_key(key)] = self.clean(member, depth + 1)
            return members
        if isinstance(value, (list, tuple)):
            items: List[Any] = []
            for item in list(value):
                if self._left <= 0:
                    items.append(self._rest(len(value) - len(items)))
                    break
                items.append(self.clean(item, depth + 1))
            return items
        return self.clean(plain(value), depth + 1)

    def _rest(self, count: int) -> str:
        self.shortened = True
        return "<%d more>" % count


def _key(key: Any) -> str:
    if isinstance(key, bool) or key is None:
        return json.dumps(key)
    return text_of(key).encode("utf-8", "replace").decode()


def _make_dumps() -> Callable[[Any], str]:
    """json.dumps(separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=plain), without what a call of it costs."""
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is not None:
        try:
            encode = make(None, plain, json.encoder.encode_basestring, None, ":", ",", False, False, False)
            if "".join(encode({"a": [1, None, "\u00e4"]}, 0)) == '{"a":[1,null,"\u00e4"]}':
                join = "".join
                return lambda value: join(encode(value, 0))
        except Exception:
            pass  # another Python: the public way
    return json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False, check_circular=False,
                            default=plain).encode


_dumps = _make_dumps()


SCALARS = frozenset((str, int, float, bool, type(None)))


def are_scalars(values: Iterable[Any]) -> bool:
    return SCALARS.issuperset(map(type, values))


def dumps(value: Any, small: bool = False) -> bytes:
    """JSON as UTF-8, on one line. Never raises for what the value holds (only MemoryError and the like).

    Shortened, not bytes, if there is more in the value than is written. small: the caller knows that it is.
    """
    before = _budget.left  # a value's own __str__ may come here
    try:
        if small or not _is_vast(value):
            _budget.left = OBJECTS_MAX
            return _dumps(value).encode()
    except Exception:
        pass
    finally:
        _budget.left = before
    return _cleaned(value)


def _cleaned(value: Any) -> bytes:
    before, _budget.left = _budget.left, OBJECTS_MAX + 1  # no counting: the slow way has a budget of its own
    cleaner = _Cleaner()
    try:
        kept = cleaner.clean(value)
    finally:
        _budget.left = before
    data = json.dumps(kept, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    return Shortened(data) if cleaner.shortened else data


def say_shortened(record: bytes) -> bytes:
    """An object, with the word that it does not hold all."""
    return record[:-1] + b',"shortened":true}'


def with_prefix(prefix: bytes, body: bytes) -> bytes:
    """`{"stream":"x",` and the members of an object in one. `prefix` ends in a comma."""
    return prefix + body[1:] if len(body) > 2 else prefix[:-1] + b"}"


LEVELS = ((50, "fatal"), (40, "error"), (30, "warn"), (20, "info"), (10, "debug"))


def level_name(levelno: float) -> str:
    """A level of the logging module as one of records.md section 6."""
    for least, name in LEVELS:
        if levelno >= least:
            return name
    return "trace"


def log_line(head: str, ns: int, level: str, message: str, logger: Optional[str], correlation_id: Optional[str],
             trace_id: Optional[str], span_id: Optional[str], attributes: Any) -> bytes:
    """One log record. `head`: `{"stream":"log",` and what else every record of the client begins with."""
    text = quote(message)
    shortened = len(text) * 6 > MESSAGE_BYTES_MAX  # no character takes more
    if shortened:
        kept = cut(message, MESSAGE_BYTES_MAX)
        shortened = kept is not message
        text = quote(kept)
    parts = [head, '"ts":"', timestamp(ns), '","level":', quote(level), ',"message":', text]
    if logger is not None:
        parts += (',"logger":', quote(logger))
    if correlation_id is not None:
        parts += (',"correlation_id":', quote(correlation_id))
    if trace_id is not None:
        parts += (',"trace_id":', quote(trace_id))
        if span_id is not None:
            parts += (',"span_id":', quote(span_id))
    line = "".join(parts)
    try:
        data = line.encode()
    except UnicodeEncodeError:
        data = line.encode("utf-8", "replace")
    if attributes:
        body = attributes if isinstance(attributes, bytes) else dumps(attributes)
        data += b',"attributes":' + body
        shortened = shortened or type(body) is Shortened
    return data + (b',"shortened":true}' if shortened else b"}")
