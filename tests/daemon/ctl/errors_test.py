#!/usr/bin/env python3
"""What can go wrong between rtctl and rtd: how it is said, and with which exit status."""
import json
import os
import socket
import subprocess
import tempfile
import time
import unittest

import answers
from client import RTCTL, environment, rtctl
from fake_rtd import GREETING, Error, FakeRtd


class ErrorTest(unittest.TestCase):
    def serve(self, given=None, **options):
        server = FakeRtd(given, **options)
        self.addCleanup(server.close)
        return server

    def check(self, result, status, *parts):
        self.assertEqual(result.returncode, status, result.stderr)
        self.assertEqual(result.stdout, "")
        self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)
        self.assertTrue(result.stderr.startswith("rtctl: "), result.stderr)
        for part in parts:
            self.assertIn(part, result.stderr)

    def test_nobody_is_there(self):
        self.check(rtctl("/nonexistent/control.sock", "ps"), 7,
                   "cannot connect to /nonexistent/control.sock: No such file or directory; is rtd running? "
                   "give --socket or set RTD_SOCKET")
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "s")
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(path)
            self.check(rtctl(path, "ps"), 7, "Connection refused; is rtd running?")
            listener.close()

    def test_the_option_beats_the_environment(self):
        server = self.serve({"ps": {"tasks": []}})
        self.assertEqual(rtctl("/nonexistent", "--socket", server.path, "ps").returncode, 0)
        self.assertEqual(rtctl(server, "ps", "--socket", "/nonexistent").returncode, 7)

    @unittest.skipIf(os.geteuid() != 0, "needs root to become another user")
    def test_the_socket_may_not_be_opened(self):
        server = self.serve()
        os.chmod(os.path.dirname(server.path), 0o755)
        os.chmod(server.path, 0o600)
        result = subprocess.run([RTCTL, "ps"], env=environment(server.path), user=65533, group=65533, cwd="/",
                                capture_output=True, text=True, timeout=30, check=False)
        if result.returncode == 126 or "Permission denied: " in result.stderr:
            self.skipTest("another user cannot run the program here")
        self.check(result, 4, f"cannot connect to {server.path}: Permission denied", "socket's group")

    def test_kinds_have_exit_codes(self):
        for kind, status in [("permission_denied", 4), ("not_found", 5), ("invalid_config", 6), ("timeout", 8),
                             ("unavailable", 3), ("invalid_params", 2), ("busy", 1), ("internal", 1), ("conflict", 1),
                             ("something_new", 1)]:
            server = self.serve({"ps": Error(kind, "it did not work")})
            self.check(rtctl(server, "ps"), status, "rtctl: it did not work")

    def test_the_hint_of_the_daemon_comes_along(self):
        server = self.serve({"ps": Error("not_found", "there is no sandbox \"bach\"", hint="did you mean batch?")})
        self.check(rtctl(server, "ps"), 5, 'rtctl: there is no sandbox "bach"; did you mean batch?\n')

    def test_errors_are_harmless(self):
        server = self.serve({"ps": Error("not_found", "no\x1b]0;owned\x07\nrtctl: all is well", hint="\x1b[2J")})
        self.check(rtctl(server, "ps"), 5, "no\\x1b]0;owned\\x07\\nrtctl: all is well; \\x1b[2J")

    def test_an_older_daemon(self):
        self.check(rtctl(self.serve({}), "gc", "run"), 1, "there is no method \"gc.run\"; rtd is version 0.1.0")

    def test_another_protocol(self):
        server = self.serve(greeting=dict(GREETING, version="7.0.0", protocol=2))
        self.check(rtctl(server, "ps"), 7, "rtd 7.0.0 speaks control protocol 2", "install the same version of both")

    def test_not_rtd(self):
        for greeting in (b"220 mail.example ESMTP\r\n", b"{}\n", b"[1]\n", b'{"jsonrpc":"2.0","method":"other"}\n',
                         b"\x00\xff\n", b'{"a":' * 100 + b"\n"):
            self.check(rtctl(self.serve(greeting=greeting), "ps"), 7, "is not rtd", "--socket")

    def test_an_endless_line(self):
        self.check(rtctl(self.serve(greeting=b"x" * (17 << 20)), "ps"), 7, "is not rtd")

    def test_the_daemon_hangs_up(self):
        self.check(rtctl(self.serve({"ps": b""}), "ps"), 7, "closed the connection")
        self.check(rtctl(self.serve({"ps": b'{"jsonrpc":"2.0","id":1,"res'}), "ps"), 7, "closed the connection")

    def test_a_refusal_instead_of_the_greeting(self):
        refusal = Error("permission_denied", "uid 1000 has no role", hint="add it to control.roles").body
        greeting = json.dumps({"jsonrpc": "2.0", "id": None, "error": refusal}).encode() + b"\n"
        self.check(rtctl(self.serve(greeting=greeting), "ps"), 4, "uid 1000 has no role; add it to control.roles")

    def test_no_answer_in_time(self):
        start = time.monotonic()
        silent = self.serve({"ps": lambda _: time.sleep(20)})
        self.check(rtctl(silent, "ps", "--timeout", "200ms"), 8, "no answer from rtd", "--timeout")
        self.check(rtctl(self.serve(greeting=b""), "--timeout", "0.2", "ps"), 8, "no answer from rtd")
        self.assertLess(time.monotonic() - start, 10)

    def test_a_full_queue_of_clients(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "s")
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(path)
                listener.listen(0)
                waiting = [socket.socket(socket.AF_UNIX) for _ in range(3)]
                for client in waiting:
                    client.setblocking(False)
                    client.connect_ex(path)
                self.check(rtctl(path, "--timeout", "300ms", "ps"), 8, "no answer from rtd")
                for client in waiting:
                    client.close()

    def test_strange_answers_are_shown_as_far_as_they_go(self):
        for answer in ({}, {"tasks": 7}, {"tasks": [None, 1, "x", {}, {"name": {"a": 1}, "state": 3, "age_seconds": "x"}]},
                       {"tasks": [answers.task("a", green_threads=1e300, age_seconds=-1, cpu_seconds=1e308)]}):
            server = self.serve({"ps": answer, "status": answer, "sandbox.list": answer})
            for words in (["ps"], ["ps", "-w"], ["ps", "--json"], ["status"], ["top", "-n", "1", "-i", "100ms"]):
                result = rtctl(server, *words)
                self.assertIn(result.returncode, (0, 3), f"{words} {answer} {result.stderr}")
        for answer in (7, None, [], "x"):
            self.check(rtctl(self.serve({"ps": answer}), "ps"), 7, "result of ps is no object")

    def test_hostile_text_never_reaches_the_terminal(self):
        evil = "a\x1b[31m\x9b2J\x07\r\nb\u202e\x7f"
        task = answers.task("x", status=evil, plugin=evil, state=evil)
        server = self.serve({"ps": {"tasks": [task]}, "logs": {"lines": [dict(answers.LINE, message=evil, task=evil)]},
                             "task.inspect": {"task": task, "params": {evil: evil}, "history": [{"message": evil}]},
                             "stacks": {"text": evil}, "config.show": {"config": {evil: evil}}})
        for words in (["ps"], ["ps", "-w"], ["ps", "--json"], ["ps", "-o", "jsonl"], ["logs"], ["task", "inspect", "x"],
                      ["stacks"], ["config", "show"]):
            result = rtctl(server, *words)
            self.assertEqual(result.returncode, 0, result.stderr)
            for character in "\x1b\x9b\x07\r\u202e\x7f":
                self.assertNotIn(character, result.stdout, words)
        shown = json.loads(rtctl(server, "ps", "--json").stdout)
        self.assertEqual(shown["tasks"][0]["status"], evil, "JSON keeps what the text means")

    def test_output_that_cannot_be_written(self):
        server = self.serve({"ps": {"tasks": answers.TASKS}})
        with open("/dev/full", "w", encoding="utf-8") as full:
            result = subprocess.run([RTCTL, "ps"], env=environment(server.path), stdout=full, stderr=subprocess.PIPE,
                                    text=True, timeout=30, check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn("cannot write the output", result.stderr)


if __name__ == "__main__":
    unittest.main()
