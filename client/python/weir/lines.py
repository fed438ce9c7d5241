"""The line protocol (proto/WIRE.md: for an agent of another version of frames), in the shape of frames.py."""
from __future__ import annotations

import json
import struct
from typing import Any, Dict, List

from . import frames
from .frames import Frame, ProtocolError

LINE_BYTES_MAX = frames.PAYLOAD_BYTES_MAX
_CODES = {reason: code for code, reason in frames.REASONS.items()}
_SYNC_ID = "drops"


def hello(fields: Dict[str, Any]) -> bytes:
    return json.dumps({"weir": "hello", **fields}).encode() + b"\n"


def records(first_seq: int, lines: bytes) -> bytes:
    """Numbers are not said: they go on from hello's."""
    return lines


def drops(count: int, why: str) -> bytes:
    """Lines have no word for it."""
    return b""


def sync() -> bytes:
    return json.dumps({"weir": "sync", "id": _SYNC_ID}).encode() + b"\n"


def bye() -> bytes:
    return b'{"weir":"bye"}\n'


def _refusal(line: Dict[str, Any], text: str) -> bytes:
    code = _CODES.get(str(line.get("reason")), 0)
    return struct.pack("<QH", int(line.get("seq", 0)), code) + text.encode()


def _frame(line: Dict[str, Any]) -> Frame:
    word = line.get("weir")
    if word == "ack":
        return Frame(frames.ACK, struct.pack("<Q", int(line["seq"])))
    if word == "welcome":
        return Frame(frames.WELCOME, json.dumps(line).encode())
    if word == "policy":
        return Frame(frames.POLICY, json.dumps(line.get("policy")).encode())
    if word == "reject":
        return Frame(frames.REJECT, _refusal(line, "at byte %s: %s" % (line.get("offset"), line.get("detail"))))
    if word == "nack":
        return Frame(frames.NACK, _refusal(line, ""))
    if word == "synced":
        return Frame(frames.SYNC, b"")
    if word == "bye":
        return Frame(frames.BYE, str(line.get("reason", "")).encode())
    if word == "error":
        return Frame(frames.ERROR, ("%s: %s" % (line.get("reason"), line.get("detail"))).encode())
    return Frame(0, b"")  # of a later version


class Reader:
    """Takes bytes in pieces of any size, gives each whole line as the frame that says the same."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> List[Frame]:
        """Raises ProtocolError."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LINE_BYTES_MAX:
            raise ProtocolError("a line of over %d bytes" % LINE_BYTES_MAX)
        try:
            return [_frame(frames.unpack_object(line)) for line in whole]
        except (KeyError, TypeError, ValueError, struct.error) as error:
            raise ProtocolError("a line that makes no sense: %r" % error) from None
