"""What systemd does for the agent, in small: sockets that it keeps open, readiness, and a store of descriptors (FDSTORE=1)
that the next agent gets after the sockets, under their names (sd_pid_notify_with_fds(3))."""
import array
import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading

import harness

KCMP = 312  # x86_64
# The descriptors go to 3, 4, ..., out of the way of each other first; LISTEN_PID is that of the program itself.
START = """
import os, sys
count = int(sys.argv[1])
high = [os.dup(int(fd)) for fd in sys.argv[2:2 + count]]
while any(fd < 3 + count for fd in high):
    high = [fd if fd >= 3 + count else os.dup(fd) for fd in high]
for n, fd in enumerate(high):
    os.dup2(fd, 3 + n)
os.closerange(3 + count, max(high + [3 + count]) + count + 8)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.argv[2 + count], sys.argv[2 + count:])
"""


def same_file(a, b):
    pid = os.getpid()
    return ctypes.CDLL(None).syscall(KCMP, pid, pid, 0, a, b) == 0


class Supervisor:
    """Holds the listening sockets `local` (in.sock) and `control` (control.sock)."""

    def __init__(self, test):
        self.test = test
        self.sockets = [self.listen("in.sock"), self.listen("control.sock")]
        self.notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notified.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self.notified.bind(test.path("notify.sock"))
        self.store, self.words, self.lock = [], [], threading.Lock()  # store: (name, descriptor)
        self.agent = None
        self.thread = threading.Thread(target=self.read_notifications, daemon=True)
        self.thread.start()
        test.addCleanup(self.close)

    def listen(self, name):
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(self.test.path(name))
        listening.listen(1024)
        return listening

    # --- what the agent says -----------------------------------------------------------------------------------

    def read_notifications(self):
        while True:
            data, ancillary, _, _ = self.notified.recvmsg(4096, socket.CMSG_SPACE(4 * 16))
            fds = array.array("i")
            for _, _, content in ancillary:
                fds.frombytes(content[:len(content) - len(content) % fds.itemsize])
            fields = dict(line.split("=", 1) for line in data.decode().split("\n") if "=" in line)
            with self.lock:
                self.obey(fields, list(fds))
                self.words.append(data.decode())
            if data == b"END=1":
                return

    def say(self, word):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.sendto(word.encode(), self.test.path("notify.sock"))

    def obey(self, fields, fds):
        name = fields.get("FDNAME", "stored")
        assert len(name) <= 255 and name.isprintable() and ":" not in name, name
        if fields.get("FDSTORE") == "1":
            for fd in fds:
                if any(same_file(fd, kept) for _, kept in self.store):
                    os.close(fd)  # it keeps its name
                else:
                    self.store.append((name, fd))
        elif fields.get("FDSTOREREMOVE") == "1":
            for entry in [e for e in self.store if e[0] == name]:
                os.close(entry[1])
                self.store.remove(entry)
        else:
            for fd in fds:
                os.close(fd)

    def names(self):
        with self.lock:
            return self.kept()

    def kept(self, end=""):
        """With the lock."""
        return sorted(name for name, _ in self.store if name.endswith(end))

    def wait_for(self, word):
        def came():
            with self.lock:
                found = word in self.words
                if found:
                    del self.words[:self.words.index(word) + 1]
                return found
        harness.wait_for(came, word)

    def read_all(self):
        """What an agent that is gone has said, it has said before this word of ours: the store is what it is then."""
        self.say("READ=ALL")
        self.wait_for("READ=ALL")

    # --- start and end -----------------------------------------------------------------------------------------

    def start(self, args=(), **env):
        self.read_all()
        with self.lock:
            passed = [("local", self.sockets[0].fileno()), ("control", self.sockets[1].fileno())] + self.store
            self.words.clear()
        names, fds = zip(*passed)
        env = self.test.env(LISTEN_FDS=str(len(fds)), LISTEN_FDNAMES=":".join(names), NOTIFY_SOCKET=self.test.path("notify.sock"), **env)
        argv = [sys.executable, "-c", START, str(len(fds)), *map(str, fds), harness.BINARY, "agent", "--config", self.test.path("weir.yaml"), *args]
        with open(self.test.path("stderr"), "ab") as err:
            self.agent = subprocess.Popen(argv, env=env, pass_fds=fds, stderr=err, stdin=subprocess.DEVNULL)
        self.wait_for("READY=1")

    def end(self, how=signal.SIGKILL):
        if self.agent.poll() is None:
            self.agent.send_signal(how)
        return self.agent.wait(harness.DEADLINE_S)

    # --- as harness.Agent has it -------------------------------------------------------------------------------

    def connect(self, _source="local"):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(self.test.path("in.sock"))
        return harness.Connection(sock)

    def status(self):
        return harness.Agent.status(self)

    def http(self, *args):
        self.control = self.test.path("control.sock")
        return harness.Agent.http(self, *args)

    def said(self):
        with open(self.test.path("stderr"), encoding="utf-8", errors="backslashreplace") as f:
            return f.read()

    def close(self):
        if self.agent:
            self.end()
        self.say("END=1")
        self.thread.join(harness.DEADLINE_S)
        for s in (*self.sockets, self.notified):
            s.close()
        for _, fd in self.store:
            os.close(fd)
        for sign in harness.FAULT_SIGNS:
            self.test.assertNotIn(sign, self.said() if self.agent else "")
