"""Cases that are not about a rate: latency when idle, memory under overload, connections that do nothing. Each returns
({what, targets, figures, digits}, {program: [figures of each run]})."""
import functools
import json
import os
import select
import socket
import subprocess

from cases import CASES, IDLE_TARGETS, LATENCY_TARGETS, MEMORY_TARGETS, WHITELIST, Case
from machine import data, tool
from programs import DONE_S, Floor, Reader, Weir, time, wait_for

SAMPLES = 2000
IDLE_CONNECTIONS = 10_000
MEMORY_STEP_S = 0.004


def latency(args, say, fresh_directory):
    case = CASES["trace-whitelist"]
    runs = {}
    for number in range(args.repeat):
        for name, make in (("weir", functools.partial(Weir, args.binary)), ("floor", Floor), ("reader", Reader)):
            say("%s, run %d of %d" % (name, number + 1, args.repeat))
            program = make(case, fresh_directory())
            try:
                done = subprocess.run([tool("latency"), program.address, data("trace", 200_000), program.files[0], str(SAMPLES)],
                                      stdout=subprocess.PIPE, timeout=DONE_S, check=True)
            finally:
                program.stop()
            report = json.loads(done.stdout)
            runs.setdefault(name, []).append({k: v for k, v in report.items() if k != "samples"})
    figures = {"p50_us": "p50 us", "p90_us": "p90", "p99_us": "p99", "p999_us": "p99.9", "max_us": "max"}
    return {"what": "one record at a time, %d samples: from its last byte to its line in the file" % SAMPLES,
            "targets": LATENCY_TARGETS, "figures": figures, "digits": 0}, runs


def flood(program, case, count, peak, over):
    """8 connections send; until they are done or `over` says so. The peak of anonymous memory in MiB."""
    sender = subprocess.Popen([tool("loadgen"), program.address, data("trace", count), str(count), "8", "batch"], stdout=subprocess.PIPE)
    try:
        deadline = time.monotonic() + DONE_S
        while not select.select([sender.stdout], [], [], MEMORY_STEP_S)[0]:
            peak = max(peak, program.anonymous_kib(exact=True))
            if over():
                break
            if time.monotonic() > deadline:
                raise SystemExit("bench: the sender is not done in time")
    finally:
        sender.kill()
        sender.communicate()
    return max(peak, program.anonymous_kib(exact=True)) / 1024


def memory(args, say, fresh_directory):
    """Overload in three forms: a file as fast as it goes, a sink that takes nothing and holds everybody up, one that
    takes nothing and is passed over."""
    case = Case("", "trace", {"trace": ["f0"]}, WHITELIST, connections=8, journal="4MiB")
    blocked = "{type: stdout, format: json, when_full: %s}"
    forms = {"weir, file sink": {}, "weir, blocked sink, when_full: block": {"sink": blocked % "block"},
             "weir, blocked sink, when_full: drop_oldest": {"sink": blocked % "drop_oldest"}}
    runs = {}
    for number in range(args.repeat):
        for name, more in forms.items():
            say("%s, run %d of %d" % (name, number + 1, args.repeat))
            # Nobody reads this pipe.
            read_end, write_end = os.pipe() if more else (None, None)
            program = Weir(args.binary, case, fresh_directory(), stdout=write_end, **more)
            try:
                seen = [None, 0]  # the records taken in, and how often that has not changed

                def stuck():
                    if "block" not in name.split()[-1]:
                        return False
                    status = program.status()
                    taken = sum(s["received"] for s in status["sources"].values())
                    seen[:] = [taken, seen[1] + 1 if taken == seen[0] and taken else 0]
                    return seen[1] >= 20
                mib = flood(program, case, args.count, 0, stuck)
            finally:
                if more:
                    os.close(write_end)
                    os.close(read_end)  # so that what waits to be written fails, and the agent can end
                program.stop()
            runs.setdefault(name, []).append({"anon_mib": mib})
    return {"what": "8 connections at full speed, journal 4 MiB: peak of anonymous memory", "targets": MEMORY_TARGETS,
            "figures": {"anon_mib": "MiB"}, "digits": 1}, runs


def connect(address):
    if address.startswith("unix:"):
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(address[5:])
    else:
        host, _, port = address[4:].rpartition(":")
        connection = socket.create_connection((host, int(port)))
    return connection


def idle(args, say, fresh_directory):
    """Connections that have sent one record each and stay. What the kernel holds for their sockets is not counted."""
    runs = {}
    with open(data("trace", 200_000), "rb") as f:
        lines = [f.readline() for _ in range(IDLE_CONNECTIONS)]
    for transport in ("unix", "tcp"):
        case = Case("", "trace", {"trace": ["f0"]}, WHITELIST, transport=transport)
        for number in range(args.repeat):
            say("%s, run %d of %d" % (transport, number + 1, args.repeat))
            program = Weir(args.binary, case, fresh_directory())
            connections = []
            try:
                def delivered(count):
                    wait_for(lambda: program.status()["sinks"]["f0"]["delivered"] >= count, "%d records in the file" % count, DONE_S)
                first = connect(program.address)  # so that what the first record needs is there before
                first.sendall(lines[0])
                delivered(1)
                before = program.anonymous_kib(exact=True)
                for line in lines:
                    connections.append(connect(program.address))
                    connections[-1].sendall(line)
                delivered(1 + len(lines))
                after = program.anonymous_kib(exact=True)
            finally:
                for connection in connections:
                    connection.close()
                program.stop()
            runs.setdefault("weir, " + transport, []).append({"kib_each": (after - before) / IDLE_CONNECTIONS})
    return {"what": "10,000 idle connections that have sent one record each", "targets": IDLE_TARGETS,
            "figures": {"kib_each": "KiB of anonymous memory each"}, "digits": 2}, runs
