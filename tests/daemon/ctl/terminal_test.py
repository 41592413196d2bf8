#!/usr/bin/env python3
"""rtctl on a terminal: colours, the width of the screen, and top, which redraws it."""
import signal
import time
import unittest

import answers
from client import RTCTL, environment
from fake_rtd import FakeRtd
from pseudo_terminal import Terminal

ENTER = r"\x1b\[\?1049h"
LEAVE = r"\x1b\[\?1049l"


class TerminalTest(unittest.TestCase):
    def setUp(self):
        self.begin = time.monotonic()
        self.tasks = [answers.task("greeter"), answers.task("alpha", green_threads=5)]

        def ps(_):
            # One and a half processors busy.
            self.tasks[0]["cpu_seconds"] = 1.5 * (time.monotonic() - self.begin)
            return {"tasks": self.tasks}

        self.server = FakeRtd({"ps": ps, "status": answers.STATUS})
        self.addCleanup(self.server.close)

    def start(self, *words, rows=24, columns=100, **changes):
        terminal = Terminal([RTCTL, *words], environment(self.server.path, **changes), rows, columns)
        self.addCleanup(terminal.__exit__)
        return terminal

    def output(self, *words, **options):
        terminal = self.start(*words, **options)
        self.assertEqual(terminal.wait(), 0)
        return terminal.seen

    def test_colours(self):
        self.assertIn("\x1b[32mrunning\x1b[0m", self.output("ps"))
        for words, changes in [(["ps"], {"NO_COLOR": "1"}), (["ps", "--color=never"], {}), (["ps"], {"TERM": "dumb"}),
                               (["ps", "--json"], {})]:
            self.assertNotIn("\x1b", self.output(*words, **changes), f"{words} {changes}")
        self.assertIn("\x1b[32m", self.output("ps", "--color", "always", NO_COLOR="1"))

    def test_errors_are_coloured_too(self):
        terminal = self.start("ps", "--socket", "/nonexistent")
        self.assertEqual(terminal.wait(), 7)
        self.assertIn("\x1b[31mrtctl:\x1b[0m cannot connect", terminal.seen)

    def test_lines_fit_the_terminal(self):
        self.tasks[0]["status"] = "x" * 300
        terminal = self.start("ps", "--color=never")
        terminal.resize(24, 90)
        terminal.wait()
        for line in self.output("ps", "--color=never", columns=90).splitlines():
            self.assertLessEqual(len(line), 100)
        self.assertIn("x" * 300, self.output("ps", "-w", columns=90))

    def test_top_redraws_and_ends_by_q(self):
        terminal = self.start("top", "-i", "100ms")
        terminal.expect(ENTER)
        terminal.expect(r"TASK\x1b\[0m +\x1b\[1mSANDBOX")
        terminal.expect(r"greeter +default +hello +\x1b\[32mrunning\x1b\[0m +1\d\d\.\d ")
        terminal.expect(r"\x1b\[H.*greeter")
        self.assertFalse(terminal.echoes())
        terminal.send("q")
        self.assertEqual(terminal.wait(), 0)
        self.assertRegex(terminal.seen, LEAVE)
        self.assertTrue(terminal.echoes(), "the terminal is as it was")

    def test_top_sorts_by_key(self):
        terminal = self.start("top", "-i", "20s", "--color=never")
        terminal.expect(r"greeter.*alpha.*q quit")
        terminal.send("n")
        terminal.expect(r"\x1b\[H.*alpha.*greeter.*q quit")
        terminal.send("g")
        terminal.expect(r"\x1b\[H.*greeter.*alpha.*q quit")

    def test_top_ends_by_a_signal(self):
        for send in (lambda terminal: terminal.send("\x03"), lambda terminal: terminal.kill(signal.SIGINT)):
            terminal = self.start("top", "-i", "20s")
            terminal.expect("q quit")
            send(terminal)
            self.assertEqual(terminal.wait(), -signal.SIGINT)
            self.assertRegex(terminal.seen, LEAVE)
        terminal = self.start("top", "-i", "20s")
        terminal.expect("q quit")
        terminal.kill(signal.SIGTERM)
        self.assertEqual(terminal.wait(), -signal.SIGTERM)

    def test_top_ends_while_rtd_does_not_answer(self):
        terminal = self.start("top", "-i", "100ms")
        terminal.expect("q quit")
        self.server.answers["status"] = lambda _: time.sleep(60)
        time.sleep(0.8)
        terminal.send("\x03")
        self.assertEqual(terminal.wait(), -signal.SIGINT)  # long before it would be answered
        self.assertRegex(terminal.seen, LEAVE)

    def test_top_gives_the_terminal_back_when_rtd_goes_away(self):
        terminal = self.start("top", "-i", "100ms")
        terminal.expect("q quit")
        self.server.close()
        self.assertEqual(terminal.wait(), 7)
        self.assertRegex(terminal.seen, LEAVE + r".*closed the connection")

    def test_top_can_be_stopped(self):
        terminal = self.start("top", "-i", "100ms")
        terminal.expect("q quit")
        terminal.kill(signal.SIGTSTP)
        terminal.expect(LEAVE)
        for _ in range(100):
            if terminal.state() == "T":
                break
            time.sleep(0.05)
        self.assertEqual(terminal.state(), "T")
        terminal.kill(signal.SIGCONT)
        terminal.expect(ENTER + ".*q quit")

    def test_top_follows_the_size(self):
        self.tasks += [answers.task(f"task{number:02}") for number in range(40)]
        terminal = self.start("top", "-i", "20s", "--color=never")
        terminal.expect(r"… 27 more\x1b\[K\r+\nq quit")
        terminal.resize(30, 60)
        match = terminal.expect(r"\x1b\[H(.*?… 21 more)")
        for line in match[1].replace("\x1b[K", "").splitlines():
            self.assertLessEqual(len(line), 75, "only the last column gives way")

    def test_top_ends_after_some_frames(self):
        text = self.output("top", "-n", "2", "-i", "100ms")
        self.assertGreaterEqual(text.count("TASK"), 2)

    def test_top_can_print_frames(self):
        text = self.output("top", "-b", "-n", "2", "-i", "100ms", "--color=never")
        self.assertNotIn("\x1b", text)
        self.assertEqual(text.count("TASK "), 2)


if __name__ == "__main__":
    unittest.main()
