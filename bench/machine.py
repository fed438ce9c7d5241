"""What the other modules stand on: programs and data made once, and what /proc says of a process."""
import collections
import contextlib
import json
import mmap
import os
import platform
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
WORK = os.path.join(ROOT, "build", "bench")
TICKS = os.sysconf("SC_CLK_TCK")
DISTINCT_RECORDS, DISTINCT_BYTES = 200_000, 140 << 20  # at most; longer runs go around
# program: what it is made of beside its own .cpp, libraries
TOOLS = {
    "mkdata": ([], []),
    "loadgen": (["sender.h"], ["-pthread"]),
    "latency": (["sender.h"], []),
    "spin": ([], []),
    "reader": (["receiver.h"], []),
    "floor": (["receiver.h", "floor_record.h", "floor_walk.h", "floor_shape.h"], ["-lsimdjson"]),
}


def tool(name):
    """bench/NAME.cpp as a program, compiled where it is newer than that."""
    headers, libraries = TOOLS[name]
    sources = [os.path.join(ROOT, "bench", x) for x in [name + ".cpp"] + headers]
    program = os.path.join(WORK, name)
    if not os.path.exists(program) or os.path.getmtime(program) < max(map(os.path.getmtime, sources)):
        os.makedirs(WORK, exist_ok=True)
        made = "%s-%d" % (program, os.getpid())
        subprocess.run(["g++", "-O2", "-std=c++20", "-I", ROOT, sources[0], "-o", made] + libraries, check=True)
        os.rename(made, program)
    return program


def own_path(name):
    """In build/bench, of this run alone: another one may be under way."""
    return os.path.join(WORK, "%s-%d" % (name, os.getpid()))


def distinct(kind, count):
    if kind.startswith("sized:"):
        count = min(count, max(64, DISTINCT_BYTES // int(kind[6:])))
    return min(count, DISTINCT_RECORDS)


def data(kind, count):
    """A file of records of `kind` (see mkdata), so many that they do not stay in the processor's caches."""
    count = distinct(kind, count)
    path = os.path.join(WORK, "%s-%d.ndjson" % (kind.replace(":", "-"), count))
    if not os.path.exists(path) or os.path.getmtime(path) < os.path.getmtime(tool("mkdata")):
        made = "%s-%d" % (path, os.getpid())
        subprocess.run([tool("mkdata"), kind, str(count), made], check=True)
        os.rename(made, path)
    return path


def data_bytes(kind, count):
    return os.path.getsize(data(kind, count)) * count // distinct(kind, count)


def machine():
    with open("/proc/cpuinfo") as f:
        model = next((x.split(":", 1)[1].strip() for x in f if x.startswith("model name")), platform.machine())
    git = lambda *args: subprocess.run(["git", "-C", ROOT, *args], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout.decode().strip()
    dirty = "+" if git("status", "--porcelain", "--", "agent") else ""
    return {"cpu": model, "cores": os.cpu_count(), "kernel": platform.release(), "commit": git("rev-parse", "--short", "HEAD") + dirty,
            "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}


def warm_memory(size):
    """Touches memory and gives it back, so that what a run writes into the page cache finds pages there. A virtual
    machine's host may have taken free pages away, and getting them again costs more than everything measured here."""
    available = next(int(x.split()[1]) for x in read("/proc/meminfo").splitlines() if x.startswith("MemAvailable")) << 10
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE
    mmap.mmap(-1, max(mmap.PAGESIZE, min(size, available // 2)), flags=flags).close()


@contextlib.contextmanager
def processors_awake():
    """Something to do for every processor that has nothing else, at a priority that yields to all. The idle processor of
    a virtual machine is given back to the host, takes long to come back, and Linux places no thread on it that just
    woke up: sender and receiver then share one processor beside an idle one, whatever is measured."""
    spinners = []
    try:
        spinners += [subprocess.Popen([tool("spin"), str(processor)]) for processor in os.sched_getaffinity(0)]
        yield
    finally:
        for spinner in spinners:
            spinner.kill()
            spinner.wait()


# --- /proc --------------------------------------------------------------------------------------------------------

Cpu = collections.namedtuple("Cpu", "total_us user_us system_us")


def children(pid):
    """`pid` and all processes below it."""
    found = [pid]
    for p in found:
        for task in listed("/proc/%d/task" % p):
            found += map(int, (read("/proc/%d/task/%s/children" % (p, task)) or "").split())
    return found


def listed(path):
    try:
        return os.listdir(path)
    except FileNotFoundError:
        return []


def read(path):
    try:
        with open(path) as f:
            return f.read()
    except (FileNotFoundError, ProcessLookupError):
        return None


def threads(pid):
    """{thread id: (name, CPU microseconds)}. A thread that has ended is not there any more."""
    found = {}
    for task in listed("/proc/%d/task" % pid):
        spent = read("/proc/%d/task/%s/schedstat" % (pid, task))
        name = read("/proc/%d/task/%s/comm" % (pid, task))
        if spent and name:
            found[int(task)] = (name.strip(), int(spent.split()[0]) / 1e3)
    return found


def cpu(pid):
    """Of a process and those below it. The total comes in nanoseconds; user and system in ticks, so they share it."""
    total = user = system = 0
    for p in children(pid):
        stat = read("/proc/%d/stat" % p)
        if stat is None:
            continue
        fields = stat.rpartition(")")[2].split()
        user += int(fields[11])
        system += int(fields[12])
        total += sum(us for _, us in threads(p).values())
    ticks = user + system
    total = total or ticks * 1e6 / TICKS
    return Cpu(total, total * user / ticks if ticks else 0, total * system / ticks if ticks else 0)


def anonymous_kib(pid, exact=False):
    """Memory of its own: heap, stacks, not files. `exact` looks at every page, which costs more."""
    text = read("/proc/%d/%s" % (pid, "smaps_rollup" if exact else "status")) or ""
    word = "Anonymous:" if exact else "RssAnon:"
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith(word)), 0)


# --- saying where a long run is -------------------------------------------------------------------------------------

def progress(text):
    """One line on a terminal's stderr that the next one takes the place of; "" takes it away."""
    if sys.stderr.isatty():
        sys.stderr.write("\r\033[K" + text)
        sys.stderr.flush()


def write_json(path, value):
    with open(path, "w") as f:
        json.dump(value, f, indent=1)
        f.write("\n")
