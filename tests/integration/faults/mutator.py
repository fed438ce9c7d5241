"""Damages a journal on disk: seeded, one mutation at a time, each says what it did.

Knows of the format only what it needs to aim: where a segment's header ends, and where its data ends.
"""
import os
import shutil

HEADER_BYTES, PAGE = 4096, 4096


def segments(journal):
    return sorted(n for n in os.listdir(journal) if n.endswith(".wseg"))


def used_bytes(path):
    """Up to the last byte that is not zero."""
    with open(path, "rb") as f:
        return len(f.read().rstrip(b"\0"))


def patch(path, at, data):
    with open(path, "r+b") as f:
        f.seek(at)
        f.write(data)


def flip(path, at, bit):
    with open(path, "rb") as f:
        f.seek(at)
        byte = f.read(1)
    if byte:
        patch(path, at, bytes([byte[0] ^ (1 << bit)]))


class Mutator:
    """`other`: the directory of another journal. mutate() does one thing and returns (its kind, a sentence)."""

    KINDS = ("flip_bits", "zero_page", "random_page", "truncate", "empty", "delete", "swap", "foreign", "duplicate", "header",
             "header_zero", "one_slot", "both_slots", "identity_lost", "identity_damaged", "stale_page", "several")
    REPEATS = ("both_slots",)  # what makes duplicates possible

    def __init__(self, rng, journal, other):
        self.rng, self.journal, self.other = rng, journal, other

    def mutate(self, kind=None):
        kind = kind or self.rng.choice(self.KINDS)
        return kind, getattr(self, kind)()

    def _segment(self):
        name = self.rng.choice(segments(self.journal))
        path = os.path.join(self.journal, name)
        return name, path, max(HEADER_BYTES + 1, used_bytes(path))

    def flip_bits(self):
        name, path, used = self._segment()
        places = []
        for _ in range(self.rng.randrange(1, 5)):
            at = self.rng.randrange(HEADER_BYTES, used)
            flip(path, at, self.rng.randrange(8))
            places.append(at)
        return "bits flipped in %s at %s of %d" % (name, places, used)

    def _page(self, data):
        name, path, used = self._segment()
        at = self.rng.randrange(HEADER_BYTES, used) // PAGE * PAGE
        patch(path, at, data[:used - at] if at + PAGE > used else data)
        return "page at %d of %s (%d used)" % (at, name, used)

    def zero_page(self):
        return "zeroed: " + self._page(bytes(PAGE))

    def random_page(self):
        return "random: " + self._page(bytes(self.rng.randrange(256) for _ in range(PAGE)))

    def stale_page(self):
        """A page of one segment in another: its transactions have whole sums of the wrong segment."""
        _, path, used = self._segment()
        with open(path, "rb") as f:
            f.seek(self.rng.randrange(HEADER_BYTES, used) // PAGE * PAGE)
            data = f.read(PAGE).ljust(PAGE, b"\0")
        return "of another place: " + self._page(data)

    def truncate(self):
        name, path, used = self._segment()
        at = self.rng.randrange(HEADER_BYTES, used)
        os.truncate(path, at)
        return "%s cut at %d of %d" % (name, at, used)

    def empty(self):
        name, path, _ = self._segment()
        os.truncate(path, 0)
        return "%s emptied" % name

    def delete(self):
        name, path, _ = self._segment()
        os.unlink(path)
        return "%s deleted" % name

    def swap(self):
        names = segments(self.journal)
        if len(names) < 2:
            return "nothing: one segment"
        a, b = (os.path.join(self.journal, n) for n in self.rng.sample(names, 2))
        os.rename(a, a + ".x")
        os.rename(b, a)
        os.rename(a + ".x", b)
        return "names of %s and %s swapped" % (os.path.basename(a), os.path.basename(b))

    def foreign(self):
        name = self.rng.choice(segments(self.other))
        to = self.rng.choice([name, "%012d%s" % (self.rng.randrange(1, 12), name[12:])])
        shutil.copy(os.path.join(self.other, name), os.path.join(self.journal, to))
        return "foreign segment %s as %s" % (name, to)

    def duplicate(self):
        name, path, _ = self._segment()
        to = self.rng.choice(["%012d%s" % (self.rng.randrange(1, 40), name[12:]), "000000000999" + name[12:]])
        if to != name:
            shutil.copy(path, os.path.join(self.journal, to))
        return "%s also as %s" % (name, to)

    def header(self):
        name, path, _ = self._segment()
        at = self.rng.randrange(0, 180)
        flip(path, at, self.rng.randrange(8))
        return "header of %s at %d" % (name, at)

    def header_zero(self):
        name, path, _ = self._segment()
        patch(path, 0, bytes(HEADER_BYTES))
        return "header of %s zeroed" % name

    def _damage_slot(self, slot):
        path = os.path.join(self.journal, "checkpoint." + slot)
        if not os.path.exists(path):
            return "%s is not there" % slot
        how = self.rng.choice(["flip", "truncate", "delete", "zero"])
        used = used_bytes(path)
        if how == "delete":
            os.unlink(path)
        elif how == "zero" or used == 0:
            patch(path, 0, bytes(max(1, used)))
        elif how == "truncate":
            os.truncate(path, self.rng.randrange(used))
        else:
            at = self.rng.randrange(used)
            flip(path, at, self.rng.randrange(8))
        return "%s: %s" % (slot, how)

    def one_slot(self):
        return "checkpoint " + self._damage_slot(self.rng.choice("ab"))

    def both_slots(self):
        return "checkpoint " + self._damage_slot("a") + ", " + self._damage_slot("b")

    def identity_lost(self):
        os.unlink(os.path.join(self.journal, "journal.json"))
        return "journal.json deleted"

    def identity_damaged(self):
        path = os.path.join(self.journal, "journal.json")
        with open(path, "rb") as f:
            data = f.read()
        at = self.rng.randrange(len(data))
        patch(path, at, bytes([data[at] ^ (1 << self.rng.randrange(8))]))
        with open(path, "rb") as f:
            return "journal.json: %r" % f.read()

    def several(self):
        kinds = [k for k in self.KINDS if k not in ("several", "both_slots", "one_slot", "identity_damaged")]
        return "; ".join(getattr(self, k)() for k in self.rng.sample(kinds, 3) if segments(self.journal))

