#!/usr/bin/env python3
"""A plugin is replaced by another version while it runs: no client is turned away, no answer is lost, and what goes
wrong leads back."""
import os
import shutil
import signal
import socket
import threading
import time
import unittest

import harness
from harness import wait_for

NAME = "test-replaceable"


def state_of(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
        return file.read().rsplit(")", 1)[1].split()[0]


class Load:
    """Clients that ask all the time. Each connection asks some times; a question without its answer, or a connection
    that is refused, is a loss."""

    def __init__(self, port, clients=3):
        self.port = port
        self.answers = {}
        self.losses = []
        self.stopping = False
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.ask) for _ in range(clients)]
        for thread in self.threads:
            thread.start()

    def ask(self):
        while not self.stopping:
            try:
                with socket.create_connection(("127.0.0.1", self.port), harness.PATIENCE) as peer:
                    peer.settimeout(harness.PATIENCE)
                    for _ in range(5):
                        peer.sendall(b"which?\n")
                        answer = b""
                        while not answer.endswith(b"\n"):
                            piece = peer.recv(100)
                            if not piece:
                                raise ConnectionError("the connection ended before the answer")
                            answer += piece
                        with self.lock:
                            text = answer.decode().strip()
                            self.answers[text] = self.answers.get(text, 0) + 1
            except OSError as problem:
                with self.lock:
                    self.losses.append(repr(problem))
                return

    def wait_for_version(self, number):
        """Until a question that is asked from now on is answered by that version."""
        text = f"version {number}"
        with self.lock:
            before = self.answers.get(text, 0)
        wait_for(lambda: self.answers.get(text, 0) > before or self.losses, f"an answer of {text}")

    def stop(self):
        self.stopping = True
        for thread in self.threads:
            thread.join()


class ReplaceCase(harness.RtdTestCase):
    seal = False

    def setUp(self):
        super().setUp()
        self.folder = self.make_folder()
        os.chmod(self.folder, 0o755)  # a confined host sees only folders that anybody may enter
        self.first = self.file(1, "first.so")
        self.port = harness.free_port()

    def file(self, version, name):
        path = os.path.join(self.folder, name)
        shutil.copy(os.path.join(harness.PLUGIN_DIR, f"test_replaceable_{version}.so"), path + ".new")
        os.chmod(path + ".new", 0o644)
        os.rename(path + ".new", path)
        return path

    def run_rtd(self, **tasks):
        address = f"127.0.0.1:{self.port}"
        serve = {"plugin": NAME, "entry": "serve", "params": {"listen": address}, "listen": [address],
                 "drain_timeout": "20s"}
        config = {"plugins": {NAME: {"path": self.first}},
                  "tasks": {"web": serve, **{name: {"plugin": NAME, **task} for name, task in tasks.items()}}}
        if self.seal:
            config["sandboxes"] = {"default": {"isolation": {
                "mode": "best-effort", "seal": True, "grants": {"listen": ["*"], "connect": ["*"], "udp": True}}}}
        self.rtd = self.start(config)
        self.rtd.wait_task("web", "running")
        if self.seal and "seccomp_sealed" not in self.rtd.sandbox()["layers"]:
            self.skipTest("this machine seals no sandbox")
        return self.rtd

    def replace(self, path, watch=0.2):
        return self.rtd.call("plugin.replace", name=NAME, path=path, watch_seconds=watch)

    def versions(self):
        return sorted((one["version"], one["state"]) for one in self.rtd.call("plugin.list")["plugins"])

    def ask(self):
        with socket.create_connection(("127.0.0.1", self.port), harness.PATIENCE) as peer:
            peer.settimeout(harness.PATIENCE)
            peer.sendall(b"which?\n")
            return peer.recv(100).decode().strip()


class InTheSameHost(ReplaceCase):
    def test_under_load(self):
        rtd = self.run_rtd(other={"entry": "wait_for_stop"})
        host = rtd.host_pid()
        load = Load(self.port)
        try:
            load.wait_for_version(1)
            result = self.replace(self.file(2, "second.so"))
            load.wait_for_version(2)
        finally:
            load.stop()
        self.assertEqual(load.losses, [])
        site = result["sandboxes"][0]
        self.assertEqual((site["former_version"], site["version"], site["in_place"]), ("1.0.0", "2.0.0", True))
        self.assertEqual(site["kept_because"], "")
        self.assertTrue(site["unloaded"])
        self.assertEqual(sorted(result["tasks"]), ["other", "web"])
        self.assertEqual(rtd.host_pid(), host)
        self.assertEqual(self.versions(), [("2.0.0", "loaded")])
        self.assertEqual(rtd.metric("rtd_plugin_replacements_total", plugin=NAME, result="replaced"), 1)
        for kind in ("plugin_replacing", "plugin_unloaded", "plugin_replaced"):
            self.assertEqual(len(rtd.events(kind)), 1, kind)

    def test_again_and_again(self):
        rtd = self.run_rtd()
        load = Load(self.port, 2)
        counts = []
        try:
            for turn in range(1, 21):
                result = self.replace(self.file(1 + turn % 2, f"{turn % 3}.so"), watch=0)
                self.assertTrue(result["sandboxes"][0]["unloaded"], result)
                with open(f"/proc/{rtd.host_pid()}/maps", encoding="utf-8") as file:
                    counts.append(sum(1 for line in file if ".so" in line and self.folder in line))
        finally:
            load.stop()
        self.assertEqual(load.losses, [])
        self.assertEqual(len(set(counts)), 1, counts)
        self.assertEqual(self.ask(), "version 1")

    def test_a_version_that_cannot_be_unloaded(self):
        rtd = self.run_rtd(leak={"entry": "leave_a_root"})
        rtd.wait_task("leak", "completed")
        site = self.replace(self.file(2, "second.so"))["sandboxes"][0]
        self.assertFalse(site["unloaded"])
        self.assertIn("refers to", site["kept_because"])
        self.assertEqual(self.ask(), "version 2")
        self.assertEqual(self.versions(), [("1.0.0", "kept"), ("2.0.0", "loaded")])
        error = self.refused("invalid_state", rtd.call, "plugin.unload", name=NAME)
        self.assertIn("refers to", str(error))
        self.assertEqual(rtd.events("plugin_kept")[-1]["error_kind"], "referenced")

    def test_what_referred_to_it_is_gone(self):
        rtd = self.run_rtd(handler={"entry": "leave_a_handler"})
        rtd.wait_task("handler", "completed")
        self.assertIn("SIGUSR2", self.replace(self.file(2, "second.so"))["sandboxes"][0]["kept_because"])
        # The new version takes the handler away.
        rtd.call("task.run", name="back", plugin=NAME, entry="leave_a_handler", params={"take_back": "yes"})
        rtd.wait_task("back", "completed")
        self.assertEqual(rtd.call("plugin.unload", name=NAME)["unloaded"], [{"sandbox": "default", "version": "1.0.0"}])
        self.assertEqual(self.versions(), [("2.0.0", "loaded")])

    def test_a_version_that_crashes_at_once(self):
        rtd = self.run_rtd()
        error = self.refused("plugin_rejected", self.replace, self.file(3, "third.so"), 5)
        self.assertIn("version 1.0.0 goes on", str(error))
        rtd.wait_task("web", "running")
        self.assertEqual(self.ask(), "version 1")
        self.assertEqual(self.versions(), [("1.0.0", "loaded")])
        self.assertEqual(rtd.metric("rtd_plugin_replacements_total", plugin=NAME, result="failed"), 1)
        self.assertEqual(len(rtd.events("plugin_replace_failed")), 1)

    def test_a_file_that_is_no_plugin(self):
        rtd = self.run_rtd()
        before = rtd.task("web")["started_at"]
        path = os.path.join(self.folder, "text.so")
        with open(path, "w", encoding="ascii") as file:
            file.write("no ELF")
        self.assertIn("not an ELF file", str(self.refused("plugin_rejected", self.replace, path)))
        self.assertEqual(rtd.task("web")["started_at"], before, "it was left alone")

    def test_nothing_to_replace_by(self):
        rtd = self.run_rtd()
        self.refused("invalid_state", rtd.call, "plugin.replace", name=NAME)
        self.refused("not_found", rtd.call, "plugin.replace", name="nobody")

    def test_the_host_is_killed_in_the_middle(self):
        rtd = self.run_rtd()
        with socket.create_connection(("127.0.0.1", self.port), harness.PATIENCE) as peer:
            peer.sendall(b"which?\n")
            self.assertEqual(peer.recv(100), b"version 1\n")
            with rtd.connect() as client:
                number = client.send("plugin.replace", {"name": NAME, "path": self.file(2, "second.so")})
                rtd.wait_task("web", "stopping")  # the open connection keeps it
                self.refused("busy", rtd.call, "config.reload")
                os.kill(rtd.host_pid(), signal.SIGKILL)
                with self.assertRaises(harness.RpcError) as caught:
                    client.answer(number)
                self.assertEqual(caught.exception.kind, "plugin_rejected")
        rtd.wait_task("web", "running")
        self.assertEqual(self.ask(), "version 1")


class InASealedSandbox(ReplaceCase):
    seal = True

    def setUp(self):
        super().setUp()
        if os.environ.get("RTD_SANITIZE"):
            self.skipTest("hosts under a sanitizer are not confined, so nothing is sealed")

    def test_a_new_host(self):
        rtd = self.run_rtd()
        host = rtd.host_pid()
        load = Load(self.port, 2)
        try:
            load.wait_for_version(1)
            site = self.replace(self.file(2, "second.so"))["sandboxes"][0]
            load.wait_for_version(2)
        finally:
            load.stop()
        self.assertEqual(load.losses, [])
        self.assertEqual((site["in_place"], site["unloaded"]), (False, True))
        self.assertNotEqual(rtd.host_pid(), host)
        wait_for(lambda: not harness.alive(host), "the old host ends")
        self.assertEqual(self.versions(), [("2.0.0", "loaded")])

    def test_a_version_that_crashes_at_once(self):
        rtd = self.run_rtd()
        host = rtd.host_pid()
        self.refused("plugin_rejected", self.replace, self.file(3, "third.so"), 5)
        rtd.wait_task("web", "running")
        self.assertEqual(rtd.host_pid(), host, "the old host was there all the time")
        self.assertEqual(self.ask(), "version 1")


class InAPrivateFolder(ReplaceCase):
    def test_the_host_cannot_see_what_comes_there(self):
        """A folder that only root may enter is not in the host's root; the plugin's file is."""
        os.chmod(self.folder, 0o700)
        address = f"127.0.0.1:{self.port}"
        isolation = {"mode": "best-effort", "seal": False, "grants": {"listen": ["*"], "connect": ["*"], "udp": True}}
        self.rtd = rtd = self.start({
            "plugins": {NAME: {"path": self.first}}, "sandboxes": {"default": {"isolation": isolation}},
            "tasks": {"web": {"plugin": NAME, "entry": "serve", "params": {"listen": address}, "listen": [address]}}})
        rtd.wait_task("web", "running")
        if os.geteuid() != 0 or "mount_namespace" not in rtd.sandbox()["layers"]:
            self.skipTest("needs root, and a machine that confines hosts")
        site = self.replace(self.file(2, "second.so"))["sandboxes"][0]
        self.assertFalse(site["in_place"])
        self.assertEqual(self.ask(), "version 2")


class Listeners(ReplaceCase):
    def test_they_outlive_their_task_and_its_host(self):
        rtd = self.run_rtd()
        host = rtd.host_pid()
        os.kill(host, signal.SIGSTOP)
        wait_for(lambda: state_of(host) == "T", "the host stands still")
        with socket.create_connection(("127.0.0.1", self.port), harness.PATIENCE) as peer:
            peer.sendall(b"which?\n")
            os.kill(host, signal.SIGKILL)
            peer.settimeout(harness.PATIENCE)
            self.assertEqual(peer.recv(100), b"version 1\n", "the next host answers whom the last one never saw")

    def test_an_address_that_is_taken(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            self.port = taken.getsockname()[1]
            address = f"127.0.0.1:{self.port}"
            rtd = self.start({"plugins": {NAME: {"path": self.first}},
                              "tasks": {"web": {"plugin": NAME, "entry": "serve", "params": {"listen": address},
                                                "listen": [address]}}}, wait=False)
            rtd.wait_for_socket()
            rtd.wait_task("web", "fatal")
            self.assertIn(f"cannot listen on {address}", rtd.task("web")["last_exit"]["error"])


if __name__ == "__main__":
    unittest.main()
