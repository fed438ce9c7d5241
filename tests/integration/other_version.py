"""Stands before an agent as one of another version of frames would: it refuses those, and passes lines on.

    with OtherVersion(self.path("other.sock"), agent.path_of("unix")) as other:
        ...
        other.refused   # how often frames were tried
"""
import contextlib
import socket
import threading

import frames

MAGIC, ERROR = "magic", "error"


class OtherVersion:
    def __init__(self, path, behind, answer=ERROR):
        self.behind, self.answer, self.refused = behind, answer, 0
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(8)
        self.sockets = []
        threading.Thread(target=self.accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for sock in [self.listener] + self.sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                self.sockets.append(client)
                threading.Thread(target=self.serve, args=[client], daemon=True).start()

    def serve(self, client):
        with client, contextlib.suppress(OSError):
            if client.recv(4, socket.MSG_PEEK | socket.MSG_WAITALL) != b"WEIR":
                return self.pass_on(client)
            self.refused += 1
            if self.answer == MAGIC:
                client.sendall(b"WEIR\x02")
            else:
                client.sendall(frames.MAGIC + frames.frame(frames.ERROR, "bad_version: this agent speaks 2"))
            client.shutdown(socket.SHUT_WR)
            while client.recv(65536):
                pass

    def pass_on(self, client):
        with socket.socket(socket.AF_UNIX) as agent:
            agent.connect(self.behind)
            back = threading.Thread(target=copy, args=[agent, client], daemon=True)
            back.start()
            copy(client, agent)
            back.join()


def copy(source, to):
    with contextlib.suppress(OSError):
        while True:
            data = source.recv(65536)
            if not data:
                break
            to.sendall(data)
    with contextlib.suppress(OSError):
        to.shutdown(socket.SHUT_WR)
