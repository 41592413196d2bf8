#!/usr/bin/env python3
"""rtctl against a real rtd with real hosts and plugins."""
import json
import os
import shutil
import signal
import subprocess
import tempfile
import unittest

import harness

RTCTL = os.path.join(harness.BIN_DIR, "rtctl")
NOBODY = 65533

CONFIG = {
    "plugins": {"hello": {"path": "hello.so"}, "workers": {"path": "workers.so"},
                "test-behaviour": {"path": "test_behaviour.so"}},
    "tasks": {"greeter": {"plugin": "hello", "entry": "serve", "params": {"listen": "127.0.0.1:0"}}},
}


class RtctlTest(harness.RtdTestCase):
    maxDiff = None

    def rtctl(self, rtd, *words, status=0, program=RTCTL, **options):
        """Runs rtctl, checks its exit status, and returns the process with its output."""
        environment = {**os.environ, "RTD_SOCKET": rtd.socket, "TZ": "UTC"}
        result = subprocess.run([program, *words], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                timeout=2 * harness.PATIENCE, check=False, **options)
        self.assertEqual(result.returncode, status, f"rtctl {words}\n{result.stdout}\n{result.stderr}")
        return result

    def output(self, rtd, *words, **options):
        result = self.rtctl(rtd, *words, **options)
        self.assertEqual(result.stderr, "")
        return result.stdout

    def rows(self, rtd, *words):
        """The words of each line of a table but the titles."""
        return [line.split() for line in self.output(rtd, *words, "--no-headers").splitlines()]


class LookTest(RtctlTest):
    def test_status_and_lists(self):
        rtd = self.start(CONFIG)
        text = self.output(rtd, "status")
        self.assertIn("ready", text)
        self.assertIn(f"Metrics        http://127.0.0.1:{rtd.http_address()[1]}/metrics\n", text)
        self.assertIn(rtd.config_file + ", generation 1", text)
        self.assertIn("1: 1 running", text)
        self.assertEqual(json.loads(self.output(rtd, "status", "--json"))["pid"], rtd.process.pid)

        name, sandbox, plugin, state, restarts = self.rows(rtd, "ps")[0][:5]
        self.assertEqual((name, sandbox, plugin, state, restarts), ("greeter", "default", "hello", "running", "0"))
        harness.wait_for(lambda: "listening on 127.0.0.1:" in self.output(rtd, "ps"), "ps shows what the task says")
        self.assertEqual(self.output(rtd, "ps", "-q"), "greeter\n")
        self.assertEqual(json.loads(self.output(rtd, "ps", "--json"))["tasks"][0]["name"], "greeter")
        self.assertEqual(self.rtctl(rtd, "ps", "--sandbox", "nowhere", status=5).stdout, "")

        row = self.rows(rtd, "sandbox", "ls")[0]
        self.assertEqual(row[:3], ["default", "up", str(rtd.host_pid())])
        self.assertIn("no_new_privs", self.output(rtd, "sandbox", "inspect", "default"))
        self.assertRegex(self.output(rtd, "version"), r"\nrtd   \d+\.\d+\.\d+, control protocol 1, plugin ABI \d+, ")

    def test_not_ready(self):
        rtd = self.start({**CONFIG, "host_binary": "/nonexistent/rtd-host"}, wait=False)
        rtd.wait_for_socket()
        self.assertIn("not ready", self.output(rtd, "status", status=3))
        self.output(rtd, "status", "-q", status=3)

    def test_without_rtd(self):
        rtd = self.start(CONFIG)
        rtd.stop()
        self.assertIn("is rtd running?", self.rtctl(rtd, "ps", status=7).stderr)

    def test_top(self):
        rtd = self.start(CONFIG)
        rtd.call("task.run", plugin="workers", entry="run", name="worker", params={"jobs": 10000000, "limit": 1000})

        def computing():
            # Where a busy machine lets the host answer late, both looks are at the same figures.
            frame = json.loads(self.output(rtd, "top", "-n", "1", "-i", "500ms", "--json"))
            by_name = {task["name"]: task for task in frame["tasks"]}
            return by_name["worker"]["cpu_percent"] > 5 and (frame, by_name)

        frame, by_name = harness.wait_for(computing, "it computes all the time")
        self.assertLess(by_name["greeter"]["cpu_percent"], by_name["worker"]["cpu_percent"])
        self.assertGreater(frame["sandboxes"][0]["busy_percent"], 1)

        def the_busiest_comes_first():
            text = self.output(rtd, "top", "-n", "2", "-i", "100ms")
            self.assertEqual(text.count("TASK "), 2)
            return text.index("worker") < text.index("greeter")

        harness.wait_for(the_busiest_comes_first, "the busiest comes first")

    def test_stacks_and_gc(self):
        rtd = self.start(CONFIG)
        self.assertRegex(self.output(rtd, "stacks", "--task", "greeter"), r"(?m)^goroutine \d+ \[")
        self.assertIn("default", self.output(rtd, "gc", "run"))
        self.rtctl(rtd, "gc", "run", "--sandbox", "nowhere", status=5)


class TaskTest(RtctlTest):
    def test_life_of_a_task(self):
        rtd = self.start(CONFIG)
        self.assertEqual(self.output(rtd, "task", "run", "hello", "serve", "--name", "second", "--param",
                                     "listen=127.0.0.1:0", "--param", "delay=10ms"), "task second started in sandbox default\n")
        text = self.output(rtd, "task", "inspect", "second")
        self.assertIn("Configured     no", text)
        self.assertRegex(text, r"\n  delay +10ms\n  listen +127.0.0.1:0\n")
        self.assertEqual(self.output(rtd, "task", "stop", "second"), "task second stopped\n")
        self.assertEqual(rtd.task("second")["state"], "stopped")
        self.assertEqual(self.output(rtd, "task", "start", "second"), "task second started\n")
        self.assertEqual(rtd.task("second")["state"], "running")
        self.rtctl(rtd, "task", "start", "second", status=1)
        self.output(rtd, "task", "restart", "second", "greeter")
        self.assertEqual(rtd.task("greeter")["state"], "running")
        self.assertEqual(self.output(rtd, "task", "stop", "-q", "greeter", "second"), "")
        self.output(rtd, "task", "wait", "greeter", "second")
        self.assertIn("did you mean", self.rtctl(rtd, "task", "stop", "secnd", status=5).stderr)

    def run_behaviour(self, rtd, entry, status, *words):
        return self.rtctl(rtd, "task", "run", "test-behaviour", entry, "--wait", *words, status=status)

    def test_run_and_wait(self):
        rtd = self.start(CONFIG)
        self.assertIn("completed\n", self.run_behaviour(rtd, "complete", 0).stdout)
        self.assertIn("the disk is on fire", self.run_behaviour(rtd, "throw_error", 1).stderr)
        late = self.run_behaviour(rtd, "wait_for_stop", 124, "--name", "late", "--timeout", "2s")
        self.assertIn("task late has not ended in time", late.stderr)
        self.assertEqual(rtd.task("late")["state"], "running")
        self.assertIn("no entry", self.run_behaviour(rtd, "no_such_entry", 125).stderr)
        self.rtctl(rtd, "task", "run", "no-such-plugin", "e", "--wait", status=125)
        self.rtctl(rtd, "task", "run", "no-such-plugin", "e", status=5)

    def test_run_and_wait_for_the_death_of_the_host(self):
        rtd = self.start(CONFIG)
        self.run_behaviour(rtd, "null_dereference", 128 + signal.SIGSEGV)
        rtd.wait_sandbox("up")
        self.run_behaviour(rtd, "call_abort", 128 + signal.SIGABRT)
        rtd.wait_sandbox("up")
        self.assertIn("SIGABRT", self.output(rtd, "sandbox", "inspect", "default"))
        waiting = subprocess.Popen([RTCTL, "--socket", rtd.socket, "task", "run", "test-behaviour", "wait_for_stop", "--wait",
                                    "--name", "victim"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        harness.wait_for(lambda: rtd.tasks().get("victim", {}).get("state") == "running", "the task runs")
        os.kill(rtd.host_pid(), signal.SIGKILL)
        self.assertEqual(waiting.wait(harness.PATIENCE), 128 + signal.SIGKILL)

    def test_parameters_and_logs(self):
        rtd = self.start(CONFIG)
        self.rtctl(rtd, "task", "run", "test-behaviour", "show_parameters", "--wait", "--name", "shower", "--param", "count=7",
                   "--param", "targets=a", "--param", "targets=b=c")
        text = self.output(rtd, "logs", "--task", "shower", "--since", "1m")
        self.assertRegex(text, r"(?m)^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} info  default/shower: count=7$")
        self.assertIn("targets=a;b=c;", text)
        self.rtctl(rtd, "task", "run", "test-behaviour", "log_strange_text", "--wait", "--name", "odd")
        text = self.output(rtd, "logs", "--task", "odd", "--level", "info")
        self.assertNotIn("\x1b", text)
        self.assertIn("\\x1b[31m", text)
        self.assertEqual(self.rtctl(rtd, "logs", "--task", "greeter", "--level", "error").stderr, "No log lines.\n")

    def test_follow(self):
        rtd = self.start(CONFIG)
        followers = [subprocess.Popen([RTCTL, "--socket", rtd.socket, *words], stdout=subprocess.PIPE, text=True)
                     for words in (["logs", "-f", "-n", "0", "--task", "loud"], ["events", "-f", "-n", "0", "-o", "json"])]
        for process in followers:
            self.addCleanup(process.stdout.close)
            self.addCleanup(process.wait)
            self.addCleanup(process.kill)
        # A follower says nothing until something happens; so tasks are run until both have heard of one.
        first_lines = {}
        for process in followers:
            descriptor = process.stdout.fileno()
            os.set_blocking(descriptor, False)

        def both_have_heard():
            self.rtctl(rtd, "task", "run", "test-behaviour", "complete", "--wait", "--name", "loud")
            for process in followers:
                if process not in first_lines and (line := process.stdout.readline()):
                    first_lines[process] = line
            return len(first_lines) == 2

        harness.wait_for(both_have_heard, "both followers have heard of a task")
        self.assertRegex(first_lines[followers[0]], "default/loud: (done|task loud)")
        self.assertIn(json.loads(first_lines[followers[1]])["kind"], ("task_started", "task_completed"))

    def test_events(self):
        rtd = self.start(CONFIG)
        text = self.output(rtd, "events")
        self.assertIn(" daemon_started ", text)
        self.assertRegex(text, r" task_started +default/greeter: ")
        last = json.loads(self.output(rtd, "events", "-o", "jsonl").splitlines()[-1])["seq"]
        self.assertEqual(self.rtctl(rtd, "events", "--since-seq", str(last)).stderr, "No events.\n")


class PluginTest(RtctlTest):
    def test_list_and_check(self):
        rtd = self.start(CONFIG)
        rows = {row[0]: row for row in self.rows(rtd, "plugin", "ls")}
        self.assertEqual(rows["hello"][1:5], ["1.0.0", "default", "loaded", "serve"])
        path = os.path.join(harness.PLUGIN_DIR, "hello.so")
        self.assertTrue(self.output(rtd, "plugin", "check", path).startswith(f"{path}: ok\n  hello 1.0.0, plugin ABI "))
        # A name without a folder is taken from here.
        self.assertIn("hello 1.0.0", self.output(rtd, "plugin", "check", "hello.so", cwd=harness.PLUGIN_DIR))
        self.assertIn("plugin_not_elf", self.rtctl(rtd, "plugin", "check", rtd.config_file, status=1).stderr)
        self.assertIn("plugin_not_found", self.rtctl(rtd, "plugin", "check", "/nonexistent.so", status=5).stderr)


class ConfigTest(RtctlTest):
    def test_check(self):
        rtd = self.start(CONFIG)
        self.assertEqual(self.output(rtd, "config", "check"), f"{rtd.config_file}: ok\n")
        path = os.path.join(rtd.folder, "bad.json")
        with open(path, "w", encoding="utf-8") as file:
            file.write('{\n  "http": {"listn": ""},\n  "tasks": {"x": {"plugin": "nothing", "entry": 7}}\n}\n')
        result = self.rtctl(rtd, "config", "check", path, status=6)
        self.assertRegex(result.stdout, rf"(?m)^{path}:2:\d+: /http/listn: .*listen")
        self.assertRegex(result.stdout, rf"(?m)^{path}:3:\d+: /tasks/x/entry: ")
        self.assertRegex(result.stderr, rf"\A{path}: \d+ problems\n\Z")
        found = json.loads(self.rtctl(rtd, "config", "check", path, "--json", status=6).stdout)
        self.assertFalse(found["ok"])

    def test_show_and_reload(self):
        rtd = self.start(CONFIG)
        self.assertEqual(list(json.loads(self.output(rtd, "config", "show"))["tasks"]), ["greeter"])
        second = {"plugin": "test-behaviour", "entry": "wait_for_stop"}
        rtd.write_config({**CONFIG, "tasks": {**CONFIG["tasks"], "second": second}})
        text = self.output(rtd, "config", "reload", "--wait", "--expect-generation", "1")
        self.assertIn("+ /tasks/second\n", text)
        self.assertIn("generation 2: 1 added, 0 changed, 0 removed", text)
        self.assertEqual(rtd.task("second")["state"], "running")
        self.rtctl(rtd, "config", "reload", "--expect-generation", "1", status=1)
        rtd.write_config({**CONFIG, "tasks": {"greeter": {"plugin": "hello"}}})
        result = self.rtctl(rtd, "config", "reload", "--wait", status=6)
        self.assertRegex(result.stdout, rf"(?m)^{rtd.config_file}:\d+:\d+: /tasks/greeter")
        self.assertIn("nothing was changed", result.stderr)
        self.assertEqual(sorted(rtd.tasks()), ["greeter", "second"])


class ChangeTest(RtctlTest):
    def test_restart_of_a_sandbox(self):
        rtd = self.start(CONFIG)
        before = rtd.host_pid()
        self.assertIn("sandbox default restarted: up, process ", self.output(rtd, "sandbox", "restart", "default"))
        self.assertNotEqual(rtd.host_pid(), before)
        rtd.wait_task("greeter", "running")

    def test_log_level(self):
        rtd = self.start(CONFIG)
        self.assertEqual(self.output(rtd, "log-level", "warn"), "log level is warn\n")

    @unittest.skipIf(os.geteuid() != 0, "needs root to become another user")
    def test_roles(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        os.chmod(folder.name, 0o755)
        program = shutil.copy(RTCTL, folder.name)
        config = {**CONFIG, "control": {"socket": os.path.join(folder.name, "s"), "mode": "0666"}}

        def as_nobody(rtd, *words, status):
            rtd.socket = config["control"]["socket"]
            return self.rtctl(rtd, *words, status=status, program=program, user=NOBODY, group=NOBODY, extra_groups=[],
                              cwd="/")

        rtd = harness.Rtd({}, ())
        self.addCleanup(rtd.remove)
        rtd.socket = config["control"]["socket"]
        rtd.write_config(config)
        self.addCleanup(self.finish, rtd)
        rtd.start()
        self.assertIn("control.roles", as_nobody(rtd, "ps", status=4).stderr)
        config["control"]["roles"] = [{"role": "view", "uid": NOBODY}]
        rtd.write_config(config)
        rtd.call("config.reload", wait=True)
        self.assertIn("greeter", as_nobody(rtd, "ps", status=0).stdout)
        self.assertIn("operate", as_nobody(rtd, "task", "stop", "greeter", status=4).stderr)
        os.chmod(config["control"]["socket"], 0o600)
        self.assertIn("Permission denied", as_nobody(rtd, "ps", status=4).stderr)


class CompletionTest(RtctlTest):
    def test_live_names(self):
        rtd = self.start(CONFIG)

        def names(*words):
            # Half a second after it has asked rtd it goes on without names.
            return harness.wait_for(lambda: (said := self.output(rtd, "__complete", *words)) != ":4\n" and said, "names")

        self.assertEqual(names("task", "stop", ""), "greeter\trunning, hello\n:4\n")
        self.assertEqual(names("task", "run", "h"), "hello\tGreets every TCP connection\n:4\n")
        self.assertTrue(names("task", "run", "hello", "").startswith("serve\t"))


if __name__ == "__main__":
    unittest.main()
