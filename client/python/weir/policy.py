"""What the agent said it would throw away (WELCOME, POLICY), so that nobody serialises it. records.md section 5."""
from __future__ import annotations

from typing import Any, Dict, FrozenSet, Mapping, Optional

_CONTEXTS = ("ctx_before", "ctx_after", "ctx", "ctx_set")
_EMPTY: FrozenSet[str] = frozenset()


class Policy:
    """Immutable; a new one replaces it as a whole. Without an agent nothing is known to be unwanted."""

    __slots__ = ("trace", "log", "telemetry", "monitoring", "context_mode", "filters_context", "whitelist", "keep")

    def __init__(self, said: Optional[Mapping[str, Any]] = None) -> None:
        """`said`: the `policy` member of WELCOME, or the payload of POLICY. Anything unknown in it counts as no limit."""
        by_stream = {k: v for k, v in (said or {}).items() if isinstance(v, dict)}
        self.trace, self.log, self.telemetry, self.monitoring = (
            by_stream.get(s, {}).get("enabled") is not False for s in ("trace", "log", "telemetry", "monitoring"))
        trace = by_stream.get("trace", {})
        mode, whitelist = trace.get("context_diff"), trace.get("whitelist")
        if mode == "whitelist" and not isinstance(whitelist, list):
            mode = None
        #: "none", "whitelist", "full", or None: contexts pass as they are
        self.context_mode: Optional[str] = mode if mode in ("none", "whitelist", "full") else None
        self.filters_context = self.context_mode in ("none", "whitelist")
        self.whitelist = frozenset(map(str, whitelist)) if self.context_mode == "whitelist" and whitelist else _EMPTY
        #: top-level keys that an entry may be or reach into: `a.b.c` is in `a`, `a.b` or `a.b.c`
        self.keep = frozenset(entry[:at] for entry in self.whitelist
                              for at in [i for i, c in enumerate(entry) if c == "."] + [len(entry)])

    def context(self, ctx: Mapping[Any, Any]) -> Dict[Any, Any]:
        """The part of a context the agent would look at, in its order. A key that is no str stays: its text decides."""
        keep = self.keep
        return {k: v for k, v in ctx.items() if k in keep or type(k) is not str}

    def record(self, fields: Dict[str, Any]) -> Dict[str, Any]:
        """A copy of a trace record without what would be thrown away, if filters_context; the outcome is the same."""
        out = dict(fields)
        for name in _CONTEXTS:
            value = out.get(name)
            if isinstance(value, dict):
                out[name] = self.context(value)
        diff = out.get("ctx_diff")
        if isinstance(diff, dict):
            out["ctx_diff"] = {k: v for k, v in diff.items() if k in self.whitelist or type(k) is not str}
        return out
