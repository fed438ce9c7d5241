"""Numbers, acknowledgements and what goes out again."""
import json
import os
import random
import unittest

import support
from weir import frames
from weir.window import Window


class Windows(unittest.TestCase):
    def check(self, window):
        batches = list(window.unacked) + list(window.unsent)
        numbers = [n for b in batches for n in range(b.first, b.first + b.records)]
        self.assertEqual(numbers, list(range(window.last - len(numbers) + 1, window.last + 1)))
        self.assertEqual(window.bytes, sum(len(b.lines) for b in batches))
        self.assertTrue(not batches or batches[0].first <= window.acknowledged + 1 <= batches[0].first + batches[0].records)

    def test_a_part_of_a_batch_that_is_acknowledged_comes_again_with_the_rest(self):
        window = Window()
        window.add(b"a\nb\nc\n", 3)
        window.next_to_send()
        window.acked(2)
        self.assertEqual((window.records, window.acknowledged), (1, 2))
        window.rewind()
        self.assertEqual(window.next_seq(), 1)
        self.assertEqual(window.next_to_send(), (1, 3, b"a\nb\nc\n"))
        window.acked(3)
        self.assertEqual((window.records, window.bytes, window.next_seq()), (0, 0, 4))

    def test_numbers_that_go_on_from_an_earlier_process(self):
        window = Window()
        window.add(b"a\n", 1)
        window.offset = 1000
        self.assertEqual(window.next_seq(), 1001)
        window.acked(1000)
        self.assertEqual(window.records, 1)
        window.acked(1001)
        self.assertEqual(window.records, 0)

    def test_any_order_of_events_keeps_the_invariant(self):
        seed = random.randrange(2 ** 32)
        rng = random.Random(seed)
        with self.subTest(seed=seed):
            window = Window()
            for _ in range(3000):
                what = rng.randrange(4)
                if what == 0:
                    count = rng.randrange(1, 5)
                    window.add(b"x\n" * count, count)
                elif what == 1:
                    window.next_to_send()
                elif what == 2:
                    window.acked(rng.randrange(window.acknowledged, window.last + 3))
                else:
                    window.rewind()
                    self.assertFalse(window.unacked)
                self.check(window)


class Frames(unittest.TestCase):
    """Against proto/vectors/frames: the same bytes as everybody's."""

    def vectors(self):
        with open(os.path.join(support.ROOT, "proto", "vectors", "frames", "frames.json"), encoding="utf-8") as f:
            return json.load(f)["frames"]

    def test_single_frames(self):
        seen = 0
        for v in self.vectors():
            payload = v["payload"].encode() if "payload" in v else bytes.fromhex(v["payload_hex"])
            if not v["flags"]:
                self.assertEqual(frames.pack(v["type"], payload).hex(), v["hex"], v["name"])
                seen += 1
            if v["from"] == "agent":
                reader = frames.Reader()
                self.assertEqual(reader.feed(frames.MAGIC + bytes.fromhex(v["hex"])), [(v["type"], payload)])
                if v["type"] == frames.ACK:
                    self.assertEqual(frames.unpack_ack(payload), v["seq"])
                if v["type"] in (frames.NACK, frames.REJECT):
                    self.assertEqual(frames.unpack_refusal(payload)[0], v["seq"])
        self.assertGreater(seen, 10)

    def test_records_and_drops(self):
        self.assertEqual(frames.records(5, b"{}\n"), frames.pack(frames.REC_JSON, b"\5\0\0\0\0\0\0\0{}\n"))
        self.assertEqual(frames.drops(3, "why"), frames.pack(frames.DROPS, b"\3\0\0\0\0\0\0\0why"))

    def test_pieces_of_any_size_give_the_same_frames(self):
        data = frames.MAGIC + b"".join(frames.pack(k, b"x" * n) for k, n in ((frames.ACK, 8), (77, 0), (frames.SYNC, 300)))
        for size in (1, 2, 7, 100):
            reader, got = frames.Reader(), []
            for at in range(0, len(data), size):
                got += reader.feed(data[at:at + size])
            self.assertEqual([(f.kind, len(f.payload)) for f in got], [(frames.ACK, 8), (77, 0), (frames.SYNC, 300)])

    def test_of_acknowledgements_in_a_row_the_last_one_counts(self):
        acks = [frames.pack(frames.ACK, bytes([n]) + bytes(7)) for n in range(1, 6)]
        data = frames.MAGIC + acks[0] + acks[1] + frames.pack(frames.SYNC) + acks[2] + acks[3] + acks[4][:-1]
        reader = frames.Reader()
        self.assertEqual([(f.kind, f.payload[:1]) for f in reader.feed(data)], [(frames.ACK, b"\2"), (frames.SYNC, b""), (frames.ACK, b"\4")])
        self.assertEqual([f.payload[0] for f in reader.feed(acks[4][-1:])], [5])

    def test_what_is_no_agent_is_noticed_at_its_first_bytes(self):
        for data in (b"HTTP/1.1 400", b"{", b"WEIR\x02", frames.MAGIC + b"\xff\xff\xff\xff\x0b\0\0\0",
                     frames.MAGIC + b"\0\0\0\0\x4d\x01\0\0"):
            with self.assertRaises(frames.ProtocolError, msg=data):
                frames.Reader().feed(data)
        for call, payload in ((frames.unpack_ack, b"1"), (frames.unpack_refusal, b"1"), (frames.unpack_object, b"[]"), (frames.unpack_object, b"{")):
            with self.assertRaises(frames.ProtocolError):
                call(payload)


if __name__ == "__main__":
    unittest.main()
