"""What is measured: the agent, the floor, the reader, and any other agent. Each of them has

    name, pid
    address      what loadgen dials
    files        where its output is
    wait_done(sent, sizes, deadline)   until every record is in its files; monotonic nanoseconds of that moment
    stop()
"""
import json
import os
import re
import select
import shlex
import signal
import socket
import subprocess
import sys

from machine import ROOT, anonymous_kib, children, cpu, tool

sys.path.insert(0, os.path.join(ROOT, "tests", "integration"))
from harness import UnixHTTPConnection, time, wait_for

START_S, DONE_S, STOP_S = 20, 60, 10


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def accepts(address):
    with socket.socket(socket.AF_UNIX if address.startswith("unix:") else socket.AF_INET) as probe:
        try:
            probe.connect(address[5:] if address.startswith("unix:") else ("127.0.0.1", int(address.rpartition(":")[2])))
            return True
        except OSError:
            return False


def wait_for_size(path, size, deadline, look=lambda: None):
    """Until the file has so many bytes. `look` is called now and then and says why that will not come."""
    looked = time.monotonic()
    while (have := os.path.getsize(path)) < size:
        now = time.monotonic()
        if now - looked > 0.5:
            looked = now
            why = look()
            if why or now > deadline:
                raise SystemExit("bench: %s has %d bytes, not %d: %s" % (path, have, size, why or "not in time"))
        select.select([], [], [], 0.0005)


class Program:
    """A process of ours, ended in an orderly way."""

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdout, self.process.stdin):
            if pipe:
                pipe.close()

    @property
    def pid(self):
        return self.process.pid

    def cpu(self):
        return cpu(self.pid)

    def anonymous_kib(self, exact=False):
        return sum(anonymous_kib(p, exact) for p in self.processes())

    def processes(self):
        return [self.pid]


class Weir(Program):
    """The agent on a configuration of its own."""
    name = "weir"

    def __init__(self, binary, case, directory, sink="{type: jsonl, path: %s}", stdout=None):
        self.control = os.path.join(directory, "control.sock")
        self.files = ["%s/%s.jsonl" % (directory, name) for name in case.files()]
        config = os.path.join(directory, "weir.yaml")
        with open(config, "w") as f:
            f.write("listen: {unix: {type: unix, path: %s/in.sock}, tcp: {type: tcp, bind: '127.0.0.1:0'}}\n" % directory)
            f.write("control: {path: %s}\ndata_dir: %s/data\njournal: {type: memory, max_bytes: %s}\nstreams:\n" % (self.control, directory, case.journal))
            for stream, names in case.sinks.items():
                options = case.options + ", " if stream == "trace" and case.options else ""
                f.write("  %s: {%ssinks: [%s]}\n" % (stream, options, ", ".join(names)))
            f.write("sinks:\n" + "".join("  %s: %s\n" % (name, sink % path if "%s" in sink else sink) for name, path in zip(case.files(), self.files)))
        ready_read, ready_write = os.pipe()
        log = os.path.join(directory, "stderr")
        with open(log, "w") as err:
            self.process = subprocess.Popen([binary, "agent", "--config", config, "--ready-fd", str(ready_write)],
                                            pass_fds=[ready_write], stdout=stdout, stderr=err)
        os.close(ready_write)
        with open(ready_read, "rb") as ready:
            if not select.select([ready], [], [], START_S)[0] or ready.read(1) != b"\n":
                self.stop()
                with open(log) as f:
                    sys.exit("bench: the agent did not come up: " + f.read())
        self.address = self.status()["sources"][case.transport]["address"]

    def status(self):
        connection = UnixHTTPConnection(self.control)
        connection.request("GET", "/v1/status")
        status = json.loads(connection.getresponse().read())
        connection.close()
        return status

    def wait_done(self, sent, sizes, deadline):
        def why():
            status = self.status()
            idle = all(s["lag_records"] == 0 for s in status["sinks"].values())
            return "everything is delivered, so the agent and the floor differ: ./dev bench verify" if idle else None
        for path, size in zip(self.files, sizes):
            wait_for_size(path, size, deadline, why)
        return time.monotonic_ns()


class Plain(Program):
    """The floor or the reader. When they have closed every connection, everything is in their files."""

    def __init__(self, case, directory):
        address = "unix:%s/in.sock" % directory if case.transport == "unix" else "tcp:0"
        self.process = subprocess.Popen([tool(self.name), *self.arguments(case, directory, address)], stdout=subprocess.PIPE)
        self.address = self.process.stdout.readline().decode().split()[1]

    def wait_done(self, sent, sizes, deadline):
        return sent["start_ns"] + int(sent["total_s"] * 1e9)


class Floor(Plain):
    name = "floor"

    def arguments(self, case, directory, address):
        self.files = ["%s/%s.jsonl" % (directory, name) for name in case.files()]
        outputs = ["%s=%s/%s.jsonl" % (stream, directory, name) for stream, names in case.sinks.items() for name in names]
        return (["--diff", ",".join(case.diff)] if case.diff else []) + [address] + outputs


class Reader(Plain):
    name = "reader"

    def arguments(self, case, directory, address):
        self.files = ["%s/f%d.jsonl" % (directory, n) for n in range(case.copies())]
        return [address] + self.files


class Peer(Program):
    """Any other agent: `command` gets {socket} or {tcp} (a port), {file} (what grows) and {dir}. It is ready when it
    takes connections, and done when the file has as many lines as were sent."""

    def __init__(self, name, command, case, directory):
        self.name = name
        self.files = [directory + "/out.jsonl"]
        port = free_port()
        self.address = "unix:%s/in.sock" % directory if "{socket}" in command else "tcp:127.0.0.1:%d" % port
        places = {"socket": directory + "/in.sock", "tcp": str(port), "file": self.files[0], "dir": directory, "root": ROOT}
        words = [re.sub(r"\{(socket|tcp|file|dir|root)\}", lambda m: places[m.group(1)], word) for word in shlex.split(command)]
        log = open(os.path.join(directory, "log"), "w")
        with log:
            self.process = subprocess.Popen(words, stdout=log, stderr=log, start_new_session=True)

        def up():
            if self.process.poll() is not None:
                sys.exit("bench: %s ended: %s" % (name, open(log.name).read()))
            return accepts(self.address)
        wait_for(up, name + " takes connections", START_S)

    def processes(self):
        return children(self.pid)

    @staticmethod
    def fits(command, case):
        """A command that only knows one transport is left out where the case asks for the other."""
        transports = [t for t, word in (("unix", "{socket}"), ("tcp", "{tcp}")) if word in command]
        return case.transport in transports and case.copies() == 1

    def wait_done(self, sent, sizes, deadline):
        lines = counted = size = 0
        grown_ns = time.monotonic_ns()
        while True:
            now = os.path.getsize(self.files[0]) if os.path.exists(self.files[0]) else 0
            if now != size:
                size, grown_ns = now, time.monotonic_ns()
            elif time.monotonic_ns() - grown_ns > 200e6:  # it rests: count what came
                if size > counted:
                    with open(self.files[0], "rb") as f:
                        f.seek(counted)
                        while block := f.read(1 << 24):
                            lines += block.count(b"\n")
                        counted = f.tell()
                if lines >= sent["records"]:
                    return grown_ns
                if time.monotonic() > deadline:
                    raise SystemExit("bench: %s has %d of %d records in its file" % (self.name, lines, sent["records"]))
            select.select([], [], [], 0.001)

    def stop(self):
        super().stop()
        try:
            os.killpg(self.process.pid, signal.SIGKILL)  # what it left behind of its own session
        except ProcessLookupError:
            pass
