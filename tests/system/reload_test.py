#!/usr/bin/env python3
"""Reloads of the configuration: all or nothing, only what changed, every mistake with its place."""
import json
import os
import signal
import socket
import sys
import time
import unittest

import harness
from harness import wait_for


class ReloadCase(harness.RtdTestCase):
    def setUp(self):
        super().setUp()
        self.plugin = harness.fake_plugin(self.make_folder())

    def base(self, **tasks):
        return {"plugins": {"fake": {"path": self.plugin}},
                "tasks": {name: {"plugin": "fake", "entry": "serve", **more} for name, more in tasks.items()}}

    def start_base(self, config, body="    pass", **named):
        self.rtd = self.start(config, fake=body, **named)
        self.binary = os.path.join(self.rtd.folder, "fake-rtd-host")
        return self.rtd

    def write(self, config):
        self.rtd.write_config({**config, "host_binary": self.binary})

    def reload(self, config, **params):
        self.write(config)
        return self.rtd.call("config.reload", **params)

    def picture(self):
        """All that must not change when a reload is refused."""
        rtd = self.rtd
        return {
            "generation": rtd.call("config.show")["generation"],
            "config": rtd.call("config.show")["config"],
            "hosts": {s["name"]: s["pid"] for s in rtd.call("sandbox.list")["sandboxes"]},
            "tasks": {name: (task["state"], task["started_at"]) for name, task in rtd.tasks().items()},
            "http": rtd.call("status")["http"],
        }


class OnlyWhatChanged(ReloadCase):
    def test_nothing(self):
        config = self.base(a={}, b={})
        self.start_base(config)
        before = self.picture()
        result = self.reload(config)
        self.assertEqual(result["generation"], 2)
        self.assertEqual((result["changes"]["added"], result["changes"]["removed"], result["changes"]["changed"]), ([], [], []))
        after = self.picture()
        self.assertEqual({**before, "generation": 2}, after)

    def test_tasks_added_removed_and_changed(self):
        self.start_base(self.base(stays={}, changes={"params": {"n": 1}}, goes={}))
        before = self.rtd.tasks()
        host = self.rtd.host_pid()
        result = self.reload(self.base(stays={}, changes={"params": {"n": 2}}, comes={}))
        self.assertEqual(result["changes"]["added"], ["/tasks/comes"])
        self.assertEqual(result["changes"]["removed"], ["/tasks/goes"])
        self.assertEqual(result["changes"]["changed"], ["/tasks/changes"])
        after = self.rtd.tasks()
        self.assertEqual(sorted(after), ["changes", "comes", "stays"])
        self.assertEqual({task["state"] for task in after.values()}, {"running"})
        self.assertEqual(after["stays"]["started_at"], before["stays"]["started_at"])
        self.assertNotEqual(after["changes"]["started_at"], before["changes"]["started_at"])
        self.assertEqual(self.rtd.call("task.inspect", name="changes")["params"], {"n": "2"})
        self.assertEqual(self.rtd.host_pid(), host)
        event = self.rtd.events("config_reloaded")[-1]
        self.assertEqual(event["changes"], result["changes"])

    def test_a_restart_policy_changes_without_a_restart(self):
        self.start_base(self.base(a={}))
        before = self.rtd.task("a")["started_at"]
        self.reload(self.base(a={"restart": {"policy": "always", "max_restarts": 7}, "stop_timeout": "9s"}))
        self.assertEqual(self.rtd.task("a")["started_at"], before)
        shown = self.rtd.call("task.inspect", name="a")
        self.assertEqual((shown["restart"]["policy"], shown["stop_timeout_seconds"]), ("always", 9))

    def test_weight_and_class_change_without_a_restart(self):
        self.start_base(self.base(a={"class": "batch"}, b={"weight": 7}),
                        body="    def on_task_start(self, params):\n"
                             "        self.log('start ' + json.dumps([params[k] for k in ('id', 'weight', 'class')]))\n"
                             "        return super().on_task_start(params)\n"
                             "    def on_task_share(self, params):\n"
                             "        self.log('share ' + json.dumps([params[k] for k in ('id', 'weight', 'class')]))\n"
                             "        return {}\n")
        # What a host writes comes by a pipe of its own.
        for start in ('start ["a", 1, "normal"]', 'start ["b", 7, "normal"]'):
            wait_for(lambda start=start: start in self.rtd.log(), start)
        before = self.rtd.task("a")["started_at"]
        self.reload(self.base(a={"class": "latency", "weight": 300}, b={"weight": 7}))
        wait_for(lambda: 'share ["a", 300, "latency"]' in self.rtd.log(), "the host is told")
        self.assertEqual(self.rtd.task("a")["started_at"], before)
        self.assertNotIn('share ["b"', self.rtd.log())
        shown = self.rtd.call("task.inspect", name="a")
        self.assertEqual((shown["weight"], shown["class"]), (300, "latency"))

    def test_autostart(self):
        self.start_base(self.base(a={"autostart": False}, b={}))
        self.assertEqual(self.rtd.task("a")["state"], "stopped")
        self.reload(self.base(a={}, b={"autostart": False}))
        self.assertEqual(self.rtd.task("a")["state"], "running")
        self.assertEqual(self.rtd.task("b")["state"], "running", "left alone")

    def test_sandboxes(self):
        config = self.base(a={}, b={"sandbox": "second"}, c={"sandbox": "third"})
        config["sandboxes"] = {"default": {}, "second": {}, "third": {}}
        self.start_base(config)
        before = self.picture()
        changed = self.base(a={}, b={"sandbox": "second"}, d={"sandbox": "fourth"})
        changed["sandboxes"] = {"default": {}, "second": {"limits": {"open_files": 500}}, "fourth": {}}
        self.reload(changed)
        # The reload does not wait for a sandbox whose tasks have not changed.
        wait_for(lambda: self.rtd.sandbox("second")["state"] == "up"
                 and self.rtd.host_pid("second") != before["hosts"]["second"], "another host")
        after = self.picture()
        self.assertEqual(sorted(after["hosts"]), ["default", "fourth", "second"])
        self.assertEqual(after["hosts"]["default"], before["hosts"]["default"])
        self.assertNotEqual(after["hosts"]["second"], before["hosts"]["second"])
        self.assertEqual(after["tasks"]["a"], before["tasks"]["a"])
        self.rtd.wait_task("b", "running")
        self.assertEqual(self.rtd.task("d")["state"], "running")
        self.assertEqual(self.rtd.sandbox("second")["last_exit"]["reason"], "config")
        with open(f"/proc/{self.rtd.host_pid('second')}/limits", encoding="ascii") as file:
            self.assertRegex(file.read(), r"Max open files +500 +500")

    def test_live_settings_of_a_sandbox(self):
        self.start_base(self.base(a={}), body="    def on_set(self, params):\n        self.log('set ' + json.dumps(params))\n"
                                              "        return {}\n")
        host = self.rtd.host_pid()
        config = self.base(a={})
        config["sandboxes"] = {"default": {"max_procs": 3, "stop_timeout": "3s"}}
        self.reload(config)
        self.assertEqual(self.rtd.host_pid(), host)
        wait_for(lambda: '"max_procs": 3' in self.rtd.log(), "the host is told")

    def test_a_task_that_moves(self):
        config = self.base(a={})
        config["sandboxes"] = {"default": {}, "other": {}}
        self.start_base(config)
        config["tasks"]["a"]["sandbox"] = "other"
        self.reload(config)
        task = self.rtd.task("a")
        self.assertEqual((task["state"], task["sandbox"]), ("running", "other"))

    def test_another_plugin_under_the_same_name(self):
        config = self.base(a={}, b={})
        other = harness.fake_plugin(self.make_folder(), "other")
        config["plugins"]["other"] = {"path": other}
        config["tasks"]["b"]["plugin"] = "other"
        self.start_base(config)
        before = self.picture()
        config["plugins"]["other"]["path"] = harness.fake_plugin(self.make_folder(), "other")
        self.reload(config)
        after = self.picture()
        self.assertEqual(after["hosts"], before["hosts"])
        self.assertEqual(after["tasks"]["a"], before["tasks"]["a"])
        self.assertNotEqual(after["tasks"]["b"], before["tasks"]["b"])
        self.assertEqual(after["tasks"]["b"][0], "running")

    def test_a_plugin_that_was_installed_anew(self):
        self.start_base(self.base(a={}))
        before = self.rtd.task("a")["started_at"]
        fresh = harness.fake_plugin(os.path.dirname(self.plugin), "fresh")
        os.rename(fresh, self.plugin)
        result = self.reload(self.base(a={}))
        self.assertIn("/plugins/fake", result["changes"]["changed"])
        self.assertNotEqual(self.rtd.task("a")["started_at"], before)

    def test_a_plugin_that_cannot_be_unloaded(self):
        self.start_base(self.base(a={}), body="    def on_plugin_unload(self, params):\n"
                                              "        raise Refusal('busy', 'somebody holds it')\n")
        host = self.rtd.host_pid()
        config = self.base(a={})
        config["plugins"]["fake"]["path"] = harness.fake_plugin(self.make_folder())
        self.reload(config)
        self.rtd.wait_task("a", "running")
        self.assertNotEqual(self.rtd.host_pid(), host)
        self.assertEqual(self.rtd.call("plugin.list")["plugins"][0]["path"], config["plugins"]["fake"]["path"])

    def test_tasks_started_by_hand(self):
        self.start_base({**self.base(a={}), "sandboxes": {"default": {}, "second": {}}})
        self.rtd.call("task.run", name="stays", plugin="fake", entry="serve")
        self.rtd.call("task.run", name="loses", plugin="fake", entry="serve", sandbox="second")
        before = self.rtd.task("stays")["started_at"]
        self.reload(self.base(a={}))
        self.assertEqual(self.rtd.task("stays")["started_at"], before)
        self.assertEqual(self.rtd.task("loses")["state"], "stopped")
        # The configuration takes a name over.
        self.reload(self.base(a={}, stays={}))
        task = self.rtd.task("stays")
        self.assertEqual((task["state"], task["configured"]), ("running", True))

    def test_http_moves(self):
        port = harness.free_port()
        self.start_base({**self.base(a={}), "http": {"listen": f"127.0.0.1:{port}"}})
        self.assertEqual(self.rtd.http_get("/livez")[0], 200)
        other = harness.free_port()
        self.reload({**self.base(a={}), "http": {"listen": f"127.0.0.1:{other}"}})
        self.assertEqual(self.rtd.call("status")["http"], f"127.0.0.1:{other}")
        self.assertEqual(self.rtd.http_get("/livez")[0], 200)
        with self.assertRaises(OSError):
            socket.create_connection(("127.0.0.1", port), 1)
        # The same port at another address: the former listener has to go first.
        self.reload({**self.base(a={}), "http": {"listen": f"0.0.0.0:{other}"}})
        socket.create_connection(("127.0.0.1", other), 5).close()
        self.reload({**self.base(a={}), "http": {"listen": ""}})
        self.assertEqual(self.rtd.call("status")["http"], "")
        with self.assertRaises(OSError):
            socket.create_connection(("127.0.0.1", other), 1)

    def test_the_control_socket_moves_and_roles_change(self):
        self.start_base(self.base(a={}))
        moved = os.path.join(self.rtd.folder, "moved.sock")
        self.reload({**self.base(a={}), "control": {"socket": moved, "roles": [{"role": "view", "uid": 4711}]}})
        self.assertFalse(os.path.exists(self.rtd.socket))
        self.assertEqual(self.rtd.call("status")["pid"], self.rtd.process.pid, "connections live on")
        with harness.Client(moved) as client:
            self.assertEqual(client.call("config.show")["generation"], 2)

    def test_log_level_and_format(self):
        self.start_base(self.base(a={}))
        self.reload({**self.base(a={}), "log": {"level": "warn", "format": "json"}})
        self.rtd.call("task.restart", name="a")
        self.reload({**self.base(a={}), "log": {"level": "info", "format": "json"}})
        lines = wait_for(lambda: [line for line in self.rtd.log().splitlines() if line.startswith("{")], "lines of JSON")
        self.assertIn("generation 3", json.loads(lines[0])["message"])


class AllOrNothing(ReloadCase):
    def refuse(self, config, raw=False, **params):
        """A reload that must be refused and change nothing; returns the problems."""
        before = self.picture()
        if raw:
            self.rtd.write_config(config, raw=True)
        else:
            self.write(config)
        error = self.refused("invalid_config", self.rtd.call, "config.reload", **params)
        self.assertEqual(self.picture(), before)
        self.assertIn("nothing changed", str(error))
        self.assertEqual(self.rtd.metric("rtd_config_last_reload_successful"), 0)
        self.assertEqual(self.rtd.events()[-1]["kind"], "config_rejected")
        return error.data["problems"]

    MISTAKES = [
        ("/tasks/a/plugn", '"plugin"', '"plugn"', "did you mean"),
        ("/tasks/a/entry", '"entry": "serve"', '"entry": 5', "must be a string"),
        ("/tasks/a/sandbox", '"sandbox": "default"', '"sandbox": "defualt"', "defualt"),
        ("/tasks/a/plugin", '"plugin": "fake"', '"plugin": "fakee"', "fakee"),
        ("/tasks/a/stop_timeout", '"stop_timeout": "6s"', '"stop_timeout": "5 parsecs"', "5 parsecs"),
        ("/tasks/a/restart/policy", '"policy": "always"', '"policy": "sometimes"', "sometimes"),
        ("/http/listen", '"listen": "127.0.0.1:0"', '"listen": "127.0.0.1:99999"', "99999"),
        ("/log/level", '"level": "debug"', '"level": "loud"', "loud"),
        ("/sandboxes/default/limits/open_files", '"open_files": 1000', '"open_files": -3', "-3"),
        ("/control/mode", '"mode": "0660"', '"mode": "rw"', "rw"),
        ("", '"tasks": {', '"tasks": {,', "1:1"),
    ]

    def test_ten_mistakes_each_with_its_place(self):
        config = self.base(a={"sandbox": "default", "stop_timeout": "6s", "restart": {"policy": "always"}})
        config["control"] = {"mode": "0660"}
        config["sandboxes"] = {"default": {"limits": {"open_files": 1000}}}
        self.start_base(config)
        self.write(config)
        with open(self.rtd.config_file, encoding="utf-8") as file:
            good = file.read()
        for pointer, right, wrong, word in self.MISTAKES:
            self.assertEqual(good.count(right), 1, right)
            bad = good.replace(right, wrong)
            at = bad.index(wrong)
            line = bad.count("\n", 0, at) + 1
            problems = self.refuse(bad, raw=True)
            if pointer:
                problem = next((p for p in problems if p["pointer"] == pointer), None)
                self.assertIsNotNone(problem, (pointer, problems))
                self.assertIn(word, problem["message"] + problem["hint"])
            else:
                problem = problems[0]
            self.assertEqual(problem["line"], line, problem)
            self.assertGreater(problem["column"], 0)
        # All of them at once are all reported.
        bad = good
        for pointer, right, wrong, _ in self.MISTAKES[1:-1]:
            bad = bad.replace(right, wrong)
        pointers = {problem["pointer"] for problem in self.refuse(bad, raw=True)}
        self.assertLessEqual({pointer for pointer, *_ in self.MISTAKES[1:-1]}, pointers)
        # And the good one is taken after all that.
        self.rtd.write_config(good, raw=True)
        self.assertEqual(self.rtd.call("config.reload")["generation"], 2)
        self.assertEqual(self.rtd.metric("rtd_config_last_reload_successful"), 1)

    def test_a_file_that_is_gone(self):
        self.start_base(self.base(a={}))
        before = self.picture()
        os.remove(self.rtd.config_file)
        self.refused("invalid_config", self.rtd.call, "config.reload")
        self.assertEqual(self.picture(), before)

    def test_a_plugin_that_does_not_load(self):
        self.start_base(self.base(a={}), body="    def on_plugin_load(self, params):\n"
                                              "        if 'bad' in params['path']: raise Refusal('plugin_not_elf', 'no ELF')\n"
                                              "        return super().on_plugin_load(params)\n")
        bad = harness.fake_plugin(self.make_folder(), "bad")
        changed = self.base(a={"params": {"n": 1}}, b={})
        changed["plugins"]["worse"] = {"path": bad}
        changed["tasks"]["b"]["plugin"] = "worse"
        problems = self.refuse(changed)
        self.assertEqual(problems[0]["pointer"], "/plugins/worse")
        self.assertIn("no ELF", problems[0]["message"])
        self.assertGreater(problems[0]["line"], 1)
        # Replacing a good plugin by a bad one.
        changed = self.base(a={})
        changed["plugins"]["fake"]["path"] = bad
        self.refuse(changed)
        # One that ends its host, and one whose file is missing.
        changed["plugins"]["fake"]["path"] = "/nowhere/fake.so"
        self.assertIn("/nowhere/fake.so", self.refuse(changed)[0]["message"])

    def test_a_plugin_that_ends_the_host_that_tries_it(self):
        self.start_base(self.base(a={}), body="    def on_plugin_load(self, params):\n"
                                              "        if 'bad' in params['path']: os.abort()\n"
                                              "        return super().on_plugin_load(params)\n")
        changed = self.base(a={})
        changed["plugins"]["worse"] = {"path": harness.fake_plugin(self.make_folder(), "bad")}
        problems = self.refuse(changed)
        self.assertIn("SIGABRT", problems[0]["message"])

    def test_an_entry_that_is_not_there(self):
        self.start_base(self.base(a={}))
        problems = self.refuse(self.base(a={"entry": "nothing"}, b={"entry": "nil"}))
        self.assertEqual([problem["pointer"] for problem in problems], ["/tasks/a/entry", "/tasks/b/entry"])
        self.assertIn("serve", problems[0]["hint"])

    def test_a_host_that_does_not_start(self):
        self.start_base(self.base(a={}))
        before = self.picture()
        self.rtd.write_config({**self.base(a={}), "host_binary": "/bin/false"})
        error = self.refused("invalid_config", self.rtd.call, "config.reload")
        self.assertEqual(error.data["problems"][0]["pointer"], "/sandboxes/default")
        self.assertEqual(self.picture(), before)

    def test_an_address_in_use(self):
        taken = socket.socket()
        self.addCleanup(taken.close)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = harness.free_port()
        self.start_base({**self.base(a={}), "http": {"listen": f"127.0.0.1:{port}"}})
        problems = self.refuse({**self.base(a={}, b={}), "http": {"listen": f"127.0.0.1:{taken.getsockname()[1]}"}})
        self.assertEqual(problems[0]["pointer"], "/http/listen")
        self.assertEqual(self.rtd.http_get("/livez")[0], 200)
        # Where the old listener has to go before the new one can be tried, it comes back.
        other = socket.socket()
        self.addCleanup(other.close)
        other.bind(("127.0.0.2", port))
        other.listen()
        self.refuse({**self.base(a={}), "http": {"listen": f"0.0.0.0:{port}"}})
        self.assertEqual(self.rtd.http_get("/livez")[0], 200)

    def test_a_control_socket_in_use(self):
        other = self.start(self.base(a={}), fake="    pass")
        self.start_base(self.base(a={}))
        problems = self.refuse({**self.base(a={}), "control": {"socket": other.socket}})
        self.assertEqual(problems[0]["pointer"], "/control/socket")

    def test_old_trouble_is_no_reason_to_refuse(self):
        config = self.base(a={})
        config["plugins"]["gone"] = {"path": "/nowhere/gone.so"}
        self.start_base(config)
        config["tasks"]["b"] = {"plugin": "fake", "entry": "serve"}
        self.reload(config)
        self.assertEqual(self.rtd.task("b")["state"], "running")


class Ways(ReloadCase):
    def test_sighup(self):
        self.start_base(self.base(a={}))
        self.write(self.base(a={}, b={}))
        self.rtd.process.send_signal(signal.SIGHUP)
        wait_for(lambda: self.rtd.call("config.show")["generation"] == 2, "the reload")
        self.rtd.wait_task("b", "running")
        self.rtd.write_config("{", raw=True)
        self.rtd.process.send_signal(signal.SIGHUP)
        wait_for(lambda: self.rtd.events("config_rejected"), "the refusal")
        self.assertEqual(self.rtd.task("b")["state"], "running")

    def test_a_storm_of_signals(self):
        self.start_base(self.base(a={}))
        before = self.rtd.task("a")["started_at"]
        for i in range(200):
            self.write(self.base(a={}, b={"params": {"n": i}}))
            self.rtd.process.send_signal(signal.SIGHUP)
        wait_for(lambda: self.rtd.call("task.inspect", name="b")["params"] == {"n": "199"} if "b" in self.rtd.tasks() else 0,
                 "the last configuration wins")
        self.assertEqual(self.rtd.task("a")["started_at"], before)

    def test_without_waiting(self):
        self.start_base(self.base(a={}))
        self.assertEqual(self.reload(self.base(a={}, b={}), wait=False)["generation"], 2)
        self.rtd.wait_task("b", "running")

    def test_generations(self):
        self.start_base(self.base(a={}))
        error = self.refused("conflict", self.reload, self.base(a={}, b={}), expect_generation=7)
        self.assertEqual(error.data["generation"], 1)
        self.assertEqual(self.reload(self.base(a={}, b={}), expect_generation=1)["generation"], 2)

    def test_one_at_a_time(self):
        self.start_base(self.base(a={}), body="    def on_host_configure(self, params):\n"
                                              "        while os.path.exists(sys.argv[0] + '.holds'): time.sleep(0.01)\n"
                                              "        return super().on_host_configure(params)\n")
        config = self.base(a={})
        config["sandboxes"] = {"default": {}, "second": {}}
        self.write(config)
        holds = self.binary + ".holds"
        with open(holds, "w", encoding="ascii"):
            pass
        first = self.rtd.client.send("config.reload")
        with self.rtd.connect() as other:
            self.refused("busy", other.call, "config.reload")
        os.remove(holds)
        self.assertEqual(self.rtd.client.answer(first)["generation"], 2)

    def test_a_sandbox_that_does_not_come_up_does_not_hold_the_next_reload(self):
        self.start_base(self.base(a={}))
        # The trial host is good; the one that follows is not.
        os.rename(self.binary, self.binary + ".good")
        with open(self.binary, "w", encoding="ascii") as file:
            file.write(f"#!/bin/sh\ntest -e {self.rtd.folder}/tried && exit 3\ntouch {self.rtd.folder}/tried\n"
                       f"exec {self.binary}.good \"$@\"\n")
        os.chmod(self.binary, 0o755)
        config = self.base(a={}, b={"sandbox": "second"})
        config["sandboxes"] = {"default": {}, "second": {"restart": {"policy": "never"}}}
        self.assertEqual(self.reload(config)["generation"], 2, "it is committed; the rest is supervision")
        self.assertEqual(self.rtd.task("b")["state"], "starting")
        self.assertEqual(self.rtd.sandbox("second")["state"], "down")
        self.assertEqual(self.reload(self.base(a={}))["generation"], 3)


if __name__ == "__main__":
    unittest.main()
