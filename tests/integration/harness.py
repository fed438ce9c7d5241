"""Runs the real weir binary in a temporary directory with private sockets. Links no agent code.

    class MyTest(harness.AgentTest):
        def test_something(self):
            agent = self.start(harness.ALL_TO_FILE)
            agent.send_plain([harness.log("hi")])
            agent.wait_delivered("out", 1)
            self.assertEqual(agent.lines("out.jsonl"), [harness.log("hi")])

Every agent is stopped at the end of its test with SIGTERM; it must exit 0 with its books balanced, unless the test
stopped it itself. The binary is $WEIR_BINARY, else build/release/weir. $WEIR_SANITIZED=1: a slow, instrumented build. $WEIR_LONG=1: more random input.
Nothing here waits for time to pass: wait_for() waits for a condition, with a deadline.
"""
import contextlib
import http.client
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BINARY = os.path.abspath(os.environ.get("WEIR_BINARY") or os.path.join(ROOT, "build", "release", "weir"))
SANITIZED = os.environ.get("WEIR_SANITIZED") == "1"
LONG = os.environ.get("WEIR_LONG") == "1"  # ./dev test --long: more of what is random
DEADLINE_S = 60 if SANITIZED else 20
TS = "2026-01-21T10:00:00Z"
RFC3339 = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z"
FAULT_SIGNS = ("AddressSanitizer", "ThreadSanitizer", "LeakSanitizer", "runtime error:", "weir: bug:")

ALL_TO_FILE = """
streams:
  trace: {sinks: [out]}
  log: {sinks: [out]}
  telemetry: {sinks: [out]}
  monitoring: {sinks: [out]}
sinks:
  out: {type: jsonl, path: "@/out.jsonl"}
"""
TOP = {
    "listen": 'listen: {local: {type: unix, path: "@/in.sock"}, net: {type: tcp, bind: "127.0.0.1:0"}}',
    "control": 'control: {path: "@/control.sock"}',
    "data_dir": 'data_dir: "@/data"',
}


def log(message, **more):
    """A log line that the agent leaves alone byte for byte (it has a ts)."""
    return compact({"stream": "log", "ts": TS, "level": "info", "message": message, **more})


def trace(trace_id, step="s", **more):
    return compact({"stream": "trace", "trace_id": trace_id, "step_name": step, **more})


def compact(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def as_bytes(lines):
    """Lines (str or bytes) as one payload with line feeds."""
    return b"".join((x if isinstance(x, bytes) else x.encode()) + b"\n" for x in lines)


_pace = threading.Event()  # never set: wait() on it only paces the polling of a condition


def wait_for(condition, what, deadline_s=None):
    """Polls until condition() is true; returns its value."""
    end = time.monotonic() + (deadline_s or DEADLINE_S)
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError("never came true: " + (what() if callable(what) else what))
        _pace.wait(0.004)


class UnixHTTPConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=DEADLINE_S)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Connection:
    """One producer connection, plain or acknowledged."""

    def __init__(self, sock):
        self.sock = sock
        sock.settimeout(DEADLINE_S)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def send(self, lines):
        """Lines with line feeds; bytes go out as they are."""
        self.sock.sendall(lines if isinstance(lines, bytes) else as_bytes(lines))

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)

    def read_line(self):
        """The agent's next line as JSON; None when it has closed."""
        while b"\n" not in self.buffer:
            try:
                got = self.sock.recv(65536)
            except ConnectionResetError:
                got = b""
            if not got:
                assert not self.buffer, "closed in the middle of a line: %r" % self.buffer
                return None
            self.buffer += got
        line, self.buffer = self.buffer.split(b"\n", 1)
        return json.loads(line)

    def read_all(self):
        lines = []
        while True:
            line = self.read_line()
            if line is None:
                return lines
            lines.append(line)

    def read_until(self, *kinds):
        """Lines up to and including the first of one of these kinds. Closing early is a failure."""
        lines = []
        while True:
            line = self.read_line()
            assert line is not None, "closed before %s; got %s" % ("/".join(kinds), lines)
            lines.append(line)
            if line["weir"] in kinds:
                return lines

    def read_to_ack(self, seq):
        lines = []
        while not (lines and lines[-1]["weir"] == "ack" and lines[-1]["seq"] >= seq):
            lines += self.read_until("ack", "nack", "error", "bye")
            assert lines[-1]["weir"] == "ack", "wanted ack %d, got %s" % (seq, lines)
        return lines

    def hello(self, **fields):
        """Says hello, returns the answer (welcome or error)."""
        self.send([compact({"weir": "hello", **fields})])
        return self.read_line()

    def finish_plain(self):
        """Half-close, then wait for the agent's close: everything is in the journal now. It must have said nothing."""
        self.half_close()
        said = self.read_all()
        assert said == [], "a plain connection was answered: %s" % said


class Agent:
    """A running `weir agent`."""

    def __init__(self, test, directory, argv, env, stdout=None, stderr=None, cwd=None, preexec=None):
        self.test, self.dir = test, directory
        self.stderr_path = os.path.join(directory, "agent-%d.stderr" % len(test.agents))
        self.stdout_path = os.path.join(directory, "agent-%d.stdout" % len(test.agents))
        self.control = env["WEIR_CONTROL"]
        self.stopped = False
        self.expect_ready_line = stderr is None
        with contextlib.ExitStack() as stack:
            err = stderr if stderr is not None else stack.enter_context(open(self.stderr_path, "wb"))
            out = stdout if stdout is not None else stack.enter_context(open(self.stdout_path, "wb"))
            ready_read, ready_write = os.pipe()
            stack.callback(os.close, ready_write)
            self.ready_read = ready_read
            self.proc = subprocess.Popen(argv + ["--ready-fd", str(ready_write)], stdin=subprocess.DEVNULL, stdout=out,
                                         stderr=err, pass_fds=[ready_write], env=env, cwd=cwd or directory,
                                         preexec_fn=preexec)
        self.pid = self.proc.pid

    def wait_ready(self):
        """The ready byte; then addresses from the ready line."""
        try:
            readable, _, _ = select.select([self.ready_read], [], [], DEADLINE_S)
            got = os.read(self.ready_read, 2) if readable else None
        finally:
            os.close(self.ready_read)
        if got != b"\n":
            self.stopped = True
            self.kill()
            raise AssertionError("no ready byte (%r), exit code %s:\n%s" % (got, self.proc.poll(), self.stderr()))
        self.addresses = []
        if self.expect_ready_line:
            line = wait_for(lambda: re.search(r"weir: ready pid=(\d+)([^\n\"]*)", self.stderr()), "the ready line")
            self.pid, self.addresses = int(line.group(1)), line.group(2).split()
        return self

    def stderr(self):
        try:
            with open(self.stderr_path, encoding="utf-8", errors="backslashreplace") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    # --- control ---------------------------------------------------------------------------------------------

    def http(self, method, path, body=None):
        """(status code, headers, body bytes)"""
        connection = UnixHTTPConnection(self.control)
        try:
            headers = {"Content-Type": "application/json"} if body is not None else {}
            connection.request(method, path, body=None if body is None else json.dumps(body), headers=headers)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def status(self):
        code, _, body = self.http("GET", "/v1/status")
        assert code == 200, (code, body)
        return json.loads(body)

    def source(self, name="local"):
        return self.status()["sources"][name]

    def sink(self, name="out"):
        return self.status()["sinks"][name]

    def wait_status(self, condition, what):
        """Waits until condition(status) is true; returns that status."""
        last = {}

        def poll():
            last["status"] = self.status()
            return last["status"] if condition(last["status"]) else None
        return wait_for(poll, lambda: what + "; status: " + json.dumps(last.get("status")))

    def wait_delivered(self, sink, records):
        return self.wait_status(lambda s: s["sinks"][sink]["delivered"] >= records, "%s delivered %d" % (sink, records))

    # --- producers -------------------------------------------------------------------------------------------

    def connect(self, source="local"):
        if source == "local":
            sock = socket.socket(socket.AF_UNIX)
            path = next((a[5:] for a in self.addresses if a.startswith("unix:")), os.path.join(self.dir, "in.sock"))
            sock.connect(path)
        else:
            address = next(a[4:] for a in self.addresses if a.startswith("tcp:"))
            host, port = address.rsplit(":", 1)
            sock = socket.create_connection((host.strip("[]"), int(port)))
        return Connection(sock)

    def send_plain(self, lines, source="local"):
        """Sends and waits until all of it is in the journal."""
        with self.connect(source) as connection:
            connection.send(lines)
            connection.finish_plain()

    # --- results ---------------------------------------------------------------------------------------------

    def raw(self, name):
        try:
            with open(os.path.join(self.dir, name), "rb") as f:
                return f.read()
        except FileNotFoundError:
            return b""

    def lines(self, name="out.jsonl"):
        """Lines of a file in the agent's directory; the last one must be whole."""
        data = self.raw(name)
        assert data == b"" or data.endswith(b"\n"), "torn last line in " + name
        return data.decode().split("\n")[:-1]

    def records(self, name="out.jsonl"):
        return [json.loads(line) for line in self.lines(name)]

    def quarantine(self, name="rejected"):
        return self.records("data/quarantine/%s.jsonl" % name)

    # --- the end ---------------------------------------------------------------------------------------------

    def wait_exit(self):
        try:
            code = self.proc.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            raise AssertionError("still running; stderr:\n" + self.stderr())
        self.stopped = True
        return code

    def signal(self, number):
        os.kill(self.pid, number)

    def stop(self, exit_code=0):
        """Checks the books, SIGTERM, waits, checks the exit code and what it said."""
        if self.proc.poll() is None:
            assert_conserved(self.test, self.status())
            self.signal(signal.SIGTERM)
        code = self.wait_exit()
        said = self.stderr()
        for sign in FAULT_SIGNS:
            self.test.assertNotIn(sign, said)
        self.test.assertEqual(code, exit_code, "exit code of the agent; stderr:\n" + said)

    def __enter__(self):
        return self

    def __exit__(self, fault, *_):
        """For several agents in one test: stops this one, or kills it when its part of the test has failed."""
        if fault is None and not self.stopped:
            self.stop()
        elif fault is not None:
            self.stopped = True
            self.kill()

    def kill(self):
        if self.proc.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                self.signal(signal.SIGKILL)
            self.proc.kill()
            self.proc.wait()


def assert_conserved(test, status):
    """The law of delivery.md section 2, on one scrape."""
    for name, s in status["sources"].items():
        test.assertEqual(s["received"], s["accepted"] + sum(s["rejected"].values()), (name, s))
        test.assertEqual(s["accepted"], s["journalled"] + sum(s["dropped_by_rule"].values()) + s["duplicate"] +
                         s["disabled"], (name, s))
    for name, s in status["sinks"].items():
        gone = sum(sum(s[kind].values()) for kind in ("filtered", "dropped", "quarantined"))
        test.assertEqual(s["routed"], s["delivered"] + gone + s["lag_records"], (name, s))
    test.assertEqual(status["conservation_error"], 0)


class AgentTest(unittest.TestCase):
    def setUp(self):
        self.assertTrue(os.access(BINARY, os.X_OK), "no binary at %s: ./dev build" % BINARY)
        self.dir = tempfile.mkdtemp(prefix="weir-t-")
        self.agents = []
        self.stderr_texts = []
        self.addCleanup(self._cleanup)

    def _cleanup(self):
        try:
            for agent in self.agents:
                if not agent.stopped and agent.proc.poll() is None:
                    agent.stop()
                elif not agent.stopped:
                    raise AssertionError("the agent died, exit code %s" % agent.proc.returncode)
        finally:
            for agent in self.agents:
                agent.kill()
                self.stderr_texts.append(agent.stderr())
            shutil.rmtree(self.dir, ignore_errors=True)

    def run(self, result=None):
        result = result or self.defaultTestResult()
        before = len(result.failures) + len(result.errors)
        super().run(result)
        if len(result.failures) + len(result.errors) > before:
            for text in getattr(self, "stderr_texts", []):
                print("--- stderr of the agent in %s\n%s---" % (self.id(), text[-6000:]), file=sys.stderr)
        return result

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, name, text):
        """Writes a file in one step, as a reload needs it; `@/` stands for this test's directory."""
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name) + ".new", "w", encoding="utf-8") as f:
            f.write(text.replace("@/", self.dir + "/"))
        os.replace(self.path(name) + ".new", self.path(name))
        return self.path(name)

    def write_config(self, text, name="weir.yaml"):
        """As write(), with private listen, control and data_dir where the text names none."""
        top = [line for key, line in TOP.items() if not re.search(r"(?m)^%s:" % key, text)]
        return self.write(name, "\n".join(top) + "\n" + text)

    def env(self, **more):
        env = {k: v for k, v in os.environ.items() if not k.startswith(("WEIR_", "NOTIFY_", "XDG_")) and k != "NO_COLOR"}
        env.update(WEIR_SOCKET=self.path("in.sock"), WEIR_CONTROL=self.path("control.sock"), TERM="xterm")
        # g++ 12 does not align the frames it moves to the heap to 64 bytes, as AVX-512 needs it.
        env.setdefault("ASAN_OPTIONS", "detect_stack_use_after_return=0")
        env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
        env.update({k: v for k, v in more.items() if v is not None})
        return {k: v for k, v in env.items() if k not in [n for n, v in more.items() if v is None]}

    def spawn(self, args=(), env=None, wrapper=(), **popen):
        """Starts `weir agent ARGS` without waiting for anything."""
        argv = list(wrapper) + [BINARY, "agent"] + list(args)
        agent = Agent(self, self.dir, argv, self.env(**(env or {})), **popen)
        self.agents.append(agent)
        return agent

    def start(self, config, args=(), name="weir.yaml", **kwargs):
        """Writes the configuration, starts an agent on it and waits until it is ready."""
        return self.spawn(["--config", self.write_config(config, name)] + list(args), **kwargs).wait_ready()

    def start_fails(self, args, **kwargs):
        """An agent that must not come up: (exit code, stderr)."""
        agent = self.spawn(args, **kwargs)
        os.close(agent.ready_read)
        code = agent.wait_exit()
        for sign in FAULT_SIGNS:
            self.assertNotIn(sign, agent.stderr())
        return code, agent.stderr()

    def weir(self, *args, stdin=b"", env=None, cwd=None):
        """Runs one command to its end: CompletedProcess with text in stdout and stderr."""
        done = subprocess.run([BINARY] + list(args), input=stdin if isinstance(stdin, bytes) else stdin.encode(),
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.env(**(env or {})),
                              cwd=cwd or self.dir, timeout=DEADLINE_S)
        done.stdout, done.stderr = done.stdout.decode(), done.stderr.decode()
        for sign in FAULT_SIGNS:
            self.assertNotIn(sign, done.stderr)
        return done


class Pty:
    """A terminal: hand `slave` to a program as its stdout, read what reached the screen from text()."""

    def __init__(self):
        try:
            self.master, self.slave = os.openpty()
        except OSError as error:
            raise unittest.SkipTest("no pseudo-terminals here: %s" % error)
        self.data = b""
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        with contextlib.suppress(OSError):
            while True:
                got = os.read(self.master, 65536)
                if not got:
                    return
                self.data += got

    def text(self):
        return self.data.decode("utf-8", "backslashreplace")

    def close(self):
        """Call when the program has ended: reads what is left. Safe twice."""
        if self.slave is not None:
            os.close(self.slave)
            self.slave = None
            self.thread.join(DEADLINE_S)
            os.close(self.master)


def screen_faults(text):
    """What must never reach a terminal, our own colour codes set aside."""
    plain = re.sub("\x1b\\[[0-9;]*m", "", text)
    return re.findall("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\u2028\u2029]", plain)


def main():
    unittest.main(verbosity=2)
