"""The rows of records.md section 7 as data: what is refused, why, and what is nearly wrong but taken."""

HEAD = b'{"stream":"log","ts":"2026-01-21T10:00:00Z",'


def rec(members):
    """A log record with these members behind its head."""
    return HEAD + (members if isinstance(members, bytes) else members.encode()) + b"}"


def at(record, fault):
    """(record, offset of the last `fault` in it)"""
    return record, record.rindex(fault)


def deep(levels):
    """A record whose deepest value is at this depth (the outer object is depth 1)."""
    return rec('"a":' + "[" * (levels - 1) + "]" * (levels - 1))


def keys(count):
    """A record of exactly `count` keys."""
    return rec(",".join('"k%d":%d' % (n, n) for n in range(count - 2)))


NOT_NUMBERS = ["01", "1.", "+1", ".5", "1e", "1e+", "-", "--1", "0x10", "1_000", "-01", "1.e5", "NaN", "Infinity",
               "-Infinity", "nul", "True", "tru", "undefined", "١"]
BAD_ESCAPES = [r"\x41", r"\'", r"\u12G4", r"\u123", r"\U00000041", r"\0", "\\ ", r"\a"]
BAD_STRUCTURE = ['"a" 1', '"a"::1', '"a":', '"a":1,', ',"a":1', '"a":1 "b":2', '"a":[1,]', '"a":[,1]', '"a":[1 2]',
                 '"a":{"b":1,}', '"a":[1}', '"a":{"b":1]', "a:1", "'a':1", '"a":1 /* x */', '"a":1 // x', '5:1',
                 'null:1', '"a":"unclosed', '"a":[', '"a":{']

# (name, line, reason, offset or None where the specification leaves it open)
REFUSED = []


def refuse(name, line, reason, offset=None):
    if isinstance(line, tuple):
        line, offset = line
    REFUSED.append((name, line, reason, offset))


refuse("trailing text", at(rec('"a":1') + b" x", b"x"), "bad_json")
refuse("two records on one line", at(rec('"a":1') + rec('"b":1'), HEAD), "bad_json")
refuse("a byte order mark", b"\xef\xbb\xbf" + rec('"a":1'), "bad_json", 0)
refuse("single quotes", b"{'stream':'log'}", "bad_json", 1)
refuse("plain words", b"hello world", "bad_json", 0)
refuse("a lone brace", b"{", "bad_json")
refuse("a closing brace", b"}", "bad_json", 0)
refuse("a NUL byte outside strings", b'{"stream":"log"\x00}', "bad_json", 15)
refuse("only NUL bytes", b"\x00" * 20, "bad_json", 0)
refuse("an array that is not closed", b'[{"stream":"log"}', "bad_json")
refuse("an array with a trailing comma", b'[{"stream":"log"},]', "bad_json")
refuse("form feed is no white space", b'{"stream":\x0c"log"}', "bad_json", 10)
refuse("no-break space is no white space", b'{"stream":\xc2\xa0"log"}', "bad_json", 10)
for text in NOT_NUMBERS:
    refuse("value " + text, rec('"a":' + text), "bad_json")
for text in BAD_ESCAPES:
    refuse("escape " + text, rec('"a":"' + text + '"'), "bad_json")
for text in BAD_STRUCTURE:
    refuse("structure " + text, rec(text), "bad_json")
for code in [*range(0, 10), *range(11, 32)]:
    refuse("raw control %02x in a string" % code, at(rec(b'"a":"x' + bytes([code]) + b'y"'), bytes([code])), "bad_json")
refuse("raw control in a key", at(rec(b'"a\x1b[31m":1'), b"\x1b"), "bad_json")

for text in (b"5", b"-1.5e3", b'"text"', b"true", b"false", b"null", b"[5]", b'["x"]', b"[null]", b"[[]]", b'[[{"stream":"log"}]]'):
    refuse("instead of an object: " + text.decode(), text, "not_an_object")

refuse("an empty object", b"{}", "no_stream")
refuse("no stream", b'{"message":"m"}', "no_stream")
refuse("stream null", b'{"stream":null,"message":"m"}', "no_stream")
refuse("stream deeper down does not count", b'{"a":{"stream":"log"}}', "no_stream")
for word in ("lag", "Log", "LOG", "", " log", "trace\\u0000"):
    refuse("stream " + word, b'{"stream":"%s"}' % word.encode(), "unknown_stream")
for value in (b"5", b"true", b"[]", b"{}", b'["log"]'):
    refuse("stream of type " + value.decode(), b'{"stream":' + value + b"}", "bad_field")

BAD_UTF8 = {"ff": b"\xff", "fe": b"\xfe", "lone continuation": b"\x80", "overlong slash, 2 bytes": b"\xc0\xaf",
            "overlong NUL": b"\xc0\x80", "overlong c1": b"\xc1\xbf", "overlong slash, 3 bytes": b"\xe0\x80\xaf",
            "overlong slash, 4 bytes": b"\xf0\x80\x80\xaf", "encoded high surrogate": b"\xed\xa0\x80",
            "encoded low surrogate": b"\xed\xbf\xbf", "above 10ffff": b"\xf4\x90\x80\x80", "f5": b"\xf5\x80\x80\x80",
            "cut after 1 of 2": b"\xc3", "cut after 2 of 3": b"\xe2\x82", "cut after 3 of 4": b"\xf0\x9f\x98",
            "five bytes": b"\xf8\x88\x80\x80\x80", "latin-1": "münchen".encode("latin-1")}
for name, data in BAD_UTF8.items():
    refuse("utf-8 " + name, rec(b'"a":"x' + data + b'"'), "bad_utf8")
    refuse("utf-8 in a key, " + name, rec(b'"a' + data + b'":1'), "bad_utf8")
for text in (r"\ud800", r"\udbff", r"\udc00", r"\udfff", r"\ud800\ud800", r"\ud800x", r"\ud83d\n", r"\udc00\ud800"):
    refuse("lone surrogate " + text, rec('"a":"' + text + '"'), "bad_utf8")
    refuse("lone surrogate in a key " + text, rec('"' + text + '":1'), "bad_utf8")

refuse("a key twice", rec('"a":1,"b":2,"a":1'), "duplicate_key")
refuse("a key twice, once escaped", rec('"a":1,"\\u0061":2'), "duplicate_key")
refuse("a key twice, both escaped", rec('"\\u00e9":1,"é":2'), "duplicate_key")
refuse("a key twice, as a surrogate pair", rec('"\\ud83d\\ude00":1,"😀":2'), "duplicate_key")
refuse("an escaped slash is a slash", rec('"a\\/b":1,"a/b":2'), "duplicate_key")
refuse("the empty key twice", rec('"":1,"":2'), "duplicate_key")
refuse("a reserved key twice", rec('"message":"a","message":"b"'), "duplicate_key")
refuse("stream twice", rec('"stream":"log"'), "duplicate_key")
refuse("stream twice, once escaped", rec('"str\\u0065am":"log"'), "duplicate_key")
refuse("a key twice in a nested object", rec('"a":{"b":{"c":1,"c":2}}'), "duplicate_key")
refuse("a key twice in an array's object", rec('"a":[1,{"b":1,"b":1}]'), "duplicate_key")
refuse("the last of 900 keys is the first again", keys(900)[:-1] + b',"k0":1}', "duplicate_key")

refuse("one byte over the limit", rec('"a":"%s"' % ("x" * (262145 - len(rec('"a":""'))))), "too_long")
refuse("ten megabytes", rec('"a":"%s"' % ("y" * 10000000)), "too_long")
refuse("depth 65", deep(65), "too_deep")
refuse("depth 65 of objects", rec('"a":' + '{"a":' * 64 + "1" + "}" * 64), "too_deep")
refuse("depth 100,000", deep(100001), "too_deep")
refuse("depth 100,000, never closed", rec('"a":' + "[" * 100000), "too_deep")
refuse("1,025 keys", keys(1025), "too_many_keys")
refuse("1,025 keys in a nested object", rec('"a":{%s}' % ",".join('"k%d":0' % n for n in range(1025))), "too_many_keys")

STRINGS = ["service", "trace_id", "span_id", "parent_span_id", "correlation_id", "scenario", "step_name", "t_enter",
           "t_exit", "status", "kind", "message", "logger", "name", "rule"]
INTEGERS = ["line_no", "step_index", "work_index", "msg_out_count"]
OBJECTS = ["ctx_before", "ctx_after", "ctx_diff", "ctx", "ctx_set", "msg_in", "attributes", "resource", "error"]
ARRAYS = ["msg_out", "ctx_unset"]
WRONG = {**{f: ["5", "true", "[]", "{}"] for f in STRINGS}, **{f: ['"5"', "1.5", "true", "[]", "{}"] for f in INTEGERS},
         **{f: ["5", '"x"', "true", "[]"] for f in OBJECTS}, **{f: ["5", '"x"', "false", "{}"] for f in ARRAYS}}
WRONG["trace_id"] = ["true", "[]", "{}"]
WRONG["duration_ms"] = ['"5"', "true", "[]", "{}", "1e400", "-1e400", "9" * 400]
WRONG["ctx_unset"].append("[5]")
WRONG["msg_out"] += ["[5]", '[{"type_name":"T"},"x"]']
BAD_FIELDS = [(field, b'{"stream":"trace","%s":%s}' % (field.encode(), value.encode()))
              for field, values in WRONG.items() for value in values]

TAKEN = {
    "numbers nobody can hold": rec('"a":1e400,"b":-1E-400,"c":%s,"d":0.%s' % ("9" * 10000, "1" * 10000)),
    "number spellings": rec('"a":622.60,"b":1E+2,"c":12345678901234567890123,"d":-0,"e":-0.0e-0'),
    "white space": b' {\t"stream" : "log" , "ts":"2026-01-21T10:00:00Z" , "a" : [ 1 , { } , [ ] ] } ',
    "every escape": rec(r'"a":"\"\\\/\b\f\n\r\t\u0000\u001b\u007f\u00e9\ud83d\ude00\uFFFF"'),
    "raw DEL and C1": rec(b'"a":"\x7f\xc2\x80\xc2\x9b"'),
    "the edges of UTF-8": rec("\"a\":\"\u0080\u07ff\u0800\ud7ff\ue000\uffff\U00010000\U0010ffff\""),
    "the empty key": rec('"":1,"a":{"":2}'),
    "keys that differ in case or normal form": rec('"a":1,"A":2,"é":3,"e\u0301":4'),
    "the same key in different objects": rec('"a":{"a":{"a":1}},"b":[{"a":1},{"a":2}]'),
    "depth 64": deep(64),
    "1,024 keys": keys(1024),
    "exactly the limit": rec('"a":"%s"' % ("x" * (262144 - len(rec('"a":""'))))),
    "unknown values of level and times": rec('"level":"loud","status":"odd","kind":"other","t_enter":"soon"'),
    "a level as a number": rec('"level":17'),
    "an escaped reserved key": b'{"str\\u0065am":"log","ts":"2026-01-21T10:00:00Z"}',
    "an escaped stream": b'{"stream":"l\\u006fg","ts":"2026-01-21T10:00:00Z"}',
    "every reserved field null": rec(",".join('"%s":null' % f for f in STRINGS + INTEGERS + ["duration_ms"] + OBJECTS[6:])),
    "trace_id as a number": b'{"stream":"trace","trace_id":12345}',
}
