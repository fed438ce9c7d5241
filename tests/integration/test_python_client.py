"""The Python client on the real agent: every kind of record, both modes, both transports, and what a policy changes."""
import json
import logging
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))
import harness
from agent_support import PythonTest, by_member, offered  # first: it puts the client on the path
from harness import ALL_TO_FILE, wait_for
from other_version import ERROR, MAGIC, OtherVersion
import weir
from weir.client import Client
from weir.connection import parse_address
from weir.metrics import BusMetrics, Registry

MODES = "streams:\n  trace: {context_diff: %s, sinks: [out]}\n  log: {%s sinks: [out]}\n" \
        "  telemetry: {sinks: [out]}\n  monitoring: {sinks: [out]}\nsinks:\n  out: {type: jsonl, path: \"@/out.jsonl\"}\n"


class EverythingArrives(PythonTest):
    def offer_one_of_each(self, client):
        registry = Registry()
        client.add_collector(registry.collect)
        ctx = {"decision": "new"}
        with weir.step("approve", ctx, trace_id="t-1", client=client):
            ctx["decision"] = "approved"
        with weir.span("query", trace_id="t-1", client=client):
            pass
        weir.TraceSink(client).emit({"trace_id": "t-1", "step_name": "publish", "ctx": {"decision": "sent"}})
        client.log("info", "hi", n=1)
        logger = logging.Logger("shop")
        logger.addHandler(weir.LoggingHandler(client))
        logger.error("bad ä€😀\n")
        weir.monitor("slo", value=1.5, client=client)
        with BusMetrics("bus", registry).request("orders", "create", "OrderDto"):
            pass

    def test_every_kind_by_every_way(self):
        for mode in ("background", "direct"):
            for source in ("local", "net"):
                with self.subTest(mode=mode, source=source), self.start(ALL_TO_FILE) as agent:
                    client = self.connected(agent, source, mode=mode, service="orders")
                    self.offer_one_of_each(client)
                    self.flush(client)
                    agent.wait_delivered("out", 9)
                    records = agent.records()
                    self.assertEqual(by_member(records, "stream"), ["trace"] * 3 + ["log"] * 2 + ["monitoring"] + ["telemetry"] * 3)
                    self.assertEqual(set(by_member(records, "service")), {"orders"})
                    self.assertEqual(records[0]["ctx_diff"], {"decision": {"before": "new", "after": "approved"}})
                    self.assertEqual(records[4]["message"], "bad ä€😀\n")
                    stats = client.stats()
                    self.assertEqual((stats["acknowledged"], offered(stats), stats["rejected"]), (9, 9, {}))
                    self.assertEqual(agent.status()["clients"][client.client_id]["last_seq"], 9)
                    self.assertTrue(client.close())
                    agent.stop()
                os.remove(self.path("out.jsonl"))

    def test_what_no_json_holds_is_no_reason_for_the_agent_to_refuse_it(self):
        agent = self.start(ALL_TO_FILE)
        client = self.connected()
        cycle = {}
        cycle["self"] = cycle
        for n, value in enumerate((float("nan"), "\ud800", cycle, object(), {(1, 2): 3}, b"\xff", 10 ** 400, 1 << 100_000, "\x00\x1f\x7f\u2028")):
            client.emit("trace", {"trace_id": "t", "step_name": "s%d" % n, "ctx": {"v": value}})
            client.log("info", "x", v=value)
        self.flush(client)
        self.assertEqual((client.stats()["rejected"], agent.source()["accepted"]), ({}, 18))

    def test_what_is_too_long_or_never_ends_arrives_shortened(self):
        agent = self.start(ALL_TO_FILE)
        client = self.connected()
        shared = []
        for _ in range(40):
            shared = [shared, shared]
        client.emit("trace", {"trace_id": "t", "step_name": "a", "ctx": {"long": "x" * 1_000_000, "n": 1}})
        client.emit("trace", {"trace_id": "t", "step_name": "b", "ctx": {"n": list(range(300_000)), "m": 1}})
        client.log("info", "\x01" * 1_000_000, v=shared)
        with self.assertRaises(ValueError), weir.step("c", {"v": shared}, trace_id="t", client=client):
            raise ValueError("y" * 300_000)
        self.flush(client)
        agent.wait_delivered("out", 4)
        self.assertEqual(by_member(agent.records(), "shortened"), [True] * 4)
        self.assertEqual((client.stats()["rejected"], sum(client.dropped().values())), ({}, 0))

    def test_what_is_refused_all_the_same_is_counted_and_in_the_quarantine(self):
        agent = self.start(ALL_TO_FILE)
        client = self.connected()
        with self.assertLogs("weir.client", "WARNING"):
            client.emit("trace", {"step_name": "a", "ctx": {1: "a", "1": "b"}})
            client.emit("trace", {"step_name": 5})
            client.emit("trace", {"step_name": "c"})
            self.flush(client)
        self.assertEqual((client.stats()["rejected"], client.stats()["acknowledged"]), ({"duplicate_key": 1, "bad_field": 1}, 3))
        self.assertEqual(by_member(agent.quarantine(), "reason"), ["duplicate_key", "bad_field"])

    def test_order_across_streams_is_kept(self):
        agent = self.start(ALL_TO_FILE)
        for mode in ("background", "direct"):
            client = self.connected(mode=mode)
            for n in range(2000):
                if n % 3:
                    client.log("info", str(n))
                else:
                    client.emit("trace", {"message": str(n)})
            self.flush(client)
        self.wait_drained(agent)
        self.assertEqual(by_member(agent.records(), "message"), [str(n) for n in range(2000)] * 2)

    def test_in_direct_mode_nothing_is_lost_with_the_process(self):
        agent = self.start(ALL_TO_FILE)
        process = self.python("import os, signal, weir\nweir.connect(mode='direct')\nfor n in range(100): weir.log('info', str(n))\n"
                              "os.kill(os.getpid(), signal.SIGKILL)")
        process.communicate()
        agent.wait_delivered("out", 100)
        self.assertEqual(by_member(agent.records(), "message"), [str(n) for n in range(100)])

    def test_a_program_that_ends_has_flushed_whatever_way_it_ends(self):
        agent = self.start(ALL_TO_FILE)
        ends = ("", "sys.exit(3)", "raise ValueError('on purpose')", "threading.Thread(target=lambda: weir.log('info', 'x')).start()")
        for n, end in enumerate(ends):
            process = self.python("import sys, threading, weir\nfor n in range(500): weir.log('info', 'x')\n" + end)
            process.communicate(timeout=harness.DEADLINE_S)
            agent.wait_delivered("out", 500 * (n + 1))
        agent.wait_delivered("out", 2001)
        self.assertEqual(len(agent.records()), 2001)

    def test_a_named_client_of_two_processes_goes_on_with_its_numbers(self):
        agent = self.start(ALL_TO_FILE)
        for _ in range(3):
            self.run_python("import weir\nc = weir.connect(client_id='nightly')\nweir.log('info', 'x')\nassert c.flush(10)")
        self.assertEqual(agent.status()["clients"]["nightly"]["last_seq"], 3)
        self.assertEqual(agent.status()["clients"]["nightly"]["gaps"], 0)
        self.wait_drained(agent)
        self.assertEqual(len(agent.records()), 3)


class OtherVersionTest(PythonTest):
    def test_an_agent_of_another_version_is_sent_lines(self):
        agent = self.start(ALL_TO_FILE)
        for answer in (ERROR, MAGIC):
            with OtherVersion(self.path(answer), self.path("in.sock"), answer) as other:
                client = Client(parse_address("unix:" + self.path(answer)), client_id="old-" + answer)
                client._wake()
                self.assertTrue(client.wait_connected(harness.DEADLINE_S), client.stats())
                with self.assertLogs("weir.client", "WARNING"):
                    for n in range(200):
                        client.emit("trace", {"step_name": 5 if n == 20 else "%s %d" % (answer, n)})
                    client.flush(harness.DEADLINE_S)
                stats = client.stats()
                self.assertEqual(stats["rejected"], {"bad_field": 1}, stats)
                client.close(harness.DEADLINE_S)
                self.assertEqual(other.refused, 1)
                known = agent.status()["clients"]["old-" + answer]
                self.assertEqual((known["last_seq"], known["gaps"]), (200, 0))
        self.wait_drained(agent)
        for answer in (ERROR, MAGIC):
            numbers = [int(r["step_name"].split()[1]) for r in agent.records() if r["step_name"].startswith(answer)]
            self.assertEqual(numbers, [n for n in range(200) if n != 20])


class PolicyTest(PythonTest):
    RECORDS = [
        {"step_name": "both", "ctx_before": {"z": 1, "run_id": 1, "d": {"s": 1, "t": 2}}, "ctx_after": {"run_id": 2, "d": {"s": 2}, "z": 5}},
        {"step_name": "own diff", "ctx_before": {"a": 1}, "ctx_after": {"a": 2}, "ctx_diff": {"q": {"before": 1, "after": 2}}},
        {"step_name": "diff only", "ctx_diff": {"run_id": {"before": 1, "after": 2}, "d.s": {"before": 1, "after": 2}, "z": {"before": 0, "after": 1}}},
        {"step_name": "one side", "ctx_after": {"run_id": 3, "z": 1}, "status": "ok"},
        {"step_name": "null side", "ctx_before": None, "ctx_after": {"run_id": 3, "z": 1, "d.s": 4}},
        {"step_name": "light", "trace_id": "l", "ctx": {"run_id": 1, "z": 1}},
        {"step_name": "light again", "trace_id": "l", "ctx": {"run_id": 2, "z": 2, "d": {"s": "x" * 300}}},
        {"step_name": "set", "trace_id": "l", "ctx_set": {"z": 3, "run_id": 4}, "ctx_unset": ["d"]},
        {"step_name": "set unwanted", "trace_id": "l", "ctx_set": {"z": 4}},
        {"step_name": "empty", "ctx_before": {}, "ctx_after": {}},
        {"step_name": "no context"},
    ]

    def test_what_the_agent_makes_of_a_record_does_not_depend_on_what_the_client_left_out(self):
        for mode in ("{mode: none}", "{mode: full}", "{mode: whitelist, whitelist: [run_id, d.s]}", "{mode: whitelist, whitelist: []}",
                     "{mode: full, snapshots: false}"):
            outcomes, sent = [], []
            for reduced in (False, True):
                with self.subTest(mode=mode), self.start(MODES % (mode, "")) as agent:
                    if reduced:
                        client = self.connected()
                        for record in self.RECORDS:
                            weir.TraceSink(client).emit(record)
                        self.flush(client)
                        sent.append(client.policy.filters_context)
                    else:
                        agent.send_plain([json.dumps({"stream": "trace", **r}, separators=(",", ":")) for r in self.RECORDS])
                    agent.wait_delivered("out", len(self.RECORDS))
                    outcomes.append(agent.lines())
                    agent.stop()
                os.remove(self.path("out.jsonl"))
            self.assertEqual(outcomes[0], outcomes[1], mode)
            self.assertEqual(sent, ["full" not in mode])

    def test_a_policy_that_changes_is_followed(self):
        agent = self.start(MODES % ("{mode: none}", ""))
        client = self.connected()
        self.assertEqual(client.policy.context_mode, "none")
        self.write_config(MODES % ("{mode: whitelist, whitelist: [a.b]}", "enabled: false,"))
        self.assertEqual(self.weir("reload", "--control", agent.control).returncode, 0)
        wait_for(lambda: client.policy.context_mode == "whitelist" and not client.policy.log, "the new policy")
        for _ in range(10):
            client.log("info", "x")
        client.emit("trace", {"ctx": {"a": {"b": 1}, "c": 2}})
        self.flush(client)
        self.assertEqual((client.stats()["disabled"], agent.source()["received"]), (10, 1))


if __name__ == "__main__":
    harness.main()
