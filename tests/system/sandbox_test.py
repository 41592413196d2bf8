#!/usr/bin/env python3
"""The sandbox as a whole: what plugins cannot do, that the daemon lives through their trying, and that it says who tried
what; which layers are in force, and what follows when one is missing; what grants grant.

The cases of class Escapes run as root, and once more as a user without privileges when the test runs as root.
"""
import ctypes
import errno
import os
import re
import socket
import subprocess
import unittest

import harness
from harness import wait_for

ESCAPE = {"test-escape": {"path": "test_escape.so"}}
NOBODY = 65534

#: Refused by the filter, and so reported with call, arguments, task, plugin and stack: attempt and call.
REPORTED = {
    "abstract-socket": "socket", "alg": "socket", "become-root": "setuid", "bpf": "bpf", "capabilities": "capset",
    "chroot": "chroot", "clone-namespace": "clone", "control-socket": "socket", "dumpable": "prctl", "exec": "execve",
    "execveat": "execveat", "filter-listener": "seccomp", "fork": "clone", "handles": "name_to_handle_at",
    "host-name": "sethostname", "kcmp": "kcmp", "keys": "keyctl", "kill-1": "kill", "kill-all": "kill",
    "kill-parent": "kill", "make-exec": "mprotect", "map-exec": "mmap", "map-write-exec": "mmap",
    "map-written-file": "mmap", "memfd": "memfd_create", "mount": "mount", "netlink-audit": "socket",
    "open-handle": "open_by_handle_at", "packet": "socket", "perf": "perf_event_open", "personality": "personality",
    "pidfd": "pidfd_open", "ptrace": "ptrace", "raise-limit": ("setrlimit", "prlimit64"), "raw": "socket",
    "read-memory-of-1": "process_vm_readv", "remount": "mount", "setns": "setns", "survive-the-supervisor": "prctl",
    "terminal": "ioctl", "tgkill-1": "tgkill", "traceme": "ptrace", "unmount": "umount2", "untraced": "clone",
    "user-namespace": "unshare", "userfaultfd": "userfaultfd", "vsock": "socket",
}
#: Refused where it is no call that is forbidden but what it is about: the attempt sees why.
REFUSED = {
    "clone3-namespace": "ENOSYS", "connect": "ENETUNREACH", "control-socket-as-name-cache": "EACCES",
    "descriptors": "ENOENT", "dev-kmsg": "ENOENT", "dev-mem": "ENOENT", "host-file": "ENOENT", "io-uring": "ENOSYS",
    "list-proc": "ENOENT", "memory-of-1": "ENOENT", "netlink-route": "EAFNOSUPPORT", "old-root": "ENOENT",
    "own-memory": "ENOENT", "read-passwd": "ENOENT", "read-shadow": "ENOENT", "replace-plugin": "EACCES|EROFS|EBUSY",
    "stat-shadow": "ENOENT", "sys": "ENOENT", "system": "EPERM|ENOENT|ENOSYS|Success|.*", "udp": "ENETUNREACH",
    "unknown-call": "ENOSYS", "write-library": "EACCES|EROFS", "write-plugin": "EACCES|EROFS",
    "write-root": "EACCES|EROFS",
}


def landlock_level():
    """The kernel's; 0 where there is no Landlock."""
    create_ruleset, version = 444, 1
    return max(ctypes.CDLL(None).syscall(create_ruleset, None, 0, version), 0)


def layers_of(sandbox):
    return set(sandbox["layers"])


@unittest.skipIf(os.environ.get("RTD_SANITIZE"), "sanitizers need /proc, which a sandbox has not")
class SandboxCase(harness.RtdTestCase):
    as_user = None

    def setUp(self):
        super().setUp()
        if self.as_user is not None and os.geteuid() != 0:
            self.skipTest("runs as an ordinary user already")

    def start(self, config, wait=True, **named):
        if self.as_user is None:
            return super().start(config, wait, **named)
        # As in harness.RtdTestCase.start, by another user and in a folder that it can enter.
        rtd = harness.Rtd({})
        self.daemons.append(rtd)
        self.addCleanup(rtd.remove)
        rtd.write_config(config)
        os.chown(rtd.folder, self.as_user, self.as_user)
        with open(rtd.log_file, "wb"):
            pass
        os.chown(rtd.config_file, self.as_user, self.as_user)
        self.addCleanup(self.finish, rtd)
        real = subprocess.Popen

        def popen(*arguments, **options):
            return real(*arguments, **options, user=self.as_user, group=self.as_user, extra_groups=[])

        subprocess.Popen = popen
        try:
            rtd.start(wait)
        finally:
            subprocess.Popen = real
        return rtd

    def start_escape(self, tasks=None, isolation=None, **sandbox):
        isolation = {"mode": "strict", **(isolation or {})}
        return self.start({"plugins": ESCAPE, "tasks": tasks or {},
                           "sandboxes": {"default": {"isolation": isolation, **sandbox}}})

    def run_task(self, rtd, name, entry, **params):
        rtd.call("task.run", name=name, plugin="test-escape", entry=entry, restart="never", params=params)
        return rtd.wait_task(name, "completed", "failed", "fatal")

    def messages(self, rtd, task):
        return [line["message"] for line in rtd.call("logs", limit=1000, task=task)["lines"]]

    def alive(self, rtd):
        self.assertIsNone(rtd.process.poll())
        self.assertEqual(rtd.call("status")["pid"], rtd.process.pid)


class Escapes(SandboxCase):
    refusals = REFUSED

    def attempts(self, rtd):
        self.run_task(rtd, "list", "list")
        return sorted(m.removeprefix("attempt ") for m in self.messages(rtd, "list") if m.startswith("attempt "))

    def test_every_attempt_is_refused_and_named(self):
        secret = os.path.join(self.make_folder(), "secret")
        with open(secret, "w", encoding="ascii") as file:
            file.write("secret")
        os.chmod(os.path.dirname(secret), 0o755)
        rtd = self.start_escape()
        host = rtd.host_pid()
        names = self.attempts(rtd)
        names.remove("listen")  # in a network of its own it may
        self.assertEqual(names, sorted({*REPORTED, *self.refusals}))
        params = {"plugin": os.path.join(harness.PLUGIN_DIR, "test_escape.so"), "file": secret, "socket": rtd.socket,
                  "port": "9"}
        for name in names:
            with self.subTest(attempt=name):
                seen = rtd.sandbox()["violations_total"]
                task = self.run_task(rtd, name, "one", attempt=name, **params)
                self.assertEqual(task["state"], "completed", self.messages(rtd, name))
                said = [m for m in self.messages(rtd, name) if "was refused" in m]
                self.assertEqual(len(said), 1)
                self.alive(rtd)
                if name in REPORTED:
                    report = wait_for(lambda: next((v for v in rtd.sandbox()["violations"] if v["task"] == name), None),
                                      f"the report of {name}")
                    self.assertIn(report["call"], REPORTED[name])
                    self.assertEqual((report["plugin"], len(report["arguments"])), ("test-escape", 6))
                    self.assertTrue(any("(test_escape.so)" in frame for frame in report["stack"]), report["stack"])
                    self.assertGreater(rtd.sandbox()["violations_total"], seen)
                else:
                    self.assertRegex(said[0], self.refusals[name])
        self.assertEqual(rtd.host_pid(), host, "the host lived through all of it")
        self.assertEqual(rtd.metric("rtd_sandbox_denied_syscalls_total", syscall="bpf"), 1)
        self.assertTrue(any("refused bpf(" in e["message"] and e["task"] == "bpf"
                            for e in rtd.events("sandbox_violation")) or len(rtd.events("sandbox_violation")) >= 20)

    def test_constructors_are_confined(self):
        rtd = self.start({"plugins": {"test-escape-constructor": {"path": "test_escape_constructor.so"}},
                          "tasks": {}, "sandboxes": {"default": {"isolation": {"mode": "strict"}}}})
        wait_for(lambda: rtd.sandbox()["violations"], "the report of what the constructor did")
        report = rtd.sandbox()["violations"][0]
        self.assertEqual((report["call"], report["plugin"], report["task"]), ("ptrace", "test-escape-constructor", ""))
        self.assertIn("test_escape_constructor.so", " ".join(report["stack"]))
        rtd.call("task.run", name="tell", plugin="test-escape-constructor", entry="tell", restart="never")
        rtd.wait_task("tell", "completed")
        self.assertIn("constructor was refused: EPERM ENOENT", self.messages(rtd, "tell"))

    def test_a_handler_of_its_own_changes_nothing(self):
        rtd = self.start_escape()
        self.assertEqual(self.run_task(rtd, "own", "own_handler")["state"], "completed")
        self.alive(rtd)

    def end_of_host(self, entry):
        rtd = self.start_escape()
        rtd.call("task.run", name="culprit", plugin="test-escape", entry=entry, restart="never")
        end = wait_for(lambda: rtd.sandbox()["last_exit"], f"the host of {entry} ends")
        self.assertEqual((end["signal"], end["reason"]), ("SIGSYS", "signal"))
        self.assertIn("system call", end["detail"])
        rtd.wait_sandbox("up")
        self.alive(rtd)
        self.assertNotIn("ESCAPED", rtd.log())

    def test_blocked_signals_end_the_host(self):
        self.end_of_host("blocked")

    @unittest.skipUnless(os.uname().machine == "x86_64", "a door of x86-64")
    def test_other_architectures_end_the_host(self):
        self.end_of_host("other_architecture")
        self.end_of_host("x32")

    def test_on_violation_kill(self):
        rtd = self.start_escape(isolation={"on_violation": "kill"})
        rtd.call("task.run", name="culprit", plugin="test-escape", entry="one", restart="never",
                 params={"attempt": "traceme"})
        end = wait_for(lambda: rtd.sandbox()["last_exit"], "the host is ended")
        self.assertEqual(end["reason"], "violation")
        self.assertIn("ptrace(", end["detail"])
        self.assertIn("in task culprit, plugin test-escape", end["detail"])
        rtd.wait_sandbox("up")
        self.assertEqual(rtd.metric("rtd_sandbox_restarts_total", reason="violation"), 1)

    def test_a_flood_of_violations(self):
        rtd = self.start_escape()
        self.assertEqual(self.run_task(rtd, "flood", "violation_flood")["state"], "completed")
        wait_for(lambda: rtd.sandbox()["violations_total"] == 20_000, "every one is counted")
        self.assertLess(len(rtd.events("sandbox_violation")), 100)
        self.alive(rtd)


class EscapesAsUser(Escapes):
    as_user = NOBODY


class Bombs(SandboxCase):
    def test_descriptors(self):
        rtd = self.start_escape(limits={"open_files": 300})
        self.run_task(rtd, "bomb", "descriptor_bomb")
        self.assertRegex(" ".join(self.messages(rtd, "bomb")), r"ran out after 2\d\d: EMFILE")
        self.alive(rtd)

    def test_threads(self):
        rtd = self.start_escape(limits={"processes": 100})
        self.run_task(rtd, "bomb", "thread_bomb")
        found = re.search(r"threads ran out after (\d+)", " ".join(self.messages(rtd, "bomb")))
        self.assertLess(int(found[1]), 100)
        self.alive(rtd)

    def test_forks(self):
        rtd = self.start_escape()
        self.run_task(rtd, "bomb", "fork_bomb")
        self.assertIn("refused 1000 of 1000 forks", self.messages(rtd, "bomb"))
        self.alive(rtd)

    def test_files(self):
        rtd = self.start_escape(limits={"file_size": "3MiB"})
        self.run_task(rtd, "bomb", "file_bomb")
        self.assertIn(f"the file ended at {3 << 20}: EFBIG", self.messages(rtd, "bomb"))

    def test_scratch(self):
        rtd = self.start_escape(isolation={"scratch": "2MiB"})
        self.run_task(rtd, "bomb", "file_bomb")
        self.assertIn(f"the file ended at {2 << 20}: ENOSPC", self.messages(rtd, "bomb"))


class BombsAsUser(Bombs):
    as_user = NOBODY


class Layers(SandboxCase):
    def test_all_of_them(self):
        rtd = self.start_escape()
        sandbox = rtd.sandbox()
        expected = {"ipc_namespace", "uts_namespace", "network_namespace", "mount_namespace", "pid_namespace",
                    "nested_user_namespace", "capabilities", "no_new_privs", "landlock", "seccomp", "seccomp_sealed"}
        self.assertLessEqual(expected, layers_of(sandbox))
        self.assertEqual((sandbox["isolation"], sandbox["missing_layers"]), ("strict", []))
        for layer in expected:
            self.assertEqual(rtd.metric("rtd_sandbox_layer_active", layer=layer), 1)
        text = subprocess.run([os.path.join(harness.BIN_DIR, "rtctl"), "--socket", rtd.socket, "sandbox", "inspect", "default"],
                              capture_output=True, text=True, check=True).stdout
        self.assertIn("seccomp_sealed", text)
        self.assertIn("strict", text)

    def test_none(self):
        rtd = self.start_escape(isolation={"mode": "none"})
        self.assertFalse({"mount_namespace", "seccomp"} & layers_of(rtd.sandbox()))
        wait_for(lambda: "the sandbox is not isolated" in rtd.log(), "it is logged")

    def without_namespaces(self):
        """The daemons of the case may make none: a container's filter in front of unshare."""
        try:
            seccomp = ctypes.CDLL("libseccomp.so.2", use_errno=True)
        except OSError as error:
            self.skipTest(str(error))
        seccomp.seccomp_init.restype = ctypes.c_void_p
        allow, permission_denied = 0x7FFF0000, 0x00050000 | errno.EPERM
        former = harness.die_with_the_test

        def refuse_unshare():
            former()
            rules = ctypes.c_void_p(seccomp.seccomp_init(ctypes.c_uint32(allow)))
            number = seccomp.seccomp_syscall_resolve_name(b"unshare")
            seccomp.seccomp_rule_add_array(rules, ctypes.c_uint32(permission_denied), number, 0, None)
            if seccomp.seccomp_load(rules) != 0:
                os._exit(9)

        harness.die_with_the_test = refuse_unshare

        def back():
            harness.die_with_the_test = former

        self.addCleanup(back)

    def test_strict_refuses_what_is_not_whole(self):
        self.without_namespaces()
        rtd = self.start({"plugins": ESCAPE, "tasks": {},
                          "sandboxes": {"default": {"isolation": {"mode": "strict"}}}}, wait=False)
        rtd.wait_for_socket()
        sandbox = rtd.wait_sandbox("fatal")
        self.assertRegex(sandbox["fatal_reason"], "layer (ipc|user)_namespace: Operation not permitted")
        self.assertIn("max_user_namespaces", sandbox["fatal_reason"])
        self.assertFalse(rtd.call("status")["ready"])
        self.alive(rtd)

    def test_best_effort_says_what_is_missing(self):
        self.without_namespaces()
        rtd = self.start_escape(isolation={"mode": "best-effort"})
        sandbox = rtd.sandbox()
        missing = {layer["name"]: layer for layer in sandbox["missing_layers"]}
        self.assertLessEqual({"mount_namespace", "pid_namespace", "network_namespace", "nested_user_namespace"},
                             set(missing))
        self.assertIn("max_user_namespaces", missing["nested_user_namespace"]["remedy"])
        self.assertEqual(rtd.metric("rtd_sandbox_layer_active", layer="nested_user_namespace"), 0)
        wait_for(lambda: "layer nested_user_namespace is not to be had" in rtd.log(), "it is logged")
        self.assertLessEqual({"landlock", "seccomp", "seccomp_sealed"}, layers_of(sandbox))
        # What is left holds.
        for attempt in ("read-shadow", "ptrace", "fork", "own-memory", "make-exec"):
            self.assertEqual(self.run_task(rtd, attempt, "one", attempt=attempt)["state"], "completed")
        self.alive(rtd)

    def test_a_sandbox_sees_no_plugin_that_it_was_not_started_for(self):
        rtd = self.start({"plugins": ESCAPE, "sandboxes": {
            "default": {}, "other": {"isolation": {"mode": "strict", "seal": False}}}})
        with self.assertRaises(harness.RpcError) as refused:
            rtd.call("task.run", name="it", plugin="test-escape", entry="list", sandbox="other", restart="never")
        self.assertIn("sandbox other was started without this file", str(refused.exception))
        self.assertIn("`rtctl sandbox restart other`", str(refused.exception))
        rtd.call("sandbox.restart", name="other")
        rtd.wait_sandbox("up", "other")
        rtd.call("task.run", name="it", plugin="test-escape", entry="list", sandbox="other", restart="never")
        rtd.wait_task("it", "completed")

    def test_a_sealed_sandbox_loads_no_other_plugin(self):
        rtd = self.start_escape()
        host = rtd.host_pid()
        config = {"plugins": {**ESCAPE, "test-behaviour": {"path": "test_behaviour.so"}},
                  "tasks": {"waits": {"plugin": "test-behaviour", "entry": "wait_for_stop"}},
                  "sandboxes": {"default": {"isolation": {"mode": "strict"}}}}
        rtd.write_config(config)
        rtd.call("config.reload")
        rtd.wait_task("waits", "running")
        self.assertNotEqual(rtd.host_pid(), host)
        self.assertEqual(rtd.sandbox()["last_exit"]["reason"], "config")

    def test_an_open_one_does(self):
        rtd = self.start_escape(isolation={"seal": False})
        host = rtd.host_pid()
        rtd.write_config({"plugins": {**ESCAPE, "test-behaviour": {"path": "test_behaviour.so"}},
                          "tasks": {"waits": {"plugin": "test-behaviour", "entry": "wait_for_stop"}},
                          "sandboxes": {"default": {"isolation": {"mode": "strict", "seal": False}}}})
        rtd.call("config.reload")
        rtd.wait_task("waits", "running")
        self.assertEqual(rtd.host_pid(), host)
        self.assertNotIn("seccomp_sealed", layers_of(rtd.sandbox()))

    def test_deadlocks_are_found_without_proc(self):
        rtd = self.start({"plugins": {"test-behaviour": {"path": "test_behaviour.so"}},
                          "tasks": {"dead": {"plugin": "test-behaviour", "entry": "deadlock",
                                             "restart": {"policy": "never"}}},
                          "sandboxes": {"default": {"isolation": {"mode": "strict"}}}}, wait=False)
        rtd.wait_for_socket()
        self.assertEqual(rtd.wait_task("dead", "failed", "fatal")["last_exit"]["reason"], "failed")
        self.assertIn("deadlock", rtd.task("dead")["last_exit"]["error"])

    def test_limits_without_control_groups(self):
        with open("/proc/self/mountinfo", encoding="utf-8") as file:
            if any(" - cgroup2 " in line and "/sys/fs/cgroup " in line for line in file):
                self.skipTest("this machine may have control groups")
        rtd = self.start({"plugins": ESCAPE, "tasks": {},
                          "sandboxes": {"default": {"isolation": {"mode": "strict"}, "limits": {"memory": "64MiB"}}}},
                         wait=False)
        rtd.wait_for_socket()
        self.assertIn("layer cgroup", rtd.wait_sandbox("fatal")["fatal_reason"])
        self.assertIn("Delegate", rtd.sandbox()["fatal_reason"])


class LayersAsUser(Layers):
    as_user = NOBODY


class Grants(SandboxCase):
    def setUp(self):
        super().setUp()
        self.folder = self.make_folder()
        os.chmod(self.folder, 0o777)
        self.file = os.path.join(self.folder, "note")
        with open(self.file, "w", encoding="ascii") as file:
            file.write("hello")
        os.chmod(self.file, 0o666)

    def use(self, grants, **params):
        rtd = self.start_escape(isolation={"grants": grants})
        return rtd, self.run_task(rtd, "use", "use_file", file=self.file, **params)

    def test_a_file_to_read(self):
        rtd, task = self.use({"read": [self.file]})
        self.assertEqual(task["state"], "completed")
        self.assertIn("the file says hello", self.messages(rtd, "use"))
        other = self.run_task(rtd, "other", "use_file", file=self.file, write="yes")
        self.assertRegex(other["last_exit"]["error"], "EACCES|EROFS")

    def test_a_folder_to_write(self):
        rtd, task = self.use({"write": [self.folder]}, write="yes")
        self.assertEqual(task["state"], "completed", task)
        with open(self.file, encoding="ascii") as file:
            self.assertEqual(file.read(), "written")
        new = os.path.join(self.folder, "new")
        self.assertEqual(self.run_task(rtd, "new", "use_file", file=new, write="yes")["state"], "completed")

    def test_what_is_granted_must_be_there(self):
        rtd = self.start({"plugins": ESCAPE, "tasks": {}, "sandboxes": {"default": {"isolation": {
            "mode": "strict", "grants": {"read": [self.folder + "/absent"]}}}}}, wait=False)
        rtd.wait_for_socket()
        end = wait_for(lambda: rtd.sandbox()["last_exit"], "the start fails")
        self.assertIn("grants.read " + self.folder + "/absent", end["detail"])

    def test_variables(self):
        rtd = self.start_escape(isolation={"grants": {"environment": {"GREETING": "hi there"}}})
        self.run_task(rtd, "show", "environment")
        shown = [m.removeprefix("environment ") for m in self.messages(rtd, "show") if m.startswith("environment ")]
        self.assertIn("GREETING=hi there", shown)
        self.assertFalse([v for v in shown if v.split("=")[0] not in ("GREETING", "PATH", "LANG", "RT_DEBUG", "TZ")])

    def ports(self):
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        return listener.getsockname()[1], harness.free_port()

    def test_ports(self):
        there, free = self.ports()
        rtd = self.start_escape(isolation={"mode": "best-effort", "grants": {
            "connect": [f"127.0.0.1:{there}"], "listen": [f"127.0.0.1:{free}"]}})
        if "landlock_ports" not in rtd.sandbox()["layers"]:
            self.skipTest("this kernel's Landlock does not tell ports apart")
        for name, port, good in (("connect", there, True), ("connect", free, False),
                                 ("listen", free, True), ("listen", there, False)):
            task = self.run_task(rtd, f"{name}-{good}".lower(), "one", attempt=name, port=str(port))
            # The attempt that succeeds calls itself an escape.
            self.assertEqual(task["state"], "failed" if good else "completed", (name, port, good))
        self.assertEqual(self.run_task(rtd, "udp", "one", attempt="udp")["state"], "completed")

    def test_every_port(self):
        there, free = self.ports()
        rtd = self.start_escape(isolation={"grants": {"connect": ["*"], "listen": ["*"]}})
        for name, port in (("connect", there), ("listen", free)):
            self.assertEqual(self.run_task(rtd, name, "one", attempt=name, port=str(port))["state"], "failed")
        self.assertNotIn("landlock_ports", rtd.sandbox()["layers"])


class GrantsAsUser(Grants):
    as_user = NOBODY


class Learning(SandboxCase):
    def test_what_is_proposed_is_enough(self):
        folder = self.make_folder()
        os.chmod(folder, 0o777)
        note = os.path.join(folder, "in", "note")
        os.mkdir(os.path.dirname(note), 0o755)
        with open(note, "w", encoding="ascii") as file:
            file.write("hello")
        os.chmod(note, 0o644)
        out = os.path.join(folder, "out")
        os.mkdir(out)
        os.chmod(out, 0o777)
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        port = listener.getsockname()[1]
        again = {"policy": "always", "initial_delay": "50ms", "max_delay": "50ms"}
        tasks = {"reads": {"plugin": "test-escape", "entry": "use_file", "params": {"file": note}, "restart": again},
                 "writes": {"plugin": "test-escape", "entry": "use_file", "restart": again,
                            "params": {"file": os.path.join(out, "new"), "write": "yes"}},
                 "connects": {"plugin": "test-escape", "entry": "one", "restart": again,
                              "params": {"attempt": "connect", "port": port}}}
        sandboxes = {"default": {"isolation": {"mode": "strict"}}}
        rtd = self.start({"plugins": ESCAPE, "tasks": tasks, "sandboxes": sandboxes}, wait=False)
        rtd.wait_for_socket()
        rtd.wait_sandbox("up")
        wait_for(lambda: "ENOENT" in str(rtd.task("reads")["last_exit"]), "nothing is granted yet")
        # Each of the tasks must run once meanwhile.
        grants = rtd.call("sandbox.learn", name="default", seconds=3)["grants"]
        # Where the kernel does not tell ports apart, a strict sandbox is granted every one.
        network = {"connect": [f"127.0.0.1:{port}"]} if landlock_level() >= 4 else {"connect": ["*"], "listen": ["*"]}
        self.assertEqual(grants, {"read": [note], "write": [out], **network})
        rtd.wait_sandbox("up")
        self.assertIn("seccomp_sealed", rtd.sandbox()["layers"])
        self.assertIn("runs without isolation while it is learned", rtd.log())
        sandboxes["default"]["isolation"]["grants"] = grants
        if self.as_user is None or os.geteuid() == 0:
            os.chmod(rtd.config_file, 0o644)
        rtd.write_config({"plugins": ESCAPE, "tasks": tasks, "sandboxes": sandboxes})
        rtd.call("config.reload")
        for task, said in (("reads", "the file says hello"), ("writes", "the file says written")):
            wait_for(lambda: said in self.messages(rtd, task)[-3:], f"{task} may")
        wait_for(lambda: "ESCAPED by connect" in str(rtd.task("connects")["last_exit"]), "the connection is made")

    def test_rtctl_prints_it(self):
        rtd = self.start_escape()
        done = subprocess.run([os.path.join(harness.BIN_DIR, "rtctl"), "--socket", rtd.socket, "sandbox", "learn",
                               "default", "--seconds", "0.2"], capture_output=True, text=True, check=True)
        self.assertIn("nothing that has to be granted", done.stdout + done.stderr)


class LearningAsUser(Learning):
    as_user = NOBODY


class NoTrace(SandboxCase):
    def test_nothing_is_left_of_a_host(self):
        rtd = self.start_escape()
        for _ in range(5):
            host = rtd.host_pid()
            os.kill(host, 9)
            wait_for(lambda: (now := rtd.sandbox())["state"] == "up" and now["pid"] not in (None, host), "another host")

        def children():
            with open(f"/proc/{rtd.process.pid}/task/{rtd.process.pid}/children", encoding="ascii") as file:
                return len(file.read().split())

        wait_for(lambda: children() == 2, "only the host and its reaper are there")

    def test_hosts_go_with_the_supervisor(self):
        rtd = self.start_escape()
        with open(f"/proc/{rtd.process.pid}/task/{rtd.process.pid}/children", encoding="ascii") as file:
            hosts = [int(pid) for pid in file.read().split()]
        rtd.process.kill()
        rtd.process.wait()

        def gone(pid):
            try:
                with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
                    return file.read().rsplit(")", 1)[1].split()[0] == "Z"
            except (FileNotFoundError, ProcessLookupError):
                return True

        # They are ours now, and the reaper ends when the host was waited for.
        for pid in hosts[::-1]:
            os.waitpid(pid, 0)
        wait_for(lambda: all(gone(pid) for pid in hosts), "the host and its reaper are gone")
        self.daemons.remove(rtd)
        self._cleanups = [one for one in self._cleanups if one[0] != self.finish]


if __name__ == "__main__":
    unittest.main()
