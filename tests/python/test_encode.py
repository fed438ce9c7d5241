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

    def test_a_cycle_ends(self):
        value = {"ok": 1}
        value["self"] = value
        self.assertEqual(through(value)["self"]["ok"], 1)
        depth = 0
        at = through(value)
        while isinstance(at, dict):
            at, depth = at["self"], depth + 1
        self.assertLess(depth, 64)
        self.assertIn("too deep", at)

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


if __name__ == "__main__":
    unittest.main()
