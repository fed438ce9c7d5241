"""The framed protocol, byte by byte: proto/WIRE.md. No sockets here."""
from __future__ import annotations

import json
import struct
from typing import Any, Dict, List, NamedTuple, Tuple

MAGIC = b"WEIR\x01"
HELLO, WELCOME, REC_JSON, DROPS, SYNC, BYE, ACK, NACK, POLICY, ERROR, REJECT = 1, 2, 7, 8, 9, 10, 11, 12, 13, 14, 15
CRITICAL = 1
REASONS = {1: "bad_json", 2: "not_an_object", 3: "no_stream", 4: "unknown_stream", 5: "bad_utf8", 6: "duplicate_key",
           7: "too_long", 8: "too_deep", 9: "too_many_keys", 10: "bad_field", 11: "truncated", 100: "full",
           101: "failed", 102: "not_yours"}
# No frame of an agent is longer: WELCOME and POLICY hold a whitelist, the others little. A longer one is not an agent's.
PAYLOAD_BYTES_MAX = 16 << 20

_HEADER = struct.Struct("<IBBH")
_RECORDS_HEADER = struct.Struct("<IBBHQ")
_U64 = struct.Struct("<Q")
_ACK_HEADER = _HEADER.pack(8, ACK, 0, 0)
_REFUSAL = struct.Struct("<QH")


class ProtocolError(Exception):
    """The other side is no agent, or one that speaks something else: the connection is of no use."""


class OtherVersion(ProtocolError):
    """An agent that speaks another version of frames; every version takes lines."""


class Frame(NamedTuple):
    kind: int
    payload: bytes


def pack(kind: int, payload: bytes = b"") -> bytes:
    return _HEADER.pack(len(payload), kind, 0, 0) + payload


def hello(fields: Dict[str, Any]) -> bytes:
    """The magic and HELLO: the first bytes of every connection."""
    return MAGIC + pack(HELLO, json.dumps({"proto": [1, 0], "min": 1, **fields}).encode())


def records(first_seq: int, lines: bytes) -> bytes:
    """REC_JSON; `lines` end in line feeds."""
    return _RECORDS_HEADER.pack(len(lines) + 8, REC_JSON, 0, 0, first_seq) + lines


def drops(count: int, why: str) -> bytes:
    return pack(DROPS, _U64.pack(count) + why.encode()[:1024])


def sync() -> bytes:
    return pack(SYNC, b"drops")


def bye() -> bytes:
    return pack(BYE)


def unpack_ack(payload: bytes) -> int:
    if len(payload) != 8:
        raise ProtocolError("ACK of %d bytes" % len(payload))
    (seq,) = _U64.unpack(payload)
    return int(seq)


def unpack_refusal(payload: bytes) -> Tuple[int, str, str]:
    """NACK or REJECT: number, reason, text."""
    if len(payload) < _REFUSAL.size:
        raise ProtocolError("REJECT or NACK of %d bytes" % len(payload))
    seq, code = _REFUSAL.unpack_from(payload)
    return seq, REASONS.get(code, "code_%d" % code), payload[_REFUSAL.size:].decode("utf-8", "replace")


def unpack_object(payload: bytes) -> Dict[str, Any]:
    """WELCOME or POLICY."""
    try:
        value = json.loads(payload)
    except ValueError as error:
        raise ProtocolError("not JSON: %s" % error) from None
    if not isinstance(value, dict):
        raise ProtocolError("not a JSON object")
    return value


class Reader:
    """Takes bytes in pieces of any size, gives whole frames. The magic comes before the first."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._magic_read = False

    def feed(self, data: bytes) -> List[Frame]:
        """Raises ProtocolError. What it knows no type for is for the caller to skip; critical ones raise."""
        self._buffer += data
        out: List[Frame] = []
        if not self._magic_read:
            have = bytes(self._buffer[:len(MAGIC)])
            if not MAGIC.startswith(have):
                if have[:4] == MAGIC[:4]:
                    raise OtherVersion("an agent that speaks version %d of frames" % have[4])
                raise ProtocolError("not an agent: its first bytes are %r" % have)
            if len(have) < len(MAGIC):
                return out
            del self._buffer[:len(MAGIC)]
            self._magic_read = True
        buffer, at, end = self._buffer, 0, len(self._buffer)
        while end - at >= _HEADER.size:
            if buffer.startswith(_ACK_HEADER, at) and buffer.startswith(_ACK_HEADER, at + 16) and end - at >= 32:
                at += 16  # acknowledgements are cumulative: of several in a row the last one says it all
                continue
            length, kind, flags, _ = _HEADER.unpack_from(buffer, at)
            if length > PAYLOAD_BYTES_MAX:
                raise ProtocolError("a frame of %d bytes" % length)
            if flags & CRITICAL and kind not in (WELCOME, SYNC, BYE, ACK, NACK, POLICY, ERROR, REJECT):
                raise ProtocolError("a critical frame of unknown type %d" % kind)
            begin = at + _HEADER.size
            if end - begin < length:
                break
            at = begin + length
            out.append(Frame(kind, bytes(buffer[begin:at])))
        del buffer[:at]
        return out
