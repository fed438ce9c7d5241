"""How cost grows: with connections, with sinks, with the size of records. A table and a plot of each."""
import os

import plot
import tables
from cases import Case, ROUTED, whitelisted
from machine import ROOT, WORK, machine, progress, write_json

SIZE_BYTES = 200_000_000  # of the records of one run, where their size is what changes
SIZES = [100, 300, 1024, 4096, 16384, 65536]


def short(size):
    return "%d KiB" % (size // 1024) if size >= 1024 else "%d B" % size


# name: (title, x axis, [(label, case, share of --count)])
def sweeps(count):
    def files(n):
        return {"trace": ["f%d" % i for i in range(n)]}
    return {
        "connections": ("trace-whitelist over so many connections", "connections", [(str(n), whitelisted("", connections=n), 0.3) for n in (1, 10, 100, 1000)]),
        "sinks": ("trace-whitelist to so many file sinks", "file sinks", [(str(n), whitelisted("", sinks=files(n)), 0.3 / max(1, n / 4)) for n in (1, 2, 4, 8, 16)]),
        "size": ("log records of one size, checked and routed by stream", "size of a record",
                 [(short(n), Case("", "sized:%d" % n, ROUTED), min(1, SIZE_BYTES / n / count)) for n in SIZES]),
    }


def sweep(name, points, args, run_case):
    """{label: {program: figures}}"""
    found = {}
    for label, case, share in points:
        bytes_per_record = int(case.data[6:]) if case.data.startswith("sized:") else 683
        point = type(args)(**{**vars(args), "count": max(1000, int(args.count * share))})
        runs, _ = run_case(case, point, lambda text: progress("scale: %s %s: %s" % (name, label, text)))
        found[label] = {program: tables.summary([{**r, "mb_s": r["rate"] * bytes_per_record / 1e6} for r in each]) for program, each in runs.items()}
    progress("")
    return found


def scale_table(x_title, found):
    programs = list(next(iter(found.values())))
    programs.sort(key=["weir", "floor", "reader"].index)
    header = [x_title] + ["%s CPU us" % p for p in programs] + ["%s M records/s" % p for p in programs] + ["weir MB/s", "weir peak MiB"]
    rows = [[label] + [tables.cell(at[p]["cpu_us"]) for p in programs] + [tables.cell(at[p]["rate"], 3, 1e6) for p in programs] +
            ["%.0f" % at["weir"]["mb_s"]["median"], "%.1f" % at["weir"]["anon_mib"]["max"]] for label, at in found.items()]
    return tables.table(header, rows)


def draw(name, title, x_title, found, folder):
    def panel(text, figure, scale, log):
        series = {p: [tuple(at[p][figure][k] / scale for k in ("median", "min", "max")) for at in found.values()] for p in ("weir", "floor", "reader")}
        return plot.Panel(text, x_title, list(found), series, log)
    by_size = name == "size"
    plot.write(os.path.join(folder, "scale-%s.svg" % name), title,
               [panel("CPU per record, microseconds", "cpu_us", 1, by_size),
                panel("MB/s", "mb_s", 1, False) if by_size else panel("million records/s", "rate", 1e6, False)])


def main(args, run_case):
    folder = os.path.join(ROOT, "docs", "performance") if args.document else WORK
    os.makedirs(folder, exist_ok=True)
    result = {"machine": machine(), "command": "./dev bench scale", "count": args.count, "repeat": args.repeat, "sweeps": {}}
    print(tables.heading(result))
    parts = []
    for name, (title, x_title, points) in sweeps(args.count).items():
        found = sweep(name, points, args, run_case)
        result["sweeps"][name] = found
        draw(name, title, x_title, found, folder)
        image = "![%s](performance/scale-%s.svg)\n\n" % (title, name) if args.document else ""
        parts.append("**%s**\n\n%s%s" % (title[0].upper() + title[1:], image, scale_table(x_title, found)))
        print("\n" + parts[-1], flush=True)
    write_json(os.path.join(ROOT, "build", "bench-scale.json"), result)
    print("\nwritten to build/bench-scale.json, plots to %s/scale-*.svg" % os.path.relpath(folder, ROOT))
    if args.document:
        tables.document("scale", tables.heading(result) + "\n\n" + "\n\n".join(parts))
