"""One agent forwards to another: nothing lost, nothing twice, whatever happens to the one in the middle of it."""
import os
import threading
import unittest

import harness
from harness import log, trace, wait_for

RECEIVER = """
listen: {collect: {type: http, bind: "127.0.0.1:%s"}}
control: {path: "@/receiver.sock"}
data_dir: "@/receiver"
streams: {trace: {sinks: [out]}, log: {sinks: [out]}, telemetry: {sinks: [out]}, monitoring: {sinks: [out]}}
sinks: {out: {type: file, path: "@/received.jsonl"}}
"""
SENDER = """
listen: {local: {type: unix, path: "@/in.sock"}}
streams: {trace: {sinks: [up]}, log: {sinks: [up]}}
sinks:
  up: {type: http, url: "http://127.0.0.1:%s/", when_full: block, compress: gzip, batch: {records: 200, linger: 20ms},
       timeout: 2s, backoff: {min: 20ms, max: 100ms}%s}
"""


class Chain(harness.AgentTest):
    def start_receiver(self, port=0):
        os.makedirs(self.path("r"), exist_ok=True)
        receiver = self.start(RECEIVER % port, name="receiver.yaml", env={"WEIR_CONTROL": self.path("receiver.sock")})
        receiver.port = int(receiver.addresses[0].rsplit(":", 1)[1])
        return receiver

    def lines(self, count, prefix="m"):
        return [log("%s%d" % (prefix, i), note="x" * (i % 500)) if i % 3 else trace("t%d" % i) for i in range(count)]

    def test_records_pass_a_chain_byte_for_byte_and_once(self):
        receiver = self.start_receiver()
        sender = self.start(SENDER % (receiver.port, ""))
        lines = self.lines(5000)
        sender.send_plain(lines)
        sender.wait_delivered("up", len(lines))
        self.assertEqual(receiver.lines("received.jsonl"), lines)  # delivered means: written over there
        self.assertEqual(receiver.source("collect")["duplicate"], 0)

    def test_a_receiver_that_is_killed_and_comes_back_has_everything(self):
        receiver = self.start_receiver()
        sender = self.start(SENDER % (receiver.port, ""))
        lines = self.lines(30000)
        feeder = threading.Thread(target=sender.send_plain, args=(lines,))
        feeder.start()
        for part in (4000, 12000, 20000):
            sender.wait_delivered("up", part)
            receiver.stopped = True
            receiver.kill()
            receiver.proc.wait()
            receiver = self.start_receiver(receiver.port)
        feeder.join()
        sender.wait_delivered("up", len(lines))
        got = receiver.lines("received.jsonl")
        # What was written and not answered before the kill may stand there twice, and nothing is missing.
        self.assertEqual(sorted(set(got)), sorted(lines))
        self.assertLessEqual(len(got) - len(lines), 3 * 200)
        firsts = list(dict.fromkeys(got))
        self.assertEqual(firsts, lines)

    def test_a_receiver_that_stops_in_order_and_comes_back_has_everything(self):
        receiver = self.start_receiver()
        sender = self.start(SENDER % (receiver.port, ""))
        lines = self.lines(30000)
        feeder = threading.Thread(target=sender.send_plain, args=(lines,))
        feeder.start()
        for part in (5000, 15000):
            sender.wait_delivered("up", part)
            receiver.stop()
            receiver = self.start_receiver(receiver.port)
        feeder.join()
        sender.wait_delivered("up", len(lines))
        got = receiver.lines("received.jsonl")
        self.assertEqual(list(dict.fromkeys(got)), lines)
        self.assertLessEqual(len(got) - len(lines), 2 * 200)  # what it had no time to answer

    def test_a_sender_that_is_killed_leaves_no_gap_and_goes_on_after_its_restart(self):
        """Its journal is memory: what it held is gone with it (README). What it had sent is a beginning, whole and once."""
        receiver = self.start_receiver()
        sender = self.start(SENDER % (receiver.port, ""))
        lines = self.lines(40000)
        with sender.connect() as producer:
            feeder = threading.Thread(target=self.feed, args=(producer, lines))
            feeder.start()
            sender.wait_delivered("up", 3000)
            sender.stopped = True
            sender.kill()
            feeder.join()
        wait_for(lambda: receiver.source("collect")["connections"] == 0, "the connection's end")
        receiver.wait_status(lambda s: s["sinks"]["out"]["lag_records"] == 0, "all written")
        got = receiver.lines("received.jsonl")
        self.assertGreaterEqual(len(got), 3000)
        self.assertEqual(got, lines[:len(got)])
        again = self.start(SENDER % (receiver.port, ""))
        again.send_plain([log("after")])
        again.wait_delivered("up", 1)
        self.assertEqual(receiver.lines("received.jsonl"), got + [log("after")])

    def feed(self, producer, lines):
        try:
            producer.send(lines)
        except OSError:
            pass  # the agent is gone

    def test_a_receiver_that_answers_late_is_asked_again_and_takes_it_once(self):
        """Its sink is stuck for longer than the sender waits for an answer."""
        read_end, write_end = os.pipe()
        config = RECEIVER.replace("log: {sinks: [out]}", "log: {sinks: [out, stuck]}").replace(
            "sinks: {out:", "sinks: {stuck: {type: stdout, format: json, when_full: block}, out:") % 0
        receiver = self.start(config, name="receiver.yaml", env={"WEIR_CONTROL": self.path("receiver.sock")}, stdout=write_end)
        os.close(write_end)
        self.addCleanup(os.close, read_end)
        port = int(receiver.addresses[0].rsplit(":", 1)[1])
        sender = self.start((SENDER % (port, "")).replace("timeout: 2s", "timeout: 200ms"))
        lines = [log("m%d" % i, note="y" * 1000) for i in range(200)]
        sender.send_plain(lines)  # more than the pipe holds
        sender.wait_status(lambda s: "timeout" in (s["sinks"]["up"]["last_error"] or "") or s["sinks"]["up"]["state"] == "retrying", "a retry")
        wait_for(lambda: receiver.source("collect")["duplicate"] >= 200, "the request came again")
        got = b""
        while got.count(b"\n") < len(lines):
            got += os.read(read_end, 1 << 20)
        sender.wait_delivered("up", len(lines))
        self.assertEqual(receiver.lines("received.jsonl"), lines)

    def test_many_requests_in_flight_lose_and_double_nothing(self):
        receiver = self.start_receiver()
        sender = self.start(SENDER % (receiver.port, ", in_flight: 4"))
        lines = self.lines(20000)
        sender.send_plain(lines)
        sender.wait_delivered("up", len(lines))
        self.assertEqual(sorted(receiver.lines("received.jsonl")), sorted(lines))


if __name__ == "__main__":
    unittest.main()
