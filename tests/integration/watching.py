"""An agent that watches its configuration, and ways to change that."""
import os
import time

import harness
from harness import log

TEXT = """
streams: {log: {sinks: [out]}}
sinks:
  out: {type: jsonl, path: "@/out/%s.jsonl"}
"""


class WatchTest(harness.AgentTest):
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
        return sorted(n for n in os.listdir(self.path("out")) if n.endswith(".jsonl"))

    def looks(self):
        """How often the watch's thread has gone to sleep: more than once at each look."""
        for task in os.listdir("/proc/%d/task" % self.agent.pid):
            try:
                with open("/proc/%d/task/%s/status" % (self.agent.pid, task), encoding="ascii") as f:
                    text = f.read()
            except OSError:
                continue  # it has ended meanwhile
            if "config-watch" in text:
                return int(text.split("\nvoluntary_ctxt_switches:")[1].split()[0])
        return None

    def wait_for_a_look(self):
        """Until all that was changed before has been looked at: the second event is seen after the look that follows the first."""
        for _ in range(2):
            before = self.looks()
            self.in_place(os.path.join(os.path.dirname(self.config), "elsewhere"), "x")
            harness.wait_for(lambda before=before: self.looks() > before + 1, "the files are looked at again")
