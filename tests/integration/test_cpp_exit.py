"""A program that ends at once, and asks nothing of the client but to write."""
import os
import subprocess
import unittest

import cpp_client
import harness


class Exit(harness.AgentTest):
    def test_the_last_records_of_a_short_program_arrive(self):
        agent = self.start(harness.ALL_TO_FILE)
        program = os.path.join(os.path.dirname(cpp_client.DRIVER), "client_at_exit")
        for n in range(1, 4):
            done = subprocess.run([program], env=self.env(), timeout=harness.DEADLINE_S)
            self.assertEqual(done.returncode, 0)
            agent.wait_delivered("out", 3 * n)
        self.assertEqual(sorted({r["stream"] for r in agent.records()}), ["log", "telemetry", "trace"])


if __name__ == "__main__":
    unittest.main()
