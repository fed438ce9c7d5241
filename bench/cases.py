"""What is measured: the configurations, the loads, and the figures that are aimed at."""
import dataclasses

LISTED = ["order_id", "retries", "stage"]  # 3 of the 8 keys of mkdata's contexts
ALL_KEYS = ["amount", "currency", "customer", "order_id", "retries", "rush", "stage", "token"]
WHITELIST = "context_diff: {mode: whitelist, whitelist: [%s]}" % ", ".join(LISTED)
STREAMS = ["trace", "log", "telemetry", "monitoring"]
TRACES = {"trace": ["f0"]}
ROUTED = {stream: [stream] for stream in STREAMS}  # each to a file of its own
SINKS_4 = {"trace": ["f0", "f1", "f2", "f3"]}


@dataclasses.dataclass(frozen=True)
class Case:
    what: str
    data: str                        # mkdata's kind
    sinks: dict                      # stream: names of its files
    options: str = ""                # of the trace stream
    diff: tuple = None               # the floor's --diff that does the same
    connections: int = 1
    writes: str = "batch"            # or one per record
    transport: str = "unix"
    weight: float = 1                # so many times --count records, so that every run takes about as long
    journal: str = "16MiB"
    targets: dict = dataclasses.field(default_factory=dict)  # figure: (">=" or "<=", value)

    def files(self):
        return [name for names in self.sinks.values() for name in names]

    def copies(self):
        """Files that a record of this data goes to."""
        return max(len(self.sinks[s]) for s in self.sinks if s == self.stream()) if self.stream() else 1

    def stream(self):
        """None: records of several."""
        return {"trace": "trace", "routed": "trace", "mixed": None}.get(self.data, "telemetry" if self.data == "telemetry" else "log")


def at_least(rate, cpu_us, **more):
    return {"rate": (">=", rate), "cpu_us": ("<=", cpu_us), **more}


def whitelisted(what, **more):
    return Case(what, "trace", more.pop("sinks", TRACES), WHITELIST, tuple(LISTED), **more)


# The table of issue 4 and a few more, as they are run by default.
CASES = {
    "trace-whitelist": whitelisted("trace of 683 B, 3 of 8 context keys and their diff", targets=at_least(1.2e6, 0.80)),
    "trace-routed": Case("trace of 679 B, checked and routed by stream", "routed", ROUTED, targets=at_least(1.6e6, 0.60)),
    "log": Case("log of 242 B, checked and routed by stream", "log", ROUTED, weight=2, targets=at_least(4.3e6, 0.22)),
    "telemetry": Case("telemetry of 129 B, checked and routed by stream", "telemetry", ROUTED, weight=4, targets=at_least(6e6, 0.16)),
    "one-unix": whitelisted("trace-whitelist, one write() per record, Unix", writes="one", targets=at_least(1e6, 0.95, sender_us=("<=", 0.95))),
    "one-tcp": whitelisted("trace-whitelist, one write() per record, TCP", writes="one", transport="tcp",
                           targets=at_least(1e6, 0.95, sender_us=("<=", 0.95))),
    "trace-full": Case("trace of 683 B, whole contexts and their diff", "trace", TRACES, "context_diff: {mode: full}", tuple(ALL_KEYS)),
    "mixed": Case("trace, log, telemetry, log in turn, three files", "mixed", ROUTED, WHITELIST, tuple(LISTED), weight=2),
    "eight-one": whitelisted("trace-whitelist, 8 connections, 1 sink", connections=8),
    "eight-four": whitelisted("trace-whitelist, 8 connections, 4 sinks", connections=8, sinks=SINKS_4),
}

LATENCY_TARGETS = {"p50_us": ("<=", 100), "p99_us": ("<=", 500)}
MEMORY_TARGETS = {"anon_mib": ("<=", 16)}
IDLE_TARGETS = {"kib_each": ("<=", 4)}
PIPE_RATIO_MAX = 1.10  # pipe thread's CPU per record with 4 sinks, over that with one: 1, and what the caches lose


def met(targets, figures):
    """{figure: True or False}; figures: {name: {"median": value}}."""
    return {name: figures[name]["median"] >= value if sign == ">=" else figures[name]["median"] <= value
            for name, (sign, value) in targets.items() if name in figures}
