"""Tasks in the real rtd-host: from start to every kind of end, their log, metrics and figures."""
import os
import re
import time
import unittest

import host_link
from host_link import Host, HostError


class Tasks(unittest.TestCase):
    def setUp(self):
        self.host = Host()
        self.addCleanup(self.host.__exit__)
        self.host.load("behaviour")

    def tasks(self):
        return {task["id"]: task for task in self.host.call("stats")["tasks"]}

    def states(self, task):
        return [event["state"] for event in self.host.events if event["event"] == "task" and event["id"] == task]

    def test_entry_that_returns(self):
        before = time.time()
        self.host.start("complete", "c")
        self.host.wait_state("c", "completed")
        self.assertEqual(self.states("c"), ["running", "completed"])
        line = self.host.wait_log("done")
        self.assertEqual((line["task"], line["plugin"], line["level"]), ("c", "test-behaviour", "info"))
        self.assertTrue(before - 1 <= line["time"] <= time.time() + 1)
        # Its log comes before its end.
        self.assertLess(self.host.events.index(line), self.host.events.index(self.host.wait_state("c", "completed")))
        self.assertEqual(self.tasks(), {})

    def test_stop(self):
        self.host.start("wait_for_stop", "w")
        self.host.wait_log("waiting until stopped")
        task = self.tasks()["w"]
        self.assertEqual(task["state"], "running")
        self.assertEqual(task["status"], "waiting")
        self.assertEqual(task["green_threads"], 1)
        self.assertEqual((task["plugin"], task["entry"]), ("test-behaviour", "wait_for_stop"))
        self.assertAlmostEqual(task["started_at"], time.time(), delta=10)
        self.assertEqual(self.host.call("task.stop", id="w", grace_seconds=5.0), {})
        self.assertEqual(self.host.wait_state("w", "cancelled")["error"], "")
        # The same name is free as soon as the end is known.
        self.host.start("complete", "w")
        self.host.wait_state("w", "completed")

    def test_stop_before_it_runs_and_many_times(self):
        for i in range(200):
            self.host.send("task.start", id=f"w{i}", plugin="test-behaviour", entry="wait_for_stop", params={})
            self.host.send("task.stop", id=f"w{i}")
        for i in range(200):
            self.host.wait_state(f"w{i}", "cancelled")
        self.assertEqual(self.tasks(), {})

    def test_failure_of_the_entry(self):
        self.host.start("throw_error", "f")
        self.assertEqual(self.host.wait_state("f", "failed")["error"], "std::runtime_error: the disk is on fire")

    def test_failure_by_something_that_is_no_exception_class(self):
        self.host.start("throw_number", "f")
        self.assertEqual(self.host.wait_state("f", "failed")["error"], "an exception of type int")

    def test_failure_of_another_green_thread(self):
        self.host.start("child_throws", "f")
        self.assertEqual(self.host.wait_state("f", "failed")["error"], "std::logic_error: a child went wrong")

    def test_deadlock_fails_the_task(self):
        self.host.start("deadlock", "d")
        told = self.host.wait_state("d", "deadlocked")
        self.assertEqual(told["error"], "deadlock: all 3 green threads of the task wait, and nothing is left that could "
                                        "wake one")
        self.assertEqual(self.host.wait_state("d", "failed")["error"], told["error"])
        self.assertEqual(self.states("d"), ["running", "deadlocked", "failed"])
        stacks = [event["message"] for event in self.host.events
                  if event["event"] == "log" and event["message"].startswith("goroutine ")]
        self.assertEqual(len(stacks), 3)
        for state in ("[chan receive]", "[chan receive (nil chan)", "name: partner"):
            self.assertTrue(any(state in stack for stack in stacks), (state, stacks))
        self.assertEqual(self.tasks(), {})

    def test_deadlock_that_is_only_reported(self):
        self.host.call("task.start", id="d", plugin="test-behaviour", entry="deadlock", params={}, on_deadlock="report")
        self.host.wait_state("d", "deadlocked")
        self.assertEqual(self.tasks()["d"]["state"], "running")
        self.host.call("task.stop", id="d", grace_seconds=30)
        self.host.wait_state("d", "cancelled")
        self.assertEqual(self.states("d"), ["running", "deadlocked", "unwinding", "cancelled"])

    def test_deadlock_policy_that_does_not_exist(self):
        with self.assertRaises(HostError) as refused:
            self.host.call("task.start", id="d", plugin="test-behaviour", entry="deadlock", params={}, on_deadlock="panic")
        self.assertEqual(refused.exception.kind, "bad_request")

    def test_mutex_of_the_system_held_over_a_wait(self):
        if os.environ.get("RTD_SANITIZE"):
            self.skipTest("sanitizers have the functions of mutexes themselves")
        self.host.start("hold_mutex_over_park", "h")
        self.host.wait_log("done holding")
        lines = [event for event in self.host.events if event["event"] == "log" and "holds a mutex" in event["message"]]
        self.assertEqual(len(lines), 1, lines)
        self.assertEqual((lines[0]["task"], lines[0]["level"]), ("h", "warn"))
        text = lines[0]["message"]
        self.assertIn("It waits at ", text)
        self.assertIn("test_behaviour.so", text.split("; locked at ")[1])
        self.assertEqual(self.host.call("stats")["runtime"]["os_lock_parks_total"], 3)

    def test_children_are_cancelled_when_the_entry_returns(self):
        self.host.start("leave_children", "p")
        self.host.wait_state("p", "completed")
        cancelled = [e for e in self.host.events if e["event"] == "log" and "a child was cancelled" in e["message"]]
        self.assertEqual(len(cancelled), 100)

    def test_clean_up_within_the_grace(self):
        self.host.start("clean_up_slowly", "s")
        self.host.wait_state("s", "running")
        self.host.call("task.stop", id="s", grace_seconds=10)
        self.host.wait_state("s", "cancelled")
        self.host.wait_log("cleaned up")
        self.assertEqual(self.states("s"), ["running", "unwinding", "cancelled"])

    def test_drain_lets_a_task_finish(self):
        self.host.start("drain_politely", "d")
        self.host.wait_state("d", "running")
        self.host.call("task.stop", id="d", drain_seconds=60, cancel_seconds=60, grace_seconds=60)
        self.host.wait_state("d", "completed")
        self.host.wait_log("finished what it had")
        self.assertEqual(self.states("d"), ["running", "draining", "completed"])

    def test_each_rung_is_left_when_its_time_is_over(self):
        self.host.start("obey_context", "c")
        self.host.wait_state("c", "running")
        self.host.call("task.stop", id="c", drain_seconds=0.05, cancel_seconds=60, grace_seconds=60)
        self.host.wait_state("c", "completed")
        self.host.wait_log("its context ended")
        self.assertEqual(self.states("c"), ["running", "draining", "cancelling", "completed"])
        self.host.start("ignore_stop", "i")
        self.host.wait_state("i", "running")
        self.host.call("task.stop", id="i", drain_seconds=0.05, cancel_seconds=0.05, grace_seconds=0.05)
        self.host.wait_state("i", "stuck")
        self.assertEqual(self.states("i"), ["running", "draining", "cancelling", "unwinding", "stuck"])

    def test_a_second_stop_hurries_the_first(self):
        self.host.start("wait_for_stop", "w")
        self.host.wait_state("w", "running")
        self.host.call("task.stop", id="w", drain_seconds=600, cancel_seconds=600, grace_seconds=60)
        self.host.call("task.stop", id="w", drain_seconds=600, cancel_seconds=600, grace_seconds=60)
        self.host.wait_state("w", "draining")
        self.assertEqual([task["id"] for task in self.host.call("stats")["tasks"]], ["w"])
        self.assertEqual(self.states("w"), ["running", "draining"])
        self.host.call("task.stop", id="w", grace_seconds=60)
        self.host.wait_state("w", "cancelled")
        self.assertEqual(self.states("w"), ["running", "draining", "unwinding", "cancelled"])

    def test_stop_that_is_ignored(self):
        self.host.start("ignore_stop", "i")
        self.host.wait_state("i", "running")
        began = time.monotonic()
        self.host.call("task.stop", id="i", grace_seconds=0.3)
        stuck = self.host.wait_state("i", "stuck")
        self.assertGreaterEqual(time.monotonic() - began, 0.29)
        self.assertIn("1 green threads are left", stuck["error"])
        self.host.call("task.stop", id="i", grace_seconds=0)
        time.sleep(0.2)
        self.host.call("stats")
        self.assertEqual(self.states("i"), ["running", "unwinding", "stuck"])

    def test_tasks_that_spin_on_every_processor(self):
        self.host.start("spin", "s", {"count": ["8"]})
        self.host.start("block_for_ever", "b")
        time.sleep(0.3)
        for _ in range(20):
            began = time.monotonic()
            stats = self.host.call("stats")
            self.assertLess(time.monotonic() - began, 5)
        self.assertEqual({task["id"] for task in stats["tasks"]}, {"s", "b"})
        self.host.call("task.stop", id="s", grace_seconds=0.2)
        self.host.wait_state("s", "stuck")

    def test_parameters(self):
        self.host.start("show_parameters", "p", {"interval": ["1m30s"], "count": ["4"], "targets": ["a", "b"]})
        self.host.wait_log(f"interval={90 * 10**9}")
        self.host.wait_log("count=4")
        self.host.wait_log("targets=a;b;")
        self.host.start("show_parameters", "defaults")
        self.host.wait_log(f"interval={7 * 10**9}")

    def test_bad_parameters_fail_the_task_with_the_place(self):
        self.host.start("show_parameters", "p", {"interval": ["soon"]})
        error = self.host.wait_state("p", "failed")["error"]
        self.assertEqual(error, 'rt::bad_parameter: parameter "interval" is "soon", but must be a length of time such '
                                'as "250ms", "5s" or "1m30s"')
        self.host.start("show_parameters", "q", {"count": ["11"]})
        self.assertIn('"count" is "11", but must be a whole number from 1 to 10',
                      self.host.wait_state("q", "failed")["error"])

    def test_metrics(self):
        self.host.start("export_metrics", "m")
        deadline = time.monotonic() + host_link.PATIENCE
        metrics = {}

        def complete():
            # The last that the task does to its metrics.
            return "test_job_seconds" in metrics and metrics["test_job_seconds"]["series"][0]["sum"] == 55.05

        while not complete() and time.monotonic() < deadline:
            metrics = {m["name"]: m for m in self.host.call("stats")["metrics"]}
        jobs = metrics["test_jobs_total"]
        self.assertEqual({key: jobs[key] for key in ("task", "plugin", "help", "type")},
                         {"task": "m", "plugin": "test-behaviour", "help": "Jobs done", "type": "counter"})
        self.assertEqual(jobs["series"], [{"labels": {"kind": "easy"}, "value": 3}])
        self.assertEqual(metrics["test_depth"]["series"], [{"labels": {}, "value": -1.5}])
        self.assertEqual(metrics["test_job_seconds"]["series"],
                         [{"labels": {}, "buckets": [[0.1, 1], [1, 1], [10, 2]], "sum": 55.05, "count": 3}])

    def test_text_is_made_harmless(self):
        self.host.start("log_strange_text", "t")
        self.host.wait_state("t", "completed")
        lines = [event["message"] for event in self.host.events if event["event"] == "log"]
        self.assertEqual(lines[0], "escape \\x1b[31m, newline \\n, bad \\xff, end")
        self.assertLessEqual(len(lines[1].encode()), 8192)
        self.assertTrue(lines[1].endswith("x…"))

    def test_flood_of_log_lines_is_dropped_and_counted(self):
        self.host.start("log_much", "l")
        self.host.wait_state("l", "completed", timeout=3 * host_link.PATIENCE)
        lines = [e for e in self.host.events if e["event"] == "log" and e["message"].startswith("line ")]
        stats = self.host.call("stats")
        self.assertEqual(len(lines) + stats["logs_dropped_total"], 100_000)
        numbers = [int(event["message"].split()[1]) for event in lines]
        self.assertEqual(numbers, sorted(numbers))
        if stats["logs_dropped_total"]:
            self.host.wait_log("log lines were dropped")

    def test_log_level(self):
        self.host.call("set", log_level="warn")
        self.host.start("complete", "c")
        self.host.wait_state("c", "completed")
        self.assertEqual([event for event in self.host.events if event["event"] == "log"], [])

    def test_output_of_plugins(self):
        self.host.start("print", "p")
        self.host.wait_state("p", "completed")
        # By lines, not when a buffer of 4 KiB is full.
        self.assertEqual(self.host.process.stdout.readline(), b"a line on stdout\n")
        self.assertEqual(self.host.process.stderr.readline(), b"a line on stderr\n")

    def test_errors_of_requests(self):
        self.host.start("wait_for_stop", "w")
        for kind, method, params in [
            ("task_exists", "task.start", {"id": "w", "plugin": "test-behaviour", "entry": "complete"}),
            ("no_such_entry", "task.start", {"id": "x", "plugin": "test-behaviour", "entry": "complet"}),
            ("no_such_plugin", "task.start", {"id": "x", "plugin": "nope", "entry": "complete"}),
            ("bad_request", "task.start", {"id": "Not a name", "plugin": "test-behaviour", "entry": "complete"}),
            ("bad_request", "task.start", {"id": "x", "plugin": "test-behaviour", "entry": "print", "stack_size": 5}),
            ("bad_request", "task.start", {"id": "x", "plugin": "test-behaviour", "entry": "print", "params": {"a": 1}}),
            ("bad_request", "task.start", {"id": "x", "plugin": "test-behaviour", "entry": "print", "weight": 0}),
            ("bad_request", "task.start", {"id": "x", "plugin": "test-behaviour", "entry": "print", "class": "batch"}),
            ("bad_request", "task.share", {"id": "w", "weight": 10001}),
            ("bad_request", "task.share", {"id": "w", "class": "idle"}),
            ("no_such_task", "task.share", {"id": "x", "weight": 1}),
            ("no_such_task", "task.stop", {"id": "x"}),
            ("bad_request", "task.stop", {"id": "w", "grace_seconds": -1}),
            ("bad_request", "task.stop", {"id": "w", "drain_seconds": -1}),
            ("bad_request", "task.stop", {"id": "w", "cancel_seconds": 1e9}),
            ("bad_request", "task.stop", {"id": "w", "grace_seconds": "5"}),
            ("no_such_plugin", "plugin.unload", {"name": "nope"}),
            ("bad_request", "set", {}),
            ("bad_request", "set", {"log_level": "loud"}),
            ("bad_request", "set", {"max_procs": 10**9}),
            ("unknown_method", "host.destroy", {}),
            ("already_configured", "host.configure", {"sandbox": "default"}),
        ]:
            with self.subTest(kind=kind, method=method):
                with self.assertRaises(HostError) as caught:
                    self.host.call(method, **params)
                self.assertEqual(caught.exception.kind, kind, caught.exception.message)
        self.assertEqual(list(self.tasks()), ["w"])

    def test_weight_and_class_of_a_task(self):
        self.host.start("wait_for_stop", "w", weight=1)
        self.host.start("wait_for_stop", "l", **{"class": "latency"})
        self.host.wait_state("w", "running")
        for weight, word in ((1, "normal"), (10000, "latency"), (100, "normal")):
            self.host.call("task.share", id="w", weight=weight, **{"class": word})
        for name in ("w", "l"):
            self.host.call("task.stop", id=name)
            self.host.wait_state(name, "cancelled")

    def test_stack_size_of_a_task(self):
        self.host.start("wait_for_stop", "w", stack_size=1 << 20)
        self.host.wait_state("w", "running")
        self.assertGreaterEqual(self.host.call("stats")["runtime"]["stack_in_use_bytes"], 1 << 20)

    def test_many_tasks(self):
        for i in range(1000):
            self.host.send("task.start", id=f"t{i}", plugin="test-behaviour", entry="wait_for_stop", params={})
        self.host.wait_state("t999", "running")
        self.assertEqual(len(self.tasks()), 1000)
        for i in range(1000):
            self.host.send("task.stop", id=f"t{i}")
        for i in range(1000):
            self.host.wait_state(f"t{i}", "cancelled")
        self.assertEqual(self.tasks(), {})


class Figures(unittest.TestCase):
    def test_every_field(self):
        with Host(max_procs=3) as host:
            stats = host.call("stats")
            runtime = stats["runtime"]
            self.assertEqual(runtime["procs"], 3)
            self.assertEqual(len(runtime["local_queue_lengths"]), 3)
            self.assertEqual(len(runtime["busy_seconds_total"]), 3)
            self.assertIn(runtime["stack_guard"], ("guard_install", "mprotect"))
            self.assertEqual(len(runtime["run_queue_wait_buckets"]), len(stats["duration_bounds"]) + 1)
            self.assertEqual(len(runtime["slice_buckets"]), len(stats["duration_bounds"]) + 1)
            self.assertEqual(stats["duration_bounds"], sorted(stats["duration_bounds"]))
            self.assertGreaterEqual(runtime["green_threads"], 1)
            self.assertGreater(stats["malloc"]["arena_bytes"] + (1 if host_link.SANITIZE else 0), 0)
            fields = self.fields_of_the_header("runtime.h", "runtime_stats")
            self.assertEqual(set(runtime), fields)
            self.assertEqual(set(stats["gc"]), self.fields_of_the_header("gc_stats.h", "gc_stats"))
            # Rings of pauses and times in nanoseconds go as seconds and quantiles.
            told_otherwise = {"alloc", "last_gc", "pause_total_ns", "pause_ns", "pause_end", "size"}
            instead = {"by_size", "last_gc_seconds", "pause_total_seconds", "pause_quantiles"}
            self.assertEqual(set(stats["heap"]) - instead, self.fields_of_the_header("gc.h", "mem_stats") - told_otherwise)
            self.assertEqual(len(stats["gc"]["stop_buckets"]), len(stats["duration_bounds"]) + 1)

    def fields_of_the_header(self, header, structure):
        path = os.path.join(os.environ["RTD_SOURCE_DIR"], "runtime/include/rt", header)
        with open(path, encoding="utf-8") as file:
            text = file.read()
        body = text.split("struct " + structure + " {")[1].split("\n};")[0]
        return set(re.findall(r"^\s+[\w:<>]+ (\w+)(?: = [^;]+)?;", body, re.M))

    def test_max_procs(self):
        with Host(max_procs=2) as host:
            host.call("set", max_procs=4)
            self.assertEqual(host.call("stats")["runtime"]["procs"], 4)
            host.call("set", max_procs=0)
            self.assertGreaterEqual(host.call("stats")["runtime"]["procs"], 1)

    def test_stacks(self):
        with Host() as host:
            host.load("behaviour")
            host.start("wait_for_stop", "w")
            host.start("leave_children", "other")
            host.wait_log("waiting until stopped")
            # What it waits for was said before it slept.
            deadline = time.monotonic() + host_link.PATIENCE
            while not re.search(r"goroutine \d+ \[sleep[^]]*\] \{task: w", host.call("stacks")["text"]):
                self.assertLess(time.monotonic(), deadline, "it does not sleep")
            mine = host.call("stacks", task="w", limit=10)["text"]
            self.assertEqual(mine.count("goroutine "), 1)
            self.assertIn("task: w", mine)
            self.assertIn("park_for_sleep", mine)
            self.assertEqual(host.call("stacks", task="nobody")["text"], "")
            self.assertIn("more green threads are not shown", host.call("stacks", limit=1)["text"])

    def test_gc(self):
        with Host() as host:
            released = host.call("gc")
            self.assertEqual(set(released), {"live_bytes", "heap_bytes", "stack_bytes", "malloc_bytes", "duration_seconds"})
            self.assertGreaterEqual(host.call("stats")["gc"]["cycles_forced_total"], 1)

    def test_idle_host_uses_no_processor_time(self):
        with Host() as host:
            host.load("behaviour")
            host.start("wait_for_stop", "w")
            host.wait_state("w", "running")
            time.sleep(0.5)
            # How soon it comes to rest is up to the machine.
            for _ in range(5):
                before = host_link.cpu_seconds(host.process.pid)
                time.sleep(2)
                used = host_link.cpu_seconds(host.process.pid) - before
                if used <= 0.03:
                    break
            self.assertLessEqual(used, 0.03)


if __name__ == "__main__":
    unittest.main()
