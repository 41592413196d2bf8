#!/usr/bin/env python3
"""The state file: what outlives the daemon, and what happens when the file does not."""
import json
import os
import resource
import signal
import unittest
import zlib

import harness
from harness import alive, wait_for



class StateCase(harness.RtdTestCase):
    def task(self, entry, **more):
        return {"plugin": "fake", "entry": entry, "restart": "never", **more}

    def setUp(self):
        super().setUp()
        self.state = self.make_folder()
        self.file = os.path.join(self.state, "state.json")

    def start_fake(self, tasks=None, body="    pass", wait=True, keep_state=True):
        plugin = harness.fake_plugin(self.make_folder())
        for task in (tasks or {}).values():
            if isinstance(task.get("restart"), str):
                task["restart"] = {"policy": task["restart"]}
        return self.start({"plugins": {"fake": {"path": plugin}}, "tasks": tasks or {}}, fake=body, wait=wait,
                          arguments=["--state-dir", self.state] if keep_state else [])

    def again(self, rtd, kill=False, wait=True):
        """Ends the daemon and starts it anew with the same folders."""
        if kill:
            host = rtd.host_pid()
            rtd.client.close()
            rtd.process.kill()
            rtd.process.wait()
            wait_for(lambda: not alive(host), "the host ends with its daemon")
        else:
            self.assertEqual(rtd.stop(), 0)
        rtd.start(wait)

    def saved(self):
        wait_for(lambda: os.path.exists(self.file), "the state is saved")
        with open(self.file, "rb") as file:
            head, text = file.read().split(b"\n", 1)
        magic, version, checksum, length = head.split()
        self.assertEqual((magic, version, int(length)), (b"rtd-state", b"1", len(text)))
        self.assertEqual(int(checksum, 16), zlib.crc32(text))
        return json.loads(text)

    # ---- configured tasks ----

    def test_history_counts_and_last_exit_outlive_the_daemon(self):
        rtd = self.start_fake({"job": self.task("fail", autostart=False), "server": self.task("serve")})
        for _ in range(2):
            rtd.call("task.start", name="job")
            rtd.wait_task("job", "failed")
        before = rtd.call("task.inspect", name="job")
        for kill in (False, True):
            wait_for(lambda: self.saved()["tasks"]["job"]["state"] == "failed", "the state is saved")
            self.again(rtd, kill)
            after = rtd.call("task.inspect", name="job")
            self.assertEqual(after["history"], before["history"])
            self.assertEqual(after["task"]["last_exit"], before["task"]["last_exit"])
            self.assertEqual(after["task"]["state"], "failed")
            self.assertEqual(rtd.metric("rtd_task_runs_total", task="job", status="error"), 2)
            rtd.wait_task("server", "running")
            wait_for(lambda: self.saved()["tasks"]["server"]["state"] == "running", "that it runs is saved")
        server = rtd.call("task.inspect", name="server")
        self.assertIn("is stopped with the daemon", [entry["message"] for entry in server["history"]])
        # The second time the daemon was killed; the task's run is not taken for a good one.
        self.assertEqual(server["task"]["last_exit"]["reason"], "daemon")
        self.assertIn("the daemon ended without stopping it, when it was running",
                      [entry["message"] for entry in server["history"]])

    def test_status_and_metrics_show_the_file(self):
        rtd = self.start_fake({"server": self.task("serve")})
        state = wait_for(lambda: (s := rtd.call("status")["state"])["saved_at"] and s, "the state is saved")
        self.assertEqual((state["file"], state["problem"]), (self.file, ""))
        self.assertGreaterEqual(rtd.metric("rtd_state_saves_total", result="success"), 1)
        # It is saved once more, half a second after the task has begun.
        wait_for(lambda: rtd.metric("rtd_state_size_bytes") == os.path.getsize(self.file), "the size is told")
        self.assertEqual(os.stat(self.file).st_mode & 0o777, 0o600)
        self.assertFalse(self.saved()["clean"])
        rtd.stop()
        self.assertTrue(self.saved()["clean"])

    def test_without_a_state_folder_nothing_is_kept(self):
        rtd = self.start_fake({"server": self.task("serve")}, keep_state=False)
        self.assertIsNone(rtd.call("status")["state"])
        error = self.refused("invalid_state", rtd.call, "task.run", plugin="fake", entry="serve", keep=True)
        self.assertIn("--state-dir", str(error))
        self.assertEqual(list(rtd.tasks()), ["server"])

    # ---- tasks started by hand ----

    def test_kept_tasks_come_back_others_do_not(self):
        for kill in (False, True):
            rtd = self.start_fake()
            row = rtd.call("task.run", plugin="fake", entry="serve", name="kept", keep=True, params={"a": [1, "x"]},
                           weight=7)["task"]
            self.assertTrue(row["keep"])
            # The answer was given: it is on the disk, however the daemon ends now.
            self.assertEqual(self.saved()["tasks"]["kept"]["task"]["weight"], 7)
            rtd.call("task.run", plugin="fake", entry="serve", name="passing")
            self.again(rtd, kill)
            task = rtd.wait_task("kept", "running")
            self.assertFalse(task["configured"])
            inspected = rtd.call("task.inspect", name="kept")
            self.assertEqual((inspected["params"], inspected["weight"]), ({"a": ["1", "x"]}, 7))
            self.assertNotIn("passing", rtd.tasks())
            self.assertEqual([event["task"] for event in rtd.events("task_kept")], ["kept"])
            # Whoever stops it does not want it back.
            rtd.call("task.stop", name="kept")
            self.again(rtd, True)
            self.assertEqual(rtd.task("kept")["state"], "stopped")
            rtd.stop()
            os.remove(self.file)

    def test_a_kept_task_that_has_ended_is_listed_and_not_run_again(self):
        rtd = self.start_fake()
        rtd.call("task.run", plugin="fake", entry="once", name="job", keep=True)
        rtd.wait_task("job", "completed")
        self.again(rtd)
        task = rtd.task("job")
        self.assertEqual((task["state"], task["last_exit"]["reason"]), ("completed", "completed"))
        self.assertEqual(rtd.metric("rtd_task_runs_total", task="job", status="ok"), 1)

    def test_start_may_be_kept(self):
        rtd = self.start_fake({"night": self.task("serve", autostart=False)})
        rtd.call("task.start", name="night")
        self.again(rtd, True)
        self.assertEqual(rtd.task("night")["state"], "stopped")
        rtd.call("task.start", name="night")
        self.assertTrue(rtd.call("task.start", name="night", keep=True)["task"]["keep"], "one that runs already")
        self.again(rtd, True)
        rtd.wait_task("night", "running")
        rtd.call("task.start", name="night", keep=False)
        self.again(rtd, True)
        self.assertEqual(rtd.task("night")["state"], "stopped")

    def test_a_kept_task_whose_plugin_is_gone_says_so(self):
        rtd = self.start_fake()
        rtd.call("task.run", plugin="fake", entry="serve", name="kept", keep=True)
        rtd.stop()
        rtd.write_config({"host_binary": os.path.join(rtd.folder, "fake-rtd-host")})
        rtd.start()
        task = rtd.wait_task("kept", "fatal")
        self.assertIn('there is no plugin "fake"', task["last_exit"]["error"])

    # ---- files that cannot be used ----

    def test_a_damaged_file_is_set_aside_and_the_daemon_starts(self):
        rtd = self.start_fake({"server": self.task("serve")})
        rtd.stop()
        with open(self.file, "rb") as file:
            good = file.read()
        damages = {"cut": good[:-1], "empty": b"", "changed": good.replace(b"server", b"sErver"), "random": os.urandom(1000),
                   "newer": good.replace(b"rtd-state 1", b"rtd-state 2")}
        words = {"cut": "bytes of text", "empty": "it is empty", "changed": "its checksum is",
                 "random": "does not begin with", "newer": "format 2"}
        for name, text in damages.items():
            with self.subTest(name):
                with open(self.file, "wb") as file:
                    file.write(text)
                rtd.start()
                event = rtd.events("state_refused")[0]
                self.assertIn(words[name], event["message"])
                self.assertIn(self.file + ".bad-1", event["message"])
                with open(self.file + ".bad-1", "rb") as file:
                    self.assertEqual(file.read(), text)
                self.assertEqual(rtd.metric("rtd_state_set_aside_total"), 1)
                rtd.wait_task("server", "running")
                rtd.stop()
                self.assertIn("server", self.saved()["tasks"])

    def test_a_file_that_is_not_to_be_written_is_said_and_tried_again(self):
        rtd = self.start_fake({"server": self.task("serve")})
        # That is the last save for the time being: none is under way whose file would be in the folder's place.
        wait_for(lambda: self.saved()["tasks"]["server"]["state"] == "running", "the state is saved")
        os.mkdir(self.file + ".new")
        error = self.refused("unavailable", rtd.call, "task.run", plugin="fake", entry="serve", name="kept", keep=True)
        self.assertIn("is started, but the state file does not say so", str(error))
        self.assertIn("unlink", rtd.call("status")["state"]["problem"])
        self.assertEqual(rtd.task("kept")["state"], "running")
        self.assertEqual(len(rtd.events("state_save_failed")), 1)
        os.rmdir(self.file + ".new")
        rtd.call("task.start", name="kept", keep=True)
        self.assertIn("kept", self.saved()["tasks"])
        self.assertEqual(len(rtd.events("state_saved")), 1)

    def test_a_limit_of_file_sizes_is_said_and_no_end(self):
        rtd = self.start_fake({"server": self.task("serve")})
        wait_for(lambda: os.path.exists(self.file), "the state is saved")
        pid = rtd.process.pid
        former = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (10, former[1]))
        error = self.refused("unavailable", rtd.call, "task.run", plugin="fake", entry="serve", name="kept", keep=True)
        self.assertIn("File too large", str(error))
        self.assertEqual(rtd.call("status")["pid"], pid)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, former)
        rtd.call("task.start", name="kept", keep=True)
        self.assertIn("kept", self.saved()["tasks"])

    def test_two_daemons_do_not_share_a_folder(self):
        self.start_fake({"server": self.task("serve")})
        other = harness.Rtd({}, ["--state-dir", self.state])
        self.addCleanup(other.remove)
        other.start(wait=False)
        self.assertEqual(other.process.wait(harness.PATIENCE), 1)
        self.assertIn("is in use by another rtd", other.log())

    def test_kill_9_at_any_moment_leaves_a_good_file(self):
        rtd = self.start_fake({"blink": self.task("fail", restart={"policy": "always", "initial_delay": "1ms",
                                                                   "max_delay": "1ms"})}, wait=False)
        rtd.wait_for_socket()
        promised = set()
        for i in range(10):
            name = f"kept-{i}"
            rtd.call("task.run", plugin="fake", entry="serve", name=name, keep=True)
            promised.add(name)
            rtd.client.send("task.run", {"plugin": "fake", "entry": "serve", "name": f"late-{i}", "keep": True})
            rtd.client.close()
            rtd.process.send_signal(signal.SIGKILL)
            rtd.process.wait()
            rtd.start(wait=False)
            rtd.wait_for_socket()
            self.assertEqual(rtd.events("state_refused"), [])
            self.assertLessEqual(promised, set(rtd.tasks()), "what was promised is kept")
        for name in promised:
            rtd.wait_task(name, "running")


if __name__ == "__main__":
    unittest.main()
