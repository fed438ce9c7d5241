"""Where the agent is, and one connection to it. Non-blocking: only connecting waits, for at most CONNECT_TIMEOUT_S."""
from __future__ import annotations

import os
import socket
from types import ModuleType
from typing import List, NamedTuple, Optional, Union

from .frames import Frame

CONNECT_TIMEOUT_S = 1.0
READ_BYTES = 65536


class Address(NamedTuple):
    """`unix:PATH` or `tcp:HOST:PORT`."""

    family: str  # "unix" or "tcp"
    target: str  # path or host
    port: int = 0

    def __str__(self) -> str:
        return "unix:" + self.target if self.family == "unix" else "tcp:%s:%d" % (self.target, self.port)


def is_unicode(text: str) -> bool:
    """Not with half of a surrogate pair in it."""
    try:
        text.encode()
        return True
    except UnicodeEncodeError:
        return False


def parse_address(text: str) -> Address:
    """`unix:PATH`, `tcp:HOST:PORT` (IPv6 in brackets) or a path. Raises ValueError."""
    if not isinstance(text, str) or "://" in text or "\0" in text or not is_unicode(text):
        raise ValueError("%r is no address, nor is any URL: unix:PATH, tcp:HOST:PORT or a path" % (text,))
    if text.startswith("unix:") and len(text) > 5:
        return Address("unix", text[5:])
    if text.startswith("tcp:"):
        host, colon, port = text[4:].rpartition(":")
        if colon and host and port.isascii() and port.isdigit() and 0 < int(port) < 65536:
            return Address("tcp", host.strip("[]"), int(port))
    elif "/" in text:
        return Address("unix", text)
    raise ValueError("%r is no address: unix:PATH, tcp:HOST:PORT or a path" % text)


def default_address() -> Optional[Address]:
    """$WEIR_ADDRESS, else $WEIR_SOCKET (a path), else the agent's default (interface.md section 1); None: nowhere.

    Raises ValueError for a $WEIR_ADDRESS that is none.
    """
    if os.environ.get("WEIR_ADDRESS"):
        return parse_address(os.environ["WEIR_ADDRESS"])
    if os.environ.get("WEIR_SOCKET"):
        return Address("unix", os.environ["WEIR_SOCKET"])
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return Address("unix", "/run/weir/weir.sock")
    if os.environ.get("XDG_RUNTIME_DIR"):
        return Address("unix", os.path.join(os.environ["XDG_RUNTIME_DIR"], "weir", "weir.sock"))
    return None


class Connection:
    """One connected socket, on which `speech` is spoken: frames or lines. Every method may raise OSError: the connection is lost then, and the caller closes it."""

    def __init__(self, address: Address, speech: ModuleType) -> None:
        self._out: Union[bytes, memoryview] = b""
        self.speech = speech
        self._reader = speech.Reader()
        self.socket = _connect(address)

    def fileno(self) -> int:
        return self.socket.fileno()

    @property
    def pending(self) -> bool:
        """Bytes wait for the socket to take them."""
        return len(self._out) > 0

    def send(self, data: bytes) -> bool:
        """Behind what waits. As flush()."""
        self._out = bytes(self._out) + data if self._out else data
        return self.flush()

    def flush(self) -> bool:
        """Hands to the socket what it takes at once. True: nothing waits any more."""
        while self._out:
            try:
                sent = self.socket.send(self._out)
            except (BlockingIOError, InterruptedError):
                return False
            self._out = memoryview(self._out)[sent:]
        return True

    def receive(self) -> List[Frame]:
        """The frames that are there. Raises ConnectionResetError at the end, frames.ProtocolError for what is none."""
        got: List[Frame] = []
        while True:
            try:
                data = self.socket.recv(READ_BYTES)
            except (BlockingIOError, InterruptedError):
                return got
            if not data:
                if got:
                    return got  # what was said last counts; the end is met again
                raise ConnectionResetError("the agent closed the connection")
            got += self._reader.feed(data)
            if len(data) < READ_BYTES:
                return got

    def close(self) -> None:
        try:
            self.socket.close()
        except OSError:
            pass


def _connect(address: Address) -> socket.socket:
    if address.family == "tcp":
        sock = socket.create_connection((address.target, address.port), CONNECT_TIMEOUT_S)
        options = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
        # A peer that vanished is noticed within half a minute.
        for name, value in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3), ("TCP_USER_TIMEOUT", 30_000)):
            if hasattr(socket, name):
                options.append((socket.IPPROTO_TCP, getattr(socket, name), value))
        for level, option, value in options:
            try:
                sock.setsockopt(level, option, value)
            except OSError:
                pass  # a nicety that this kernel does not have
    else:
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.settimeout(CONNECT_TIMEOUT_S)
            sock.connect(address.target)
        except BaseException:
            sock.close()
            raise
    sock.setblocking(False)
    return sock
