#!/usr/bin/env python3
"""stress, in the daemon: it keeps the rates that it is given, and what it began has ended."""
import re
import time
import unittest

import shipped
from shipped import harness

TEXT = re.compile(r"^spawned and ended (\d+) and (\d+), sleeps begun and ended (\d+) and (\d+), "
                  r"messages sent and received (\d+) and (\d+), parked and released (\d+) and (\d+)$")


class StressTest(shipped.PluginTestCase):
    def closing(self, rtd, name="it"):
        task = rtd.wait_task(name, "completed", "failed", "fatal", timeout=2 * harness.PATIENCE)
        self.assertEqual(task["state"], "completed", task)
        found = TEXT.match(shipped.log_lines(rtd, name)[-1][1])
        self.assertIsNotNone(found, shipped.log_lines(rtd, name))
        numbers = [int(number) for number in found.groups()]
        return list(zip(numbers[::2], numbers[1::2]))

    def test_rates_are_kept_and_the_counts_balance(self):
        rtd = self.start_task("stress", "run", {
            "spawns_per_second": 2000, "sleeps_per_second": 1000, "messages_per_second": 20000, "parked": 500,
            "duration": "5s"})
        counts = self.closing(rtd)
        for begun, ended in counts:
            self.assertEqual(begun, ended)
        for (begun, _), wanted in zip(counts, (10000, 5000, 100000)):
            # Never more than is due. What is due when the time is over and a generator still waits for a CPU is not begun;
            # half a second's worth of that is allowed. An instrumented build beside other tests cannot keep any given
            # part of the rates: making a green thread known to ThreadSanitizer alone takes as long as they leave it.
            self.assertLessEqual(begun, wanted + 1)
            self.assertGreaterEqual(begun, wanted * 0.9 if harness.SLOWNESS == 1 else 1)
        self.assertEqual(counts[3], (500, 500))

    def test_figures_while_it_runs(self):
        rtd = self.start_task("stress", "run", {"spawns_per_second": 500.5, "messages_per_second": 0, "parked": 100})
        # Parked ones, generators and the display.
        harness.wait_for(lambda: rtd.task("it")["green_threads"] >= 103, "the green threads are there")
        begin, time_before = shipped.Metrics(rtd).one("stress_spawned_total", task="it"), time.monotonic()
        # Shown five times a second, and a generator that was held up catches up with a second's worth at once.
        harness.wait_for(lambda: shipped.Metrics(rtd).one("stress_spawned_total", task="it") >= begin + 1500,
                         "green threads are spawned")
        self.assertGreater(time.monotonic() - time_before, 1)
        metrics = shipped.Metrics(rtd)
        self.assertGreater(metrics.one("stress_sleeps_total", task="it"), 0)
        self.assertEqual(metrics.one("stress_messages_total", task="it"), 0)
        self.assertEqual(metrics.lint(), "")
        self.assertRegex(rtd.task("it")["status"], r"^\d+ spawned, \d+ sleeps, 0 messages, 100 parked$")
        self.assertEqual(rtd.call("task.stop", name="it")["task"]["state"], "stopped")

    def test_nothing_at_all(self):
        rtd = self.start_task("stress", "run", {
            "spawns_per_second": 0, "sleeps_per_second": 0, "messages_per_second": 0, "duration": "50ms"})
        self.assertEqual(self.closing(rtd), [(0, 0)] * 4)

    def test_bad_parameters(self):
        rtd = self.start({"plugins": {"stress": {"path": "stress.so"}}})
        for params, said in [
            ({"spawns_per_second": -1},
             'parameter "spawns_per_second" is "-1", but must be a number from 0 (none) to 10000000'),
            ({"messages_per_second": 1e9}, 'parameter "messages_per_second" is '),
            ({"sleeps_per_second": "fast"}, 'parameter "sleeps_per_second" is "fast", but must be a number'),
            ({"parked": 2000001}, 'parameter "parked" is "2000001", but must be a whole number from 0 to 2000000'),
            ({"duration": "long"}, 'parameter "duration" is "long", but must be a length of time'),
        ]:
            self.assertIn(said, self.refused_params(rtd, "stress", "run", params))


if __name__ == "__main__":
    unittest.main()
