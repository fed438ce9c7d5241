"""Newline-delimited JSON, plain: interface.md section 2, first paragraph, over both transports."""
import os
import unittest

import harness
from harness import log


class PlainOverUnix(harness.AgentTest):
    source = "local"

    def start_agent(self):
        return self.start(harness.ALL_TO_FILE)

    def test_line_endings_blank_lines_and_arrays(self):
        agent = self.start_agent()
        a, b, c, d, e = (log(x) for x in "abcde")
        payload = "\r\n\n  \n\t\n%s\r\n%s\n\n[%s, %s]\n[]\n%s" % (a, b, c, d, e)
        agent.send_plain(payload.encode(), self.source)
        # The agent has closed, so everything is in the journal already: no waiting here.
        source = agent.source(self.source)
        self.assertEqual((source["received"], source["journalled"], source["rejected"]), (5, 5, {}))
        agent.wait_delivered("out", 5)
        self.assertEqual(agent.lines(), [a, b, c, d, e])

    def test_white_space_inside_a_line_is_kept(self):
        agent = self.start_agent()
        line = '{ "stream" : "log" ,\t"ts":"%s", "message": "x"}' % harness.TS
        agent.send_plain([line], self.source)
        agent.wait_delivered("out", 1)
        self.assertEqual(agent.lines(), [line])

    def test_the_close_comes_after_everything_is_in_the_journal(self):
        agent = self.start_agent()
        lines = [log("m", n=n) for n in range(20000)]
        agent.send_plain(lines, self.source)
        self.assertEqual(agent.source(self.source)["journalled"], 20000)
        agent.wait_delivered("out", 20000)
        self.assertEqual(agent.lines(), lines)

    def test_records_in_pieces(self):
        agent = self.start_agent()
        lines = [log("piece " + "x" * n) for n in range(12)]
        with agent.connect(self.source) as connection:
            for byte in harness.as_bytes(lines):
                connection.sock.sendall(bytes([byte]))
            connection.finish_plain()
        agent.wait_delivered("out", 12)
        self.assertEqual(agent.lines(), lines)

    def test_a_record_appears_while_the_connection_stays_open(self):
        agent = self.start_agent()
        with agent.connect(self.source) as connection:
            connection.send([log("now")])
            agent.wait_delivered("out", 1)
            self.assertEqual(agent.lines(), [log("now")])
            self.assertEqual(agent.source(self.source)["connections"], 1)

    def test_a_connection_that_is_cut_keeps_its_whole_records(self):
        agent = self.start_agent()
        connection = agent.connect(self.source)
        connection.send(harness.as_bytes([log("whole")]) + b'{"stream":"log","mess')
        connection.sock.close()
        status = agent.wait_status(lambda s: s["sources"][self.source]["received"] == 2, "two records")
        self.assertEqual(status["sources"][self.source]["rejected"], {"truncated": 1})
        agent.wait_delivered("out", 1)
        self.assertEqual(agent.lines(), [log("whole")])

    def test_an_empty_connection_counts_nothing(self):
        agent = self.start_agent()
        agent.send_plain(b"", self.source)
        agent.send_plain(b"\n\r\n \n", self.source)
        self.assertEqual(agent.source(self.source)["received"], 0)

    def test_weir_as_first_key_is_an_ordinary_record_when_the_first_line_was_no_hello(self):
        agent = self.start_agent()
        sync, hello = '{"weir":"sync","id":1}', '{"weir":"hello","client_id":"late"}'
        agent.send_plain([log("first"), sync, hello], self.source)
        agent.send_plain([sync], self.source)
        agent.send_plain(['{"weir":1,"stream":"log","ts":"%s","message":"plain"}' % harness.TS], self.source)
        source = agent.source(self.source)
        self.assertEqual((source["journalled"], source["rejected"]), (2, {"no_stream": 3}))
        self.assertNotIn("late", agent.status()["clients"])

    def test_default_stream_serves_records_that_name_none(self):
        agent = self.start(harness.ALL_TO_FILE + """
listen:
  local: {type: unix, path: "@/in.sock", default_stream: log}
  net: {type: tcp, bind: "127.0.0.1:0", default_stream: telemetry}
""")
        record = '{"message":"m","name":"n","ts":"%s"}' % harness.TS
        agent.send_plain([record], self.source)
        agent.wait_delivered("out", 1)
        self.assertEqual(agent.lines(), [record])
        stream = "log" if self.source == "local" else "telemetry"
        self.assertEqual(agent.status()["streams"][stream]["records"], 1)

    def test_synonyms_of_the_streams(self):
        agent = self.start_agent()
        synonyms = {"trace": ["trace", "tracing", "traces"], "log": ["log", "logging", "logs"],
                    "telemetry": ["telemetry", "metric", "metrics"], "monitoring": ["monitoring", "alert", "alerts"]}
        lines = [harness.compact({"stream": word, "ts": harness.TS}) for words in synonyms.values() for word in words]
        agent.send_plain(lines, self.source)
        agent.wait_delivered("out", 12)
        self.assertEqual(agent.lines(), lines, "the spelling of stream is kept")
        streams = agent.status()["streams"]
        self.assertEqual({name: streams[name]["records"] for name in synonyms}, dict.fromkeys(synonyms, 3))


class PlainOverTcp(PlainOverUnix):
    source = "net"


class Stamps(harness.AgentTest):
    def test_receive_time_is_added_where_a_log_has_none_and_not_to_traces(self):
        agent = self.start(harness.ALL_TO_FILE)
        agent.send_plain(['{"stream":"log","message":"m"}', '{"stream":"telemetry","name":"n" }',
                          '{"stream":"alerts","rule":"r"}', harness.trace("t"), '{"stream":"log","ts":null}'])
        agent.wait_delivered("out", 5)
        lines = agent.lines()
        self.assertRegex(lines[0], r'^\{"stream":"log","message":"m","ts":"%s"\}$' % harness.RFC3339)
        self.assertRegex(lines[1], r'^\{"stream":"telemetry","name":"n" ?,"ts":"%s" ?\}$' % harness.RFC3339)
        self.assertRegex(lines[2], r'^\{"stream":"alerts","rule":"r","ts":"%s"\}$' % harness.RFC3339)
        self.assertEqual(lines[3], harness.trace("t"))

    def test_stamp_adds_what_the_kernel_says_after_everything_else(self):
        agent = self.start(harness.ALL_TO_FILE + """
listen: {local: {type: unix, path: "@/in.sock", stamp: true}}
""")
        forged = '{"stream":"log","_note":{"uid":12345},"message":"m"}'
        agent.send_plain([forged, harness.log("second")])
        agent.wait_delivered("out", 2)
        first, second = agent.records()
        self.assertEqual(list(first), ["stream", "_note", "message", "ts", "_peer", "_received", "_id"])
        self.assertEqual(first["_peer"], {"uid": os.getuid(), "pid": os.getpid()})
        self.assertRegex(first["_received"], "^%s$" % harness.RFC3339)
        self.assertRegex(first["_id"], r"^\d+$")
        self.assertNotEqual(first["_id"], second["_id"])
        self.assertTrue(agent.lines()[1].startswith(harness.log("second")[:-1] + ',"_peer":'))


if __name__ == "__main__":
    unittest.main(verbosity=2)
