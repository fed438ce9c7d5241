"""Metrics: what is added up, what is sent, and when."""
import decimal
import fractions
import math
import threading
import unittest

import support
import weir
from weir.metrics import BusMetrics, Registry


def without_ts(records):
    return [{k: v for k, v in r.items() if k != "ts"} for r in records]


class Metrics(unittest.TestCase):
    def setUp(self):
        self.registry = Registry()

    def collect(self):
        return without_ts(self.registry.collect())

    def test_a_counter_sends_what_came_since_the_last_time(self):
        c = self.registry.counter("c", ("a", "b"), unit="By")
        c.inc(a="x", b=1)
        c.inc(2.5, a="x", b=1)
        c.labels("x", 1).inc()
        record = {"name": "c", "type": "counter", "value": 4.5, "temporality": "delta", "unit": "By", "attributes": {"a": "x", "b": 1}}
        self.assertEqual(self.collect(), [record])
        self.assertEqual(self.collect(), [])
        c.inc(a="x", b=1)
        self.assertEqual(self.collect(), [{**record, "value": 1}])

    def test_a_gauge_is_its_last_value_and_sent_when_it_changed(self):
        g = self.registry.gauge("g")
        g.set(5)
        g.inc(2)
        g.dec()
        self.assertEqual(self.collect(), [{"name": "g", "type": "gauge", "value": 6}])
        self.assertEqual(self.collect(), [])
        g.inc()
        self.assertEqual(self.collect()[0]["value"], 7)

    def test_a_histogram_counts_up_to_and_including_its_bounds(self):
        h = self.registry.histogram("h", bounds=(1, 2, 5), unit="s")
        for value in (0, 1, 1.5, 2, 5, 5.1, 100, math.nan):
            h.observe(value)
        self.assertEqual(self.collect(), [{"name": "h", "type": "histogram", "count": 7, "sum": 114.6, "bounds": [1, 2, 5], "unit": "s",
                                           "buckets": [2, 2, 1, 2], "temporality": "delta"}])
        h.observe(3)
        self.assertEqual(self.collect()[0]["buckets"], [0, 0, 1, 0])

    def test_an_infinite_observation_is_counted_and_not_added(self):
        h = self.registry.histogram("h", bounds=(1, 2))
        for value in (1, math.inf, -math.inf, 10 ** 400, 5):
            h.observe(value)
        got = self.collect()[0]
        self.assertEqual((got["sum"], got["count"], got["buckets"]), (6, 5, [2, 0, 3]))

    def test_numbers_of_other_kinds_are_numbers(self):
        c, g, h = self.registry.counter("c"), self.registry.gauge("g"), self.registry.histogram("h")
        c.inc(1.5)
        c.inc(decimal.Decimal("1.5"))
        c.inc(fractions.Fraction(1, 2))
        c.inc(True)
        g.set(decimal.Decimal("2.5"))
        g.inc(decimal.Decimal("1"))
        g.dec(fractions.Fraction(1, 2))
        h.observe(decimal.Decimal("0.25"))
        values = [r.get("value", r.get("sum")) for r in self.collect()]
        self.assertEqual([(v, type(v)) for v in values], [(4.5, float), (3.0, float), (0.25, float)])
        g.set("12")
        g.inc(1)
        self.assertEqual(self.collect()[0]["value"], 13)

    def test_what_is_no_number_changes_nothing_and_is_counted(self):
        before, weir.client._default = weir.client._default, support.KeepingClient()
        self.addCleanup(setattr, weir.client, "_default", before)
        c, g, h = self.registry.counter("c"), self.registry.gauge("g"), self.registry.histogram("h")
        for bad in ("x", None, 1j, [], object()):
            for call in (c.inc, g.set, g.inc, g.dec, h.observe):
                call(bad)
        g.set()
        h.observe()
        self.assertEqual((self.collect(), weir.client._default.dropped()["not_encodable"]), ([], 27))
        for value in (10 ** 400, math.inf, math.nan):  # numbers, but none to add
            c.inc(value)
            g.inc(value)
            g.set(value)
        self.assertEqual((self.collect(), weir.client._default.dropped()["not_encodable"]), ([], 27))

    def test_a_label_may_be_called_value(self):
        self.registry.counter("c", ["value"]).inc(value="x")
        self.registry.gauge("g", ["value", "self"]).set(3, value="y", self="z")
        plain = self.registry.gauge("p")
        plain.set(value=4)
        plain.inc(value=2)
        self.assertEqual([(r["value"], r.get("attributes")) for r in self.collect()],
                         [(1, {"value": "x"}), (3, {"value": "y", "self": "z"}), (6, None)])

    def test_timing_a_block_that_raises(self):
        h = self.registry.histogram("h")
        with self.assertRaises(KeyError), h.time():
            raise KeyError
        self.assertEqual(self.collect()[0]["count"], 1)

    def test_counters_do_not_shrink(self):
        c = self.registry.counter("c")
        for value in (-1, math.nan, math.inf):
            c.inc(value)
        self.assertEqual(self.collect(), [])

    def test_labels_that_do_not_fit_are_no_error(self):
        c = self.registry.counter("c", ("a", "b"))
        c.inc(a="x", other=1)
        c.inc(a=["x"], b=None)
        self.assertEqual([r["attributes"] for r in self.collect()], [{"a": "x", "b": ""}, {"a": "['x']", "b": "None"}])

    def test_labels_are_made_text_without_the_lock(self):
        entered, lock = threading.Event(), threading.Lock()

        class Row:
            def __str__(self):
                entered.set()
                with lock:  # of somebody who counts meanwhile
                    return "row"
        c, other = self.registry.counter("c", ("who",)), self.registry.counter("other")
        with lock:
            threads = [threading.Thread(target=c.inc, kwargs={"who": Row()}, daemon=True)]
            threads[0].start()
            self.assertTrue(entered.wait(support.DEADLINE_S))
            threads.append(threading.Thread(target=other.inc, daemon=True))
            threads[1].start()
            threads[1].join(support.DEADLINE_S)
            self.assertFalse(threads[1].is_alive())
        threads[0].join(support.DEADLINE_S)
        c.inc(who=Row())  # the same series
        self.assertEqual([(r["value"], r.get("attributes")) for r in self.collect()], [(2, {"who": "row"}), (1, None)])

    def test_series_are_bounded_and_the_rest_is_added_up(self):
        registry = Registry(series_max=3)
        c = registry.counter("c", ("n",))
        for n in range(10):
            c.inc(n=n)
        got = {str(r["attributes"]): r["value"] for r in registry.collect()}
        self.assertEqual(got, {"{'n': 0}": 1, "{'n': 1}": 1, "{'n': 2}": 1, "{'overflow': True}": 7})

    def test_the_same_name_is_the_same_metric_or_a_mistake_said_at_once(self):
        self.assertIs(self.registry.counter("c", ("a",)), self.registry.counter("c", ("a",)))
        for wrong in (lambda: self.registry.counter("c"), lambda: self.registry.gauge("c", ("a",)),
                      lambda: self.registry.histogram("h", bounds=(2, 1)), lambda: self.registry.histogram("h", bounds=())):
            self.assertRaises(ValueError, wrong)

    def test_threads_lose_nothing(self):
        c, h, taken = self.registry.counter("c", ("a",)), self.registry.histogram("h"), []
        threads = [threading.Thread(target=lambda: [(c.inc(a=1), h.observe(1)) for _ in range(5000)]) for _ in range(4)]
        for t in threads:
            t.start()
        while any(t.is_alive() for t in threads):
            taken += self.registry.collect()
        taken += self.registry.collect()
        self.assertEqual(sum(r["value"] for r in taken if r["name"] == "c"), 20_000)
        self.assertEqual(sum(r["count"] for r in taken if r["name"] == "h"), 20_000)

    def test_a_child_begins_at_nothing(self):
        c, g = self.registry.counter("c"), self.registry.gauge("g")
        c.inc()
        g.set(3)
        self.registry.lock.acquire()  # as a thread may that is not there in the child
        self.registry.after_fork_in_child()
        c.inc(2)
        self.assertEqual([(r["name"], r["value"]) for r in self.collect()], [("c", 2)])


class Bus(unittest.TestCase):
    def test_names_labels_and_buckets_are_the_bus_own(self):
        registry = Registry()
        bus = BusMetrics("orders", registry)
        self.assertEqual([(m.name, m.kind, m.label_names) for m in registry._metrics.values()], [
            ("orders_requests_total", "counter", ("service", "feature_type", "dto_name", "status")),
            ("orders_request_duration_seconds", "histogram", ("service", "feature_type", "dto_name")),
            ("orders_active_requests", "gauge", ("service", "feature_type")),
            ("orders_dependency_operations_total", "counter", ("service", "dependency_name", "operation", "status")),
            ("orders_cache_operations_total", "counter", ("service", "operation", "result"))])
        self.assertEqual(bus.request_duration_seconds.bounds, (.001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10))
        self.assertIn("requests_total", [m.name for m in BusMetrics("", Registry()).__dict__.values()])

    def test_a_request(self):
        registry = Registry()
        bus = BusMetrics("b", registry)
        with self.assertRaises(KeyError):
            with bus.request("s", "f", "Dto"):
                self.assertEqual([(r["name"], r["value"]) for r in registry.collect()], [("b_active_requests", 1)])
                raise KeyError
        with bus.request("s", "f", "Dto"):
            pass
        got = {(r["name"], r["attributes"].get("status")): r for r in registry.collect()}
        self.assertEqual(got["b_requests_total", "error"]["value"], 1)
        self.assertEqual(list(got["b_requests_total", "success"]["attributes"]), ["service", "feature_type", "dto_name", "status"])
        self.assertEqual(got["b_request_duration_seconds", None]["count"], 2)
        self.assertEqual(got["b_active_requests", None]["value"], 0)


class Sending(support.FakeAgentTest):
    def test_while_the_agent_is_away_metrics_stay_added_up(self):
        registry = Registry()
        client = self.client(metrics_interval_s=0.01)
        client.add_collector(registry.collect)
        c = registry.counter("c")
        client._wake()
        for _ in range(50):
            c.inc()
        support.wait_for(lambda: client.stats()["last_error"], "tried to connect")
        self.assertEqual(client.stats()["queued"], 0)
        agent = self.agent()
        agent.accept()
        agent.welcome()
        ((_, record),) = agent.read_records(1)
        self.assertEqual((record["stream"], record["name"], record["value"]), ("telemetry", "c", 50))

    def test_a_collector_that_raises_costs_the_others_nothing(self):
        def bad():
            raise RuntimeError("mine")
        client, registry = support.KeepingClient(), Registry()
        registry.counter("good").inc(5)
        for collect in (registry.collect, bad, lambda: None, lambda: [{"name": "last"}]):
            client.add_collector(collect)
        with self.assertLogs("weir.client", "WARNING") as said:
            lines = client.collect_metrics()
        self.assertEqual([support.strict(data)["name"] for data in lines], ["good", "last"])
        self.assertEqual((client.dropped()["not_encodable"], len(said.output)), (2, 1))
        self.assertIn("a collector of metrics raised RuntimeError: mine", said.output[0])

    def test_a_disabled_stream_takes_them_nowhere(self):
        registry = Registry()
        client = support.KeepingClient({"telemetry": {"enabled": False}})
        client.add_collector(registry.collect)
        registry.counter("c").inc()
        self.assertEqual((client.collect_metrics(), client.stats()["disabled"]), ([], 1))


if __name__ == "__main__":
    unittest.main()
