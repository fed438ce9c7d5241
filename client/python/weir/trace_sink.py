"""A trace sink for the stream framework: emit, flush, close."""
from __future__ import annotations

from typing import Any, Optional

from .client import Client, connect, default_client


class TraceSink:
    """Takes trace records (records.md section 3) as dataclasses, dictionaries or objects, and never raises for them.

    Datetimes become RFC 3339 with `Z` (one without a zone is UTC), tuples arrays, Decimals text, objects that JSON
    does not know their str(). A record is encoded before emit() returns, so what happens to it later does not show;
    of its contexts only what the agent's context_diff would look at.

    TraceSink() uses the program's default client. TraceSink(address=..., service=..., ...) has one of its own, with the
    arguments of weir.connect(), and closes it.
    """

    def __init__(self, client: Optional[Client] = None, address: Optional[str] = None, **settings: Any) -> None:
        """Raises ValueError and TypeError for settings that weir.connect() refuses."""
        self._owned = client is None and (address is not None or bool(settings))
        self._client = connect(address, default=False, **settings) if self._owned else client

    @property
    def client(self) -> Client:
        if self._client is None:
            self._client = default_client()
        return self._client

    def emit(self, record: Any) -> None:
        self.client.emit("trace", record)

    def flush(self, timeout_s: float = 1.0) -> bool:
        """True: the agent has acknowledged all that was emitted. Waits for at most that long."""
        return self.client.flush(timeout_s)

    def close(self) -> None:
        """Flushes; a client of its own is closed. Safe twice."""
        if self._owned:
            self.client.close()
        else:
            self.client.flush()
