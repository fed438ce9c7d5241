"""Context diff through the real binary against an oracle that reads records.md section 5 in Python, with random contexts;
and the memory of the light form across connections, reloads and limits. Fixed cases stand in tests/golden."""
import json
import os
import random
import unittest
from decimal import Decimal

import harness

SINK = """
  log: {sinks: [out]}
sinks: {out: {type: jsonl, path: "@/out.jsonl"}}
"""


def config(context_diff):
    return "streams:\n  trace: {sinks: [out], context_diff: {%s}}" % context_diff + SINK


class Number(str):
    """The text of a number, as it was sent; never equal to a string of the same text."""

    def __eq__(self, other):
        return isinstance(other, Number) and str.__eq__(self, other)

    __hash__ = str.__hash__


def parse(text):
    return json.loads(text, parse_int=Number, parse_float=Number)


def equal(a, b):
    """Equal as JSON values (records.md section 5)."""
    if isinstance(a, Number) or isinstance(b, Number):
        return isinstance(a, Number) and isinstance(b, Number) and Decimal(a) == Decimal(b)
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b


def cut(value, limit):
    if isinstance(value, dict):
        return {k: cut(v, limit) for k, v in value.items()}
    if isinstance(value, list):
        return [cut(v, limit) for v in value]
    if isinstance(value, str) and not isinstance(value, Number) and len(value) > limit:
        return value[:limit] + "...(truncated)"
    return value


def expected(before, after, mode, whitelist, limit, snapshots):
    """(ctx_before, ctx_after, ctx_diff) as they must leave."""
    if mode == "none":
        return None, None, None
    keep = (lambda k: k in whitelist) if mode == "whitelist" else (lambda k: True)
    before = {k: v for k, v in before.items() if keep(k)}
    after = {k: v for k, v in after.items() if keep(k)}
    diff = {k: {"before": before.get(k), "after": after.get(k)} for k in sorted({*before, *after})
            if not equal(before.get(k), after.get(k))}
    if not snapshots:
        before = after = None
    return cut(before, limit), cut(after, limit), cut(diff, limit)


class Dice(random.Random):
    """Random contexts as JSON text, with many ways to spell the same value."""
    KEYS = ["run_id", "scenario_id", "decision", "a", "B", "zeta", "ключ", "😀", "\uffff", "k.ey", "", "long"]
    SAME = [["1", "1.0", "1e0", "10E-1", "1.000"], ["0", "-0", "0.0", "0e5"], ["9007199254740993", "9007199254740993.0"],
            ["9007199254740992"], ["622.60", "622.6"], ["1e400", "10e399"], ['"a"', '"\\u0061"'], ['"😀"', '"\\ud83d\\ude00"'],
            ['"/"', '"\\/"'], ["true"], ["false"], ["null"], ['"1"'], ['"%s"' % ("é" * 40), '"%s"' % ("\\u00e9" * 40)],
            ['"%s"' % ("é" * 39 + "x")], ['""'], ["[]"], ["{}"], ["[1,2]", "[1.0,2]"], ["[2,1]"],
            ['{"x":1,"y":[{"z":"%s"}]}' % ("w" * 30), '{"y":[{"z":"%s"}],"x":1e0}' % ("w" * 30)], ['{"x":null}']]

    def value(self):
        return self.choice(self.choice(self.SAME))

    def key(self, key):
        """The key as a literal, sometimes escaped."""
        if self.randrange(4) == 0 and key and key[0] in "rda":
            return '"\\u%04x%s"' % (ord(key[0]), key[1:])
        return json.dumps(key, ensure_ascii=self.randrange(2) == 0)

    def context(self, like=None):
        """(key, value) pairs; a variation of `like` where given: respelled, changed, removed, added, reordered."""
        if like is None:
            return [(k, self.value()) for k in self.sample(self.KEYS, self.randrange(len(self.KEYS)))]
        pairs = []
        for key, value in like:
            kind = self.randrange(6)
            if kind == 0:
                continue
            group = next(g for g in self.SAME if value in g)
            pairs.append((key, self.value() if kind == 1 else self.choice(group)))
        pairs += [(k, self.value()) for k in self.KEYS if k not in dict(like) and self.randrange(8) == 0]
        if self.randrange(2):
            self.shuffle(pairs)
        return pairs

    def text(self, pairs):
        return "{" + ",".join(self.key(k) + ":" + v for k, v in pairs) + "}"


class Oracle(harness.AgentTest):
    COUNT = 100 if harness.SANITIZED else 20000 if harness.LONG else 800

    def setUp(self):
        super().setUp()
        self.seed = random.randrange(1 << 32)
        self.dice = Dice(self.seed)

    def test_two_snapshots_in_every_mode(self):
        whitelist = ["run_id", "decision", "ключ", "long", "absent", "a"]
        listed = ", ".join(json.dumps(k, ensure_ascii=False) for k in whitelist)
        for mode, limit, snapshots in (("full", 256, True), ("full", 16, True), ("full", 16, False), ("whitelist", 256, True),
                                       ("whitelist", 16, False), ("none", 256, True)):
            with self.subTest(mode=mode, limit=limit, snapshots=snapshots, seed=self.seed), self.start(config(
                    "mode: %s, whitelist: [%s], max_value_len: %d, snapshots: %s" % (mode, listed, limit, str(snapshots).lower()))) as agent:
                sent = []
                for n in range(self.COUNT):
                    before = self.dice.context()
                    sent.append((self.dice.text(before), self.dice.text(self.dice.context(before))))
                agent.send_plain(['{"stream":"trace","n":%d,"ctx_before":%s,"ctx_after":%s,"ctx_diff":null,"end":1e2}' % (n, *pair)
                                  for n, pair in enumerate(sent)])
                agent.wait_delivered("out", self.COUNT)
                lines = agent.lines()
                self.assertEqual(len(lines), self.COUNT)
                for n, (line, (before, after)) in enumerate(zip(lines, sent)):
                    record = parse(line)
                    self.assertEqual(list(record), ["stream", "n", "ctx_before", "ctx_after", "ctx_diff", "end"])
                    got = tuple(record[k] for k in ("ctx_before", "ctx_after", "ctx_diff"))
                    want = expected(parse(before), parse(after), mode, whitelist, limit, snapshots)
                    self.assertEqual(got, want, (n, before, after))
                    for g, w in zip(got, want):  # order too
                        self.assertEqual(list(g or {}), list(w or {}), (n, before, after))
                    if mode == "full" and limit == 256:
                        self.assertIn('"ctx_before":%s,"ctx_after":%s,"ctx_diff":' % (before, after), line)
                agent.stop()
                os.unlink(self.path("out.jsonl"))

    def test_the_light_form_against_a_remembered_context(self):
        with self.subTest(seed=self.seed):
            agent = self.start(config("mode: full"))
            memory, sent, want = {}, [], []
            for n in range(self.COUNT):
                ctx_id = "c%d" % self.dice.randrange(6)
                before = memory.get(ctx_id)
                if before is None or self.dice.randrange(3) == 0:
                    pairs = self.dice.context(None if before is None else [(k, v) for k, (v, _) in before.items()])
                    part = '"ctx":' + self.dice.text(pairs)
                    after = {k: (v, parse(v)) for k, v in pairs}
                else:
                    pairs = self.dice.context()
                    gone = [k for k in before if k not in dict(pairs) and self.dice.randrange(3) == 0]
                    part = '"ctx_set":%s,"ctx_unset":%s' % (self.dice.text(pairs), json.dumps(gone))
                    after = {**before, **{k: (v, parse(v)) for k, v in pairs}}
                    after = {k: v for k, v in after.items() if k not in gone}
                sent.append('{"stream":"trace","trace_id":"same","ctx_id":"%s",%s,"end":%d}' % (ctx_id, part, n))
                plain = [{k: v for k, (_, v) in side.items()} for side in (before or {}, after)]
                want.append(expected(*plain, "full", [], 256, True))
                memory[ctx_id] = after
            agent.send_plain(sent)
            agent.wait_delivered("out", self.COUNT)
            for n, (line, triple) in enumerate(zip(agent.lines(), want)):
                record = parse(line)
                self.assertFalse({"ctx", "ctx_set", "ctx_unset", "ctx_reset"} & set(record), line)
                self.assertTrue(record["ctx_id"].startswith("c"))
                for name, value in zip(("ctx_before", "ctx_after", "ctx_diff"), triple):
                    self.assertTrue(equal(record[name], value), (name, n, sent[n], line, value))
                self.assertEqual(list(record["ctx_diff"]), list(triple[2]), "sorted")


class Memory(harness.AgentTest):
    def diffs(self, agent, count):
        agent.wait_delivered("out", count)
        return [(r["ctx_diff"], r.get("ctx_reset")) for r in agent.records()]

    def test_one_history_for_all_connections_and_across_a_reload(self):
        agent = self.start(config("mode: full"))
        agent.send_plain([harness.trace("t", ctx={"decision": "new", "n": 1})])
        agent.send_plain([harness.trace("t", ctx={"decision": "seen", "n": 1})], "net")
        self.write_config(config("mode: whitelist, whitelist: [decision]"))
        self.assertEqual(self.weir("reload").returncode, 0)
        agent.send_plain([harness.trace("t", ctx_set={"decision": "approved", "n": 2})])
        self.assertEqual(self.diffs(agent, 3), [
            ({"decision": {"before": None, "after": "new"}, "n": {"before": None, "after": 1}}, None),
            ({"decision": {"before": "new", "after": "seen"}}, None),
            ({"decision": {"before": "seen", "after": "approved"}}, None)])

    def test_ctx_id_separates_parallel_branches_of_one_trace(self):
        agent = self.start(config("mode: full"))
        agent.send_plain([harness.trace("t", ctx_id=i, ctx={"x": x}) for i, x in (("l", 1), ("r", 2), ("l", 3), ("r", 4))])
        self.assertEqual([d for d, _ in self.diffs(agent, 4)][2:],
                         [{"x": {"before": 1, "after": 3}}, {"x": {"before": 2, "after": 4}}])

    def test_a_trace_met_first_by_its_changes_says_so(self):
        agent = self.start(config("mode: full"))
        agent.send_plain([harness.trace("t", ctx_set={"a": 1}), harness.trace("t", ctx_set={"a": 2}),
                          harness.trace("u", ctx_unset=["a"]), harness.trace("v", ctx={"a": 1})])
        self.assertEqual(self.diffs(agent, 4), [({"a": {"before": None, "after": 1}}, True), ({"a": {"before": 1, "after": 2}}, None),
                                                ({}, True), ({"a": {"before": None, "after": 1}}, None)])

    def test_max_traces_evicts_the_least_recently_used(self):
        agent = self.start(config("mode: full, max_traces: 2"))
        agent.send_plain([harness.trace(t, ctx={"a": t}) for t in "12"] + [harness.trace("1", ctx_set={"b": 1}),
                         harness.trace("3", ctx={"a": "3"}), harness.trace("1", ctx_set={"b": 2}), harness.trace("2", ctx_set={"b": 1})])
        self.assertEqual(self.diffs(agent, 6)[4:], [({"b": {"before": 1, "after": 2}}, None), ({"b": {"before": None, "after": 1}}, True)])

    def test_max_context_bytes_bounds_the_memory(self):
        agent = self.start(config("mode: full, max_context_bytes: 64KiB, max_value_len: 8"))
        big = "x" * 40000
        agent.send_plain([harness.trace("1", ctx={"big": big}), harness.trace("2", ctx={"big": big}), harness.trace("1", ctx_set={"b": 1})])
        self.assertEqual(self.diffs(agent, 3)[2], ({"b": {"before": None, "after": 1}}, True))

    def test_a_hundred_thousand_traces_stay_within_the_limit(self):
        count = 5000 if harness.SANITIZED else 100000
        agent = self.start(config("mode: full, max_traces: 1000"))
        agent.send_plain([harness.trace("trace-%d" % n, ctx={"pad": "p" * 100, "n": n}) for n in range(count)])
        agent.wait_delivered("out", count)
        with open("/proc/%d/status" % agent.pid) as f:
            peak_kib = int(next(x for x in f if x.startswith("VmHWM")).split()[1])
        if not harness.SANITIZED:
            self.assertLess(peak_kib, 128 * 1024, "64 MiB of tape and the rest")


if __name__ == "__main__":
    unittest.main(verbosity=2)
