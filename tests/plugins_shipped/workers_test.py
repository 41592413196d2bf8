#!/usr/bin/env python3
"""workers, in the daemon: whatever the number of workers, the results are those of another program."""
import re
import unittest

import shipped
from shipped import harness

TEXT = re.compile(r"^(\d+) jobs done by (\d+) workers in (\d+) ms, (\d+) primes found$")


def primes_up_to(limit):
    """How many primes there are up to each number, by trial division: not the plugin's way."""
    primes, counts = [], [0, 0]
    for number in range(2, limit + 1):
        if all(number % prime for prime in primes[:next((i for i, p in enumerate(primes) if p * p > number),
                                                         len(primes))]):
            primes.append(number)
        counts.append(len(primes))
    return counts


class WorkersTest(shipped.PluginTestCase):
    @classmethod
    def setUpClass(cls):
        cls.counts = primes_up_to(5099)

    def expected(self, jobs, limit):
        return sum(self.counts[limit + i % 100] for i in range(jobs))

    def test_results(self):
        self.assertEqual(self.counts[1000], 168)  # a fact of number theory, so that the test's own sum is right
        rtd = self.start({"plugins": {"workers": {"path": "workers.so"}}})
        for workers, jobs, limit in [(1, 100, 5000), (2, 1000, 1000), (7, 500, 4321), (100, 300, 5000), (1000, 50, 10),
                                     (4, 1, 2)]:
            with self.subTest(workers=workers, jobs=jobs, limit=limit):
                name = f"with-{workers}"
                rtd.call("task.run", name=name, plugin="workers", entry="run", restart="never",
                         params={"workers": workers, "jobs": jobs, "limit": limit})
                task = rtd.wait_task(name, "completed", "failed", "fatal")
                self.assertEqual(task["state"], "completed", task)
                lines = [message for level, message in shipped.log_lines(rtd, name) if level == "info"]
                done_by = TEXT.match(lines[-1])
                self.assertIsNotNone(done_by, lines)
                self.assertEqual((int(done_by[1]), int(done_by[2])), (jobs, workers))
                self.assertEqual(int(done_by[4]), self.expected(jobs, limit))

    def test_cpu_time_outlives_runs_and_hosts(self):
        rtd = self.start({"plugins": {"workers": {"path": "workers.so"}}})
        rtd.call("task.run", name="it", plugin="workers", entry="run", restart="never", params={"jobs": 200})
        rtd.wait_task("it", "completed")
        after_one = rtd.task("it")["cpu_seconds"]
        self.assertGreater(after_one, 0)
        rtd.call("task.start", name="it")
        rtd.wait_task("it", "completed")
        after_two = rtd.task("it")["cpu_seconds"]
        self.assertGreater(after_two, after_one)
        rtd.call("sandbox.restart", name="default")
        self.assertEqual(rtd.task("it")["cpu_seconds"], after_two)
        rtd.call("task.start", name="it")
        rtd.wait_task("it", "completed")
        last = rtd.task("it")["cpu_seconds"]
        self.assertGreater(last, after_two)
        # An answer of the host that was under way when the task ended may still have the run among those that go on.
        harness.wait_for(lambda: abs(shipped.Metrics(rtd).one("rtd_task_cpu_seconds_total", task="it") - last) < 1e-6,
                         "the metric is the same")

    def test_rounds(self):
        rtd = self.start_task("workers", "run", {"workers": 3, "jobs": 20, "limit": 100, "interval": "10ms"})
        wanted = f"{self.expected(20, 100)} primes found"
        harness.wait_for(lambda: len(shipped.log_lines(rtd, "it")) >= 6, "several rounds")
        self.assertTrue(all(message.endswith(wanted) for level, message in shipped.log_lines(rtd, "it")
                            if level == "info"))
        harness.wait_for(lambda: rtd.task("it")["status"].endswith(wanted), "the status is that of a round")
        # Figures may be a tenth of a second old, and the lines newer.
        harness.wait_for(lambda: shipped.Metrics(rtd).one("workers_jobs_done_total", task="it") >= 60, "they are counted")
        metrics = shipped.Metrics(rtd)
        self.assertGreater(metrics.one("workers_last_round_jobs_per_second", task="it"), 0)
        self.assertEqual(metrics.lint(), "")

    def test_a_round_can_be_stopped(self):
        rtd = self.start_task("workers", "run", {"workers": 4, "jobs": 1000000, "limit": 1000000})
        harness.wait_for(lambda: (shipped.Metrics(rtd).one("workers_jobs_done_total", task="it") or 0) > 0,
                         "a job is done")
        self.assertEqual(rtd.call("task.stop", name="it")["task"]["state"], "stopped")

    def test_bad_parameters(self):
        rtd = self.start({"plugins": {"workers": {"path": "workers.so"}}})
        for params, said in [
            ({"workers": 0}, 'parameter "workers" is "0", but must be a whole number from 1 to 10000'),
            ({"jobs": "many"}, 'parameter "jobs" is "many", but must be a whole number from 1 to 10000000'),
            ({"limit": 1}, 'parameter "limit" is "1", but must be a whole number from 2 to 10000000'),
            ({"interval": "x"}, 'parameter "interval" is "x", but must be a length of time'),
        ]:
            self.assertIn(said, self.refused_params(rtd, "workers", "run", params))


if __name__ == "__main__":
    unittest.main()
