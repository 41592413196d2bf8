#!/usr/bin/env python3
"""A plugin that was built outside the tree, checked and run by the daemon. RTD_OUTSIDE_PLUGIN names its file."""
import json
import os
import subprocess
import tempfile
import time
import unittest

PLUGIN = os.environ.get("RTD_OUTSIDE_PLUGIN", "")
PROGRAMS = os.environ["RTD_BIN_DIR"]


@unittest.skipUnless(os.path.exists(PLUGIN), f"no plugin was built at {PLUGIN!r}")
class outside_plugin(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="rtd-outside-")
        self.addCleanup(folder.cleanup)
        self.socket = os.path.join(folder.name, "control.sock")
        config = os.path.join(folder.name, "rtd.json")
        with open(config, "w", encoding="utf-8") as file:
            json.dump({"control": {"socket": self.socket}, "http": {"listen": ""}, "plugin_dir": folder.name,
                       "plugins": {"outside": {"path": PLUGIN}}}, file)
        # The daemon's output goes to a file: a pipe that nobody reads would stop it.
        self.log = open(os.path.join(folder.name, "log"), "w+", encoding="utf-8")
        self.addCleanup(self.log.close)
        self.daemon = subprocess.Popen([os.path.join(PROGRAMS, "rtd"), "--config", config, "--runtime-dir", folder.name,
                                        "--state-dir", folder.name], stdout=self.log, stderr=subprocess.STDOUT)
        self.addCleanup(self.stop)
        self.until(lambda: self.rtctl("status").returncode == 0, "the daemon to answer")

    def stop(self):
        self.daemon.terminate()
        self.assertEqual(self.daemon.wait(30), 0)

    def rtctl(self, *arguments):
        return subprocess.run([os.path.join(PROGRAMS, "rtctl"), "--socket", self.socket, *arguments], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=60)

    def until(self, condition, what):
        end = time.monotonic() + 30
        while not condition():
            if time.monotonic() > end or self.daemon.poll() is not None:
                self.log.seek(0)
                self.fail(f"waited in vain for {what}; the daemon's output:\n{self.log.read()}")
            time.sleep(0.05)

    def test_is_accepted(self):
        check = self.rtctl("-o", "json", "plugin", "check", PLUGIN)
        self.assertEqual(check.returncode, 0, check.stdout)
        answer = json.loads(check.stdout)
        self.assertTrue(answer["ok"], answer)
        self.assertEqual((answer["name"], answer["version"], answer["description"]),
                         ("outside", "2.5.0", "Built outside the tree of rtd"))
        self.assertEqual([entry["name"] for entry in answer["entries"]], ["answer"])

    def test_runs(self):
        run = self.rtctl("task", "run", "outside", "answer", "--name", "seen", "--param", "text=from outside")
        self.assertEqual(run.returncode, 0, run.stdout)

        def status():
            tasks = json.loads(self.rtctl("-o", "json", "ps").stdout)["tasks"]
            return [task["status"] for task in tasks if task["name"] == "seen"]

        self.until(lambda: status() == ["from outside"], "the plugin's status")
        stopped = self.rtctl("task", "stop", "seen")
        self.assertEqual(stopped.returncode, 0, stopped.stdout)


if __name__ == "__main__":
    unittest.main()
