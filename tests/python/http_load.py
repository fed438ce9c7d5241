"""Load for an HTTP service: so many requests a second on a few connections, open loop, every one with a trace of its own.

    python3 http_load.py PORT REQUESTS_PER_S SECONDS

Prints JSON: trace ids in order, status codes, latencies in ms from the moment a request was due. Only the standard library.
"""
import collections
import json
import os
import selectors
import socket
import sys
import time

CONNECTIONS = 8
BODY = b'{"item": "tea"}'


def request(trace_id):
    return (b"POST /orders HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\ntraceparent: 00-%s-00f067aa0ba902b7-01\r\n"
            b"X-Correlation-ID: c-%s\r\n\r\n%s" % (len(BODY), trace_id, trace_id[-8:], BODY))


class Peer:
    """One connection; answers come in the order of requests."""

    def __init__(self, port):
        self.sock = socket.create_connection(("127.0.0.1", port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.due = collections.deque()
        self.buffer = b""

    def answers(self):
        """[(status, when it was due)] of what has come."""
        got = self.sock.recv(65536)
        if not got:
            raise SystemExit("the service closed the connection")
        self.buffer += got
        out = []
        while b"\r\n\r\n" in self.buffer:
            head, rest = self.buffer.split(b"\r\n\r\n", 1)
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            if len(rest) < length:
                break
            self.buffer = rest[length:]
            out.append((int(head.split(b" ", 2)[1]), self.due.popleft()))
        return out


def main():
    port, per_s, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    count = int(per_s * seconds)
    prefix = os.urandom(12).hex()
    ids = ["%s%08x" % (prefix, n + 1) for n in range(count)]
    peers = [Peer(port) for _ in range(CONNECTIONS)]
    selector = selectors.DefaultSelector()
    for peer in peers:
        selector.register(peer.sock, selectors.EVENT_READ, peer)
    statuses, latencies, sent = collections.Counter(), [], 0
    begin = time.perf_counter()
    while len(latencies) < count:
        now = time.perf_counter()
        while sent < count and begin + sent / per_s <= now:
            peer = peers[sent % CONNECTIONS]
            peer.due.append(begin + sent / per_s)
            peer.sock.sendall(request(ids[sent].encode()))
            sent += 1
        pause = max(0.0, begin + sent / per_s - time.perf_counter()) if sent < count else 5.0
        for key, _ in selector.select(pause):
            for status, due in key.data.answers():
                statuses[status] += 1
                latencies.append((time.perf_counter() - due) * 1000)
        if time.perf_counter() > begin + seconds + 60:
            raise SystemExit("%d of %d answers" % (len(latencies), count))
    took = time.perf_counter() - begin
    latencies.sort()
    print(json.dumps({"ids": ids, "statuses": statuses, "per_s": count / took, "p50": latencies[count // 2],
                      "p99": latencies[count * 99 // 100]}))


if __name__ == "__main__":
    main()
