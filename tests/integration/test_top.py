"""`weir top`: on a terminal, what is on the screen; on a pipe, the text."""
import fcntl
import json
import os
import re
import signal
import struct
import subprocess
import termios
import unicodedata
import unittest

import harness


class Screen(harness.Pty):
    """A terminal that understands what `weir top` writes, and faults on anything else, or on a line that is too long."""

    def __init__(self, width, height):
        super().__init__()
        self.resize(width, height)
        self.before = termios.tcgetattr(self.slave)

    def resize(self, width, height):
        self.width, self.height = width, height
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def type(self, keys):
        os.write(self.master, keys.encode())

    def keys_are_taken(self):
        return not termios.tcgetattr(self.slave)[3] & termios.ECHO

    def lines(self):
        """What is on the alternate screen now, of whole pictures; nothing when it was left."""
        rows, alternate = {}, False
        text = self.text()
        text = text[:max([text.rfind(end) + len(end) for end in ("\x1b[?2026l", "\x1b[?1049l") if end in text], default=0)]
        row = column = 0
        for escape, plain in re.findall("(\x1b\\[[?0-9;]*[A-Za-z])|([^\x1b]+|\x1b)", text):
            if plain:
                assert not re.search("[\x00-\x1f\x7f-\x9f]", plain), "raw control bytes: %r" % plain
                rows[row] = rows.get(row, "")[:column] + plain
                column += sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in plain)
                assert column <= self.width_max, "wider than the screen: %r" % rows[row]
            elif escape in ("\x1b[?1049h", "\x1b[?1049l"):
                alternate, rows = escape[-1] == "h", {}
            elif re.fullmatch("\x1b\\[\\d+;1H", escape):
                row, column = int(escape[2:-3]) - 1, 0
                assert row < self.height_max, "below the screen: row %d" % row
            elif escape in ("\x1b[H",):
                row, column = 0, 0
            elif escape == "\x1b[J":
                rows = {r: t for r, t in rows.items() if r < row}
            elif escape == "\x1b[2J":
                rows = {}
            elif escape == "\x1b[K":
                rows[row] = rows.get(row, "")[:column]
            else:
                assert escape in ("\x1b[?25h", "\x1b[?25l", "\x1b[?7h", "\x1b[?7l", "\x1b[?2026h", "\x1b[?2026l") or escape.endswith("m"), escape
        return [rows.get(r, "").rstrip() for r in range(max(rows) + 1)] if alternate and rows else []

    width_max, height_max = 200, 60

    def wait_for(self, pattern, what=None):
        """The screen once a line of it matches."""
        def found():
            lines = self.lines()
            return lines if re.search(pattern, "\n".join(lines), re.M) else None
        return harness.wait_for(found, lambda: "%s on the screen:\n%s" % (what or pattern, "\n".join(self.lines())))

    def restored(self):
        text = self.text()
        return (not self.lines() and text.rfind("\x1b[?25h") > text.rfind("\x1b[?25l")
                and text.rfind("\x1b[?7h") > text.rfind("\x1b[?7l") and termios.tcgetattr(self.slave) == self.before)


MANY = """
listen: {%s}
streams:
  trace: {sinks: [%s]}
  log: {sinks: [%s]}
sinks: {%s}
"""


def many(n):
    names = ["sink_with_a_long_name_%d" % i for i in range(n)]
    return MANY % (", ".join('source_%d: {type: unix, path: "@/in%d.sock"}' % (i, i) for i in range(n)), ", ".join(names),
                   ", ".join(names), ", ".join('%s: {type: jsonl, path: "@/out%d.jsonl"}' % (name, i) for i, name in enumerate(names)))


class Top(harness.AgentTest):
    def top(self, width=80, height=24, args=("--interval", "100ms"), **env):
        self.screen = Screen(width, height)
        self.screen.width_max, self.screen.height_max = width, height

        def own_terminal():
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        self.proc = subprocess.Popen([harness.BINARY, "top"] + list(args), stdin=self.screen.slave, stdout=self.screen.slave,
                                     stderr=self.screen.slave, env=self.env(**env), preexec_fn=own_terminal)
        self.addCleanup(self.end_top)
        return self.screen

    def end_top(self):
        if self.proc.poll() is None:
            self.proc.kill()
        self.proc.wait()
        self.screen.close()

    def left(self, code):
        self.assertEqual(self.proc.wait(harness.DEADLINE_S), code)
        harness.wait_for(self.screen.restored, lambda: "the terminal as it was: %r" % self.screen.text()[-200:])

    def send_numbered(self, agent, client_id, records):
        with agent.connect() as c:
            c.hello(client_id=client_id)
            c.send([harness.log("x")] * records)
            c.read_to_ack(records)

    def test_the_screen_shows_what_flows(self):
        agent = self.start(harness.ALL_TO_FILE)
        screen = self.top()
        lines = screen.wait_for(r"^out +ok ")
        self.assertRegex(lines[0], r"^weir \d.*pid %d  up .*generation 1  config [0-9a-f]{12}" % agent.pid)
        self.assertRegex(lines[1], r"memory [\d.]+ MiB")
        self.assertRegex(lines[2], r"^journal memory  ok ")
        self.assertEqual(len(lines), 24)
        self.assertRegex(lines[23], "^q quit  p pause  s order: lag  [?] help$")
        self.send_numbered(agent, "orders-7", 500)
        agent.send_plain([harness.log("x")] * 300)
        screen.wait_for(r"^orders-7 .* [1-9][\d,]+ +500 +0$", "the client's rate")
        screen.wait_for(r"^\(not numbered\) +[1-9][\d,]+ ", "the rate of the others")
        screen.wait_for(r"^local +\d+ +\S+ +\S+ +0 .* 800\b")
        screen.type("q")
        self.left(0)

    def test_a_crowd_fits_every_size_and_a_resize_uses_it(self):
        agent = self.start(many(30))
        for i in range(30):
            self.send_numbered(agent, "client-with-a-rather-long-name-%02d" % i, 1)
        screen = self.top()
        lines = screen.wait_for("SINK 3/30")
        self.assertTrue(all(len(line) <= 80 for line in lines))
        screen.width_max, screen.height_max = 200, 60
        screen.resize(200, 60)
        lines = screen.wait_for("LAST ERROR")
        self.assertEqual(len(lines), 60)
        self.assertIn("ADDRESS", "\n".join(lines))
        screen.resize(40, 10)
        screen.wait_for(r"\A(?:.{0,40}\n){9}.{0,40}\Z", "a small screen")
        screen.type("q")
        self.left(0)

    def test_keys(self):
        agent = self.start(harness.ALL_TO_FILE)
        screen = self.top(args=("--interval", "100ms"))
        screen.wait_for("order: lag")
        for order in ("rate", "drops", "name", "lag"):
            screen.type("s")
            screen.wait_for("order: %s " % order)
        screen.type("?")
        self.assertTrue(all(len(line) <= 80 for line in screen.wait_for("Press any key")))
        screen.type("?")
        screen.wait_for(r"^q quit")
        screen.type("p")
        screen.wait_for("PAUSED$")
        agent.send_plain([harness.log("x")] * 7)
        screen.type("s")  # a picture drawn after the records came
        self.assertNotRegex("\n".join(screen.wait_for("order: rate")), r"^log .* 7$")
        screen.type("p")
        screen.wait_for(r"^log +on .* 7$")
        screen.type("Q")
        self.left(0)

    def test_an_agent_that_goes_is_waited_for(self):
        agent = self.start(harness.ALL_TO_FILE)
        screen = self.top()
        screen.wait_for("pid %d " % agent.pid)
        agent.stop()
        screen.wait_for("^waiting: no agent answers at .*control.sock")
        agent = self.start(harness.ALL_TO_FILE)
        self.assertNotIn("waiting", "\n".join(screen.wait_for("pid %d " % agent.pid)))
        screen.wait_for(r"^in 0/s ")
        screen.type("q")
        self.left(0)

    def test_an_agent_that_hangs_is_waited_for_too(self):
        agent = self.start(harness.ALL_TO_FILE)
        screen = self.top()
        screen.wait_for("pid %d " % agent.pid)
        agent.signal(signal.SIGSTOP)
        screen.wait_for("^waiting for an answer of the agent at .*/control.sock$")
        screen.type("q")
        self.left(0)
        agent.signal(signal.SIGCONT)

    def test_signals_give_the_terminal_back(self):
        self.start(harness.ALL_TO_FILE)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            with self.subTest(signal=number):
                screen = self.top(args=("--interval", "1h"))
                screen.wait_for("^q quit")
                self.assertTrue(screen.keys_are_taken())
                if number == signal.SIGINT:
                    screen.type("\x03")
                else:
                    self.proc.send_signal(number)
                self.left(-number)

    def test_stopping_gives_the_terminal_back_until_it_goes_on(self):
        self.start(harness.ALL_TO_FILE)
        screen = self.top(args=("--interval", "1h"))
        screen.wait_for("^q quit")
        self.proc.send_signal(signal.SIGTSTP)
        _, how = os.waitpid(self.proc.pid, os.WUNTRACED)
        self.assertTrue(os.WIFSTOPPED(how))
        harness.wait_for(screen.restored, "the terminal as it was")
        self.proc.send_signal(signal.SIGCONT)
        screen.wait_for("^q quit")
        self.assertTrue(screen.keys_are_taken())
        screen.type("q")
        self.left(0)

    def test_what_clients_say_stays_text(self):
        agent = self.start(harness.ALL_TO_FILE)
        screen = self.top()
        screen.wait_for(r"^out +ok ")
        self.send_numbered(agent, "\x1b[2JEVIL\u009b31m\u202e", 3)
        screen.wait_for(r"EVIL")
        self.assertNotIn("\x1b[2JEVIL", screen.text())
        screen.type("q")
        self.left(0)

    def test_colour_only_where_it_is_wanted(self):
        self.start(harness.ALL_TO_FILE)
        for more, coloured in (({}, True), ({"NO_COLOR": "1"}, False)):
            screen = self.top(**more)
            screen.wait_for(r"^out +ok ")
            self.assertEqual("\x1b[32mok" in screen.text(), coloured)
            screen.type("q")
            self.left(0)

    def test_a_pipe_gets_plain_text(self):
        agent = self.start(harness.ALL_TO_FILE)
        agent.send_plain([harness.log("x")] * 5)
        done = self.weir("top", "--count", "2", "--interval", "100ms")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertNotIn("\x1b", done.stdout)
        self.assertTrue(all(len(line) <= 80 for line in done.stdout.split("\n")))
        screens = done.stdout.split("\n\nweir ")
        self.assertEqual(len(screens), 2)
        for text in screens:
            self.assertRegex(text, r"(?m)^log +on +0 +0 B +5$")
            self.assertRegex(text, r"(?m)^in 0/s  out 0/s  lost 0/s  lag 0  memory [\d.]+ MiB$")

    def test_json_has_one_object_per_interval(self):
        agent = self.start(harness.ALL_TO_FILE)
        proc = subprocess.Popen([harness.BINARY, "top", "-o", "json", "--interval", "100ms"], stdout=subprocess.PIPE, env=self.env())
        first = json.loads(proc.stdout.readline())
        self.assertRegex(first["time"], "^%s$" % harness.RFC3339)
        self.assertGreater(first["seconds"], 0.05)
        self.assertEqual((first["pid"], first["generation"]), (agent.pid, 1))
        self.assertGreater(first["memory_bytes"], 1 << 20)
        self.send_numbered(agent, "orders-7", 300)
        seen = {"records": 0.0, "delivered": 0.0, "producer": 0.0}
        while min(seen.values()) < 299:
            now = json.loads(proc.stdout.readline())
            for name, value in (("records", now["streams"]["log"]["records_per_s"]), ("delivered", now["sinks"]["out"]["delivered_per_s"]),
                                ("producer", sum(p["records_per_s"] for p in now["producers"]))):
                seen[name] += value * now["seconds"]
        self.assertLess(max(seen.values()), 301)
        proc.terminate()
        proc.wait()
        proc.stdout.close()

    def test_who_asks_wrongly_is_told(self):
        for args, code, word in ((["--interval", "0s"], 64, "100ms to 1h"), (["--interval", "fast"], 64, "unit"), (["--count", "0"], 64, "count"),
                                 (["--once", "--count", "2"], 64, "once"), ([], 69, "no agent answers"), (["--once"], 69, "no agent answers")):
            done = self.weir("top", *args)
            self.assertEqual(done.returncode, code, args)
            self.assertIn(word, done.stderr)


if __name__ == "__main__":
    harness.main()
