#!/usr/bin/env python3
"""tour, in the daemon: each entry says what it promises, and its figures agree with each other and with the metrics."""
import os
import platform
import re
import socket
import time
import unittest

import shipped
from shipped import harness

FIELDS = ["Alloc", "TotalAlloc", "Sys", "Lookups", "Mallocs", "Frees", "HeapAlloc", "HeapSys", "HeapIdle", "HeapInuse",
          "HeapReleased", "HeapObjects", "StackInuse", "StackSys", "MSpanInuse", "MSpanSys", "MCacheInuse",
          "MCacheSys", "BuckHashSys", "GCSys", "OtherSys", "NextGC", "LastGC", "PauseTotalNs", "NumGC", "NumForcedGC",
          "GCCPUFraction", "EnableGC", "DebugGC"]


class TourTest(shipped.PluginTestCase):
    def lines_of(self, entry, level="info", **params):
        """The lines of one entry, run to its end, one for each message."""
        rtd = self.start({
            "plugins": {"tour": {"path": "tour.so"}},
            "sandboxes": {"default": {}, "tour": {}},
            "tasks": {entry: {"plugin": "tour", "entry": entry, "sandbox": "tour", "params": params,
                              "restart": {"policy": "never"}}}})
        task = rtd.wait_task(entry, "completed", "failed", "fatal")
        self.assertEqual(task["state"], "completed", task)
        self.all_lines = shipped.log_lines(rtd, entry)
        return [message for its, message in self.all_lines if its == level]

    def find(self, lines, pattern):
        """The groups of the only line that matches."""
        found = [match for match in map(re.compile(pattern).fullmatch, lines) if match]
        self.assertEqual(len(found), 1, (pattern, lines))
        return found[0].groups()

    def test_overview(self):
        lines = self.lines_of("overview")
        self.find(lines, r"version \d+\.\d+\.\d+")
        self.assertEqual(self.find(lines, r"system (\S+), architecture (\S+)"),
                         (platform.system(), platform.machine()))
        cpus = int(self.find(lines, r"CPUs (\d+)")[0])
        self.assertLessEqual(cpus, len(os.sched_getaffinity(0)))
        before = self.find(lines, r"processors (\d+), set to 1, and back")
        self.assertEqual(self.find(lines, r"processors (\d+)"), before)
        self.assertGreaterEqual(int(self.find(lines, r"green threads (\d+)")[0]), 1)
        self.find(lines, r"heap in use \d+ KiB")

    def test_basics(self):
        lines = self.lines_of("basics")
        self.assertEqual(sorted(self.find(lines, rf"green thread {i} of 5 has (slept) 100 ms")[0] for i in range(1, 6)),
                         ["slept"] * 5)
        self.assertGreaterEqual(float(self.find(lines, r"all five took (\d+) ms together")[0]), 100)
        before = int(self.find(lines, r"memory: \d+ KiB allocated so far, \d+ KiB from the system, (\d+) collections")[0])
        after, forced = self.find(lines, r"after a forced collection: (\d+) collections, (\d+) of them forced")
        self.assertGreater(int(after), before)
        self.assertGreaterEqual(int(forced), 1)
        self.assertGreaterEqual(int(self.find(lines, r"stacks: \d+ in use, (\d+) KiB of address space each")[0]), 16)
        self.assertTrue(any(line.startswith("stack: ") and "basics" in line for line in lines), lines)

    def test_workers(self):
        lines = self.lines_of("workers", step="1ms")
        for worker in range(1, 6):
            steps = [int(match[1]) for match in map(re.compile(rf"worker {worker}: step (\d+)").fullmatch, lines) if match]
            self.assertEqual(steps, [1, 2, 3], "each in its order")
        self.assertGreaterEqual(
            int(self.find(lines, r"all 5 workers are done, on 2 processors: (\d+) switches, \d+ steals, \d+ preemptions")[0]),
            15)

    def test_sched_monitor(self):
        lines = self.lines_of("sched_monitor", interval="50ms", rounds=3)
        self.assertEqual(len(lines), 3, lines)
        for line in lines:
            found = re.fullmatch(r"green threads (\d+) \(\d+ runnable, \d+ waiting\), CPUs \d+, processors (\d+) "
                                 r"\((\d+) idle\), threads \d+", line)
            self.assertGreaterEqual(int(found[1]), 11)
            self.assertLessEqual(int(found[3]), int(found[2]))

    def test_alloc(self):
        lines = self.lines_of("alloc")
        figures = {when: [int(x) for x in self.find(lines, when + r": (\d+) KiB in (\d+) objects, heap (\d+) KiB, "
                                                                  r"collections (\d+)")]
                   for when in ("before", "with 1 MiB", "after a collection")}
        self.assertAlmostEqual(figures["with 1 MiB"][0], figures["before"][0] + 1024, delta=64)
        self.assertAlmostEqual(figures["after a collection"][0], figures["before"][0], delta=64)
        self.assertEqual(figures["after a collection"][3], figures["before"][3] + 1)

    def test_pool(self):
        made = int(self.find(self.lines_of("pool"), r"1000 gets and puts of a cleared 1 KiB buffer in [\d.]+ ms, (\d+) "
                                                    r"buffers were made")[0])
        self.assertLess(made, 100, "they are used again")

    def test_gc_config(self):
        lines = self.lines_of("gc_config", percent=30)
        self.find(lines, r"percent 100, set to 30")
        figures = {when: self.find(lines, when + r": (\d+) collections, (\d+) forced, all pauses ([\d.]+) ms, the last one "
                                                 r"([\d.]+) ms, next at \d+ KiB")
                   for when in ("now", "after a forced collection")}
        now, after = figures["now"], figures["after a forced collection"]
        self.assertGreater(int(after[0]), int(now[0]))
        self.assertEqual(int(after[1]), int(now[1]) + 1)
        self.assertGreater(float(after[2]), float(now[2]))
        self.assertGreater(float(after[3]), 0)
        self.find(lines, r"percent 100 again")

    def test_gc_bench(self):
        lines = self.lines_of("gc_bench", objects=2000)
        self.assertGreaterEqual(int(self.find(lines, r"2000 objects of 1 KiB made in [\d.]+ ms: (\d+) KiB")[0]), 2000)
        freed, cycles = self.find(lines, r"collected in [\d.]+ ms: (\d+) objects freed, (\d+) collections")
        self.assertGreaterEqual(int(freed), 1900)
        self.assertGreaterEqual(int(cycles), 1)

    def test_tcp_server(self):
        rtd = self.start_task("tour", "tcp_server", {"listen": "127.0.0.1:0", "delay": "100ms", "interval": "20ms"})
        status = harness.wait_for(lambda: rtd.task("it")["status"], "the listener's address")
        host, port = status.removeprefix("listening on ").rsplit(":", 1)
        begin = time.monotonic()
        clients = [socket.create_connection((host, int(port)), timeout=harness.PATIENCE) for _ in range(100)]
        for client in clients:
            with client:
                self.assertEqual(client.makefile("rb").read(), b"Hello from server\n")
        self.assertGreaterEqual(time.monotonic() - begin, 0.1)
        self.assertLess(time.monotonic() - begin, 10, "not one after the other")
        harness.wait_for(lambda: any(re.fullmatch(r"green threads (\d+), \d+ of them wait for a socket", message)
                                     for _, message in shipped.log_lines(rtd, "it")), "green threads are counted")
        self.assertEqual(rtd.call("task.stop", name="it")["task"]["state"], "stopped")

    def test_syscalls(self):
        lines = self.lines_of("syscalls")
        seen = []
        for count in range(0, 1001, 100):
            seen.append([int(x) for x in self.find(
                lines, rf"after {count} allocations: system (\d+) KiB, heap (\d+) KiB \((\d+) KiB in use\), stacks (\d+) KiB")])
        self.assertGreaterEqual(seen[-1][2] - seen[0][2], 10_000, "1 000 times 10 KiB are held")
        for system, heap, in_use, stacks in seen:
            self.assertGreaterEqual(system, heap + stacks)
            self.assertGreaterEqual(heap, in_use)
        self.assertGreaterEqual(int(self.find(lines, r"a blocking call of 20 ms: (\d+) processors were handed on")[0]), 0)

    def test_memstats(self):
        lines = self.lines_of("memstats")
        for when in ("start", "with 1 MiB", "after a collection"):
            all_of = {}
            for line in lines:
                if match := re.fullmatch(when + r": (\w+) (\S+)", line):
                    all_of[match[1]] = match[2]
            self.assertEqual([name for name in FIELDS if name not in all_of], [])
            n = {name: int(value) for name, value in all_of.items() if value.isdigit()}
            self.assertEqual(n["HeapSys"], n["HeapInuse"] + n["HeapIdle"])
            self.assertEqual(n["HeapObjects"], n["Mallocs"] - n["Frees"])
            self.assertEqual(n["Alloc"], n["HeapAlloc"])
            self.assertEqual(n["Sys"], sum(value for name, value in n.items() if name.endswith("Sys") and name != "Sys"))
        self.find(lines, r"with 1 MiB: BySize (1152) Mallocs 1024 Frees 0")
        freed = int(self.find(lines, r"after a collection: BySize 1152 Mallocs 1024 Frees (\d+)")[0])
        self.assertGreaterEqual(freed, 1000, "a word on a stack may keep a few")
        self.assertTrue(any(re.fullmatch(r"after a collection: PauseNs\[\d+\] \d+, PauseEnd\[\d+\] \d+", line)
                            for line in lines), lines)

    def test_monitor(self):
        lines = self.lines_of("monitor", interval="20ms", tasks=20, unit="5ms")
        self.assertGreaterEqual(len(lines), 2)
        done = [int(re.fullmatch(r"up [\d.]+ s: green threads \d+, heap \d+ KiB of \d+ KiB, collections \d+, "
                                 r"pauses [\d.]+ ms, (\d+) tasks done", line)[1]) for line in lines]
        self.assertEqual(done, sorted(done))
        # The last one may end between the line and the look that ends the loop.
        self.assertIn(done[-1], (19, 20))

    def test_practice(self):
        lines = self.lines_of("practice", interval="5ms", rounds=10, growth_kib=1024, alarm_mib=8, leak_mib=4)
        self.find(lines, r"processors \d+, as many as CPUs")
        self.assertLess(int(self.find(lines, r"collected at exit: (\d+) KiB are left")[0]), 4096)
        warnings = [message for level, message in self.all_lines if level == "warn"]
        self.assertTrue(any(re.fullmatch(r"alarm: the heap has \d+ KiB, more than 8192 KiB", one) for one in warnings))
        leaks = [one for one in warnings if re.fullmatch(r"a leak\? \d+ KiB more are reachable than at the start", one)]
        self.assertGreaterEqual(len(leaks), 3)
        quiet = [level for level, _ in self.all_lines[:3] if level == "warn"]
        self.assertEqual(quiet, [], "nothing is said below the thresholds")


if __name__ == "__main__":
    unittest.main()
