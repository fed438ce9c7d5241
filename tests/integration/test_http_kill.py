"""The `http` sink over a journal on disk: what was sent before a kill is sent again in the same requests, with the same
keys, so a receiver that looks at keys has each record once (delivery.md section 2)."""
import threading
import unittest

import http_receiver
from http_receiver import ForwardTest, lines_of

JOURNAL = 'journal: {type: disk, path: "@/journal", max_bytes: 64MiB}\n'


class Killed(ForwardTest):
    def check(self, options, held):
        """A receiver takes the first `held` requests and answers none of them before the agent is killed."""
        waiting = threading.Semaphore(0)

        def hold(peer, request):
            peer.receiver.take(request)
            waiting.release()
            peer.until_closed()
            return False
        receiver = self.receiver(script=[hold] * held)
        text = JOURNAL + self.config(receiver.url(), "timeout: 60s" + options)
        agent = self.start(text, env=http_receiver.NO_PROXIES)
        lines = lines_of(1700)
        agent.send_plain(lines[:700])
        for _ in range(held):
            self.assertTrue(waiting.acquire(timeout=30), "a request is out")
        agent.send_plain(lines[700:])  # with these a new batch would be larger
        agent.kill()
        agent.stopped = True
        before = list(receiver.taken)
        agent = self.start(text, env=http_receiver.NO_PROXIES)
        self.wait_all(agent, len(lines))
        again = receiver.taken[held:held * 2]
        self.assertEqual(sorted((r.key, r.lines()) for r in again), sorted((r.key, r.lines()) for r in before))
        self.assertEqual(sorted(receiver.records()), sorted(lines))
        if held == 1:
            self.assertEqual(receiver.records(), lines, "in order")
        agent.stop()

    def test_one_request_at_a_time(self):
        self.check("", 1)

    def test_several_at_once(self):
        self.check(", in_flight: 2, batch: {records: 300, linger: 50ms}", 2)


if __name__ == "__main__":
    unittest.main(verbosity=2)
