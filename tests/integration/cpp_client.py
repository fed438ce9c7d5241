"""Programs with the native client (tests/client/driver, client/*/examples), for test_cpp_*.py."""
import json
import os
import subprocess

import harness

BUILD = os.path.dirname(harness.BINARY) if os.path.isdir(os.path.join(os.path.dirname(harness.BINARY), "tests", "client")) \
    else os.path.join(harness.ROOT, "build", "release")
BUILD = os.environ.get("WEIR_CLIENT_BUILD", BUILD)
DRIVER = os.path.join(BUILD, "tests", "client", "client_driver")


class Driver:
    """The driver program; commands are answered one by one."""

    def __init__(self, test, address="", ack=""):
        self.proc = subprocess.Popen([DRIVER, address, ack] if ack else [DRIVER, address], stdin=subprocess.PIPE,
                                     stdout=subprocess.PIPE, env=test.env())
        test.addCleanup(self.kill)

    def send(self, command):
        self.proc.stdin.write(command.encode() + b"\n")
        self.proc.stdin.flush()

    def answer(self):
        line = self.proc.stdout.readline()
        assert line.endswith(b"\n"), "the driver died: %r, %s" % (line, self.proc.poll())
        return line.decode().strip()

    def do(self, command):
        self.send(command)
        return self.answer()

    def stats(self):
        return json.loads(self.do("stats"))

    def end(self):
        self.proc.stdin.close()
        code = self.proc.wait(harness.DEADLINE_S)
        self.proc.stdout.close()
        assert code == 0, code

    def kill(self):
        if self.proc.poll() is None:
            self.proc.kill()
            self.proc.wait()
        for pipe in (self.proc.stdin, self.proc.stdout):
            try:
                pipe.close()
            except BrokenPipeError:
                pass


def numbers(agent):
    """The numbers of `log` in the order of the file."""
    return [r["attributes"]["n"] for r in agent.records() if r.get("message", "").startswith("n ")]


def log_and_compare(test, agent, driver, count):
    """The same records by every transport: in order, each once, with what the program is called."""
    driver.do("log %d" % count)
    test.assertEqual(driver.do("flush 20000"), "done")
    agent.wait_delivered("out", count)
    test.assertEqual(numbers(agent), list(range(1, count + 1)))
    first = agent.records()[0]
    first.pop("ts")
    test.assertEqual(first, {"stream": "log", "service": "driver", "level": "info", "message": "n 1",
                             "attributes": {"n": 1, "text": 'a "b" \u00e9'}})
