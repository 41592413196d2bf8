#!/usr/bin/env python3
"""Limits of tasks as operators see them: what happens at each of them, that it is told and counted, that the others go
on, and that a reload changes them while the task runs.
"""
import os
import resource
import socket
import unittest

import harness
from harness import wait_for

BOMBS = {"test-bombs": {"path": "test_bombs.so"}}


def task(entry, limits=None, **params):
    return {"plugin": "test-bombs", "entry": entry, "restart": {"policy": "never"}, "limits": limits or {},
            "params": {key: str(value) for key, value in params.items()}}


class LimitsTest(harness.RtdTestCase):
    def begin(self, tasks):
        self.config = {"plugins": BOMBS, "tasks": tasks}
        return self.start(self.config)

    def change(self, rtd, name, limits):
        """By a reload, which must not restart the task."""
        before = rtd.task(name)["started_at"]
        self.config["tasks"][name]["limits"] = limits
        rtd.write_config(self.config)
        rtd.call("config.reload")
        self.assertEqual(rtd.task(name)["started_at"], before)

    def messages(self, rtd, name):
        return [line["message"] for line in rtd.call("logs", limit=10000, task=name)["lines"]]

    def told(self, rtd, name, limit):
        """The events of the limit."""
        return [event for event in rtd.events("task_limit") if (event["task"], event["limit"]) == (name, limit)]

    def metric(self, rtd, family, name):
        return rtd.metric(family, sandbox="default", plugin="test-bombs", task=name)


class GreenThreads(LimitsTest):
    def test_a_bomb_fails_and_nobody_else(self):
        rtd = self.begin({"other": task("serve")})
        pid = rtd.host_pid()
        rtd.write_config({**self.config, "tasks": {**self.config["tasks"],
                                                   "bomb": task("green_thread_bomb", {"green_threads": 1000})}})
        rtd.call("config.reload")
        failed = rtd.wait_task("bomb", "failed")
        self.assertRegex(failed["last_exit"]["error"], r"as many green threads as it may, 1000 \(limits\.green_threads")
        event = wait_for(lambda: self.told(rtd, "bomb", "green_threads"), "the event")[0]
        self.assertRegex(event["message"], "^task bomb: the task has reached limits.green_threads, 1000: .*raise the limit")
        self.assertEqual(rtd.host_pid(), pid)
        self.assertEqual(rtd.task("other")["state"], "running")

    def test_one_that_minds_the_limit_goes_on_and_a_reload_raises_it(self):
        rtd = self.begin({"greedy": task("greedy", {"green_threads": 50})})
        wait_for(lambda: "got 49 of 50" in self.messages(rtd, "greedy"), "the limit")
        wait_for(lambda: self.metric(rtd, "rtd_task_green_threads_refused_total", "greedy") >= 2, "the count")
        self.assertEqual(self.metric(rtd, "rtd_task_green_threads_limit", "greedy"), 50)
        self.assertEqual(len(wait_for(lambda: self.told(rtd, "greedy", "green_threads"), "the event")), 1)
        self.assertEqual(rtd.call("task.inspect", name="greedy")["limits"]["green_threads"], 50)
        self.change(rtd, "greedy", {"green_threads": 60})
        wait_for(lambda: rtd.task("greedy")["green_threads"] == 60, "more green threads")
        self.assertEqual(self.metric(rtd, "rtd_task_green_threads_limit", "greedy"), 60)


class Connections(LimitsTest):
    def connect(self, address):
        host, port = address.rsplit(":", 1)
        client = socket.create_connection((host, int(port)), timeout=harness.PATIENCE)
        self.addCleanup(client.close)
        return client

    def test_accept_waits(self):
        rtd = self.begin({"server": task("serve", {"connections": 2})})
        address = wait_for(lambda: rtd.task("server")["status"], "the address")
        clients = [self.connect(address) for _ in range(3)]
        for client in clients[:2]:
            self.assertEqual(client.recv(100), b"welcome\n")
        wait_for(lambda: self.metric(rtd, "rtd_task_accept_waits_total", "server") == 1, "the third one waits")
        self.assertEqual(self.metric(rtd, "rtd_task_connections", "server"), 2)
        self.assertEqual(self.metric(rtd, "rtd_task_connections_limit", "server"), 2)
        event = wait_for(lambda: self.told(rtd, "server", "connections"), "the event")[0]
        self.assertIn("limits.connections, 2: accept waits", event["message"])
        clients[0].close()
        self.assertEqual(clients[2].recv(100), b"welcome\n")
        fourth = self.connect(address)
        self.change(rtd, "server", {"connections": 3})
        self.assertEqual(fourth.recv(100), b"welcome\n")

    def test_dial_fails(self):
        rtd = self.begin({"client": task("dial", {"connections": 5})})
        rtd.wait_task("client", "completed")
        text = next(m for m in self.messages(rtd, "client") if m.startswith("after"))
        self.assertRegex(text, "^after 5: .*5 of 5 are open.*limits.connections")
        self.assertEqual(len(self.told(rtd, "client", "connections")), 1)


class LogRate(LimitsTest):
    def test_a_flood_is_cut_and_others_are_heard(self):
        rtd = self.begin({"flood": task("log_flood", {"log_rate": 1, "log_burst": 20}, count=5000),
                          "other": task("log_flood", count=30)})
        wait_for(lambda: rtd.task("flood")["status"] == "flooded", "the flood")
        wait_for(lambda: any("dropped" in m for m in self.messages(rtd, "flood")), "the report")

        def lines(name):
            # They come by a thread of their own, later than what the host is asked for.
            return len([m for m in self.messages(rtd, name) if m.startswith("flood ")])
        wait_for(lambda: lines("flood") >= 20, "the lines within the limit")
        wait_for(lambda: self.metric(rtd, "rtd_task_log_lines_dropped_total", "flood") == 5000 - lines("flood"), "the count")
        self.assertEqual(self.metric(rtd, "rtd_task_log_rate_limit", "flood"), 1)
        self.assertIn("limits.log_rate, 1 lines a second",
                      wait_for(lambda: self.told(rtd, "flood", "log_rate"), "the event")[0]["message"])

        def all_reported():
            told = [int(m.split()[0]) for m in self.messages(rtd, "flood") if "dropped: limits.log_rate" in m]
            return sum(told) == 5000 - lines("flood")
        wait_for(all_reported, "each dropped line is in a report")
        wait_for(lambda: lines("other") == 30, "all lines of the other task")


@unittest.skipIf(os.environ.get("RTD_SANITIZE"), "a sanitizer needs address space without end")
class Memory(LimitsTest):
    """malloc's, which no limit of a task counts. With control groups: control_groups_test.py."""

    def test_a_bomb_takes_no_more_than_its_host_may(self):
        # Not isolated: the limits of such a host are for everybody of its user to lower.
        other = {**task("serve"), "restart": {"policy": "always", "initial_delay": "10ms"}}
        rtd = self.start({"plugins": BOMBS, "tasks": {"other": other},
                          "sandboxes": {"default": {"isolation": {"mode": "none"}}}})
        rtd.wait_task("other", "running")
        with open(f"/proc/{rtd.host_pid()}/status", encoding="ascii") as file:
            used = next(int(line.split()[1]) for line in file if line.startswith("VmData:")) << 10
        most = used + (256 << 20)
        resource.prlimit(rtd.host_pid(), resource.RLIMIT_DATA, (most, most))
        host = rtd.host_pid()
        rtd.call("task.run", name="bomb", restart="never",
                 **{key: value for key, value in task("memory_bomb").items() if key in ("plugin", "entry")})

        def over():
            return rtd.task("bomb")["state"] in ("failed", "fatal") or rtd.sandbox()["last_exit"]
        wait_for(over, "the bomb is refused memory, or its host is")
        self.assertIsNone(rtd.process.poll())
        if rtd.sandbox()["last_exit"] is None:
            self.assertIn("bad_alloc", rtd.task("bomb")["last_exit"]["error"])
            self.assertEqual(rtd.host_pid(), host)
        rtd.wait_task("other", "running")


if __name__ == "__main__":
    unittest.main()
