"""The sandbox that the agent puts itself in (security.md, "process"): what it may still do, what not, and what a reload is told.
Where the kernel has no Landlock the tests of its part are skipped."""
import ctypes
import json
import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import unittest

import certificates
import harness
import http_receiver
from harness import log, wait_for

CREATE_RULESET = 444
ABI = max(0, ctypes.CDLL(None).syscall(CREATE_RULESET, None, 0, 1))
needs_landlock = unittest.skipUnless(ABI, "this kernel has no Landlock")
ONE = """
sandbox: {}
streams: {log: {sinks: [out]}}
sinks: {out: {type: jsonl, path: "@/out/a.jsonl"}}
"""


class Sandbox(harness.AgentTest):
    def setUp(self):
        self.outside = tempfile.mkdtemp(prefix="weir-outside-")
        self.addCleanup(shutil.rmtree, self.outside)  # after the agent has been stopped
        super().setUp()

    def start_in(self, text=ONE, **more):
        """The configuration stands in a directory of its own: that of the test is not in the sandbox for its sake."""
        return self.start(text, name="etc/weir.yaml", **more)

    def reload(self, text):
        self.write_config(text, "etc/weir.yaml")
        done = self.weir("reload", "-o", "json")
        return done.returncode, json.loads(done.stdout)

    def refused(self, text, line, column, key, said):
        """A reload that is refused with exactly this mistake; the old generation runs on."""
        code, answer = self.reload(text)
        self.assertEqual((code, answer["result"]), (78, "refused"), answer)
        found = [e for e in answer["errors"] if "outside the sandbox" in e["message"]]
        self.assertEqual([(os.path.basename(e["file"]), e["line"], e["col"], e["path"]) for e in found], [("weir.yaml", line, column, key)])
        self.assertIn(said, found[0]["message"])
        self.assertIn("restart", found[0]["message"])

    def process(self, agent):
        with open("/proc/%d/status" % agent.pid) as f:
            return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)

    def test_without_the_section_there_is_none(self):
        agent = self.start_in(ONE.replace("sandbox: {}", ""))
        self.assertNotIn("sandbox", agent.status())
        self.assertEqual(self.process(agent)["NoNewPrivs"], "0")

    def test_status_shows_it(self):
        agent = self.start_in(ONE.replace("{}", '{write: [%s]}' % self.outside))
        sandbox = agent.status()["sandbox"]
        self.assertEqual((sandbox["landlock"], sandbox["no_new_privs"]), (ABI, True))
        for path in ("out", "data"):
            self.assertTrue(any(os.path.realpath(self.path(path)).startswith(w) for w in sandbox["write"]), sandbox)
        self.assertIn(os.path.realpath(self.outside), sandbox["write"])
        self.assertEqual([p for p in sandbox["read"] + sandbox["write"] if p == "/"], [])
        self.assertEqual(self.process(agent)["NoNewPrivs"], "1")

    def test_nobody_of_its_user_can_look_into_it(self):
        if os.getuid() != 0:
            self.skipTest("needs root, to become somebody else")
        os.chmod(self.dir, 0o777)
        somebody = lambda: (os.setgid(65534), os.setuid(65534))  # noqa: E731
        agent = self.start_in(ONE.replace("@/out", "@/data"), preexec=somebody)
        self.assertEqual(self.process(agent)["Uid"].split()[0], "65534")
        look = ["cat", "/proc/%d/environ" % agent.pid]
        self.assertNotEqual(subprocess.run(look, preexec_fn=somebody, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode, 0)
        self.assertEqual(os.stat("/proc/%d/environ" % agent.pid).st_uid, 0, "not dumpable")
        agent.send_plain([log("it works")])
        agent.wait_delivered("out", 1)

    @needs_landlock
    def test_a_reload_that_names_an_output_outside_is_refused_at_its_place(self):
        agent = self.start_in()
        self.refused(ONE.replace("@/out/a.jsonl", self.outside + "/x/b.jsonl"), 7, 34, "sinks.out.path", self.outside + "/x")
        self.assertEqual(os.listdir(self.outside), [])
        self.assertEqual(agent.status()["generation"], 1)
        agent.send_plain([log("still to the old place")])
        agent.wait_delivered("out", 1)

    @needs_landlock
    def test_a_link_that_leads_outside_is_outside(self):
        self.start_in()
        os.symlink(self.outside, self.path("out/link"))
        self.refused(ONE.replace("@/out/a.jsonl", "@/out/link/b.jsonl"), 7, 34, "sinks.out.path", "out/link")
        self.assertEqual(os.listdir(self.outside), [])

    @needs_landlock
    def test_a_link_made_later_leads_nowhere(self):
        """The kernel refuses what no check has seen: a directory that becomes a link while the agent runs."""
        agent = self.start_in(ONE.replace("a.jsonl", "sub/{logger}/a.jsonl"))
        agent.send_plain([log("one", logger="x")])
        agent.wait_delivered("out", 1)
        shutil.rmtree(self.path("out"))
        os.symlink(self.outside, self.path("out"))
        agent.send_plain([log("two", logger="y")])
        agent.wait_status(lambda s: s["sinks"]["out"]["state"] == "down" or s["sinks"]["out"]["delivered"] > 1, "the sink has tried")
        self.assertEqual(os.listdir(self.outside), [])
        os.unlink(self.path("out"))
        agent.kill()
        agent.stopped = True

    @needs_landlock
    def test_what_is_read_has_to_be_inside_too(self):
        with open(self.outside + "/word", "w") as f:
            f.write("hello\n")
        self.start_in()
        text = ONE.replace("{log: {", "{log: {set: {word: '${file:%s/word}'}, " % self.outside)
        self.refused(text, 6, 29, "streams.log.set.word", self.outside + "/word")

    def test_a_credential_of_the_unit_is_read_again_at_a_reload(self):
        def credential(text):
            with open(self.outside + "/word", "w") as f:
                f.write(text)
        credential("one")
        text = ONE.replace("{log: {", "{log: {set: {word: '${cred:word}'}, ")
        agent = self.start_in(text, env={"CREDENTIALS_DIRECTORY": self.outside})
        agent.send_plain([log("a")])
        credential("two")
        self.assertEqual(self.reload(text)[1]["result"], "applied")
        agent.send_plain([log("b")])
        agent.wait_delivered("out", 2)
        self.assertEqual([r["word"] for r in agent.records("out/a.jsonl")], ["one", "two"])

    @needs_landlock
    def test_what_the_section_adds_can_be_named_later(self):
        agent = self.start_in(ONE.replace("{}", "{write: [%s]}" % self.outside))
        text = ONE.replace("{}", "{write: [%s]}" % self.outside).replace("@/out/a.jsonl", self.outside + "/x/b.jsonl")
        self.assertEqual(self.reload(text)[0], 0)
        agent.send_plain([log("there")])
        wait_for(lambda: os.path.exists(self.outside + "/x/b.jsonl"), "the file is made")

    @needs_landlock
    def test_the_directories_of_the_unit_can_be_named_later(self):
        self.start_in(env={"LOGS_DIRECTORY": "/nowhere:" + self.outside})
        self.assertEqual(self.reload(ONE.replace("@/out/a.jsonl", self.outside + "/b.jsonl"))[0], 0)
        wait_for(lambda: os.path.exists(self.outside + "/b.jsonl"), "the file is made")

    def test_a_change_of_the_section_needs_a_restart(self):
        self.start_in()
        code, answer = self.reload(ONE.replace("{}", "{write: [%s]}" % self.outside))
        self.assertEqual((code, answer["components"]["sandbox"]["result"]), (0, "needs a restart"))

    @needs_landlock
    def test_check_notes_what_the_running_one_cannot_reload(self):
        self.start_in()
        path = self.write_config(ONE.replace("@/out/a.jsonl", self.outside + "/b.jsonl"), "other.yaml")
        done = self.weir("check", path)
        self.assertEqual((done.returncode, done.stdout), (0, ""))
        self.assertRegex(done.stderr, r"note: \S*other.yaml:7:34: sinks.out.path: %s lies outside the sandbox" % self.outside)

    def test_a_directory_that_is_not_there_is_said(self):
        agent = self.start_in(ONE.replace("{}", '{write: ["@/nowhere"]}'))
        self.assertIn("nowhere is not there", agent.stderr())

    def test_a_kernel_without_landlock_is_said_once(self):
        agent = self.start_in(preexec=without_landlock)
        self.assertEqual(agent.stderr().count("no Landlock here"), 1, agent.stderr())
        sandbox = agent.status()["sandbox"]
        self.assertEqual((sandbox["landlock"], sandbox["no_new_privs"]), (0, True))
        self.assertEqual(self.reload(ONE.replace("@/out/a.jsonl", self.outside + "/b.jsonl"))[0], 0)
        agent.send_plain([log("anywhere")])
        agent.wait_delivered("out", 1)


class Within(harness.AgentTest):
    """All that an agent does, where each of its places has a directory of its own and nothing else is open."""
    CONFIG = """
sandbox: {}
listen:
  local: {type: unix, path: "@/run/in.sock"}
  secure: {type: tcp, bind: "127.0.0.1:0", tls: {cert: "@/certs/server.pem", key: "@/certs/server.key"}}
control: {path: "@/run/control.sock"}
data_dir: "@/state/weir"
journal: {type: disk, path: "@/journal"}
streams:
  log: {sinks: [rotated, fields]}
sinks:
  rotated: {type: jsonl, path: "@/out/deep/all.jsonl", rotate: {max_bytes: 1KiB, compress: zstd}}
  fields: {type: jsonl, path: "@/services/{service}/{level}.jsonl", rotate: {max_bytes: 1KiB, compress: gzip, keep: 2}}
"""

    def start_all(self, text=CONFIG):
        os.makedirs(self.path("certs"), exist_ok=True)
        if not os.path.exists(self.path("certs/server.pem")):
            self.issuer = certificates.Issuer(self.path("certs"))
            self.issuer.issue("server")
        return self.start(text, name="etc/weir.yaml", env={"WEIR_CONTROL": self.path("run/control.sock"), **http_receiver.NO_PROXIES})

    def names(self, place, end):
        return [name for _, _, files in os.walk(self.path(place)) for name in files if name.endswith(end)]

    def test_files_are_made_rotated_packed_and_quarantined(self):
        agent = self.start_all()
        if ABI:
            self.assertNotIn(os.path.realpath(self.dir), agent.status()["sandbox"]["write"])
        agent.send_plain([log("m" * 100, service="s%d" % (n % 3), n=n) for n in range(60)] + ["not json"])
        agent.wait_status(lambda s: all(sink["lag_records"] == 0 and sink["state"] == "ok" for sink in s["sinks"].values()), "all delivered")
        wait_for(lambda: len(self.names("out", ".zst")) > 3 and self.names("services", ".gz"), "rotated files are packed")
        wait_for(lambda: self.names("state", "rejected.jsonl"), "the quarantine")

    def test_a_damaged_journal_goes_to_the_quarantine_and_the_rest_goes_on(self):
        agent = self.start_all()
        agent.send_plain([log("m", n=n) for n in range(10)])
        agent.wait_delivered("rotated", 10)
        agent.stop()
        foreign = "%s-%s" % (self.names("journal", ".wseg")[0].split("-", 1)[0], "5" * 8 + "-5555-5555-5555-" + "5" * 12 + ".wseg")
        with open(self.path("journal/" + foreign), "wb") as f:
            f.write(b"\x55" * 8192)
        agent = self.start_all()
        agent.send_plain([log("m", n=11)])
        agent.wait_delivered("rotated", 1)
        kept = self.names("state/weir/quarantine/journal", ".wseg") if ABI != 1 else self.names("journal", ".damaged")
        self.assertEqual(len(kept), 1, agent.stderr())

    def test_certificates_and_the_configuration_are_read_again_when_they_are_replaced(self):
        agent = self.start_all()
        self.issuer.issue("next")
        for end in ("pem", "key"):
            os.replace(self.path("certs/next." + end), self.path("certs/server." + end))
        changed = self.CONFIG.replace("listen:", "log: {level: debug}\nlisten:").replace("all.jsonl", "other.jsonl")
        self.write_config(changed, "etc/weir.yaml")
        done = self.weir("reload", env={"WEIR_CONTROL": self.path("run/control.sock")})
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        context = ssl.create_default_context(cafile=self.issuer.ca)
        address = next(a for a in agent.addresses if a.startswith("tcp:"))
        with socket.create_connection(("127.0.0.1", int(address.rsplit(":", 1)[1]))) as plain:
            with context.wrap_socket(plain, server_hostname="localhost") as secure:
                self.assertEqual(dict(x[0] for x in secure.getpeercert()["subject"])["commonName"], "next")
                secure.sendall(harness.as_bytes([log("over TLS")]))
        wait_for(lambda: self.names("out", "other.jsonl"), "the new output")

    def test_names_are_looked_up_and_issuers_are_found(self):
        """`localhost` comes from /etc/hosts; the issuers of the system are read from /etc/ssl and do not know ours."""
        os.makedirs(self.path("certs"))
        self.issuer = certificates.Issuer(self.path("certs"))
        receiver = http_receiver.Receiver(self, tls=http_receiver.server_context(self.issuer.issue("server")))
        url = receiver.url(host="localhost")
        sinks = "  known: {type: http, url: '%s', tls: {ca: '%s'}}\n  system: {type: http, url: '%s'}\n" % (url, self.issuer.ca, url)
        agent = self.start_all(self.CONFIG.replace("[rotated, fields]", "[known, system]") + sinks)
        agent.send_plain([log("by name")])
        agent.wait_delivered("known", 1)
        status = agent.wait_status(lambda s: s["sinks"]["system"]["last_error"], "the other one has tried")
        self.assertIn("certificate not accepted", status["sinks"]["system"]["last_error"])


def without_landlock():
    """Between fork and exec: a seccomp filter that answers ENOSYS to that one call, as an older kernel does."""
    code = [(0x20, 0, 0, 0), (0x15, 0, 1, CREATE_RULESET), (0x06, 0, 0, 0x00050000 | 38), (0x06, 0, 0, 0x7FFF0000)]

    class Filter(ctypes.Structure):
        _fields_ = [("code", ctypes.c_uint16), ("jt", ctypes.c_uint8), ("jf", ctypes.c_uint8), ("k", ctypes.c_uint32)]

    class Program(ctypes.Structure):
        _fields_ = [("len", ctypes.c_uint16), ("filter", ctypes.POINTER(Filter))]
    filters = (Filter * len(code))(*[Filter(*x) for x in code])
    libc = ctypes.CDLL(None)
    libc.prctl(38, 1, 0, 0, 0)
    if libc.prctl(22, 2, ctypes.byref(Program(len(code), filters)), 0, 0) != 0:
        os._exit(99)


if __name__ == "__main__":
    harness.main()
