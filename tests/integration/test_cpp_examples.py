"""The example programs of the native client, and the client as an installed package."""
import os
import shutil
import subprocess
import unittest

import cpp_client
import harness

SOURCE = """
#include <weir.h>
#include <weir/weir.h>
int main() {
  WEIR_INFO("hello {who}", weir::arg("who", "package"));
  return weir::flush(std::chrono::seconds(20)) ? 0 : 1;
}
"""


class Examples(harness.AgentTest):
    def run_example(self, name, address=None):
        program = os.path.join(cpp_client.BUILD, "client", name)
        done = subprocess.run([program], env=self.env(WEIR_ADDRESS=address), timeout=harness.DEADLINE_S,
                              stderr=subprocess.PIPE, check=True)
        self.assertEqual(done.stderr, b"")

    def check_orders(self, records):
        good = [r for r in records if r.get("trace_id", "").endswith("36") and r["stream"] == "trace"]
        self.assertEqual([(r.get("kind"), r.get("step_name", r.get("name"))) for r in good],
                         [("ingress", "orders.in"), (None, "decode"), (None, "price"), ("span", "write to the outbox"),
                          (None, "publish"), ("egress", "orders.out")])
        self.assertEqual(good[2]["ctx_diff"], {"total": {"before": None, "after": 37.5}})
        self.assertEqual(good[4]["ctx_diff"], {"decision": {"before": "new", "after": "approved"},
                                               "quantity": {"before": 3, "after": None}})
        self.assertEqual(good[3]["parent_span_id"], good[4]["span_id"])
        bad = [r for r in records if r.get("trace_id", "").endswith("37") and r["stream"] == "trace"]
        self.assertEqual([r["status"] for r in bad], ["ok", "ok", "error"])
        self.assertEqual(bad[2]["error"]["type"], "PriceNotFound")
        self.assertEqual(bad[2]["ctx_diff"], {"decision": {"before": "new", "after": "failed"}})
        self.assertTrue(all(r["correlation_id"] == "o-2" for r in bad))
        count = [r for r in records if r.get("name") == "orders.handled"]
        self.assertEqual([(r["value"], r["attributes"]) for r in count], [(2, {"shop": "north"})])
        self.assertEqual([r["message"] for r in records if r.get("level") == "error"], ["order o-2 failed: no price"])
        self.assertEqual([r["rule"] for r in records if r["stream"] == "monitoring"], ["orders.failed"])

    def test_the_pipeline_shows_in_tail_and_in_the_file(self):
        for number, (name, over) in enumerate([("orders_cpp", "unix"), ("orders_c", "unix"), ("orders_cpp", "tcp"), ("orders_c", "tcp")]):
            with self.subTest(name=name, over=over):
                config = harness.ALL_TO_FILE.replace("out.jsonl", "out-%d.jsonl" % number)
                with self.start(config.replace("trace: {", "trace: {context_diff: {mode: full}, ")) as agent:
                    tail = subprocess.Popen([harness.BINARY, "tail", "trace", "-o", "json"], stdout=subprocess.PIPE, env=self.env())
                    self.addCleanup(tail.stdout.close)
                    self.addCleanup(tail.kill)
                    agent.wait_status(lambda s: True, "up")
                    self.run_example(name, next(a for a in agent.addresses if a.startswith(over + ":")))
                    agent.wait_delivered("out", 16)
                    self.check_orders(agent.records("out-%d.jsonl" % number))
                    tail.kill()
                    tail.wait()

    def test_without_an_agent_they_run_all_the_same(self):
        for name in ("orders_cpp", "orders_c"):
            done = subprocess.run([os.path.join(cpp_client.BUILD, "client", name)], env=self.env(), timeout=harness.DEADLINE_S,
                                  stderr=subprocess.PIPE, check=True)
            self.assertRegex(done.stderr.decode(), r"the agent is away \(unix:.*/in\.sock: No such file or directory\)")


@unittest.skipIf(harness.SANITIZED, "a package is not built with sanitizers")
@unittest.skipUnless(shutil.which("cmake") and shutil.which("pkg-config") and shutil.which("c++"), "no compiler here")
class Package(harness.AgentTest):
    def install(self):
        prefix = self.path("prefix")
        subprocess.run(["cmake", "--install", cpp_client.BUILD, "--component", "client", "--prefix", prefix],
                       stdout=subprocess.DEVNULL, check=True)
        found = [top for top, _, files in os.walk(prefix) if "weir.pc" in files]
        return prefix, found[0]

    def test_find_package_and_pkg_config(self):
        prefix, pc = self.install()
        self.write("app/main.cpp", SOURCE)
        self.write("app/CMakeLists.txt", "cmake_minimum_required(VERSION 3.16)\nproject(app CXX)\nfind_package(weir REQUIRED)\n"
                   "add_executable(app main.cpp)\ntarget_link_libraries(app PRIVATE weir::client)\n")
        quiet = {"stdout": subprocess.DEVNULL, "check": True}
        subprocess.run(["cmake", "-S", self.path("app"), "-B", self.path("app/b"), "-DCMAKE_PREFIX_PATH=" + prefix], **quiet)
        subprocess.run(["cmake", "--build", self.path("app/b")], **quiet)
        flags = subprocess.run(["pkg-config", "--cflags", "--libs", "weir"],
                               env=dict(os.environ, PKG_CONFIG_PATH=pc), stdout=subprocess.PIPE, check=True).stdout.decode().split()
        subprocess.run(["c++", "-std=c++17", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wsign-conversion", "-Werror",
                        self.path("app/main.cpp"), "-o", self.path("app/other")] + flags, **quiet)
        agent = self.start(harness.ALL_TO_FILE)
        for program in ("app/b/app", "app/other"):
            subprocess.run([self.path(program)], env=self.env(), timeout=harness.DEADLINE_S, check=True)
        agent.wait_delivered("out", 2)
        self.assertEqual([r["message"] for r in agent.records()], ["hello package"] * 2)


if __name__ == "__main__":
    unittest.main()
