"""`weir agent --watch`: whoever changes the configuration, and however, the agent follows; what is no change is none."""
import os

import harness
from watching import TEXT, WatchTest


class Watch(WatchTest):
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

    def test_without_the_flag_nothing_is_watched(self):
        agent = self.start(TEXT % "a")
        self.write_config(TEXT % "b")
        self.agent = agent
        self.assertIsNone(self.looks(), "no thread for it")
        self.assertEqual(agent.status()["generation"], 1)


if __name__ == "__main__":
    harness.main()
