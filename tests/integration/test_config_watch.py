"""`weir agent --watch`: whoever changes the configuration, and however, the agent follows; what is no change is none."""
import os
import shutil
import time
import unittest

import harness
from harness import log

TEXT = """
streams: {log: {sinks: [out]}}
sinks:
  out: {type: jsonl, path: "@/%s.jsonl"}
"""


class Watch(harness.AgentTest):
    def watch(self, config, **kwargs):
        self.config = config
        self.agent = self.spawn(["--config", config, "--watch"], **kwargs).wait_ready()
        return self.agent

    def top(self, text):
        return "\n".join(harness.TOP.values()).replace("@/", self.dir + "/") + "\n" + text.replace("@/", self.dir + "/")

    def in_place(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as f:
            f.write(text)

    def wait_generation(self, number):
        begin = time.monotonic()
        status = self.agent.wait_status(lambda s: s["generation"] == number, "generation %d" % number)
        if harness.LONG:
            self.assertLess(time.monotonic() - begin, 2)
        return status

    def out_path(self):
        """Where records go now."""
        self.agent.send_plain([log("x")])
        self.agent.wait_status(lambda s: s["sinks"]["out"]["lag_records"] == 0, "delivered")
        return sorted(n for n in os.listdir(self.dir) if n.endswith(".jsonl"))

    def looks(self):
        """How often the watch's thread has gone to sleep: more than once at each look."""
        for task in os.listdir("/proc/%d/task" % self.agent.pid):
            with open("/proc/%d/task/%s/status" % (self.agent.pid, task), encoding="ascii") as f:
                text = f.read()
            if "config-watch" in text:
                return int(text.split("\nvoluntary_ctxt_switches:")[1].split()[0])
        return None

    def wait_for_a_look(self):
        """Until all that was changed before has been looked at: the second event is seen after the look that follows the first."""
        for _ in range(2):
            before = self.looks()
            self.in_place(os.path.join(os.path.dirname(self.config), "elsewhere"), "x")
            harness.wait_for(lambda before=before: self.looks() > before + 1, "the files are looked at again")

    def test_a_rename_a_write_in_place_and_a_removal(self):
        self.write_config(TEXT % "a")
        self.watch(self.path("weir.yaml"))
        self.write_config(TEXT % "b")
        self.wait_generation(2)
        self.in_place("weir.yaml", self.top(TEXT % "c"))
        self.wait_generation(3)
        os.unlink(self.path("weir.yaml"))
        self.agent.wait_status(lambda s: s["last_reload"]["result"] == "refused", "a missing file is refused")
        self.write_config(TEXT % "d")
        self.wait_generation(4)
        self.assertEqual(self.out_path()[-1:], ["d.jsonl"])

    def test_what_is_no_change_is_none(self):
        self.write_config(TEXT % "a")
        agent = self.watch(self.path("weir.yaml"))
        start = agent.status()
        for _ in range(3):
            os.utime(self.path("weir.yaml"))
            self.write_config(TEXT % "a")
            self.in_place("weir.yaml", self.top(TEXT % "a"))
            for name in (".weir.yaml.swp", "4913", "weir.yaml~", ".#weir.yaml", "#weir.yaml#"):
                self.in_place(name, "half a line: [")
                os.unlink(self.path(name))
        self.write_config("# only a remark\n" + TEXT % "a")
        self.wait_for_a_look()
        self.assertEqual([agent.status()[k] for k in ("generation", "config_hash", "last_reload")], [start[k] for k in ("generation", "config_hash", "last_reload")])

    def test_a_bad_file_is_said_once_and_the_next_good_one_applied(self):
        self.write_config(TEXT % "a")
        agent = self.watch(self.path("weir.yaml"))
        bad = TEXT % "b" + "jornal: {}\n"
        self.write_config(bad)
        status = agent.wait_status(lambda s: s["last_reload"]["result"] == "refused", "refused")
        self.assertEqual(status["generation"], 1)
        self.assertEqual([e["path"] for e in status["last_reload"]["errors"]], ["jornal"])
        self.write_config(bad)
        self.wait_for_a_look()
        self.assertEqual(agent.stderr().count("jornal"), 1)
        self.write_config(TEXT % "b")
        self.wait_generation(2)
        self.write_config(bad)
        agent.wait_status(lambda s: s["last_reload"]["result"] == "refused", "refused")
        self.write_config(TEXT % "b")
        agent.wait_status(lambda s: s["last_reload"]["result"] == "unchanged", "what runs is in the file again")
        self.assertEqual(agent.status()["generation"], 2)

    def test_an_emptied_file_is_left_alone(self):
        self.write_config(TEXT % "a")
        agent = self.watch(self.path("weir.yaml"))
        self.in_place("weir.yaml", "")
        harness.wait_for(lambda: "is empty now" in agent.stderr(), "said")
        self.assertEqual(agent.status()["generation"], 1)
        self.in_place("weir.yaml", self.top(TEXT % "b"))
        self.wait_generation(2)
        self.assertEqual(set(agent.status()["sinks"]), {"out"})

    def test_the_swap_of_a_kubernetes_volume(self):
        """file -> ..data/file, ..data -> a directory; the kubelet renames a new ..data over the old one, then removes the old directory."""
        def publish(stamp, text):
            self.write("etc/%s/weir.yaml" % stamp, self.top(text))
            os.symlink(stamp, self.path("etc/..data_tmp"))
            os.rename(self.path("etc/..data_tmp"), self.path("etc/..data"))
        publish("..2026_01", TEXT % "a")
        os.symlink("..data/weir.yaml", self.path("etc/weir.yaml"))
        for config in ("etc/weir.yaml", "etc") if harness.LONG else ("etc/weir.yaml",):
            with self.subTest(config=config):
                self.watch(self.path(config))
                publish("..2026_02", TEXT % "b")
                shutil.rmtree(self.path("etc/..2026_01"))
                self.wait_generation(2)
                publish("..2026_01", TEXT % "b")  # the same again
                shutil.rmtree(self.path("etc/..2026_02"))
                self.wait_for_a_look()
                self.assertEqual(self.agent.status()["generation"], 2)
                publish("..2026_02", TEXT % "c")
                shutil.rmtree(self.path("etc/..2026_01"))
                self.wait_generation(3)
                self.agent.stop()
                publish("..2026_01", TEXT % "a")
                shutil.rmtree(self.path("etc/..2026_02"))

    def test_files_of_a_directory_come_and_go(self):
        self.write("conf.d/a.yaml", self.top(""))
        self.watch(self.path("conf.d"))
        self.write("conf.d/b.yaml", (TEXT % "b").replace("@/", self.dir + "/"))
        self.assertEqual(set(self.wait_generation(2)["sinks"]), {"out"})
        os.unlink(self.path("conf.d/b.yaml"))
        self.assertEqual(set(self.wait_generation(3)["sinks"]), set())

    def test_values_from_files_count(self):
        os.makedirs(self.path("secret"))
        self.in_place("secret/name", "a\n")
        self.write_config((TEXT % "x").replace("@/x", "@/${file:@/secret/name}"))
        self.watch(self.path("weir.yaml"))
        self.in_place("secret/name", "b\n")
        self.wait_generation(2)
        self.assertEqual(self.out_path()[-1:], ["b.jsonl"])

    def test_a_link_to_another_directory(self):
        self.write("far/away/real.yaml", self.top(TEXT % "a"))
        os.symlink(self.path("far/away/real.yaml"), self.path("weir.yaml"))
        self.watch(self.path("weir.yaml"))
        self.in_place("far/away/real.yaml", self.top(TEXT % "b"))
        self.wait_generation(2)
        os.rename(self.path("far"), self.path("old"))
        self.write("far/away/real.yaml", self.top(TEXT % "c"))
        self.wait_generation(3)

    def test_without_the_flag_nothing_is_watched(self):
        agent = self.start(TEXT % "a")
        self.write_config(TEXT % "b")
        self.agent = agent
        self.assertIsNone(self.looks(), "no thread for it")
        self.assertEqual(agent.status()["generation"], 1)


if __name__ == "__main__":
    unittest.main(verbosity=2)
