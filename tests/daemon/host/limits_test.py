"""Limits of tasks in the real rtd-host: what each does, what is told of it, and that they change while the task runs."""
import unittest

import host_link
from host_link import Host, HostError


class Limits(unittest.TestCase):
    def setUp(self):
        self.host = Host()
        self.addCleanup(self.host.__exit__)
        self.host.load("bombs")

    def start(self, entry, limits, params=None):
        self.host.call("task.start", id="t", plugin="test-bombs", entry=entry, params=params or {}, limits=limits)

    def figures(self):
        return self.host.call("stats")["tasks"][0]["limits"]

    def eventually(self, condition, what):
        end = host_link.time.monotonic() + host_link.PATIENCE
        while not condition(self.figures()):
            self.assertLess(host_link.time.monotonic(), end, f"{what}: {self.figures()}")

    def told(self, limit):
        event = self.host.wait_state("t", "limit")
        self.assertEqual(event["limit"], limit)
        return event["error"]

    def lines(self, start):
        return [e["message"] for e in self.host.events if e["event"] == "log" and e["message"].startswith(start)]

    def test_green_threads(self):
        self.start("green_thread_bomb", {"green_threads": 100})
        self.assertIn("as it may, 100 (limits.green_threads", self.host.wait_state("t", "failed")["error"])
        self.assertIn("limits.green_threads, 100", self.told("green_threads"))
        states = [e["state"] for e in self.host.events if e["event"] == "task"]
        self.assertLess(states.index("limit"), states.index("failed"), "it is told before the end to which it leads")

    def test_green_threads_while_it_runs(self):
        self.start("greedy", {"green_threads": 10})
        self.host.wait_log("got 9 of 10")
        self.eventually(lambda now: now["green_threads_refused_total"] >= 2 and now["green_threads_limit"] == 10, "refused")
        self.host.call("task.limit", id="t", limits={"green_threads": 20})
        self.eventually(lambda now: now["green_threads_limit"] == 20, "the new limit")
        end = host_link.time.monotonic() + host_link.PATIENCE
        while self.host.call("stats")["tasks"][0]["green_threads"] != 20:
            self.assertLess(host_link.time.monotonic(), end)

    def test_connections(self):
        self.start("dial", {"connections": 3})
        self.assertIn("3 of 3 are open", self.host.wait_log("after 3: ")["message"])
        self.host.wait_state("t", "completed")
        self.assertIn("limits.connections, 3", self.told("connections"))

    def test_log_rate(self):
        self.start("log_flood", {"log_rate": 1, "log_burst": 10}, {"count": ["1000"]})
        self.host.wait_log("dropped: limits.log_rate is 1 lines a second, and 10 at once")
        self.assertIn("limits.log_rate, 1 lines", self.told("log_rate"))
        self.eventually(lambda now: now["log_lines_dropped_total"] + len(self.lines("flood ")) == 1000, "the lines")

        def reported():
            return sum(int(e["message"].split()[0]) for e in self.host.events
                       if e["event"] == "log" and "dropped: limits.log_rate" in e["message"])
        self.eventually(lambda now: reported() == now["log_lines_dropped_total"], "the reports")

    def test_cpus(self):
        self.start("compute", {"cpus": 0.1}, {"count": ["3"]})
        self.eventually(lambda now: now["cpu_throttles_total"] >= 2 and now["cpu_throttled_seconds_total"] > 0, "throttles")
        self.assertIn("limits.cpus, 0.1 of a CPU's time", self.told("cpus"))
        self.host.call("task.limit", id="t", limits={})
        self.assertIsNone(self.figures()["cpu_limit"])
        self.host.call("task.stop", id="t", grace_seconds=0.0)  # it never unwinds
        self.host.wait_state("t", "stuck")

    def test_wrong_limits_are_refused(self):
        for limits in ({"green_threads": -1}, {"cpus": -0.5}, {"heap_soft": 2, "heap_hard": 1}, []):
            with self.assertRaises(HostError, msg=limits) as raised:
                self.start("compute", limits)
            self.assertEqual(raised.exception.kind, "bad_request")


if __name__ == "__main__":
    unittest.main()
