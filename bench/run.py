"""Measures the record path of build/release/weir from outside, beside a plain read-split-write program.

    ./dev bench [--count N] [--repeat N] [--case NAME]...

Each case is run REPEAT times, weir and floor in turn. Rate: from the first write until the last record is in the file.
CPU: user + system of all threads, from /proc/PID/stat, per million records: the sturdier number on a shared machine.
Prints a table, writes build/bench.json. Nothing here waits for time: readiness, counters and file sizes say when.
"""
import argparse
import json
import os
import platform
import select
import shutil
import statistics
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "integration"))
from harness import UnixHTTPConnection, time, wait_for

WORK = os.path.join(ROOT, "build", "bench")
TICKS = os.sysconf("SC_CLK_TCK")
WHITELIST = "context_diff: {mode: whitelist, whitelist: [order_id, retries, stage]}, "
# name: what it shows, data, connections, writes, transport, number of files, options of the stream
CASES = {
    "trace-whitelist": ("trace, 3 of 8 context keys and their diff", "trace", 1, "batch", "unix", 1, WHITELIST),
    "trace-full": ("trace, whole context and its diff", "trace", 1, "batch", "unix", 1, "context_diff: {mode: full}, "),
    "log": ("log, checked and routed", "log", 1, "batch", "unix", 1, ""),
    "telemetry": ("telemetry, checked and routed", "telemetry", 1, "batch", "unix", 1, ""),
    "one-unix": ("trace-whitelist, one write per record, Unix", "trace", 1, "one", "unix", 1, WHITELIST),
    "one-tcp": ("trace-whitelist, one write per record, TCP", "trace", 1, "one", "tcp", 1, WHITELIST),
    "fan-out": ("trace-whitelist, 8 connections, 2 sinks, 16 MiB journal", "trace", 8, "batch", "unix", 2, WHITELIST),
}


def tool(name):
    """Compiles bench/NAME.cpp where it is newer than its program."""
    source, program = os.path.join(ROOT, "bench", name + ".cpp"), os.path.join(WORK, name)
    if not os.path.exists(program) or os.path.getmtime(program) < os.path.getmtime(source):
        subprocess.run(["g++", "-O2", "-std=c++20", "-pthread", source, "-o", program], check=True)
    return program


def data(kind, count):
    """A file of at most 200,000 distinct records; longer runs go around in it."""
    count = min(count, 200_000)
    path = os.path.join(WORK, "%s-%d.ndjson" % (kind, count))
    if not os.path.exists(path) or os.path.getmtime(path) < os.path.getmtime(tool("mkdata")):
        subprocess.run([tool("mkdata"), kind, str(count), path + ".new"], check=True)
        os.rename(path + ".new", path)
    return path


def cpu_s(pid):
    with open("/proc/%d/stat" % pid) as f:
        fields = f.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def peak_mib(pid):
    with open("/proc/%d/status" % pid) as f:
        return int(next(x for x in f if x.startswith("VmHWM")).split()[1]) / 1024


class Weir:
    """The agent on a configuration of its own."""

    def __init__(self, binary, case, directory):
        _, self.kind, _, _, transport, files, options = CASES[case]
        self.control = os.path.join(directory, "control.sock")
        sinks = ["f%d" % n for n in range(files)]
        config = os.path.join(directory, "weir.yaml")
        with open(config, "w") as f:
            f.write("listen: {unix: {type: unix, path: %s/in.sock}, tcp: {type: tcp, bind: '127.0.0.1:0'}}\n" % directory)
            f.write("control: {path: %s}\ndata_dir: %s/data\njournal: {type: memory, max_bytes: 16MiB}\n" % (self.control, directory))
            f.write("streams: {%s: {%ssinks: [%s]}}\n" % (self.kind, options, ", ".join(sinks)))
            f.write("sinks:\n" + "".join("  %s: {type: jsonl, path: %s/%s.jsonl}\n" % (s, directory, s) for s in sinks))
        ready_read, ready_write = os.pipe()
        log = os.path.join(directory, "stderr")
        with open(log, "w") as err:
            self.process = subprocess.Popen([binary, "agent", "--config", config, "--ready-fd", str(ready_write)],
                                            pass_fds=[ready_write], stderr=err)
        os.close(ready_write)
        select.select([ready_read], [], [], 20)
        if os.read(ready_read, 1) != b"\n":
            sys.exit("the agent did not come up: " + open(log).read())
        os.close(ready_read)
        self.address = self.status()["sources"][transport]["address"]

    def status(self):
        connection = UnixHTTPConnection(self.control)
        connection.request("GET", "/v1/status")
        status = json.loads(connection.getresponse().read())
        connection.close()
        return status

    def done(self, count, _):
        return all(s["delivered"] >= count for s in self.status()["sinks"].values())


class Floor:
    """The plain program in its place."""

    def __init__(self, case, directory):
        _, _, _, _, transport, files, _ = CASES[case]
        self.paths = ["%s/f%d.jsonl" % (directory, n) for n in range(files)]
        address = "unix:%s/in.sock" % directory if transport == "unix" else "tcp:0"
        self.process = subprocess.Popen([tool("floor"), address] + self.paths, stdout=subprocess.PIPE)
        self.address = self.process.stdout.readline().decode().split()[1]

    def done(self, _, size):
        return all(os.path.getsize(p) >= size for p in self.paths)


def measure(make, case, count):
    """One run: {rate, cpu_s_per_million, peak_mib}."""
    directory = os.path.join(WORK, "run")
    shutil.rmtree(directory, ignore_errors=True)
    os.makedirs(directory, mode=0o700)
    _, kind, connections, writes, _, _, _ = CASES[case]
    receiver = make(directory)
    try:
        before = cpu_s(receiver.process.pid)
        sent = subprocess.run([tool("loadgen"), receiver.address, data(kind, count), str(count), str(connections), writes],
                              stdout=subprocess.PIPE, check=True)
        report = json.loads(sent.stdout)
        wait_for(lambda: receiver.done(count, report["bytes"]), "every record in the file", 120)
        seconds = time.monotonic_ns() / 1e9 - report["start_ns"] / 1e9
        spent = cpu_s(receiver.process.pid) - before
        return {"rate": count / seconds, "cpu": spent / count * 1e6, "peak": peak_mib(receiver.process.pid)}
    finally:
        receiver.process.terminate()
        receiver.process.wait()
        shutil.rmtree(directory, ignore_errors=True)


def summary(runs):
    """Median, and the spread as largest over smallest, of each figure."""
    return {key: {"median": statistics.median(r[key] for r in runs), "spread": max(r[key] for r in runs) / max(min(r[key] for r in runs), 1e-9)}
            for key in runs[0]}


def machine():
    with open("/proc/cpuinfo") as f:
        model = next((x.split(":", 1)[1].strip() for x in f if x.startswith("model name")), platform.machine())
    commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], stdout=subprocess.PIPE).stdout.decode().strip()
    return {"cpu": model, "cores": os.cpu_count(), "kernel": platform.release(), "commit": commit}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1_000_000, help="records per run (default 1,000,000)")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each case (default 3)")
    parser.add_argument("--case", action="append", choices=CASES, help="only this case; repeatable")
    parser.add_argument("--binary", default=os.path.join(ROOT, "build", "release", "weir"))
    args = parser.parse_args()
    os.makedirs(WORK, exist_ok=True)

    result = {"machine": machine(), "command": "./dev bench " + " ".join(sys.argv[1:]), "count": args.count, "repeat": args.repeat, "cases": {}}
    print("%(cpu)s, %(cores)d cores, Linux %(kernel)s, weir %(commit)s" % result["machine"])
    print("%d records per run, median of %d (spread: largest / smallest)\n" % (args.count, args.repeat))
    print("| case | weir records/s | CPU s per million | peak MiB | plain reader records/s | CPU s | weir / reader, rate | CPU |")
    print("|---|---|---|---|---|---|---|---|")
    for case in args.case or CASES:
        runs = {"weir": [], "floor": []}
        for _ in range(args.repeat):
            runs["weir"].append(measure(lambda d: Weir(args.binary, case, d), case, args.count))
            runs["floor"].append(measure(lambda d: Floor(case, d), case, args.count))
        weir, floor = summary(runs["weir"]), summary(runs["floor"])
        result["cases"][case] = {"what": CASES[case][0], "weir": weir, "floor": floor, "runs": runs}
        cell = lambda f, scale=1, digits=2: "%.*f (%.2f)" % (digits, f["median"] / scale, f["spread"])
        floor_cpu = floor["cpu"]["median"]
        print("| %s | %s M | %s | %.0f | %s M | %s | %.2f | %s |" % (
            CASES[case][0], cell(weir["rate"], 1e6), cell(weir["cpu"]), weir["peak"]["median"], cell(floor["rate"], 1e6), cell(floor["cpu"]),
            weir["rate"]["median"] / floor["rate"]["median"], "%.1f" % (weir["cpu"]["median"] / floor_cpu) if floor_cpu else "-"), flush=True)
    with open(os.path.join(ROOT, "build", "bench.json"), "w") as f:
        json.dump(result, f, indent=1)
    print("\nwritten to build/bench.json")


if __name__ == "__main__":
    main()
