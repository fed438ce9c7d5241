"""What the agent throws away is not serialised (the outcome on the real agent: tests/integration/test_python_policy.py)."""
import unittest

import support
from weir.policy import Policy


class Policies(unittest.TestCase):
    def test_without_an_agent_everything_is_wanted(self):
        for said in (None, {}, {"trace": {}}, {"trace": 5}, {"trace": {"context_diff": "new-mode"}}, {"trace": {"context_diff": "whitelist"}}):
            policy = Policy(said)
            self.assertFalse(policy.filters_context, said)
            self.assertEqual((policy.trace, policy.log, policy.telemetry, policy.monitoring), (True,) * 4)

    def test_a_disabled_stream(self):
        policy = Policy({"log": {"enabled": False}, "trace": {"context_diff": "full"}})
        self.assertEqual((policy.trace, policy.log), (True, False))
        self.assertFalse(policy.filters_context)

    def test_a_whitelist_keeps_what_an_entry_is_or_reaches_into(self):
        policy = Policy({"trace": {"context_diff": "whitelist", "whitelist": ["run_id", "decision.status.code"]}})
        ctx = {"decision": {"x": 1}, "other": 2, "run_id": 3, "decision.status": 4, "decision.status.code": 5, "decision.s": 6, 7: 8}
        self.assertEqual(list(policy.context(ctx)), ["decision", "run_id", "decision.status", "decision.status.code", 7])

    def test_every_form_of_context_in_a_record_is_reduced_and_the_record_left_alone(self):
        policy = Policy({"trace": {"context_diff": "whitelist", "whitelist": ["a"]}})
        record = {"trace_id": "t", "ctx": {"a": 1, "b": 2}, "ctx_set": {"b": 2}, "ctx_before": None, "ctx_after": {"b": 1, "a": 2},
                  "ctx_diff": {"a": {"before": 1, "after": 2}, "b": 0}}
        before = repr(record)
        self.assertEqual(policy.record(record), {"trace_id": "t", "ctx": {"a": 1}, "ctx_set": {}, "ctx_before": None, "ctx_after": {"a": 2},
                                                 "ctx_diff": {"a": {"before": 1, "after": 2}}})
        self.assertEqual(repr(record), before)

    def test_none_keeps_nothing(self):
        policy = Policy({"trace": {"context_diff": "none"}})
        self.assertEqual(policy.record({"ctx_before": {"a": 1}, "ctx_diff": {"a": 1}, "x": 1}), {"ctx_before": {}, "ctx_diff": {}, "x": 1})


if __name__ == "__main__":
    unittest.main()
