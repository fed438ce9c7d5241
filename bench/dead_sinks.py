"""Four dead HTTP sinks beside a file sink: how much of its rate the file keeps.

    python3 bench/dead_sinks.py [--count N] [--repeat N] [--kind log|trace]

The sinks: one whose port refuses, one that takes the request and says nothing, one that answers 503, one whose address
takes no connection. Runs with and without them in turn; a run's rate: from the first write until the last record is in
the file. Prints the medians and their ratio. Nothing waits for time: readiness, counters and file sizes say when.
"""
import argparse
import json
import os
import select
import shutil
import socket
import statistics
import subprocess
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from machine import ROOT, WORK, cpu, data, machine, own_path, tool
from programs import UnixHTTPConnection, time, wait_for


class Dead:
    """The four receivers, as (name, url)."""

    def __init__(self):
        closed = socket.create_server(("127.0.0.1", 0))
        refusing = closed.getsockname()[1]
        closed.close()
        self.sockets = []
        stalling = self.serve(lambda connection: None)
        busy = self.serve(lambda connection: connection.sendall(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"))
        full = socket.socket()
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        self.sockets.append(full)
        for _ in range(3):  # what its queue holds; no further SYN is answered
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
            self.sockets.append(filler)
        ports = {"refusing": refusing, "stalling": stalling, "busy": busy, "black_hole": full.getsockname()[1]}
        self.urls = {name: "http://127.0.0.1:%d/" % port for name, port in ports.items()}

    def serve(self, answer):
        listener = socket.create_server(("127.0.0.1", 0))
        self.sockets.append(listener)

        def run():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=self.talk, args=(connection, answer), daemon=True).start()
        threading.Thread(target=run, daemon=True).start()
        return listener.getsockname()[1]

    @staticmethod
    def talk(connection, answer):
        with connection:
            try:
                while True:
                    text = b""
                    while b"\r\n\r\n" not in text:
                        got = connection.recv(65536)
                        if not got:
                            return
                        text += got
                    head, body = text.split(b"\r\n\r\n", 1)
                    left = int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0]) - len(body)
                    while left > 0:
                        left -= len(connection.recv(65536)) or left
                    answer(connection)
            except OSError:
                pass


def measure(binary, kind, count, dead):
    """One run: (records per second, CPU s, status of the sinks)."""
    directory = own_path("dead")
    shutil.rmtree(directory, ignore_errors=True)
    os.makedirs(directory, mode=0o700)
    config = os.path.join(directory, "weir.yaml")
    names = ["file"] + list(dead)
    with open(config, "w") as f:
        f.write("listen: {unix: {type: unix, path: %s/in.sock}}\ncontrol: {path: %s/control.sock}\ndata_dir: %s/data\n" % ((directory,) * 3))
        f.write("streams: {%s: {sinks: [%s]}}\nsinks:\n  file: {type: file, path: %s/out.jsonl}\n" % (kind, ", ".join(names), directory))
        for name, url in dead.items():
            f.write("  %s: {type: http, url: \"%s\", timeout: 1s, connect_timeout: 1s}\n" % (name, url))
    ready_read, ready_write = os.pipe()
    env = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    with open(os.path.join(directory, "stderr"), "w") as err:
        process = subprocess.Popen([binary, "agent", "--config", config, "--ready-fd", str(ready_write)], pass_fds=[ready_write], stderr=err, env=env)
    os.close(ready_write)
    try:
        select.select([ready_read], [], [], 20)
        before = cpu(process.pid).total_us
        sent = subprocess.run([tool("loadgen"), "unix:%s/in.sock" % directory, data(kind, count), str(count), "1", "batch"], stdout=subprocess.PIPE, check=True)

        def sinks():
            connection = UnixHTTPConnection(directory + "/control.sock")
            connection.request("GET", "/v1/status")
            status = json.loads(connection.getresponse().read())
            connection.close()
            if status["conservation_error"]:
                sys.exit("the books do not balance")
            return status["sinks"]
        wait_for(lambda: sinks()["file"]["delivered"] >= count, "every record in the file", 120)
        seconds = time.monotonic_ns() / 1e9 - json.loads(sent.stdout)["start_ns"] / 1e9
        spent = (cpu(process.pid).total_us - before) / 1e6
        at_end = sinks()
        if any(at_end[name]["delivered"] for name in dead):
            sys.exit("a dead sink has delivered something")
        return count / seconds, spent, at_end
    finally:
        os.close(ready_read)
        process.terminate()
        process.wait()
        shutil.rmtree(directory, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=3_000_000, help="records per run (default 3,000,000)")
    parser.add_argument("--repeat", type=int, default=7, help="runs of each kind (default 7)")
    parser.add_argument("--kind", choices=["log", "trace"], default="log")
    parser.add_argument("--binary", default=os.path.join(ROOT, "build", "release", "weir"))
    args = parser.parse_args()
    os.makedirs(WORK, exist_ok=True)
    dead = Dead()
    print("%(cpu)s, %(cores)d cores, Linux %(kernel)s, weir %(commit)s" % machine())
    rates, cpus = {True: [], False: []}, {True: [], False: []}
    for _ in range(args.repeat):
        for with_dead in (False, True):
            rate, spent, sinks = measure(args.binary, args.kind, args.count, dead.urls if with_dead else {})
            rates[with_dead].append(rate)
            cpus[with_dead].append(spent)
            print("%-16s %8.0f records/s  %.2f CPU s" % ("four dead sinks" if with_dead else "file alone", rate, spent), flush=True)
    for name in dead.urls:
        print("%-12s %-10s %s" % (name, sinks[name]["state"], sinks[name]["last_error"]))
    alone, beside = statistics.median(rates[False]), statistics.median(rates[True])
    print("\nbest: %.0f alone, %.0f beside four dead sinks: ratio %.3f" % (max(rates[False]), max(rates[True]), max(rates[True]) / max(rates[False])))
    print("median: %.0f alone, %.0f beside four dead sinks: ratio %.3f (CPU s %.2f and %.2f)" % (
        alone, beside, beside / alone, statistics.median(cpus[False]), statistics.median(cpus[True])))


if __name__ == "__main__":
    main()
