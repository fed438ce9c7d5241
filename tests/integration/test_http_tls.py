"""The `http` sink over TLS and by way of proxies."""
import os
import shutil
import socket
import ssl
import tempfile
import threading
import unittest

import harness
from certificates import Issuer
from http_receiver import ForwardTest, lines_of, server_context, stall


class TlsTest(ForwardTest):
    """One issuer for all tests of a class."""

    @classmethod
    def setUpClass(cls):
        cls.certificates_dir = tempfile.mkdtemp(prefix="weir-certs-")
        cls.issuer = Issuer(cls.certificates_dir)
        cls.good_cert = cls.issuer.issue("server", "IP:127.0.0.1,DNS:localhost")

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.certificates_dir)

    def tls(self, more=""):
        return "tls: {ca: %s%s}" % (self.issuer.ca, more)

    def good_tls(self):
        return server_context(self.good_cert)

    def check_good(self, receiver, options, lines=None, **kwargs):
        agent = self.forward(receiver, options, **kwargs)
        lines = lines or lines_of(700)
        self.send_and_check(agent, receiver, lines)
        self.assertEqual(receiver.records(), lines)
        return agent


class Tls(TlsTest):
    def check_misconfigured(self, context, says, options=None, host="127.0.0.1"):
        """The certificate does not do; then one that does takes its place, and everything arrives."""
        receiver = self.receiver(tls=context)
        agent = self.forward(receiver, options or self.tls(), url=receiver.url(host=host))
        lines = lines_of(600)
        agent.send_plain(lines)
        status = agent.wait_status(lambda s: s["sinks"]["fwd"]["state"] == "misconfigured", "misconfigured")
        sink = status["sinks"]["fwd"]
        self.assertRegex(sink["last_error"], says)
        self.assertEqual((sink["delivered"], sink["lag_records"]), (0, 600))
        self.assertEqual(receiver.taken, [])
        harness.assert_conserved(self, status)
        return agent, receiver, lines

    def recovers(self, agent, receiver, lines):
        receiver.tls = self.good_tls()
        receiver.drop_connections()
        self.wait_all(agent, len(lines))
        self.assertEqual(receiver.records(), lines)

    def test_a_good_certificate_and_one_connection_for_all(self):
        receiver = self.receiver(tls=self.good_tls())
        self.check_good(receiver, self.tls(), lines_of(3000))
        self.assertEqual(receiver.connections, 1)

    def test_a_kept_connection_that_was_closed_as_idle_is_no_failure(self):
        receiver = self.receiver(tls=self.good_tls())
        agent = self.forward(receiver, self.tls())
        for n in range(4):
            agent.send_plain(lines_of(10, 10 * n))
            agent.wait_delivered("fwd", 10 * (n + 1))
            receiver.drop_connections()
        self.assertEqual(receiver.records(), lines_of(40))
        self.assertEqual(receiver.connections, 4)
        self.assertIsNone(agent.sink("fwd")["last_error"])

    def test_certificates_are_read_again_when_they_change(self):
        """The receiver moves to another issuer; the sink's file is replaced, and no restart is needed."""
        ca = self.path("ca.pem")
        shutil.copy(self.issuer.ca, ca)
        receiver = self.receiver(tls=self.good_tls())
        agent = self.forward(receiver, "tls: {ca: %s}" % ca)
        self.send_and_check(agent, receiver, lines_of(3))
        other = Issuer(self.certificates_dir, "other-issuer")
        receiver.tls = server_context(other.issue("moved", "IP:127.0.0.1"))
        receiver.drop_connections()
        agent.send_plain(lines_of(3, 3))
        agent.wait_status(lambda s: s["sinks"]["fwd"]["state"] == "misconfigured", "misconfigured")
        shutil.copy(other.ca, ca + ".new")
        os.replace(ca + ".new", ca)
        self.wait_all(agent, 6)
        self.assertEqual(receiver.records(), lines_of(6))

    def test_a_large_body(self):
        receiver = self.receiver(tls=self.good_tls())
        self.check_good(receiver, self.tls() + ", timeout: 5s, batch: {bytes: 8MiB, linger: 100ms}", [harness.log("x" * 200_000, n=n) for n in range(50)])

    def test_the_host_name_is_checked_and_may_be_named(self):
        other = server_context(self.issuer.issue("other", "DNS:other.example"))
        self.recovers(*self.check_misconfigured(other, "certificate not accepted: .*mismatch.*check `tls`"))
        receiver = self.receiver(tls=other)
        self.check_good(receiver, self.tls(", server_name: other.example"))

    def test_an_expired_certificate(self):
        expired = server_context(self.issuer.issue("expired", "IP:127.0.0.1", expired=True))
        self.recovers(*self.check_misconfigured(expired, "certificate not accepted: certificate has expired"))

    def test_an_untrusted_issuer(self):
        stranger = Issuer(self.certificates_dir, "stranger")
        context = server_context(stranger.issue("s", "IP:127.0.0.1"))
        self.recovers(*self.check_misconfigured(context, "certificate not accepted: .*issuer"))

    def test_the_systems_issuers_do_not_know_ours(self):
        receiver = self.receiver(tls=self.good_tls())
        agent = self.forward(receiver)
        agent.send_plain(lines_of(1))
        agent.wait_status(lambda s: s["sinks"]["fwd"]["state"] == "misconfigured", "misconfigured")
        receiver.tls = None
        agent.kill()
        agent.stopped = True

    def test_a_client_certificate_that_is_missing_and_one_that_is_given(self):
        context = server_context(self.good_cert, client_ca=self.issuer.ca)
        self.recovers(*self.check_misconfigured(context, "certificate required"))
        older = server_context(self.good_cert, client_ca=self.issuer.ca)
        older.maximum_version = ssl.TLSVersion.TLSv1_2
        self.recovers(*self.check_misconfigured(older, "handshake failure"))
        cert, key = self.issuer.issue("client", "DNS:client")
        receiver = self.receiver(tls=server_context(self.good_cert, client_ca=self.issuer.ca))
        self.check_good(receiver, self.tls(", cert: %s, key: %s" % (cert, key)))
        stranger = Issuer(self.certificates_dir, "stranger2")
        cert, key = stranger.issue("client2", "DNS:client")
        context = server_context(self.good_cert, client_ca=self.issuer.ca)
        self.recovers(*self.check_misconfigured(context, "unknown ca|certificate", self.tls(", cert: %s, key: %s" % (cert, key))))

    def test_a_certificate_file_that_is_not_there_is_down_and_comes_back(self):
        ca = self.path("late-ca.pem")
        receiver = self.receiver(tls=self.good_tls())
        agent = self.forward(receiver, "tls: {ca: %s}" % ca)
        status = agent.wait_status(lambda s: s["sinks"]["fwd"]["state"] == "down", "down")
        self.assertIn("cannot use the issuers in " + ca, status["sinks"]["fwd"]["last_error"])
        shutil.copy(self.issuer.ca, ca)
        lines = lines_of(3)
        self.send_and_check(agent, receiver, lines)
        self.assertEqual(receiver.records(), lines)

    def test_stalls_and_hangs_up_during_the_handshake(self):
        receiver = self.receiver(tls=self.good_tls(), at_connect=[lambda peer: peer.until_closed(), lambda peer: None])
        agent = self.check_good(receiver, self.tls() + ", connect_timeout: 200ms")
        self.assertRegex(agent.sink("fwd")["last_error"], "TLS handshake")

    def test_stalls_after_the_handshake(self):
        receiver = self.receiver(tls=self.good_tls(), script=[stall(), stall(b"HTTP/1.1 200 OK\r\n")])
        self.check_good(receiver, self.tls() + ", timeout: 1s")

    def test_plain_text_on_the_other_side(self):
        def plain(peer):
            peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        receiver = self.receiver(tls=self.good_tls(), at_connect=[plain])
        agent = self.check_good(receiver, self.tls())
        self.assertIn("TLS handshake: ", agent.sink("fwd")["last_error"])


class Proxy:
    """Forwards absolute-form requests and CONNECT tunnels to a receiver, whatever host they name."""

    def __init__(self, test, receiver, authorization=None):
        self.receiver, self.authorization = receiver, authorization
        self.heads, self.refuse_with = [], None
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()
        test.addCleanup(self.listener.close)
        test.addCleanup(lambda: self.listener.shutdown(socket.SHUT_RDWR))

    def url(self, user=""):
        return "http://%s127.0.0.1:%d" % (user, self.port)

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        data = b""
        while b"\r\n\r\n" not in data:
            got = sock.recv(65536)
            if not got:
                return sock.close()
            data += got
        head = data.split(b"\r\n\r\n")[0].decode()
        self.heads.append(head)
        wrong = self.authorization and "Proxy-Authorization: " + self.authorization not in head
        if wrong or self.refuse_with:
            sock.sendall(b"HTTP/1.1 %s\r\nContent-Length: 0\r\n\r\n" % (b"407 Proxy Authentication Required" if wrong else self.refuse_with))
            return sock.close()
        behind = socket.create_connection(("127.0.0.1", self.receiver.port))
        if head.startswith("CONNECT "):
            sock.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            behind.sendall(data)
        back = threading.Thread(target=self._copy, args=(behind, sock), daemon=True)
        back.start()
        self._copy(sock, behind)
        back.join()
        sock.close()
        behind.close()

    @staticmethod
    def _copy(source, target):
        try:
            while True:
                got = source.recv(65536)
                if not got:
                    break
                target.sendall(got)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass


class Proxies(TlsTest):
    USER = "me:p%40ss@"
    BASIC = "Basic bWU6cEBzcw=="

    def test_http_in_absolute_form(self):
        receiver = self.receiver()
        proxy = Proxy(self, receiver, self.BASIC)
        self.check_good(receiver, "", url="http://far.example:81/in?x=1", env={"http_proxy": proxy.url(self.USER)})
        self.assertTrue(proxy.heads[0].startswith("POST http://far.example:81/in?x=1 HTTP/1.1\r\nHost: far.example:81\r\n"), proxy.heads[0])

    def test_https_through_a_tunnel(self):
        receiver = self.receiver(tls=server_context(self.issuer.issue("far", "DNS:far.example")))
        for variable in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
            with self.subTest(variable):
                receiver.taken.clear()
                proxy = Proxy(self, receiver, self.BASIC)
                self.check_good(receiver, self.tls(), url="https://far.example/in", env={variable: proxy.url(self.USER)})
                self.assertTrue(proxy.heads[0].startswith("CONNECT far.example:443 HTTP/1.1\r\nHost: far.example:443\r\n"), proxy.heads[0])
                self.assertNotIn("proxy-authorization", receiver.requests[-1].headers)

    def test_407_and_a_proxy_that_says_no_and_one_that_is_busy(self):
        receiver = self.receiver(tls=self.good_tls())
        for options, url, plain in ((self.tls(), None, False), ("", "http://far.example/in", True)):
            with self.subTest(plain):
                other = self.receiver() if plain else receiver
                other.taken.clear()
                proxy = Proxy(self, other, self.BASIC)
                agent = self.forward(other, options, url=url, env={"all_proxy": proxy.url()})
                agent.send_plain(lines_of(3))
                status = agent.wait_status(lambda s: s["sinks"]["fwd"]["state"] == "misconfigured", "misconfigured")
                self.assertRegex(status["sinks"]["fwd"]["last_error"], "407 Proxy Authentication Required.*the proxy wants a user")
                proxy.authorization, proxy.refuse_with = None, b"502 Bad Gateway"
                agent.wait_status(lambda s: s["sinks"]["fwd"]["state"] == "retrying", "retrying")
                proxy.refuse_with = b"403 Forbidden"
                agent.wait_status(lambda s: s["sinks"]["fwd"]["state"] == "misconfigured", "misconfigured again")
                if not plain:  # 400 to CONNECT is not about the records
                    proxy.refuse_with = b"400 Bad Request"
                    agent.wait_status(lambda s: "400" in s["sinks"]["fwd"]["last_error"], "400")
                    self.assertEqual(agent.sink("fwd")["state"], "misconfigured")
                proxy.refuse_with = None
                self.wait_all(agent, 3)
                self.assertEqual(other.records(), lines_of(3))

    def test_no_proxy(self):
        receiver = self.receiver()
        nobody = Proxy(self, receiver)
        for value in ("127.0.0.1", "127.0.0.0/8", "*", "a.example, 127.0.0.1:%d" % receiver.port):
            with self.subTest(value):
                self.check_good(receiver, "", env={"http_proxy": nobody.url(), "no_proxy": value})
                receiver.taken.clear()
        self.assertEqual(nobody.heads, [])

    def test_HTTP_PROXY_in_capitals_is_not_taken(self):
        receiver = self.receiver()
        nobody = Proxy(self, receiver)
        self.check_good(receiver, "", env={"HTTP_PROXY": nobody.url()})
        self.assertEqual(nobody.heads, [])

    def test_a_proxy_of_no_use(self):
        agent = self.forward(None, url="http://far.example/in", env={"http_proxy": "socks5://u:CANARY@x"})
        status = agent.wait_status(lambda s: s["sinks"]["fwd"]["state"] == "down", "down")
        self.assertIn("$http_proxy is of no use: only http:// proxies", status["sinks"]["fwd"]["last_error"])
        self.assertNotIn("CANARY", str(status) + agent.stderr())

    def test_a_proxy_that_stalls(self):
        receiver = self.receiver(tls=self.good_tls())
        silent = self.receiver(at_connect=[lambda peer: peer.until_closed()] * 100)
        agent = self.forward(receiver, self.tls() + ", connect_timeout: 100ms", env={"https_proxy": "http://127.0.0.1:%d" % silent.port})
        agent.send_plain(lines_of(1))
        status = agent.wait_status(lambda s: s["sinks"]["fwd"]["last_error"], "an error")
        self.assertIn("asking the proxy 127.0.0.1:%d took longer than connect_timeout" % silent.port, status["sinks"]["fwd"]["last_error"])
        agent.stop(exit_code=1)


if __name__ == "__main__":
    unittest.main(verbosity=2)
