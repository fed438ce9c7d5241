"""Links, fifos and directories planted where the agent keeps its files: refused or put aside, said by name, and what they point
to is left as it was (security.md, files). test_file_sink.py has outputs, test_sources.py sockets."""
import os
import shutil
import stat
import unittest

import harness

CONFIG = """
journal: {type: disk}
drain_timeout: 20ms
streams: {log: {sinks: [out, dead]}}
sinks:
  out: {type: jsonl, path: "@/out/out.jsonl"}
  dead: {type: http, url: "http://127.0.0.1:9/"}
"""
VICTIM = b"not the agent's\n"


def plants(victim, victim_directory):
    return {"link to a file": lambda path: os.symlink(victim, path), "dangling link": lambda path: os.symlink(victim + "-none", path),
            "link to a directory": lambda path: os.symlink(victim_directory, path), "hard link": lambda path: os.link(victim, path),
            "fifo": os.mkfifo, "directory": os.mkdir}


def files_below(top):
    return sorted(os.path.relpath(os.path.join(d, f), top) for d, _, files in os.walk(top) for f in files)


class Planted(harness.AgentTest):
    def setUp(self):
        super().setUp()
        agent = self.start(CONFIG)
        with agent.connect() as c:
            c.hello(client_id="c", ack="durable", next_seq=1)
            c.send([harness.log("a"), "not json", harness.log("b")])
            c.read_to_ack(3)
        agent.wait_delivered("out", 2)
        agent.stopped = True
        agent.kill()  # so that there is something to recover
        os.rename(self.path("data"), self.path("kept"))
        self.victim, self.victim_directory = self.path("victim"), self.path("victims")
        os.mkdir(self.victim_directory)

    def test_every_file_of_the_data_directory(self):
        files = files_below(self.path("kept"))
        self.assertGreater(len(files), 4, files)
        for name in files:
            for kind, plant in plants(self.victim, self.victim_directory).items():
                with self.subTest(name=name, kind=kind):
                    self.fresh()
                    path = os.path.join(self.path("data"), name)
                    os.remove(path)
                    plant(path)
                    self.run_agent(path)

    def test_a_backup_of_hard_links_costs_no_record(self):
        self.fresh()
        shutil.copytree(self.path("data"), self.path("backup"), copy_function=os.link)
        lock = os.path.join(self.path("backup"), "lock")
        with open(lock, "rb") as f:
            before = f.read()
        agent = self.spawn(["--config", self.path("weir.yaml")]).wait_ready()
        dead = agent.sink("dead")
        self.assertEqual((dead["lag_records"], dead["dropped"]), (2, {}))
        with agent.connect() as c:
            c.hello(client_id="c", ack="durable")
            c.send([harness.log("c")])
            c.read_to_ack(4)
        with open(lock, "rb") as f:
            self.assertEqual(f.read(), before)
        agent.stopped = True
        agent.kill()

    def test_every_directory_of_the_data_directory(self):
        directories = ["."] + sorted(os.path.relpath(os.path.join(d, x), self.path("kept"))
                                     for d, names, _ in os.walk(self.path("kept")) for x in names)
        for name in directories:
            with self.subTest(name=name):
                self.fresh()
                path = os.path.normpath(os.path.join(self.path("data"), name))
                shutil.move(path, self.path("moved"))
                os.symlink(self.path("moved"), path)
                before = self.tree(self.path("moved"))
                code, err = self.start_fails(["--config", self.path("weir.yaml")])
                self.assertEqual((code, path in err), (1, True), err)
                self.assertEqual(self.tree(self.path("moved")), before)
                shutil.rmtree(self.path("moved"))
                os.remove(path)

    def fresh(self):
        shutil.rmtree(self.path("data"), ignore_errors=True)
        shutil.copytree(self.path("kept"), self.path("data"))
        for name in os.listdir(self.victim_directory):
            os.remove(os.path.join(self.victim_directory, name))
        with open(self.victim, "wb") as f:
            f.write(VICTIM)
        os.chmod(self.victim, 0o640)

    def tree(self, top):
        return {name: os.stat(os.path.join(top, name)).st_mtime_ns for name in files_below(top)}

    def run_agent(self, path):
        """It refuses to start and names the path, or runs and takes records; a planted thing is not followed."""
        agent = self.spawn(["--config", self.path("weir.yaml")])
        try:
            agent.wait_ready()
        except AssertionError:
            self.assertEqual(agent.proc.poll(), 1, agent.stderr())
            self.assertIn(path, agent.stderr())
        else:
            with agent.connect() as c:
                c.hello(client_id="d", ack="received", next_seq=1)
                c.send([harness.log("c"), "not json either"])
                c.read_to_ack(2)
            agent.stopped = True
            agent.signal(harness.signal.SIGTERM)
            agent.proc.wait(harness.DEADLINE_S)
            for sign in harness.FAULT_SIGNS:
                self.assertNotIn(sign, agent.stderr())
        with open(self.victim, "rb") as f:
            self.assertEqual(f.read(), VICTIM)
        self.assertEqual(stat.S_IMODE(os.stat(self.victim).st_mode), 0o640)
        self.assertEqual(os.listdir(self.victim_directory), [])
        self.assertFalse(os.path.exists(self.victim + "-none"))


if __name__ == "__main__":
    unittest.main()
