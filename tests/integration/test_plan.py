"""`weir plan`: what a reload would do, said before it is done, and the same thing that is then done."""
import json
import os
import re
import subprocess

import harness
import http_receiver
from harness import log

LISTEN = 'listen: {local: {type: unix, path: "@/in.sock"}%s}\n'
ONE = LISTEN % "" + """
streams: {log: {sinks: [keep, moved, gone]}}
sinks:
  keep: {type: jsonl, path: "@/keep.jsonl"}
  moved: {type: jsonl, path: "@/a.jsonl"}
  gone: {type: jsonl, path: "@/gone.jsonl"}
"""
TWO = LISTEN % ', net: {type: tcp, bind: "127.0.0.1:0"}' + """
streams: {log: {sinks: [keep, moved, new]}, trace: {enabled: false}}
sinks:
  keep: {type: jsonl, path: "@/keep.jsonl"}
  moved: {type: jsonl, path: "@/b.jsonl", where: 'level >= "warn"'}
  new: {type: jsonl, path: "@/new.jsonl"}
log: {level: warn}
"""
ACTIONS = {"listen.local": "keep", "listen.net": "create", "sinks.keep": "keep", "sinks.moved": "change", "sinks.gone": "remove",
           "sinks.new": "create", "streams.log": "change", "streams.trace": "change", "streams.telemetry": "keep",
           "streams.monitoring": "keep", "log": "change"}


def actions(answer):
    return {name: c["action"] for name, c in answer["components"].items()}


class Plan(harness.AgentTest):
    def plan(self, *args, code=0, **kwargs):
        done = self.weir("plan", *args, **kwargs)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done

    def start_stuck(self, more=""):
        """An agent whose sink `stuck` writes into a pipe that nobody reads, with records that wait for it."""
        self.read_end, write_end = os.pipe()
        self.addCleanup(os.close, self.read_end)
        text = ('streams: {log: {sinks: [keep, stuck]}}\nsinks: {keep: {type: jsonl, path: "@/keep.jsonl"}, stuck: {type: stdout, format: json}}\n'
                'drain_timeout: 100ms\n' + more)
        agent = self.spawn(["--config", self.write_config(text)], stdout=write_end)
        os.close(write_end)
        agent.wait_ready()
        agent.send_plain([log("x" * 1000, n=n) for n in range(500)])
        agent.wait_delivered("keep", 500)
        return agent, 'drain_timeout: 100ms\nstreams: {log: {sinks: [keep]}}\nsinks: {keep: {type: jsonl, path: "@/keep.jsonl"}}\n'

    def test_it_says_what_the_reload_then_does(self):
        agent = self.start(ONE)
        planned = json.loads(self.plan(self.write_config(TWO, "new.yaml"), "-o", "json").stdout)
        self.assertEqual((planned["result"], planned["generation"], planned["errors"]), ("changes", 1, []))
        self.assertEqual(actions(planned), ACTIONS)
        self.assertEqual(planned["components"]["sinks.moved"]["options"], ["path", "where"])
        self.assertEqual(planned["components"]["streams.trace"]["options"], ["enabled"])
        self.assertEqual(agent.status()["generation"], 1)
        self.assertEqual(set(agent.status()["sources"]), {"local"}, "nothing was touched")
        self.assertFalse(os.path.exists(self.path("new.jsonl")))
        self.write_config(TWO)
        applied = json.loads(self.weir("reload", "-o", "json").stdout)
        self.assertEqual((applied["result"], applied["generation"]), ("applied", 2))
        self.assertEqual(actions(applied), actions(planned))
        self.assertEqual(applied["config_hash"], planned["config_hash"])
        self.assertEqual(agent.status()["config_hash"], planned["config_hash"])
        again = json.loads(self.plan("-o", "json").stdout)
        self.assertEqual((again["result"], set(actions(again).values())), ("unchanged", {"keep"}))

    def test_people_get_a_table_and_one_line(self):
        self.start(ONE)
        self.write_config(TWO, "new.yaml")
        text = self.plan("new.yaml").stdout
        self.assertRegex(text, r"(?m)^~  sinks\.moved +change +path, where$")
        self.assertRegex(text, r"(?m)^\+  sinks\.new +create")
        self.assertRegex(text, r"(?m)^-  sinks\.gone +remove")
        self.assertEqual(text.splitlines()[-1], "Plan: 2 to create, 4 to change, 1 to remove, 4 to keep; generation 1 runs.")
        self.assertNotIn("\x1b", text)

    def test_backlogs_and_their_ends(self):
        agent, without = self.start_stuck()
        lag = agent.sink("stuck")
        self.assertGreater(lag["lag_records"], 0)
        self.write_config(without)
        for args, action, code, words in (((), "remove", 1, "--drain"), (("--drain",), "drain", 0, "first"), (("--drop-lag",), "remove", 0, "given up")):
            with self.subTest(args=args):
                answer = json.loads(self.plan("-o", "json", *args, code=code).stdout)
                stuck = answer["components"]["sinks.stuck"]
                self.assertEqual((stuck["action"], stuck["lag_records"], stuck["lag_bytes"]), (action, lag["lag_records"], lag["lag_bytes"]))
                self.assertIn(words, stuck["message"])
                self.assertIn(str(lag["lag_records"]), stuck["message"])
        done = self.plan(code=1)
        self.assertIn("refused: sinks.stuck: would be removed with %d records undelivered" % lag["lag_records"], done.stderr)
        self.assertIn("sinks.stuck", self.weir("reload").stderr)
        self.assertEqual((agent.status()["generation"], agent.sink("stuck")["state"]), (1, "ok"))
        self.weir("reload", "--drop-lag")

    def test_what_needs_a_restart(self):
        self.start(ONE)
        other = ('data_dir: "@/elsewhere"\ncontrol: {path: "@/other.sock"}\nmetrics: {bind: "127.0.0.1:0"}\n'
                 'journal: {type: disk, path: "@/journal"}\n' + ONE)
        components = json.loads(self.plan(self.write_config(other, "new.yaml"), "-o", "json").stdout)["components"]
        restarts = {name for name, c in components.items() if c["result"] == "needs a restart"}
        self.assertEqual(restarts, {"data_dir", "control", "metrics", "journal"})
        self.assertIn("4 need a restart", self.plan(self.path("new.yaml")).stdout)

    def test_mistakes_as_check_prints_them(self):
        self.start(ONE)
        self.write("bad.yaml", TWO.replace("jsonl", "jsonk") + "jornal: {}\n")
        for more in ([], ["-o", "json"]):
            checked = self.weir("check", "bad.yaml", *more)
            self.assertIn("bad.yaml", checked.stdout)
            self.assertEqual(self.plan("bad.yaml", *more, code=78).stdout, checked.stdout)
        os.makedirs(self.path("conf.d"))
        self.write("conf.d/x.yaml", "sinks: []\n")
        self.assertEqual(self.plan("conf.d", code=78).stdout, self.weir("check", "conf.d").stdout)

    def test_without_an_agent(self):
        self.write_config(ONE)
        done = self.plan("weir.yaml", code=69)
        self.assertEqual(done.stdout, "")
        self.assertIn("no agent", done.stderr)
        self.assertIn("`weir check` finds no mistake", done.stderr)
        self.write("bad.yaml", "jornal: {}\n")
        self.assertEqual(self.plan("bad.yaml", code=78).stdout, self.weir("check", "bad.yaml").stdout)

    def test_an_address_that_is_taken_is_refused_by_both(self):
        agent = self.start(ONE)
        port = agent.status()["sources"]["local"]["address"]
        self.assertTrue(port.startswith("unix:"))
        os.mkdir(self.path("taken.sock"))
        taken = ONE.replace('listen: {', 'listen: {more: {type: unix, path: "@/taken.sock"}, ')
        done = self.plan(self.write_config(taken), code=1)
        reason = re.search(r"listen\.more: .*", done.stderr).group(0)
        self.assertIn(reason, self.weir("reload").stderr)
        self.assertTrue(os.path.isdir(self.path("taken.sock")))

    def test_a_file_that_cannot_be_is_refused_by_both(self):
        agent = self.start(ONE)
        self.write("plain", "")
        os.symlink(self.path("plain"), self.path("link.jsonl"))
        os.mkdir(self.path("directory.jsonl"))
        for path, words in (("plain/x/b.jsonl", "[Nn]ot a directory"), ("plain/{service}.jsonl", "[Nn]ot a directory"),
                            ("directory.jsonl", "not a regular file"), ("link.jsonl", "symbolic link")):
            with self.subTest(path=path):
                self.write_config(ONE.replace("a.jsonl", path))
                done = self.plan(code=1)
                self.assertRegex(done.stderr, r"refused: sinks\.moved: .*" + words)
                again = self.weir("reload")
                self.assertEqual((again.returncode, again.stderr.splitlines()[0].split(": ", 1)[1]), (1, done.stderr.strip().split("refused: ")[1]))
        self.write_config(ONE.replace("a.jsonl", "new/er/a.jsonl"))
        self.plan()
        self.assertFalse(os.path.exists(self.path("new")))
        self.assertEqual(self.weir("reload").returncode, 0)
        self.assertEqual(agent.sink("moved")["state"], "ok")

    def test_over_http(self):
        agent = self.start(ONE)
        path = self.write_config(TWO, "new.yaml")
        code, _, body = agent.http("POST", "/v1/plan", {"files": [path]})
        self.assertEqual((code, actions(json.loads(body))), (200, ACTIONS))
        code, _, body = agent.http("POST", "/v1/plan")
        self.assertEqual(json.loads(body)["result"], "unchanged")
        for wrong in ({"files": "x"}, {"files": [1]}, []):
            self.assertEqual(agent.http("POST", "/v1/plan", wrong)[0], 400)
        self.assertEqual(agent.http("GET", "/v1/plan")[0], 405)

    def test_receivers_that_do_not_answer(self):
        agent = self.start(ONE, env=http_receiver.NO_PROXIES)
        unreachable = ONE.replace("sinks:\n", 'sinks:\n  up: {type: http, url: "http://127.0.0.1:1/in"}\n').replace("[keep,", "[up, keep,")
        self.write_config(unreachable)
        self.plan()
        for command in ("plan", "reload"):
            done = self.weir(command, "--require-reachable")
            self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
            self.assertIn("sinks.up: cannot be reached: http://127.0.0.1:1/in", done.stderr)
        self.assertEqual(agent.status()["generation"], 1)
        self.assertEqual(self.weir("reload").returncode, 0)
        self.assertEqual(agent.status()["generation"], 2)
        receiver = http_receiver.Receiver(self)
        self.write_config(unreachable.replace("127.0.0.1:1/", "127.0.0.1:%d/" % receiver.port))
        self.plan("--require-reachable")
        self.assertEqual(self.weir("reload", "--require-reachable").returncode, 0)
        self.assertEqual(receiver.requests, [], "connected to, and nothing sent")


class Terminal(harness.AgentTest):
    def test_colours_only_there(self):
        self.start(ONE)
        path = self.write_config(TWO, "new.yaml")
        screen = harness.Pty()
        self.addCleanup(screen.close)
        done = subprocess.run([harness.BINARY, "plan", path], stdout=screen.slave, stderr=subprocess.PIPE, env=self.env(), timeout=harness.DEADLINE_S)
        screen.close()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("\x1b[32mcreate\x1b[0m", screen.text())
        self.assertIn("\x1b[31mremove\x1b[0m", screen.text())
        self.assertEqual(harness.screen_faults(screen.text()), [])


if __name__ == "__main__":
    harness.main()
