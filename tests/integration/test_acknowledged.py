"""The acknowledged hello: interface.md section 2, sentence by sentence, over both transports."""
import json
import os
import unittest

import harness
from harness import log

CONFIG = """
streams:
  trace: {sinks: [out], context_diff: {mode: whitelist, whitelist: [run_id]}}
  log: {sinks: [out]}
sinks:
  out: {type: jsonl, path: "@/out.jsonl"}
"""


class AcknowledgedOverUnix(harness.AgentTest):
    source = "local"

    def start_agent(self, config=CONFIG):
        agent = self.start(config)
        self.connect = lambda: agent.connect(self.source)
        return agent

    def messages(self, agent, count):
        agent.wait_delivered("out", count)
        return [record["message"] for record in agent.records()]

    def test_the_example_of_the_interface_page(self):
        agent = self.start_agent()
        with self.connect() as c:
            c.send(b'{"weir":"hello","client_id":"orders-7","ack":"durable","next_seq":1,"service":"orders"}\n'
                   b'{"stream":"log","message":"a"}\nnot json\n{"stream":"log","message":"b"}\n')
            welcome = c.read_line()
            self.assertEqual(next(iter(welcome)), "weir")
            self.assertEqual(welcome["weir"], "welcome")
            self.assertEqual(welcome["proto"], [1, 0])
            self.assertEqual(welcome["ack"], "received", "a memory journal grants at most received")
            self.assertEqual(welcome["last_seq"], 0)
            self.assertEqual(welcome["limits"]["record_bytes_max"], 262144)
            self.assertEqual(welcome["policy"]["trace"], {"context_diff": "whitelist", "whitelist": ["run_id"]})
            lines = c.read_to_ack(3)
        rejects = [x for x in lines if x["weir"] == "reject"]
        self.assertEqual(len(rejects), 1)
        self.assertEqual({k: rejects[0][k] for k in ("seq", "reason", "offset")},
                         {"seq": 2, "reason": "bad_json", "offset": 0})
        self.assertTrue(rejects[0]["detail"])
        early = lines[:lines.index(rejects[0])]
        self.assertFalse([x for x in early if x["weir"] == "ack" and x["seq"] >= 2], "reject comes before the ack")
        self.assertEqual(self.messages(agent, 2), ["a", "b"])
        client = agent.status()["clients"]["orders-7"]
        self.assertEqual((client["last_seq"], client["gaps"]), (3, 0))
        if self.source == "local":
            self.assertEqual((client["uid"], client["pid"]), (os.getuid(), os.getpid()))

    def test_acks_are_cumulative_and_never_go_back(self):
        self.start_agent()
        with self.connect() as c:
            c.hello(client_id="x", ack="received", next_seq=1)
            c.send([log("m", n=n) for n in range(5000)])
            acks = [x["seq"] for x in c.read_to_ack(5000)]
        self.assertEqual(acks, sorted(set(acks)))
        self.assertEqual(acks[-1], 5000)

    def test_an_idle_connection_gets_its_ack_without_asking(self):
        self.start_agent()
        with self.connect() as c:
            c.hello(client_id="x", next_seq=1)
            for seq in (1, 2, 3):
                c.send([log("one by one")])
                self.assertEqual(c.read_to_ack(seq)[-1], {"weir": "ack", "seq": seq})

    def test_elements_of_an_array_have_numbers_of_their_own_and_an_empty_array_has_none(self):
        agent = self.start_agent()
        with self.connect() as c:
            c.hello(client_id="x", next_seq=1)
            c.send(["[%s,5,%s]" % (log("a"), log("b")), "[]", " [ ] ", "", log("c")])
            c.send(['{"weir":"sync","id":7}'])
            lines = c.read_until("synced")
        self.assertEqual(lines[-1], {"weir": "synced", "id": 7, "seq": 4})
        self.assertEqual([(x["seq"], x["reason"]) for x in lines if x["weir"] == "reject"], [(2, "not_an_object")])
        self.assertEqual(self.messages(agent, 3), ["a", "b", "c"])

    def test_control_lines_take_no_number_and_may_be_spaced(self):
        self.start_agent()
        with self.connect() as c:
            c.send([' { "weir" : "hello" , "client_id" : "x", "next_seq": 1 } \r', log("a"),
                    '{ "weir":"sync", "id":1}', log("b"), '{"weir":"sync","id":2}\r'])
            self.assertEqual(c.read_line()["weir"], "welcome")
            first = c.read_until("synced")[-1]
            second = c.read_until("synced")[-1]
        self.assertEqual((first["id"], first["seq"], second["id"], second["seq"]), (1, 1, 2, 2))

    def test_a_hello_without_next_seq_goes_on_where_the_agent_is(self):
        agent = self.start_agent()
        for round_number in (0, 1, 2):
            with self.connect() as c:
                self.assertEqual(c.hello(client_id="x")["last_seq"], 2 * round_number)
                c.send([log("a"), log("b")])
                c.read_to_ack(2 * round_number + 2)
        self.assertEqual(self.messages(agent, 6), ["a", "b"] * 3)

    def test_what_is_sent_again_is_acknowledged_and_not_stored_again(self):
        agent = self.start_agent()
        with self.connect() as c:
            c.hello(client_id="x", next_seq=1)
            c.send([log("1"), "bad", log("3")])
            c.read_to_ack(3)
        with self.connect() as c:
            self.assertEqual(c.hello(client_id="x", next_seq=1)["last_seq"], 3)
            c.send([log("1"), "bad", log("3"), log("4")])
            lines = c.read_to_ack(4)
            self.assertEqual([x for x in lines if x["weir"] == "reject"], [], "a duplicate is not judged again")
        self.assertEqual(self.messages(agent, 3), ["1", "3", "4"])
        source = agent.source(self.source)
        self.assertEqual((source["received"], source["duplicate"], source["journalled"]), (7, 3, 3))
        self.assertEqual(source["rejected"], {"bad_json": 1})

    def test_a_gap_is_counted_and_accepted(self):
        agent = self.start_agent()
        with self.connect() as c:
            c.hello(client_id="x", next_seq=1)
            c.send([log("1")])
            c.read_to_ack(1)
        with self.connect() as c:
            self.assertEqual(c.hello(client_id="x", next_seq=12)["last_seq"], 1)
            c.send([log("12")])
            c.read_to_ack(12)
        client = agent.status()["clients"]["x"]
        self.assertEqual((client["last_seq"], client["gaps"]), (12, 10))
        with self.connect() as c:
            self.assertEqual(c.hello(client_id="x")["last_seq"], 12)
        self.assertEqual(self.messages(agent, 2), ["1", "12"])

    def test_a_second_hello_on_the_same_connection_starts_anew(self):
        agent = self.start_agent()
        with self.connect() as c:
            c.hello(client_id="x", next_seq=1)
            c.send([log("1"), log("2")])
            c.read_to_ack(2)
            c.send([harness.compact({"weir": "hello", "client_id": "x", "next_seq": 2})])
            welcome = c.read_until("welcome")[-1]
            self.assertEqual(welcome["last_seq"], 2)
            c.send([log("2"), log("3")])
            c.read_to_ack(3)
        self.assertEqual(self.messages(agent, 3), ["1", "2", "3"])

    def test_without_client_id_a_random_one_comes_and_without_ack_it_is_received(self):
        agent = self.start_agent()
        with self.connect() as a, self.connect() as b:
            first, second = a.hello(), b.hello()
            self.assertEqual((first["ack"], first["last_seq"]), ("received", 0))
            self.assertTrue(first["client_id"])
            self.assertNotEqual(first["client_id"], second["client_id"])
            a.send([log("x")])
            self.assertEqual(a.read_to_ack(1)[-1]["seq"], 1)
            self.assertEqual(agent.status()["clients"][first["client_id"]]["last_seq"], 1)

    def test_level_none_is_granted_and_sends_no_acks(self):
        self.start_agent()
        with self.connect() as c:
            self.assertEqual(c.hello(client_id="x", ack="none", next_seq=1)["ack"], "none")
            c.send([log("a"), log("b"), '{"weir":"sync","id":1}'])
            self.assertEqual(c.read_until("synced"), [{"weir": "synced", "id": 1, "seq": 2}])
            c.half_close()
            self.assertEqual(c.read_all(), [])

    def test_levels_a_memory_journal_cannot_keep_are_lowered_and_said(self):
        self.start_agent()
        for level in ("received", "buffered", "durable"):
            with self.subTest(level=level), self.connect() as c:
                self.assertEqual(c.hello(ack=level)["ack"], "received")

    def test_malformed_hellos_are_answered_by_error_and_a_close(self):
        agent = self.start_agent()
        for hello in ({"ack": "platinum"}, {"ack": 5}, {"client_id": 5}, {"next_seq": "one"}, {"next_seq": -1},
                      {"next_seq": 1.5}):
            with self.subTest(hello=hello), self.connect() as c:
                answer = c.hello(**hello)
                self.assertEqual(answer["weir"], "error")
                self.assertTrue(answer["reason"])
                self.assertTrue(answer["detail"])
                self.assertIsNone(c.read_line(), "error, then close")
        self.assertEqual(agent.source(self.source)["received"], 0)

    def test_an_unknown_control_line_ends_the_connection_and_costs_no_record(self):
        agent = self.start_agent()
        with self.connect() as c:
            c.hello(client_id="x", next_seq=1)
            c.send([log("before"), '{"weir":"frobnicate"}', log("after")])
            self.assertEqual(c.read_until("error")[-1]["weir"], "error")
            self.assertIsNone(c.read_line())
        with self.connect() as c:
            self.assertEqual(c.hello(client_id="x")["last_seq"], 1)
        self.assertEqual(self.messages(agent, 1), ["before"])

    def test_bye_ends_the_connection_with_everything_kept(self):
        agent = self.start_agent()
        with self.connect() as c:
            c.hello(client_id="x", next_seq=1)
            c.send([log("a"), log("b"), '{"weir":"bye"}'])
            lines = c.read_all()
            self.assertEqual([x["seq"] for x in lines if x["weir"] == "ack"][-1:], [2])
        self.assertEqual(self.messages(agent, 2), ["a", "b"])

    def test_after_a_half_close_all_acks_come_before_the_close(self):
        agent = self.start_agent()
        with self.connect() as c:
            c.hello(client_id="x", next_seq=1)
            c.send([log("m", n=n) for n in range(3000)])
            c.half_close()
            self.assertEqual(c.read_all()[-1], {"weir": "ack", "seq": 3000})
        self.assertEqual(agent.source(self.source)["journalled"], 3000)

    def test_a_truncated_last_line_takes_no_number(self):
        agent = self.start_agent()
        with self.connect() as c:
            c.hello(client_id="x", next_seq=1)
            c.send(harness.as_bytes([log("1")]) + log("2").encode()[:-5])
            c.half_close()
            self.assertEqual(c.read_all()[-1], {"weir": "ack", "seq": 1})
        self.assertEqual(agent.source(self.source)["rejected"], {"truncated": 1})
        self.assertEqual([q["reason"] for q in agent.quarantine()], ["truncated"])
        with self.connect() as c:
            self.assertEqual(c.hello(client_id="x")["last_seq"], 1)
            c.send([log("2")])
            c.read_to_ack(2)
        self.assertEqual(self.messages(agent, 2), ["1", "2"])

    def test_a_whole_last_line_without_line_feed_has_its_number(self):
        agent = self.start_agent()
        with self.connect() as c:
            c.hello(client_id="x", next_seq=1)
            c.send(harness.as_bytes([log("1")]) + log("2").encode())
            c.half_close()
            self.assertEqual(c.read_all()[-1], {"weir": "ack", "seq": 2})
        self.assertEqual(self.messages(agent, 2), ["1", "2"])

    def test_a_line_too_long_has_a_number_and_is_rejected(self):
        agent = self.start_agent()
        with self.connect() as c:
            c.hello(client_id="x", next_seq=1)
            c.send([log("1"), log("x" * 300000), log("3")])
            lines = c.read_to_ack(3)
        self.assertEqual([(x["seq"], x["reason"]) for x in lines if x["weir"] == "reject"], [(2, "too_long")])
        self.assertEqual(self.messages(agent, 2), ["1", "3"])
        entry = agent.quarantine()[0]
        self.assertEqual((entry["client_id"], entry["seq"], entry["reason"]), ("x", 2, "too_long"))

    def test_records_of_a_disabled_stream_are_acknowledged(self):
        agent = self.start_agent("""
streams:
  trace: {enabled: false}
  log: {sinks: [out]}
sinks: {out: {type: jsonl, path: "@/out.jsonl"}}
""")
        with self.connect() as c:
            c.hello(client_id="x", next_seq=1)
            c.send([harness.trace("t"), log("2"), harness.trace("t")])
            c.read_to_ack(3)
        source = agent.source(self.source)
        self.assertEqual((source["accepted"], source["disabled"], source["journalled"]), (3, 2, 1))

    def test_a_second_connection_takes_over(self):
        agent = self.start_agent()
        with self.connect() as first, self.connect() as second:
            first.hello(client_id="x", next_seq=1)
            first.send([log("1"), log("2")])
            first.read_to_ack(2)
            self.assertEqual(second.hello(client_id="x")["last_seq"], 2)
            self.assertEqual(first.read_all(), [{"weir": "bye", "reason": "taken_over"}])
            second.send([log("3")])
            second.read_to_ack(3)
        self.assertEqual(self.messages(agent, 3), ["1", "2", "3"])

    def test_lines_read_before_a_take_over_count_and_unread_ones_are_discarded(self):
        agent = self.start_agent()
        lines = [log(str(n)) for n in range(1, 2001)]
        with self.connect() as first, self.connect() as second:
            first.hello(client_id="x", next_seq=1)
            first.send(lines)
            last = second.hello(client_id="x")["last_seq"]
            self.assertLessEqual(last, 2000)
            second.send(lines[last:])
            if last < 2000:
                second.read_to_ack(2000)
        self.assertEqual(self.messages(agent, 2000), [str(n) for n in range(1, 2001)])

    def test_two_clients_do_not_disturb_each_other(self):
        agent = self.start_agent()
        with self.connect() as a, self.connect() as b:
            a.hello(client_id="a", next_seq=1)
            b.hello(client_id="b", next_seq=100)
            a.send([log("a1")])
            b.send([log("b100"), "bad"])
            self.assertEqual(a.read_to_ack(1)[-1]["seq"], 1)
            self.assertEqual([x["seq"] for x in b.read_to_ack(101) if x["weir"] == "reject"], [101])
        clients = agent.status()["clients"]
        self.assertEqual((clients["a"]["gaps"], clients["b"]["gaps"]), (0, 99))


class AcknowledgedOverTcp(AcknowledgedOverUnix):
    source = "net"


class Ownership(harness.AgentTest):
    @unittest.skipUnless(os.getuid() == 0, "needs root, to connect as somebody else")
    def test_another_uid_is_refused(self):
        agent = self.start(CONFIG)
        os.chmod(self.dir, 0o710)
        with agent.connect() as c:
            c.hello(client_id="mine", next_seq=1)
            c.send([log("1")])
            c.read_to_ack(1)
        read_end, write_end = os.pipe()
        child = os.fork()
        if child == 0:  # group 0 may write to the 0660 socket; the uid is somebody else's
            try:
                os.setuid(65534)
                with agent.connect() as c, agent.connect() as other:
                    said = [c.hello(client_id="mine"), c.read_line(), other.hello(client_id="his")["weir"]]
                os.write(write_end, harness.compact(said).encode())
            finally:
                os._exit(0)
        os.close(write_end)
        os.waitpid(child, 0)
        with os.fdopen(read_end) as f:
            answer, after, own = json.loads(f.read())
        self.assertEqual((answer["weir"], answer["reason"]), ("error", "not_yours"))
        self.assertIsNone(after, "error, then close")
        self.assertEqual(own, "welcome")
        clients = agent.status()["clients"]
        self.assertEqual((clients["mine"]["uid"], clients["mine"]["last_seq"], clients["his"]["uid"]), (0, 1, 65534))


if __name__ == "__main__":
    unittest.main(verbosity=2)
