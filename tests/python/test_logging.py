"""What the log handler and the filter make of the standard library's log records."""
import logging
import logging.handlers
import os
import pickle
import queue
import subprocess
import sys
import threading
import unittest

import support
import weir
from support import KeepingClient
from weir.correlation import current

RFC3339 = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z"


class Logging(unittest.TestCase):
    def setUp(self):
        self.client = KeepingClient(service="orders")
        self.logger = logging.Logger("shop.orders", logging.DEBUG)
        self.handler = weir.LoggingHandler(self.client)
        self.logger.addHandler(self.handler)
        self.addCleanup(current.reset, current.set(weir.Context()))

    def test_a_record(self):
        self.logger.warning("paid %s of %d", "3,50", 7)
        (r,) = self.client.records()
        self.assertRegex(r.pop("ts"), RFC3339)
        self.assertEqual(r, {"stream": "log", "service": "orders", "level": "warn", "message": "paid 3,50 of 7", "logger": "shop.orders",
                             "correlation_id": "no-correlation"})

    def test_ids_of_the_current_context(self):
        weir.correlation_manager.set("c-9")
        with weir.span("s", client=KeepingClient()) as span:
            self.logger.info("in")
        self.logger.info("out")
        inner, outer = self.client.records()
        self.assertEqual((inner["correlation_id"], inner["trace_id"], inner["span_id"]), ("c-9", span.trace_id, span.span_id))
        self.assertEqual((outer["correlation_id"], "trace_id" in outer), ("c-9", False))

    def test_levels(self):
        for level in (5, 10, 20, 25, 30, 40, 50, 70):
            self.logger.setLevel(1)
            self.logger.log(level, "x")
        self.assertEqual([r["level"] for r in self.client.records()], ["trace", "debug", "info", "info", "warn", "error", "fatal", "fatal"])

    def test_extra_is_attributes_as_it_is_now(self):
        items = [1]
        self.logger.info("x", extra={"items": items, "n": 1})
        items.append(2)
        self.logger.info("y", extra={"n": 2})
        self.assertEqual([r["attributes"] for r in self.client.records()], [{"items": [1], "n": 1}, {"n": 2}])

    def test_an_exception_and_a_stack(self):
        try:
            raise ValueError("bad")
        except ValueError:
            self.logger.exception("failed", stack_info=True)
        a = self.client.records()[0]["attributes"]
        self.assertEqual((a["exception.type"], a["exception.message"]), ("ValueError", "bad"))
        self.assertIn("raise ValueError", a["exception.stacktrace"])
        self.assertIn("Stack", a["code.stacktrace"])

    def test_what_cannot_be_formatted_arrives_as_it_is_and_nothing_is_printed(self):
        class Unprintable:
            def __str__(self):
                raise RuntimeError("no")
        stderr, sys.stderr = sys.stderr, None
        try:
            self.logger.info("%d", "no number")
            self.logger.info("%s %s", "a")
            self.logger.info(Unprintable())
            self.handler.setFormatter(logging.Formatter("%(missing)s"))
            self.logger.info("x")
        finally:
            sys.stderr = stderr
        self.assertEqual([r["message"] for r in self.client.records()], ["%d", "%s %s", "<unprintable Unprintable>", "x"])

    def test_a_long_exception_is_cut_and_says_so(self):
        try:
            raise ValueError("y" * 300_000)
        except ValueError:
            self.logger.exception("m")
        record = self.client.records()[0]
        self.assertIs(record["shortened"], True)
        self.assertLess(len(record["attributes"]["exception.message"]), 20_000)

    def test_the_time_is_the_records(self):
        self.handler.handle(logging.makeLogRecord({"msg": "m", "levelno": 20, "created": 1768989600.5}))
        self.assertEqual(self.client.records()[0]["ts"], "2026-01-21T10:00:00.500000000Z")

    def test_ids_go_through_a_queue(self):
        records = queue.Queue()
        through = logging.handlers.QueueHandler(records)
        through.addFilter(weir.CorrelationFilter())
        logger = logging.Logger("shop")
        logger.addHandler(through)
        with weir.correlation_manager.activate(weir.Context(correlation_id="c-1", trace_id="t-1", span_id="s-1")):
            logger.info("order %d", 7, extra={"n": 1})
        logger.info("none")
        listener = logging.handlers.QueueListener(records, self.handler)
        with weir.correlation_manager.activate(weir.Context(correlation_id="c-2", trace_id="t-2")):
            listener.handle(records.get())
            listener.handle(records.get())
        first, second = self.client.records()
        self.assertEqual([first.get(k) for k in ("message", "correlation_id", "trace_id", "span_id", "attributes")],
                         ["order 7", "c-1", "t-1", "s-1", {"n": 1}])
        self.assertEqual([second.get(k) for k in ("correlation_id", "trace_id", "attributes")], ["no-correlation", None, None])

    def test_text_that_is_no_unicode_and_a_very_long_one_arrive(self):
        self.logger.info("a\ud800b\n\x00")
        self.logger.info("x" * 1_000_000)
        first, second = self.client.records()
        self.assertEqual(first["message"], "a?b\n\x00")
        self.assertEqual(second["message"], "x" * 65_536 + "...(truncated)")

    def test_filters_levels_and_formatters_are_obeyed(self):
        self.handler.addFilter(lambda record: "secret" not in record.msg)
        self.handler.setLevel(logging.INFO)
        self.handler.setFormatter(logging.Formatter("<%(message)s>"))
        for message in ("secret", "open"):
            self.logger.info(message)
        self.logger.debug("open")
        self.assertEqual([r["message"] for r in self.client.records()], ["<open>"])

    def test_no_lock_is_taken(self):
        with self.handler.lock:  # another thread in the middle of its own record
            thread = threading.Thread(target=self.logger.info, args=("x",))
            thread.start()
            thread.join(support.DEADLINE_S)
        self.assertEqual(len(self.client.lines), 1)

    def test_what_the_client_says_of_itself_does_not_go_around(self):
        logger = logging.getLogger("weir.client")
        self.addCleanup(logger.removeHandler, self.handler)
        logger.addHandler(self.handler)
        logger.warning("agent gone")
        self.assertEqual(self.client.lines, [])

    def test_a_disabled_stream_makes_nothing(self):
        client = KeepingClient({"log": {"enabled": False}})
        logger = logging.Logger("x")
        logger.addHandler(weir.LoggingHandler(client))
        logger.info("x")
        client.log("info", "y")
        self.assertEqual((client.lines, client.stats()["disabled"]), ([], 2))

    def test_the_filter_for_other_handlers(self):
        record = logging.makeLogRecord({})
        self.assertTrue(weir.CorrelationFilter().filter(record))
        self.assertEqual((record.correlation_id, record.trace_id, record.span_id), ("no-correlation", "", ""))

    def test_ids_in_extra_replace_only_themselves(self):
        outer = weir.Context(correlation_id="c-1", trace_id="t-1", span_id="s-1")

        def ids(extra):
            with weir.correlation_manager.activate(outer):
                self.logger.info("x", extra=extra)
            record = self.client.records()[-1]
            return record["correlation_id"], record.get("trace_id"), record.get("span_id"), record.get("attributes")
        for _ in range(2):  # with the filter, too
            self.assertEqual(ids({"correlation_id": "mine"}), ("mine", "t-1", "s-1", None))
            self.assertEqual(ids({"trace_id": "t-2"}), ("c-1", "t-2", None, None))
            self.assertEqual(ids({"trace_id": "t-2", "span_id": "s-2", "n": 1}), ("c-1", "t-2", "s-2", {"n": 1}))
            self.assertEqual(ids({"span_id": "s-2"}), ("c-1", "t-1", "s-2", None))
            self.logger.addFilter(weir.CorrelationFilter())

    def test_a_traceback_that_was_sent_as_text(self):
        try:
            raise ValueError("bad")
        except ValueError:
            record = self.logger.makeRecord("x", 40, "f", 1, "failed", (), sys.exc_info())
        sent = logging.handlers.SocketHandler("localhost", 1).makePickle(record)
        self.handler.handle(logging.makeLogRecord(pickle.loads(sent[4:])))
        (r,) = self.client.records()
        self.assertEqual(r["message"], "failed")
        self.assertRegex(r["attributes"]["exception.stacktrace"], r"(?s)^Traceback.*raise ValueError.*bad$")


class SaidOfItself(unittest.TestCase):
    """With the handler at the root of a whole program's logging."""

    def run_program(self, code, **environment):
        env = {k: v for k, v in os.environ.items() if not k.startswith(("WEIR_", "XDG_"))}
        env.update(environment, PYTHONPATH=os.path.join(support.ROOT, "client", "python"))
        program = "import logging, os, weir\nroot = logging.getLogger()\nroot.addHandler(weir.LoggingHandler())\n" + code
        done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env,
                              universal_newlines=True, timeout=support.DEADLINE_S * 3)
        self.assertEqual((done.returncode, done.stdout), (0, "alive\n"), done.stderr)
        return done.stderr.splitlines()

    def test_an_address_that_is_none_is_said_once_and_does_not_go_around(self):
        for first in ("weir.connect()", "weir.connect(mode='direct')", "root.error('x')", "weir.log('info', 'x')"):
            for more in ("", "root.addHandler(logging.StreamHandler())\n"):
                with self.subTest(first=first, more=more):
                    said = self.run_program(more + first + "\nweir.log('info', 'y')\nprint('alive')", WEIR_ADDRESS="http://bogus")
                    said = [line for line in said if line != "x"]
                    self.assertEqual(len(said), 1, said)
                    self.assertIn("$WEIR_ADDRESS: 'http://bogus' is no address", said[0])

    def test_no_known_agent_is_said_once(self):
        said = self.run_program("os.geteuid = lambda: 1\nroot.error('x')\nroot.error('y')\nprint('alive')")
        self.assertEqual(said, ["weir: no agent is known: set $WEIR_ADDRESS; records are dropped"])

    def test_no_agent_is_said_once_for_all_children_where_somebody_sees_it(self):
        forks = ("c = weir.connect()\nweir.log('info', 'x')\nweir.flush(0.3)\n"
                 "for _ in range(3):\n    if os.fork() == 0:\n        weir.log('info', 'x')\n        weir.flush(0.3)\n        os._exit(0)\n"
                 "for _ in range(3):\n    os.wait()\nprint('alive')")
        twice = "root.addHandler(weir.LoggingHandler())\n"
        for more in ("", twice, "root.addHandler(logging.StreamHandler())\n"):
            with self.subTest(more=more):
                said = self.run_program(more + forks, WEIR_ADDRESS="unix:/nowhere/weir.sock")
                self.assertEqual(len(said), 1, said)
                self.assertIn("no agent at unix:/nowhere/weir.sock", said[0])

    def test_a_program_that_silences_it_is_obeyed(self):
        code = "logging.getLogger('weir.client').addHandler(logging.NullHandler())\nweir.connect()\nprint('alive')"
        self.assertEqual(self.run_program(code, WEIR_ADDRESS="http://bogus"), [])


if __name__ == "__main__":
    unittest.main()
