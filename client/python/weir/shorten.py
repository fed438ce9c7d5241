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
    """A record (JSON) as one of at most so many bytes. None: it cannot be done. Takes up to 0.3 s per MB."""
    record = json.loads(line)
    record["shortened"] = True
    data = line
    texts = list(_long_texts(record))
    text_bytes = min(bytes_max, 2 * max([len(holder[key]) for holder, key in texts], default=0)) // 2
    if sum(len(holder[key].encode("utf-8", "replace")) for holder, key in texts) * 6 < len(data) - bytes_max:
        text_bytes = 0  # it is not the texts
    while len(data) > bytes_max and text_bytes >= TEXT_BYTES_MIN:
        texts = [(holder, key) for holder, key in texts if len(holder[key]) * 6 > text_bytes]  # no character takes more
        for holder, key in texts:
            holder[key] = cut(holder[key], text_bytes)
        data = _dumps(record) if texts else data
        text_bytes //= 2 if len(data) < 4 * bytes_max else 8
    return data if len(data) <= bytes_max else _without_members(record, bytes_max)


def _dumps(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")


def _items(value: Any) -> List[Tuple[Any, Any]]:
    return list(value.items() if isinstance(value, dict) else enumerate(value))


def _long_texts(record: Any) -> Iterator[Tuple[Any, Any]]:
    """Where they are. Not of what says which record it is."""
    stack = [record]
    while stack:
        holder = stack.pop()
        for key, value in _items(holder):
            if isinstance(value, (dict, list)):
                stack.append(value)
            elif isinstance(value, str) and len(value) > TEXT_BYTES_MIN and not (holder is record and _is_fixed(key)) and key != "hash":
                yield holder, key


def _is_fixed(name: str) -> bool:
    return name.endswith("_id") or name in ("stream", "kind", "step_name", "ts", "t_enter", "t_exit")


def _without_members(record: Any, bytes_max: int) -> Optional[bytes]:
    """Many small values: what is largest in the record's own objects and lists (attributes, contexts) goes first, then these.
    From both contexts alike, so that nothing seems to have changed that has not."""
    outer = {name: len(_dumps(value)) for name, value in record.items() if isinstance(value, (dict, list))}
    inner: List[Tuple[int, str, Any]] = []
    for name, size in outer.items():
        value = record[name]
        if len(value) <= _MEMBERS_MAX:
            inner += [(len(_dumps(v)), name, k) for k, v in _items(value)]
    excess = len(_dumps(record)) - bytes_max
    done = set()  # both contexts name what they share
    for size, name, key in sorted(inner, key=_size, reverse=True):
        if excess <= 0 or size < 2 * len(_told(size)):
            break
        for holder in _twins(record, name):
            if (id(holder), key) not in done and (isinstance(holder, list) or key in holder):
                done.add((id(holder), key))
                size = len(_dumps(holder[key]))
                excess -= size - len(_told(size)) - 2
                holder[key] = _told(size)
    for name in sorted(outer, key=lambda n: (n == "error", -outer[n])):
        if excess <= 0:
            break
        for holder in _twins(record, name):
            excess -= len(_dumps(holder)) - 2
            holder.clear()
    data = _dumps(record)
    return data if len(data) <= bytes_max else None


def _told(size: int) -> str:
    return "<%d bytes, too long>" % size


def _twins(record: Any, name: str) -> List[Any]:
    """The object, and the other context."""
    names = ("ctx_before", "ctx_after") if name in ("ctx_before", "ctx_after") else (name,)
    return [record[n] for n in names if isinstance(record.get(n), (dict, list))]


def _size(member: Tuple[int, str, Any]) -> int:
    return member[0]
