"""The native client through shared memory: the agent reads the program's rings."""
import os
import random
import signal
import unittest

import cpp_client
import harness

DISK = harness.ALL_TO_FILE + "journal: {type: disk}\n"


class Rings(harness.AgentTest):
    def driver(self):
        return cpp_client.Driver(self, "unix:" + self.path("in.sock"))

    def all_delivered(self, agent):
        agent.wait_status(lambda s: s["sinks"]["out"]["lag_records"] == 0, "all delivered")

    def test_logs_arrive_in_order(self):
        agent = self.start(harness.ALL_TO_FILE)
        driver = self.driver()
        cpp_client.log_and_compare(self, agent, driver, 2000)
        self.assertEqual(driver.stats()["transport"], "ring")
        driver.end()

    def test_texts_of_every_length(self):
        """So that each kind of record ends in every number of bytes of padding; and both transports write the same members."""
        agent = self.start(harness.ALL_TO_FILE)
        changing = {"ts", "trace_id", "span_id", "start", "end", "t_enter", "t_exit", "duration_ms"}
        seen = []
        for address in agent.addresses:
            driver = cpp_client.Driver(self, address)
            driver.do("lengths 40")
            self.assertEqual(driver.do("flush 20000"), "done")
            self.assertEqual(driver.stats()["transport"], "ring" if address.startswith("unix:") else "frames")
            driver.end()
            agent.wait_delivered("out", 160 * (len(seen) + 1))
            records = agent.records()[160 * len(seen):]
            seen.append([{k: v for k, v in r.items() if k not in changing} for r in records])
        self.assertEqual(len(seen), 2)
        self.assertEqual(seen[0], seen[1])
        self.assertEqual([len(r["attributes"]["text"]) for r in seen[0] if r.get("message", "").startswith("site ")], list(range(40)))

    def test_under_pressure_a_thread_goes_on_with_a_bigger_ring(self):
        agent = self.start(harness.ALL_TO_FILE)
        driver = self.driver()
        driver.do("count 7")
        driver.do("log 1")
        self.assertEqual(driver.do("flush 20000"), "done")
        agent.signal(signal.SIGSTOP)
        driver.do("log 100000")
        small = 100001 - driver.stats()["dropped"]

        def changed():
            driver.do("log 1")
            return driver.stats()["rings"] > 2  # the connection's thread has one, for the counter
        harness.wait_for(changed, "another ring")
        driver.do("count 5")
        dropped = driver.stats()["dropped"]
        driver.do("log 100000")
        self.assertGreater(100000 - (driver.stats()["dropped"] - dropped), 3 * small)
        agent.signal(signal.SIGCONT)
        self.assertEqual(driver.do("flush 20000"), "done")
        self.all_delivered(agent)
        seen = cpp_client.numbers(agent)
        self.assertEqual(seen, sorted(set(seen)))
        driver.do("log 1")
        self.assertEqual(driver.do("flush 20000"), "done")
        self.assertEqual(sum(r["value"] for r in agent.records() if r["stream"] == "telemetry"), 12)
        driver.end()

    def test_a_record_that_is_worth_it_waits_for_room(self):
        agent = self.start(harness.ALL_TO_FILE)
        driver = self.driver()
        driver.do("log 1")
        self.assertEqual(driver.do("flush 20000"), "done")
        agent.signal(signal.SIGSTOP)
        driver.do("log 10000")
        dropped = driver.stats()["dropped"]
        self.assertGreaterEqual(int(driver.do("patient 20")), 20 * 900)
        self.assertEqual(driver.stats()["dropped"], dropped + 20)
        agent.signal(signal.SIGCONT)
        self.assertEqual(driver.do("flush 20000"), "done")
        dropped = driver.stats()["dropped"]
        driver.do("patient 200000")
        self.assertLess(driver.stats()["dropped"] - dropped, 100000)
        driver.end()

    def test_what_a_program_wrote_last_arrives_without_a_flush(self):
        agent = self.start(harness.ALL_TO_FILE)
        driver = self.driver()
        driver.do("log 10")
        driver.do("count 7")
        driver.end()
        agent.wait_delivered("out", 11)

    def test_threads_that_have_ended(self):
        agent = self.start(harness.ALL_TO_FILE)
        driver = self.driver()
        driver.do("threads 20 500")
        self.assertEqual(driver.do("flush 20000"), "done")
        agent.wait_delivered("out", 10000)
        harness.wait_for(lambda: driver.stats()["rings"] <= 2, "rings let go of")
        driver.end()

    def test_records_written_before_the_agent_is_there(self):
        driver = self.driver()
        driver.do("log 100")
        agent = self.start(harness.ALL_TO_FILE)
        agent.wait_delivered("out", 100)
        self.assertEqual(cpp_client.numbers(agent), list(range(1, 101)))
        driver.end()

    def test_what_threads_wrote_in_turns_before_the_agent_was_there_comes_in_order(self):
        """All rings are handed over at once then: none is read before the last one is there."""
        driver = self.driver()
        driver.do("relay 12 2400")
        agent = self.start(DISK)
        agent.wait_delivered("out", 2400)
        agent.stop()
        driver.do("relay 12 2400")
        agent = self.start(DISK)
        self.assertEqual(driver.do("flush 20000"), "done")
        self.all_delivered(agent)
        self.assertEqual([r["attributes"]["i"] for r in agent.records()], 2 * list(range(2400)))
        driver.end()

    def test_an_agent_that_is_restarted_gets_everything_once(self):
        agent = self.start(DISK)
        driver = self.driver()
        driver.do("log 100")
        self.assertEqual(driver.do("flush 20000"), "done")
        agent.stop()
        driver.do("log 100")
        agent = self.start(DISK)
        driver.do("log 100")
        self.assertEqual(driver.do("flush 20000"), "done")
        self.all_delivered(agent)
        self.assertEqual(cpp_client.numbers(agent), list(range(1, 301)))
        driver.end()

    def test_a_killed_agent_loses_and_doubles_nothing(self):
        agent = self.start(DISK)
        driver = self.driver()
        for _ in range(5):
            driver.do("log 500")
            agent.stopped = True
            agent.kill()
            agent = self.start(DISK)
        self.assertEqual(driver.do("flush 20000"), "done")
        self.all_delivered(agent)
        self.assertEqual(cpp_client.numbers(agent), list(range(1, 2501)))
        driver.end()

    def test_a_stopped_agent_costs_the_program_nothing(self):
        agent = self.start(harness.ALL_TO_FILE)
        driver = self.driver()
        driver.do("log 1")
        driver.do("flush 20000")
        agent.signal(signal.SIGSTOP)
        self.assertLess(int(driver.do("time 200000")), 1000)
        agent.signal(signal.SIGCONT)
        self.assertEqual(driver.do("flush 20000"), "done")
        dropped = driver.stats()["dropped"]
        self.assertGreater(dropped, 0)
        agent.wait_delivered("out", 200001 - dropped)
        self.assertEqual(len(agent.records()), 200001 - dropped)
        driver.end()

    def test_killed_programs_lose_no_committed_record(self):
        """Programs that log on and on are killed at random moments: all that they told of arrives."""
        seed = int(os.environ.get("WEIR_SEED", random.randrange(1 << 32)))
        print("seed", seed, flush=True)
        chance = random.Random(seed)
        agent = self.start(harness.ALL_TO_FILE)
        told = []
        for _ in range(300 if harness.LONG else 40):
            driver = self.driver()
            driver.do("log 1")
            driver.do("flush 20000")
            driver.send("forever")
            for _ in range(chance.randrange(1, 400)):
                last = int(driver.answer())
            driver.proc.send_signal(signal.SIGKILL)
            rest = driver.proc.stdout.read().split(b"\n")[:-1]
            told.append(int(rest[-1]) if rest else last)
            driver.kill()
        rings = lambda s: s["sources"]["local"]["rings"]
        end = agent.wait_status(lambda s: s["sinks"]["out"]["delivered"] + rings(s)["dropped"] >= sum(told) and
                                rings(s)["attached"] == 0 and s["sinks"]["out"]["lag_records"] == 0, "%d delivered" % sum(told))
        runs, here = [], cpp_client.numbers(agent)
        for n in here:
            if n == 1:
                runs.append(0)
            self.assertGreater(n, runs[-1])
            runs[-1] = n
        self.assertEqual(len(runs), len(told))
        written = sum(runs) if rings(end)["dropped"] == 0 else sum(told)
        self.assertGreaterEqual(len(here) + rings(end)["dropped"], written)
        for run, least in zip(runs, told):
            if rings(end)["dropped"] == 0:
                self.assertGreaterEqual(run, least)


if __name__ == "__main__":
    unittest.main()
