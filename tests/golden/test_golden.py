"""Configuration + input -> exact output, through the real binary.

tests/golden/*.case holds cases in plain text:

    === one sentence about the case
    --- config          the `streams:` of it; carried over to the cases behind it
    --- input           lines as a producer sends them
    --- output          lines as the file sink `out` must hold them; <now> stands for a receive time of the agent

UPDATE_GOLDEN=1 writes what comes out into the case files: read the difference before you commit it.
"""
import glob
import os
import re
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
import harness

HERE = os.path.dirname(os.path.abspath(__file__))
UPDATE = os.environ.get("UPDATE_GOLDEN") == "1"
SINK = '\nsinks: {out: {type: jsonl, path: "@/out.jsonl"}}\n'
NOW = r'"ts":"(?!2026-01-21)%s"' % harness.RFC3339


class Case:
    def __init__(self, title):
        self.title, self.parts = title, {}

    def text(self):
        order = [p for p in ("config", "input", "output") if p in self.parts]
        return "=== %s\n" % self.title + "".join("--- %s\n%s" % (p, "".join(x + "\n" for x in self.parts[p])) for p in order)


def read_cases(path):
    """(text before the first case, cases)"""
    preamble, cases, part = [], [], None
    with open(path, encoding="utf-8") as f:
        for line in f.read().split("\n")[:-1]:
            if line.startswith("=== "):
                cases.append(Case(line[4:]))
                part = None
            elif line in ("--- config", "--- input", "--- output"):
                part = cases[-1].parts[line[4:]] = []
            elif part is not None:
                part.append(line)
            else:
                preamble.append(line)
    return preamble, cases


class Golden(harness.AgentTest):
    def run_file(self, path):
        preamble, cases = read_cases(path)
        self.assertTrue(cases)
        agent, delivered, config = None, 0, None
        for case in cases:
            if "config" in case.parts and case.parts["config"] != config:
                if agent:
                    agent.stop()
                    os.unlink(self.path("out.jsonl"))
                config = case.parts["config"]
                agent, delivered = self.start("\n".join(config) + SINK), 0
            with self.subTest(case.title):
                agent.send_plain([x for x in case.parts["input"] if x])
                written = int(agent.status()["journal"]["written"])  # every record of this suite goes to `out`
                agent.wait_delivered("out", written)
                got = [re.sub(NOW, '"ts":"<now>"', line) for line in agent.lines()[delivered:]]
                delivered = written
                if UPDATE:
                    case.parts["output"] = got
                else:
                    self.assertEqual("\n".join(got), "\n".join(case.parts["output"]))
        if UPDATE:
            with open(path, "w", encoding="utf-8") as f:
                f.write("".join(line + "\n" for line in preamble) + "".join(case.text() for case in cases))


def add_test(path):
    def test(self):
        self.run_file(path)
    setattr(Golden, "test_" + os.path.basename(path)[:-5], test)


for case_file in sorted(glob.glob(os.path.join(HERE, "*.case"))):
    add_test(case_file)

if __name__ == "__main__":
    unittest.main(verbosity=2)
