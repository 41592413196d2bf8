#!/usr/bin/env python3
"""The control socket: its protocol, its roles, its limits, and everything that a bad client may try."""
import json
import os
import random
import resource
import socket
import stat
import struct
import subprocess
import sys
import time
import unittest

import harness
from harness import wait_for

MIB = 1 << 20


class ControlTest(harness.RtdTestCase):
    def start_fake(self, config=None, body="    pass", **named):
        folder = self.make_folder()
        full = {
            "plugins": {"fake": {"path": harness.fake_plugin(folder)}},
            "tasks": {"server": {"plugin": "fake", "entry": "serve"}},
            **(config or {}),
        }
        return self.start(full, fake=body, **named)

    def raw(self, rtd):
        """A connected socket whose greeting has been read."""
        raw = socket.socket(socket.AF_UNIX)
        raw.settimeout(harness.PATIENCE)
        raw.connect(rtd.socket)
        self.addCleanup(raw.close)
        hello = self.line(raw)
        self.assertEqual(hello["method"], "rtd.hello")
        return raw

    def line(self, raw):
        data = b""
        while not data.endswith(b"\n"):
            piece = raw.recv(1)
            if not piece:
                raise ConnectionError("closed")
            data += piece
        return json.loads(data)

    def assert_alive(self, rtd):
        with rtd.connect() as client:
            self.assertEqual(client.call("status")["pid"], rtd.process.pid)


class Protocol(ControlTest):
    def test_greeting(self):
        rtd = self.start_fake()
        with rtd.connect() as client:
            self.assertEqual(client.hello["jsonrpc"], "2.0")
            self.assertEqual(client.hello["method"], "rtd.hello")
            self.assertEqual(client.hello["params"]["role"], "admin")
            self.assertEqual(client.hello["params"]["protocol"], 1)
            self.assertEqual(client.hello["params"]["capabilities"], ["events", "logs"])

    def test_every_method_answers_or_refuses_with_a_kind(self):
        rtd = self.start_fake()
        methods = rtd.call("rpc.discover")["methods"]
        self.assertGreater(len(methods), 20)
        for method in methods:
            self.assertIn(method["role"], ("view", "operate", "admin"))
            if method["name"] in ("shutdown", "task.wait"):
                continue
            required = [param["name"] for param in method["params"] if param["required"]]
            with rtd.connect() as client:
                if required:
                    error = self.refused("invalid_params", client.call, method["name"])
                    self.assertEqual(error.code, -32602)
                    self.assertIn("missing", str(error))
                else:
                    self.assertIsInstance(client.call(method["name"]), dict, method["name"])
                error = self.refused("invalid_params", client.call, method["name"], nonsense=1)
                self.assertEqual(error.data["pointer"], "/params/nonsense")

    def test_bad_requests_are_answered_and_the_connection_lives(self):
        rtd = self.start_fake()
        raw = self.raw(rtd)
        cases = [
            (b"hello", "parse_error"),
            (b"\xff\xfe\x00", "parse_error"),
            (b"[]", "invalid_request"),
            (b'[{"jsonrpc":"2.0","id":1,"method":"ps"}]', "invalid_request"),
            (b"{}", "invalid_request"),
            (b'{"jsonrpc":"2.0","method":"ps"}', "invalid_request"),
            (b'{"jsonrpc":"2.0","id":1,"method":"ps","params":[1]}', "invalid_request"),
            (b'{"jsonrpc":"2.0","id":1,"id":2,"method":"ps"}', "parse_error"),
            (b'{"jsonrpc":"2.0","id":1,"method":"stauts"}', "method_not_found"),
            (b"[" * 100_000, "parse_error"),
            (b'{"a":' * 100_000, "parse_error"),
            (b'{"jsonrpc":"2.0","id":1,"method":"ps","params":' + b'{"a":' * 40 + b"1" + b"}" * 41, "parse_error"),
        ]
        for text, kind in cases:
            raw.sendall(text + b"\n")
            answer = self.line(raw)
            self.assertEqual(answer["error"]["data"]["kind"], kind, text[:60])
        raw.sendall(b'\r\n\n{"jsonrpc":"2.0","id":"last","method":"version"}\r\n')
        self.assertEqual(self.line(raw)["id"], "last")
        with rtd.connect() as client:
            error = self.refused("method_not_found", client.call, "stauts")
            self.assertEqual(error.data["hint"], 'did you mean "status"?')

    @unittest.skipIf(os.environ.get("RTD_SANITIZE"), "a sanitizer needs address space without end")
    def test_without_memory_a_client_is_dropped_and_nothing_is_begun(self):
        rtd = self.start_fake()
        pid = rtd.process.pid
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:
            used = int(file.read().split()[0]) * resource.getpagesize()
        former = resource.prlimit(pid, resource.RLIMIT_AS)
        resource.prlimit(pid, resource.RLIMIT_AS, (used, former[1]))
        # Lines that are nearly as long as they may be, each kept as long as its end is missing.
        greedy = []
        for _ in range(40):
            client = socket.socket(socket.AF_UNIX)
            self.addCleanup(client.close)
            client.settimeout(harness.PATIENCE)
            client.connect(rtd.socket)
            greedy.append(client)
            try:
                client.sendall(b'{"x":"' + b"x" * (MIB - 1000))
            except (BrokenPipeError, ConnectionResetError):
                pass
        wait_for(lambda: "was dropped: no_memory" in rtd.log(), "one has asked for too much")
        error = self.refused("unavailable", rtd.call, "task.run", plugin="fake", entry="serve", name="late")
        self.assertIn("no memory", str(error))
        for client in greedy:
            client.close()
        resource.prlimit(pid, resource.RLIMIT_AS, former)
        self.assertEqual(rtd.call("status")["pid"], pid)
        self.assertEqual(rtd.call("task.run", plugin="fake", entry="serve", name="late")["task"]["state"], "running")
        self.assertGreaterEqual(rtd.metric("rtd_control_connections_total", result="no_memory"), 1)
        self.assertEqual(rtd.sandbox()["restarts"], 0)

    def test_one_byte_at_a_time(self):
        rtd = self.start_fake()
        raw = self.raw(rtd)
        for byte in b'{"jsonrpc":"2.0","id":9,"method":"version"}\n':
            raw.sendall(bytes([byte]))
        self.assertEqual(self.line(raw)["id"], 9)

    def test_a_line_of_more_than_a_mebibyte_ends_the_connection(self):
        rtd = self.start_fake()
        raw = self.raw(rtd)
        fitting = b'{"jsonrpc":"2.0","id":1,"method":"ps","params":{"sandbox":"' + b"x" * (MIB - 100) + b'"}}\n'
        raw.sendall(fitting)
        self.assertEqual(self.line(raw)["error"]["data"]["kind"], "invalid_params")
        try:
            raw.sendall(b"x" * (2 * MIB))
        except (BrokenPipeError, ConnectionResetError):
            pass
        answer = self.line(raw)
        self.assertEqual(answer["error"]["data"]["kind"], "parse_error")
        with self.assertRaises((ConnectionError, OSError)):
            self.line(raw)
        self.assert_alive(rtd)

    def test_random_garbage(self):
        rtd = self.start_fake()
        seed = int(os.environ.get("RTD_TEST_SEED", random.SystemRandom().randrange(1 << 32)))
        print(f"RTD_TEST_SEED={seed}", file=sys.stderr)
        rng = random.Random(seed)
        good = b'{"jsonrpc":"2.0","id":1,"method":"task.inspect","params":{"name":"server"}}\n'
        for _ in range(200):
            raw = socket.socket(socket.AF_UNIX)
            raw.settimeout(harness.PATIENCE)
            raw.connect(rtd.socket)
            with raw:
                try:
                    for _ in range(rng.randrange(1, 5)):
                        data = bytearray(good * rng.randrange(1, 4) if rng.random() < 0.5 else rng.randbytes(rng.randrange(5000)))
                        for _ in range(rng.randrange(4)):
                            if data:
                                data[rng.randrange(len(data))] = rng.randrange(256)
                        raw.sendall(data)
                    if rng.random() < 0.5:
                        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                except (BrokenPipeError, ConnectionResetError):
                    pass
        self.assert_alive(rtd)
        self.assertEqual(rtd.task("server")["restarts"], 0)

    def test_too_many_requests_in_flight(self):
        rtd = self.start_fake()
        with rtd.connect() as client:
            numbers = [client.send("task.wait", {"name": "server"}) for _ in range(20)]
            for number in numbers[16:]:
                self.refused("busy", client.answer, number)
            rtd.call("task.stop", name="server")
            for number in numbers[:16]:
                self.assertEqual(client.answer(number)["task"]["state"], "stopped")


class Clients(ControlTest):
    def test_clients_that_vanish(self):
        rtd = self.start_fake()
        request = b'{"jsonrpc":"2.0","id":1,"method":"%s","params":%s}\n'
        for method, params in [(b"status", b"{}"), (b"task.wait", b'{"name":"server"}'), (b"logs", b'{"follow":true}'),
                               (b"events", b'{"follow":true}'), (b"task.restart", b'{"name":"server"}'),
                               (b"stacks", b"{}")]:
            for i in range(20):
                raw = socket.socket(socket.AF_UNIX)
                raw.connect(rtd.socket)
                raw.sendall(request % (method, params) if i % 2 else (request % (method, params))[:20])
                raw.close()
        self.assert_alive(rtd)
        wait_for(lambda: rtd.metric("rtd_control_connections") == 1, "the vanished clients are forgotten")
        rtd.wait_task("server", "running")

    def test_a_thousand_connections(self):
        rtd = self.start_fake({"control": {"max_connections": 20}})
        sockets = []
        served = refused = 0
        for _ in range(1000):
            raw = socket.socket(socket.AF_UNIX)
            raw.settimeout(harness.PATIENCE)
            raw.connect(rtd.socket)
            sockets.append(raw)
        for raw in sockets:
            self.line(raw)
            try:
                raw.sendall(b'{"jsonrpc":"2.0","id":1,"method":"version"}\n')
                answer = self.line(raw)
            except (BrokenPipeError, ConnectionResetError):
                refused += 1
                continue
            if "result" in answer:
                served += 1
            else:
                self.assertEqual(answer["error"]["data"]["kind"], "busy")
                self.assertIn("max_connections", answer["error"]["data"]["hint"])
                refused += 1
        # All of these clients are admins: they may use the reserve of 8. One connection is the harness's.
        self.assertEqual((served, refused), (27, 973))
        for raw in sockets:
            raw.close()
        self.assert_alive(rtd)
        self.assertGreaterEqual(rtd.metric("rtd_control_connections_total", result="limit"), 973)

    def test_a_follower_that_never_reads(self):
        body = """    def after(self, method, params):
        super().after(method, params)
        if method == "task.start":
            def flood():
                while True:
                    for _ in range(50): self.log("y" * 7000, task="server", plugin="fake")
                    time.sleep(0.1)
            threading.Thread(target=flood, daemon=True).start()
"""
        rtd = self.start_fake(body=body)
        deaf = self.raw(rtd)
        deaf.sendall(b'{"jsonrpc":"2.0","id":1,"method":"logs","params":{"follow":true}}\n')
        slow = rtd.connect()
        self.addCleanup(slow.close)
        slow.call("logs", follow=True, limit=0)
        time.sleep(6)
        # One that reads again is told what it missed and goes on.
        dropped = slow.notification("rtd.dropped")
        self.assertGreater(dropped["dropped"], 0)
        slow.notification("rtd.log")
        # One that never does is dropped, and cost the daemon no more than its queue.
        wait_for(lambda: rtd.metric("rtd_control_connections_total", result="dropped_slow"), "the deaf client is dropped",
                 timeout=60 * harness.SLOWNESS, pause=1)
        with open(f"/proc/{rtd.process.pid}/statm", encoding="ascii") as file:
            resident = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        if not os.environ.get("RTD_SANITIZE"):
            self.assertLess(resident, 100 * MIB)
        self.assert_alive(rtd)

    def test_a_client_that_asks_and_never_reads(self):
        rtd = self.start_fake()
        raw = self.raw(rtd)
        raw.settimeout(3)
        sent = 0
        with self.assertRaises(TimeoutError):
            while sent < 500 * MIB:
                sent += raw.send(b'{"jsonrpc":"2.0","id":1,"method":"rpc.discover"}\n' * 100)
        self.assertLess(sent, 20 * MIB, "the daemon stops to read from a client that does not read")
        self.assert_alive(rtd)

    def test_a_stopped_client_does_not_hold_others_up(self):
        rtd = self.start_fake()
        others = [self.raw(rtd) for _ in range(10)]
        for raw in others:
            raw.sendall(b'{"jsonrpc":"2.0","id":1,"method":"logs","params":{"limit":10000,"follow":true}}\n{"half')
        began = time.monotonic()
        for _ in range(50):
            rtd.call("version")
        self.assertLess(time.monotonic() - began, 5 * harness.SLOWNESS)


class Following(ControlTest):
    def test_logs(self):
        rtd = self.start_fake(body="""    def after(self, method, params):
        super().after(method, params)
        if method == "task.start":
            self.log("one\\x1b[31m", task=params["id"], plugin="fake", level="warn")
            print("to stdout", flush=True)
            print("to stderr", file=sys.stderr, flush=True)
""")
        lines = wait_for(lambda: (found := rtd.call("logs", sandbox="default", limit=1000)["lines"]) and
                         {"task", "stdout", "stderr"} <= {line["source"] for line in found} and found, "the lines")
        by_source = {line["source"]: line for line in lines}
        self.assertEqual(by_source["task"]["message"], "one\\x1b[31m")
        self.assertEqual(by_source["task"]["task"], "server")
        self.assertEqual(by_source["task"]["level"], "warn")
        self.assertEqual(by_source["stdout"]["message"], "to stdout")
        self.assertEqual(by_source["stderr"]["level"], "warn")
        self.assertNotIn("\x1b", rtd.log())
        self.assertEqual(len(rtd.call("logs", limit=2)["lines"]), 2)
        self.assertEqual(rtd.call("logs", task="server", level="error")["lines"], [])
        self.assertEqual(rtd.call("logs", since_seconds=0)["lines"], [])
        self.refused("not_found", rtd.call, "logs", sandbox="nowhere")
        self.refused("invalid_params", rtd.call, "logs", level="loud")
        with rtd.connect() as follower:
            follower.call("logs", task="server", follow=True, limit=0)
            rtd.call("task.run", name="other", plugin="fake", entry="serve")
            rtd.call("task.restart", name="server")
            line = follower.notification("rtd.log", lambda params: params["source"] == "task")
            self.assertEqual(line["task"], "server")

    def test_events(self):
        rtd = self.start_fake()
        kinds = [event["kind"] for event in rtd.events()]
        self.assertEqual(kinds, ["daemon_started", "plugin_loaded", "sandbox_started", "task_started"])
        last = rtd.events()[-1]["seq"]
        with rtd.connect() as follower:
            follower.call("events", follow=True, since_seq=last)
            rtd.call("task.stop", name="server")
            event = follower.notification("rtd.event")
            self.assertEqual((event["kind"], event["task"], event["sandbox"]), ("task_stopped", "server", "default"))
            self.assertGreater(event["seq"], last)
            self.assertRegex(event["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")


class Results(ControlTest):
    def test_status_and_ps(self):
        rtd = self.start_fake()
        status = rtd.call("status")
        self.assertEqual(status["pid"], rtd.process.pid)
        self.assertEqual(status["config"]["generation"], 1)
        self.assertEqual(status["config"]["file"], rtd.config_file)
        self.assertEqual(status["tasks"]["running"], 1)
        self.assertEqual(status["sandboxes"][0]["state"], "up")
        self.assertIn("no_new_privs", status["sandboxes"][0]["layers"])
        task = rtd.tasks()["server"]
        for key in ("name sandbox plugin entry state restarts age_seconds cpu_seconds green_threads status last_exit "
                    "configured backoff_seconds").split():
            self.assertIn(key, task)
        wait_for(lambda: rtd.tasks()["server"]["status"] == "as fake as can be", "the host's figures")
        self.assertEqual(rtd.tasks()["server"]["cpu_seconds"], 0.5)
        self.refused("not_found", rtd.call, "ps", sandbox="nowhere")

    def test_tasks(self):
        rtd = self.start_fake()
        task = rtd.call("task.run", plugin="fake", entry="serve", params={"n": 5, "list": ["a", True]})["task"]
        self.assertEqual((task["name"], task["state"], task["configured"]), ("fake-serve-1", "running", False))
        shown = rtd.call("task.inspect", name="fake-serve-1")
        self.assertEqual(shown["params"], {"n": "5", "list": ["a", "true"]})
        self.assertEqual(shown["history"][-1]["state"], "running")
        for _ in range(2):  # a name that has finished may be used again
            rtd.call("task.run", name="job", plugin="fake", entry="once")
            self.assertEqual(rtd.call("task.wait", name="job")["task"]["state"], "completed")
        self.refused("already_exists", rtd.call, "task.run", name="server", plugin="fake", entry="serve")
        self.refused("timeout", rtd.call, "task.wait", name="server", timeout_seconds=0.05)
        error = self.refused("not_found", rtd.call, "task.stop", name="servr")
        self.assertEqual(error.data["hint"], 'did you mean "server"?')
        self.refused("not_found", rtd.call, "task.run", plugin="fak", entry="serve")
        error = self.refused("plugin_rejected", rtd.call, "task.run", name="none", plugin="fake", entry="nothing")
        self.assertIn("it has: serve, once", str(error))
        self.assertNotIn("none", rtd.tasks())
        error = self.refused("invalid_params", rtd.call, "task.run", plugin="fake", entry="serve", params={"x": {}})
        self.assertEqual(error.data["pointer"], "/params/params/x")
        self.refused("invalid_params", rtd.call, "task.run", plugin="fake", entry="serve", restart="sometimes")
        self.assertEqual(rtd.call("task.stop", name="server")["task"]["state"], "stopped")
        self.assertEqual(rtd.call("task.stop", name="server")["task"]["state"], "stopped")
        self.assertEqual(rtd.call("task.start", name="server")["task"]["state"], "running")
        self.refused("invalid_state", rtd.call, "task.start", name="server")
        before = rtd.task("server")["started_at"]
        time.sleep(0.01)  # the times have milliseconds, and a restart takes less than one
        restarted = rtd.call("task.restart", name="server")["task"]
        self.assertEqual(restarted["state"], "running")
        self.assertNotEqual(restarted["started_at"], before)

    def test_gc_stacks_plugins_versions(self):
        rtd = self.start_fake()
        self.assertEqual(rtd.call("gc.run")["sandboxes"],
                         [{"name": "default", "live_bytes": 1000, "heap_bytes": 8192, "stack_bytes": 4096,
                           "malloc_bytes": 0, "duration_seconds": 0.001}])
        self.assertTrue(rtd.call("stacks")["text"].startswith("goroutine 1 [running]:\n"))
        plugin = rtd.call("plugin.list")["plugins"][0]
        self.assertEqual((plugin["name"], plugin["state"], plugin["sandbox"]), ("fake", "loaded", "default"))
        self.assertEqual([entry["name"] for entry in plugin["entries"]], ["serve", "once", "fail", "stubborn"])
        checked = rtd.call("plugin.check", path=plugin["path"])
        self.assertEqual((checked["ok"], checked["kind"], checked["version"]), (True, "", "1.0.0"))
        checked = rtd.call("plugin.check", path="/nowhere/x.so")
        self.assertEqual((checked["ok"], checked["kind"]), (False, "plugin_not_found"))
        self.refused("invalid_params", rtd.call, "plugin.check", path="x.so")
        self.assertEqual(rtd.call("version")["abi"], 1)

    def test_log_level(self):
        rtd = self.start_fake()
        rtd.call("log_level", level="error")
        rtd.call("task.restart", name="server")
        self.assertEqual([line for line in rtd.call("logs")["lines"] if "task.restart" in line["message"]], [])
        rtd.call("log_level", level="info")
        rtd.call("task.restart", name="server")
        self.assertTrue([line for line in rtd.call("logs")["lines"] if "task.restart" in line["message"]])

    def test_changes_are_audited(self):
        rtd = self.start_fake()
        rtd.call("task.restart", name="server")
        self.refused("not_found", rtd.call, "task.stop", name="nobody")
        audit = [line["message"] for line in rtd.call("logs", limit=1000)["lines"] if line["message"].startswith("audit:")]
        who = f"audit: uid {os.geteuid()}, pid {os.getpid()}, role admin: "
        self.assertIn(who + "task.restart name=server: ok", audit)
        self.assertTrue(any(line.startswith(who + "task.stop name=nobody: not_found") for line in audit), audit)
        self.assertFalse(any("status" in line for line in audit), "looking is not audited")

    def test_shutdown(self):
        rtd = self.start_fake()
        self.assertEqual(rtd.call("shutdown"), {})
        self.assertEqual(rtd.process.wait(harness.PATIENCE), 0)
        self.assertFalse(os.path.exists(rtd.socket))


class Roles(ControlTest):
    def as_user(self, rtd, uid, groups, *requests):
        """What a client of another user gets: the greeting and an answer to each request."""
        os.chmod(rtd.folder, 0o755)
        program = (
            "import os, socket, json, sys\n"
            f"os.setgroups({groups!r}); os.setgid(60001); os.setuid({uid})\n"
            f"s = socket.socket(socket.AF_UNIX); s.connect({rtd.socket!r}); f = s.makefile('rwb')\n"
            "out = [json.loads(f.readline())]\n"
            f"for i, (method, params) in enumerate({list(requests)!r}):\n"
            "    f.write(json.dumps({'jsonrpc':'2.0','id':i,'method':method,'params':params}).encode() + b'\\n'); f.flush()\n"
            "    out.append(json.loads(f.readline()))\n"
            "print(json.dumps(out))\n")
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def setUp(self):
        super().setUp()
        if os.geteuid() != 0:
            self.skipTest("needs root to connect as other users")

    def test_roles_by_user_and_group(self):
        roles = [{"role": "view", "uid": 60010}, {"role": "operate", "gid": 60020}, {"role": "admin", "uid": 60030}]
        rtd = self.start_fake({"control": {"mode": "0666", "roles": roles}})
        look, change, rule = ("status", {}), ("task.restart", {"name": "server"}), ("log_level", {"level": "info"})
        for uid, groups, role, allowed in [(60009, [], "none", 0), (60010, [], "view", 1), (60011, [60020], "operate", 2),
                                           (60010, [1, 2, 60020], "operate", 2), (60030, [], "admin", 3),
                                           (65534, [60020], "none", 0)]:
            hello, *answers = self.as_user(rtd, uid, groups, look, change, rule)
            self.assertEqual(hello["params"]["role"], role, uid)
            self.assertEqual(["result" in answer for answer in answers], [i < allowed for i in range(3)], (uid, answers))
            for answer in answers[allowed:]:
                self.assertEqual(answer["error"]["data"]["kind"], "permission_denied")
                self.assertIn("control.roles", answer["error"]["data"]["hint"])
        wait_for(lambda: "audit: uid 60010" in rtd.log(), "the audit line")

    def test_files_are_not_read_for_those_who_may_not(self):
        rtd = self.start_fake({"control": {"mode": "0666", "roles": [{"role": "view", "uid": 60010}]}})
        _, own, other, text = self.as_user(rtd, 60010, [], ("config.check", {}), ("config.check", {"file": "/etc/shadow"}),
                                           ("config.check", {"text": "{}"}))
        self.assertTrue(own["result"]["ok"])
        self.assertEqual(other["error"]["data"]["kind"], "permission_denied")
        self.assertTrue(text["result"]["ok"])
        self.assertFalse(rtd.call("config.check", file="/etc/shadow")["ok"], "root may")

    def test_the_mode_of_the_socket(self):
        rtd = self.start_fake({"control": {"mode": "0600"}})
        self.assertEqual(stat.S_IMODE(os.stat(rtd.socket).st_mode), 0o600)


class Socket(ControlTest):
    def test_a_stale_socket_is_replaced_and_a_living_one_refused(self):
        rtd = self.start_fake()
        second = subprocess.run([os.path.join(harness.BIN_DIR, "rtd"), "--config", rtd.config_file], capture_output=True,
                                text=True, timeout=60, check=False)
        self.assertEqual(second.returncode, 1)
        self.assertIn("another rtd is running there", second.stderr)
        self.assert_alive(rtd)
        host = rtd.host_pid()
        rtd.process.kill()
        rtd.process.wait()
        self.assertTrue(os.path.exists(rtd.socket), "a killed daemon leaves its socket")
        wait_for(lambda: not os.path.exists(f"/proc/{host}") or self.is_zombie(host), "the host dies with its supervisor")
        rtd.client.close()
        rtd.start()
        self.assert_alive(rtd)

    def is_zombie(self, pid):
        try:
            with open(f"/proc/{pid}/stat", encoding="ascii") as file:
                return file.read().rsplit(")", 1)[1].split()[0] == "Z"
        except (FileNotFoundError, ProcessLookupError):
            return True

    def test_something_else_in_its_place_stays(self):
        rtd = harness.Rtd({})
        self.addCleanup(rtd.remove)
        with open(rtd.socket, "w", encoding="ascii") as file:
            file.write("precious")
        rtd.start(wait=False)
        self.assertEqual(rtd.process.wait(harness.PATIENCE), 1)
        self.assertIn("not a socket", rtd.log())
        with open(rtd.socket, encoding="ascii") as file:
            self.assertEqual(file.read(), "precious")

    def test_runtime_dir(self):
        rtd = harness.Rtd({})
        self.addCleanup(rtd.remove)
        config = rtd.complete({})
        del config["control"]
        rtd.write_config(json.dumps(config), raw=True)
        rtd.arguments = ["--runtime-dir", os.path.join(rtd.folder, "run")]
        rtd.socket = os.path.join(rtd.folder, "run", "control.sock")
        self.addCleanup(self.finish, rtd)
        rtd.start(wait=False).wait_for_socket()
        self.assertEqual(rtd.call("config.show")["config"]["control"]["socket"], rtd.socket)


class CommandLine(ControlTest):
    def run_rtd(self, *arguments):
        return subprocess.run([os.path.join(harness.BIN_DIR, "rtd"), *arguments], capture_output=True, text=True,
                              timeout=60, check=False)

    def test_version_help_and_usage(self):
        self.assertEqual(self.run_rtd("--version").stdout, "rtd 0.1.0\n")
        self.assertIn("--check-config", self.run_rtd("--help").stdout)
        self.assertEqual(self.run_rtd("--nonsense").returncode, 2)
        self.assertEqual(self.run_rtd("--log-level", "loud").returncode, 2)

    def test_bad_configurations_end_with_78(self):
        rtd = harness.Rtd({})
        self.addCleanup(rtd.remove)
        rtd.write_config('{\n  "tasks": {"a": {"plugn": "x"}}\n}', raw=True)
        for arguments in (("--check-config", rtd.config_file), ("--config", rtd.config_file),
                          ("--config", rtd.config_file, "--check-config")):
            done = self.run_rtd(*arguments)
            self.assertEqual(done.returncode, 78, done)
            self.assertIn("rtd.json:2:", done.stdout + done.stderr)
            self.assertIn('did you mean "plugin"', done.stdout + done.stderr)
        self.assertEqual(self.run_rtd("--config", "/nowhere/rtd.json").returncode, 78)

    def test_an_address_in_use(self):
        taken = socket.socket()
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        self.addCleanup(taken.close)
        rtd = harness.Rtd({"http": {"listen": f"127.0.0.1:{taken.getsockname()[1]}"}})
        self.addCleanup(rtd.remove)
        rtd.start(wait=False)
        self.assertEqual(rtd.process.wait(harness.PATIENCE), 1)
        self.assertIn(str(taken.getsockname()[1]), rtd.log())

    def test_a_reader_of_the_log_that_stops(self):
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        folder = self.make_folder()
        rtd = harness.Rtd({})
        self.addCleanup(rtd.remove)
        rtd.write_config({"plugins": {"fake": {"path": harness.fake_plugin(folder)}},
                          "tasks": {"one": {"plugin": "fake", "entry": "serve"}},
                          "host_binary": harness.write_fake_host(rtd.folder, """    def after(self, method, params):
        super().after(method, params)
        if method == "task.start":
            for _ in range(3000): self.log("x" * 1000, task="one")
""")})
        rtd.process = subprocess.Popen([os.path.join(harness.BIN_DIR, "rtd"), "--config", rtd.config_file],
                                       stderr=writer, stdin=subprocess.DEVNULL)
        os.close(writer)
        rtd.wait_for_socket()
        wait_for(lambda: rtd.tasks().get("one", {}).get("state") == "running", "the task runs")
        wait_for(lambda: rtd.metric("rtd_log_messages_total", source="task") >= 3000, "all lines came")
        self.assertEqual(rtd.call("status")["pid"], rtd.process.pid)
        lines = rtd.call("logs", task="one", limit=10000)["lines"]
        written = [line for line in lines if line["source"] == "task"]
        self.assertEqual(len(written), 3000, "`logs` has what the pipe has not")
        rtd.client.close()
        rtd.process.terminate()
        with os.fdopen(os.dup(reader), "rb") as pipe:
            text = pipe.read()
        self.assertEqual(rtd.process.wait(harness.PATIENCE), 0)
        self.assertIn(b"stopped", text.splitlines()[-1])

    def test_log_formats(self):
        for log_format in ("text", "json"):
            rtd = self.start_fake({"log": {"format": log_format}})
            first = wait_for(lambda: rtd.log().splitlines(), "the first line")[0]  # a thread of its own writes them
            if log_format == "json":
                self.assertEqual(json.loads(first)["source"], "supervisor")
            else:
                self.assertRegex(first, r"^\d{4}-\S+Z info  rtd 0\.1\.0 starts with ")
            rtd.stop()


if __name__ == "__main__":
    unittest.main()
