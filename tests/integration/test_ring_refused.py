"""Rings that the agent refuses for want of room: nothing is lost, nobody is punished, and it is said what to do."""
import os
import resource
import unittest

import cpp_client
import frames
import harness
import rings

TOO_MANY = 5
LITTLE_MEMORY = harness.ALL_TO_FILE + "limits: {per_uid: {memory: 512KiB}}\n"  # an arena takes twice that


class Refused(harness.AgentTest):
    @unittest.skipUnless(os.access(cpp_client.DRIVER, os.X_OK), "no native client at " + cpp_client.DRIVER)
    def test_a_program_with_many_threads_goes_on_with_frames(self):
        """Its rings were on their way when the arena was refused."""
        driver = cpp_client.Driver(self, "unix:" + self.path("in.sock"))
        driver.do("threads 8 500")
        agent = self.start(LITTLE_MEMORY)
        self.assertEqual(driver.do("flush 20000"), "done")
        stats = driver.stats()
        self.assertEqual((stats["transport"], stats["connections"], stats["dropped"]), ("frames", 1, 0))
        agent.wait_delivered("out", 4000)
        self.assertEqual(agent.source()["rings"]["violations"], 0)
        self.assertGreaterEqual(agent.source()["rings"]["refused"], 1)
        self.assertRegex(agent.stderr(), r"unix:uid=%d,pid=%d: a ring is refused: .*limits\.per_uid\.memory allows; raise it" % (
            os.getuid(), driver.proc.pid))
        driver.end()

    @unittest.skipUnless(os.access(cpp_client.DRIVER, os.X_OK), "no native client at " + cpp_client.DRIVER)
    def test_the_drops_of_a_ring_that_is_refused_are_told_while_its_thread_goes_on(self):
        agent = self.start(harness.ALL_TO_FILE + "limits: {per_uid: {memory: 1200KiB}}\n")  # for an arena, not for a ring
        driver = cpp_client.Driver(self, "unix:" + self.path("in.sock"))
        driver.do("log 1")
        self.assertEqual(driver.do("flush 20000"), "done")
        driver.do("log 200000")
        self.assertEqual(driver.do("flush 20000"), "done")
        stats = driver.stats()
        self.assertEqual(stats["transport"], "ring")
        self.assertGreater(stats["dropped"], 0)
        agent.wait_status(lambda s: sum(c.get("dropped", 0) for c in s["clients"].values()) == stats["dropped"], "told")
        agent.wait_delivered("out", 200_001 - stats["dropped"])
        driver.end()

    def refused(self, what, limit_of, capacity, text):
        """The agent comes up against a limit of its own: the client is told, and nothing else becomes of it."""
        agent = self.start(harness.ALL_TO_FILE)
        p = rings.connect(agent)
        self.addCleanup(p.disconnect)
        ring, site = p.ring(), p.site(rings.LOG, "n", args=[("n", rings.I64)])
        before = resource.prlimit(agent.pid, what)
        resource.prlimit(agent.pid, what, (limit_of(agent), before[1]))
        for n in range(4):
            self.assertEqual(p.attach(rings.RING_FRAME, n + 1, rings.Ring(capacity, ring_id=n + 1).fd, TOO_MANY), text)
        resource.prlimit(agent.pid, what, before)
        p.attach(rings.RING_FRAME, 1, rings.Ring(ring_id=1).fd)
        ring.log(site, 7)
        agent.wait_delivered("out", 1)
        self.assertEqual(agent.source()["rings"]["violations"], 0)
        frames.connect(agent).sock.close()

    @unittest.skipIf(harness.SANITIZED, "UBSan looks at memory through a pipe, for which there is no descriptor")
    def test_an_agent_without_descriptors_left_breaks_no_connection(self):
        self.refused(resource.RLIMIT_NOFILE, lambda agent: 3, rings.CAPACITY,
                     "the agent has no descriptors left: raise LimitNOFILE or `ulimit -n`")

    @unittest.skipIf(harness.SANITIZED, "a sanitizer maps terabytes")
    def test_a_ring_that_the_agent_cannot_map_is_no_violation(self):
        def little_more(agent):
            with open("/proc/%d/statm" % agent.pid, encoding="ascii") as f:
                return int(f.read().split()[0]) * resource.getpagesize() + (16 << 20)  # its data is mapped twice
        self.refused(resource.RLIMIT_AS, little_more, 16 << 20,
                     "the agent cannot map it: Cannot allocate memory; raise vm.max_map_count, or its limit of memory")


if __name__ == "__main__":
    unittest.main(verbosity=2)
