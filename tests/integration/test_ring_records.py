"""Records of shared-memory rings (proto/RING.md) in the real binary's files."""
import json
import os
import unittest

import frames
import harness
import rings
from harness import ALL_TO_FILE, wait_for

NS = 1_769_000_000_123_456_789
TIME = "2026-01-21T12:53:20.123456789Z"
TRACE, SPAN, PARENT = bytes(range(16)), bytes(range(8)), bytes(range(8, 16))
IDS = '"trace_id":"000102030405060708090a0b0c0d0e0f","span_id":"0001020304050607"'


class Records(harness.AgentTest):
    def setUp(self):
        super().setUp()
        self.agent = self.start(ALL_TO_FILE)
        self.producer = rings.connect(self.agent)
        self.addCleanup(self.producer.disconnect)

    def lines(self, count):
        self.agent.wait_delivered("out", count)
        return self.agent.lines()

    def test_welcome_offers_rings_on_unix_sockets_only(self):
        self.assertEqual(self.producer.welcome["features"], ["ring"])
        with frames.connect(self.agent, "net") as c:
            self.assertEqual(c.hello(client_id="x").json["features"], [])

    def test_each_kind_of_record(self):
        p = self.producer
        ring = p.ring()
        hello = p.site(rings.LOG, "hello")
        took = p.site(rings.LOG, "took {n} of {what}, {unknown}", "app.db", "db.cc:17", "warn",
                      [("n", rings.I64), ("what", rings.TEXT)])
        span = p.site(rings.SPAN, "load", "", "db.cc:20", args=[("rows", rings.U32)])
        count = p.site(rings.COUNTER, "requests", "1", args=[("code", rings.I32)])
        gauge = p.site(rings.GAUGE, "depth")
        ring.log(hello, clock=NS)
        ring.log(took, -5, 'a "b"\n\xe9', clock=NS, trace_id=TRACE, span_id=SPAN, correlation_id="c-1")
        ring.span(span, NS - 1000, 7, clock=NS, trace_id=TRACE, span_id=SPAN, parent_id=PARENT)
        ring.span(span, NS - 1000, 8, clock=NS, error=("io", "broken"), shortened=True)
        ring.metric(count, 1, 200, clock=NS)
        ring.metric(gauge, 2.5, clock=NS)
        ring.dynamic("log", [("message", rings.TEXT, "m"), ("at", rings.TIME, NS), ("o", rings.JSON, '{"a":\n1}')], clock=NS)
        ring.dynamic("trace", [("trace_id", rings.ID16, TRACE), ("ok", rings.BOOL, 1), ("none", rings.NULL, None)], clock=NS)
        self.assertEqual(self.lines(8), [
            '{"stream":"log","ts":%d,"level":"info","message":"hello"}' % NS,
            '{"stream":"log","ts":%d,"level":"warn","message":"took -5 of a \\"b\\"\\n\xe9, {unknown}","logger":"app.db",%s,'
            '"correlation_id":"c-1","attributes":{"n":-5,"what":"a \\"b\\"\\n\xe9"}}' % (NS, IDS),
            '{"stream":"trace","kind":"span","name":"load",%s,"parent_span_id":"08090a0b0c0d0e0f","start":%d,"end":%d,'
            '"status":"ok","attributes":{"rows":7}}' % (IDS, NS - 1000, NS),
            '{"stream":"trace","kind":"span","name":"load","start":%d,"end":%d,"status":"error","error":{"type":"io",'
            '"message":"broken","where":"db.cc:20"},"attributes":{"rows":8},"shortened":true}' % (NS - 1000, NS),
            '{"stream":"telemetry","ts":%d,"name":"requests","type":"counter","temporality":"delta","value":1,"unit":"1",'
            '"attributes":{"code":200}}' % NS,
            '{"stream":"telemetry","ts":%d,"name":"depth","type":"gauge","value":2.5}' % NS,
            '{"stream":"log","ts":%d,"message":"m","at":"%s","o":{"a": 1}}' % (NS, TIME),
            '{"stream":"trace","trace_id":"000102030405060708090a0b0c0d0e0f","ok":true,"none":null}'])
        source = self.agent.source()
        self.assertEqual((source["received"], source["journalled"]), (8, 8))
        self.assertEqual(source["rings"], {"attached": 1, "dropped": 0, "violations": 0, "refused": 0})

    def test_many_records_go_round_a_small_ring(self):
        p = self.producer
        ring = p.ring(64 << 10)
        site = p.site(rings.LOG, "n", args=[("n", rings.I64), ("pad", rings.TEXT)])
        for n in range(5000):
            wait_for(lambda: ring.log(site, n, "x" * (n % 200)), "room in the ring")
        got = [json.loads(line)["attributes"]["n"] for line in self.lines(5000)]
        self.assertEqual(got, list(range(5000)))
        wait_for(lambda: ring[rings.TAIL] == ring[rings.HEAD], "the tail is published")
        self.assertEqual(self.agent.status()["clients"]["app/%016x" % ring.id]["last_seq"], 5000)

    def test_a_trace_over_three_rings_comes_out_in_order(self):
        p = self.producer
        three = [p.ring() for _ in range(3)]
        site = p.site(rings.LOG, "n", args=[("n", rings.I64)])
        for n in range(3000):
            self.assertTrue(three[n * 7 % 3].log(site, n) or wait_for(lambda: three[n * 7 % 3].log(site, n), "room"))
        got = [json.loads(line)["attributes"]["n"] for line in self.lines(3000)]
        self.assertEqual(got, list(range(3000)))

    def test_a_record_that_makes_no_sense_costs_only_itself(self):
        p = self.producer
        ring = p.ring()
        site = p.site(rings.LOG, "fine")
        ring.log(site, clock=NS)
        ring.record(999, b"\0" * 8)                    # unknown site
        ring.record(site.id, b"\0" + b"x" * 30)        # longer than its values
        ring.record(rings.DYNAMIC | 1, b"\x20ab\x07")  # a name that ends behind it
        ring.record(rings.DYNAMIC | 9, b"")            # no such stream
        ring.dynamic("log", [("a", rings.NULL, 0), ("a", rings.NULL, 0)])
        ring.log(site, clock=NS + 1)
        self.assertEqual([json.loads(x)["ts"] for x in self.lines(2)], [NS, NS + 1])
        source = self.agent.source()
        self.assertEqual(source["rejected"], {"bad_json": 4, "duplicate_key": 1})
        self.assertEqual(source["rings"]["violations"], 0)
        self.assertEqual(len(self.agent.quarantine()), 5)
        self.assertEqual(ring[rings.REJECTED], 5)

    def test_a_closed_ring_is_let_go_of_and_its_drops_are_counted(self):
        p = self.producer
        ring, other = p.ring(), p.ring()
        site = p.site(rings.LOG, "last")
        ring[rings.DROPPED] = 3
        other[rings.DROPPED] = 2
        ring.log(site)
        ring.close()
        self.lines(1)
        wait_for(lambda: self.agent.source()["rings"]["attached"] == 1, "the closed ring is gone")
        self.assertEqual(ring[rings.TAIL], ring[rings.HEAD])
        self.agent.wait_status(lambda s: s["sources"]["local"]["rings"]["dropped"] == 5, "drops are counted")
        self.assertEqual(self.agent.status()["clients"]["app"]["dropped"], 5)

    def test_a_record_after_a_long_silence_rings(self):
        p = self.producer
        ring = p.ring()
        site = p.site(rings.LOG, "n", args=[("n", rings.I64)])
        for n in range(3):
            wait_for(lambda: p.arena.map[rings.NAPPING], "the agent naps")
            ring.log(site, n)
            self.lines(n + 1)


if __name__ == "__main__":
    unittest.main(verbosity=2)
