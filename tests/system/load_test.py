#!/usr/bin/env python3
"""What an operator sees of a plugin under load: kvcache, filled and read by a client, in rtctl top and on /metrics."""
import json
import os
import socket
import subprocess
import threading
import unittest

import harness
from harness import wait_for

KIB = 1 << 10
MIB = 1 << 20


class Load:
    """A client that stores values of 4 KiB under a thousand keys and reads them, until it is told to stop."""

    BATCH = 50
    KEYS = 1000

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=harness.PATIENCE)
        self.answers = self.socket.makefile("rb")
        self.over = threading.Event()
        self.stored = 0
        self.read = 0
        self.error = None
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        try:
            number = 0
            while not self.over.is_set():
                self.perform([(number + i) % self.KEYS for i in range(self.BATCH)])
                number += self.BATCH
        except (OSError, ValueError, AssertionError) as error:
            self.error = error

    def perform(self, keys):
        value = bytes(4 * KIB)
        self.socket.sendall(b"".join(b"set k%d 0 0 %d\r\n%b\r\nget k%d\r\n" % (key, len(value), value, key) for key in keys))
        for key in keys:
            assert self.answers.readline() == b"STORED\r\n"
            assert self.answers.readline() == b"VALUE k%d 0 %d\r\n" % (key, len(value))
            assert self.answers.read(len(value) + 2) == value + b"\r\n"
            assert self.answers.readline() == b"END\r\n"
            self.stored += 1
            self.read += 1

    def stop(self):
        self.over.set()
        self.thread.join()
        self.answers.close()
        self.socket.close()
        return self.error


class LoadTest(harness.RtdTestCase):
    def start_cache(self):
        rtd = self.start({"plugins": {"kvcache": {"path": "kvcache.so"}}, "tasks": {
            "cache": {"plugin": "kvcache", "entry": "serve", "params": {"listen": "127.0.0.1:0", "memory": "16MiB"}}}})
        said = wait_for(lambda: next((line["message"] for line in rtd.call("logs", limit=1000, task="cache")["lines"]
                                      if line["message"].startswith("listening on ")), None), "the cache listens")
        return rtd, int(said.split(",")[0].rsplit(":", 1)[1])

    def top(self, rtd):
        """The task in one frame of rtctl top, with its rates since the moment before."""
        done = subprocess.run(
            [os.path.join(harness.BIN_DIR, "rtctl"), "--socket", rtd.socket, "top", "-n", "1", "-i", "300ms", "--json"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=2 * harness.PATIENCE, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return next(task for task in json.loads(done.stdout)["tasks"] if task["name"] == "cache")

    def kvcache(self, rtd, name):
        return rtd.metric("kvcache_" + name, sandbox="default", plugin="kvcache", task="cache") or 0

    def of_task(self, rtd, name):
        return rtd.metric("rtd_task_" + name, sandbox="default", plugin="kvcache", task="cache") or 0

    def test_heap_rate_and_requests_are_seen(self):
        rtd, port = self.start_cache()
        before = wait_for(lambda: (row := self.top(rtd))["heap_bytes"] is not None and row, "figures of the task")
        allocated = self.of_task(rtd, "allocated_bytes_total")
        load = Load(port)
        self.addCleanup(load.stop)

        def busy():
            self.assertIsNone(load.error)
            row = self.top(rtd)
            return (row["allocated_bytes_per_second"] or 0) > 256 * KIB and row["heap_bytes"] > before["heap_bytes"] \
                and row["heap_bytes"] > 4 * MIB and row["cpu_percent"] > 0 and "1 clients" in row["status"] and row

        row = wait_for(busy, "heap and rate of the task under load")
        text = subprocess.run(
            [os.path.join(harness.BIN_DIR, "rtctl"), "--socket", rtd.socket, "top", "-n", "1", "-i", "100ms", "--sort", "heap"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=2 * harness.PATIENCE, check=True).stdout
        self.assertIn("ALLOC/S", text)
        self.assertRegex(text, r"(?m)^cache +default +kvcache +running .* clients$")

        wait_for(lambda: self.kvcache(rtd, "stored_total") > 0 and self.kvcache(rtd, "connections") == 1, "requests are counted")
        stored, hits = self.kvcache(rtd, "stored_total"), self.kvcache(rtd, "get_hits_total")
        wait_for(lambda: self.kvcache(rtd, "stored_total") > stored and self.kvcache(rtd, "get_hits_total") > hits,
                 "requests go on")
        self.assertGreater(self.of_task(rtd, "allocated_bytes_total"), allocated + 4 * MIB)
        wait_for(lambda: self.of_task(rtd, "heap_in_use_bytes") > 4 * MIB, "the items are held")
        wait_for(lambda: self.of_task(rtd, "heap_live_bytes") > 2 * MIB, "a collection finds the items alive")

        self.assertIsNone(load.stop())
        wait_for(lambda: self.kvcache(rtd, "stored_total") == load.stored and self.kvcache(rtd, "get_hits_total") == load.read,
                 "each request is counted")
        self.assertEqual(self.kvcache(rtd, "get_misses_total"), 0)

        def at_rest():
            rate = self.top(rtd)["allocated_bytes_per_second"]
            return rate is not None and rate < row["allocated_bytes_per_second"] / 10

        wait_for(at_rest, "the rate falls when the load is over")


if __name__ == "__main__":
    unittest.main()
