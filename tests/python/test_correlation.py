"""Ids across threads of control and across headers."""
import contextvars
import os
import threading
import unittest

import support
import weir
from weir.correlation import current, new_span_id, new_trace_id

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Correlation(unittest.TestCase):
    def setUp(self):
        self.manager = weir.CorrelationManager()
        self.addCleanup(current.reset, current.set(weir.Context()))

    def test_set_get_reset_and_create(self):
        m = self.manager
        self.assertIsNone(m.get())
        token = m.set("a")
        self.assertEqual((m.get(), m.get_or_create()), ("a", "a"))
        m.reset(token)
        made = m.get_or_create()
        self.assertEqual((m.get(), len(made)), (made, 36))
        self.assertNotEqual(m.generate(), m.generate())
        m.reset(token)  # used already: no harm
        self.assertEqual(m.get(), made)

    def test_a_context_is_its_threads_own(self):
        self.manager.set("mine")
        seen = []
        thread = threading.Thread(target=lambda: seen.append(self.manager.get()))
        thread.start()
        thread.join()
        contextvars.copy_context().run(self.manager.set, "copy")
        self.assertEqual((seen, self.manager.get()), ([None], "mine"))

    def test_headers_in_any_case_text_or_bytes(self):
        for headers in ({"traceparent": PARENT, "X-Correlation-ID": "c-1", "tracestate": "a=1", "baggage": "k=v%20w;p=1, bad, x=y"},
                        {b"TraceParent": PARENT.encode(), b"x-correlation-id": b"c-1", "TRACESTATE": "a=1", "Baggage": "k=v%20w,x=y"}):
            self.assertEqual(self.manager.extract(headers), weir.Context(
                "c-1", "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", 1, "a=1", (("k", "v w"), ("x", "y"))))

    def test_what_is_malformed_counts_as_not_there(self):
        for parent in ("", "x", PARENT.upper(), PARENT[:-1], PARENT + "-x", "ff" + PARENT[2:], PARENT.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32),
                       PARENT.replace("00f067aa0ba902b7", "0" * 16), PARENT + "\n" + PARENT):
            got = self.manager.extract({"traceparent": parent, "tracestate": "a=1", "X-Trace-ID": "own"})
            self.assertEqual((got.trace_id, got.span_id, got.trace_state), ("own", None, None), parent)
        for value in ("", "a b", "a\r\nSet-Cookie: x", "\x00", "é", 5, None):
            self.assertIsNone(self.manager.extract({"X-Correlation-ID": value}).correlation_id, value)
        self.assertEqual(len(self.manager.extract({"X-Correlation-ID": "x" * 1000}).correlation_id), 128)
        self.assertLessEqual(len(self.manager.extract({"baggage": ",".join("k%d=v" % n for n in range(5000))}).baggage), 64)
        self.assertEqual(self.manager.extract(5), weir.Context())

    def test_a_later_version_of_traceparent_is_read_as_far_as_it_is_known(self):
        self.assertEqual(self.manager.extract({"traceparent": "01" + PARENT[2:] + "-more"}).span_id, "00f067aa0ba902b7")

    def test_there_and_back(self):
        with self.manager.activate(weir.Context("c", new_trace_id(), new_span_id(), 0, "a=1,b=2", (("k", "v, w;=ü"),))) as context:
            headers = self.manager.inject({"Accept": "x"})
        self.assertEqual(self.manager.extract(headers), context)
        self.assertEqual((headers["X-Trace-ID"], headers["Accept"]), (context.trace_id, "x"))
        self.assertIsNone(self.manager.get())

    def test_nothing_is_injected_where_there_is_nothing_or_where_it_would_break_the_header(self):
        self.assertEqual(self.manager.inject({}), {})
        self.assertEqual(self.manager.inject({}, weir.Context("a\r\nb", "x y")), {})
        self.assertEqual(self.manager.inject({}, weir.Context(None, "t-1")), {"X-Trace-ID": "t-1"})

    def test_a_child_is_of_the_same_trace(self):
        parent = self.manager.extract({"traceparent": PARENT, "X-Correlation-ID": "c"})
        child = self.manager.child_context(parent)
        self.assertEqual(child._replace(span_id=parent.span_id), parent)
        self.assertNotEqual(child.span_id, parent.span_id)
        fresh = self.manager.child_context()
        self.assertEqual([len(x) for x in (fresh.correlation_id, fresh.trace_id, fresh.span_id)], [36, 32, 16])

    def test_a_child_process_does_not_repeat_its_parents_ids(self):
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.write(write, new_trace_id().encode())
            os._exit(0)
        os.waitpid(pid, 0)
        theirs = os.read(read, 100).decode()
        os.close(read), os.close(write)
        self.assertEqual(len(theirs), 32)
        self.assertNotEqual(theirs, new_trace_id())


if __name__ == "__main__":
    unittest.main()
