"""A receiver for the `http` sink that misbehaves on request, at the level of sockets; and an agent that forwards to it.

    class MyTest(ForwardTest):
        def test_something(self):
            receiver = self.receiver(script=[answer(503), lost_answer])   # one behaviour per request, then good
            agent = self.forward(receiver)
            self.send_and_check(agent, receiver, lines)

A behaviour is called as behaviour(peer, request) once a request has been read, and says False when the connection is
done with. One of Receiver.at_connect is called as behaviour(peer) before anything is read. What the receiver has taken
for good is in `taken`; asking it for records() drops what came twice with the same Idempotency-Key, as a receiver should.
"""
import contextlib
import gzip
import json
import re
import shutil
import socket
import ssl
import struct
import threading

import harness

NO_PROXIES = {name: None for base in ("http_proxy", "https_proxy", "all_proxy", "no_proxy") for name in (base, base.upper())}


class Request:
    def __init__(self, start_line, headers, body):
        self.method, self.target, self.version = start_line.split(" ", 2)
        self.headers = headers  # lower-case names
        self.raw_body = body

    @property
    def key(self):
        return self.headers["idempotency-key"]

    def bounds(self):
        """(first, last) of the key."""
        return tuple(int(n) for n in self.key.split("-")[-2:])

    def body(self):
        return gzip.decompress(self.raw_body) if self.headers.get("content-encoding") == "gzip" else self.raw_body

    def lines(self):
        text = self.body().decode()
        if self.headers["content-type"] == "application/json":
            return [harness.compact(record) for record in json.loads(text)]
        assert text.endswith("\n"), text
        return text.split("\n")[:-1]


class Peer:
    """One connection, seen from the receiver."""

    def __init__(self, receiver, sock):
        self.receiver, self.sock, self.buffer = receiver, sock, b""
        self.served = False  # a behaviour's own mark

    def fill(self):
        got = self.sock.recv(65536)
        if not got:
            raise EOFError
        self.buffer += got

    def read_head(self):
        while b"\r\n\r\n" not in self.buffer:
            self.fill()
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        lines = head.decode().split("\r\n")
        return lines[0], {name.lower(): value for name, value in (line.split(": ", 1) for line in lines[1:])}

    def read_request(self):
        start_line, headers = self.read_head()
        length = int(headers.get("content-length", 0))
        while len(self.buffer) < length:
            self.fill()
        body, self.buffer = self.buffer[:length], self.buffer[length:]
        return Request(start_line, headers, body)

    def send(self, data):
        self.sock.sendall(data)

    def answer(self, status, body=b"", headers=()):
        lines = ["HTTP/1.1 " + str(status)] + list(headers) + ["Content-Length: %d" % len(body), "", ""]
        self.send("\r\n".join(lines).encode() + body)

    def until_closed(self):
        """Stalls: says nothing until the other side has gone."""
        with contextlib.suppress(EOFError, OSError):
            while True:
                self.fill()
                self.buffer = b""

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


# --- behaviours --------------------------------------------------------------------------------------------------

def good(peer, request):
    peer.receiver.take(request)
    peer.answer("200 OK", b'{"ok":true}')
    return True


def answer(status, body=b"", headers=(), close=False):
    def behave(peer, _):
        peer.answer(status, body, headers)
        return not close
    return behave


def raw(data, take=False):
    """Sends these bytes and closes."""
    def behave(peer, request):
        if take:
            peer.receiver.take(request)
        peer.send(data)
        return False
    return behave


def lost_answer(peer, request):
    """Takes the records, and is gone before it has said so."""
    peer.receiver.take(request)
    peer.reset()
    return False


def stall(after=b""):
    """Sends the beginning of an answer, then nothing."""
    def behave(peer, _):
        peer.send(after)
        peer.until_closed()
        return False
    return behave


def endless(beginning, chunk):
    """An answer without end."""
    def behave(peer, request):
        with contextlib.suppress(OSError):
            peer.send(beginning)
            while True:
                peer.send(chunk)
        peer.receiver.cut_off += 1
        return False
    return behave


def refuse_lines(condition, status="400 Bad Request"):
    """Refuses every request that holds a line for which condition(line) is true."""
    def behave(peer, request):
        if any(condition(line) for line in request.lines()):
            peer.answer(status, b"cannot take this")
            return True
        return good(peer, request)
    return behave


class Receiver:
    """Listens on 127.0.0.1 until the test ends."""

    def __init__(self, test, script=(), at_connect=(), tls=None, always=good):
        self.script, self.at_connect, self.tls, self.always = list(script), list(at_connect), tls, always
        self.requests, self.taken, self.errors = [], [], []
        self.connections = self.cut_off = 0
        self.lock = threading.Lock()
        self.open = set()
        self.port = 0
        self.listen()
        test.addCleanup(self.close)

    def listen(self):
        """Also again, after close()."""
        self.listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, path="/in", host="127.0.0.1"):
        return "%s://%s:%d%s" % ("https" if self.tls else "http", host, self.port, path)

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.drop_connections()

    def drop_connections(self):
        """Closes every connection, in order."""
        with self.lock:
            for sock in self.open:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    def take(self, request):
        with self.lock:
            self.taken.append(request)

    def records(self):
        """What has arrived, in order, each key once. The same key must always mean the same content."""
        by_key = {}
        with self.lock:
            for request in self.taken:
                lines = request.lines()
                assert by_key.setdefault(request.key, lines) == lines, "two contents with the key " + request.key
        return [line for lines in by_key.values() for line in lines]

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                self.connections += 1
                self.open.add(sock)
                at_connect = self.at_connect.pop(0) if self.at_connect else None
            threading.Thread(target=self._serve, args=(sock, at_connect), daemon=True).start()

    def _serve(self, sock, at_connect):
        try:
            peer = Peer(self, sock)
            if at_connect:
                at_connect(peer)
                return
            if self.tls:
                with self.lock:
                    self.open.discard(sock)  # wrapping takes its descriptor
                peer.sock = sock = self.tls.wrap_socket(sock, server_side=True)
                with self.lock:
                    self.open.add(sock)
            while True:
                request = peer.read_request()
                with self.lock:
                    self.requests.append(request)
                    behave = self.script.pop(0) if self.script else self.always
                if not behave(peer, request):
                    return
        except (EOFError, OSError):
            pass  # the agent has gone, as it may
        except Exception as error:  # shown by send_and_check()
            self.errors.append(repr(error))
        finally:
            with self.lock:
                self.open.discard(sock)
            sock.close()


class ForwardTest(harness.AgentTest):
    """Agents that forward the log stream to a receiver, with small timeouts."""

    OPTIONS = ("timeout: 20s, connect_timeout: 1s, backoff: {min: 10ms, max: 50ms}, misconfigured_retry: 50ms, "
               "batch: {records: 500, linger: 5ms}")

    def receiver(self, *args, **kwargs):
        return Receiver(self, *args, **kwargs)

    def config(self, url, options="", base=None):
        """`options` replaces what OPTIONS says of the same name."""
        base = self.OPTIONS if base is None else base
        for name in re.findall(r"(?:^|, )(\w+): ", re.sub(r"\{.*?\}", "{}", options)):
            base = re.sub(r"(?:^|, )%s: (\{.*?\}|[^,]+)" % name, "", base).strip(", ")
        both = ", ".join(x for x in (base, options) if x)
        return "streams: {log: {sinks: [fwd]}}\nsinks:\n  fwd: {type: http, url: \"%s\", %s}\n" % (url, both)

    def forward(self, receiver, options="", env=None, url=None, args=()):
        """Stops the one before, if any: one agent and one quarantine per sub-test."""
        for agent in self.agents:
            if not agent.stopped:
                agent.stop()
        shutil.rmtree(self.path("data"), ignore_errors=True)
        return self.start(self.config(url or receiver.url(), options), args, env={**NO_PROXIES, **(env or {})})

    def send_and_check(self, agent, receiver, lines, quarantined=0):
        """Sends lines; all but those for the quarantine must arrive, once for who looks at the keys, in order."""
        agent.send_plain(lines)
        self.wait_all(agent, len(lines) - quarantined, quarantined)
        self.assertEqual(receiver.errors, [])

    def wait_all(self, agent, delivered, quarantined=0):
        status = agent.wait_status(lambda s: s["sinks"]["fwd"]["lag_records"] == 0 and s["sinks"]["fwd"]["delivered"] +
                                   sum(s["sinks"]["fwd"]["quarantined"].values()) >= delivered + quarantined, "all forwarded")
        sink = status["sinks"]["fwd"]
        self.assertEqual((sink["delivered"], sum(sink["quarantined"].values()), sink["dropped"]), (delivered, quarantined, {}))
        harness.assert_conserved(self, status)
        return sink


def lines_of(count, start=0):
    return [harness.log("m%d" % n, n=n) for n in range(start, start + count)]


def server_context(certificate_and_key, client_ca=None):
    """For Receiver(tls=...); with client_ca clients must show a certificate of that issuer."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate_and_key)
    if client_ca:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context
