"""What a call of the Python client costs the thread that makes it, beside the standard library's handlers, in one run.

    python3 bench/client_python.py                  # needs build/release/weir (or $WEIR_BINARY); half a minute

Every case runs in bursts of 500 calls against a real agent that writes to files, and cases that are compared take turns;
between bursts, not timed, the client flushes. `call`: median over the bursts of the mean time of a call, on the calling thread, by the clock; `best`: of the
quickest burst; `p99.9`: of single calls, in a pass of its own (with the 0.1 us that reading the clock takes);
`behind`: CPU of the client's own thread per call, which a program pays for too, but not while it calls.

Targets (design: wire.md section 4): logs and metrics at most 3 us in background mode; a trace record with context at
most 2 us over a bare json.dumps of the same record.
"""
import argparse
import contextlib
import gc
import json
import logging
import logging.handlers
import os
import platform
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BINARY = os.path.abspath(os.environ.get("WEIR_BINARY") or os.path.join(ROOT, "build", "release", "weir"))
sys.path.insert(0, os.path.join(ROOT, "client", "python"))

import weir  # noqa: E402

BURST = 500
CONFIG = """
listen: {local: {type: unix, path: "@/in.sock"}}
control: {path: "@/control.sock"}
data_dir: "@/data"
streams:
  trace: {context_diff: {mode: %s}, sinks: [out]}
  log: {enabled: %s, sinks: [out]}
  telemetry: {sinks: [out]}
sinks: {out: {type: jsonl, path: "@/out.jsonl"}}
"""
CONTEXT = {"run_id": "run-20260121", "scenario_id": "orders/eu", "decision": "approved", "amount": 622.6, "lines": [1, 2, 3],
           "customer": {"id": 77012, "name": "Ada Lovelace", "country": "UK"}, "retry": False, "note": None}
SIGNATURE = {"type_name": "Order", "identity": "77012", "hash": None}
TRACE = {"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "scenario": "orders", "line_no": 17, "step_index": 3, "step_name": "approve",
         "work_index": 1, "t_enter": "2026-01-21T10:00:00.123456Z", "t_exit": "2026-01-21T10:00:00.124456Z", "duration_ms": 1.0,
         "msg_in": SIGNATURE, "msg_out": [SIGNATURE], "msg_out_count": 1, "ctx_before": {**CONTEXT, "decision": "new"},
         "ctx_after": CONTEXT, "ctx_diff": None, "status": "ok", "error": None}


class Agent:
    """A running agent, to the end of its `with`."""

    def __init__(self, directory, mode="full", log="true"):
        os.makedirs(directory)
        self.address = "unix:%s/in.sock" % directory
        path = os.path.join(directory, "weir.yaml")
        with open(path, "w") as f:
            f.write((CONFIG % (mode, log)).replace("@", directory))
        read, write = os.pipe()
        self.process = subprocess.Popen([BINARY, "agent", "--config", path, "--ready-fd", str(write)], pass_fds=[write],
                                        stderr=subprocess.DEVNULL)
        os.close(write)
        ready = os.read(read, 1)
        os.close(read)
        if ready != b"\n":
            raise SystemExit("the agent does not start: %s agent --config %s" % (BINARY, path))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


class JsonFormatter(logging.Formatter):
    def format(self, record):
        return json.dumps({"ts": record.created, "level": record.levelname, "logger": record.name, "message": record.getMessage()})


def logger_with(handler):
    logger = logging.Logger("shop.orders", logging.INFO)
    logger.addHandler(handler)
    return logger


def measure(cases, bursts):
    """Prints a line for each of {name: (call, what to do between bursts)}, which take turns: {name: (median, best)} in us."""
    clock = time.perf_counter_ns
    means, single = {name: [] for name in cases}, {name: [] for name in cases}
    behind = dict.fromkeys(cases, 0.0)
    gc.collect()
    for burst in range(-3, bursts):
        for name, (call, between) in cases.items():
            process, own = time.process_time(), time.thread_time()
            begin = clock()
            for n in range(BURST):
                call(n)
            mean = (clock() - begin) / BURST / 1000
            between()
            if burst >= 0:  # the first ones are to warm up
                means[name].append(mean)
                behind[name] += (time.process_time() - process) - (time.thread_time() - own)
    for burst in range(bursts // 2):
        for name, (call, between) in cases.items():
            for n in range(BURST):
                begin = clock()
                call(n)
                single[name].append(clock() - begin)
            between()
    got = {}
    for name, values in means.items():
        single[name].sort()
        got[name] = statistics.median(values), min(values)
        print("%-58s %7.2f %7.2f %8.1f %8.2f" % (name, *got[name], single[name][-1 - len(single[name]) // 1000] / 1000,
                                                 behind[name] / bursts / BURST * 1e6), flush=True)
    return got


def nothing():
    pass


@contextlib.contextmanager
def syslogd(path):
    """One that throws away, in a process of its own."""
    receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    receiver.bind(path)
    pid = os.fork()
    if pid == 0:
        while True:
            receiver.recv(4096)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        receiver.close()


def log_cases(directory, client, bursts):
    def logging_to(handler):
        logger = logger_with(handler)
        return lambda n: logger.info("order %d of %s accepted", n, "ada")
    file = logging.FileHandler(os.path.join(directory, "file.log"))
    file.setFormatter(JsonFormatter())
    with syslogd(os.path.join(directory, "syslog")):
        return measure({
            "logger.info(text, 2 arguments), NullHandler": (logging_to(logging.NullHandler()), nothing),
            "logger.info(), FileHandler with a JSON formatter": (logging_to(file), nothing),
            "logger.info(), SysLogHandler (unix datagram)": (logging_to(logging.handlers.SysLogHandler(os.path.join(directory, "syslog"))), nothing),
            "logger.info(), weir.LoggingHandler": (logging_to(weir.LoggingHandler(client)), client.flush),
            "weir.log(level, message, n=1)": (lambda n: weir.log("info", "order accepted", n=n), client.flush)}, bursts)


def metric_cases(bursts):
    counter = weir.counter("requests_total", ("service", "feature_type", "dto_name", "status"))
    series = counter.labels("orders", "create", "OrderDto", "success")
    timing = weir.histogram("request_duration_seconds", ("service",)).labels("orders")
    return measure({
        "counter.inc(4 labels by name)": (
            lambda n: counter.inc(service="orders", feature_type="create", dto_name="OrderDto", status="success"), nothing),
        "counter series.inc()": (lambda n: series.inc(), nothing),
        "histogram series.observe(x)": (lambda n: timing.observe(0.012), nothing)}, bursts)


def trace_cases(client, bursts):
    sink = weir.TraceSink(client)

    def spanned(n):
        with weir.span("query", attributes={"n": n}):
            pass

    def stepped(n):
        with weir.step("approve", CONTEXT, trace_id="t-1"):
            pass
    return measure({
        "json.dumps(trace record with contexts, %d B)" % len(json.dumps(TRACE)): (lambda n: json.dumps(TRACE), nothing),
        "TraceSink.emit(the same record)": (lambda n: sink.emit(TRACE), client.flush),
        "with weir.span(name, 1 attribute)": (spanned, client.flush),
        "with weir.step(name, ctx): two contexts": (stepped, client.flush)}, bursts)


def other_cases(directory, direct, bursts):
    with Agent(os.path.join(directory, "none"), "none", "false") as agent:
        client = weir.connect(agent.address)
        assert client.wait_connected(5)
        sink = weir.TraceSink(client)
        measure({"TraceSink.emit(), context_diff: none": (lambda n: sink.emit(TRACE), client.flush),
                 "weir.log(), stream disabled": (lambda n: client.log("info", "order accepted", n=n), nothing),
                 "weir.log(), direct mode": (lambda n: direct.log("info", "order accepted", n=n), direct.flush)}, bursts)
        client.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bursts", type=int, default=100, help="of %d calls, per case" % BURST)
    options = parser.parse_args()
    print("Python %s, %s, %d cores, load %.1f" % (platform.python_version(), platform.machine(), os.cpu_count(), os.getloadavg()[0]))
    print("%-58s %7s %7s %8s %8s" % ("us", "call", "best", "p99.9", "behind"))
    with tempfile.TemporaryDirectory(prefix="weir-bench-") as directory, Agent(os.path.join(directory, "full")) as agent:
        client = weir.connect(agent.address, service="orders")
        direct = weir.connect(agent.address, mode="direct", default=False)
        assert client.wait_connected(5)
        got = log_cases(directory, client, options.bursts)
        got.update(metric_cases(options.bursts))
        traces = trace_cases(client, options.bursts)
        other_cases(directory, direct, options.bursts)
        print("dropped: %d" % sum(sum(c.stats()["dropped"].values()) for c in (client, direct)))
        client.close()
        direct.close()
    bare, ours = list(traces.values())[:2]
    null, handler = got["logger.info(text, 2 arguments), NullHandler"], got["logger.info(), weir.LoggingHandler"]
    print("%-58s %7s %7s" % ("against the targets, us", "call", "best"))
    for what, figures, target in (
            ("weir.log()", got["weir.log(level, message, n=1)"], 3),
            ("weir.LoggingHandler, on top of what logging itself takes", [a - b for a, b in zip(handler, null)], 3),
            ("counter.inc(4 labels by name)", got["counter.inc(4 labels by name)"], 3),
            ("histogram series.observe()", got["histogram series.observe(x)"], 3),
            ("TraceSink.emit() over json.dumps of the same record", [a - b for a, b in zip(ours, bare)], 2)):
        print("%-58s %7.2f %7.2f  at most %d: %s" % (what, *figures, target, "met" if figures[0] <= target else "MISSED"))


if __name__ == "__main__":
    main()
