#!/usr/bin/env python3
"""Hosts and tasks that crash, hang, end, lie or flood: the supervisor stays up, says what happened and brings them back."""
import datetime
import json
import os
import signal
import sys
import time
import unittest

import harness
from harness import BEHAVIOUR, alive, wait_for

class RealHost(harness.BehaviourCase):
    """With the real host and the plugin test_behaviour."""

    def test_kill_9_a_hundred_times(self):
        names = ["one", "two", "three"]
        rtd = self.start_behaviour({name: self.task("wait_for_stop") for name in names})
        rtd.call("task.run", name="by-hand", plugin="test-behaviour", entry="wait_for_stop")
        names.append("by-hand")
        with rtd.connect() as watcher:
            watcher.call("events", follow=True, limit=0)
            for i in range(100):
                before = {name: rtd.task(name)["started_at"] for name in names}
                host = rtd.host_pid()
                os.kill(host, signal.SIGKILL)
                # The event of the new host tells when to look; it must be another process with the same tasks.
                started = watcher.notification("rtd.event", lambda event: event["kind"] == "sandbox_started")
                self.assertNotEqual(started["pid"], host)
                for name in names:
                    task = rtd.wait_task(name, "running")
                    self.assertNotEqual(task["started_at"], before[name], f"round {i}")
                    self.assertEqual(task["restarts"], i + 1)
        self.assertIsNone(rtd.process.poll())
        self.assertEqual(rtd.call("status")["pid"], rtd.process.pid)
        sandbox = rtd.sandbox()
        self.assertEqual(sandbox["restarts"], 100)
        self.assertEqual((sandbox["last_exit"]["reason"], sandbox["last_exit"]["signal"]), ("signal", "SIGKILL"))
        self.assertEqual(rtd.metric("rtd_sandbox_restarts_total", reason="signal"), 100)

    def crash(self, entry, **expected):
        rtd = self.start_behaviour({"bystander": self.task("wait_for_stop")}, **expected.pop("config", {}))
        rtd.call("task.run", name="culprit", plugin="test-behaviour", entry=entry, restart="never")
        exit_ = wait_for(lambda: rtd.sandbox()["last_exit"], f"the host of {entry} ends")
        rtd.wait_task("bystander", "running")
        self.assertIsNone(rtd.process.poll())
        self.assertEqual(rtd.task("bystander")["last_exit"]["reason"], "host")
        return rtd, exit_

    def start_at_once(self, tasks):
        """Waits for no task: these run for a moment only, in which a busy machine need not look."""
        rtd = self.start({"plugins": BEHAVIOUR, "tasks": tasks}, wait=False)
        rtd.wait_for_socket()
        return rtd

    def test_a_deadlocked_task_fails_and_is_restarted(self):
        rtd = self.start_at_once({"dead": self.task("deadlock", restart={"initial_delay": "10ms"})})
        wait_for(lambda: rtd.task("dead")["restarts"] >= 2, "the task is restarted twice")
        exit_ = rtd.task("dead")["last_exit"]
        self.assertEqual(exit_["reason"], "failed")
        self.assertRegex(exit_["error"], "^deadlock: all 3 green threads of the task wait")
        self.assertGreaterEqual(rtd.metric("rtd_task_deadlocks_total", task="dead"), 2)
        event = rtd.events("task_deadlocked")[0]
        self.assertEqual((event["task"], event["sandbox"]), ("dead", "default"))
        self.assertIn("deadlock: all 3 green threads", event["message"])
        wait_for(lambda: "[chan receive (nil chan)" in rtd.log(), "the stacks are logged")
        self.assertEqual(rtd.sandbox()["restarts"], 0)

    def test_a_deadlocked_task_that_cannot_be_cancelled_costs_its_host(self):
        rtd = self.start_at_once({"dead": self.task("deadlock_shielded", stop_timeout="100ms", restart={"policy": "never"})})
        exit_ = wait_for(lambda: rtd.sandbox()["last_exit"], "the host is given up")
        self.assertEqual(exit_["reason"], "watchdog")
        self.assertEqual(rtd.metric("rtd_task_deadlocks_total", task="dead"), 1)

    def test_a_deadlock_may_be_ignored(self):
        rtd = self.start_behaviour({"dead": self.task("deadlock", on_deadlock="ignore"),
                                    "other": self.task("deadlock", on_deadlock="report")})
        wait_for(lambda: rtd.events("task_deadlocked"), "the other one is reported")
        self.assertEqual([event["task"] for event in rtd.events("task_deadlocked")], ["other"])
        for name in ("dead", "other"):
            self.assertEqual((rtd.task(name)["state"], rtd.task(name)["restarts"]), ("running", 0))

    def test_a_null_dereference_is_reported(self):
        folder = self.make_folder()
        rtd = self.start({"plugins": BEHAVIOUR, "tasks": {"bystander": self.task("wait_for_stop")}},
                         arguments=["--state-dir", folder])
        rtd.call("task.run", name="culprit", plugin="test-behaviour", entry="null_dereference", restart="never")
        exit_ = wait_for(lambda: rtd.sandbox()["last_exit"], "the host ends")
        self.assertEqual((exit_["reason"], exit_["signal"]), ("signal", "SIGSEGV"))
        crash = exit_["crash"]
        self.assertEqual((crash["signal"], crash["task"], crash["plugin"]), ("SIGSEGV", "culprit", "test-behaviour"))
        self.assertFalse(crash["stack_overflow"])
        self.assertTrue(crash["stack"])
        rtd.wait_task("bystander", "running")
        culprit = rtd.task("culprit")
        self.assertEqual((culprit["state"], culprit["last_exit"]["reason"]), ("failed", "crashed"))
        self.assertIn("SIGSEGV", culprit["last_exit"]["error"])
        event = rtd.events("sandbox_exited")[-1]
        self.assertIn("in task culprit, plugin test-behaviour", event["message"])
        saved = os.listdir(os.path.join(folder, "crashes"))
        self.assertEqual(len(saved), 1)
        with open(os.path.join(folder, "crashes", saved[0]), encoding="utf-8") as file:
            self.assertEqual(json.load(file)["crash"]["task"], "culprit")

    def test_a_stack_overflow_is_reported_by_name(self):
        _, exit_ = self.crash("overflow_stack")
        self.assertTrue(exit_["crash"]["stack_overflow"])
        self.assertEqual(exit_["crash"]["task"], "culprit")

    def test_abort(self):
        _, exit_ = self.crash("call_abort")
        self.assertEqual((exit_["reason"], exit_["signal"]), ("signal", "SIGABRT"))

    def test_exit(self):
        _, exit_ = self.crash("call_exit")
        self.assertEqual((exit_["reason"], exit_["code"], exit_["signal"]), ("exit", 7, None))

    def test_division_by_zero(self):
        _, exit_ = self.crash("divide_by_zero")
        self.assertEqual(exit_["signal"], "SIGFPE")

    def test_a_stopped_host_is_found_by_the_watchdog(self):
        rtd = self.start_behaviour({"one": self.task("wait_for_stop")})
        host = rtd.host_pid()
        os.kill(host, signal.SIGSTOP)
        began = time.monotonic()
        exit_ = wait_for(lambda: rtd.sandbox()["last_exit"], "the watchdog", timeout=60, pause=0.2)
        self.assertLess(time.monotonic() - began, 25)
        self.assertEqual(exit_["reason"], "watchdog")
        rtd.wait_task("one", "running")
        self.assertNotEqual(rtd.host_pid(), host)
        self.assertFalse(alive(host))

    def test_a_stopped_supervisor_does_not_blame_its_hosts(self):
        rtd = self.start_behaviour({"one": self.task("wait_for_stop")})
        host = rtd.host_pid()
        rtd.process.send_signal(signal.SIGSTOP)
        time.sleep(13)
        rtd.process.send_signal(signal.SIGCONT)
        time.sleep(3)
        self.assertEqual(rtd.host_pid(), host)
        self.assertIsNone(rtd.sandbox()["last_exit"])

    def test_busy_tasks_do_not_starve_the_heartbeat(self):
        rtd = self.start_behaviour({"spin": self.task("spin", params={"count": 8}), "block": self.task("block_for_ever"),
                                    "one": self.task("wait_for_stop")})
        host = rtd.host_pid()
        time.sleep(14)
        self.assertEqual(rtd.host_pid(), host)
        self.assertEqual(rtd.task("one")["state"], "running")
        # A page waits half a second for a host, which is little where other programs compute as well.
        wait_for(lambda: rtd.metric("rtd_sandbox_up") == 1, "the host answers a scrape in time")
        self.assertIsNone(rtd.sandbox()["last_exit"])

    def test_a_task_that_does_not_stop_costs_its_host(self):
        rtd = self.start_behaviour({"stubborn": self.task("ignore_stop", stop_timeout="300ms"),
                                    "other": self.task("wait_for_stop")})
        rtd.wait_task("stubborn", "running")  # one that is stopped before it runs has no exit
        host = rtd.host_pid()
        task = rtd.call("task.stop", name="stubborn")["task"]
        self.assertEqual((task["state"], task["last_exit"]["reason"]), ("stopped", "stuck"))
        rtd.wait_task("other", "running")
        self.assertNotEqual(rtd.host_pid(), host)
        self.assertEqual(rtd.sandbox()["last_exit"]["reason"], "watchdog")
        self.assertEqual(rtd.task("stubborn")["state"], "stopped")

    def test_what_the_host_is_given(self):
        os.environ["RTD_TEST_SECRET"] = "token"
        self.addCleanup(os.environ.pop, "RTD_TEST_SECRET")
        rtd = self.start_behaviour({"one": self.task("wait_for_stop")},
                                   sandboxes={"default": {"limits": {"open_files": 777}}})
        host = rtd.host_pid()
        with open(f"/proc/{host}/environ", "rb") as file:
            self.assertNotIn(b"token", file.read())
        with open(f"/proc/{host}/status", encoding="ascii") as file:
            self.assertIn("NoNewPrivs:\t1", file.read())
        with open(f"/proc/{host}/limits", encoding="ascii") as file:
            limits = file.read()
        self.assertRegex(limits, r"Max open files +777 +777")
        self.assertRegex(limits, r"Max core file size +0 +0")
        sockets = []
        for fd in os.listdir(f"/proc/{host}/fd"):
            try:
                sockets.append(os.readlink(f"/proc/{host}/fd/{fd}"))
            except FileNotFoundError:  # a file that it had just opened to read something
                pass
        self.assertEqual(sum(link.startswith("socket:") for link in sockets), 1, "the link and no other: " + str(sockets))

    def test_sandbox_restart_and_lists(self):
        rtd = self.start_behaviour({"one": self.task("wait_for_stop")})
        host = rtd.host_pid()
        sandbox = rtd.call("sandbox.restart", name="default")["sandbox"]
        self.assertEqual(sandbox["state"], "up")
        self.assertNotEqual(sandbox["pid"], host)
        self.assertEqual(sandbox["last_exit"]["reason"], "manual")
        rtd.wait_task("one", "running")
        self.assertGreater(sandbox["rss_bytes"], 0)

    def test_stopping_takes_tasks_along(self):
        rtd = self.start_behaviour({"slow": self.task("clean_up_slowly"), "stubborn": self.task("ignore_stop")},
                                   sandboxes={"default": {"stop_timeout": "1s"}})
        host = rtd.host_pid()
        rtd.stop()
        self.assertFalse(alive(host))
        self.assertIn("cleaned up", rtd.log(), "a task that needs a moment to clean up gets it")

    def test_bad_plugins_are_refused_and_the_rest_goes_on(self):
        kinds = {
            "constructor_throws": "plugin_constructor_threw",
            "missing_symbol": "plugin_missing_symbols",
            "not_a_plugin": "plugin_no_note",
            "other_abi": "plugin_abi_mismatch",
        }
        plugins = {**BEHAVIOUR, **{"test-" + name.replace("_", "-"): {"path": f"test_{name}.so"} for name in kinds}}
        folder = self.make_folder()
        os.chmod(folder, 0o755)  # hosts of a daemon that is root run as nobody
        text = os.path.join(folder, "text.so")
        with open(text, "w", encoding="ascii") as file:
            file.write("not an ELF file")
        plugins["text"] = {"path": text}
        plugins["missing"] = {"path": "/nowhere/missing.so"}
        rtd = self.start({"plugins": plugins, "tasks": {"one": self.task("wait_for_stop")}})
        listed = {plugin["name"]: plugin for plugin in rtd.call("plugin.list")["plugins"]}
        self.assertEqual(listed["test-behaviour"]["state"], "loaded")
        self.assertEqual(listed["text"]["error_kind"], "plugin_not_elf")
        self.assertEqual(listed["missing"]["error_kind"], "plugin_not_found")
        for name, kind in kinds.items():
            plugin = listed["test-" + name.replace("_", "-")]
            self.assertEqual((plugin["state"], plugin["error_kind"]), ("refused", kind), plugin["error"])
            self.assertTrue(plugin["error"])
            checked = rtd.call("plugin.check", path=os.path.join(harness.PLUGIN_DIR, f"test_{name}.so"))
            self.assertEqual((checked["ok"], checked["kind"]), (False, kind))
        self.assertEqual(rtd.task("one")["state"], "running")
        self.refused("plugin_rejected", rtd.call, "task.run", plugin="test-other-abi", entry="serve")

    def test_a_plugin_that_crashes_its_host_when_it_loads(self):
        rtd = self.start({"plugins": {**BEHAVIOUR, "test-constructor-crashes": {"path": "test_constructor_crashes.so"}},
                          "tasks": {"one": self.task("wait_for_stop")}})
        listed = {plugin["name"]: plugin for plugin in rtd.call("plugin.list")["plugins"]}
        self.assertEqual(listed["test-constructor-crashes"]["error_kind"], "plugin_crashed")
        self.assertIn("SIGSEGV", listed["test-constructor-crashes"]["error"])
        self.assertEqual(rtd.task("one")["state"], "running")
        checked = rtd.call("plugin.check", path=os.path.join(harness.PLUGIN_DIR, "test_constructor_crashes.so"))
        self.assertEqual((checked["ok"], checked["kind"]), (False, "plugin_crashed"))

    def test_a_plugin_that_hangs_when_it_loads(self):
        rtd = self.start({"plugins": {**BEHAVIOUR, "test-constructor-hangs": {"path": "test_constructor_hangs.so"}},
                          "tasks": {"one": self.task("wait_for_stop")}}, wait=False)
        rtd.wait_for_socket()
        self.assertFalse(rtd.call("status")["ready"])
        self.assertEqual(rtd.http_get("/readyz")[0], 503)
        self.assertEqual(rtd.http_get("/livez")[0], 200)
        wait_for(lambda: rtd.call("status")["ready"], "the sandbox comes up without it", timeout=60)
        listed = {plugin["name"]: plugin for plugin in rtd.call("plugin.list")["plugins"]}
        self.assertEqual(listed["test-constructor-hangs"]["error_kind"], "plugin_constructor_timeout")

    def test_sandboxes_are_apart(self):
        rtd = self.start_behaviour({"a": self.task("wait_for_stop", sandbox="left"),
                                    "b": self.task("wait_for_stop", sandbox="right")},
                                   sandboxes={"left": {}, "right": {}})
        left, right = rtd.host_pid("left"), rtd.host_pid("right")
        self.assertNotEqual(left, right)
        started = rtd.task("b")["started_at"]
        os.kill(left, signal.SIGKILL)
        wait_for(lambda: rtd.sandbox("left")["restarts"] == 1, "left comes back")
        rtd.wait_task("a", "running")
        self.assertEqual(rtd.host_pid("right"), right)
        self.assertEqual(rtd.task("b")["started_at"], started)


class Policies(harness.FakeHostCase):
    QUICK = {"initial_delay": "10ms", "max_delay": "20ms"}

    def test_always(self):
        rtd = self.start_fake(tasks={"job": self.task("once", restart={"policy": "always", **self.QUICK})}, wait=False)
        rtd.wait_for_socket()
        wait_for(lambda: rtd.task("job")["restarts"] >= 5, "the job is started again and again")

    def test_on_failure(self):
        rtd = self.start_fake(tasks={
            "good": self.task("once", restart={"policy": "on-failure", **self.QUICK}),
            "bad": self.task("fail", restart={"policy": "on-failure", **self.QUICK})}, wait=False)
        rtd.wait_for_socket()
        wait_for(lambda: rtd.task("bad")["restarts"] >= 5, "the failing one is started again and again")
        good = rtd.task("good")
        self.assertEqual((good["state"], good["restarts"]), ("completed", 0))
        self.assertEqual(rtd.task("bad")["last_exit"]["error"], "it was to fail")

    def test_a_host_without_memory_for_a_start_is_asked_again(self):
        body = ("    starts = 0\n"
                "    def on_task_start(self, params):\n"
                "        self.starts += 1\n"
                "        if self.starts <= 3:\n"
                "            raise Refusal(['start_failed', 'internal', 'start_failed'][self.starts - 1], 'no stack')\n"
                "        return super().on_task_start(params)\n")
        rtd = self.start_fake(body, {"server": self.task("serve", restart=self.QUICK)})
        task = rtd.wait_task("server", "running")
        self.assertEqual((task["restarts"], task["last_exit"]["reason"], task["last_exit"]["error"]), (3, "failed", "no stack"))
        self.assertEqual(len(rtd.events("task_failed")), 3)

    def test_never(self):
        rtd = self.start_fake(tasks={"bad": self.task("fail", restart={"policy": "never"})}, wait=False)
        rtd.wait_for_socket()
        self.assertEqual(rtd.wait_task("bad", "failed")["restarts"], 0)
        self.assertEqual(rtd.call("task.wait", name="bad")["task"]["state"], "failed")
        self.assertEqual(rtd.http_get("/readyz")[0], 503)
        self.assertIn("task-bad: failed", rtd.http_get("/readyz?verbose")[1].replace("failed, failed", "failed"))

    def test_never_means_not_after_the_hosts_death_either(self):
        rtd = self.start_fake(tasks={"once-only": self.task("serve", restart={"policy": "never"}),
                                     "other": self.task("serve")})
        os.kill(rtd.host_pid(), signal.SIGKILL)
        self.assertEqual(rtd.wait_task("once-only", "failed")["last_exit"]["reason"], "host")
        rtd.wait_task("other", "running")

    def test_restarts_are_used_up(self):
        rtd = self.start_fake(tasks={"bad": self.task("fail", restart={"policy": "always", "max_restarts": 3, **self.QUICK})},
                              wait=False)
        rtd.wait_for_socket()
        task = rtd.wait_task("bad", "fatal")
        self.assertEqual(task["restarts"], 3)
        self.assertIn("3 times within 60.0 s", rtd.call("task.inspect", name="bad")["history"][-1]["message"])
        event = rtd.events("task_fatal")[0]
        self.assertEqual((event["task"], event["restarts"]), ("bad", 3))
        self.assertIn("`rtctl task start bad` starts it again", event["message"])
        status = rtd.call("status")
        self.assertEqual([(one["name"], one["state"]) for one in status["troubled_tasks"]], [("bad", "fatal")])
        rtd.call("task.start", name="bad")
        self.assertEqual(rtd.wait_task("bad", "fatal")["restarts"], 6)
        self.assertIsNone(rtd.metric("rtd_task_next_start_timestamp_seconds", task="bad"))

    def test_back_off_is_shown(self):
        rtd = self.start_fake(tasks={"bad": self.task("fail", restart={"policy": "always", "initial_delay": "1h", "max_delay": "1h"})}, wait=False)
        rtd.wait_for_socket()
        task = rtd.wait_task("bad", "backoff")
        self.assertGreater(task["backoff_seconds"], 1000)
        due = datetime.datetime.fromisoformat(task["next_start_at"].replace("Z", "+00:00")).timestamp()
        self.assertAlmostEqual(due, time.time() + task["backoff_seconds"], delta=5)
        self.assertAlmostEqual(rtd.metric("rtd_task_next_start_timestamp_seconds", task="bad"), due, delta=5)
        event = rtd.events("task_backoff")[-1]
        self.assertGreater(event["delay_seconds"], 1000)
        self.assertEqual([one["name"] for one in rtd.call("status")["troubled_tasks"]], ["bad"])
        self.assertEqual(rtd.call("task.stop", name="bad")["task"]["state"], "stopped")
        self.assertIsNone(rtd.task("bad")["next_start_at"])

    def test_a_stable_run_begins_a_new_row(self):
        # Each run of `blink` takes longer than stable_after: without it the delays would grow to hours.
        rtd = self.start_fake("    def begin_task(self, task, entry):\n"
                              "        self.event('task', id=task, state='running', error='')\n"
                              "        threading.Timer(0.05, lambda: self.end_task(task, 'failed', 'blinked')).start()\n",
                              tasks={"blink": self.task("serve", restart={"policy": "always", "initial_delay": "10ms",
                                                                          "max_delay": "24h", "stable_after": "20ms"})},
                              wait=False)
        rtd.wait_for_socket()
        wait_for(lambda: rtd.task("blink")["restarts"] >= 20, "twenty quick restarts")

    def test_sandbox_policy_and_its_end(self):
        never = {"default": {"restart": {"policy": "never"}}}
        rtd = self.start_fake(tasks={"one": self.task("serve")}, sandboxes=never)
        os.kill(rtd.host_pid(), signal.SIGKILL)
        rtd.wait_sandbox("down")
        self.assertEqual(rtd.task("one")["state"], "starting")
        self.refused("unavailable", rtd.call, "stacks")
        self.assertEqual(rtd.call("sandbox.restart", name="default")["sandbox"]["state"], "up")
        rtd.wait_task("one", "running")

    def test_sandbox_gives_up(self):
        limits = {"default": {"restart": {"max_restarts": 2, "initial_delay": "10ms"}}}
        rtd = self.start_fake(tasks={"one": self.task("serve")}, sandboxes=limits)
        pid = None
        for _ in range(3):
            # Another one than the last: the supervisor hears of a host's end later than we see it.
            pid = wait_for(lambda: (s := rtd.sandbox())["state"] == "up" and s["pid"] != pid and s["pid"], "a new host")
            os.kill(pid, signal.SIGKILL)
        self.assertIn("2 times", rtd.wait_sandbox("fatal")["fatal_reason"])
        self.assertEqual(rtd.events("sandbox_fatal")[0]["sandbox"], "default")
        self.assertEqual(rtd.http_get("/readyz")[0], 503)
        self.assertEqual(rtd.metric("rtd_sandbox_state", state="fatal"), 1)
        self.assertEqual(rtd.call("sandbox.restart", name="default")["sandbox"]["state"], "up")


class HostileHosts(harness.FakeHostCase):
    """Hosts that do not keep to the rules: each one is killed for it, or ignored, and says so."""

    def dies_of_protocol(self, body, words):
        rtd = self.start_fake(body, tasks={"one": self.task("serve")}, wait=False)
        rtd.wait_for_socket()
        exit_ = wait_for(lambda: rtd.sandbox()["last_exit"], "the host is killed")
        self.assertEqual(exit_["reason"], "protocol")
        self.assertIn(words, exit_["detail"])
        self.assertIsNone(rtd.process.poll())
        return rtd

    def after_start(self, code):
        return ("    def after(self, method, params):\n        super().after(method, params)\n"
                "        if method == 'task.start':\n            " + code + "\n")

    def test_a_frame_that_is_too_large(self):
        self.dies_of_protocol(self.after_start("self.send_bytes(struct.pack('<I', 0xffffffff))"), "4294967295 bytes")

    def test_frames_that_are_no_json(self):
        self.dies_of_protocol(self.after_start("self.send_text(b'\\xff\\xfegarbage')"), "not JSON")

    def test_deep_json(self):
        self.dies_of_protocol(self.after_start("self.send_text('[' * 8000000)"), "nested deeper than 16")

    def test_frames_of_no_known_shape(self):
        self.dies_of_protocol(self.after_start("self.send([1, 2])"), "no object")
        self.dies_of_protocol(self.after_start("self.send({'hello': 1})"), "neither an answer nor an event")
        self.dies_of_protocol(self.after_start("self.send({'event': 7})"), "an event without a name")

    def test_answers_that_nobody_asked_for(self):
        self.dies_of_protocol(self.after_start("self.send({'id': 99999, 'result': {}})"), "never made")
        self.dies_of_protocol(self.after_start("self.send({'id': 1, 'result': 5})"), "without a result")

    def test_random_bytes(self):
        # More than the largest frame: whatever length they begin with is refused, or that many bytes are there.
        self.dies_of_protocol(self.after_start("self.send_bytes(os.urandom(9 << 20))"), "")

    def test_another_version(self):
        rtd = self.start_fake("    def on_host_configure(self, params):\n"
                              "        return {'pid': 1, 'abi': 1, 'version': '9.9'}", wait=False)
        rtd.wait_for_socket()
        self.assertIn("install both from one package", rtd.wait_sandbox("fatal")["fatal_reason"])

    def test_no_host_at_all(self):
        rtd = self.start({"host_binary": "/nowhere/rtd-host"}, wait=False)
        rtd.wait_for_socket()
        exit_ = wait_for(lambda: rtd.sandbox()["last_exit"], "the failure is told")
        self.assertIn("exec /nowhere/rtd-host: No such file", exit_["detail"])
        self.assertIn(rtd.sandbox()["state"], ("backoff", "starting"))

    def test_a_host_that_ends_at_once(self):
        rtd = self.start({"host_binary": "/bin/false"}, wait=False)
        rtd.wait_for_socket()
        wait_for(lambda: rtd.sandbox()["restarts"] >= 5, "it is tried again")
        exit_ = rtd.sandbox()["last_exit"]
        self.assertEqual((exit_["reason"], exit_["code"]), ("exit", 1))

    def test_events_that_lie(self):
        rtd = self.start_fake(self.after_start(
            "[self.send(e) for e in ("
            "{'event': 'task', 'id': 'nobody', 'state': 'failed', 'error': ''},"
            "{'event': 'task', 'id': 'one', 'state': 'flying', 'error': 5},"
            "{'event': 'task', 'id': ['one'], 'state': None},"
            "{'event': 'task', 'id': 'other', 'state': 'completed', 'error': ''},"
            "{'event': 'log', 'task': {}, 'message': 7, 'level': 'loud', 'time': 1e300},"
            "{'event': 'log', 'task': '../x', 'plugin': '\\x1b[2J', 'message': '\\x1b[31m' + 'x' * 100000, 'level': 'info'},"
            "{'event': 'crash', 'signal': 5, 'stack': 'none'},"
            "{'event': 'unknown'})]"), tasks={"one": self.task("serve")})
        rtd.wait_task("one", "running")
        line = wait_for(lambda: next((line for line in rtd.call("logs", limit=1000)["lines"]
                                      if line["message"].startswith("\\x1b")), None), "the line that can be used")
        time.sleep(0.3)
        self.assertIsNone(rtd.sandbox()["last_exit"])
        self.assertEqual((line["task"], line["plugin"]), ("", ""))
        self.assertLessEqual(len(line["message"].encode()), 8192)
        self.assertNotIn("\x1b", rtd.log())

    def test_statistics_that_lie(self):
        rtd = self.start_fake("    def on_stats(self, params):\n        return {'runtime': {'procs': -1}, 'tasks': 'many'}\n",
                              tasks={"one": self.task("serve")})
        self.assertIsNone(rtd.sandbox()["last_exit"], "it harms only itself")
        self.assertEqual(rtd.metric("rtd_sandbox_up"), 0)
        self.assertEqual(rtd.task("one")["state"], "running")
        wait_for(lambda: "statistics cannot be used" in rtd.log(), "it is said")
        self.assertEqual(rtd.log().count("statistics cannot be used"), 1, "and once")

    def test_a_host_that_does_not_answer_a_scrape(self):
        rtd = self.start_fake("    def handle(self, number, method, params):\n"
                              "        if method == 'stats' and self.tasks: time.sleep(5)\n"
                              "        super().handle(number, method, params)\n", tasks={"one": self.task("serve")})
        began = time.monotonic()
        status, text = rtd.http_get("/metrics")
        self.assertEqual(status, 200)
        self.assertLess(time.monotonic() - began, 4 * harness.SLOWNESS)
        self.assertIn("rtd_sandbox_up", text)

    def test_figures_from_before_the_end_of_a_task_are_not_counted_beside_its_total(self):
        # The host reads them, tells the end of the task, and answers then. It answers no more, so that they stay.
        rtd = self.start_fake("    ended = False\n"
                              "    def on_stats(self, params):\n"
                              "        if self.ended: return None\n"
                              "        figures = fake_host.statistics(self.tasks)\n"
                              "        for task in list(self.tasks):\n"
                              "            del self.tasks[task]\n"
                              "            self.event('task', id=task, state='completed', error='', cpu_seconds=0.5)\n"
                              "            self.ended = True\n"
                              "        return figures\n",
                              tasks={"one": self.task("serve", restart={"policy": "never"})}, wait=False)
        rtd.wait_for_socket()
        rtd.wait_task("one", "completed")
        self.assertEqual(rtd.metric("rtd_task_cpu_seconds_total", task="one"), 0.5)
        self.assertEqual(rtd.task("one")["cpu_seconds"], 0.5)

    def test_a_log_flood_is_limited(self):
        rtd = self.start_fake(self.after_start(
            "threading.Thread(target=lambda: [self.log('x' * 100, task='one') for _ in range(100000)], daemon=True).start()"),
            tasks={"one": self.task("serve")})
        wait_for(lambda: "lines of task were dropped" in rtd.log(), "the drop is reported")
        began = time.monotonic()
        for _ in range(20):
            rtd.call("version")
        self.assertLess(time.monotonic() - began, 5 * harness.SLOWNESS, "others are served meanwhile")
        self.assertGreater(rtd.metric("rtd_log_messages_dropped_total", source="task"), 0)

    def test_output_without_end_and_without_newline(self):
        rtd = self.start_fake("    def __init__(self):\n        super().__init__()\n"
                              "        def flood():\n            while True: os.write(1, b'z' * 65536)\n"
                              "        threading.Thread(target=flood, daemon=True).start()\n",
                              tasks={"one": self.task("serve")})
        began = time.monotonic()
        for _ in range(20):
            rtd.call("version")
        self.assertLess(time.monotonic() - began, 10 * harness.SLOWNESS)
        self.assertEqual(rtd.task("one")["state"], "running")

    def test_a_host_that_does_not_read_its_link(self):
        rtd = self.start_fake("    def run(self):\n        for _ in range(3):\n"
                              "            size = struct.unpack('<I', self.receive_exactly(4))[0]\n"
                              "            request = json.loads(self.receive_exactly(size))\n"
                              "            self.handle(request['id'], request['method'], request['params'])\n"
                              "        time.sleep(1000)\n", wait=False)
        rtd.wait_for_socket()
        rtd.wait_sandbox("up")
        self.assertEqual(wait_for(lambda: rtd.sandbox()["last_exit"], "the watchdog", timeout=60)["reason"], "watchdog")

    def test_a_host_that_closes_its_link_and_stays(self):
        self.dies_of_protocol(self.after_start("self.link.shutdown(2); time.sleep(1000)"), "closed its link")

    def test_a_host_that_forks(self):
        rtd = self.start_fake(self.after_start("os.fork() or time.sleep(1000)"), tasks={"one": self.task("serve")})
        os.kill(rtd.host_pid(), signal.SIGKILL)
        wait_for(lambda: rtd.sandbox()["restarts"] == 1, "the host comes back")
        rtd.stop()  # the end of the case asserts that no process is left

    def test_plugins_with_bad_answers(self):
        rtd = self.start_fake("    def on_plugin_load(self, params):\n"
                              "        return {'name': params['name'], 'entries': [{'name': 'rm -rf /'}]}\n", wait=False)
        rtd.wait_for_socket()
        rtd.wait_sandbox("up")
        plugin = rtd.call("plugin.list")["plugins"][0]
        self.assertEqual((plugin["state"], plugin["error_kind"]), ("refused", "plugin_load_failed"))

    def test_plugin_files_that_others_may_write(self):
        folder = self.make_folder()
        path = harness.fake_plugin(folder)
        os.chmod(path, 0o666)
        rtd = self.start({"plugins": {"fake": {"path": path}}, "tasks": {"one": self.task("serve")}}, fake="    pass",
                         wait=False)
        rtd.wait_for_socket()
        self.assertEqual(rtd.wait_task("one", "fatal")["last_exit"]["reason"], "refused")
        plugin = rtd.call("plugin.list")["plugins"][0]
        self.assertEqual(plugin["error_kind"], "plugin_file_refused")
        self.assertIn(f"chmod o-w {path}", plugin["error"])
        os.chmod(path, 0o644)
        rtd.call("sandbox.restart", name="default")
        rtd.wait_task("one", "running")

    def test_a_stuck_task_brings_its_host_down_and_the_others_back(self):
        rtd = self.start_fake(tasks={"bad": self.task("stubborn", stop_timeout="200ms"), "one": self.task("serve")})
        self.assertEqual(rtd.call("task.stop", name="bad")["task"]["state"], "stopped")
        rtd.wait_task("one", "running")
        self.assertEqual(rtd.sandbox()["last_exit"]["reason"], "watchdog")

    def test_a_task_whose_end_is_never_told(self):
        rtd = self.start_fake("    def stop_task(self, task):\n        pass\n",
                              tasks={"bad": self.task("serve", stop_timeout="100ms")})
        began = time.monotonic()
        self.assertEqual(rtd.call("task.stop", name="bad")["task"]["state"], "stopped")
        self.assertLess(time.monotonic() - began, 6 * harness.SLOWNESS)

    def test_a_host_that_does_not_stop(self):
        rtd = self.start_fake("    def after(self, method, params):\n"
                              "        if method != 'shutdown': super().after(method, params)\n",
                              tasks={"one": self.task("serve")}, sandboxes={"default": {"stop_timeout": "200ms"}})
        began = time.monotonic()
        self.assertEqual(rtd.stop(), 0)
        self.assertLess(time.monotonic() - began, 6 * harness.SLOWNESS)

    def test_a_second_sigterm_ends_a_patient_stop(self):
        rtd = self.start_fake("    def after(self, method, params):\n"
                              "        if method != 'shutdown': super().after(method, params)\n",
                              tasks={"one": self.task("serve")}, sandboxes={"default": {"stop_timeout": "10m"}})
        rtd.process.terminate()
        wait_for(lambda: "stops: SIGTERM" in rtd.log(), "the stop begins")
        rtd.process.terminate()
        self.assertEqual(rtd.process.wait(harness.PATIENCE), 0)


class ServiceManager(harness.FakeHostCase):
    def test_what_systemd_is_told(self):
        import socket
        address = os.path.join(self.make_folder(), "notify")
        manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(manager.close)
        manager.bind(address)
        manager.settimeout(harness.PATIENCE)
        os.environ.update(NOTIFY_SOCKET=address, WATCHDOG_USEC="600000")
        self.addCleanup(os.environ.pop, "NOTIFY_SOCKET")
        self.addCleanup(os.environ.pop, "WATCHDOG_USEC")
        # Not waited for: the socket takes ten messages, and one more would hold the daemon up until somebody reads.
        rtd = self.start_fake(tasks={"one": self.task("serve")}, wait=False)
        os.environ.pop("WATCHDOG_PID", None)

        def heard(wanted):
            while True:
                message = manager.recv(4096).decode()
                if message.startswith(wanted):
                    return message

        heard("READY=1")
        heard("STATUS=1 of 1 sandboxes up")
        began = time.monotonic()
        for _ in range(3):
            heard("WATCHDOG=1")
        self.assertLess(time.monotonic() - began, 2 * harness.SLOWNESS)
        rtd.process.send_signal(signal.SIGHUP)
        self.assertRegex(heard("RELOADING=1"), r"MONOTONIC_USEC=\d+")
        heard("READY=1")
        rtd.process.terminate()
        heard("STOPPING=1")
        manager.close()  # nobody reads any more
        self.assertEqual(rtd.process.wait(harness.PATIENCE), 0)


if __name__ == "__main__":
    unittest.main()
