"""For tests/integration/test_python_*.py: the real agent and clients of it. PYTHONPATH must name tests/integration."""
import json
import os
import re
import subprocess
import sys

import harness
import support  # noqa: F401  (puts the client on the path)
from weir.client import Client
from weir.connection import parse_address

CLIENT_PATH = os.path.join(harness.ROOT, "client", "python")
EXAMPLES = os.path.join(CLIENT_PATH, "examples")
DISK = 'journal: {type: disk, path: "@/journal", max_bytes: 64MiB}\n'


class PythonTest(harness.AgentTest):
    def client(self, agent=None, source="local", **settings):
        """A client of the agent's socket (which need not be there), closed at the end of the test."""
        address = "unix:" + self.path("in.sock")
        if source == "net":
            address = next(a for a in agent.addresses if a.startswith("tcp:"))
        client = Client(parse_address(address), **settings)
        self.addCleanup(client.close, 0.0)
        client._wake()
        return client

    def connected(self, agent=None, source="local", **settings):
        client = self.client(agent, source, **settings)
        self.assertTrue(client.wait_connected(harness.DEADLINE_S), client.stats())
        return client

    def flush(self, client):
        self.assertTrue(client.flush(harness.DEADLINE_S), client.stats())

    def wait_drained(self, agent):
        """Everything accepted is in the file."""
        return agent.wait_status(lambda s: s["sinks"]["out"]["lag_records"] == 0, "drained")

    def restart(self):
        """The agent as it was configured, once more."""
        return self.spawn(["--config", self.path("weir.yaml")]).wait_ready()

    def kill(self, agent):
        """kill -9, which is no fault of the test's."""
        agent.stopped = True
        agent.kill()

    def python(self, code, *args, env=None, **popen):
        """A program of its own, with the client and the agent's socket: Popen with pipes."""
        environment = dict(os.environ, PYTHONPATH=CLIENT_PATH, WEIR_SOCKET=self.path("in.sock"), **(env or {}))
        environment.pop("WEIR_ADDRESS", None)
        argv = [sys.executable, "-W", "ignore::DeprecationWarning"] + (["-c", code] if code else []) + list(args)
        return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                env=environment, cwd=self.dir, **popen)

    def run_python(self, code, *args, exit_code=0, no_agent=0, **kwargs):
        """Runs it to its end: stdout. stderr must be empty, but for so many words that there is no agent."""
        process = self.python(code, *args, **kwargs)
        out, err = process.communicate(timeout=harness.DEADLINE_S)
        self.assertEqual((process.returncode, *without_no_agent(err)), (exit_code, b"", no_agent), out.decode())
        return out.decode()


def without_no_agent(err):
    """The rest of it, and how often it is said that there is no agent."""
    return re.subn(rb"weir: no agent at unix:\S+in\.sock: .*No such file or directory; start it .*\n", b"", err)


def offered(stats):
    """What was put, by the client's own books."""
    return stats["acknowledged"] + stats["queued"] + sum(stats["dropped"].values())


def by_member(records, name):
    return [r.get(name) for r in records]


def parse(text):
    return [json.loads(line) for line in text.splitlines()]
