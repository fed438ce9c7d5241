"""Records that are too long, made to fit: the longest texts are cut, and the record says `"shortened":true`."""
from __future__ import annotations

import json
import json.encoder
from typing import Any, Iterator, List, Optional, Tuple

CUT = "...(truncated)"  # as the agent's own cuts end
TEXT_BYTES_MIN = 64  # nothing shorter is cut
_MEMBERS_MAX = 1000  # of an object that is looked into for what is large

quote = json.encoder.encode_basestring  # a str as JSON, in C where there is C


def cut(text: str, bytes_max: int) -> str:
    """The same, or its beginning, of so many bytes as JSON without the quotes, and CUT."""
    kept = text if len(text) <= bytes_max else text[:bytes_max]
    size = _encoded(kept)
    while size > bytes_max:
        kept = kept[:min(len(kept) * bytes_max // size, len(kept) - 1)]
        size = _encoded(kept)
    return text if kept is text else kept + CUT


def _encoded(text: str) -> int:
    return len(quote(text).encode("utf-8", "replace")) - 2


def shorten(line: bytes, bytes_max: int) -> Optional[bytes]:
    """A record (JSON) as one of at most so many bytes. None: it cannot be done. Of many small values it takes up to 0.2 s per MB."""
    record = json.loads(line)
    record["shortened"] = True
    data, text_bytes = line, bytes_max // 2
    texts = list(_long_texts(record))
    while texts and len(data) > bytes_max and text_bytes >= TEXT_BYTES_MIN:
        for holder, key in texts:
            if len(holder[key]) * 6 > text_bytes:  # no character takes more
                holder[key] = cut(holder[key], text_bytes)
        data = _dumps(record)
        text_bytes //= 2
    return data if len(data) <= bytes_max else _without_members(record, bytes_max)


def _dumps(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")


def _items(value: Any) -> List[Tuple[Any, Any]]:
    return list(value.items() if isinstance(value, dict) else enumerate(value))


def _long_texts(record: Any) -> Iterator[Tuple[Any, Any]]:
    """Where they are."""
    stack = [record]
    while stack:
        holder = stack.pop()
        for key, value in _items(holder):
            if isinstance(value, (dict, list)):
                stack.append(value)
            elif isinstance(value, str) and len(value) > TEXT_BYTES_MIN:
                yield holder, key


def _without_members(record: Any, bytes_max: int) -> Optional[bytes]:
    """Many small values: what is largest in the record's own objects and lists (attributes, contexts) goes first, then these."""
    inner: List[Tuple[int, Any, Any]] = []
    outer: List[Tuple[int, Any, Any]] = []
    for name, value in _items(record):
        if isinstance(value, (dict, list)):
            outer.append((len(_dumps(value)), name, value))
            if len(value) <= _MEMBERS_MAX:
                inner += [(len(_dumps(v)), value, k) for k, v in _items(value)]
    excess = len(_dumps(record)) - bytes_max
    for size, holder, key in sorted(inner, key=_size, reverse=True):
        told = "<%d bytes, too long>" % size
        if excess <= 0 or size < 2 * len(told):
            break
        excess -= size - len(told) - 2
        holder[key] = told
    for size, name, value in sorted(outer, key=_size, reverse=True):
        if excess <= 0:
            break
        excess -= len(_dumps(value)) - 2
        record[name] = type(value)()
    data = _dumps(record)
    return data if len(data) <= bytes_max else None


def _size(member: Tuple[int, Any, Any]) -> int:
    return member[0]
