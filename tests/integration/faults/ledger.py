"""What must be in output files: whole lines, each record once, each producer's in order."""
import gzip
import os
import re

RECORD = re.compile(rb'^\{"stream":"log","ts":"2026-01-21T10:00:00Z","level":"info","message":"m",'
                    rb'"p":"([^"]+)","n":(\d+),"pad":"x*"\}$')
ROTATED = re.compile(r"\.(\d{8}T\d{6}Z)\.(\d+)(\.gz)?$")


def rotated(path):
    """Rotated files of one output, oldest first."""
    directory, base = os.path.split(path)
    found = []
    for name in os.listdir(directory) if os.path.isdir(directory) else []:
        match = ROTATED.search(name)
        if match and name[:match.start()] == base:
            found.append((match[1], int(match[2]), os.path.join(directory, name)))
    return [full for _, _, full in sorted(found)]


def content(path):
    if path.endswith(".gz"):
        with gzip.open(path) as f:
            return f.read()
    with open(path, "rb") as f:
        return f.read()


class Ledger:
    """Of one output: reads all its files and says what is wrong with them."""

    def __init__(self, path=None, lines=()):
        """`lines`: instead of a file, what a receiver has got."""
        self.faults = []
        self.numbers = {}  # producer: its numbers as they lie in the files
        self.lines = 0
        self.files = rotated(path) + ([path] if os.path.exists(path) else []) if path else []
        for name in self.files:
            self._read(name, content(name))
        if not path:
            self._read("what was received", "".join(x + "\n" for x in lines).encode())

    def _fault(self, text):
        if len(self.faults) < 20:
            self.faults.append(text)

    def _read(self, name, data):
        if data and not data.endswith(b"\n"):
            self._fault("%s ends in the middle of a line: %r" % (name, data[-80:]))
        at = 0
        for line in data.split(b"\n")[:-1]:
            match = RECORD.match(line)
            if match:
                self.numbers.setdefault(match[1].decode(), []).append(int(match[2]))
                self.lines += 1
            else:
                self._fault("%s, byte %d: no whole record: %r" % (name, at, line[:120]))
            at += len(line) + 1

    def duplicates(self):
        return sum(len(numbers) - len(set(numbers)) for numbers in self.numbers.values())

    def missing(self, acked):
        """Records that were acknowledged and are not there; `acked`: {producer: its highest acknowledged number}."""
        out = {}
        for name, upto in acked.items():
            gone = sorted(set(range(1, upto + 1)) - set(self.numbers.get(name, [])))
            if gone:
                out[name] = gone
        return out

    def disorder(self):
        """(producer, number, number behind it) where an order is not kept."""
        return [(name, a, b) for name, numbers in self.numbers.items()
                for a, b in zip(numbers, numbers[1:]) if b <= a]

    def check(self, test, acked, lost=0, duplicates=0, order=True):
        """Whole lines; no acknowledged record missing; nothing twice; in order."""
        test.assertEqual(self.faults, [], "damaged output")
        gone = self.missing(acked)
        count = sum(len(x) for x in gone.values())
        test.assertLessEqual(count, lost, "acknowledged records lost: %s" % short(gone))
        test.assertLessEqual(self.duplicates(), duplicates, "records written twice: %s" % self.disorder()[:5])
        if order:
            test.assertEqual(self.disorder()[:5], [], "order of a producer")
        return self


def ranges(numbers):
    out = []
    for n in numbers:
        if out and out[-1][1] == n - 1:
            out[-1][1] = n
        else:
            out.append([n, n])
    return out


def short(gone):
    return {name: (len(numbers), ranges(numbers)[:6]) for name, numbers in gone.items()}
