"""The native client through frames: an agent that does not read rings, or is reached by TCP."""
import signal
import unittest

import cpp_client
import harness


class Frames(harness.AgentTest):
    def driver(self, agent, ack=""):
        address = next(a for a in agent.addresses if a.startswith("tcp:"))
        return cpp_client.Driver(self, address, ack)

    def test_logs_arrive_in_order_and_are_acknowledged(self):
        agent = self.start(harness.ALL_TO_FILE)
        driver = self.driver(agent)
        cpp_client.log_and_compare(self, agent, driver, 5000)
        stats = driver.stats()
        self.assertEqual((stats["transport"], stats["sent"], stats["acknowledged"]), ("frames", 5000, 5000))
        driver.end()

    def test_what_a_program_wrote_last_arrives_without_a_flush(self):
        agent = self.start(harness.ALL_TO_FILE)
        driver = self.driver(agent)
        driver.do("log 10")
        driver.do("count 7")
        driver.end()
        agent.wait_delivered("out", 11)
        count = [r for r in agent.records() if r["stream"] == "telemetry"]
        self.assertEqual([(r["name"], r["value"], r["attributes"]) for r in count], [("driver.count", 7, {"kind": "test"})])

    def test_threads_and_failed_spans(self):
        agent = self.start(harness.ALL_TO_FILE)
        driver = self.driver(agent)
        driver.do("threads 8 500")
        driver.do("spans 3")
        self.assertEqual(driver.do("flush 20000"), "done")
        agent.wait_delivered("out", 4003)
        records = agent.records()
        for t in range(8):
            mine = [r["attributes"]["i"] for r in records if r.get("message") == "thread" and r["attributes"]["t"] == t]
            self.assertEqual(mine, list(range(500)))
        spans = [r for r in records if r.get("name") == "work"]
        self.assertEqual([(r["status"], r["error"]["type"]) for r in spans], [("error", "E")] * 3)
        driver.end()

    def test_an_agent_that_is_restarted_gets_everything_once(self):
        config = harness.ALL_TO_FILE + "journal: {type: disk}\n"
        agent = self.start(config)
        port = next(a for a in agent.addresses if a.startswith("tcp:"))[4:]
        driver = self.driver(agent, "durable")
        driver.do("log 100")
        self.assertEqual(driver.do("flush 20000"), "done")
        agent.stop()
        driver.do("log 100")
        agent = self.start('listen: {net: {type: tcp, bind: "%s"}}\n' % port + config)
        driver.do("log 100")
        self.assertEqual(driver.do("flush 20000"), "done")
        agent.wait_status(lambda s: s["sinks"]["out"]["lag_records"] == 0, "all delivered")
        self.assertEqual(cpp_client.numbers(agent), list(range(1, 301)))
        self.assertEqual(driver.stats()["connections"], 2)
        driver.end()

    def test_a_killed_agent_loses_nothing_that_was_acknowledged_and_gets_the_rest(self):
        config = harness.ALL_TO_FILE + "journal: {type: disk}\n"
        agent = self.start(config)
        port = next(a for a in agent.addresses if a.startswith("tcp:"))[4:]
        driver = self.driver(agent, "durable")
        for _ in range(5):
            driver.do("log 1000")
            agent.stopped = True
            agent.kill()
            agent = self.start('listen: {net: {type: tcp, bind: "%s"}}\n' % port + config)
        self.assertEqual(driver.do("flush 20000"), "done")
        agent.wait_status(lambda s: s["sinks"]["out"]["lag_records"] == 0, "all delivered")
        self.assertEqual(sorted(set(cpp_client.numbers(agent))), list(range(1, 5001)))
        driver.end()

    def test_a_stopped_agent_costs_the_program_nothing_and_drops_are_told(self):
        agent = self.start(harness.ALL_TO_FILE)
        driver = self.driver(agent)
        driver.do("log 1")
        driver.do("flush 20000")
        agent.signal(signal.SIGSTOP)
        self.assertLess(int(driver.do("time 200000")), 1000)
        agent.signal(signal.SIGCONT)
        self.assertEqual(driver.do("flush 20000"), "done")
        driver.do("log 1")
        self.assertEqual(driver.do("flush 20000"), "done")
        dropped = driver.stats()["dropped"]
        agent.wait_status(lambda s: sum(c.get("dropped", 0) for c in s["clients"].values()) == dropped, "drops told of")
        agent.wait_delivered("out", 200002 - dropped)
        self.assertEqual(len(agent.records()), 200002 - dropped)
        driver.end()

    def test_without_an_agent_a_program_runs_and_ends(self):
        driver = cpp_client.Driver(self, "unix:" + self.path("none.sock"))
        self.assertLess(int(driver.do("time 50000")), 1000)
        self.assertGreater(driver.stats()["dropped"], 0)
        self.assertEqual(driver.do("flush 50"), "late")
        driver.end()

    def test_the_child_of_a_fork_has_a_connection_of_its_own(self):
        agent = self.start(harness.ALL_TO_FILE)
        driver = self.driver(agent)
        driver.do("log 10")
        self.assertEqual(driver.do("fork 20"), "0")
        driver.do("log 10")
        self.assertEqual(driver.do("flush 20000"), "done")
        agent.wait_delivered("out", 40)
        self.assertEqual(sorted(cpp_client.numbers(agent)), sorted(list(range(1, 21)) + list(range(11, 31))))
        self.assertEqual(len(agent.status()["clients"]), 2)
        driver.end()


if __name__ == "__main__":
    unittest.main()
