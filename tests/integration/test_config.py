"""Configuration: every mistake at once and in its place, units, substitution, several files, and what `weir check` prints."""
import json
import os
import re
import subprocess
import unittest

import harness

MISTAKE = re.compile(r"^(?P<file>[^:]+):(?P<line>\d+):(?P<col>\d+): (?P<path>[^ ]*): (?P<text>.+)$")

BAD = """listen:
  local: {type: unix, path: "@/in.sock", mod: 0660}
journal: {type: memory, max_bytes: 64 parsecs}
streams:
  trace:
    signature: {mode: type_onyl}
    context_diff: {mode: whitelist, whitelist: run_id}
    sinks: [trace_fil]
  logg: {sinks: [console]}
  log:
    enabled: perhaps
    sinks: [console]
sinks:
  trace_file: {type: jsonl, path: "@/t.jsonl", wirte_mode: line}
  console: {type: stdot}
  nameless: {path: "@/x.jsonl"}
  pathless: {type: jsonl}
  unset: {type: jsonl, path: "${WEIR_TEST_SURELY_UNSET}/x.jsonl"}
  console: {type: stdout}
contrl: {path: "@/control.sock"}
"""
# line -> (path, words of the text)
MISTAKES = {
    2: ("listen.local.mod", ["did you mean", "mode"]),
    3: ("journal.max_bytes", ["parsecs"]),
    6: ("streams.trace.signature.mode", ["did you mean", "type_only"]),
    7: ("streams.trace.context_diff.whitelist", []),
    8: ("streams.trace.sinks", ["trace_fil", "did you mean", "trace_file"]),
    9: ("streams.logg", ["did you mean", "log"]),
    11: ("streams.log.enabled", []),
    14: ("sinks.trace_file.wirte_mode", ["did you mean", "write_mode"]),
    15: ("sinks.console.type", ["did you mean", "stdout"]),
    16: ("sinks.nameless", ["type"]),
    17: ("sinks.pathless", ["path"]),
    18: ("sinks.unset.path", ["WEIR_TEST_SURELY_UNSET"]),
    19: ("sinks.console", []),
    20: ("contrl", ["did you mean", "control"]),
}


class Check(harness.AgentTest):
    def check(self, text, *args, name="weir.yaml", **kwargs):
        return self.weir("check", self.write(name, text), *args, **kwargs)

    def effective(self, text, **env):
        """What --print shows, as text; the check must pass."""
        done = self.check(text, "--print", env=env)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def assert_refused(self, text, *words, env=None):
        done = self.check(text, env=env)
        self.assertEqual(done.returncode, 78, (text, done.stdout, done.stderr))
        for word in words:
            self.assertIn(word, done.stdout)
        return done.stdout.splitlines()

    def assert_every_mistake(self, lines):
        found = {}
        for line in lines:
            match = MISTAKE.match(line)
            self.assertTrue(match, "not FILE:LINE:COL: PATH: TEXT: " + line)
            found.setdefault(int(match["line"]), []).append(match)
        for number, (path, words) in MISTAKES.items():
            with self.subTest(line=BAD.splitlines()[number - 1].strip()):
                self.assertIn(number, found, "no mistake reported there")
                match = next((m for m in found[number] if m["path"].startswith(path)), found[number][0])
                self.assertTrue(match["path"].startswith(path), match["path"])
                source = BAD.replace("@/", self.dir + "/").splitlines()[number - 1]
                self.assertTrue(1 <= int(match["col"]) <= len(source))
                self.assertIn(source[int(match["col"]) - 2:int(match["col"]) - 1], ["", " ", "[", "{"], "a word begins at the column")
                for word in words:
                    self.assertIn(word, match["text"])
        self.assertEqual(sorted(found), sorted(MISTAKES), "nothing else is wrong")

    def test_all_mistakes_at_once(self):
        done = self.check(BAD)
        self.assertEqual(done.returncode, 78)
        self.assert_every_mistake(done.stdout.splitlines())
        self.assertTrue(all(line.startswith(self.path("weir.yaml") + ":") for line in done.stdout.splitlines()))
        self.assertTrue(done.stderr.strip(), "a summary on stderr")

    def test_as_json(self):
        text = self.check(BAD).stdout
        done = self.weir("check", self.path("weir.yaml"), "-o", "json")
        self.assertEqual(done.returncode, 78)
        mistakes = json.loads(done.stdout)
        self.assertEqual(len(mistakes), len(text.splitlines()))
        for mistake in mistakes:
            self.assertEqual(set(mistake), {"file", "line", "col", "path", "message", "suggestion"})
        by_path = {m["path"]: m for m in mistakes}
        self.assertEqual(by_path["listen.local.mod"]["suggestion"], "mode")
        self.assertEqual((by_path["listen.local.mod"]["file"], by_path["listen.local.mod"]["line"]), (self.path("weir.yaml"), 2))
        good = self.weir("check", self.write("good.yaml", "log: {level: info}\n"), "-o", "json")
        self.assertEqual((good.returncode, json.loads(good.stdout)), (0, []))

    def test_the_agent_prints_the_same_lines_and_starts_nothing(self):
        lines = self.check(BAD).stdout.splitlines()
        code, said = self.start_fails(["--config", self.path("weir.yaml")])
        self.assertEqual(code, 78)
        for line in lines:
            self.assertIn(line, said.splitlines())
        self.assertEqual([n for n in os.listdir(self.dir) if n.endswith((".sock", ".jsonl"))], [])

    def test_a_good_file_is_quiet(self):
        done = self.check('streams: {log: {sinks: [a]}}\nsinks: {a: {type: stdout}}\n')
        self.assertEqual((done.returncode, done.stdout), (0, ""))

    def test_print_round_trips(self):
        own = """
listen: {local: {type: unix, path: "@/in.sock", mode: 0600}, net: {type: tcp, bind: "127.0.0.1:4320", default_stream: log}}
journal: {type: memory, max_bytes: 16MiB}
data_dir: "@/data"
control: {path: "@/control.sock"}
limits: {record_bytes_max: 1MiB}
clients: {memory: 1h, max: 10}
quarantine: {raw: false}
drain_timeout: 250ms
streams:
  trace: {signature: {mode: hash}, context_diff: {mode: whitelist, whitelist: [a, "b.c", "with: colon", "true", "1", ""], idle: 90s}, sinks: [f, s]}
  log: {enabled: false}
sinks:
  f: {type: jsonl, path: "@/a '$$' \\"b\\".jsonl", write_mode: batch, flush_every_n: 7, flush_every_ms: null, fsync_every_n: 3}
  s: {type: stdout, format: json, when_full: block}
"""
        tree = "runtime: {tracing: {enabled: false, sink: {name: trace_jsonl, settings: {path: x.jsonl}}}}\n"
        for text in (own, tree, ""):
            with self.subTest(text=text):
                printed = self.effective(text)
                again = self.effective(printed)
                self.assertEqual(printed, again)
        self.assertIn("64MiB", self.effective(""), "units are written")

    def test_without_a_file_the_embedded_default_is_checked(self):
        done = self.weir("check", "--print")
        if not os.path.exists("/etc/weir/weir.yaml"):
            self.assertEqual(done.returncode, 0, done.stdout)
            self.assertIn(self.path("in.sock"), done.stdout)
            self.assertIn("stdout", done.stdout)

    def test_units(self):
        for written, shown in (("1MiB", "1MiB"), ("2048KiB", "2MiB"), ("3145728", "3MiB"), ("1GiB", "1GiB"), ("1GB", "1000000000")):
            with self.subTest(written=written):
                self.assertRegex(self.effective("journal: {max_bytes: %s}\n" % written), r"max_bytes: .*(%s|1GB)" % shown)
        for written in ("64 parsecs", "-1MiB", "MiB", "1.5", "[]", "many", "9999999999999GiB", "''"):
            with self.subTest(written=written):
                self.assert_refused("journal: {max_bytes: %s}\n" % written, "journal.max_bytes")
        for written in ("250ms", "2s", "1m", "1h"):
            with self.subTest(written=written):
                self.assertIn("drain_timeout: " + written, self.effective("drain_timeout: %s\n" % written))
        for written in ("5 fortnights", "-1s", "ms"):
            with self.subTest(written=written):
                self.assert_refused("drain_timeout: %s\n" % written, "drain_timeout")

    def test_substitution(self):
        os.mkdir(self.path("cred"))
        self.write("cred/name", "from-cred\n")
        self.write("secret", "from-file\n")
        env = {"V_SET": "from-env", "V_EMPTY": "", "V_YAML": "{a: [b", "V_QUOTE": "q\"'q", "V_SIZE": "3MiB",
               "V_NEST": "${V_SET}", "CREDENTIALS_DIRECTORY": self.path("cred")}
        for written, becomes in (("${V_SET}", "from-env"), ("${env:V_SET}", "from-env"), ("${V_NO:-dflt}", "dflt"), ("${V_SET:-x}", "from-env"),
                                 ("${file:@/secret}", "from-file"), ("${cred:name}", "from-cred"), ("a$${V_SET}b", "a${V_SET}b"),
                                 ("${V_YAML}", "{a: [b"), ("${V_NEST}", "${V_SET}"), ("x-${V_SET}-${V_SET}-y", "x-from-env-from-env-y")):
            with self.subTest(written=written), self.start(
                    'streams: {log: {sinks: [f]}}\nsinks: {f: {type: jsonl, path: "@/out/%s"}}\n' % written, env=env) as agent:
                agent.send_plain([harness.log("x")])
                agent.wait_delivered("f", 1)
                self.assertEqual(agent.lines("out/" + becomes), [harness.log("x")])
                os.unlink(self.path("out/" + becomes))
        self.assertIn("3MiB", self.effective("journal: {max_bytes: \"${V_SIZE}\"}\n", **env))
        for written in ("${V_NO}", "${env:V_NO}", "${file:@/absent}", "${cred:absent}", "${V_SET", "${}", "${what:x}"):
            with self.subTest(written=written):
                self.assert_refused('sinks: {f: {type: jsonl, path: "%s"}}\n' % written, "sinks.f.path", env=env)

    def test_several_files_and_a_directory_merge_in_order(self):
        a = self.write_config("streams: {log: {sinks: [out]}}\nsinks: {out: {type: jsonl, path: \"@/a.jsonl\"}}\n", "conf/10-a.yaml")
        b = self.write("conf/20-b.yaml", "sinks: {out: {path: \"@/b.jsonl\"}}\n")
        self.write("conf/30-ignored.txt", "not: [yaml\n")
        for args in (["--config", a, "--config", b], ["--config", self.path("conf")]):
            with self.subTest(args=args), self.spawn(args).wait_ready() as agent:
                agent.send_plain([harness.log("x")])
                agent.wait_delivered("out", 1)
                self.assertEqual(agent.status()["config_files"], [a, b])
                agent.stop()
                self.assertEqual((agent.raw("a.jsonl"), agent.lines("b.jsonl")), (b"", [harness.log("x")]))
                os.unlink(self.path("b.jsonl"))
        agent = self.spawn(["--config", a, "--set", "sinks.out.path=" + self.path("c.jsonl"), "--set", "journal.max_bytes=8MiB"]).wait_ready()
        agent.send_plain([harness.log("x")])
        agent.wait_delivered("out", 1)
        self.assertEqual(agent.lines("c.jsonl"), [harness.log("x")])
        self.assertEqual(agent.status()["journal"]["bytes_max"], 8 << 20)

    def test_mistakes_name_the_file_or_the_option_they_stand_in(self):
        good = self.write_config("log: {level: info}\n", "good.yaml")
        bad = self.write("bad.yaml", "\n\nlog: {level: lowd}\n")
        code, said = self.start_fails(["--config", good, "--config", bad])
        self.assertEqual(code, 78)
        self.assertRegex(said, r"(?m)^%s:3:\d+: log\.level: " % re.escape(bad))
        code, said = self.start_fails(["--config", good, "--set", "journal.max_bites=1MiB"])
        self.assertEqual(code, 78)
        self.assertRegex(said, r"(?m)^--set:\d+:\d+: journal\.max_bites: .*did you mean.*max_bytes")

    def test_what_yaml_itself_refuses(self):
        for text in ("a: [1", "a: b: c", "\tx: 1", "a: 'open", "%YAML 9\n---\n[", "[" * 20000, "- just\n- a list\n", "just text", "a: &x [*x]\n"):
            with self.subTest(text=text[:20]):
                for line in self.assert_refused(text):
                    self.assertRegex(line, r"weir\.yaml:\d+:\d+: .")

    def test_aliases_that_explode_are_refused_quickly(self):
        bomb = "x0: &x0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n"
        bomb += "".join("x%d: &x%d [%s]\n" % (n, n, ", ".join(["*x%d" % (n - 1)] * 9)) for n in range(1, 10))
        self.assert_refused(bomb)

    def test_files_that_cannot_be_used(self):
        missing = self.weir("check", self.path("absent.yaml"))
        self.assertEqual(missing.returncode, 78)
        self.assertIn("absent.yaml", missing.stdout + missing.stderr)
        code, said = self.start_fails(["--config", self.path("absent.yaml")])
        self.assertEqual(code, 78)
        self.assertIn("absent.yaml", said)
        anyone = self.write_config("log: {level: info}\n")
        os.chmod(anyone, 0o666)
        code, said = self.start_fails(["--config", anyone])
        self.assertEqual(code, 78)
        self.assertRegex(said, "write to|writable")

    def test_a_listener_open_to_the_world_must_say_so(self):
        self.assert_refused('listen: {net: {type: tcp, bind: "0.0.0.0:4320"}}\n', "listen.net", "insecure")
        self.assert_refused('listen: {net: {type: tcp, bind: "[::]:4320"}}\n', "listen.net", "insecure")
        for bind in ('"0.0.0.0:4320", insecure: true', '"127.0.0.1:4320"', '"[::1]:4320"'):
            self.assertEqual(self.check('listen: {net: {type: tcp, bind: %s}}\n' % bind).returncode, 0, bind)
        for bind in ("nonsense", "127.0.0.1", "127.0.0.1:99999", ":x"):
            self.assert_refused('listen: {net: {type: tcp, bind: "%s"}}\n' % bind, "listen.net")

    def test_types_and_synonyms(self):
        self.assertEqual(self.check('sinks: {a: {type: file, format: jsonl, path: "@/f"}, b: {type: jsonl, path: "@/g"}}\n').returncode, 0)
        self.assert_refused("streams: 5\n", "streams")
        self.assert_refused("streams: {trace: [a]}\n", "streams.trace")
        self.assert_refused("sinks: [a]\n", "sinks")
        self.assert_refused("journal: {type: tape}\n", "journal.type")
        self.assert_refused("streams: {trace: {context_diff: {max_traces: -1}}}\n", "max_traces")
        self.assert_refused("streams: {trace: {context_diff: {snapshots: 3}}}\n", "snapshots")


class Secrets(harness.AgentTest):
    def test_what_a_reference_holds_is_in_no_error(self):
        path = self.write_config("""
streams: {log: {sample: {ratio: "${env:SECRET}"}, sinks: [f]}}
sinks: {f: {type: file, path: "@/f", where: "${env:SECRET}", rotate: {every: "${env:SECRET}"}, format: "${env:SECRET}"}}
""")
        done = self.weir("check", path, env={"SECRET": "s3cret-(value"})
        self.assertEqual(done.returncode, 78)
        self.assertEqual(done.stdout.count("is not shown"), 3, done.stdout)
        self.assertNotIn("s3cret", done.stdout + done.stderr)
        done = self.weir("check", self.write_config("""
streams: {log: {sinks: [f]}}
sinks: {f: {type: file, path: "@/f", where: "${env:SECRET}"}}
"""), env={"SECRET": "s3cret-(value"})
        self.assertIn("what ${env:SECRET} holds is not valid here", done.stdout)
        self.assertNotIn("s3cret", done.stdout + done.stderr)


class Explain(harness.AgentTest):
    def explain(self, *words):
        return subprocess.run([harness.BINARY, "config", "explain", *words], env=self.env(), capture_output=True, text=True)

    def test_it_names_the_winner_and_who_lost(self):
        base = self.write_config("journal: {max_bytes: 128MiB}\n" + harness.ALL_TO_FILE)
        over = self.write("over.yaml", "journal:\n  max_bytes: 256MiB\n")
        files = ["--config", base, "--config", over]
        done = self.explain("journal.max_bytes", "-o", "json", *files, "--set", "journal.max_bytes=512MiB")
        answer = json.loads(done.stdout)
        self.assertEqual((answer["value"], answer["source"]), ("512MiB", "--set journal.max_bytes"))
        self.assertEqual([w["text"] for w in answer["written"]], ["512MiB", "256MiB", "128MiB"])
        self.assertEqual(answer["written"][1]["place"], over + ":2:14")
        text = self.explain("journal.max_bytes", *files).stdout.splitlines()
        self.assertEqual(text[0], "journal.max_bytes = 256MiB")
        self.assertRegex(text[2], r"weir\.yaml:\d+:\d+: 128MiB \(lost\)$")

    def test_the_agent_tells_the_same_of_what_it_runs(self):
        agent = self.start(harness.ALL_TO_FILE + "journal: {max_bytes: 128MiB}\n")
        path = self.path("weir.yaml")
        code, _, body = agent.http("GET", "/v1/config/explain?key=journal.max_bytes")
        self.assertEqual((code, body.decode() + "\n"), (200, self.explain("journal.max_bytes", "--config", path, "-o", "json").stdout))
        code, _, body = agent.http("GET", "/v1/config")
        config, status = json.loads(body), agent.status()
        self.assertEqual((code, config["config_hash"], config["config_files"]), (200, status["config_hash"], [path]))
        again = self.write("again.yaml", config["yaml"])
        self.assertEqual(agent.http("POST", "/v1/plan", {"files": [again]})[2].count(b'"result":"unchanged"'), 1)
        self.assertIn(b"did you mean journal.max_bytes?", agent.http("GET", "/v1/config/explain?key=journal.max_byte")[2])
        self.assertEqual(agent.http("GET", "/v1/config/explain")[0], 400)
        self.write_config(harness.ALL_TO_FILE)
        code, _, body = agent.http("GET", "/v1/config/explain?key=journal.max_bytes")
        self.assertEqual((code, b"weir reload" in body), (404, True))

    def test_defaults_and_references(self):
        self.assertIn("the default", self.explain("journal.type", "--config", self.write_config(harness.ALL_TO_FILE)).stdout)
        path = self.write_config('sinks: {out: {type: file, path: "${env:OUT}"}}\nstreams: {log: {sinks: [out]}}\n')
        done = subprocess.run([harness.BINARY, "config", "explain", "sinks.out.path", "--config", path], env=self.env(OUT=self.path("o")),
                              capture_output=True, text=True)
        self.assertEqual(done.stdout.splitlines()[0], "sinks.out.path = " + self.path("o"))
        self.assertIn("${env:OUT}", done.stdout)

    def test_a_secret_is_not_shown(self):
        path = self.write_config("sinks: {out: {type: http, url: 'http://127.0.0.1:1/', auth: {bearer: hush}}}\nstreams: {log: {sinks: [out]}}\n")
        for key in ("sinks.out.auth.bearer", "sinks.out.auth", "sinks.out", "sinks"):
            done = self.explain(key, "--config", path)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertNotIn("hush", done.stdout + done.stderr)

    def test_a_key_that_is_not_there(self):
        done = self.explain("journal.max_byte", "--config", self.write_config(harness.ALL_TO_FILE))
        self.assertEqual(done.returncode, 1)
        self.assertIn("did you mean journal.max_bytes?", done.stderr)

    def test_the_frameworks_tree_is_said(self):
        path = self.write_config("runtime: {tracing: {enabled: true, sink: {name: trace_jsonl, settings: {path: t.jsonl}}}}\n")
        done = self.explain("sinks.trace_jsonl.path", "--config", path)
        self.assertRegex(done.stdout, r"^sinks.trace_jsonl.path = t.jsonl\n  \S*weir.yaml:\d+:\d+: t.jsonl\n$")


if __name__ == "__main__":
    unittest.main(verbosity=2)
