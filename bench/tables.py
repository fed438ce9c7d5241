"""Figures as Markdown."""
import os
import re
import statistics

import cases
from machine import ROOT

DOCUMENT = os.path.join(ROOT, "docs", "performance.md")


def summary(runs):
    """Of each figure: median, smallest, largest."""
    figures = {}
    for name in runs[0]:
        values = [r[name] for r in runs]
        figures[name] = {"median": statistics.median(values), "min": min(values), "max": max(values)}
    return figures


def heading(result):
    m = result["machine"]
    return "%s, %d cores, Linux %s, weir %s, %s\n%s: %s records per run, median of %d (in brackets: largest / smallest)" % (
        m["cpu"], m["cores"], m["kernel"], m["commit"], m["date"][:10], result["command"], format(result["count"], ","), result["repeat"])


def spread(figure):
    return figure["max"] / figure["min"] if figure["min"] > 0 else 1


def cell(figure, digits=2, scale=1):
    return "%.*f (%.2f)" % (digits, figure["median"] / scale, spread(figure))


def ratio(figures, of, name):
    return "%.2f" % (figures[name]["median"] / of[name]["median"]) if of and of[name]["median"] > 0 else "-"


def target_text(targets):
    """`>= 1.2 M/s, <= 0.80 us`"""
    def one(name, sign, value):
        if name == "rate":
            return "%s %.1f M/s" % (sign, value / 1e6)
        return "%s%s %g%s" % ("sender " if name == "sender_us" else "", sign, value, " us")
    return ", ".join(one(name, *goal) for name, goal in targets.items())


def verdict(targets, figures):
    wrong = [name for name, good in cases.met(targets, figures).items() if not good]
    words = {"rate": "rate", "cpu_us": "CPU", "sender_us": "sender"}
    return ("not met: " + ", ".join(words.get(name, name) for name in wrong)) if wrong else "met"


def table(header, rows):
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def throughput_table(cases_of_result):
    header = ["case", "program", "M records/s", "CPU us per record", "user / system", "sender us", "peak MiB",
              "rate to floor, reader", "CPU to floor, reader", "target"]
    rows = []
    for entry in cases_of_result.values():
        programs = entry["programs"]
        floor, reader = programs.get("floor"), programs.get("reader")
        for name in sorted(programs, key=lambda p: ["weir", "floor", "reader"].index(p) if p in ("weir", "floor", "reader") else 9):
            f, mine = programs[name], name == "weir"
            target = "%s: **%s**" % (target_text(entry["targets"]), verdict(entry["targets"], f)) if mine and entry["targets"] else ""
            rows.append([entry["what"] if mine else "", name, cell(f["rate"], 2, 1e6), cell(f["cpu_us"]),
                         "%.2f / %.2f" % (f["user_us"]["median"], f["system_us"]["median"]), "%.2f" % f["sender_us"]["median"],
                         "%.1f" % f["anon_mib"]["max"], "%s, %s" % (ratio(f, floor, "rate"), ratio(f, reader, "rate")),
                         "%s, %s" % (ratio(f, floor, "cpu_us"), ratio(f, reader, "cpu_us")), target])
    return table(header, rows)


def sinks_table(result):
    """What a sink costs the pipe thread: 8 connections with one sink and with four."""
    one, four = (result["cases"].get(name, {}).get("programs", {}).get("weir") for name in ("eight-one", "eight-four"))
    if not one or not four:
        return ""
    share = four["pipe_us"]["median"] / one["pipe_us"]["median"]
    rows = [[text, cell(f["pipe_us"]), cell(f["other_threads_us"])] for text, f in (("1 sink", one), ("4 sinks", four))]
    rows.append(["4 / 1", "%.2f (target <= %.2f: **%s**)" % (share, cases.PIPE_RATIO_MAX, "met" if share <= cases.PIPE_RATIO_MAX else "not met"),
                 "%.2f" % (four["other_threads_us"]["median"] / one["other_threads_us"]["median"])])
    return table(["8 connections, trace-whitelist", "pipe thread, CPU us per record", "all other threads"], rows)


def special_table(entry):
    """One row per program, one column per figure."""
    rows = []
    names = list(next(iter(entry["programs"].values())))
    for program, figures in entry["programs"].items():
        goals = entry["targets"] if program.startswith("weir") else {}
        rows.append([program] + ["%.*f (%.2f)" % (entry["digits"], figures[n]["median"], spread(figures[n])) for n in names] +
                    ["%s: **%s**" % (", ".join("%s %s %g" % (entry["figures"][n], *goal) for n, goal in goals.items()), verdict(goals, figures)) if goals else ""])
    return table([entry["what"]] + [entry["figures"][n] for n in names] + ["target"], rows)


def all_tables(result):
    loads = {name: entry for name, entry in result["cases"].items() if "figures" not in entry}
    parts = [throughput_table(loads)] if loads else []
    parts.append(sinks_table(result))
    parts += [special_table(entry) for entry in result["cases"].values() if "figures" in entry]
    return "\n" + "\n\n".join(p for p in parts if p)


def comparison(before, now):
    """What has changed of the agent, the floor beside it as the measure of the machine."""
    rows = []
    for name, entry in now["cases"].items():
        old = before["cases"].get(name)
        for program in ("weir", "floor"):
            a = old and old["programs"].get(program)
            b = entry["programs"].get(program)
            if not a or not b:
                continue
            for figure in ("rate", "cpu_us", "anon_mib", *entry.get("figures", {})):
                if figure not in a or figure not in b or a[figure]["median"] == 0:
                    continue
                apart = a[figure]["max"] < b[figure]["min"] or b[figure]["max"] < a[figure]["min"]
                scale, digits = (1e6, 3) if figure == "rate" else (1, 2)
                rows.append([name, program, {"rate": "M records/s", "cpu_us": "CPU us", "anon_mib": "peak MiB"}.get(figure, figure),
                             "%.*f" % (digits, a[figure]["median"] / scale), "%.*f" % (digits, b[figure]["median"] / scale),
                             "%.2f" % (b[figure]["median"] / a[figure]["median"]), "yes" if apart else "no"])
    title = "Since weir %s of %s:\n\n" % (before["machine"]["commit"], before["machine"].get("date", "?")[:10])
    return title + table(["case", "program", "figure", "then", "now", "now / then", "all runs beyond all earlier ones"], rows)


def document(name, text):
    """Puts `text` between the marks of that name in docs/performance.md."""
    with open(DOCUMENT) as f:
        whole = f.read()
    begin, end = "<!-- bench: %s -->" % name, "<!-- end of bench: %s -->" % name
    if begin not in whole or end not in whole:
        raise SystemExit("bench: docs/performance.md has no marks for " + name)
    with open(DOCUMENT, "w") as f:
        f.write(re.sub(re.escape(begin) + ".*?" + re.escape(end), lambda _: "%s\n%s\n%s" % (begin, text, end), whole, flags=re.S))
    print("written into docs/performance.md")
