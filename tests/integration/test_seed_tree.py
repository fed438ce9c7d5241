"""The trees of records.md section 8, as the framework writes them, and what they promise."""
import os
import re
import time
import unittest

import harness
from mini_kernel import Kernel

TREE = """runtime:
  tracing:
    enabled: true
    signature: {mode: type_only}
    context_diff: {mode: whitelist, whitelist: [run_id, scenario_id]}
    sink:
      name: trace_jsonl
      settings: {path: trace.jsonl, write_mode: line, flush_every_n: 1, fsync_every_n: null}
"""
OBSERVABILITY = """runtime:
  observability:
    tracing:
      exporters:
        - kind: jsonl
          enabled: true
          settings: {path: trace_business.jsonl, trace_slice: business_logic}
        - kind: jsonl
          enabled: false
          settings: {path: never.jsonl}
    logging:
      exporters: [{kind: stdout}, {kind: file_plain, settings: {path: app.log}}]
"""


def step_record(trace_id="t1", **more):
    return harness.compact({"stream": "trace", "trace_id": trace_id, "step_name": "s", "msg_in": {"type_name": "A", "identity": "7"},
                            "ctx_before": {"run_id": "r", "secret": 1, "scenario_id": None},
                            "ctx_after": {"run_id": "r2", "secret": 2}, "ctx_diff": None, **more})


EXPECTED = ('{"stream":"trace","trace_id":"t1","step_name":"s","msg_in":{"type_name":"A","identity":null},'
            '"ctx_before":{"run_id":"r","scenario_id":null},"ctx_after":{"run_id":"r2"},'
            '"ctx_diff":{"run_id":{"before":"r","after":"r2"}}}')


class SeedTree(harness.AgentTest):
    def start_tree(self, text, *args):
        """The file holds the tree and nothing else; places come from the environment and --set."""
        return self.spawn(["--config", self.write("seed.yaml", text), "--set", "data_dir=" + self.path("data"), *args]).wait_ready()

    def delivered(self, agent, count):
        agent.wait_status(lambda s: sum(x["delivered"] for x in s["sinks"].values()) >= count, "%d delivered" % count)

    def test_the_tree_runs_unchanged(self):
        agent = self.start_tree(TREE)
        agent.send_plain([step_record()])
        self.delivered(agent, 1)
        self.assertEqual(agent.lines("trace.jsonl"), [EXPECTED], "a relative path is relative to the working directory")
        sinks = agent.status()["sinks"]
        self.assertEqual([(s["type"], s["streams"]) for s in sinks.values()], [("file", ["trace"])])

    def test_relative_paths_follow_the_working_directory_not_the_file(self):
        os.mkdir(self.path("elsewhere"))
        agent = self.spawn(["--config", self.write("seed.yaml", TREE), "--set", "data_dir=" + self.path("data")],
                           cwd=self.path("elsewhere")).wait_ready()
        agent.send_plain([step_record()])
        self.delivered(agent, 1)
        self.assertEqual(agent.lines("elsewhere/trace.jsonl"), [EXPECTED])
        self.assertFalse(os.path.exists(self.path("trace.jsonl")))

    def test_disabled_makes_no_file_and_counts(self):
        agent = self.start_tree(TREE.replace("enabled: true", "enabled: false"))
        agent.send_plain([step_record(), step_record(), harness.log("x")])
        status = agent.status()
        source = next(iter(status["sources"].values()))
        self.assertEqual((source["accepted"], source["disabled"], source["journalled"]), (3, 2, 1))
        self.assertFalse(status["streams"]["trace"]["enabled"])
        self.assertTrue(status["streams"]["log"]["enabled"])
        self.assertFalse(os.path.exists(self.path("trace.jsonl")))
        agent.stop()
        self.assertFalse(os.path.exists(self.path("trace.jsonl")))
        self.assertEqual(agent.raw(agent.stdout_path), b"", "a file that names only part has no sink for the others")

    def test_no_sink_means_the_tape_only(self):
        agent = self.start_tree(TREE[:TREE.index("    sink:")])
        agent.send_plain([step_record("t1"), step_record("t2")])
        self.assertEqual(agent.status()["sinks"], {})
        tail = self.weir("tail", "trace", "-n", "10", "--no-follow", "-o", "json")
        self.assertEqual(tail.stdout.splitlines(), [EXPECTED, EXPECTED.replace('"t1"', '"t2"')])
        self.assertEqual(sorted(n for n in os.listdir(self.dir) if n.endswith(".jsonl")), [])

    def test_a_tree_that_names_no_mode_has_none(self):
        agent = self.start_tree(TREE.replace("    context_diff: {mode: whitelist, whitelist: [run_id, scenario_id]}\n", ""))
        agent.send_plain([step_record()])
        self.delivered(agent, 1)
        record = agent.records("trace.jsonl")[0]
        self.assertEqual([record[k] for k in ("ctx_before", "ctx_after", "ctx_diff")], [None, None, None])

    def test_tracing_enable_overrides_the_file(self):
        text = TREE.replace("enabled: true", "enabled: false")
        agent = self.start_tree(text, "--tracing", "enable")
        agent.send_plain([step_record()])
        self.delivered(agent, 1)
        self.assertEqual(agent.lines("trace.jsonl"), [EXPECTED])
        self.assertEqual(agent.raw("seed.yaml").decode(), text, "the file on disk is never changed")

    def test_tracing_disable_overrides_the_file(self):
        agent = self.start_tree(TREE, "--tracing", "disable")
        agent.send_plain([step_record()])
        self.assertEqual(next(iter(agent.status()["sources"].values()))["disabled"], 1)
        agent.stop()
        self.assertFalse(os.path.exists(self.path("trace.jsonl")))

    def test_trace_path_implies_enabled_and_replaces_the_sink(self):
        for text in (TREE, TREE.replace("enabled: true", "enabled: false"), TREE[:TREE.index("    sink:")]):
            with self.subTest(text=text), self.start_tree(text, "--trace-path", "other/here.jsonl") as agent:
                agent.send_plain([step_record()])
                self.delivered(agent, 1)
                self.assertEqual(agent.lines("other/here.jsonl"), [EXPECTED])
                agent.stop()
                self.assertFalse(os.path.exists(self.path("trace.jsonl")))
                os.unlink(self.path("other/here.jsonl"))

    def test_trace_path_works_on_weirs_own_configuration_and_leaves_other_streams_alone(self):
        agent = self.start("""
streams:
  trace: {enabled: false, sinks: [out, more], context_diff: {mode: none}}
  log: {sinks: [out]}
sinks:
  out: {type: jsonl, path: "@/out.jsonl"}
  more: {type: jsonl, path: "@/more.jsonl"}
""", ["--trace-path", "t.jsonl"])
        agent.send_plain([harness.trace("t"), harness.log("l")])
        self.delivered(agent, 2)
        agent.stop()
        self.assertEqual((agent.lines("t.jsonl"), agent.lines("out.jsonl")), ([harness.trace("t")], [harness.log("l")]))
        self.assertEqual(agent.raw("more.jsonl"), b"")

    def test_disable_with_trace_path_is_a_usage_error(self):
        code, said = self.start_fails(["--config", self.write("seed.yaml", TREE), "--tracing", "disable", "--trace-path", "x.jsonl"])
        self.assertEqual(code, 64)
        self.assertIn("--trace-path", said)
        self.assertFalse(os.path.exists(self.path("x.jsonl")))
        code, _ = self.start_fails(["--config", self.path("seed.yaml"), "--tracing", "maybe"])
        self.assertEqual(code, 64)

    def test_unknown_trees_beside_it_belong_to_the_framework(self):
        agent = self.start_tree("pipeline: {steps: [a, b]}\n" + TREE + "  mode: replay\n  cache: {size: 5}\nscenario: x\n")
        agent.send_plain([step_record()])
        self.delivered(agent, 1)
        self.assertEqual(agent.lines("trace.jsonl"), [EXPECTED])

    def needs_format_text(self):
        """An option of the sinks: without it there is nothing to translate the plain kinds to."""
        probe = "sinks: {a: {type: file, path: a, format: text}, b: {type: stdout, format: text}}\n"
        if self.weir("check", self.write("probe.yaml", probe)).returncode != 0:
            self.skipTest("this build's sinks have no `format: text`")

    def test_the_observability_tree(self):
        self.needs_format_text()
        agent = self.start_tree(OBSERVABILITY)
        business, platform = step_record("t1"), [step_record("t1", step_name=n) for n in ("system.obs.flush", "supervisor.transport")]
        agent.send_plain([business, *platform, harness.log("hello", service="svc")])
        agent.wait_status(lambda s: all(x["lag_records"] == 0 for x in s["sinks"].values()) and
                          sum(x["delivered"] for x in s["sinks"].values()) >= 3, "all delivered")
        records = agent.records("trace_business.jsonl")
        self.assertEqual([(r["step_name"], r["ctx_before"]) for r in records], [("s", None)], "default mode none, business only")
        filtered = [s["filtered"] for s in agent.status()["sinks"].values() if s["streams"] == ["trace"]]
        self.assertEqual(filtered, [{"trace_slice": 2}])
        agent.stop()
        self.assertIn("hello", agent.raw("app.log").decode())
        self.assertIn("no-correlation", agent.raw("app.log").decode())
        self.assertIn(harness.log("hello", service="svc"), agent.raw(agent.stdout_path).decode())
        self.assertFalse(os.path.exists(self.path("never.jsonl")))

    def test_conflicts_are_errors(self):
        both_trees = TREE + "  observability: {tracing: {exporters: [{kind: stdout}]}}\n"
        tree_and_own = TREE + "streams: {trace: {enabled: true}}\n"
        for text in (both_trees, tree_and_own):
            with self.subTest(text=text):
                self.assertEqual(self.weir("check", self.write("seed.yaml", text)).returncode, 78)

    def test_slices_by_their_aliases(self):
        agent = self.start_tree("""runtime:
  observability:
    tracing:
      exporters:
        - {kind: jsonl, settings: {path: all.jsonl, trace_slice: full}}
        - {kind: jsonl, settings: {path: logical.jsonl, trace_slice: logical}}
        - {kind: jsonl, settings: {path: topology.jsonl, trace_slice: topology}}
""")
        agent.send_plain([step_record("t1"), step_record("t1", step_name="system.obs.flush")])
        agent.wait_status(lambda s: all(x["lag_records"] == 0 for x in s["sinks"].values()) and
                          sum(x["delivered"] for x in s["sinks"].values()) == 4, "all delivered")
        steps = {name: [r["step_name"] for r in agent.records(name + ".jsonl")] for name in ("all", "logical", "topology")}
        self.assertEqual(steps, {"all": ["s", "system.obs.flush"], "logical": ["s"], "topology": ["system.obs.flush"]})

    def test_the_plain_kinds(self):
        self.needs_format_text()
        agent = self.start_tree("runtime: {observability: {logging: {exporters: [{kind: stdout_plain}, {kind: file_plain}]}}}\n")
        agent.send_plain([harness.log("hello")])
        self.delivered(agent, 2)
        agent.stop()
        self.assertIn("hello", agent.raw(agent.stdout_path).decode())
        self.assertNotIn("{", agent.raw(agent.stdout_path).decode(), "text, not JSON")
        name, = os.listdir(self.path("logs"))
        self.assertRegex(name, r"^logging_\d{8}T\d{6}Z_pid%d\.log$" % agent.pid)
        self.assertIn("hello", agent.raw("logs/" + name).decode())

    EXPORTERS = """runtime:
  observability:
    tracing:
      exporters:
        - kind: jsonl
        - {kind: jsonl, enabled: false, settings: {path: never.jsonl}}
        - {kind: otel_otlp, enabled: false, settings: {otlp: {endpoint: "http://127.0.0.1:4318/v1/traces"}, service: {service_name: k}}}
    logging: {exporters: [{kind: stdout}]}
    telemetry: {enabled: false, exporters: [{kind: jsonl, settings: {path: telemetry.jsonl}}]}
"""

    def test_exporters_and_the_file_without_a_path(self):
        before = time.gmtime()
        agent = self.start_tree(self.EXPORTERS)
        agent.send_plain([step_record(), harness.log("hello"), harness.compact({"stream": "telemetry", "name": "q", "value": 1})])
        self.delivered(agent, 2)
        name, = os.listdir(self.path("logs"))
        match = re.fullmatch(r"tracing_(\d{8}T\d{6}Z)_pid(\d+)\.jsonl", name)
        self.assertEqual(int(match.group(2)), agent.pid)
        self.assertTrue(time.strftime("%Y%m%dT%H%M%SZ", before) <= match.group(1) <= time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()))
        record, = agent.records("logs/" + name)
        self.assertEqual((record["trace_id"], record["ctx_before"]), ("t1", None), "default mode none")
        status = agent.status()
        self.assertEqual([status["sinks"][n]["streams"] for n in ("tracing_jsonl", "logging_stdout")], [["trace"], ["log"]])
        self.assertEqual(status["streams"]["telemetry"]["enabled"], False)
        agent.stop()
        self.assertIn(harness.log("hello"), agent.raw(agent.stdout_path).decode())
        self.assertEqual([n for n in ("never.jsonl", "telemetry.jsonl") if os.path.exists(self.path(n))], [])

    def test_a_reload_makes_no_new_file(self):
        agent = self.start_tree(self.EXPORTERS)
        agent.send_plain([step_record("t1")])
        self.delivered(agent, 1)
        before = agent.status()
        self.assertEqual(self.weir("reload").returncode, 0)
        self.write("seed.yaml", self.EXPORTERS.replace("kind: stdout", "kind: jsonl, settings: {path: log.jsonl}"))
        self.assertEqual(self.weir("reload").returncode, 0)
        after = agent.status()
        self.assertEqual(after["generation"], before["generation"] + 1, "the first one changed nothing")
        agent.send_plain([step_record("t2"), harness.log("x")])
        agent.wait_delivered("logging_jsonl", 1)
        agent.wait_delivered("tracing_jsonl", 2)
        name, = os.listdir(self.path("logs"))
        self.assertEqual([r["trace_id"] for r in agent.records("logs/" + name)], ["t1", "t2"])

    def test_conflicts_name_both_places(self):
        done = self.weir("check", self.write("seed.yaml", TREE + "  observability: {tracing: {exporters: [{kind: stdout}]}}\n"))
        place = re.escape(self.path("seed.yaml"))
        self.assertRegex(done.stdout, r"(?m)^%s:9:19: runtime\.observability\.tracing: runtime\.tracing at %s:2:3 sets up" % (place, place))

    def test_kinds_without_a_sink_yet_are_clear_errors(self):
        for kind in ("otel_otlp", "otel_otlp_logical", "otel_otlp_topology", "opentracing_bridge", "carrier_pigeon"):
            with self.subTest(kind=kind):
                text = "runtime: {observability: {tracing: {exporters: [{kind: %s, settings: {}}]}}}\n" % kind
                done = self.weir("check", self.write("seed.yaml", text))
                self.assertEqual(done.returncode, 78)
                self.assertRegex(done.stdout, r"seed\.yaml:1:56: runtime\.observability\.tracing\.exporters\[0\]\.kind: ")
                self.assertIn(kind, done.stdout)

    def test_adapters_by_name(self):
        text = TREE.replace("trace_jsonl", "trace_stdout").replace(
            "settings: {path: trace.jsonl, write_mode: line, flush_every_n: 1, fsync_every_n: null}", "settings: {}")
        agent = self.start_tree(text)
        agent.send_plain([step_record()])
        self.delivered(agent, 1)
        self.assertEqual(agent.raw(agent.stdout_path).decode(), EXPECTED + "\n")


class CaseMatrix(harness.AgentTest):
    """TRC-ADP and TRC-NET of the framework: the agent writes what happened, in the order it happened."""

    def run_pipeline(self, enabled=True, adapter_as_step=False, inject_adapter=False, boundary=False):
        text = TREE.replace("enabled: true", "enabled: %s" % str(enabled).lower())
        agent = self.spawn(["--config", self.write("seed.yaml", text), "--set", "data_dir=" + self.path("data")]).wait_ready()
        kernel = Kernel(self.path("in.sock"), "case-matrix")
        written = []

        def write_port(message):
            written.append(message)

        def decode(message, context):
            context["run_id"] = "run-1"
            return [message]

        def decide(message, context):
            context["scenario_id"] = "approved"
            if inject_adapter:
                write_port(message)  # the adapter works inside the step
            return [message]

        def adapter(message, context):
            write_port(message)
            return [message]
        steps = [("decode", decode), ("decide", decide)] + ([("write_adapter", adapter)] if adapter_as_step else [])
        for n in range(3):
            kernel.run("trace-%d" % n, {"n": n}, {}, steps, ingress="http.in" if boundary else None,
                       egress=("http.out", "decide") if boundary else None)
        kernel.close()
        agent.wait_status(lambda s: all(x["lag_records"] == 0 for x in s["sinks"].values()), "everything written")
        agent.stop()
        self.written = written
        if not os.path.exists(self.path("trace.jsonl")):
            return None
        return [(r["trace_id"], r.get("kind", "span"), r["step_name"]) for r in agent.records("trace.jsonl")]

    def each_trace(self, *rows):
        return [("trace-%d" % n, kind, step) for n in range(3) for kind, step in rows]

    def test_trc_adp_01_an_adapter_as_a_step_gives_a_span(self):
        self.assertEqual(self.run_pipeline(adapter_as_step=True),
                         self.each_trace(("span", "decode"), ("span", "decide"), ("span", "write_adapter")))
        self.assertEqual(len(self.written), 3)

    def test_trc_adp_02_an_injected_adapter_gives_none(self):
        self.assertEqual(self.run_pipeline(inject_adapter=True), self.each_trace(("span", "decode"), ("span", "decide")))
        self.assertEqual(len(self.written), 3)

    def test_trc_adp_03_disabled_writes_nothing(self):
        self.assertIsNone(self.run_pipeline(enabled=False, adapter_as_step=True))
        self.assertEqual(len(self.written), 3, "the pipeline itself runs as before")

    def test_trc_net_01_ingress_comes_before_the_first_step(self):
        rows = self.run_pipeline(boundary=True)
        for n in range(3):
            mine = [row[1:] for row in rows if row[0] == "trace-%d" % n]
            self.assertEqual(mine[:2], [("ingress", "http.in"), ("span", "decode")])

    def test_trc_net_02_egress_comes_after_its_producer(self):
        self.assertEqual(self.run_pipeline(boundary=True, adapter_as_step=True),
                         self.each_trace(("ingress", "http.in"), ("span", "decode"), ("span", "decide"), ("egress", "http.out"),
                                         ("span", "write_adapter")))


if __name__ == "__main__":
    unittest.main(verbosity=2)
