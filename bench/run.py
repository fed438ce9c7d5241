"""Measures build/release/weir from outside, beside the floor (bench/floor.cpp: the same checks and the same diff with
the least machinery) and a reader that only splits at line feeds (bench/reader.cpp), in one run and in turn.

  ./dev bench                                    every case, three times: about five minutes
  ./dev bench --case trace-whitelist --repeat 9  one of them, closely
  ./dev bench --compare before.json              and what has changed since (before.json: an earlier build/bench.json)
  ./dev bench verify                             are the files of agent and floor the same bytes, refusals too?
  ./dev bench instructions [--check]             instructions per record (callgrind); --check: against the recorded ones
  ./dev bench scale                              1 to 1,000 connections, 1 to 16 sinks, 100 B to 64 KiB: table and plots
  ./dev bench --case one-tcp --peer 'syslog-ng=bench/peers/syslog-ng.sh {tcp} {file} {dir}'
                                                 any other agent beside them; {socket} is the path of a Unix socket

Rate: from the first write until the last record is in the file. CPU: user and system of all threads, per record: the
sturdier figure on a shared machine. A cell holds the median and, in brackets, the largest over the smallest run.
Prints tables (Markdown) and writes everything to build/bench.json.
"""
import argparse
import contextlib
import filecmp
import functools
import json
import os
import resource
import select
import shutil
import subprocess
import sys

import special
import tables
from cases import CASES
from machine import ROOT, WORK, data, data_bytes, machine, own_path, processors_awake, progress, threads, tool, warm_memory, write_json
from programs import DONE_S, Floor, Peer, Reader, Weir, time

SPECIAL = {"latency": special.latency, "memory": special.memory, "idle": special.idle}
MEMORY_STEP_S = 0.02


def fresh_directory(name="run"):
    path = own_path(name)
    shutil.rmtree(path, ignore_errors=True)
    os.makedirs(path, mode=0o700)
    return path


def load(program, case, count):
    """Sends; returns loadgen's report and the peak of the program's anonymous memory."""
    command = [tool("loadgen"), program.address, data(case.data, count), str(count), str(case.connections), case.writes]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as sender:
        peak = 0
        while not select.select([sender.stdout], [], [], MEMORY_STEP_S)[0]:
            peak = max(peak, program.anonymous_kib())
        report = sender.stdout.readline()
    if sender.returncode:
        sys.exit("bench: loadgen failed")
    return json.loads(report), max(peak, program.anonymous_kib())


def throughput(make, case, count, sizes, look=lambda program: None):
    """One run. `sizes`: of the files when everything is in them, None where the program knows by itself. `look` may
    keep the files."""
    directory = fresh_directory()
    warm_memory(data_bytes(case.data, count) * case.copies() * 5 // 2 + (256 << 20))  # output and journal
    program = make(case, directory)
    try:
        before, threads_before = program.cpu(), threads(program.pid)
        sent, peak_kib = load(program, case, count)
        end_ns = program.wait_done(sent, sizes, time.monotonic() + DONE_S)
        spent, threads_after = program.cpu(), threads(program.pid)
        spent = [after - earlier for after, earlier in zip(spent, before)]
        # Its name says which is the pipe thread; without one it is the busiest.
        busy = {t: us - threads_before.get(t, ("", 0))[1] for t, (_, us) in threads_after.items()}
        pipe = [us for t, us in busy.items() if threads_after[t][0].endswith("pipe")] or [max(busy.values())]
        look(program)
        return {"rate": count / (end_ns - sent["start_ns"]) * 1e9, "cpu_us": spent[0] / count, "user_us": spent[1] / count,
                "system_us": spent[2] / count, "sender_us": sent["cpu_s"] / count * 1e6, "anon_mib": peak_kib / 1024,
                "pipe_us": pipe[0] / count, "other_threads_us": (spent[0] - pipe[0]) / count}
    finally:
        program.stop()


class Outputs:
    """The floor's files of a case: how long they must become, and whether the agent's are the same."""

    def __init__(self):
        self.sizes, self.kept, self.same = None, None, None

    def keep(self, floor):
        if self.sizes is None:
            self.sizes = [os.path.getsize(path) for path in floor.files]
            self.kept = fresh_directory("kept")
            for path in floor.files:
                os.rename(path, os.path.join(self.kept, os.path.basename(path)))

    def compare(self, weir):
        if self.kept is None:
            return
        different = [os.path.basename(p) for p in weir.files if not filecmp.cmp(p, os.path.join(self.kept, os.path.basename(p)), shallow=False)]
        if different:
            sys.exit("bench: %s of the agent and of the floor differ; the floor's are in %s" % (", ".join(different), self.kept))
        shutil.rmtree(self.kept)
        self.kept, self.same = None, True


def programs_of(args, case):
    """(name, how to start it on a case in a directory), the floor first: it knows how long the files become."""
    found = [("floor", Floor), ("reader", Reader), ("weir", functools.partial(Weir, args.binary))]
    for name, command in (text.split("=", 1) for text in args.peer):
        if Peer.fits(command, case):
            found.append((name, functools.partial(Peer, name, command)))
    return found


def run_case(case, args, say):
    """{program: [figures of each run]}, and whether the agent's files are those of the floor."""
    runs, outputs = {}, Outputs()
    count = int(args.count * case.weight)
    for number in range(args.repeat):
        for name, make in programs_of(args, case):
            say("%s, run %d of %d" % (name, number + 1, args.repeat))
            look = {"floor": outputs.keep, "weir": outputs.compare if case.connections == 1 else lambda _: None}.get(name, lambda _: None)
            with processors_awake() if args.keep_awake else contextlib.nullcontext():
                runs.setdefault(name, []).append(throughput(make, case, count, outputs.sizes, look))
    return runs, outputs.same


def measure(args):
    result = {"machine": machine(), "command": "./dev bench " + " ".join(sys.argv[1:]), "count": args.count, "repeat": args.repeat, "cases": {}}
    print(tables.heading(result), flush=True)
    names = args.case or [*CASES, *SPECIAL]
    for number, name in enumerate(names):
        say = lambda text: progress("[%d/%d] %s: %s" % (number + 1, len(names), name, text))
        if name in CASES:
            runs, same = run_case(CASES[name], args, say)
            entry = {"what": CASES[name].what, "targets": CASES[name].targets, "same_bytes": same}
        else:
            entry, runs = SPECIAL[name](args, say, fresh_directory)
        result["cases"][name] = {**entry, "programs": {p: tables.summary(r) for p, r in runs.items()}, "runs": runs}
    progress("")
    print(tables.all_tables(result))
    if args.document:
        tables.document("cases", tables.heading(result) + "\n" + tables.all_tables(result))
    write_json(os.path.join(ROOT, "build", "bench.json"), result)
    print("\nwritten to build/bench.json")
    if args.compare:
        with open(args.compare) as f:
            print("\n" + tables.comparison(json.load(f), result))


def main():
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", default="cases", choices=["cases", "verify", "instructions", "scale"], help="default: cases")
    parser.add_argument("--count", type=int, default=1_000_000, help="trace records per run; smaller records come in larger numbers (default 1,000,000)")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each program in each case (default 3)")
    parser.add_argument("--case", action="append", choices=[*CASES, *SPECIAL], metavar="NAME",
                        help="only this case; repeatable: " + ", ".join([*CASES, *SPECIAL]))
    parser.add_argument("--compare", metavar="FILE", help="an earlier build/bench.json")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=COMMAND", help="another agent, see above; repeatable")
    parser.add_argument("--check", action="store_true", help="instructions: compare with bench/instructions.json and leave it")
    parser.add_argument("--keep-awake", action="store_true", help="no processor idles: for virtual machines that leave one unused")
    parser.add_argument("--document", action="store_true", help="put the tables (and plots) into docs/performance.md")
    parser.add_argument("--seed", type=int, default=4, help="verify: of the bytes that are changed")
    parser.add_argument("--binary", default=os.path.join(ROOT, "build", "release", "weir"), help="another build of weir")
    args = parser.parse_args()
    if any("=" not in p or not ("{socket}" in p or "{tcp}" in p) for p in args.peer):
        parser.error("--peer is NAME=COMMAND, and the command says {socket} or {tcp}")
    os.makedirs(WORK, exist_ok=True)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        if args.what == "cases":
            measure(args)
        elif args.what == "instructions":
            import instructions
            instructions.main(args)
        elif args.what == "scale":
            import scale
            scale.main(args, run_case)
        else:
            import verify
            verify.main(args, fresh_directory, CASES, run_case)
    finally:
        progress("")
        for name in ("run", "kept"):
            shutil.rmtree(own_path(name), ignore_errors=True)


if __name__ == "__main__":
    main()
