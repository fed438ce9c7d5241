"""The record path in one thread (bench/record_path.cpp): instructions per record by module, counted by callgrind, and
nanoseconds by stage. The counts repeat exactly, where times do not: two runs of each case with different numbers of
records differ by what those cost, and by nothing else. valgrind knows AVX2 and not AVX-512. A library function belongs
to the module that calls it."""
import collections
import functools
import json
import os
import re
import shutil
import subprocess
import sys

import tables
from machine import ROOT, data, own_path, progress, write_json

PROGRAM = os.path.join(ROOT, "build", "release", "record_path")
RECORDED = os.path.join(ROOT, "bench", "instructions.json")
FEW, MANY = 2_000, 12_000
TIMED = 100_000
CASES = {"trace-whitelist": "trace", "trace-full": "trace", "trace-routed": "routed", "log": "log", "telemetry": "telemetry"}
# where a function is written: what it is counted as
MODULES = [(r"agent/ingest/", "lines"), (r"agent/decode/", "decode"), (r"agent/process/", "process"), (r"agent/core/edit_list", "render"),
           (r"agent/pipeline/", "pipeline"), (r"agent/journal/", "journal"), (r"agent/sinks/", "sink"), (r"bench/", "bench")]
COLUMNS = ["total", *dict.fromkeys(name for _, name in MODULES), "other"]


class Profile:
    """One callgrind file: what each function costs by itself, and what its calls cost."""

    def __init__(self, path):
        self.own = collections.Counter()
        self.calls = collections.defaultdict(collections.Counter)  # callee: {caller: inclusive cost}
        self.module = {}
        with open(path) as f:
            self.parse(f)

    def parse(self, lines):
        ob = fl = ""
        function = callee = None
        callee_ob = ""
        is_call = False
        for line in lines:
            key, equals, value = line.rstrip("\n").partition("=")
            if line[:1].isdigit() or line[:1] in "+-*":
                cost = int(line.split()[1])
                if is_call:
                    self.calls[callee][function] += cost
                    is_call = False
                else:
                    self.own[function] += cost
            elif not equals:
                continue
            elif key == "ob":
                ob = callee_ob = value
            elif key == "fl":
                fl = value
            elif key == "fn":
                function = (ob, value)
                callee_ob = ob
                self.module[function] = next((name for pattern, name in MODULES if re.search(pattern, fl)), None)
            elif key == "cob":
                callee_ob = value
            elif key == "cfn":
                callee = (callee_ob, value)
            elif key == "calls":
                is_call, callee_ob = True, ob

    def by_module(self):
        """What belongs to no module goes up to its callers, in the proportion of what their calls cost."""
        @functools.cache
        def shares(function):
            if self.module.get(function):
                return {self.module[function]: 1.0}
            callers = {c: cost for c, cost in self.calls[function].items() if c not in open_}
            total = sum(callers.values())
            if not total:
                return {"other": 1.0}
            found = collections.Counter()
            open_.add(function)
            for caller, cost in callers.items():
                for name, share in shares(caller).items():
                    found[name] += share * cost / total
            open_.discard(function)
            return found
        open_ = set()
        sums = collections.Counter()
        for function, cost in self.own.items():
            for name, share in shares(function).items():
                sums[name] += cost * share
        sums["total"] = sum(self.own.values())
        return sums


def count(case, records):
    out = own_path("callgrind")
    command = ["valgrind", "--tool=callgrind", "--compress-strings=no", "--compress-pos=no", "--callgrind-out-file=" + out,
               PROGRAM, case, data(CASES[case], 20_000), str(records), "/dev/shm/weir-record-path-%d" % os.getpid(), "--once"]
    done = subprocess.run(command, env={"PATH": os.environ["PATH"]}, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode:
        sys.exit("bench: %s failed: %s" % (" ".join(command), done.stderr.decode()[-1000:]))
    profile = Profile(out)
    os.remove(out)
    return profile.by_module()


def nanoseconds(case):
    """Of each stage, best of several rounds, as record_path prints it."""
    done = subprocess.run([PROGRAM, case, data(CASES[case], 200_000), str(TIMED), "/dev/shm/weir-record-path-%d" % os.getpid()], stdout=subprocess.PIPE, check=True)
    return re.findall(r"\d+", done.stdout.decode().partition(": ")[2])


def stages_table():
    rows = []
    for case in CASES:
        progress("stages: " + case)
        rows.append([case] + nanoseconds(case))
    progress("")
    return tables.table(["nanoseconds per record", "total", "read (from a file, 64 KiB at once)", "decode to journal", "journal to file"], rows)


def main(args):
    if not os.path.exists(PROGRAM) or not shutil.which("valgrind"):
        sys.exit("bench: needs %s and valgrind: ./dev bench instructions" % os.path.relpath(PROGRAM, ROOT))
    found = {}
    for case in CASES:
        progress("instructions: " + case)
        few, many = count(case, FEW), count(case, MANY)
        found[case] = {name: round((many[name] - few[name]) / (MANY - FEW), 1) for name in COLUMNS}
        for name in COLUMNS[1:]:  # what the start of the program was counted as in one run and not in the other
            if found[case][name] < 0 and name != "other":
                found[case]["other"], found[case][name] = round(found[case]["other"] + found[case][name], 1), 0
    progress("")
    text = tables.table(["instructions per record", *COLUMNS], [[case] + ["%d" % round(counts[name]) for name in COLUMNS] for case, counts in found.items()])
    text += "\n\n" + stages_table()
    print(text)
    if args.document:
        tables.document("instructions", text)
    if args.check:
        with open(RECORDED) as f:
            recorded = json.load(f)["cases"]
        change = lambda now, then: "%+.1f %%" % (100 * (now - then) / then) if then >= 10 else "-"
        print("\nChange since bench/instructions.json:\n")
        print(tables.table(["case", *COLUMNS], [[case] + [change(counts[name], recorded[case][name]) for name in COLUMNS] for case, counts in found.items() if case in recorded]))
        return
    compiler = subprocess.run(["g++", "-dumpfullversion"], stdout=subprocess.PIPE).stdout.decode().strip()
    write_json(RECORDED, {"how": "./dev bench instructions", "compiler": "g++ " + compiler, "records": [FEW, MANY], "cases": found})
    print("\nwritten to bench/instructions.json")
