"""What steps, spans, boundaries, log handler and trace sink make of a program: records as records.md says."""
import asyncio
import collections
import dataclasses
import datetime
import decimal
import functools
import logging
import re
import sys
import threading
import types
import unittest
from unittest import mock

import support
import weir
from support import KeepingClient
from weir.correlation import current

RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z")


@dataclasses.dataclass
class Signature:
    type_name: str
    identity: object
    hash: object


@dataclasses.dataclass
class TraceRecord:
    trace_id: str
    step_name: str
    t_enter: datetime.datetime
    msg_in: Signature
    msg_out: tuple
    ctx_before: dict
    ctx_after: dict
    duration_ms: decimal.Decimal = decimal.Decimal("1")


class Order:
    def __init__(self, number):
        self.id = number


class Emitting(unittest.TestCase):
    def record(self):
        when = datetime.datetime(2026, 1, 21, 10, tzinfo=datetime.timezone.utc)
        return TraceRecord("t", "s", when, Signature("Order", "7", None), (Signature("Order", "7", None),), {"a": 1}, {"a": {"b": [1]}})

    def test_a_dataclass_a_dict_and_an_object_give_the_same(self):
        client = KeepingClient()
        sink = weir.TraceSink(client)
        record = self.record()
        plain = type("Plain", (), {})()
        plain.__dict__.update(vars(record))
        for form in (record, dict(vars(record)), plain):
            sink.emit(form)
        signature = {"type_name": "Order", "identity": "7", "hash": None}
        self.assertEqual(client.records(), [{
            "stream": "trace", "trace_id": "t", "step_name": "s", "t_enter": "2026-01-21T10:00:00Z", "msg_in": signature,
            "msg_out": [signature], "ctx_before": {"a": 1}, "ctx_after": {"a": {"b": [1]}}, "duration_ms": "1"}] * 3)

    def test_what_happens_to_a_record_later_does_not_show(self):
        client = KeepingClient()
        record = self.record()
        weir.TraceSink(client).emit(record)
        record.ctx_after["a"]["b"].append(2)
        self.assertEqual(client.records()[0]["ctx_after"], {"a": {"b": [1]}})

    def test_contexts_that_are_objects_are_reduced_too(self):
        client = KeepingClient({"trace": {"context_diff": "whitelist", "whitelist": ["type_name"]}})
        weir.TraceSink(client).emit({"ctx_before": Signature("a", "b", "c"), "ctx_after": "text"})
        self.assertEqual(client.records(), [{"stream": "trace", "ctx_before": {"type_name": "a"}, "ctx_after": "text"}])


class Steps(unittest.TestCase):
    def setUp(self):
        self.client = KeepingClient()
        self.addCleanup(current.reset, current.set(weir.Context()))

    def test_context_on_both_sides_messages_and_times(self):
        ctx = {"decision": "new", "deep": {"n": 1}}
        order = Order(7)
        with weir.step("approve", ctx, message=order, trace_id="t-1", step_index=3, client=self.client) as step:
            ctx["decision"], ctx["deep"]["n"] = "approved", 2
            step.output(order)
            order.id = 8
            step.output(order)
            step.set("why", "rich")
        (r,) = self.client.records()
        self.assertRegex(r.pop("t_enter"), RFC3339)
        self.assertRegex(r.pop("t_exit"), RFC3339)
        self.assertGreaterEqual(r.pop("duration_ms"), 0)
        self.assertRegex(r.pop("span_id"), "^[0-9a-f]{16}$")
        self.assertEqual(r, {
            "stream": "trace", "trace_id": "t-1", "step_name": "approve", "step_index": 3, "status": "ok", "error": None,
            "msg_in": {"type_name": "Order", "identity": "7", "hash": None}, "msg_out_count": 2, "attributes": {"why": "rich"},
            "msg_out": [{"type_name": "Order", "identity": "7", "hash": None}, {"type_name": "Order", "identity": "8", "hash": None}],
            "ctx_before": {"decision": "new", "deep": {"n": 1}}, "ctx_after": {"decision": "approved", "deep": {"n": 2}}})

    def test_values_go_along_when_asked_for(self):
        message = {"id": 1, "lines": [1]}
        with weir.step("s", message=message, values=True, client=self.client) as step:
            step.output(message)
            message["lines"].append(2)
        (r,) = self.client.records()
        self.assertEqual((r["msg_in"]["value"], r["msg_out"][0]["value"]), ({"id": 1, "lines": [1]},) * 2)

    def test_what_is_raised_is_noted_and_goes_on(self):
        with self.assertRaises(KeyError):
            with weir.step("s", client=self.client):
                raise KeyError("k")
        (r,) = self.client.records()
        self.assertEqual((r["status"], r["error"]["type"], r["error"]["message"]), ("error", "KeyError", "'k'"))
        self.assertIn("in test_what_is_raised", r["error"]["where"])

    def test_nested_scopes_are_one_trace_of_parents_and_children(self):
        with weir.step("outer", client=self.client) as outer:
            with weir.span("inner", client=self.client) as inner:
                pass
            with weir.span("other", trace_id="else", client=self.client):
                pass
        i, other, o = self.client.records()
        self.assertEqual((i["trace_id"], i["parent_span_id"], i["span_id"]), (outer.trace_id, outer.span_id, inner.span_id))
        self.assertNotIn("parent_span_id", o)
        self.assertEqual((other["trace_id"], "parent_span_id" in other), ("else", False))
        self.assertEqual(current.get(), weir.Context())

    def test_a_span_has_kind_attributes_events_and_the_correlation_id(self):
        weir.correlation_manager.set("c-1")
        with weir.span("GET", kind="client", attributes={"a": 1}, links=[{"trace_id": "x"}], client=self.client) as span:
            span.set("b", 2)
            span.event("retry", n=1)
            span.fail(ValueError("soft"))
        (r,) = self.client.records()
        self.assertEqual((r["name"], r["span_kind"], r["attributes"], r["correlation_id"], r["links"], r["status"]),
                         ("GET", "client", {"a": 1, "b": 2}, "c-1", [{"trace_id": "x"}], "error"))
        self.assertEqual((r["events"][0]["name"], r["events"][0]["attributes"]), ("retry", {"n": 1}))
        self.assertLessEqual(r["start"], r["end"])

    def test_decorators_name_themselves_and_take_context_and_messages_from_arguments(self):
        @weir.step(ctx=lambda order, ctx: ctx, message=lambda order, ctx: order, client=self.client)
        def approve(order, ctx):
            """doc"""
            ctx["n"] += 1
            return [order, Order(9)]

        self.assertEqual((approve.__name__, approve.__doc__), ("approve", "doc"))
        ctx = {"n": 0}
        approve(Order(7), ctx)
        approve(Order(8), ctx)
        first, second = self.client.records()
        self.assertTrue(first["step_name"].endswith("approve"))
        self.assertEqual([s["identity"] for s in [first["msg_in"]] + first["msg_out"]], ["7", "7", "9"])
        self.assertEqual((second["ctx_before"], second["ctx_after"]), ({"n": 1}, {"n": 2}))
        self.assertNotEqual(first["span_id"], second["span_id"])

    def test_a_decorators_faulty_way_to_the_context_does_not_break_the_call(self):
        @weir.step("s", ctx=lambda: None, client=self.client)
        def add(a, b):
            return a + b
        with self.assertLogs("weir.client", "WARNING"):
            self.assertEqual(add(1, 2), 3)
        self.assertNotIn("ctx_before", self.client.records()[0])

    def test_coroutines_that_run_at_once_keep_their_contexts_apart(self):
        @weir.step("leaf", client=self.client)
        async def leaf():
            await asyncio.sleep(0)
            return None

        @weir.span("branch", client=self.client)
        async def branch():
            for _ in range(3):
                await leaf()

        async def main():
            async with weir.span("root", client=self.client):
                await asyncio.gather(*(branch() for _ in range(5)))
        asyncio.run(main())
        records = self.client.records()
        by_id = {r["span_id"]: r for r in records}
        self.assertEqual((len(records), len(by_id), len({r["trace_id"] for r in records})), (21, 21, 1))
        self.assertEqual([by_id[r["parent_span_id"]]["name"] for r in records if r.get("step_name") == "leaf"], ["branch"] * 15)

    def test_a_coroutine_that_is_cancelled_is_an_error(self):
        @weir.span("s", client=self.client)
        async def forever():
            await asyncio.Event().wait()

        async def main():
            task = asyncio.ensure_future(forever())
            await asyncio.sleep(0)
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task
        asyncio.run(main())
        self.assertIn("CancelledError", self.client.records()[0]["error"]["type"])

    def test_nothing_is_raised_for_what_cannot_be_read(self):
        class Bad:
            @property
            def id(self):
                raise RuntimeError("no")
        with weir.step("s", 5, message=Bad(), client=self.client) as step:
            step.output(Bad())
        (r,) = self.client.records()
        self.assertEqual((r["msg_out_count"], r["ctx_before"], "msg_in" in r), (0, None, False))
        self.assertEqual(current.get(), weir.Context())

    def test_a_context_that_cannot_be_read_costs_only_itself(self):
        class Hidden:
            def __init__(self):
                self._secret = 1

        class Slotted:
            __slots__ = ("x",)

        class Faulty(dict):
            def keys(self):
                raise RuntimeError("no")
            __iter__ = items = keys
        for ctx, before in ((Hidden(), {}), (types.SimpleNamespace(), {}), (Slotted(), {})):
            with weir.step("s", ctx, client=self.client):
                ctx.x = 1
            r = self.client.records()[-1]
            self.assertEqual((r["ctx_before"], r["ctx_after"]), (before, {"x": 1}))
        with self.assertLogs("weir.client", "WARNING") as said:
            for ctx in ([1], "text", 5, Faulty()):
                with weir.step("s", ctx, client=self.client) as step:
                    step.set("n", 1)
                r = self.client.records()[-1]
                self.assertEqual((r["ctx_before"], r["ctx_after"], r["attributes"]), (None, None, {"n": 1}))
        self.assertIn("the context of step s cannot be read: TypeError: no record: list", said.output[0])
        self.assertEqual((len(said.output), self.client.all_dropped()), (1, 0))

    def test_a_named_tuple_that_is_returned_is_one_message(self):
        total = collections.namedtuple("Total", "id amount")
        weir.step(client=self.client)(lambda: total(7, 2))()
        self.assertEqual(self.client.records()[0]["msg_out"], [{"type_name": "Total", "identity": "7", "hash": None}])

    def test_the_policy_decides_what_of_a_context_is_encoded(self):
        class Unwanted:
            def __str__(self):
                raise AssertionError("serialised")
        for policy, expected in (({"context_diff": "whitelist", "whitelist": ["a"]}, {"a": 1}), ({"context_diff": "none"}, None)):
            client = KeepingClient({"trace": policy})
            with weir.step("s", {"a": 1, "b": Unwanted()}, client=client):
                pass
            self.assertEqual([client.records()[0][k] for k in ("ctx_before", "ctx_after")], [expected] * 2)

    def test_a_disabled_stream_makes_nothing(self):
        client = KeepingClient({"trace": {"enabled": False}})
        with weir.step("s", {"a": 1}, client=client), weir.span("x", client=client):
            pass
        weir.TraceSink(client).emit({})
        self.assertEqual((client.lines, client.stats()["disabled"]), ([], 3))

    def test_a_step_that_is_open_when_traces_are_enabled_arrives(self):
        client = KeepingClient({"trace": {"enabled": False}})
        with weir.step("s", {"a": 1}, message={"id": 1}, client=client) as step:
            client.policy = support.Policy()
            step.output({"id": 2})
        with weir.span("s", client=client):
            pass
        first, second = client.records()
        self.assertEqual((first["ctx_before"], first["ctx_after"], first["msg_out_count"]), (None, {"a": 1}, 1))
        self.assertEqual((second["name"], client.all_dropped()), ("s", 0))

    def test_what_does_not_hold_all_says_so(self):
        client, value = KeepingClient(), []
        for _ in range(50):
            value = [value, value]
        client.emit("trace", {"trace_id": "t", "v": value})
        with weir.step("s", {"v": value}, client=client):
            pass
        with weir.step("s", message=value, values=True, client=client):
            pass
        for scope in (weir.step("s", client=client), weir.span("s", client=client)):
            with self.assertRaises(ValueError), scope:
                raise ValueError("y" * 300_000)
        self.assertEqual([r["shortened"] for r in client.records()], [True] * 5)

    def test_boundaries_and_monitoring(self):
        with weir.span("s", client=self.client) as span:
            weir.ingress("http", Order(1), client=self.client)
            weir.egress("queue", Order(2), client=self.client)
            weir.monitor("slo.latency", severity="page", value=3, threshold=2.5, client=self.client, team="a")
        i, e, m, _ = self.client.records()
        self.assertEqual((i["kind"], i["step_name"], i["trace_id"], i["msg_in"]["identity"]), ("ingress", "http", span.trace_id, "1"))
        self.assertEqual((e["kind"], e["msg_out"][0]["identity"]), ("egress", "2"))
        self.assertRegex(m.pop("ts"), RFC3339)
        self.assertEqual(m, {"stream": "monitoring", "rule": "slo.latency", "severity": "page", "state": "firing", "value": 3,
                             "threshold": 2.5, "trace_id": span.trace_id, "attributes": {"team": "a"}})


class Calls(unittest.TestCase):
    """weir.log() and the others, however they are called."""

    def setUp(self):
        self.client = KeepingClient()
        before, weir.client._default = weir.client._default, self.client
        self.addCleanup(setattr, weir.client, "_default", before)

    def test_messages_and_levels_of_any_kind(self):
        for level, message in (("info", 42), ("info", ValueError("x")), ("info", None), (None, "m"), (30, "m"), (39.5, "m"), (5, "m"),
                               (logging.CRITICAL, "m"), (object, "m")):
            weir.log(level, message)
        got = self.client.records()
        self.assertEqual([r["message"] for r in got], ["42", "x", "None"] + ["m"] * 6)
        self.assertEqual([r["level"] for r in got], ["info"] * 4 + ["warn", "warn", "trace", "fatal", "<class 'object'>"])

    def test_attributes_of_any_name(self):
        names = {"logger": "x", "level": 3, "self": 4, "message": 5, "client": 6, "value": 7}
        weir.log("info", "m", **names)
        weir.log(level="info", message="m", n=1)
        self.client.log("info", "m", level=3, self=4, message=5)
        with weir.span("s") as span:
            span.event("e", name="y", self=1)
            span.event(name="named")
        weir.monitor("r", rule="x")
        weir.monitor(rule="named")
        weir.ingress("p", None, name="x", kind="y")
        weir.egress(name="q", message={"id": 7})
        got = self.client.records()
        self.assertEqual([r.get("attributes") for r in got[:3]], [names, {"n": 1}, {"level": 3, "self": 4, "message": 5}])
        self.assertEqual([(r["level"], r["message"]) for r in got[:3]], [("info", "m")] * 3)
        self.assertEqual([(e["name"], e["attributes"]) for e in got[3]["events"]], [("e", {"name": "y", "self": 1}), ("named", {})])
        self.assertEqual([(r["rule"], r.get("attributes")) for r in got[4:6]], [("r", {"rule": "x"}), ("named", None)])
        self.assertEqual([(r["kind"], r["step_name"]) for r in got[6:]], [("ingress", "p"), ("egress", "q")])
        self.assertEqual(self.client.all_dropped(), 0)

    def test_arguments_of_other_kinds(self):
        manager = weir.correlation_manager
        token = manager.set(1001)
        weir.log("info", "m")
        self.assertEqual(manager.inject({})["X-Correlation-ID"], "1001")
        manager.reset(token)
        with manager.activate(weir.Context(correlation_id=5, trace_id=6, span_id=7)), manager.activate(None):
            weir.log("info", "m")
        with weir.step("s", trace_id=9) as step:
            step.set(["k"], 1)
            weir.log("info", "m")
        with weir.span("s", attributes=5, links=6) as span:
            span.fail("text")
        got = self.client.records()
        self.assertEqual([r.get("correlation_id") for r in got], ["1001", None, None, None, None])
        self.assertEqual([(r["trace_id"], r.get("attributes")) for r in got[2:4]], [("9", None), ("9", {"['k']": 1})])
        self.assertEqual((got[4]["attributes"], got[4]["status"], self.client.all_dropped()), ({"attributes": 5}, "error", 0))

    def test_without_a_descriptor_for_a_client_nothing_is_raised(self):
        logger = logging.Logger("x")
        logger.addHandler(weir.LoggingHandler())
        with mock.patch("weir.client._default", None), mock.patch("os.pipe", side_effect=OSError(24, "Too many open files")):
            weir.log("info", "x")
            weir.monitor("r")
            weir.ingress("p")
            weir.counter("test_records_c").inc("x")
            logger.info("x")
            with weir.step("s"), weir.span("t"):
                pass

    def test_decorators_of_what_has_no_name(self):
        self.assertEqual(weir.span()(functools.partial(int, "3"))(), 3)
        self.assertEqual(weir.step()(functools.partial(int, "3"))(), 3)
        first, second = self.client.records()
        self.assertEqual((first["name"], second["step_name"]), ("int", "int"))


if __name__ == "__main__":
    unittest.main()
