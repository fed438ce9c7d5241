"""`app 2>&1 | weir send --text`: lines to records, an agent that goes away, back-pressure and counted drops."""
import json
import os
import random
import re
import signal
import socket
import subprocess
import threading
import unittest

import harness
from harness import compact, log, wait_for


class Pipe:
    """`weir send --text ARGS` with a pipe as its stdin."""

    def __init__(self, test, *args, to=None):
        read, self.fd = os.pipe()
        argv = [harness.BINARY, "send", "--text", *args] + (["--to", to] if to else [])
        self.proc = subprocess.Popen(argv, stdin=read, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=test.env())
        os.close(read)
        test.addCleanup(self.kill)

    def write(self, text):
        data = text if isinstance(text, bytes) else text.encode()
        while data:
            data = data[os.write(self.fd, data):]

    def close(self):
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None

    def finish(self):
        """End of input: (exit code, stdout, stderr)."""
        self.close()
        out, err = self.proc.communicate(timeout=harness.DEADLINE_S)
        for sign in harness.FAULT_SIGNS:
            assert sign not in err.decode(), err.decode()
        return self.proc.returncode, out.decode(), err.decode()

    def kill(self):
        self.close()
        self.proc.kill()
        self.proc.communicate()


class StoringAgent:
    """An agent that stores every line it reads, but breaks the connection again and again before it says so: what a
    durable agent that crashes looks like from outside. Remembers its client; counts what comes twice."""

    def __init__(self, path, seed, lines_per_connection):
        self.stored, self.again, self.connections, self.ids = [], 0, 0, set()
        self.random, self.limit, self.faults = random.Random(seed), lines_per_connection, []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(5)
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        try:
            while True:
                client, _ = self.listener.accept()
                self.connections += 1
                with client, client.makefile("rb") as lines:
                    self._talk(client, lines)
        except OSError:
            pass
        except Exception as fault:  # shown by the test
            self.faults.append(repr(fault))

    def _talk(self, client, lines):
        hello = json.loads(lines.readline())
        client_id = hello.get("client_id", "c-1")
        self.ids.add(client_id)
        client.sendall(harness.as_bytes([compact({"weir": "welcome", "proto": [1, 0], "client_id": client_id, "ack": "received",
                                                  "last_seq": len(self.stored), "limits": {"record_bytes_max": 262144}})]))
        seq = hello.get("next_seq", len(self.stored) + 1)
        left = self.random.randrange(1, self.limit)
        for line in lines:
            if not line.endswith(b"\n"):
                return
            if seq > len(self.stored) + 1:
                self.faults.append("a gap before %d" % seq)
            if seq == len(self.stored) + 1:
                self.stored.append(json.loads(line)["message"])
            else:
                self.again += 1
            seq += 1
            left -= 1
            if left == 0 and len(self.stored) < 20000:
                return
            if self.random.random() < 0.01 or len(self.stored) == 20000:
                client.sendall(harness.as_bytes([compact({"weir": "ack", "seq": seq - 1})]))

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


class Lines(harness.AgentTest):
    def messages(self, agent, count):
        agent.wait_delivered("out", count)
        return [r["message"] for r in agent.records()]

    def test_lines_objects_and_stack_traces(self):
        agent = self.start(harness.ALL_TO_FILE)
        text = ("2026-01-01T00:00:00Z ERROR db is gone\r\n"
                "plain größer\n"
                "\n"
                '{"level":"warn","msg":"json",  "n":1.50}\n'
                '{"stream":"telemetry","name":"q","value":1,"ts":5}\n'
                "{not json}\n"
                "Traceback (most recent call last):\n"
                '  File "x.py", line 1, in f\n'
                "ValueError: bad\n"
                "\x1b[33m[warn]\x1b[0m colour").encode() + b"\xff\x00\n"
        done = self.weir("send", "--text", "--service", "app", stdin=text)
        self.assertEqual(done.returncode, 0, done.stderr)
        agent.wait_delivered("out", 7)
        lines = agent.lines()
        self.assertEqual(lines[0], '{"stream":"log","ts":"2026-01-01T00:00:00.000000000Z","level":"error","service":"app",'
                                   '"message":"2026-01-01T00:00:00Z ERROR db is gone"}')
        self.assertRegex(lines[1], r'^\{"stream":"log","ts":"%s","service":"app","message":"plain größer"\}$' % harness.RFC3339)
        self.assertRegex(lines[2], r'^\{"level":"warn","msg":"json",  "n":1\.50,"stream":"log","service":"app","ts":"%s"\}$' % harness.RFC3339)
        self.assertEqual(lines[3], '{"stream":"telemetry","name":"q","value":1,"ts":5,"service":"app"}')
        records = agent.records()
        self.assertEqual(records[4]["message"], "{not json}")
        self.assertEqual((records[5]["level"], records[5]["message"]),
                         ("error", 'Traceback (most recent call last):\n  File "x.py", line 1, in f\nValueError: bad'))
        self.assertEqual((records[6]["level"], records[6]["message"]), ("warn", "\x1b[33m[warn]\x1b[0m colour\ufffd\x00"))
        self.assertEqual(agent.source()["rejected"], {})

    def test_any_bytes_arrive_with_nothing_refused(self):
        agent = self.start(harness.ALL_TO_FILE + "limits: {record_bytes_max: 4KiB}\n")
        rng = random.Random(7)
        pieces = [b"\n", b"\n", b"\r\n", b"\x00", b"\xff", "é".encode(), "😀".encode(), b'"', b"\\", b"{", b'{"a":1}\n', b"x" * 5000, b" ", b"\t", b"word "]
        data = b"L" + b"".join(rng.choice(pieces) for _ in range(20000)) + b"\n"
        done = self.weir("send", "--text", "-o", "json", stdin=data)
        self.assertEqual(done.returncode, 0, done.stderr)
        taken = json.loads(done.stdout)["taken"]
        agent.wait_delivered("out", taken)
        self.assertEqual(agent.source()["rejected"], {})
        got = "".join(r.get("message", '{"a":1}') for r in agent.records())
        wanted = "".join(line for line in (x[:-1] if x.endswith("\r") else x for x in data.decode("utf-8", "replace").split("\n")) if line.strip(" \t\r"))
        strip = str.maketrans("", "", "\n\t ")  # an object may be indented
        self.assertEqual(got.translate(strip), wanted.translate(strip))

    def test_a_quiet_program_is_not_waited_for(self):
        agent = self.start(harness.ALL_TO_FILE)
        pipe = Pipe(self)
        pipe.write("one\n")
        self.assertEqual(self.messages(agent, 1), ["one"])
        pipe.write("two\n three\nand half")
        self.assertEqual(self.messages(agent, 2), ["one", "two\n three"])
        self.assertEqual(pipe.finish()[0], 0)
        self.assertEqual(self.messages(agent, 3)[2], "and half")

    def test_files_are_taken_too_and_refusals_name_their_line(self):
        agent = self.start(harness.ALL_TO_FILE)
        a, b = self.write("a.log", "one\n  two\n"), self.write("b.log", "  three\n")
        self.assertEqual(self.weir("send", "--text", a, b).returncode, 0)
        self.assertEqual(self.messages(agent, 2), ["one\n  two", "  three"], "a file ends a fold")

    def test_without_acknowledgement(self):
        agent = self.start(harness.ALL_TO_FILE)
        done = self.weir("send", "--text", "--ack", "none", "--service", "x", stdin="a\nb\n")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.messages(agent, 2), ["a", "b"])

    def test_usage(self):
        for args in (["--when-full", "drop"], ["--text", "--when-full", "perhaps"], ["--text", "--when-full", "drop", "--ack", "none"]):
            with self.subTest(args=args):
                self.assertEqual(self.weir("send", *args, stdin="x\n").returncode, 64)

    def test_an_agent_that_never_was_is_69(self):
        done = self.weir("send", "--text", stdin="x\n")
        self.assertEqual(done.returncode, 69)
        self.assertIn(self.path("in.sock"), done.stderr)


class AgentAway(harness.AgentTest):
    def test_killed_and_started_again_on_the_same_socket(self):
        agent = self.start(harness.ALL_TO_FILE)
        pipe = Pipe(self, "--service", "app")
        pipe.write("".join("before %d\n" % n for n in range(1000)))
        agent.wait_delivered("out", 1000)
        agent.signal(signal.SIGKILL)
        agent.wait_exit()
        pipe.write("".join("away %d\n" % n for n in range(1000)))
        agent = self.start(harness.ALL_TO_FILE)
        pipe.write("".join("after %d\n" % n for n in range(1000)))
        code, _, said = pipe.finish()
        self.assertEqual(code, 0, said)
        self.assertIn("the agent is back", said)
        agent.wait_delivered("out", 2000)
        self.assertEqual([r["message"] for r in agent.records()],
                         ["%s %d" % (word, n) for word in ("before", "away", "after") for n in range(1000)])

    def test_stopped_in_an_orderly_way_in_the_middle_of_a_flood(self):
        """Nothing accepted is lost at SIGTERM; what was not acknowledged goes to the next agent: none lost, none twice."""
        count = 20000 if harness.SANITIZED else 200000
        agent = self.start(harness.ALL_TO_FILE)
        pipe = Pipe(self)
        writer = threading.Thread(target=lambda: (pipe.write("".join("m%d\n" % n for n in range(count))), pipe.close()))
        writer.start()
        for _ in range(3):
            seen = agent.sink()["delivered"]
            agent.wait_delivered("out", min(seen + 1000, count // 10))
            agent.stop()
            agent = self.start(harness.ALL_TO_FILE)
        writer.join(harness.DEADLINE_S)
        code, _, said = pipe.finish()
        self.assertEqual(code, 0, said)
        agent.wait_status(lambda s: s["sinks"]["out"]["lag_records"] == 0, "all written")
        self.assertEqual([r["message"] for r in agent.records()], ["m%d" % n for n in range(count)])

    def test_an_agent_that_breaks_before_it_acknowledges_gets_each_line_once(self):
        for seed in range(3):
            with self.subTest(seed=seed):
                path = self.path("storing-%d.sock" % seed)
                agent = StoringAgent(path, seed, 3000)
                pipe = Pipe(self, to="unix:" + path)
                pipe.write("".join("m%d\n" % n for n in range(20000)))
                code, _, said = pipe.finish()
                agent.close()
                self.assertEqual((code, agent.faults), (0, []), said)
                self.assertEqual(agent.stored, ["m%d" % n for n in range(20000)])
                self.assertEqual(agent.ids, {"c-1"})
                self.assertGreater(agent.connections, 5)
                self.assertGreater(agent.again, 0, "some lines came twice and were told by their numbers")

    def test_another_client_of_the_same_name_is_no_reason_to_fight(self):
        agent = self.start(harness.ALL_TO_FILE)
        pipe = Pipe(self, "--client-id", "x")
        pipe.write("a\n")
        agent.wait_delivered("out", 1)
        with agent.connect() as other:
            other.hello(client_id="x")
            self.assertEqual(pipe.proc.wait(harness.DEADLINE_S), 1)
        self.assertIn("taken_over", pipe.finish()[2])


class Full(harness.AgentTest):
    LINE = "x" * 90 + " %06d\n"

    def test_block_stops_the_program(self):
        agent = self.start(harness.ALL_TO_FILE)
        pipe = Pipe(self)
        pipe.write("first\n")
        agent.wait_delivered("out", 1)
        agent.signal(signal.SIGSTOP)
        os.set_blocking(pipe.fd, False)
        sent = blocked = 0
        while blocked < 100 and sent < 40 << 20:  # far more than socket, window and pipe hold
            try:
                sent += os.write(pipe.fd, b"y" * 4095 + b"\n")
                blocked = 0
            except BlockingIOError:
                blocked += 1
                harness._pace.wait(0.004)
        self.assertGreaterEqual(blocked, 100, "the pipe is full and stays full")
        agent.signal(signal.SIGCONT)
        os.set_blocking(pipe.fd, True)
        self.assertEqual(pipe.finish()[0], 0)
        agent.wait_delivered("out", 1)
        whole = sum(len(r["message"]) + 1 for r in agent.wait_status(lambda s: s["sinks"]["out"]["lag_records"] == 0, "all") and agent.records())
        self.assertEqual(whole - len("first\n"), sent)

    def drop_run(self, pause, resume):
        """Sends far more than the buffer holds between pause() and resume(): (lines sent, agent, exit, stdout, stderr)."""
        agent = self.start(harness.ALL_TO_FILE)
        pipe = Pipe(self, "--when-full", "drop", "-o", "json", "--service", "app")
        pipe.write("first\n")
        agent.wait_delivered("out", 1)
        pause(agent)
        count = 200_000
        pipe.write("".join(self.LINE % n for n in range(count)))  # returns: the pipe is always read
        agent = resume(agent)
        pipe.write("last\n")
        return count + 2, agent, pipe.finish()

    def check_balance(self, sent, agent, finished):
        code, out, said = finished
        self.assertEqual(code, 1, "lines were dropped")
        told = json.loads(out)["dropped_lines"]
        self.assertGreater(told, 0)
        self.assertIn("weir send: %s lines dropped" % format(told, ","), said)
        agent.wait_status(lambda s: s["sinks"]["out"]["lag_records"] == 0, "all written")
        records = agent.records()
        gaps = [r for r in records if "dropped_lines" in r.get("attributes", {})]
        self.assertEqual([(r["message"], r["level"], r["service"]) for r in gaps[:1]],
                         [("weir send: %d lines dropped" % gaps[0]["attributes"]["dropped_lines"], "warn", "app")])
        self.assertEqual(sum(r["attributes"]["dropped_lines"] for r in gaps), told)
        self.assertEqual(len(records) - len(gaps) + told, sent, "sent = received + dropped")
        # Each gap is as large as its record says, at its place.
        numbers, expected = [], 0
        for r in records[1:]:
            if r in gaps:
                expected += r["attributes"]["dropped_lines"]
            elif r["message"] != "last":
                numbers.append(int(r["message"].split()[1]))
                self.assertEqual(numbers[-1], expected)
                expected += 1
        return gaps

    def test_drop_with_a_stalled_agent_counts_exactly(self):
        def pause(agent):
            agent.signal(signal.SIGSTOP)

        def resume(agent):
            agent.signal(signal.SIGCONT)
            return agent
        gaps = self.check_balance(*self.drop_run(pause, resume))
        self.assertLessEqual(len(gaps), 3)

    def test_drop_with_an_agent_that_was_killed_counts_exactly(self):
        def pause(agent):
            agent.signal(signal.SIGKILL)
            agent.wait_exit()

        def resume(_):
            return self.start(harness.ALL_TO_FILE)
        gaps = self.check_balance(*self.drop_run(pause, resume))
        self.assertLessEqual(len(gaps), 3)

    def test_drop_starts_without_an_agent(self):
        pipe = Pipe(self, "--when-full", "drop")
        pipe.write("early\n")
        agent = self.start(harness.ALL_TO_FILE)
        pipe.write("late\n")
        code, _, said = pipe.finish()
        self.assertEqual(code, 0, said)
        agent.wait_delivered("out", 2)
        self.assertEqual([r["message"] for r in agent.records()], ["early", "late"])

    def test_drop_ends_without_an_agent(self):
        pipe = Pipe(self, "--when-full", "drop")
        pipe.write("a\nb\n c\n")
        code, _, said = pipe.finish()
        self.assertEqual(code, 69)
        self.assertIn("weir send: 3 lines dropped", said)


class Signals(harness.AgentTest):
    def start_pipe(self):
        agent = self.start(harness.ALL_TO_FILE)
        pipe = Pipe(self)
        pipe.write("first\n")
        agent.wait_delivered("out", 1)
        return agent, pipe

    def pending(self, pipe):
        """Has the program taken every signal sent to it?"""
        with open("/proc/%d/status" % pipe.proc.pid) as f:
            return int(re.search(r"ShdPnd:\s*(\w+)", f.read()).group(1), 16)

    def send(self, pipe, number):
        pipe.proc.send_signal(number)
        wait_for(lambda: self.pending(pipe) == 0, "the signal is taken")

    def test_the_last_words_after_ctrl_c_are_kept(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(number=number):
                agent, pipe = self.start_pipe()
                before = agent.sink()["delivered"]
                self.send(pipe, number)
                pipe.write("last words\n")
                agent.wait_delivered("out", before + 1)
                pipe.write("really the last")
                self.assertEqual(pipe.finish()[0], 0)
                agent.wait_delivered("out", before + 2)
                agent.stop()

    def test_the_second_one_ends_it(self):
        _, pipe = self.start_pipe()
        self.send(pipe, signal.SIGINT)
        self.assertIsNone(pipe.proc.poll())
        pipe.proc.send_signal(signal.SIGINT)
        self.assertEqual(pipe.proc.wait(harness.DEADLINE_S), 0, "all that was read had arrived")

    def test_a_last_line_without_line_feed_counts_when_reading_is_ended(self):
        agent, pipe = self.start_pipe()
        before = agent.sink()["delivered"]
        pipe.write("whole\nnot wh")
        agent.wait_delivered("out", before + 1)
        pipe.proc.send_signal(signal.SIGTERM)  # the pipe stays open: it ends after the time for last words
        self.assertEqual(pipe.proc.wait(harness.DEADLINE_S), 0)
        agent.wait_delivered("out", before + 2)
        self.assertEqual(agent.records()[-1]["message"], "not wh")

    def test_what_waits_in_the_pipe_while_the_agent_is_away_is_not_called_taken(self):
        agent, pipe = self.start_pipe()
        agent.stop()
        pipe.write("two\nthree\n")
        pipe.proc.send_signal(signal.SIGTERM)  # it goes on for its last words, then ends
        self.assertEqual(pipe.proc.wait(harness.DEADLINE_S), 1)

    def test_the_second_one_ends_waiting_for_an_agent_and_says_what_is_lost(self):
        agent, pipe = self.start_pipe()
        agent.signal(signal.SIGKILL)
        agent.wait_exit()
        pipe.write("lost\n")
        self.send(pipe, signal.SIGINT)
        pipe.proc.send_signal(signal.SIGINT)
        code, _, said = pipe.finish()
        self.assertEqual(code, 1)
        self.assertIn("stopped before the agent had acknowledged all", said)

    def test_a_file_is_not_read_on(self):
        agent = self.start(harness.ALL_TO_FILE)
        agent.signal(signal.SIGSTOP)
        with open(self.write("big.log", "line\n" * 3_000_000)) as big:
            proc = subprocess.Popen([harness.BINARY, "send", "--text"], stdin=big, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.env())
            proc.send_signal(signal.SIGINT)
            agent.signal(signal.SIGCONT)
            proc.communicate(timeout=harness.DEADLINE_S)
        self.assertIn(proc.returncode, (0, -signal.SIGINT), "-SIGINT: it came before the program had begun")


if __name__ == "__main__":
    unittest.main(verbosity=2)
