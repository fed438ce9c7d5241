"""What the native client makes of an agent's answers that are no acknowledgement."""
import os
import struct
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))
import cpp_client
import harness
import support
from other_version import ERROR, MAGIC, OtherVersion
from weir import frames


class Answers(harness.AgentTest):
    def fake(self):
        agent = support.FakeAgent(self.path("fake.sock"))
        self.addCleanup(agent.listener.close)
        driver = cpp_client.Driver(self, "unix:" + self.path("fake.sock"))
        return agent, driver

    def test_nack_means_hello_again_after_a_moment(self):
        agent, driver = self.fake()
        driver.do("log 3")
        self.assertEqual(agent.accept()["next_seq"], 1)
        agent.welcome()
        self.assertEqual([r["attributes"]["n"] for _, r in agent.read_records(3)], [1, 2, 3])
        agent.ack(1)
        agent.say(frames.NACK, struct.pack("<QH", 2, 100) + b"full")
        kind, _ = agent.read()
        self.assertEqual(kind, frames.HELLO)
        agent.welcome(last_seq=1)
        self.assertEqual([(n, r["attributes"]["n"]) for n, r in agent.read_to(3) if n > 1], [(2, 2), (3, 3)])
        driver.send("flush 20000")
        agent.ack(3)
        self.assertEqual(driver.answer(), "done")
        driver.end()
        agent.sock.close()

    def test_reject_is_counted_and_flush_goes_on(self):
        agent, driver = self.fake()
        driver.do("log 2")
        agent.accept()
        agent.welcome()
        agent.read_records(2)
        driver.send("flush 20000")
        agent.say(frames.REJECT, struct.pack("<QH", 2, 10) + b"at byte 0: ts")
        agent.ack(2)
        self.assertEqual(driver.answer(), "done")
        self.assertEqual(driver.stats()["rejected"], 1)
        driver.end()
        agent.sock.close()

    def test_an_agent_of_another_version_is_sent_lines(self):
        agent = self.start(harness.ALL_TO_FILE)
        for number, answer in enumerate((ERROR, MAGIC)):
            path = self.path(answer)
            with OtherVersion(path, self.path("in.sock"), answer) as other:
                driver = cpp_client.Driver(self, "unix:" + path)
                driver.do("log 3000")
                driver.do("lengths 40")
                self.assertEqual(driver.do("flush 20000"), "done")
                stats = driver.stats()
                self.assertEqual((stats["transport"], stats["acknowledged"], other.refused), ("lines", 3160, 1))
                driver.end()
                agent.wait_delivered("out", (number + 1) * 3160)
        self.assertEqual(cpp_client.numbers(agent), 2 * list(range(1, 3001)))
        self.assertEqual(agent.status()["sources"]["local"]["rejected"], {})


if __name__ == "__main__":
    unittest.main()
