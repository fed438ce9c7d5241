"""Is the floor honest? Its files and the agent's must be the same bytes, for every case, for lines that are to be
refused (records.md section 7), and for lines with a byte changed at random; and both must refuse as many."""
import filecmp
import os
import random
import sys

from cases import ROUTED, Case
from machine import WORK, data, progress
from programs import DONE_S, Floor, Weir, wait_for
from special import connect

MUTATIONS = 40_000
RECORD_BYTES_MAX = 256 << 10


def refusals():
    """Lines of which some are to be taken: what is next to each limit."""
    def log(rest):
        return b'{"stream":"log","ts":1,' + rest + b"}"
    values = [b"01", b"1.", b".5", b"+1", b"-", b"1e", b"1e+", b"0x1", b"NaN", b"Infinity", b"nul", b"nulll", b"True", b"truefalse", b"'a'", b'"a', b'a"',
              b'"\\x"', b'"\\u12g4"', b'"\\u123"', b'"\\ud800"', b'"\\ud800\\u0041"', b'"\\udc00"', b'"\x01"', b'"\t"', b'"\xff"', b'"\xc0\xaf"',
              b'"\xed\xa0\x80"', b'"\xf4\x90\x80\x80"', b'"\xe2\x82"', b"[1,]", b"[,1]", b"[1 2]", b'{"a":1,}', b'{"a" 1}', b'{"a":}', b'{a:1}', b"[1}", b'{"a":1]',
              b'{"a":1,"a":2}', b'{"a":1,"\\u0061":2}', b'[{"a":1},{"b":1,"b":1}]', b"\xef\xbb\xbf1", b"1 2", b""]
    values += [b"0", b"-0", b"1.50", b"1E+2", b"1e400", b"12345678901234567890123", b'"\\ud83d\\ude00"', b'"\xf0\x9f\x98\x80"', b"[ ]", b"{ }", b' [ 1 , {"a" : null } ] ',
               b"9" * 400, b'"\\"\\\\\\/\\b\\f\\n\\r\\t"', b'[{"a":1},{"a":1}]']
    lines = [log(b'"x":' + v) for v in values]
    lines += [log(b'"x":1') + b" 1", log(b'"x":1') + b"}", b"{}", b"1", b'"log"', b"null", b'{"stream":"log"', b'{"message":"x"}', b'{"stream":"logz","ts":1}', b'{"stream":5}',
              b'{"stream":null,"ts":1}', b'{"stream":"log","stream":"log","ts":1}', b'{"stream":"\\u006cog","ts":1}', b' {"stream" : "alerts" , "ts":1 } ', b"", b"   "]
    lines += [log(b'"x":' + b"[" * n + b"]" * n) for n in (62, 63, 64)]
    lines += [log(b",".join(b'"k%d":%d' % (i, i) for i in range(n))) for n in (1022, 1023)]
    lines += [log(b'"x":{' + b",".join(b'"k%d":%d' % (i, i) for i in range(n)) + b"}") for n in (1024, 1025)]
    lines += [log(b'"x":"' + b"a" * (n - 31) + b'"') for n in (RECORD_BYTES_MAX, RECORD_BYTES_MAX + 1)]
    lines += [b'{"stream":"trace",%s}' % f for f in (
        b'"line_no":1.0', b'"line_no":1e2', b'"line_no":"1"', b'"line_no":null', b'"line_no":-3', b'"duration_ms":1e400', b'"duration_ms":1e308', b'"duration_ms":-0.0e-7',
        b'"duration_ms":null', b'"ctx_before":5', b'"msg_in":[]', b'"msg_out":{}', b'"msg_out":[1]', b'"msg_out":[{}]', b'"msg_out":[{},null]', b'"msg_out":[]', b'"trace_id":5',
        b'"trace_id":{}', b'"scenario":false', b'"attributes":"x"', b'"error":"x"', b'"error":{"type":1}', b'"step_name":[]')]
    good = log(b'"message":"still here"')
    return [line for bad in lines for line in (bad, good)]


def mutations(seed):
    """Records of three kinds with one to three bytes changed, put in or taken away."""
    chance = random.Random(seed)
    interesting = b'"\\{}[]:,.eE+-0123456789 \t\x00\x1f\x7f\x80\xc3\xed\xff/utrlnb'
    records = []
    for kind in ("routed", "log", "telemetry"):
        with open(data(kind, 200_000), "rb") as f:
            records += [f.readline().rstrip(b"\n") for _ in range(2000)]
    lines = []
    for _ in range(MUTATIONS):
        line = bytearray(chance.choice(records))
        for _ in range(chance.choice((0, 1, 1, 1, 2, 3))):
            # The first byte stays: an array of records is nothing for the floor. So does `ts`: where there is none the
            # agent puts one.
            ts = line.find(b'"ts"')
            at = chance.choice([i for i in range(1, len(line)) if ts < 0 or not ts <= i < ts + 32])
            action = chance.randrange(3)
            if action == 0:
                line[at] = chance.choice(interesting)
            elif action == 1:
                line.insert(at, chance.choice(interesting))
            else:
                del line[at]
        lines.append(bytes(line))
    return lines


def send(program, payload):
    with connect(program.address) as connection:
        connection.sendall(payload)
        connection.shutdown(1)
        while connection.recv(4096):
            pass


def through(make, case, directory, lines):
    """The program's files, and how many lines it has refused."""
    program = make(case, directory)
    try:
        send(program, b"".join(line + b"\n" for line in lines))
        if isinstance(program, Weir):
            sources = program.status()["sources"].values()
            wait_for(lambda: all(s["lag_records"] == 0 for s in program.status()["sinks"].values()), "everything is delivered", DONE_S)
            return program.files, sum(sum(s["rejected"].values()) for s in sources)
        program.process.terminate()
        return program.files, int(program.process.stdout.readline().decode().split()[1])
    finally:
        program.stop()


def compare(what, lines, args, fresh_directory):
    case = Case("", "log", ROUTED)
    progress("verify: " + what)
    weir_files, weir_refused = through(lambda c, d: Weir(args.binary, c, d), case, fresh_directory(), lines)
    floor_files, floor_refused = through(Floor, case, fresh_directory("kept"), lines)
    wrong = [os.path.basename(a) for a, b in zip(weir_files, floor_files) if not filecmp.cmp(a, b, shallow=False)]
    if wrong or weir_refused != floor_refused:
        left = os.path.join(WORK, "verify.ndjson")
        with open(left, "wb") as f:
            f.write(b"".join(line + b"\n" for line in lines))
        sys.exit("bench: %s: the agent refused %d, the floor %d; differing: %s; the lines are in %s" % (
            what, weir_refused, floor_refused, ", ".join(wrong) or "no file", left))
    taken = sum(os.path.getsize(p) for p in floor_files)
    progress("")
    print("%s: %d lines, %d refused by both, the same %d bytes in the files" % (what, len(lines), weir_refused, taken))


def main(args, fresh_directory, cases, run_case):
    for name, case in cases.items():
        if case.connections == 1 and case.writes == "batch":
            args.count, args.repeat = 50_000, 1
            _, same = run_case(case, args, lambda text: progress("verify: %s: %s" % (name, text)))
            progress("")
            print("%s: %s" % (name, "the same bytes" if same else "NOT COMPARED"))
    compare("refusals", refusals(), args, fresh_directory)
    compare("changed bytes", mutations(args.seed), args, fresh_directory)
