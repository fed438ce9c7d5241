"""`weir agent --watch`: volumes of Kubernetes, directories, links, values in files, and file systems without events."""
import os
import shutil
import subprocess
import unittest

import harness
from watching import TEXT, WatchTest


def strace_works():
    try:
        return subprocess.run(["strace", "-f", "-o", "/dev/null", "true"], stderr=subprocess.DEVNULL, check=False).returncode == 0
    except OSError:
        return False


class Places(WatchTest):
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
        self.write_config((TEXT % "x").replace("@/out/x", "@/out/${file:@/secret/name}"))
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

    @unittest.skipIf(harness.SANITIZED, "the leak checker does not run under strace")
    @unittest.skipUnless(strace_works(), "needs strace")
    def test_where_there_are_no_events_files_are_looked_at(self):
        self.write_config(TEXT % "a")
        fail = ["strace", "-f", "-q", "-o", "/dev/null", "-e", "trace=inotify_init1", "-e", "inject=inotify_init1:error=EMFILE"]
        self.watch(self.path("weir.yaml"), wrapper=fail)
        self.write_config(TEXT % "b")
        self.wait_generation(2)
        self.assertIn("looked at every second", self.agent.stderr())


if __name__ == "__main__":
    harness.main()
