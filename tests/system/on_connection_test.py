#!/usr/bin/env python3
"""Tasks that are started by a connection: the daemon listens for them and leaves the connection to them."""
import os
import signal
import socket
import unittest

import harness
from harness import wait_for

FAST = {"initial_delay": "10ms", "max_delay": "20ms", "stable_after": "1h"}


class OnConnection(harness.BehaviourCase):
    def setUp(self):
        super().setUp()
        self.port = harness.free_port()
        self.address = f"127.0.0.1:{self.port}"

    def web(self, count="1", params=None, **more):
        return self.task("serve_some", params={"listen": self.address, "count": count, **(params or {})},
                         **{"listen": [self.address], "start_on_connection": True, **more})

    def run_rtd(self, **more):
        self.rtd = self.start_behaviour({"web": self.web(**more)})
        self.rtd.wait_task("web", "listening")
        return self.rtd

    def connect(self):
        peer = socket.create_connection(("127.0.0.1", self.port), harness.PATIENCE)
        peer.settimeout(harness.PATIENCE)
        return peer

    def greeting(self):
        with self.connect() as peer:
            return peer.recv(100)

    def runs(self, status="ok"):
        return self.rtd.metric("rtd_task_runs_total", task="web", status=status) or 0

    def test_each_connection_starts_a_run(self):
        rtd = self.run_rtd()
        self.assertIsNone(rtd.task("web")["started_at"])
        self.assertEqual(rtd.metric("rtd_task_state", task="web", state="listening"), 1)
        self.assertEqual(rtd.http_get("/readyz")[0], 200)
        for turn in (1, 2):
            self.assertEqual(self.greeting(), b"hello\n")
            wait_for(lambda: self.runs() == turn, "the run is counted")
            rtd.wait_task("web", "listening")
        self.assertEqual([event["address"] for event in rtd.events("task_connected")], [self.address] * 2)
        self.assertEqual(rtd.task("web")["restarts"], 0)

    def test_many_at_once_are_all_served(self):
        rtd = self.run_rtd()
        peers = [self.connect() for _ in range(20)]
        for peer in peers:
            self.assertEqual(peer.recv(100), b"hello\n")
            peer.close()
        wait_for(lambda: self.runs() == 20, "one run for each")
        rtd.wait_task("web", "listening")

    def test_a_socket_file(self):
        path = os.path.join(self.make_folder(), "web.sock")
        self.address = path
        self.rtd = rtd = self.start_behaviour({"web": self.web(params={"network": "unix"}, listen=["unix:" + path])})
        rtd.wait_task("web", "listening")
        for _ in range(2):
            with socket.socket(socket.AF_UNIX) as peer:
                peer.settimeout(harness.PATIENCE)
                peer.connect(path)
                self.assertEqual(peer.recv(100), b"hello\n")
        rtd.stop()
        self.assertFalse(os.path.exists(path))

    def test_a_run_that_accepts_nobody_is_delayed(self):
        rtd = self.run_rtd(count="0", restart={"policy": "on-failure", "max_restarts": 3, "window": "1h", **FAST})
        with self.connect():
            rtd.wait_task("web", "fatal")
            last = rtd.call("task.inspect", name="web")["history"][-1]["message"]
            self.assertIn("without having accepted a connection", last)
        self.assertEqual(self.runs(), 4)
        # Somebody waits still, and its start by hand is no start by the policy.
        before = self.runs()
        rtd.call("task.start", name="web")
        wait_for(lambda: self.runs() > before, "it is started")

    def test_a_failure_is_followed_by_the_policy(self):
        rtd = self.run_rtd(params={"fail": "yes"},
                           restart={"policy": "on-failure", "max_restarts": 2, "window": "1h", **FAST})
        for turn in (1, 2):
            self.assertEqual(self.greeting(), b"hello\n")
            wait_for(lambda: self.runs("error") == turn, "it fails")
            rtd.wait_task("web", "listening")
        self.assertEqual(self.greeting(), b"hello\n")
        rtd.wait_task("web", "fatal")

    def test_who_waits_while_the_host_dies(self):
        rtd = self.run_rtd()
        host = rtd.host_pid()
        os.kill(host, signal.SIGSTOP)
        with self.connect() as peer:
            rtd.wait_task("web", "starting")
            os.kill(host, signal.SIGKILL)
            self.assertEqual(peer.recv(100), b"hello\n")
        rtd.wait_task("web", "listening")

    def test_by_hand(self):
        rtd = self.run_rtd()
        rtd.call("task.start", name="web")
        rtd.wait_task("web", "running")
        self.assertEqual(self.greeting(), b"hello\n")
        rtd.wait_task("web", "listening")
        rtd.call("task.stop", name="web")
        rtd.wait_task("web", "stopped")
        with self.connect() as peer:
            peer.settimeout(0.2)
            self.assertRaises(TimeoutError, peer.recv, 100)
            self.assertEqual(rtd.task("web")["state"], "stopped")
            peer.settimeout(harness.PATIENCE)
            rtd.call("task.start", name="web")
            self.assertEqual(peer.recv(100), b"hello\n")

    def test_reloads(self):
        rtd = self.run_rtd()
        config = {"plugins": harness.BEHAVIOUR}

        def reload(**more):
            rtd.write_config({**config, "tasks": {"web": self.web(**more)}})
            rtd.call("config.reload", wait=True)

        reload(count="2")
        self.assertEqual(rtd.task("web")["state"], "listening")
        self.assertEqual((self.greeting(), self.greeting()), (b"hello\n", b"hello\n"))
        wait_for(lambda: self.runs() == 1, "one run for both")
        reload(start_on_connection=False)
        rtd.wait_task("web", "running")
        reload()
        rtd.wait_task("web", "listening")
        reload(autostart=False)
        self.assertEqual(rtd.task("web")["state"], "listening", "it is left alone")

    def test_one_that_is_required(self):
        # Whoever requires it connects to it.
        client = self.task("wait_for_stop", requires=["web"], after=["web"])
        self.rtd = rtd = self.start_behaviour({"web": self.web(), "client": client})
        rtd.wait_task("client", "running")
        self.assertEqual(rtd.task("web")["state"], "listening")
        rtd.call("task.stop", name="web")
        wait_for(lambda: rtd.task("client")["state"] == "starting", "it is held back")
        rtd.call("task.start", name="web")
        rtd.wait_task("client", "running")

    def test_one_run_serves_many(self):
        rtd = self.run_rtd(count="1000")
        for _ in range(100):
            self.assertEqual(self.greeting(), b"hello\n")
        self.assertEqual(rtd.task("web")["state"], "running")
        self.assertEqual(len(rtd.events("task_connected")), 1)

    def test_after_the_daemon_was_killed(self):
        folder = self.make_folder()
        self.rtd = rtd = self.start({"plugins": harness.BEHAVIOUR, "tasks": {"web": self.web()}},
                                    arguments=["--state-dir", folder])
        rtd.wait_task("web", "listening")
        self.assertEqual(self.greeting(), b"hello\n")
        rtd.wait_task("web", "listening")
        rtd.stop()
        rtd.start()
        rtd.wait_task("web", "listening")
        self.assertEqual(rtd.task("web")["last_exit"]["reason"], "completed")
        self.assertEqual(self.greeting(), b"hello\n")


if __name__ == "__main__":
    unittest.main()
