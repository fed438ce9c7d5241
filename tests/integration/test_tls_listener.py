"""TLS and client certificates on listeners; certificates that are replaced; shares of a user."""
import json
import os
import socket
import ssl
import unittest

import certificates
import harness
from harness import log, wait_for

CONFIG = harness.ALL_TO_FILE + """
listen:
  local: {type: unix, path: "@/in.sock"}
  net: {type: tcp, bind: "127.0.0.1:0", tls: {%s}}
"""


class TlsListener(harness.AgentTest):
    def setUp(self):
        super().setUp()
        self.issuer = certificates.Issuer(self.dir, "issuer")
        self.cert, self.key = self.issuer.issue("server")

    def start_tls(self, more=""):
        return self.start(CONFIG % ('cert: "%s", key: "%s"%s' % (self.cert, self.key, more)))

    def connect(self, agent, cert=None, issuer=None, version=None):
        context = ssl.create_default_context(cafile=(issuer or self.issuer).ca)
        if cert:
            context.load_cert_chain(*cert)
        if version:
            context.minimum_version = context.maximum_version = version
        port = int(next(a for a in agent.addresses if a.startswith("tcp:")).rsplit(":", 1)[1])
        raw = socket.create_connection(("127.0.0.1", port), timeout=harness.DEADLINE_S)
        try:
            return harness.Connection(context.wrap_socket(raw, server_hostname="localhost"))
        except Exception:
            raw.close()
            raise

    def assert_refused(self, agent, cert, **options):
        """TLS 1.3 tells a client only when it reads."""
        with self.assertRaises((ssl.SSLError, ConnectionError)):
            with self.connect(agent, cert, **options) as connection:
                connection.send([log("never")])
                while connection.sock.recv(10):
                    pass
                raise ConnectionError("closed without a word")

    def test_records_and_acknowledgements_pass_through_tls(self):
        agent = self.start_tls()
        lines = [log("m%d" % i, note="x" * (i % 3000)) for i in range(3000)]
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            with self.connect(agent, version=version) as connection:
                self.assertEqual(connection.hello(client_id="c%s" % version.name)["weir"], "welcome")
                connection.send(lines)
                connection.read_to_ack(len(lines))
        agent.wait_delivered("out", 2 * len(lines))
        self.assertEqual(agent.lines(), lines * 2)

    def test_who_speaks_no_tls_or_an_old_one_gets_nothing_in(self):
        agent = self.start_tls()
        with agent.connect("net") as plain:
            plain.send([log("plain")])
            try:
                said = plain.sock.recv(100)
            except ConnectionResetError:
                said = b""
            self.assertNotIn(b"weir", said)  # an alert, or a close
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
        port = int(next(a for a in agent.addresses if a.startswith("tcp:")).rsplit(":", 1)[1])
        with socket.create_connection(("127.0.0.1", port)) as raw, self.assertRaises((ssl.SSLError, ConnectionError)):
            context.wrap_socket(raw)
        wait_for(lambda: "connection refused: TLS" in agent.stderr(), "the refusal in the log")
        self.assertEqual(agent.source("net")["received"], 0)

    def test_client_certificates_and_allowed_names(self):
        friend = self.issuer.issue("friend", "URI:spiffe://orders,DNS:orders.example")
        stranger = self.issuer.issue("stranger", "DNS:other.example")
        foreign = certificates.Issuer(self.dir, "foreign").issue("foreigner", "DNS:orders.example")
        expired = self.issuer.issue("late", "DNS:orders.example", expired=True)
        agent = self.start_tls(', ca: "%s", allow_names: ["spiffe://orders"]' % self.issuer.ca)
        for cert in (None, stranger, foreign, expired):
            self.assert_refused(agent, cert)
        with self.assertRaises(ssl.SSLError):  # an alert, not just a close
            with self.connect(agent, stranger) as connection:
                connection.sock.recv(10)
        with self.connect(agent, friend) as connection:
            connection.hello(client_id="friend")
            connection.send([log("hello")])
            connection.read_to_ack(1)
        agent.wait_delivered("out", 1)
        self.assertEqual(agent.lines(), [log("hello")])

    def test_replaced_certificates_are_used_without_a_restart(self):
        agent = self.start_tls()
        with self.connect(agent) as before:
            before.hello(client_id="stays")
            other = certificates.Issuer(self.dir, "other")
            fresh = other.issue("fresh")
            os.replace(fresh[1], self.key)
            with self.connect(agent) as meanwhile:  # key and certificate do not fit: the former ones go on
                meanwhile.hello(client_id="meanwhile")
            wait_for(lambda: "the former ones go on" in agent.stderr(), "the complaint")
            os.replace(fresh[0], self.cert)
            with self.connect(agent, issuer=other) as after:
                after.hello(client_id="after")
            before.send([log("still here")])
            before.read_to_ack(1)
        self.assertEqual(agent.status()["generation"], 1)

    def test_an_orderly_end_is_said_in_tls(self):
        agent = self.start_tls()
        with self.connect(agent) as connection:
            connection.hello(client_id="c")
            connection.send([log("x"), '{"weir":"bye"}'])
            connection.read_to_ack(1)
            self.assertEqual(connection.sock.recv(10), b"")  # raises where the end is a cut

    def test_a_reload_that_cannot_load_its_certificates_changes_nothing(self):
        agent = self.start_tls()
        more = 'cert: "%s", key: "%s", ca: "%s"' % (self.cert, self.key, self.path("later.pem"))
        self.write_config(CONFIG.replace("out.jsonl", "other.jsonl") % more)
        done = self.weir("reload")
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertIn("later.pem", done.stdout + done.stderr)
        self.assertEqual(agent.status()["generation"], 1)
        agent.send_plain([log("x")])
        agent.wait_delivered("out", 1)
        self.assertEqual(agent.lines("other.jsonl"), [])
        os.link(self.issuer.ca, self.path("later.pem"))
        self.assertEqual(self.weir("reload").returncode, 0)
        self.assert_refused(agent, None)

    def test_a_reload_to_a_sink_without_its_certificates_changes_nothing(self):
        agent = self.start_tls()
        up = "sinks:\n  up: {type: http, url: 'https://127.0.0.1:9/', tls: {ca: '%s'}}\n" % self.path("no.pem")
        self.write_config(CONFIG.replace("sinks:\n", up) % ('cert: "%s", key: "%s"' % (self.cert, self.key)))
        done = self.weir("reload")
        self.assertEqual(done.returncode, 1)
        self.assertIn("no.pem: No such file", done.stdout + done.stderr)
        self.assertEqual(list(agent.status()["sinks"]), ["out"])

    def test_a_key_with_a_passphrase_is_an_error_and_no_question(self):
        locked = self.path("locked.key")
        certificates.run("pkey", "-in", self.key, "-aes256", "-passout", "pass:x", "-out", locked)
        code, said = self.start_fails(["--config", self.write_config(CONFIG % ('cert: "%s", key: "%s"' % (self.cert, locked)))])
        self.assertEqual(code, 1)
        self.assertIn(locked, said)
        self.assertNotIn("pass phrase", said.replace("passphrase", ""))

    def test_https_takes_posts(self):
        config = harness.ALL_TO_FILE + 'listen: {web: {type: http, bind: "127.0.0.1:0", tls: {cert: "%s", key: "%s"}}}' % (self.cert, self.key)
        agent = self.start(config)
        port = int(agent.addresses[0].rsplit(":", 1)[1])
        import http.client
        connection = http.client.HTTPSConnection("127.0.0.1", port, context=ssl.create_default_context(cafile=self.issuer.ca), timeout=harness.DEADLINE_S)
        lines = [log("m%d" % i) for i in range(5000)]
        connection.request("POST", "/", harness.as_bytes(lines))
        self.assertEqual(json.loads(connection.getresponse().read())["records"], 5000)
        connection.close()
        self.assertEqual(agent.lines(), lines)

    def test_a_listener_that_others_can_reach_needs_tls_and_client_certificates(self):
        def mistakes(tls, bind="0.0.0.0:0", more=""):
            config = 'listen: {net: {type: tcp, bind: "%s"%s%s}}\n' % (bind, tls, more)
            return self.check(config)
        with_tls = ', tls: {cert: "%s", key: "%s"}' % (self.cert, self.key)
        with_ca = ', tls: {cert: "%s", key: "%s", ca: "%s"}' % (self.cert, self.key, self.issuer.ca)
        self.assertIn("has no TLS", mistakes(""))
        self.assertIn("asks for no client certificates", mistakes(with_tls))
        self.assertEqual(mistakes(with_ca), "")
        self.assertEqual(mistakes(with_tls, more=", insecure: true"), "")
        self.assertEqual(mistakes(with_tls, "127.0.0.1:0"), "")
        self.assertIn("tls.key", mistakes(', tls: {cert: x}', "127.0.0.1:0"))

    def check(self, config):
        path = os.path.join(self.dir, "check.yaml")
        with open(path, "w", encoding="utf-8") as f:
            f.write(config)
        return self.weir("check", path).stdout


class UserShares(harness.AgentTest):
    LISTEN = harness.ALL_TO_FILE + "limits: {per_uid: {%s}}\n"

    def test_more_connections_than_allowed_are_refused_with_a_word(self):
        agent = self.start(self.LISTEN % "connections: 2")
        with agent.connect() as a, agent.connect() as b:
            a.hello(client_id="a")
            b.hello(client_id="b")
            with agent.connect() as c:
                self.assertEqual(c.read_line()["reason"], "too_many_connections")
                self.assertIsNone(c.read_line())
            with agent.connect("net") as net:  # nobody knows the user there
                self.assertEqual(net.hello(client_id="n")["weir"], "welcome")
        wait_for(lambda: agent.source()["connections"] == 0, "both closed")
        agent.send_plain([log("again")])
        agent.wait_delivered("out", 1)

    def test_unfinished_lines_beyond_the_memory_of_a_user_are_refused(self):
        agent = self.start(self.LISTEN % "memory: 512KiB")
        with agent.connect() as a, agent.connect() as b, agent.connect() as c:
            for connection in (a, b, c):
                connection.hello(client_id=str(id(connection)))
                connection.send(b'{"stream":"log","message":"' + b"x" * (200 << 10))
            # One of the three does not fit any more: its line is given up, the connection lives on.
            answers = []
            for connection in (a, b, c):
                connection.send(b'"}\n' + (log("after") + "\n").encode())
                answers.append(connection.read_until("ack", "reject")[-1].get("reason"))
            self.assertEqual(answers.count("too_long"), 1, answers)
        agent.wait_status(lambda s: s["sources"]["local"]["received"] == 6, "six records")
        self.assertEqual(agent.source()["rejected"], {"too_long": 1})

    def test_what_was_read_without_a_limit_is_not_owed_when_there_is_one(self):
        agent = self.start(harness.ALL_TO_FILE)
        agent.send_plain([log("m%d" % i, note="x" * 1000) for i in range(5000)])
        self.write_config(self.LISTEN % "bytes_per_s: 64KiB")
        self.assertEqual(self.weir("reload").returncode, 0)
        agent.send_plain([log("one more")])
        agent.wait_delivered("out", 5001)

    def test_bytes_per_second_slow_a_user_down_and_lose_nothing(self):
        agent = self.start(self.LISTEN % "bytes_per_s: 1MiB")
        lines = [log("m%d" % i, note="x" * 1000) for i in range(2500)]
        agent.send_plain(lines)  # more than two seconds' worth; ends when all of it is in the journal
        agent.wait_delivered("out", len(lines))
        self.assertEqual(agent.lines(), lines)


if __name__ == "__main__":
    unittest.main()
