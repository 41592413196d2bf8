#!/usr/bin/env python3
"""What each command of rtctl asks of rtd, and what it prints."""
import base64
import json
import os
import subprocess
import tempfile
import time
import unittest

import answers
from client import RTCTL, environment, rtctl
from fake_rtd import Error, FakeRtd


class CommandTest(unittest.TestCase):
    maxDiff = None

    def serve(self, given=None, **options):
        server = FakeRtd(given, **options)
        self.addCleanup(server.close)
        return server

    def check(self, result, status=0, stderr=""):
        self.assertEqual(result.stderr, stderr)
        self.assertEqual(result.returncode, status, result.stdout)
        return result.stdout


class StatusTest(CommandTest):
    def test_shows_the_daemon_and_its_sandboxes(self):
        text = self.check(rtctl(self.serve({"status": answers.STATUS}), "status"))
        self.assertEqual(text, """\
● rtd 0.1.0  ready
  Process        77, up 27h
  Config         /etc/rtd/rtd.json, generation 3, loaded 2026-01-02 03:04:05.678
  Metrics        http://127.0.0.1:9180/metrics
  Tasks          2: 1 running, 1 failed
  Green threads  1012

NAME     STATE        PID  RESTARTS  UPTIME  PROCS  GREEN       RSS  LAST EXIT
batch    backoff 3s     -        20       -      0      0       0 B  exit 1 at 2026-01-02 03:04:05.678
default  up          4242         2     26h      4   1012  64.2 MiB  signal SIGSEGV at 2026-01-02 03:04:05.678
""")

    def test_not_ready_is_status_3(self):
        status = dict(answers.STATUS, ready=False, sandboxes=[],
                      checks=[{"name": "sandbox batch", "ok": False, "detail": "backing off"}])
        server = self.serve({"status": status})
        text = self.check(rtctl(server, "status"), 3, "No sandboxes.\n")
        self.assertIn("not ready", text)
        self.assertIn("Failing        sandbox batch: backing off", text)
        self.assertEqual(self.check(rtctl(server, "status", "-q"), 3), "")
        self.assertEqual(json.loads(self.check(rtctl(server, "status", "--json"), 3)), status)

    def test_names_the_tasks_that_are_tried_again_or_given_up(self):
        tasks = [answers.ended("a", "backoff", "failed", "no route", next_start_at=answers.AT, backoff_seconds=3.2),
                 answers.ended("b", "fatal", "failed", "bad\x1b[2J", next_start_at=None)]
        text = self.check(rtctl(self.serve({"status": dict(answers.STATUS, troubled_tasks=tasks)}), "status"))
        self.assertIn("  Tried again    a at 2026-01-02 03:04:05.678: no route\n"
                      "  Given up       b: bad\\x1b[2J\n", text)

    def test_says_that_a_reload_failed(self):
        config = dict(answers.STATUS["config"], last_reload_ok=False)
        text = self.check(rtctl(self.serve({"status": dict(answers.STATUS, config=config)}), "status"))
        self.assertIn("the last reload was refused", text)

    def test_version(self):
        server = self.serve({"version": {"version": "0.9.0", "protocol": 1, "abi": 3, "compiler": "clang 14"}})
        text = self.check(rtctl(server, "version"))
        self.assertRegex(text, r"\Artctl \S+, control protocol 1, .*\nrtd   0.9.0, control protocol 1, plugin ABI 3, clang 14\n\Z")
        both = json.loads(self.check(rtctl(server, "version", "--json")))
        self.assertEqual(both["server"]["abi"], 3)
        self.assertEqual(both["client"]["protocol"], 1)
        self.assertEqual(len(self.check(rtctl("/nonexistent", "version", "--client")).splitlines()), 1)


class ListTest(CommandTest):
    def test_ps(self):
        server = self.serve({"ps": {"tasks": list(reversed(answers.TASKS))}})
        self.assertEqual(self.check(rtctl(server, "ps")), """\
NAME     SANDBOX  PLUGIN  STATE    RESTARTS    AGE     CPU  GREEN  STATUS
greeter  default  hello   running         0  2m30s  12.50s   1001  1000 connections
probe    default  prober  failed          3      -      0s      0  cannot resolve 例え.example
""")
        self.assertEqual(server.requests, [("ps", {})])

    def test_ps_of_a_sandbox(self):
        server = self.serve({"ps": {"tasks": []}})
        self.assertEqual(self.check(rtctl(server, "ps", "--sandbox", "batch"), stderr="No tasks in sandbox batch.\n"), "")
        self.assertEqual(server.requests, [("ps", {"sandbox": "batch"})])
        self.assertEqual(self.check(rtctl(server, "ps", "-q")), "", "with -q an empty list is silent")

    def test_formats_of_lists(self):
        server = self.serve({"ps": {"tasks": list(reversed(answers.TASKS))}})
        self.assertEqual(self.check(rtctl(server, "ps", "-q")), "greeter\nprobe\n")
        self.assertEqual(len(self.check(rtctl(server, "ps", "--no-headers")).splitlines()), 2)
        for words in (["ps", "-o", "wide"], ["ps", "-w"], ["task", "ls", "--wide"]):
            text = self.check(rtctl(server, *words))
            self.assertIn("ENTRY", text)
            self.assertIn("failed: cannot resolve 例え.example at 2026-01-02 03:04:05.678", text)
        self.assertEqual(json.loads(self.check(rtctl(server, "ps", "--json"))), {"tasks": answers.TASKS})
        lines = self.check(rtctl(server, "ps", "-o", "jsonl")).splitlines()
        self.assertEqual([json.loads(line) for line in lines], answers.TASKS)

    def test_backoff_shows_the_wait(self):
        waiting = answers.ended("a", "backoff", "failed", "no such host", backoff_seconds=12.7)
        text = self.check(rtctl(self.serve({"ps": {"tasks": [waiting]}}), "ps"))
        self.assertRegex(text, r"a +default +hello +backoff 12s +0 .* no such host\n")

    def test_sandboxes(self):
        server = self.serve({"sandbox.list": {"sandboxes": answers.SANDBOXES},
                             "sandbox.restart": {"sandbox": answers.SANDBOXES[0]}})
        self.assertEqual(self.check(rtctl(server, "sandbox", "ls", "-q")), "batch\ndefault\n")
        text = self.check(rtctl(server, "sandbox", "inspect", "default"))
        self.assertIn("SIGSEGV (SEGV_MAPERR) at 0x0, in task greeter, plugin hello, green thread 7\n", text)
        self.assertIn("\n  serve+0x1f (hello.so)\n", text)
        self.assertEqual(self.check(rtctl(server, "sandbox", "restart", "default")),
                         "sandbox default restarted: up, process 4242\n")
        self.check(rtctl(server, "sandbox", "inspect", "other"), 5,
                   'rtctl: there is no sandbox "other"; `rtctl sandbox ls` lists them\n')

    def test_plugins(self):
        server = self.serve({"plugin.list": {"plugins": [
            {"name": "hello", "path": "/x/hello.so", "version": "1.0.0", "description": "Greets", "sandbox": "default",
             "abi": 1, "entries": [{"name": "serve", "description": "d"}, "dump"], "state": "loaded", "error": ""},
            {"name": "bad", "path": "/x/bad.so", "version": "", "description": "", "sandbox": "default", "abi": 0,
             "entries": [], "state": "refused", "error": "built for ABI 9"}]}})
        self.assertEqual(self.check(rtctl(server, "plugin", "ls")), """\
NAME   VERSION  SANDBOX  STATE    ENTRIES     DESCRIPTION
bad    -        default  refused  -           built for ABI 9
hello  1.0.0    default  loaded   serve,dump  Greets
""")

    def test_gc_and_stacks(self):
        server = self.serve({
            "gc.run": {"sandboxes": [{"name": "default", "live_bytes": 2048, "heap_bytes": 4096,
                                      "stack_bytes": 123456789, "malloc_bytes": 0, "duration_seconds": 0.0123}]},
            "stacks": {"text": "goroutine 1 [running]:\nf\x1b[31m()\n\t/x.cpp:1"}})
        self.assertEqual(self.check(rtctl(server, "gc", "run", "--sandbox", "default")),
                         "SANDBOX     LIVE     HEAP     STACKS  MALLOC    TIME\n"
                         "default  2.0 KiB  4.0 KiB  117.7 MiB     0 B  12.3ms\n")
        self.assertEqual(self.check(rtctl(server, "stacks", "--task", "greeter", "-n", "5")),
                         "goroutine 1 [running]:\nf\\x1b[31m()\n\t/x.cpp:1\n")
        self.assertEqual(server.requests, [("gc.run", {"sandbox": "default"}), ("stacks", {"task": "greeter", "limit": 5})])

    def test_collectors(self):
        server = self.serve({"gc.stats": {"sandboxes": [answers.COLLECTOR]}, "gc.set": {"sandboxes": ["a", "default"]}})
        self.assertEqual(self.check(rtctl(server, "gc", "stats")), """\
sandbox default
  percent           100
  memory limit      none
  live              2.0 MiB, now 3.0 MiB, goal 4.0 MiB
  cycles            7: growth 4, forced 2, time 0, task limit 1, task end 0
  now               idle
  CPU time          background 1.50s, idle 0s, assist 250ms, stopped 12.3ms, 1.5% of all
  time to stop      p50 <= 1us, p99 <= 1ms, all <= 1ms
  pause, begin      p50 <= 1us, p99 more, all more
  pause, end        -
  roots             stacks 64.0 KiB, globals 1.0 MiB
  refused           by task limits 3, for want of memory 0
""")
        said = "set in a, default, until the host starts anew\n"
        self.assertEqual(self.check(rtctl(server, "gc", "percent", "off", "--sandbox", "a")), said)
        self.assertEqual(self.check(rtctl(server, "gc", "percent", "250")), said)
        self.assertEqual(self.check(rtctl(server, "gc", "limit", "512MiB")), said)
        self.assertEqual(self.check(rtctl(server, "gc", "limit", "none")), said)
        self.assertEqual(server.requests[1:], [
            ("gc.set", {"sandbox": "a", "percent": -1}), ("gc.set", {"percent": 250}),
            ("gc.set", {"memory_limit": 512 << 20}), ("gc.set", {"memory_limit": 0})])
        self.check(rtctl(server, "gc", "percent", "5"), 2,
                   'rtctl: "5" is no percentage; give 10 to 1000, or off\n')
        self.check(rtctl(server, "gc", "limit", "512"), 2,
                   'rtctl: "512" is no size; give one such as 512MiB, or none\n')

    def test_heaps(self):
        server = self.serve({"heap.stats": {"sandboxes": [answers.HEAP]}, "heap.why": answers.PATH})
        self.assertEqual(self.check(rtctl(server, "heap", "stats")), """\
sandbox default: 3.0 MiB in 1200 objects, live 2.0 MiB; pages in use 4.0 MiB, idle 1.0 MiB, released 512.0 KiB, tables 96.0 KiB

TASK     PLUGIN     LIVE   IN USE  OBJECTS  ALLOCATED     SOFT     HARD  WAITS  FAILED
alpha    hello   1.0 KiB  8.0 KiB       10    2.0 KiB        -        -      0       0
greeter  hello   1.0 MiB  2.0 MiB     1000   10.0 MiB  4.0 MiB  8.0 MiB      5       1

 SIZE  OBJECTS  ALLOCATED  FREED
   16      100        500    400
  512        2          2      0
large        1          4      3
""")
        self.assertEqual(self.check(rtctl(server, "heap", "why", "0xc000")), """\
the word at 0x7f00, in the stack of a green thread 7
  refers to the object at 0x2000 (32 bytes, of task greeter), whose word at offset 8
  refers to the object at 0xc000 (64 bytes), which the address lies in at offset 4
""")
        self.assertEqual(server.requests[1:], [("heap.why", {"address": "0xc000"})])

    def test_profile_of_the_heap(self):
        bytes_of_it = bytes(range(256))
        server = self.serve({"heap.profile": {"sandbox": "a", "profile": base64.b64encode(bytes_of_it).decode()}})
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "heap.pb.gz")
            self.assertEqual(self.check(rtctl(server, "heap", "profile", "cache", "--gc", "--sandbox", "a", "-f", path)),
                             f"profile of sandbox a in {path}: look at it by `go tool pprof {path}`\n")
            with open(path, "rb") as file:
                self.assertEqual(file.read(), bytes_of_it)
            nowhere = os.path.join(folder, "none", "file")
            self.check(rtctl(server, "heap", "profile", "-f", nowhere), 1,
                       f"rtctl: cannot write {nowhere}: No such file or directory\n")
        self.assertEqual(server.requests, [
            ("heap.profile", {"task": "cache", "collect": True, "sandbox": "a"}), ("heap.profile", {})])
        written = subprocess.run([RTCTL, "heap", "profile"], env=environment(server.path), stdin=subprocess.DEVNULL,
                                 capture_output=True, timeout=30, check=True)
        self.assertEqual((written.stdout, written.stderr), (bytes_of_it, b""))
        self.assertEqual(json.loads(self.check(rtctl(server, "heap", "profile", "--json")))["sandbox"], "a")
        wrong = self.serve({"heap.profile": {"sandbox": "a", "profile": "?"}})
        self.check(rtctl(wrong, "heap", "profile"), 1, "rtctl: rtd's answer holds no profile\n")

    def test_log_level(self):
        server = self.serve({"log_level": {"level": "debug"}})
        self.assertEqual(self.check(rtctl(server, "log-level", "debug")), "log level is debug\n")
        self.assertEqual(server.requests, [("log_level", {"level": "debug"})])


class TaskTest(CommandTest):
    def test_run_sends_what_was_given(self):
        server = self.serve({"task.run": {"task": answers.task("x")}})
        text = self.check(rtctl(server, "task", "run", "hello", "serve", "--name", "x", "--sandbox", "batch", "--param",
                                "listen=a:1", "--param", "listen=b:2", "--param", "greeting=a=b", "--restart", "always"))
        self.assertEqual(text, "task x started in sandbox default\n")
        self.assertEqual(server.requests, [("task.run", {
            "plugin": "hello", "entry": "serve", "name": "x", "sandbox": "batch", "restart": "always",
            "params": {"listen": ["a:1", "b:2"], "greeting": "a=b"}})])
        self.assertEqual(self.check(rtctl(server, "task", "run", "hello", "serve", "-q")), "x\n")
        self.assertEqual(server.requests[1], ("task.run", {"plugin": "hello", "entry": "serve"}))

    def wait(self, end, sandboxes=None, words=()):
        server = self.serve({"task.run": {"task": answers.task("x")}, "task.wait": end,
                             "sandbox.list": {"sandboxes": sandboxes or answers.SANDBOXES}})
        result = rtctl(server, "task", "run", "hello", "serve", "--wait", *words)
        self.assertEqual(server.requests[0], ("task.run", {"plugin": "hello", "entry": "serve", "restart": "never"}))
        return result

    def test_run_and_wait(self):
        text = self.check(self.wait({"task": answers.ended("x", "completed", "completed")}))
        self.assertEqual(text, "task x started in sandbox default\ntask x completed\n")

    def test_run_and_wait_for_a_failure(self):
        result = self.wait({"task": answers.ended("x", "failed", "failed", "no \x1bluck")})
        self.check(result, 1, "rtctl: task x failed: no \\x1bluck; see `rtctl logs --task x`\n")

    def test_run_and_wait_for_one_that_was_stopped(self):
        self.assertEqual(self.wait({"task": answers.ended("x", "stopped", "cancelled")}).returncode, 1)

    def test_run_and_wait_for_a_crash(self):
        self.assertEqual(self.wait({"task": answers.ended("x", "failed", "crashed", "its host")}).returncode, 139)
        exits = dict(answers.SANDBOXES[0], last_exit=dict(answers.SANDBOXES[0]["last_exit"], signal="SIGKILL"))
        self.assertEqual(self.wait({"task": answers.ended("x", "failed", "host", "its host")}, [exits]).returncode, 137)
        exits["last_exit"]["at"] = "2026-01-02T04:04:05.678Z"
        self.assertEqual(self.wait({"task": answers.ended("x", "failed", "host", "")}, [exits]).returncode, 1,
                         "an end of the host an hour later is another one")

    def test_run_and_wait_too_long(self):
        def forever(_):
            time.sleep(30)

        start = time.monotonic()
        result = self.wait(forever, words=["--timeout", "3s"])  # the answer to task.run comes within it on a busy machine
        self.assertLess(time.monotonic() - start, 20)
        self.check(result, 124, "rtctl: task x has not ended in time; it goes on; "
                                "`rtctl task wait x` waits on, `rtctl task stop x` ends it\n")

    def test_run_and_wait_for_what_cannot_run(self):
        self.check(self.wait(Error("internal", "boom")), 125, "rtctl: boom\n")
        server = self.serve({"task.run": Error("not_found", "there is no plugin \"hello\"", hint="plugin.list")})
        self.check(rtctl(server, "task", "run", "hello", "serve", "--wait"), 125,
                   'rtctl: there is no plugin "hello"; plugin.list\n')
        self.check(rtctl(server, "task", "run", "hello", "serve"), 5, 'rtctl: there is no plugin "hello"; plugin.list\n')
        self.assertEqual(rtctl("/nonexistent", "task", "run", "a", "b", "--wait").returncode, 125)
        self.assertEqual(rtctl("/nonexistent", "task", "run", "a", "b", "--wait", "--param", "x").returncode, 2)

    def test_waits_without_a_limit_of_its_own(self):
        self.check(rtctl(self.serve({"task.wait": {"task": answers.ended("x", "stopped", "cancelled")}}), "task", "wait", "x"))

    def test_stop_start_restart(self):
        server = self.serve({
            "task.stop": lambda p: Error("not_found", "there is no task \"b\"") if p["name"] == "b" else
            {"task": answers.ended(p["name"], "stopped", "cancelled")},
            "task.start": {"task": answers.task("a")}, "task.restart": {"task": answers.task("a")}})
        result = rtctl(server, "task", "stop", "a", "b", "c", "--grace", "1m30s")
        self.assertEqual(self.check(result, 5, 'rtctl: there is no task "b"\n'), "task a stopped\ntask c stopped\n",
                         "one failure does not keep the others from being stopped")
        self.assertEqual(server.requests[0], ("task.stop", {"name": "a", "grace_seconds": 90}))
        self.assertEqual(self.check(rtctl(server, "task", "start", "a")), "task a started\n")
        self.check(rtctl(server, "task", "start", "a", "--keep"))
        self.assertEqual(server.requests[-1], ("task.start", {"name": "a", "keep": True}))
        self.check(rtctl(server, "task", "stop", "a", "--now"))
        self.assertEqual(server.requests[-1], ("task.stop", {"name": "a", "now": True}))
        self.assertEqual(self.check(rtctl(server, "task", "restart", "a", "-q")), "")

    def test_names_of_commands_are_good_names(self):
        server = self.serve({"task.stop": {"task": answers.task("ps")}})
        self.check(rtctl(server, "task", "stop", "ps", "task", "stop"))
        self.assertEqual([params["name"] for _, params in server.requests], ["ps", "task", "stop"])

    def test_list_says_what_a_task_waits_for(self):
        waiting = answers.task("web", state="starting", status="", waits="it requires db, which is stopped")
        text = self.check(rtctl(self.serve({"ps": {"tasks": [waiting]}}), "ps"))
        self.assertIn("  waits: it requires db, which is stopped\n", text)

    def test_inspect(self):
        server = self.serve({"task.inspect": {
            "task": dict(answers.TASKS[1], next_start_at=answers.AT), "params": {"listen": ["a", "b"], "n": "3"}, "restart": {"policy": "always"},
            "requires": ["db", "log"], "after": [], "drain_timeout_seconds": 10.0, "cancel_timeout_seconds": 0.0,
            "stop_timeout_seconds": 5.0, "last_stop": "drain",
            "history": [{"time": answers.AT, "state": "starting", "message": ""},
                        {"time": answers.AT, "state": "failed", "message": "boom"}]}})
        text = self.check(rtctl(server, "task", "inspect", "probe"))
        self.assertIn("Plugin         prober, entry serve\n", text)
        self.assertIn("Next start     at 2026-01-02 03:04:05.678\n", text)
        self.assertIn("Requires       db, log\n", text)
        self.assertNotIn("After ", text)
        self.assertRegex(text, r"Stop +drain 10.00s, unwind 5.00s, kill\n")
        self.assertIn("Last stop      ended by drain\n", text)
        self.assertIn("\nParameters\n  listen  a, b\n  n       3\n", text)
        self.assertIn("\nHistory\n  2026-01-02 03:04:05.678  starting  -\n  2026-01-02 03:04:05.678  failed    boom\n", text)


class StreamTest(CommandTest):
    def test_logs(self):
        lines = [answers.LINE, dict(answers.LINE, level="error", source="stderr", task="", plugin="", message="a\x1b[2Jb"),
                 dict(answers.LINE, level="info", source="supervisor", sandbox="", plugin="", task="", message="up")]
        server = self.serve({"logs": {"lines": lines}})
        text = self.check(rtctl(server, "logs", "-n", "5", "--since", "1m30s", "--task", "greeter", "--level", "warn"))
        self.assertEqual(text, """\
2026-01-02 03:04:05.678 warn  default/greeter: hi
2026-01-02 03:04:05.678 error default stderr: a\\x1b[2Jb
2026-01-02 03:04:05.678 info  rtd: up
""")
        self.assertEqual(server.requests, [("logs", {"limit": 5, "follow": False, "since_seconds": 90,
                                                     "task": "greeter", "level": "warn"})])

    def test_since_a_moment(self):
        server = self.serve({"logs": {"lines": []}})
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 600))
        self.check(rtctl(server, "logs", "--since", moment), stderr="No log lines.\n")
        self.assertAlmostEqual(server.requests[0][1]["since_seconds"], 600, delta=30)
        self.assertEqual(rtctl(server, "logs", "--since", "yesterday").returncode, 2)

    def follow(self, server, *words):
        process = subprocess.Popen([RTCTL, *words], env=environment(server.path), stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def test_follows(self):
        later = [("rtd.log", dict(answers.LINE, message="later")), ("rtd.dropped", {"dropped": 3}),
                 ("rtd.log", dict(answers.LINE, message="last"))]
        server = self.serve({"logs": {"lines": [answers.LINE]}}, after={"logs": later})
        process = self.follow(server, "logs", "-f")
        for message in ("hi", "later", "last"):
            self.assertTrue(process.stdout.readline().endswith(f"default/greeter: {message}\n"))
        server.close()
        self.assertEqual(process.wait(10), 7)
        self.assertEqual(process.stderr.read().splitlines()[0], "rtctl: rtctl was too slow: rtd left out 3 lines")

    def test_follows_in_json(self):
        server = self.serve({"events": {"events": [answers.EVENT]}}, after={"events": [("rtd.event", answers.EVENT)]})
        process = self.follow(server, "events", "-f", "--json", "--since-seq", "3")
        for _ in range(2):
            self.assertEqual(json.loads(process.stdout.readline()), answers.EVENT)
        self.assertEqual(server.requests, [("events", {"limit": 100, "follow": True, "since_seq": 3})])

    def test_follows_until_the_reader_has_gone(self):
        server = self.serve({"logs": {"lines": []}}, after={"logs": [("rtd.log", answers.LINE)] * 2000})
        result = subprocess.run(["bash", "-c", f"'{RTCTL}' logs -f | head -n 1"], env=environment(server.path),
                                capture_output=True, text=True, timeout=20, check=True)
        self.assertEqual(result.stderr, "")
        self.assertEqual(len(result.stdout.splitlines()), 1)

    def test_events(self):
        events = [answers.EVENT, dict(answers.EVENT, kind="task_started", task="greeter", message="started")]
        text = self.check(rtctl(self.serve({"events": {"events": events}}), "events"))
        self.assertEqual(text, "2026-01-02 03:04:05.678 sandbox_exited   default: signal SIGSEGV\n"
                               "2026-01-02 03:04:05.678 task_started     default/greeter: started\n")


class ConfigTest(CommandTest):
    PROBLEM = {"pointer": "/tasks/x/entry", "line": 12, "column": 7, "message": "no such entry", "hint": "did you mean serve?"}
    SHOWN = ":12:7: /tasks/x/entry: no such entry (did you mean serve?)\n"

    def test_checks_the_text_of_a_file(self):
        server = self.serve({"config.check": {"ok": False, "problems": [self.PROBLEM]}})
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "rtd.json")
            with open(path, "w", encoding="utf-8") as file:
                file.write('{"ä": 1}')
            result = rtctl(server, "config", "check", path)
            self.assertEqual(self.check(result, 6, f"{path}: 1 problem\n"), path + self.SHOWN)
            self.assertEqual(server.requests, [("config.check", {"text": '{"ä": 1}', "file": path})])
            os.truncate(path, 3 << 20)
            self.assertEqual(rtctl(server, "config", "check", path).returncode, 1)
            self.check(rtctl(server, "config", "check", folder), 1, f"rtctl: cannot read {folder}: it is a directory\n")
            self.check(rtctl(server, "config", "check", folder + "/none"), 5,
                       f"rtctl: cannot read {folder}/none: No such file or directory\n")

    def test_checks_standard_input_and_the_own_file(self):
        server = self.serve({"config.check": {"ok": True, "problems": []},
                             "config.show": {"config": {}, "file": "/etc/rtd/rtd.json", "generation": 3}})
        self.assertEqual(self.check(rtctl(server, "config", "check", "-", stdin="{}")), "<stdin>: ok\n")
        self.assertEqual(server.requests, [("config.check", {"text": "{}"})])
        self.assertEqual(self.check(rtctl(server, "config", "check")), "/etc/rtd/rtd.json: ok\n")
        self.assertEqual(server.requests[-1], ("config.check", {"file": "/etc/rtd/rtd.json"}))

    def test_show(self):
        config = {"http": {"listen": "127.0.0.1:9180"}, "tasks": {}}
        server = self.serve({"config.show": {"config": config, "file": "/etc/rtd/rtd.json", "generation": 3}})
        self.assertEqual(json.loads(self.check(rtctl(server, "config", "show"))), config)
        self.assertEqual(json.loads(self.check(rtctl(server, "config", "show", "--json")))["generation"], 3)

    def test_reload(self):
        server = self.serve({"config.reload": {"generation": 4, "changes": {
            "added": ["/tasks/a"], "removed": ["/tasks/b"], "changed": ["/sandboxes/default"], "unchanged": 5}}})
        text = self.check(rtctl(server, "config", "reload", "--wait", "--expect-generation", "3"))
        self.assertEqual(text, "+ /tasks/a\n~ /sandboxes/default\n- /tasks/b\n"
                               "generation 4: 1 added, 1 changed, 1 removed, 5 unchanged\n")
        self.check(rtctl(server, "config", "reload"))
        self.assertEqual(server.requests, [("config.reload", {"wait": True, "expect_generation": 3}),
                                           ("config.reload", {"wait": False})])

    def test_reload_of_a_bad_file(self):
        server = self.serve({"config.reload": Error("invalid_config", "the config has 1 problem", problems=[self.PROBLEM]),
                             "config.show": {"config": {}, "file": "/etc/rtd/rtd.json", "generation": 3}})
        result = rtctl(server, "config", "reload")
        self.assertEqual(self.check(result, 6, "rtctl: the config has 1 problem; nothing was changed\n"),
                         "/etc/rtd/rtd.json" + self.SHOWN)
        found = json.loads(rtctl(server, "config", "reload", "--json").stdout)
        self.assertEqual(found, {"ok": False, "problems": [self.PROBLEM]})


class PluginCheckTest(CommandTest):
    GOOD = {"ok": True, "kind": "", "message": "", "name": "hello", "version": "1.0.0", "description": "Greets", "abi": 1,
            "entries": [{"name": "serve", "description": "Accepts"}], "thread_locals": ["cache"]}

    def test_good(self):
        server = self.serve({"plugin.check": self.GOOD})
        result = rtctl(server, "plugin", "check", "/x/../y/hello.so")
        self.assertEqual(result.stdout, "/y/hello.so: ok\n  hello 1.0.0, plugin ABI 1\n  Greets\n  entry serve  Accepts\n")
        self.assertIn("thread_local variables", result.stderr)
        self.assertEqual(server.requests, [("plugin.check", {"path": "/y/hello.so"})])
        self.assertEqual(self.check(rtctl(server, "plugin", "check", "/y/hello.so", "-q")), "")

    def test_a_file_that_is_here_is_named_in_full(self):
        server = self.serve({"plugin.check": self.GOOD})
        with tempfile.TemporaryDirectory() as folder:
            open(os.path.join(folder, "a.so"), "w", encoding="utf-8").close()
            subprocess.run([RTCTL, "plugin", "check", "a.so"], env=environment(server.path), cwd=folder, check=True,
                           capture_output=True)
            self.assertEqual(server.requests[0][1]["path"], os.path.join(folder, "a.so"))

    def test_refused(self):
        bad = {"ok": False, "kind": "plugin_abi_mismatch", "message": "built for ABI 9, this is 1"}
        result = rtctl(self.serve({"plugin.check": bad}), "plugin", "check", "/y/bad.so")
        self.check(result, 1, "rtctl: /y/bad.so: refused (plugin_abi_mismatch): built for ABI 9, this is 1\n")
        missing = self.serve({"plugin.check": {"ok": False, "kind": "plugin_not_found", "message": "no such file"}})
        self.assertEqual(rtctl(missing, "plugin", "check", "/y/bad.so", "--json").returncode, 5)


class PluginReplaceTest(CommandTest):
    SITE = {"sandbox": "default", "in_place": True, "former_version": "1.0.0", "version": "2.0.0", "unloaded": True,
            "kept_because": ""}

    def answer(self, **changes):
        return {"plugin": "hello", "path": "/y/hello.so", "tasks": ["web"], "sandboxes": [{**self.SITE, **changes}]}

    def test_replace(self):
        server = self.serve({"plugin.replace": self.answer()})
        result = rtctl(server, "plugin", "replace", "hello", "/x/../y/hello.so", "--watch", "1.5")
        self.assertEqual(self.check(result), "plugin hello 1.0.0 is replaced by 2.0.0 in sandbox default\n")
        self.check(rtctl(server, "plugin", "replace", "hello"))
        self.assertEqual(server.requests, [("plugin.replace", {"name": "hello", "path": "/y/hello.so", "watch_seconds": 1.5}),
                                           ("plugin.replace", {"name": "hello", "watch_seconds": 3})])

    def test_the_old_version_stays(self):
        server = self.serve({"plugin.replace": self.answer(unloaded=False, kept_because="task x holds it", in_place=False)})
        result = rtctl(server, "plugin", "replace", "hello", "/y/hello.so")
        self.assertEqual(result.returncode, 0)
        self.assertIn("in a new host", result.stdout)
        self.assertIn("the old version stays in memory: task x holds it", result.stderr)

    def test_unload(self):
        server = self.serve({"plugin.unload": {"unloaded": [{"sandbox": "default", "version": "1.0.0"}]}})
        self.assertEqual(self.check(rtctl(server, "plugin", "unload", "hello")),
                         "plugin hello 1.0.0 is unloaded from sandbox default\n")
        none = self.serve({"plugin.unload": {"unloaded": []}})
        self.assertEqual(self.check(rtctl(none, "plugin", "unload", "hello")),
                         "no former version of plugin hello is left\n")


if __name__ == "__main__":
    unittest.main()
