"""The framed protocol (proto/WIRE.md) against the real binary: the golden conversations, and what lines have too."""
import glob
import json
import os
import random
import struct
import unittest

import certificates
import frames
import harness
from harness import ALL_TO_FILE, log, wait_for

VECTORS = os.path.join(harness.ROOT, "proto", "vectors", "frames")


def golden(name):
    with open(os.path.join(VECTORS, name), encoding="utf-8") as f:
        return json.load(f)


def with_rings(data):
    """The conversations are those over TCP; a Unix socket's WELCOME offers rings, too (proto/RING.md)."""
    none, ring = b'"features":[]}', b'"features":["ring"]}'
    at = data.find(b'{"proto"') - 8
    if at < 0 or none not in data:
        return data
    (length,) = struct.unpack_from("<I", data, at)
    length += len(ring) - len(none)
    return data[:at] + struct.pack("<I", length) + data[at + 4:].replace(none, ring)


class Golden(harness.AgentTest):
    def test_single_frames_are_what_the_reference_helper_makes_of_them(self):
        vectors = golden("frames.json")["frames"]
        self.assertGreater(len(vectors), 14)
        for v in vectors:
            with self.subTest(v["name"]):
                payload = v["payload"].encode() if "payload" in v else bytes.fromhex(v["payload_hex"])
                self.assertEqual(frames.frame(v["type"], payload, v["flags"]).hex(), v["hex"])
                if v["from"] == "agent":
                    frame = frames.Frame(v["type"], v["flags"], payload)
                    for member in ("seq", "code"):
                        if member in v:
                            self.assertEqual(getattr(frame, member), v[member])

    def walk(self, agent, talk, source):
        connections = {}
        for step in talk["steps"]:
            if step["on"] not in connections:
                connections[step["on"]] = agent.connect(source).sock
                self.addCleanup(connections[step["on"]].close)
            sock = connections[step["on"]]
            if "send" in step:
                sock.sendall(bytes.fromhex(step["send"]))
            if "receive" in step:
                expected = with_rings(bytes.fromhex(step["receive"])) if source == "local" else bytes.fromhex(step["receive"])
                got = b""
                while len(got) < len(expected):
                    more = sock.recv(len(expected) - len(got))
                    if not more:
                        break
                    got += more
                self.assertEqual(got, expected, step["note"])
            if "half_close" in step:
                sock.shutdown(harness.socket.SHUT_WR)
            if "closed" in step:
                self.assertEqual(sock.recv(1000), b"", step["note"])

    def test_conversations(self):
        names = sorted(os.path.basename(x) for x in glob.glob(os.path.join(VECTORS, "talk_*.json")))
        self.assertGreaterEqual(len(names), 7)
        for name in names:
            for source in ("local", "net"):
                with self.subTest(name, source=source), self.start(ALL_TO_FILE) as agent:
                    talk = golden(name)
                    self.walk(agent, talk, source)
                    wait_for(lambda: agent.source(source)["connections"] == 0, "all connections closed")
                    agent.wait_delivered("out", len(talk["stored"]))
                    self.assertEqual(agent.lines(), talk["stored"])
                    status = agent.status()
                    self.assertEqual({k: status["sources"][source][k] for k in talk["source"]}, talk["source"])
                    self.assertEqual({c: {"dropped": 0, **{k: v for k, v in values.items() if k not in ("uid", "pid")}}
                                      for c, values in status["clients"].items()}, talk["clients"])
                    if talk["source"]["rejected"]:
                        self.assertEqual([q["reason"] for q in agent.quarantine()], list(talk["source"]["rejected"]))
                    agent.stop()
                os.remove(self.path("out.jsonl"))
                if os.path.exists(self.path("data/quarantine/rejected.jsonl")):
                    os.remove(self.path("data/quarantine/rejected.jsonl"))


class Frames(harness.AgentTest):
    def test_many_frames_in_pieces_of_any_size(self):
        seed = random.randrange(2**32)
        rng = random.Random(seed)
        agent = self.start(ALL_TO_FILE)
        lines = [log("m%d" % n, pad="x" * rng.choice((0, 10, 3000, 70000) if n % 50 == 0 else (0, 40))) for n in range(4000)]
        data, seq = [], 1
        while seq <= len(lines):
            count = rng.randrange(1, 30)
            part = lines[seq - 1:seq - 1 + count]
            while len(harness.as_bytes(part)) > 320000:
                part = part[:-1]
            data.append(frames.records(seq, part))
            seq += len(part)
        data = b"".join(data)
        with self.subTest(seed=seed), frames.connect(agent) as c:
            c.hello(client_id="x", next_seq=1)
            at = 0
            while at < len(data):
                size = rng.choice((1, 7, 100, 5000, 200000))
                c.send(data[at:at + size])
                at += size
            acks = [f.seq for f in c.read_to_ack(len(lines))]
            self.assertEqual(acks, sorted(set(acks)))
        agent.wait_delivered("out", len(lines))
        self.assertEqual(agent.lines(), lines)

    def test_the_largest_frame_of_many_records_and_the_largest_record(self):
        agent = self.start(ALL_TO_FILE)
        line = log("x" * 1000)
        many = [line] * (327672 // (len(line) + 1))
        largest = log("y" * (262144 - len(log(""))))
        self.assertEqual(len(largest), 262144)
        with frames.connect(agent) as c:
            limits = c.hello(client_id="x", next_seq=1).json["limits"]
            self.assertEqual(limits, {"record_bytes_max": 262144, "payload_bytes_max": 327680})
            for first, lines in ((1, many), (len(many) + 1, [largest]), (len(many) + 2, [largest + " ", log("z")])):
                c.send(frames.records(first, lines))
            got = c.read_to_ack(len(many) + 3)
        self.assertEqual([(f.seq, f.reason) for f in got if f.kind == frames.REJECT], [(len(many) + 2, "too_long")])
        agent.wait_delivered("out", len(many) + 2)
        self.assertEqual(agent.lines(), many + [largest, log("z")])

    def test_a_long_array_in_a_frame_takes_several_turns(self):
        agent = self.start(ALL_TO_FILE)
        elements = ["5"] * 5000 + [log("last")]
        with frames.connect(agent) as c:
            c.hello(client_id="x", next_seq=1)
            c.send(frames.records(1, ["[" + ",".join(elements) + "]", log("behind")]))
            got = c.read_to_ack(5002)
        self.assertEqual([f.seq for f in got if f.kind == frames.REJECT], list(range(1, 5001)))
        agent.wait_delivered("out", 2)
        self.assertEqual(agent.lines(), [log("last"), log("behind")])

    def test_lines_and_frames_are_one_client(self):
        agent = self.start(ALL_TO_FILE)
        with agent.connect() as c:
            c.hello(client_id="x", next_seq=1)
            c.send([log("1"), log("2")])
            c.read_to_ack(2)
            with frames.connect(agent) as f:
                self.assertEqual(f.hello(client_id="x").json["last_seq"], 2)
                self.assertEqual(c.read_all(), [{"weir": "bye", "reason": "taken_over"}])
                f.send(frames.records(3, [log("3")]))
                f.read_to_ack(3)
        with agent.connect() as c:
            self.assertEqual(c.hello(client_id="x")["last_seq"], 3)

    def test_a_changed_policy_is_pushed(self):
        agent = self.start(ALL_TO_FILE)
        with frames.connect(agent) as c:
            self.assertEqual(c.hello(client_id="x").json["policy"], {"trace": {"context_diff": "full"}})
            self.write_config(ALL_TO_FILE.replace("log: {", "log: {enabled: false, "))
            self.assertEqual(self.weir("reload").returncode, 0)
            self.assertEqual(c.read_until(frames.POLICY)[-1].json,
                             {"trace": {"context_diff": "full"}, "log": {"enabled": False}})
            c.send(frames.records(1, [log("nowhere")]))
            c.read_to_ack(1)
        self.assertEqual(agent.source()["disabled"], 1)

    def test_level_none_is_not_answered(self):
        agent = self.start(ALL_TO_FILE)
        with frames.connect(agent) as c:
            self.assertEqual(c.hello(client_id="x", ack="none").json["ack"], "none")
            c.send(frames.records(1, [log("a"), "bad"]) + frames.frame(frames.SYNC, "s"))
            self.assertEqual([f.kind for f in c.read_until(frames.SYNC)], [frames.SYNC])
            c.half_close()
            self.assertEqual(c.read_all(), [])
        self.assertEqual(agent.source()["journalled"], 1)

    def test_frames_over_tls(self):
        issuer = certificates.Issuer(self.dir)
        cert, key = issuer.issue("server")
        agent = self.start(ALL_TO_FILE + 'listen: {local: {type: unix, path: "@/in.sock"}, net: {type: tcp, bind: '
                           '"127.0.0.1:0", tls: {cert: "%s", key: "%s"}}}' % (cert, key))
        import ssl
        context = ssl.create_default_context(cafile=issuer.ca)
        raw = agent.connect("net").sock
        lines = [log("m%d" % n, pad="x" * (n % 900)) for n in range(2000)]
        with frames.FrameConnection(context.wrap_socket(raw, server_hostname="localhost")) as c:
            c.hello(client_id="x", next_seq=1)
            for n in range(0, 2000, 50):
                c.send(frames.records(n + 1, lines[n:n + 50]))
            c.read_to_ack(2000)
        agent.wait_delivered("out", 2000)
        self.assertEqual(agent.lines(), lines)

    def test_sigterm_acknowledges_what_was_read_and_closes(self):
        agent = self.start(ALL_TO_FILE)
        with frames.connect(agent) as c:
            c.hello(client_id="x", next_seq=1)
            c.send(frames.records(1, [log("m%d" % n) for n in range(500)]))
            agent.signal(harness.signal.SIGTERM)
            got = c.read_all()
            self.assertEqual([f.seq for f in got if f.kind == frames.ACK][-1], 500)
        self.assertEqual(agent.wait_exit(), 0)
        self.assertEqual(len(agent.lines()), 500)

    def test_noise_behind_the_magic_harms_nobody(self):
        seed = random.randrange(2**32)
        rng = random.Random(seed)
        agent = self.start(ALL_TO_FILE)
        with self.subTest(seed=seed):
            for _ in range(300 if harness.LONG else 60):
                with frames.connect(agent, "net") as c:  # a local process would be refused after the third time
                    kinds = [rng.randrange(0, 20) for _ in range(rng.randrange(1, 6))]
                    noise = b"".join(frames.frame(k, rng.randbytes(rng.randrange(40)), rng.randrange(3)) for k in kinds)
                    if rng.random() < 0.5:
                        noise = frames.hello() + noise
                    if rng.random() < 0.3:
                        noise += struct.pack("<I", rng.randrange(2**32))
                    c.send(noise)
                    c.half_close()
                    c.read_all()
            with frames.connect(agent) as c:
                self.assertEqual(c.hello(client_id="fine").kind, frames.WELCOME)


if __name__ == "__main__":
    harness.main()
