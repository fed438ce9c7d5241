"""./dev soak [MINUTES]: the long fault tests again and again, each time with new seeds, until the time is over.

Prints a line per round and a verdict; a failure's output goes to build/soak/.
"""
import os
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
TESTS = ["kill", "damage", "disk_full", "io", "power", "restart", "sinks", "clock"]


def main():
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 30
    out = os.path.join(ROOT, "build", "soak")
    os.makedirs(out, exist_ok=True)
    env = dict(os.environ, WEIR_LONG="1", PYTHONPATH=HERE,
               WEIR_BINARY=os.environ.get("WEIR_BINARY", os.path.join(ROOT, "build", "release", "weir")))
    end, rounds, failed, seed = time.monotonic() + 60 * minutes, 0, 0, int(time.time())
    while time.monotonic() < end:
        jobs = [(name, [sys.executable, os.path.join(HERE, "test_fault_%s.py" % name), "-v"]) for name in TESTS]
        jobs.append(("simulator", [os.path.join(ROOT, "build", "release", "tests", "simulate"), "500", "--from", str(seed)]))
        for name, command in jobs:
            begin = time.monotonic()
            run = subprocess.run(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            rounds, seed = rounds + 1, seed + 500
            if run.returncode != 0:
                failed += 1
                path = os.path.join(out, "%03d-%s.txt" % (rounds, name))
                with open(path, "w") as f:
                    f.write(run.stdout)
            print("soak: %s %s in %.0f s, %.0f min left%s" % (
                name, "failed" if run.returncode else "ok", time.monotonic() - begin,
                max(0, end - time.monotonic()) / 60, ": " + path if run.returncode else ""), flush=True)
            if time.monotonic() > end:
                break
    print("soak: %d runs, %d failed" % (rounds, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
