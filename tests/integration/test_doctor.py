"""`weir doctor`: every kind of trouble that can be made in a temporary directory is found, with a remedy, and nothing else is."""
import json
import os
import shutil
import signal
import socket
import subprocess
import unittest

import certificates
import harness
import http_receiver

NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all", "--no-new-privs")
AS_ROOT = unittest.skipUnless(os.geteuid() == 0 and shutil.which("setpriv"), "needs root and setpriv")


class DoctorTest(harness.AgentTest):
    def doctor(self, *args, wrapper=(), config="weir.yaml", output="json"):
        """(exit code, findings by check, stderr)"""
        done = subprocess.run([*wrapper, harness.BINARY, "doctor", "-o", output, *(["--config", self.path(config)] if config else []), *args],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, env=self.env(), cwd=self.dir,
                              timeout=harness.DEADLINE_S, check=False)
        out, err = done.stdout.decode(), done.stderr.decode()
        for sign in harness.FAULT_SIGNS:
            self.assertNotIn(sign, err)
        if output == "text":
            return done.returncode, out, err
        findings = {}
        for f in json.loads(out):
            self.assertEqual(set(f), {"check", "result", "message", "remedy"})
            self.assertEqual(f["remedy"] is None, f["result"] == "ok", f)
            findings.setdefault(f["check"], f)
        fails = sum(f["result"] == "fail" for f in json.loads(out))
        self.assertIn("%d failure" % fails, err)
        self.assertEqual(done.returncode, 78 if findings["config"]["result"] == "fail" else 1 if fails else 0)
        return done.returncode, findings, err

    def finds(self, check, result, words, *args, **options):
        _, findings, _ = self.doctor(*args, **options)
        self.assertIn(check, findings)
        self.assertEqual(findings[check]["result"], result, findings[check])
        self.assertIn(words, findings[check]["message"])
        return findings

    def finds_only(self, check, result, words, **options):
        """This and no other failure."""
        findings = self.finds(check, result, words, **options)
        self.assertEqual([f for f in findings.values() if f["result"] == "fail" and f["check"] != check], [])


class WithoutAgent(DoctorTest):
    def test_a_good_place_for_an_agent_passes(self):
        self.write_config(harness.ALL_TO_FILE)
        code, findings, _ = self.doctor()
        self.assertEqual(code, 0)
        self.assertEqual(findings["agent"]["result"], "warn")
        for check in ("config", "listen.local", "listen.net", "control", "data_dir", "data_dir.space", "sinks.out", "limits.files", "kernel"):
            self.assertEqual(findings[check]["result"], "ok", findings[check])
        self.assertEqual(sorted(os.listdir(self.dir)), ["weir.yaml"], "it changes nothing")

    def test_mistakes_in_the_configuration_are_those_of_check(self):
        self.write_config("sinks: {out: {type: jsonl, pth: x}}\nstreams: {log: {sinks: [nowhere]}}\n")
        check = self.weir("check", self.path("weir.yaml"))
        code, text, err = self.doctor(output="text")
        self.assertEqual(code, 78)
        for line in check.stdout.splitlines():
            self.assertIn("fail  config", text)
            self.assertIn(line, text)
        self.assertIn("%d failures" % len(check.stdout.splitlines()), err)
        self.assertIn("kernel", text)

    def test_a_configuration_that_anybody_may_write_fails(self):
        os.chmod(self.write_config(harness.ALL_TO_FILE), 0o666)
        self.finds("config", "fail", "chmod o-w")

    def test_a_secret_written_out_is_a_warning(self):
        self.write_config("streams: {log: {sinks: [h]}}\nsinks: {h: {type: http, url: 'http://127.0.0.1:9/', auth: {bearer: open-sesame}}}\n")
        _, text, _ = self.doctor(output="text")
        self.assertRegex(text, r"warn  config .*auth\.bearer")
        self.assertNotIn("sesame", text)

    def test_what_stands_where_a_socket_should(self):
        self.write_config(harness.ALL_TO_FILE)
        self.write("in.sock", "no socket")
        self.finds_only("listen.local", "fail", "is not a socket")
        os.unlink(self.path("in.sock"))
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(self.path("in.sock"))
        self.finds_only("listen.local", "warn", "is left over")

    def test_directories_of_sockets(self):
        self.write_config('listen: {local: {type: unix, path: "@/s/in.sock"}}\n' + harness.ALL_TO_FILE)
        os.mkdir(self.path("s"))
        for mode, result, words in ((0o777, "fail", "anybody may put another socket"), (0o1777, "warn", "anybody may be there first"),
                                    (0o755, "ok", "will be made")):
            os.chmod(self.path("s"), mode)
            self.finds_only("listen.local", result, words)
        os.rename(self.path("s"), self.path("real"))
        os.symlink("real", self.path("s"))
        self.finds_only("listen.local", "fail", "is a symbolic link")

    def test_a_port_that_is_taken(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            self.write_config("listen: {net: {type: tcp, bind: '127.0.0.1:%d'}}\nmetrics: {bind: '127.0.0.1:%d'}\n" % (port, port))
            findings = self.finds("listen.net", "fail", str(port))
            self.assertEqual(findings["metrics"]["result"], "fail")

    def test_the_data_directory(self):
        self.write_config(harness.ALL_TO_FILE)
        os.mkdir(self.path("data"), 0o700)
        self.finds_only("data_dir", "ok", self.path("data"))
        os.chmod(self.path("data"), 0o755)
        self.finds_only("data_dir", "warn", "0755")
        os.rename(self.path("data"), self.path("real"))
        os.symlink("real", self.path("data"))
        self.finds_only("data_dir", "fail", "is a symbolic link")
        os.unlink(self.path("data"))
        self.write("data", "")
        self.finds("data_dir", "fail", "is not a directory")

    def test_room_for_the_journal(self):
        self.write_config("journal: {type: disk, max_bytes: 1GiB, path: '@/j'}\n" + harness.ALL_TO_FILE)
        self.finds("journal", "ok", self.path("j"))
        if shutil.disk_usage(self.dir).free < 1 << 40:  # max_bytes is at most that
            self.write_config("journal: {type: disk, max_bytes: 1024GiB}\n" + harness.ALL_TO_FILE)
            self.finds_only("journal.space", "warn", "1.0 TiB may be needed")

    def test_room_for_a_file_and_the_rotated_ones_beside_it(self):
        for options, room in (("rotate: {max_bytes: 1MiB, keep: 4}", "at most 5.0 MiB more"), ("rotate: {max_bytes: 1MiB, keep: 4, keep_bytes: 2MiB}", "at most 3.0 MiB more"),
                              ("rotate: {max_bytes: 1MiB}", "at most 1.0 MiB more"), ("mode: 0640", "free at")):
            with self.subTest(options=options):
                self.write_config('sinks: {out: {type: file, path: "@/out.jsonl", %s}}\nstreams: {log: {sinks: [out]}}\n' % options)
                self.finds("sinks.out", "ok", room)
        self.write("out.jsonl", "x" * 1000)
        self.write("out.jsonl.20260101T000000Z.1", "x" * (2 << 20))
        self.write_config('sinks: {out: {type: file, path: "@/out.jsonl", rotate: {max_bytes: 1MiB, keep: 4}}}\nstreams: {log: {sinks: [out]}}\n')
        self.finds("sinks.out", "ok", "at most 3.0 MiB more")

    def test_outputs(self):
        self.write_config(harness.ALL_TO_FILE)
        path = self.path("out.jsonl")
        for make, words in ((lambda: os.symlink("weir.yaml", path), "is a symbolic link"), (lambda: os.mkfifo(path), "is not a regular file"),
                            (lambda: os.link(self.path("weir.yaml"), path), "more than one hard link")):
            make()
            self.finds_only("sinks.out", "fail", words)
            os.unlink(path)
        self.write("file", "")
        self.write_config(harness.ALL_TO_FILE.replace("@/out.jsonl", "@/file/out.jsonl"))
        self.finds_only("sinks.out", "fail", "is not a directory")
        self.write_config(harness.ALL_TO_FILE.replace("@/out.jsonl", "@/new/{service}/{{x}}.jsonl"))
        self.finds_only("sinks.out", "ok", "free at " + self.dir)

    def test_limits(self):
        self.write_config(harness.ALL_TO_FILE)
        for limit, result in (("40", "fail"), ("200", "warn"), ("4000", "ok")):
            self.finds("limits.files", result, "open files: %s;" % limit, wrapper=("prlimit", "--nofile=" + limit))
        self.finds("limits.core", "warn", "core dumps: 1000", wrapper=("prlimit", "--core=1000"))
        self.finds("limits.core", "ok", "no core", wrapper=("prlimit", "--core=0"))
        self.finds("limits.file_size", "warn", "100000 bytes", wrapper=("prlimit", "--fsize=100000"))

    def test_certificates(self):
        issuer = certificates.Issuer(self.dir)
        for days, expired, result, words in ((30, False, "ok", "days"), (3, False, "warn", "expires in "), (1, True, "fail", "has expired")):
            cert, key = issuer.issue("server", days=days, expired=expired)
            os.chmod(key, 0o600)
            self.write_config("listen: {net: {type: tcp, bind: '127.0.0.1:0', tls: {cert: '%s', key: '%s', ca: '%s'}}}\n" % (cert, key, issuer.ca))
            self.finds_only("listen.net.tls", result, words)
        cert, key = issuer.issue("server")
        os.chmod(key, 0o644)
        self.write_config("listen: {net: {type: tcp, bind: '127.0.0.1:0', tls: {cert: '%s', key: '%s', ca: '%s'}}}\n" % (cert, key, issuer.ca))
        self.finds_only("listen.net.tls.key", "warn", "others may use the private key")
        self.write("server.pem", "nothing")
        self.finds_only("listen.net.tls", "fail", "holds no certificate")

    def test_receivers(self):
        def sink(url, more=""):
            self.write_config("streams: {log: {sinks: [h]}}\nsinks: {h: {type: http, url: '%s', connect_timeout: 300ms%s}}\n" % (url, more))
        receiver = http_receiver.Receiver(self)
        sink(receiver.url())
        self.finds_only("sinks.h", "ok", "can be reached")
        sink("http://127.0.0.1:9/")
        self.finds_only("sinks.h", "warn", "Connection refused")
        with socket.create_server(("127.0.0.1", 0)) as silent:
            sink("https://127.0.0.1:%d/" % silent.getsockname()[1])
            self.finds_only("sinks.h", "warn", "127.0.0.1")
        issuer, other = certificates.Issuer(self.dir), certificates.Issuer(self.dir, "other")
        tls = http_receiver.Receiver(self, tls=http_receiver.server_context(issuer.issue("server")))
        sink(tls.url(), ", tls: {ca: '%s'}" % issuer.ca)
        self.finds_only("sinks.h", "ok", "can be reached")
        sink(tls.url(), ", tls: {ca: '%s'}" % other.ca)
        self.finds_only("sinks.h", "fail", "certificate")
        sink(tls.url(), ", tls: {ca: '%s'}" % self.path("gone.pem"))
        self.finds_only("sinks.h", "fail", "gone.pem")

    def test_a_terminal_gets_colour_and_nothing_raw(self):
        self.write_config(harness.ALL_TO_FILE, name="\x1b[2Jevil.yaml")
        screen = harness.Pty()
        done = subprocess.run([harness.BINARY, "doctor", "--config", self.path("\x1b[2Jevil.yaml")], stdout=screen.slave, stderr=screen.slave,
                              env=self.env(), timeout=harness.DEADLINE_S, check=False)
        screen.close()
        self.assertEqual(done.returncode, 0)
        self.assertIn("\x1b[32mok", screen.text())
        self.assertNotIn("\x1b[2J", screen.text())
        self.assertEqual(harness.screen_faults(screen.text()), [])
        self.assertIn("evil.yaml", screen.text())

    @AS_ROOT
    def test_another_user_sees_what_it_may_not_do(self):
        os.chmod(self.dir, 0o755)
        os.chmod(self.write_config(harness.ALL_TO_FILE), 0o644)
        os.mkdir(self.path("data"), 0o700)
        _, findings, _ = self.doctor(wrapper=NOBODY)
        self.assertEqual({c for c, f in findings.items() if f["result"] == "fail"}, {"data_dir", "sinks.out"})
        self.assertIn("belongs to root", findings["data_dir"]["message"])
        self.assertIn("may not write to " + self.dir, findings["sinks.out"]["message"])


class WithAgent(DoctorTest):
    def test_an_agent_in_good_health_passes(self):
        agent = self.start("journal: {type: disk, max_bytes: 64MiB}\n" + harness.ALL_TO_FILE)
        agent.send_plain([harness.log("x")] * 5)
        agent.wait_delivered("out", 5)
        code, findings, _ = self.doctor()
        self.assertEqual(code, 0)
        self.assertIn("pid %d" % agent.pid, findings["agent"]["message"])
        self.assertIn("ok, 0 records wait", findings["agent.sinks.out"]["message"])
        self.assertIn("answers, 0660", findings["listen.local"]["message"])
        self.assertIn("answers, 0600", findings["control"]["message"])
        self.assertIn("disk, ok", findings["agent.journal"]["message"])
        self.assertIn("MiB more is needed", findings["journal.space"]["message"])
        for check in ("agent", "agent.config", "listen.net", "data_dir"):
            self.assertEqual(findings[check]["result"], "ok", findings[check])

    def test_without_a_file_the_agents_own_are_looked_at(self):
        self.start(harness.ALL_TO_FILE)
        findings = self.finds("config", "ok", self.path("weir.yaml"), "--control", self.path("control.sock"), config=None)
        self.assertIn("sinks.out", findings)
        self.assertNotIn("agent.config", [c for c, f in findings.items() if f["result"] != "ok"])

    def test_another_configuration_than_the_one_that_runs(self):
        agent = self.start(harness.ALL_TO_FILE)
        self.write_config(harness.ALL_TO_FILE.replace("out.jsonl", "other.jsonl"))
        self.finds_only("agent.config", "warn", "runs another configuration")
        self.write_config("oops: 1\n")
        self.assertEqual(agent.http("POST", "/v1/reload", {})[0], 200)
        self.write_config(harness.ALL_TO_FILE)
        self.finds_only("agent.config", "warn", "refused")
        self.write_config('listen: {local: {type: unix, path: "@/elsewhere.sock"}}\n' + harness.ALL_TO_FILE)
        self.finds_only("listen.local", "fail", "does not listen at")

    def test_sockets_that_are_not_what_they_were(self):
        self.start(harness.ALL_TO_FILE)
        os.chmod(self.path("in.sock"), 0o666)
        self.finds_only("listen.local", "warn", "the configuration says 0660")
        os.chmod(self.path("control.sock"), 0o660)
        self.finds_only("control", "warn", "the configuration says 0600")
        os.unlink(self.path("in.sock"))
        self.finds_only("listen.local", "fail", "it is not there")

    def test_an_agent_that_was_killed_or_hangs(self):
        agent = self.start(harness.ALL_TO_FILE)
        agent.signal(signal.SIGSTOP)
        self.finds_only("agent", "fail", "does not answer")
        agent.kill()
        agent.stopped = True
        for check in ("agent", "listen.local", "control"):
            self.finds_only(check, "warn", "Connection refused")

    def test_sinks_and_journal_that_do_not_work(self):
        os.symlink("elsewhere", self.path("out.jsonl"))
        receiver = http_receiver.Receiver(self, always=http_receiver.answer("403 Forbidden"))
        agent = self.start("streams: {log: {sinks: [out, h]}}\nsinks:\n  out: {type: jsonl, path: '@/out.jsonl', when_full: drop_oldest}\n"
                           "  h: {type: http, url: '%s'}\n" % receiver.url())
        agent.send_plain([harness.log("x")])
        agent.wait_status(lambda s: s["sinks"]["out"]["state"] == "down" and s["sinks"]["h"]["state"] == "misconfigured", "both sinks in trouble")
        _, findings, _ = self.doctor()
        self.assertIn("down: ", findings["agent.sinks.out"]["message"])
        self.assertIn("misconfigured: ", findings["agent.sinks.h"]["message"])
        self.assertEqual([findings["agent.sinks." + n]["result"] for n in ("out", "h")], ["fail", "fail"])
        agent.signal(signal.SIGTERM)
        agent.wait_exit()

    def test_a_program_file_that_was_replaced(self):
        os.mkdir(self.path("bin"))
        shutil.copy(harness.BINARY, self.path("bin/weir"))
        argv, harness.BINARY = harness.BINARY, self.path("bin/weir")
        try:
            self.start(harness.ALL_TO_FILE)
        finally:
            harness.BINARY = argv
        os.unlink(self.path("bin/weir"))
        self.finds_only("agent", "warn", "program file was replaced")

    @AS_ROOT
    def test_an_agent_without_privileges_is_in_a_sandbox(self):
        os.chown(self.dir, 65534, 65534)
        os.chmod(self.write_config(harness.ALL_TO_FILE), 0o644)
        self.spawn(["--config", self.path("weir.yaml")], wrapper=NOBODY).wait_ready()
        findings = self.finds("sandbox", "ok", "no_new_privs on, seccomp off, capabilities none")
        self.assertIn("(uid 65534)", findings["sandbox"]["message"])
        self.assertEqual([f for f in findings.values() if f["result"] == "fail"], [])
        os.mkdir(self.path("of_root"), 0o755)
        self.write_config(harness.ALL_TO_FILE.replace("@/out.jsonl", "@/of_root/out.jsonl"))
        self.finds("sinks.out", "fail", "(uid 65534) may not write to")  # root could: the agent's rights count

    @AS_ROOT
    def test_who_may_not_use_the_control_socket_is_told(self):
        self.start(harness.ALL_TO_FILE)
        os.chmod(self.dir, 0o755)
        os.chmod(self.path("weir.yaml"), 0o644)
        findings = self.finds("agent", "fail", "Permission denied", wrapper=NOBODY)
        self.assertIn("run this as root", findings["agent"]["remedy"])


if __name__ == "__main__":
    harness.main()
