"""An agent under a service manager that keeps descriptors, for test_fd_*.py; supervisor.py takes systemd's part."""
import array
import fcntl
import json
import os
import signal
import struct
import termios

import harness
from harness import wait_for
from supervisor import Supervisor

DISK = 'journal: {type: disk, max_bytes: 64MiB}' + harness.ALL_TO_FILE


def unread(sock):
    """Bytes of ours that the other side has not read yet."""
    waiting = array.array("i", [0])
    fcntl.ioctl(sock, termios.TIOCOUTQ, waiting)
    return waiting[0]


class Stored(harness.AgentTest):
    def setUp(self):
        super().setUp()
        self.write_config(DISK)
        self.supervisor = Supervisor(self)

    def restart(self, how=signal.SIGKILL, between=lambda: None):
        self.assertEqual(self.supervisor.end(how), -signal.SIGKILL if how == signal.SIGKILL else 0)
        between()
        self.supervisor.start()

    def numbers(self):
        try:
            with open(self.path("out.jsonl"), encoding="utf-8") as f:
                records = [json.loads(line) for line in f.read().split("\n")[:-1]]
        except FileNotFoundError:
            return []
        return [r["attributes"]["n"] if "attributes" in r else r["n"] for r in records]

    def wait_numbers(self, count):
        self.assertEqual(wait_for(lambda: len(self.numbers()) >= count and self.numbers(), lambda: "%d records, there are %d\n%s" % (
            count, len(self.numbers()), self.supervisor.said()[-3000:])), list(range(count)))

    def wait_kept(self, count=1):
        """Until so many connections are kept, and the agent has done with all that they brought (agent/ingest/kept_card.h)."""
        def kept():
            with self.supervisor.lock:
                cards = [os.pread(fd, 24, 0) for name, fd in self.supervisor.store if name.endswith(".card")]
                return len(self.supervisor.kept(".conn")) == count and all(struct.unpack("<QQQ", card)[2] for card in cards)
        wait_for(kept, lambda: "kept: %s\n%s" % (self.supervisor.names(), self.supervisor.said()[-3000:]))

    def open(self):
        c = self.supervisor.connect()
        self.addCleanup(c.sock.close)
        return c
