"""Records that are longer than the agent takes: what is kept of them."""
import json
import unittest

import support
from weir.shorten import CUT, cut, shorten


def line_of(**members):
    return json.dumps({"stream": "trace", "trace_id": "t-1", **members}, ensure_ascii=False).encode()


class Shorten(unittest.TestCase):
    def shortened(self, bytes_max, **members):
        line = shorten(line_of(**members), bytes_max)
        self.assertLessEqual(len(line), bytes_max)
        record = support.strict(line)
        self.assertEqual((record["stream"], record["trace_id"], record["shortened"]), ("trace", "t-1", True))
        return record

    def test_the_longest_text_is_cut_and_no_other(self):
        for text in ("x", "\x01", "\u20ac", "\U0001f600"):
            got = self.shortened(10_000, ctx={"long": text * 30_000, "short": "y" * 500, "list": [1, {"a": "z" * 500}]})
            self.assertEqual((got["ctx"]["short"], got["ctx"]["list"]), ("y" * 500, [1, {"a": "z" * 500}]))
            self.assertTrue(got["ctx"]["long"].endswith(CUT))
            self.assertGreater(len(json.dumps(got["ctx"]["long"], ensure_ascii=False).encode()), 4_000)

    def test_many_long_texts_all_give_something(self):
        got = self.shortened(10_000, ctx={"k%d" % n: "x" * 1000 for n in range(40)})
        self.assertEqual(len(got["ctx"]), 40)

    def test_many_numbers_go_as_a_whole(self):
        got = self.shortened(10_000, ctx_before={"a": 1, "n": list(range(50_000))}, ctx_after={"a": 2})
        self.assertEqual((got["ctx_before"]["a"], got["ctx_after"]), (1, {"a": 2}))
        self.assertRegex(got["ctx_before"]["n"], r"<\d+ bytes, too long>")
        got = self.shortened(10_000, ctx_after={str(n): n for n in range(50_000)}, ctx_before={"a": 1})
        self.assertEqual((got["ctx_before"], got["ctx_after"]), ({}, {}))  # both, so that no key seems taken away

    def test_what_is_the_same_in_both_contexts_stays_the_same(self):
        rows = list(range(20_000))
        got = self.shortened(110_000, ctx_before={"rows": rows, "a": 1}, ctx_after={"rows": rows, "a": 2})
        self.assertEqual(got["ctx_before"]["rows"], got["ctx_after"]["rows"])
        self.assertEqual((got["ctx_before"]["a"], got["ctx_after"]["a"]), (1, 2))

    def test_what_is_told_of_a_member_is_its_size(self):
        k = list(range(500))
        got = self.shortened(900, ctx_before={"k": k}, ctx_after={"k": k}, attributes={"z": list(range(450))})
        self.assertEqual(got["ctx_before"]["k"], "<%d bytes, too long>" % len(json.dumps(k, separators=(",", ":"))))

    def test_ids_stay_whole(self):
        got = self.shortened(10_000, correlation_id="c" * 128, message="x" * 20_000, msg_in={"hash": "h" * 128})
        self.assertEqual((got["correlation_id"], got["msg_in"]["hash"]), ("c" * 128, "h" * 128))

    def test_what_cannot_be_done(self):
        self.assertIsNone(shorten(json.dumps({str(n): n for n in range(1000)}).encode(), 1000))

    def test_cut_leaves_whole_characters_and_short_texts(self):
        self.assertEqual(cut("abc", 3), "abc")
        self.assertEqual(cut("\u20ac\u20ac", 5), "\u20ac" + CUT)
        self.assertEqual(cut("\x01\x01", 11), "\\u0001".encode().decode("unicode_escape") + CUT)
        self.assertEqual(cut("\ud800" * 10, 5), "\ud800" * 5 + CUT)


if __name__ == "__main__":
    unittest.main()
