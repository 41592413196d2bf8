#!/usr/bin/env python3
"""When tasks start and how they end: their order, their schedules, the ladder of a stop."""
import datetime
import json
import os
import signal
import subprocess
import unittest

import harness
from harness import wait_for


class Ladder(harness.BehaviourCase):
    """How a stop ends a task: drain, cancel, unwind, kill."""
    LONG = {"drain_timeout": "60s", "cancel_timeout": "60s", "stop_timeout": "60s"}
    SHORT = {"drain_timeout": "20ms", "cancel_timeout": "20ms", "stop_timeout": "200ms"}

    def stops(self, entry, rung, ladder, **how):
        rtd = self.start_behaviour({"t": self.task(entry, **ladder)})
        self.assertEqual(rtd.call("task.stop", name="t", **how)["task"]["state"], "stopped")
        self.assertEqual(rtd.events("task_stopped")[-1]["rung"], rung)
        self.assertEqual(rtd.metric("rtd_task_stops_total", task="t", rung=rung), 1)
        inspected = rtd.call("task.inspect", name="t")
        self.assertEqual(inspected["last_stop"], rung)
        self.assertIn(f"is stopped ({rung})", inspected["history"][-1]["message"])
        return rtd

    def rungs(self, rtd):
        return [event["rung"] for event in rtd.events("task_stopping")]

    def test_drain(self):
        rtd = self.stops("drain_politely", "drain", self.LONG)
        # A thread of its own writes the log.
        wait_for(lambda: "finished what it had" in rtd.log(), "it is logged")
        self.assertEqual(rtd.task("t")["last_exit"]["reason"], "completed")
        self.assertEqual(self.rungs(rtd), [])

    def test_cancel(self):
        rtd = self.stops("obey_context", "cancel", {**self.LONG, "drain_timeout": "20ms"})
        wait_for(lambda: "its context ended" in rtd.log(), "it is logged")
        self.assertEqual(self.rungs(rtd), ["cancel"])

    def test_unwind(self):
        rtd = self.stops("wait_for_stop", "unwind", {**self.SHORT, "stop_timeout": "60s"})
        self.assertEqual(self.rungs(rtd), ["cancel", "unwind"])
        self.assertEqual(rtd.task("t")["last_exit"]["reason"], "cancelled")

    def test_kill(self):
        rtd = self.stops("ignore_stop", "kill", self.SHORT)
        self.assertEqual(self.rungs(rtd), ["cancel", "unwind"])
        self.assertEqual(rtd.task("t")["last_exit"]["reason"], "stuck")

    def test_without_time_for_them_the_first_rungs_are_left_out(self):
        rtd = self.stops("drain_politely", "unwind", {})
        self.assertEqual(self.rungs(rtd), [])

    def test_now_leaves_them_out_too(self):
        self.stops("drain_politely", "unwind", self.LONG, now=True)

    def test_a_stop_that_takes_long_can_be_hurried(self):
        rtd = self.start_behaviour({"t": self.task("wait_for_stop", drain_timeout="10m")})
        with rtd.connect() as patient:
            number = patient.send("task.stop", {"name": "t"})
            rtd.wait_task("t", "stopping")
            self.assertEqual(rtd.call("task.stop", name="t", now=True)["task"]["state"], "stopped")
            self.assertEqual(patient.answer(number)["task"]["state"], "stopped")
        self.assertEqual(rtd.events("task_stopped")[-1]["rung"], "unwind")

    def test_the_daemons_end_lets_tasks_drain(self):
        rtd = self.start_behaviour({"t": self.task("drain_politely", **self.LONG), "other": self.task("wait_for_stop")})
        self.assertEqual(rtd.stop(), 0)
        self.assertIn("finished what it had", rtd.log())
        self.assertIn("task t is stopped (drain)", rtd.log())


class Order(harness.FakeHostCase):
    """`after` and `requires`. The fake host notes in its log what is begun and ended."""
    # A task "slow" says that it runs only when a file named like it is there; all log their begin and end.
    BODY = (
        "    def begin_task(self, task, entry):\n"
        "        path = os.path.join(os.path.dirname(sys.argv[0]), 'go-' + task)\n"
        "        def begin():\n"
        "            while entry == 'slow' and not os.path.exists(path): time.sleep(0.01)\n"
        "            self.log('begins', task=task)\n"
        "            super(Host, self).begin_task(task, entry)\n"
        "        threading.Thread(target=begin, daemon=True).start()\n"
        "    def end_task(self, task, state, error=''):\n"
        "        self.log('ends', task=task)\n"
        "        super().end_task(task, state, error)\n"
        "    entries = ('serve', 'fail', 'once', 'slow')\n")

    def order(self, tasks, wait=True, **more):
        return self.start_fake(self.BODY, tasks=tasks, wait=wait, **more)

    def go(self, rtd, name):
        with open(os.path.join(rtd.folder, "go-" + name), "w", encoding="ascii"):
            pass

    def steps(self, rtd, word):
        """The tasks in the order in which they began or ended."""
        lines = rtd.call("logs", limit=10000)["lines"]
        return [line["task"] for line in lines if line["message"] == word]

    def test_tasks_start_in_their_order(self):
        rtd = self.order({"a": self.task("serve", after=["b"]), "b": self.task("slow", requires=["c"]),
                          "c": self.task("slow"), "d": self.task("serve")}, wait=False)
        rtd.wait_for_socket()
        rtd.wait_task("d", "running")
        wait_for(lambda: rtd.task("b")["waits"], "b waits")
        self.assertEqual(rtd.task("b")["waits"], "it requires c, which is starting")
        self.assertEqual(rtd.task("a")["waits"], "it comes after b, which is starting")
        self.assertEqual(rtd.call("task.inspect", name="b")["requires"], ["c"])
        self.go(rtd, "c")
        rtd.wait_task("c", "running")
        self.assertEqual(rtd.task("a")["state"], "starting")
        self.go(rtd, "b")
        rtd.wait_task("a", "running")
        self.assertEqual([name for name in self.steps(rtd, "begins") if name != "d"], ["c", "b", "a"])
        self.assertEqual(rtd.task("a")["waits"], "")

    def test_they_end_the_other_way_round_with_the_daemon(self):
        rtd = self.order({"a": self.task("serve"), "b": self.task("serve", requires=["a"]),
                          "c": self.task("serve", after=["b"]), "d": self.task("serve")},
                         log={"format": "json"})
        self.assertEqual(rtd.stop(), 0)
        lines = [json.loads(line) for line in rtd.log().splitlines() if line.startswith("{")]
        ends = [line["task"] for line in lines if line.get("message") == "ends"]
        self.assertEqual([name for name in ends if name != "d"], ["c", "b", "a"])

    def test_a_start_starts_what_is_required(self):
        rtd = self.order({"web": self.task("serve", requires=["db"], autostart=False),
                          "db": self.task("serve", after=["log"], autostart=False),
                          "log": self.task("serve", autostart=False)})
        self.assertEqual(rtd.call("task.start", name="web")["task"]["state"], "running")
        self.assertEqual(self.steps(rtd, "begins"), ["db", "web"])
        self.assertEqual(rtd.task("log")["state"], "stopped", "after is no wish to have it")

    def test_stopping_what_is_required_ends_its_dependents_first(self):
        rtd = self.order({"web": self.task("serve", requires=["db"]), "page": self.task("serve", requires=["web"]),
                          "db": self.task("serve"), "other": self.task("serve", after=["db"])})
        self.assertEqual(rtd.call("task.stop", name="db")["task"]["state"], "stopped")
        self.assertEqual(self.steps(rtd, "ends"), ["page", "web", "db"])
        self.assertEqual(rtd.task("other")["state"], "running")
        self.assertEqual(wait_for(lambda: rtd.task("web")["waits"], "web waits"), "it requires db, which is stopped")
        self.assertEqual(rtd.task("web")["state"], "starting")
        rtd.call("task.start", name="db")
        for name in ("web", "page"):
            rtd.wait_task(name, "running")
        self.assertEqual(self.steps(rtd, "begins")[-3:], ["db", "web", "page"])

    def test_restarting_what_is_required_restarts_its_dependents(self):
        rtd = self.order({"web": self.task("serve", requires=["db"]), "db": self.task("serve")})
        rtd.call("task.restart", name="db")
        wait_for(lambda: self.steps(rtd, "begins")[-2:] == ["db", "web"] and len(self.steps(rtd, "begins")) == 4,
                 "both began again in their order")
        self.assertEqual(self.steps(rtd, "ends"), ["web", "db"])

    def test_starting_a_waiting_task_starts_what_it_requires_again(self):
        rtd = self.order({"web": self.task("serve", requires=["db"]), "db": self.task("serve")})
        rtd.call("task.stop", name="db")
        wait_for(lambda: rtd.task("web")["waits"], "web waits")
        self.assertEqual(rtd.call("task.start", name="web")["task"]["state"], "running")
        self.assertEqual(rtd.task("db")["state"], "running")

    def test_what_is_given_up_holds_its_dependents_back(self):
        quick = {"policy": "always", "max_restarts": 2, "initial_delay": "10ms", "max_delay": "10ms"}
        rtd = self.order({"web": self.task("serve", requires=["db"]), "db": self.task("slow", restart=quick)}, wait=False)
        rtd.wait_for_socket()
        self.go(rtd, "db")
        rtd.wait_task("web", "running")
        before = rtd.task("web")["started_at"]
        # Each death of the host is db's; web comes back with it, until db is given up.
        rtd.call("task.run", plugin="fake", entry="serve", name="other")
        self.assertEqual(before, rtd.task("web")["started_at"])
        rtd.call("task.stop", name="db")
        event = rtd.wait_task("web", "starting") and rtd.call("task.inspect", name="web")
        self.assertIn("requires db", event["task"]["waits"])

    def test_who_requires_what_failed_waits(self):
        rtd = self.order({"web": self.task("serve", requires=["db"]), "page": self.task("serve", after=["db"]),
                          "db": self.task("fail", restart={"policy": "never"})}, wait=False)
        rtd.wait_for_socket()
        rtd.wait_task("db", "failed")
        rtd.wait_task("page", "running")
        # It may have begun in the moment for which db ran.
        wait_for(lambda: rtd.task("web")["waits"] == "it requires db, which is failed", "web waits")
        self.assertEqual(rtd.task("web")["state"], "starting")
        self.assertEqual(rtd.call("task.inspect", name="db")["task"]["restarts"], 0)

    def test_a_requirement_that_completed_is_met(self):
        rtd = self.order({"web": self.task("serve", requires=["migrate"]),
                          "migrate": self.task("once", restart={"policy": "never"})})
        self.assertEqual(self.steps(rtd, "begins"), ["migrate", "web"])
        self.assertEqual(rtd.task("migrate")["state"], "completed")

    def test_a_requirement_that_fails_for_good_holds_back_who_runs(self):
        body = self.BODY + ("    def on_set(self, params):\n        self.end_task('db', 'failed', 'gone')\n        return {}\n")
        rtd = self.start_fake(body, tasks={"web": self.task("serve", requires=["db"]),
                                           "db": self.task("serve", restart={"policy": "never"})})
        rtd.call("log_level", level="debug")  # tells the host, which takes it as its cue
        wait_for(lambda: rtd.task("web")["waits"], "web is held back")
        self.assertEqual(rtd.events("task_held")[0]["message"],
                         "task web is held back: it requires db, which is failed")
        self.assertEqual(self.steps(rtd, "ends"), ["db", "web"])

    def test_after_a_hosts_death_the_order_is_kept(self):
        rtd = self.order({"a": self.task("serve", requires=["b"]), "b": self.task("serve", requires=["c"]),
                          "c": self.task("serve")})
        os.kill(rtd.host_pid(), signal.SIGKILL)
        wait_for(lambda: self.steps(rtd, "begins") == ["c", "b", "a"] * 2, "all began again in their order")
        rtd.wait_task("a", "running")

    def test_across_sandboxes_a_short_absence_is_borne(self):
        rtd = self.order({"web": self.task("serve", requires=["db"], sandbox="front"),
                          "db": self.task("serve", sandbox="back")}, sandboxes={"front": {}, "back": {}})
        began = rtd.task("web")["started_at"]
        os.kill(rtd.host_pid("back"), signal.SIGKILL)
        wait_for(lambda: rtd.task("db")["restarts"] == 1 and rtd.task("db")["state"] == "running", "db comes back")
        self.assertEqual(rtd.task("web")["started_at"], began)

    def test_a_second_sigterm_does_not_wait_for_the_order(self):
        rtd = self.start_fake("    def stop_task(self, task):\n        pass\n",
                              tasks={"web": self.task("serve", requires=["db"], stop_timeout="10m"),
                                     "db": self.task("serve", stop_timeout="10m")})
        rtd.process.terminate()
        wait_for(lambda: "stops: SIGTERM" in rtd.log(), "the stop begins")
        rtd.process.terminate()
        self.assertEqual(rtd.process.wait(harness.PATIENCE), 0)

    def test_a_reload_changes_the_order_and_restarts_nobody(self):
        tasks = {"web": self.task("serve", requires=["db"]), "db": self.task("serve"), "x": self.task("serve")}
        rtd = self.order(tasks)
        began = rtd.task("web")["started_at"]
        with open(rtd.config_file, encoding="utf-8") as file:
            config = json.load(file)
        config["tasks"]["web"]["requires"] = ["x"]
        del config["tasks"]["db"]
        rtd.write_config(json.dumps(config), raw=True)
        rtd.call("config.reload", wait=True)
        self.assertNotIn("db", rtd.tasks())
        self.assertEqual(rtd.task("web")["started_at"], began)
        rtd.call("task.stop", name="x")
        self.assertEqual(self.steps(rtd, "ends"), ["db", "web", "x"])


class Schedules(harness.FakeHostCase):
    # The host takes a new log level as the cue to end the tasks that serve.
    BODY = ("    def on_set(self, params):\n"
            "        for task in [name for name, one in self.tasks.items() if one['entry'] == 'serve']:\n"
            "            self.end_task(task, 'completed')\n"
            "        return {}\n")

    def when(self, task):
        return datetime.datetime.fromisoformat(task["next_start_at"].replace("Z", "+00:00"))

    def test_an_interval_starts_a_task_again_and_again(self):
        rtd = self.start_fake(tasks={"job": self.task("once", schedule={"every": "1s"})})
        self.assertTrue(rtd.call("status")["ready"])
        wait_for(lambda: rtd.metric("rtd_task_runs_total", task="job", status="ok") >= 3, "three runs")
        planned = [datetime.datetime.fromisoformat(event["planned_at"].replace("Z", "+00:00"))
                   for event in rtd.events("task_scheduled")]
        for first, second in zip(planned, planned[1:]):
            self.assertGreaterEqual((second - first).total_seconds(), 0.999)
        task = rtd.task("job")
        self.assertTrue(task["scheduled"])
        self.assertEqual(task["restarts"], 0)
        self.assertEqual(rtd.call("task.inspect", name="job")["schedule"], {"every": "1s", "overlap": "skip"})

    def test_the_next_time_of_an_expression_is_shown(self):
        os.environ["TZ"] = "XYZ-3"  # three hours ahead
        self.addCleanup(os.environ.pop, "TZ")
        rtd = self.start_fake(tasks={
            "utc": self.task("once", schedule={"cron": "30 5 1 jan *", "time_zone": "UTC"}),
            "local": self.task("once", schedule={"cron": "30 5 1 jan *"}),
            "off": self.task("once", schedule={"cron": "@hourly"}, autostart=False)})
        for name, hour in (("utc", 5), ("local", 2)):
            task = rtd.task(name)
            due = self.when(task)
            self.assertEqual((due.month, due.day, due.hour, due.minute), (1, 1, hour, 30))
            self.assertEqual(task["state"], "stopped", "it is not started with the daemon")
            self.assertAlmostEqual(rtd.metric("rtd_task_next_start_timestamp_seconds", task=name), due.timestamp(), delta=1)
        self.assertIsNone(rtd.task("off")["next_start_at"])
        shown = subprocess.run([os.path.join(harness.BIN_DIR, "rtctl"), "--socket", rtd.socket, "ps"], capture_output=True,
                               text=True, check=True).stdout
        self.assertIn("next at ", shown)
        rtd.call("task.start", name="utc")
        self.assertEqual(rtd.wait_task("utc", "completed")["next_start_at"], self.when(rtd.task("utc")).strftime(
            "%Y-%m-%dT%H:%M:%S.000Z"), "a start by hand changes nothing about it")

    def test_starts_during_a_run_are_skipped(self):
        rtd = self.start_fake(self.BODY, tasks={"job": self.task("serve", schedule={"every": "1s"})})
        wait_for(lambda: (rtd.metric("rtd_task_schedule_overlaps_total", task="job", result="skipped") or 0) >= 2, "two skips")
        self.assertEqual(rtd.metric("rtd_task_schedule_overlaps_total", task="job", result="queued"), 0)
        self.assertEqual(rtd.metric("rtd_task_runs_total", task="job", status="ok"), 0)
        self.assertIn("the start is left out", rtd.events("task_overlap")[0]["message"])

    def test_or_queued_once(self):
        rtd = self.start_fake(self.BODY, tasks={"job": self.task("serve", schedule={"every": "1s", "overlap": "queue"})})
        wait_for(lambda: (rtd.metric("rtd_task_schedule_overlaps_total", task="job", result="skipped") or 0) >= 1,
                 "one is queued, and one more is too many")
        self.assertEqual(rtd.metric("rtd_task_schedule_overlaps_total", task="job", result="queued"), 1)
        began = rtd.task("job")["started_at"]
        rtd.call("log_level", level="debug")
        wait_for(lambda: rtd.task("job")["state"] == "running" and rtd.task("job")["started_at"] != began, "the queued run")

    def test_a_failed_run_is_retried_by_the_policy_and_by_the_schedule(self):
        rtd = self.start_fake(tasks={"job": self.task("fail", schedule={"every": "1s"}, restart={"policy": "never"})})
        wait_for(lambda: rtd.metric("rtd_task_runs_total", task="job", status="error") >= 2, "two runs")
        self.assertTrue(rtd.call("status")["ready"])

    def test_an_interval_goes_on_over_a_restart_of_the_daemon(self):
        folder = self.make_folder()
        plugin = harness.fake_plugin(self.make_folder())
        rtd = self.start({"plugins": {"fake": {"path": plugin}}, "tasks": {"job": self.task("once", schedule={"every": "1h"})}},
                         fake="    pass", arguments=["--state-dir", folder])
        rtd.wait_task("job", "completed")
        due = self.when(rtd.task("job"))
        self.assertEqual(rtd.stop(), 0)
        rtd.start()
        self.assertEqual(self.when(rtd.task("job")), due)
        self.assertEqual(rtd.metric("rtd_task_runs_total", task="job", status="ok"), 1)

    def test_a_reload_plans_anew(self):
        rtd = self.start_fake(tasks={"job": self.task("once", schedule={"cron": "0 0 1 1 *", "time_zone": "UTC"})})
        with open(rtd.config_file, encoding="utf-8") as file:
            config = json.load(file)
        config["tasks"]["job"]["schedule"]["cron"] = "0 0 2 1 *"
        rtd.write_config(json.dumps(config), raw=True)
        rtd.call("config.reload", wait=True)
        self.assertEqual(self.when(rtd.task("job")).day, 2)
        self.assertEqual(rtd.task("job")["state"], "stopped")
        del config["tasks"]["job"]["schedule"]
        rtd.write_config(json.dumps(config), raw=True)
        rtd.call("config.reload", wait=True)
        self.assertIsNone(rtd.wait_task("job", "completed")["next_start_at"])


if __name__ == "__main__":
    unittest.main()
