"""The link between supervisor and host: its end, garbage on it, the command line, shutting down."""
import json
import os
import random
import signal
import struct
import subprocess
import time
import unittest

import host_link
from host_link import Host, HostError


class EndOfTheLink(unittest.TestCase):
    def ended(self, host, status):
        self.assertEqual(host.process.wait(host_link.PATIENCE), status, host.rest_of_stderr())

    def test_closed_before_it_is_configured(self):
        with Host(configure=False) as host:
            host.link.close()
            self.ended(host, 3)

    def test_closed_while_tasks_run(self):
        with Host() as host:
            host.load("behaviour")
            host.start("wait_for_stop")
            host.start("spin", params={"count": ["4"]})
            host.start("ignore_stop")
            host.link.close()
            began = time.monotonic()
            self.ended(host, 3)
            self.assertLess(time.monotonic() - began, 4)  # the grace of a stop would be five

    def test_closed_in_the_middle_of_a_frame(self):
        with Host() as host:
            host.send_bytes(struct.pack("<I", 1000) + b"{")
            host.link.close()
            self.ended(host, 3)


class Garbage(unittest.TestCase):
    def setUp(self):
        self.host = Host()
        self.addCleanup(self.host.__exit__)

    def expect_error(self, payload, kind="bad_request"):
        self.host.send_payload(payload)
        with self.assertRaises(HostError) as caught:
            self.host.answer(None)
        self.assertEqual(caught.exception.kind, kind)

    def test_what_is_no_request(self):
        for payload in [b"", b"{", b"null", b"[]", b"7", b'"x"', b"{}", b'{"id":1.5,"method":"stats"}',
                        b'{"id":"1","method":"stats"}', b'{"method":"stats"}', b"\xff\xfe", b"\0" * 100,
                        b"[" * 100_000, b'{"id":1,"id":2,"method":"stats"}', b'{"id":1e999,"method":"stats"}']:
            with self.subTest(payload=payload[:40]):
                self.expect_error(payload)
        self.assertIn("runtime", self.host.call("stats"))

    def test_requests_with_wrong_members(self):
        for request in [{"id": 5}, {"id": 5, "method": 7}, {"id": 5, "method": None},
                        {"id": 5, "method": "stats", "params": []}, {"id": 5, "method": "stats", "params": 3},
                        {"id": 5, "method": "task.start", "params": {"id": ["x"]}},
                        {"id": 5, "method": "plugin.load", "params": {"name": {}, "path": "/x"}},
                        {"id": 5, "method": "plugin.load", "params": {"name": "x", "path": "/x" * 5000}},
                        {"id": 5, "method": "stacks", "params": {"limit": -1}}]:
            with self.subTest(request=request):
                self.host.send_payload(json.dumps(request).encode())
                with self.assertRaises(HostError) as caught:
                    self.host.answer(5)
                self.assertEqual(caught.exception.kind, "bad_request")
        self.assertIn("runtime", self.host.call("stats"))

    def test_random_bytes_in_frames(self):
        source = random.Random(1)
        template = json.dumps({"id": 9, "method": "task.start",
                               "params": {"id": "x", "plugin": "p", "entry": "e", "params": {"a": ["b"]}}}).encode()
        for _ in range(500):
            payload = bytearray(template)
            for _ in range(source.randint(1, 8)):
                payload[source.randrange(len(payload))] = source.randrange(256)
            self.host.send_payload(bytes(payload))
        self.assertIn("runtime", self.host.call("stats"))

    def test_frame_in_single_bytes(self):
        payload = json.dumps({"id": 77, "method": "gc", "params": {}}).encode()
        for byte in struct.pack("<I", len(payload)) + payload:
            self.host.send_bytes(bytes([byte]))
        self.assertIn("stack_bytes", self.host.answer(77))

    def test_large_frame_that_is_allowed(self):
        self.expect_error(b" " * (8 << 20))

    def test_frame_that_is_too_large_ends_the_host(self):
        self.host.send_bytes(struct.pack("<I", (8 << 20) + 1))
        self.assertEqual(self.host.process.wait(host_link.PATIENCE), 4)
        self.assertIn("link to rtd is broken", self.host.rest_of_stderr())

    def test_many_slow_requests(self):
        requests = [self.host.send("gc") for _ in range(100)]
        kinds = []
        for request in requests:
            try:
                self.host.answer(request)
                kinds.append("answered")
            except HostError as error:
                kinds.append(error.kind)
        self.assertLessEqual(set(kinds), {"answered", "busy"})
        self.assertIn("answered", kinds)


class Configuring(unittest.TestCase):
    def refused(self, host, kind, method, **params):
        with self.assertRaises(HostError) as caught:
            host.call(method, **params)
        self.assertEqual(caught.exception.kind, kind)

    def test_nothing_before(self):
        with Host(configure=False) as host:
            self.refused(host, "not_configured", "stats")
            self.refused(host, "not_configured", "plugin.load", name="x", path="/x")
            self.refused(host, "bad_request", "host.configure", sandbox="another")
            self.refused(host, "bad_request", "host.configure", sandbox="default", max_procs=257)
            self.refused(host, "bad_request", "host.configure", sandbox="default", stack_size=4096)
            self.refused(host, "bad_request", "host.configure", sandbox="default", log_level="loud")
            answer = host.call("host.configure", sandbox="default", max_procs=0, stack_size=262144, log_level="info")
            self.assertEqual(answer, {"pid": host.process.pid, "abi": 1, "version": "0.1.0", "layers": [],
                                      "missing_layers": []})

    def test_shutdown_before(self):
        with Host(configure=False) as host:
            self.assertEqual(host.call("shutdown", grace_seconds=1), {})
            self.assertEqual(host.process.wait(host_link.PATIENCE), 0)

    def test_names_of_threads(self):
        with Host() as host:
            folder = f"/proc/{host.process.pid}/task"
            deadline = time.monotonic() + host_link.PATIENCE
            names = set()
            # A thread gives itself its name, when it first gets a CPU.
            while not {"rtd-host", "rtd-link", "rtd-log"} <= names:
                self.assertLess(time.monotonic(), deadline, names)
                for thread in os.listdir(folder):
                    try:
                        with open(f"{folder}/{thread}/comm", encoding="ascii") as file:
                            names.add(file.read().strip())
                    except (FileNotFoundError, ProcessLookupError):  # it has ended
                        pass


class ShuttingDown(unittest.TestCase):
    def test_tasks_are_stopped_and_reported(self):
        with Host() as host:
            host.load("behaviour")
            host.start("wait_for_stop", "w")
            host.start("clean_up_slowly", "s")
            host.wait_state("s", "running")
            self.assertEqual(host.call("shutdown", grace_seconds=10), {})
            host.drain()
            self.assertEqual(host.process.wait(host_link.PATIENCE), 0)
            ends = {event["id"]: event["state"] for event in host.events if event["event"] == "task"}
            self.assertEqual(ends, {"w": "cancelled", "s": "cancelled"})
            self.assertTrue(any(e["event"] == "log" and e["message"] == "cleaned up" for e in host.events))

    def test_nothing_starts_any_more(self):
        with Host() as host:
            host.load("behaviour")
            host.start("ignore_stop", "s")  # the host is there until the grace is over
            host.wait_state("s", "running")
            host.call("shutdown", grace_seconds=60)
            with self.assertRaises(HostError) as caught:
                host.start("complete")
            self.assertEqual(caught.exception.kind, "shutting_down")

    def test_task_that_does_not_end(self):
        with Host() as host:
            host.load("behaviour")
            host.start("ignore_stop", "i")
            host.wait_state("i", "running")
            host.call("shutdown", grace_seconds=0.3)
            host.drain()
            self.assertEqual(host.process.wait(host_link.PATIENCE), 5)
            self.assertEqual(host.events[-1]["state"], "stuck")

    def test_sigterm(self):
        with Host() as host:
            host.load("behaviour")
            host.start("wait_for_stop", "w")
            host.wait_state("w", "running")
            host.process.send_signal(signal.SIGTERM)
            host.drain()
            self.assertEqual(host.process.wait(host_link.PATIENCE), 0)
            self.assertEqual(host.events[-1]["state"], "cancelled")

    def test_signals_of_a_terminal_are_for_the_supervisor(self):
        with Host() as host:
            for number in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
                host.process.send_signal(number)
            self.assertIn("runtime", host.call("stats"))


class CommandLine(unittest.TestCase):
    def run_host(self, *arguments):
        return subprocess.run([os.path.join(host_link.BIN_DIR, "rtd-host"), *arguments], capture_output=True, text=True,
                              timeout=host_link.PATIENCE, stdin=subprocess.DEVNULL, check=False)

    @unittest.skipIf(host_link.SANITIZE == "thread", "needs setarch")
    def test_it(self):
        for arguments, status, text in [
            (["--version"], 0, "rtd-host 0.1.0"),
            (["--help"], 0, "Usage: rtd-host"),
            ([], 2, "--link-fd and --sandbox are needed"),
            (["--link-fd", "x", "--sandbox", "a"], 2, "--link-fd wants"),
            (["--link-fd=3", "--sandbox=A b"], 2, "--sandbox wants a name"),
            (["--link-fd", "0", "--sandbox", "a"], 2, "is no unix stream socket"),
            (["--link-fd", "99", "--sandbox", "a"], 2, "is no unix stream socket"),
            (["--linkfd", "0"], 2, 'unknown option "--linkfd"'),
        ]:
            with self.subTest(arguments=arguments):
                done = self.run_host(*arguments)
                self.assertEqual(done.returncode, status, done.stderr)
                self.assertIn(text, done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main()
