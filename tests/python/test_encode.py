"""Values as JSON that the agent takes, whatever the program hands over."""
import collections
import dataclasses
import datetime
import decimal
import enum
import json
import math
import pathlib
import types
import unittest
import uuid

import support
from weir import encode

UTC = datetime.timezone.utc


def through(value):
    return support.strict(encode.dumps({"v": value}))["v"]


@dataclasses.dataclass
class Signature:
    type_name: str
    identity: object = None


@dataclasses.dataclass
class Node:
    name: str
    parent: object = None
    children: object = None


class Colour(enum.Enum):
    red = "r"


class Hostile:
    def __str__(self):
        raise RuntimeError("no")


class Index:
    def __index__(self):
        return 7


class Values(unittest.TestCase):
    def test_what_json_has_is_the_same_as_json_dumps(self):
        value = {"a": [1, 2.5, True, None, "x\"\\\n\t\x01\x7f/ä€😀"], "b": {"c": {}}, "d": [], "e": -0.0, "f": 1e300, "g": 10 ** 40}
        self.assertEqual(encode.dumps(value), json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode())

    def test_datetimes_are_rfc_3339_with_z(self):
        east = datetime.timezone(datetime.timedelta(hours=5, minutes=30))
        for value, text in (
                (datetime.datetime(2026, 1, 21, 10, 0, 0, 123456, UTC), "2026-01-21T10:00:00.123456Z"),
                (datetime.datetime(2026, 1, 21, 10, 0, 0, tzinfo=UTC), "2026-01-21T10:00:00Z"),
                (datetime.datetime(2026, 1, 21, 15, 30, 0, tzinfo=east), "2026-01-21T10:00:00Z"),
                (datetime.datetime(2026, 1, 21, 10, 0), "2026-01-21T10:00:00Z"),
                (datetime.datetime(1, 1, 1, tzinfo=east), "0001-01-01T00:00:00+05:30"),
                (datetime.date(2026, 1, 21), "2026-01-21")):
            self.assertEqual(through(value), text)

    def test_what_json_has_no_form_for(self):
        point = collections.namedtuple("Point", "x y")
        for value, expected in (
                ((1, (2, 3)), [1, [2, 3]]), (decimal.Decimal("622.60"), "622.60"), (point(1, 2), [1, 2]),
                (Signature("Order", 5), {"type_name": "Order", "identity": 5}), (Colour.red, "r"),
                (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"), (pathlib.PurePosixPath("/a"), "/a"),
                ({"b", "a"}, ["a", "b"]), (b"\x00\xff", {"$bytes": "AP8="}), (types.MappingProxyType({"a": 1}), {"a": 1}),
                (Index(), 7), (datetime.timedelta(seconds=1.5), 1.5), (3 + 4j, "(3+4j)")):
            self.assertEqual(through(value), expected, repr(value))

    def test_what_is_no_number_is_text(self):
        self.assertEqual(through([math.nan, math.inf, -math.inf, 1.5]), ["NaN", "Infinity", "-Infinity", 1.5])

    def test_text_that_is_no_unicode_is_replaced(self):
        self.assertEqual(through(["a\ud800b", "ok"]), ["a?b", "ok"])
        self.assertEqual(through({"k\udfff": 1}), {"k?": 1})

    def test_keys_become_text(self):
        self.assertEqual(through({1: "a", None: "b", (1, 2): "d"}), {"1": "a", "null": "b", "(1, 2)": "d"})

    def test_a_cycle_is_named(self):
        value = {"ok": 1}
        value["self"] = value
        self.assertEqual(through(value), {"ok": 1, "self": "<cycle: dict>"})
        twice = []
        twice += [twice, twice]
        self.assertEqual(through(twice), ["<cycle: list>"] * 2)
        root = Node("root")
        root.children = [Node("c%d" % n, root) for n in range(100)]
        got = through(root)
        self.assertEqual([c["parent"] for c in got["children"]], ["<cycle: Node>"] * 100)
        self.assertNotIsInstance(encode.dumps(root), encode.Shortened)

    def test_what_the_agent_would_refuse_is_cut(self):
        for kind in (dict, collections.OrderedDict):
            deep = kind()
            for _ in range(80):
                deep = kind(a=deep)
            self.assertIn(b"too deep", encode.dumps({"v": deep}))
        got = through({"wide": {str(n): n for n in range(5000)}, "b": 1})
        self.assertEqual((len(got["wide"]), got["wide"]["..."], got["b"]), (1024, "<3977 more>", 1))
        self.assertEqual(len(through({str(n): n for n in range(1024)})), 1024)

    def test_shared_graphs_of_other_classes_end(self):
        Pair = collections.namedtuple("Pair", "a b")
        for make in (lambda x: collections.OrderedDict(a=x, b=x), lambda x: Pair(x, x)):
            value = 1
            for _ in range(40):
                value = make(value)
            self.assertIsInstance(encode.dumps(value), encode.Shortened)

    def test_what_is_shared_is_no_cycle(self):
        shared = {"a": [1]}
        self.assertEqual(through([shared, shared, math.nan]), [{"a": [1]}, {"a": [1]}, "NaN"])

    def test_what_shares_its_parts_again_and_again_ends(self):
        lists, objects, tuples, mixed = [], Node("leaf"), (), Node("leaf")
        for _ in range(50):
            lists, objects, tuples = [lists, lists], Node("n", objects, objects), (tuples, tuples)
            mixed = Node("m", {"x": [mixed]}, [mixed])
        for value in (lists, objects, tuples, mixed):
            data = encode.dumps({"v": value})
            support.strict(data)
            self.assertIsInstance(data, encode.Shortened)
            self.assertLess(len(data), 20_000_000)

    def test_large_values_without_tricks_are_whole(self):
        for value in ([{"a": n} for n in range(20_000)], list(range(200_000)), [Node("n") for _ in range(8_000)]):
            data = encode.dumps({"v": value})
            self.assertEqual(type(data), bytes)
            self.assertEqual(len(support.strict(data)["v"]), len(value))

    def test_what_is_too_deep_says_so(self):
        value = []
        for _ in range(200_000):
            value = [value]
        data = encode.dumps({"v": value})
        self.assertIn(b"too deep", data)
        self.assertIsInstance(data, encode.Shortened)
        while value:  # else its end is one deep recursion
            value = value.pop()

    def test_an_object_that_cannot_be_printed_costs_only_itself(self):
        self.assertEqual(through({"a": Hostile(), "b": 1}), {"a": "<unprintable Hostile>", "b": 1})

    def test_an_integer_of_too_many_digits_costs_only_itself(self):
        got = through({"a": 1 << 100_000, "b": 1})
        self.assertEqual(got["b"], 1)

    def test_records_of_any_shape_have_fields(self):
        slotted = type("Slotted", (), {"__slots__": ("trace_id", "_hidden")})()
        slotted.trace_id, slotted._hidden = "t", 1
        point = collections.namedtuple("Record", "trace_id")
        for record in ({"trace_id": "t"}, types.MappingProxyType({"trace_id": "t"}), types.SimpleNamespace(trace_id="t", _x=1),
                       slotted, point("t"), dataclasses.make_dataclass("R", ["trace_id"])("t")):
            self.assertEqual(encode.fields_of(record), {"trace_id": "t"}, repr(record))
        for record in (5, None, "text", object()):
            with self.assertRaises(TypeError):
                encode.fields_of(record)

    def test_time_is_text_with_nanoseconds(self):
        self.assertEqual(encode.timestamp(1768989600123456789), "2026-01-21T10:00:00.123456789Z")
        self.assertEqual(encode.timestamp(1768989600000000000), "2026-01-21T10:00:00.000000000Z")
        self.assertEqual(encode.timestamp(1768989601000000001), "2026-01-21T10:00:01.000000001Z")

    def test_an_error_says_where(self):
        try:
            {}["missing"]
        except KeyError as error:
            got = encode.error_of(error)
        self.assertEqual((got["type"], got["message"]), ("KeyError", "'missing'"))
        self.assertRegex(got["where"], r"test_encode\.py:\d+ in test_an_error_says_where")
        self.assertIn("Traceback", got["stack"])

    def test_an_errors_long_message_is_cut(self):
        for text in ("y" * 300_000, "\x01" * 300_000, "\U00020000" * 300_000):
            got = encode.error_of(ValueError(text))
            self.assertTrue(encode.was_cut(got))
            self.assertLessEqual(len(encode.dumps(got["message"])), encode.ERROR_BYTES_MAX + 20)
        self.assertFalse(encode.was_cut(encode.error_of(ValueError("y" * 1000))))


class LogMessages(unittest.TestCase):
    def line(self, message, attributes=None):
        return support.strict(encode.log_line('{"stream":"log",', 0, "info", message, None, None, None, None, attributes))

    def test_long_ones_are_cut_by_what_they_take_and_say_so(self):
        for text in ("x", "\x01", "\n\"", "\u20ac", "\U00020000", "a\u20ac\x01"):
            got = self.line(text * 70_000)
            self.assertIs(got["shortened"], True)
            self.assertTrue(got["message"].endswith("...(truncated)"))
            size = len(encode.dumps(got["message"]))
            self.assertTrue(60_000 < size <= 65_536 + 16, size)
        for text in ("x" * 65_536, "\u20ac" * 20_000):
            self.assertEqual((self.line(text)["message"], "shortened" in self.line(text)), (text, False))

    def test_shortened_attributes_say_so(self):
        value = []
        for _ in range(50):
            value = [value, value]
        self.assertIs(self.line("m", {"v": value})["shortened"], True)
        self.assertIs(self.line("m", encode.dumps({"v": value}))["shortened"], True)


if __name__ == "__main__":
    unittest.main()
