#!/usr/bin/env python3
"""Limits that the kernel's control groups enforce for a sandbox: what happens at each of them, that the daemon and other
sandboxes go on, and what is told. It needs version 2 with all its controllers, delegated to whoever runs it (a unit
with Delegate=yes).
"""
import os
import re
import shutil
import tempfile
import time
import unittest

import harness
from harness import wait_for

TREE = "/sys/fs/cgroup"
CONTROLLERS = {"memory", "cpu", "pids", "io"}
PLUGINS = {"test-bombs": {"path": "test_bombs.so"}, "test-escape": {"path": "test_escape.so"}}
MIB = 1 << 20


def read(path):
    with open(path, encoding="ascii") as file:
        return file.read()


def write(path, text):
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def group_of(pid):
    """The folder of the process's group; the root when it has none of version 2."""
    return TREE + next((line[3:] for line in read(f"/proc/{pid}/cgroup").splitlines() if line.startswith("0::")), "")


def values(group, file):
    """Of a file with lines "key value"."""
    return {key: int(value) for key, value in (line.split() for line in read(f"{group}/{file}").splitlines())}


@unittest.skipIf(os.environ.get("RTD_SANITIZE"), "sanitizers need /proc, which a sandbox has not")
class ControlGroups(harness.RtdTestCase):
    #: The group in which the daemons' own are made; None: they are put into theirs by whoever starts them.
    delegated = None

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.delegate()

    @classmethod
    def delegate(cls):
        """Makes way in the group of this process: one with processes can have no limited groups below it."""
        own = group_of("self")
        try:
            missing = CONTROLLERS - set(read(f"{own}/cgroup.controllers").split())
            others = set(read(f"{own}/cgroup.procs").split()) - {str(os.getpid())}
        except FileNotFoundError:
            raise unittest.SkipTest("no cgroup v2 here; see ./dev systemd --kernel") from None
        if missing or own == TREE + "/" or others or not os.access(f"{own}/cgroup.procs", os.W_OK):
            raise unittest.SkipTest(f"the control group {own} is not delegated to this test (no controllers "
                                    f"{sorted(missing)}, others in it: {len(others)}); see ./dev systemd --kernel")
        os.makedirs(f"{own}/tests", exist_ok=True)
        write(f"{own}/tests/cgroup.procs", "0")
        write(f"{own}/cgroup.subtree_control", " ".join(f"+{one}" for one in sorted(CONTROLLERS)))
        cls.delegated = own

    def start(self, config, wait=True, **named):
        if self.delegated is None:
            return super().start(config, wait, **named)
        # A fresh one, as from a service manager: a group whose controllers a former daemon has enabled takes no process.
        group = tempfile.mkdtemp(prefix="rtd-", dir=self.delegated)
        former = harness.die_with_the_test

        def enter():
            former()
            write(f"{group}/cgroup.procs", "0")

        harness.die_with_the_test = enter
        try:
            return super().start(config, wait, **named)
        finally:
            harness.die_with_the_test = former

    def begin(self, limits, grants=None):
        """A sandbox with limits, and another one in which a task runs."""
        isolation = {"mode": "strict", "grants": grants or {}}
        other = {"plugin": "test-bombs", "entry": "idle", "sandbox": "other"}
        # For its plugin: a sealed sandbox has those of its tasks, and of no task at all.
        first = {"plugin": "test-bombs", "entry": "idle", "autostart": False}
        rtd = self.start({"plugins": PLUGINS, "tasks": {"other": other, "first": first}, "sandboxes": {
            "default": {"limits": limits, "isolation": isolation}, "other": {"isolation": {"mode": "strict"}}}})
        self.assertEqual((rtd.sandbox()["state"], rtd.sandbox()["missing_layers"]), ("up", []))
        self.assertIn("cgroup", rtd.sandbox()["layers"])
        rtd.wait_task("other", "running")
        self.others_host = rtd.host_pid("other")
        return rtd

    def group(self, rtd):
        group = group_of(rtd.host_pid())
        self.assertRegex(group, r"/sandbox-default\.\d+$")
        return group

    def run_task(self, rtd, entry, plugin="test-bombs", **params):
        rtd.call("task.run", name="it", plugin=plugin, entry=entry, restart="never",
                 params={key: str(value) for key, value in params.items()})

    def messages(self, rtd):
        return " ".join(line["message"] for line in rtd.call("logs", limit=1000, task="it")["lines"])

    def others_go_on(self, rtd):
        self.assertIsNone(rtd.process.poll())
        self.assertEqual(rtd.call("status")["pid"], rtd.process.pid)
        self.assertEqual(rtd.host_pid("other"), self.others_host)
        self.assertEqual(rtd.task("other")["state"], "running")

    def is_told(self, rtd, limit, words):
        """One event of this limit comes, with the words."""
        def found():
            return [event for event in rtd.events("sandbox_limit") if event["limit"] == limit]
        wait_for(found, f"the limit {limit} is told")
        self.assertEqual([(event["sandbox"], words in event["message"]) for event in found()], [("default", True)])

    def test_memory(self):
        for plugin in ("test-bombs", "test-escape"):  # malloc's, and mapped
            with self.subTest(plugin=plugin):
                rtd = self.begin({"memory": "96MiB"})
                self.assertEqual(read(f"{self.group(rtd)}/memory.max").strip(), str(96 * MIB))
                host = rtd.host_pid()
                self.run_task(rtd, "memory_bomb", plugin)
                end = wait_for(lambda: rtd.sandbox()["last_exit"], "the host is ended")
                self.assertEqual((end["reason"], end["signal"]), ("oom", "SIGKILL"))
                self.assertIn("limits.memory", end["detail"])
                wait_for(lambda: (now := rtd.sandbox())["state"] == "up" and now["pid"] != host, "another host")
                self.assertEqual(rtd.metric("rtd_sandbox_restarts_total", sandbox="default", reason="oom"), 1)
                event = next(e for e in rtd.events("sandbox_exited") if e["sandbox"] == "default")
                self.assertIn("limits.memory", event["message"])
                self.others_go_on(rtd)
                self.assertEqual(rtd.stop(), 0)

    def test_threads(self):
        rtd = self.begin({"threads": 100})
        group = self.group(rtd)
        self.assertEqual(read(f"{group}/pids.max").strip(), "100")
        self.run_task(rtd, "thread_bomb", "test-escape")
        rtd.wait_task("it", "completed")
        found = re.search(r"threads ran out after (\d+): Resource temporarily unavailable", self.messages(rtd))
        self.assertTrue(found, self.messages(rtd))
        self.assertLess(int(found[1]), 100)
        refused = values(group, "pids.events")["max"]
        self.assertGreater(refused, 0)
        self.is_told(rtd, "threads", "limits.threads (100)")
        self.assertEqual(rtd.metric("rtd_sandbox_group_threads_refused_total", sandbox="default"), refused)
        self.others_go_on(rtd)

    def test_cpus(self):
        rtd = self.begin({"cpus": 0.3})
        group = self.group(rtd)
        self.assertEqual(read(f"{group}/cpu.max").split(), ["30000", "100000"])
        self.run_task(rtd, "compute", count=4)
        wait_for(lambda: values(group, "cpu.stat")["nr_throttled"] > 3, "it computes")
        start, before = time.monotonic(), values(group, "cpu.stat")
        wait_for(lambda: values(group, "cpu.stat")["nr_throttled"] >= before["nr_throttled"] + 20, "it has to wait")
        used = (values(group, "cpu.stat")["usage_usec"] - before["usage_usec"]) / 1e6
        # A period that has begun counts whole.
        self.assertLess(used, 0.3 * (time.monotonic() - start) + 0.1)
        self.is_told(rtd, "cpus", "limits.cpus (0.3)")
        self.assertGreater(rtd.metric("rtd_sandbox_group_cpu_throttled_seconds_total", sandbox="default"), 0)
        self.others_go_on(rtd)

    def disk_folder(self):
        """On a disk, and one to which hosts may write."""
        folder = tempfile.mkdtemp(dir="/var/tmp")
        self.addCleanup(shutil.rmtree, folder, True)
        os.chmod(folder, 0o777)
        return folder

    def test_input_and_output(self):
        folder = self.disk_folder()
        file = os.path.join(folder, "file")
        rate, size = 2 * MIB, 4 * MIB
        rtd = self.begin({"io_read": rate, "io_write": rate, "io_weight": 50}, {"write": [folder]})
        group = self.group(rtd)
        self.assertRegex(read(f"{group}/io.max"), rf"^\d+:0 rbps={rate} wbps={rate} riops=max wiops=max\n$")
        self.assertEqual(read(f"{group}/io.weight").strip(), "default 50")
        for how in ("write", "read"):
            self.run_task(rtd, "disk", file=file, bytes=size, how=how)
            rtd.wait_task("it", "completed")
            took = float(re.findall(r"took ([\d.]+) s", self.messages(rtd))[-1])
            # What is allowed at once, of the first moment, is not waited for.
            self.assertGreater(took, size / rate * 0.7, how)
        # Two seconds of waiting, and a look each two seconds.
        self.is_told(rtd, "io", "limits.io_read")
        self.assertGreater(rtd.metric("rtd_sandbox_group_io_waited_seconds_total", sandbox="default"), 0.5)
        counted = dict(one.split("=") for one in read(f"{group}/io.stat").split()[1:])
        self.assertGreaterEqual(int(counted["wbytes"]), size)
        self.assertGreaterEqual(int(counted["rbytes"]), size)
        self.others_go_on(rtd)

    def test_a_group_goes_with_its_host(self):
        rtd = self.begin({"threads": 500})
        first = self.group(rtd)
        for _ in range(3):
            host = rtd.host_pid()
            os.kill(host, 9)
            wait_for(lambda: (now := rtd.sandbox())["state"] == "up" and now["pid"] not in (None, host), "another host")
        last = self.group(rtd)
        self.assertNotEqual(last, first)
        top = os.path.dirname(last)
        self.assertEqual([one for one in os.listdir(top) if one.startswith("sandbox-")], [os.path.basename(last)])
        # The supervisor rules from a group of its own; hosts without limits are with it.
        self.assertEqual(group_of(rtd.process.pid), f"{top}/supervisor")
        self.assertEqual(group_of(rtd.host_pid("other")), f"{top}/supervisor")


if __name__ == "__main__":
    unittest.main()
