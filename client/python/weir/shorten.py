"""Records that are too long, made to fit: the longest texts are cut, and the record says `"shortened":true`."""
from __future__ import annotations

import json
import json.encoder
from typing import Any, Iterator, List, Optional, Tuple

CUT = "...(truncated)"  # as the agent's own cuts end
TEXT_BYTES_MIN = 64  # nothing shorter is cut
_PATIENCE = 1000  # members thrown away one by one, then all that are left at once

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
    """A record (JSON) as one of at most so many bytes. None: it cannot be done."""
    record = json.loads(line)
    record["shortened"] = True
    text_bytes = bytes_max // 2
    data = _dumps(record)
    while len(data) > bytes_max and text_bytes >= TEXT_BYTES_MIN:
        for holder, key, text in _texts(record):
            if len(text) * 6 > text_bytes:  # no character takes more
                holder[key] = cut(text, text_bytes)
        data = _dumps(record)
        text_bytes //= 2
    return data if len(data) <= bytes_max else _without_members(record, bytes_max)


def _dumps(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")


def _items(value: Any) -> Iterator[Tuple[Any, Any]]:
    return iter(list(value.items()) if isinstance(value, dict) else enumerate(value))


def _texts(record: Any) -> Iterator[Tuple[Any, Any, str]]:
    """Every text, and where it is."""
    stack = [record]
    while stack:
        holder = stack.pop()
        for key, value in _items(holder):
            if isinstance(value, str):
                yield holder, key, value
            elif isinstance(value, (dict, list)):
                stack.append(value)


def _without_members(record: Any, bytes_max: int) -> Optional[bytes]:
    """Many small values: what is largest in the record's own objects and lists (attributes, contexts) goes first."""
    inner: List[Tuple[int, Any, Any]] = []
    for _, value in _items(record):
        if isinstance(value, (dict, list)):
            inner += [(len(_dumps(v)), value, k) for k, v in _items(value)]
    inner.sort(key=lambda member: member[0], reverse=True)
    excess = len(_dumps(record)) - bytes_max
    for size, holder, key in inner[:_PATIENCE]:
        if excess <= 0:
            break
        told = "<%d bytes, too long>" % size
        excess -= size - len(told) - 2
        holder[key] = told
    for name, value in sorted(_items(record), key=lambda item: len(_dumps(item[1])), reverse=True):
        data = _dumps(record)
        if len(data) <= bytes_max:
            return data
        if isinstance(value, (dict, list)):
            record[name] = type(value)()
    data = _dumps(record)
    return data if len(data) <= bytes_max else None
