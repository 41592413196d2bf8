#!/usr/bin/env python3
"""rtd under a real systemd: start, reload, watchdog, crashes, stop, sockets that outlive the daemon; and that the unit's
confinement leaves the sandboxes theirs."""
import json
import time
import unittest

from installed import SOCKETS, MachineTest
from machine import PATIENCE, wait_for

CONFIG = "/etc/rtd/rtd.json"
LAYERS = {"parent_death", "session", "signals", "descriptors", "user_namespace", "ipc_namespace", "uts_namespace",
          "network_namespace", "mount_namespace", "pid_namespace", "rlimits", "no_new_privs", "nested_user_namespace",
          "capabilities", "landlock", "seccomp", "seccomp_sealed"}

# Connects to both sockets again and again until it gets SIGTERM; prints how often it did and each failure.
KNOCK = r"""
import json, signal, socket, sys, time
count, failures, ends = 0, [], []
signal.signal(signal.SIGTERM, lambda *_: ends.append(True))
while not ends:
    time.sleep(0.002)
    for address in ("%s/run/rtd/control.sock" % sys.argv[1], ("127.0.0.1", 9180)):
        try:
            with socket.socket(socket.AF_INET if isinstance(address, tuple) else socket.AF_UNIX) as one:
                one.settimeout(600)
                one.connect(address)
                if isinstance(address, tuple):
                    one.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                if not one.recv(100):
                    failures.append(f"{address}: closed without an answer")
            count += 1
        except OSError as error:
            failures.append(f"{address}: {error}")
print(json.dumps([count, failures[:5]]))
"""


class ServiceTest(MachineTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.machine.run("apt-get", "-q", "-y", "--no-install-recommends", "install", "/srv/rtd.deb")
        cls.shipped = cls.machine.read(CONFIG)

    def setUp(self):
        """The package as it was installed, running."""
        self.drop_in(None)
        self.machine.write(CONFIG, self.shipped)
        self.machine.run("systemctl", "stop", *SOCKETS, "rtd.service")
        self.machine.run("systemctl", "reset-failed")
        self.machine.run("systemctl", "start", *SOCKETS, "rtd.service")
        self.wait_active()

    def drop_in(self, text):
        folder = "/etc/systemd/system/rtd.service.d"
        self.machine.run("rm", "-rf", folder)
        if text is not None:
            self.machine.run("mkdir", "-p", folder)
            self.machine.write(f"{folder}/test.conf", text)
        self.machine.run("systemctl", "daemon-reload")

    def configure(self, change):
        config = json.loads(self.shipped)
        change(config)
        self.machine.write(CONFIG, json.dumps(config))

    def sandbox(self):
        return json.loads(self.rtctl("sandbox", "inspect", "default", "-o", "json").stdout)

    def hosts(self):
        """Process ids of hosts, as the machine numbers them."""
        return [pid for pid, name in self.machine.processes() if name == "rtd-host"]

    def signal(self, name, **options):
        self.machine.run("systemctl", "kill", "--kill-who=main", f"--signal={name}", "rtd.service", **options)

    def status(self):
        return json.loads(self.rtctl("status", "-o", "json").stdout)

    def restarts(self):
        return int(self.machine.properties("rtd.service", "NRestarts")[0])

    # ---- the unit itself ----

    def test_systemd_finds_nothing_to_say_about_the_units(self):
        said = self.machine.out("systemd-analyze", "verify", "--man=no", "rtd.service", *SOCKETS)
        self.assertEqual(said, "")

    def test_exposure_is_at_most_2(self):
        done = self.machine.run("systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager",
                                "/lib/systemd/system/rtd.service", check=False)
        self.assertEqual(done.returncode, 0, done.stdout[-300:])
        print("   ", done.stdout.strip().splitlines()[-1])

    # ---- start ----

    def test_it_is_ready_when_systemd_says_so(self):
        self.machine.run("systemctl", "restart", "rtd.service")
        self.assertEqual(self.rtctl("status").returncode, 0)
        self.assertEqual(self.machine.properties("rtd.service", "Type", "StatusText"),
                         ["notify", "1 of 1 sandboxes up, 2 tasks"])
        self.assertIn("readyz: ok", self.machine.http("/readyz?verbose"))
        self.assertEqual(self.machine.out("stat", "-c", "%U", f"/proc/{self.main_pid()}"), "rtd")

    def test_the_unit_leaves_sandboxes_every_layer(self):
        sandbox = self.sandbox()
        self.assertEqual(set(sandbox["layers"]), LAYERS)
        self.assertEqual(sandbox["missing_layers"], [])
        done = self.rtctl("task", "run", "stress", "run", "--param", "duration=1s", "--wait")
        self.assertIn("completed", done.stdout)

    def test_limits_are_enforced_in_the_delegated_group(self):
        have = set(self.machine.read_inside("/sys/fs/cgroup/cgroup.controllers").split())
        if not {"memory", "cpu", "pids"} <= have:
            self.skipTest("cgroup v2 has no controllers memory, cpu and pids on this machine")
        self.configure(lambda config: config["sandboxes"]["default"]["limits"].update(memory="256MiB", threads=500, cpus=1))
        self.machine.run("systemctl", "restart", "rtd.service")
        sandbox = self.sandbox()
        self.assertEqual((sandbox["state"], sandbox["missing_layers"]), ("up", []))
        self.assertEqual(set(sandbox["layers"]), LAYERS | {"cgroup"})
        group = self.machine.properties("rtd.service", "ControlGroup")[0] + "/sandbox-default.1"
        self.assertEqual(self.machine.read_inside(f"/sys/fs/cgroup{group}/memory.max").strip(), str(256 << 20))

    def test_only_operators_may_connect(self):
        self.machine.run("sh", "-c", "getent passwd op || useradd -G rtd-operators op; getent passwd other || useradd other")
        self.assertIn("workers", self.machine.out("runuser", "-u", "op", "--", "rtctl", "ps"))
        self.machine.run("runuser", "-u", "op", "--", "rtctl", "task", "run", "workers", "run", "--wait")
        refused = self.machine.run("runuser", "-u", "op", "--", "rtctl", "log-level", "debug", check=False)
        self.assertEqual(refused.returncode, 4, refused.stdout)
        self.assertNotEqual(self.machine.run("runuser", "-u", "other", "--", "rtctl", "ps", check=False).returncode, 0)

    def test_the_network_drop_in_gives_sandboxes_the_network(self):
        # A strict sandbox is granted single ports where the kernel tells them apart, and else all.
        version = tuple(map(int, self.machine.run("uname", "-r").stdout.split(".")[:2]))
        grants = {"listen": ["*:8080"]} if version >= (6, 7) else {"connect": ["*"], "listen": ["*"]}

        def change(config):
            config["sandboxes"]["default"]["isolation"]["grants"] = grants
            config["tasks"]["greeter"] = {"plugin": "hello", "entry": "serve", "params": {"listen": "127.0.0.1:8080"}}
        self.configure(change)
        self.drop_in(self.machine.read("/usr/share/rtd/network.conf"))
        self.machine.run("systemctl", "restart", "rtd.service")
        wait_for(lambda: self.rtctl("status", check=False).returncode == 0, "rtd is ready")
        self.assertEqual(self.sandbox()["missing_layers"], [])
        script = "exec 3<>/dev/tcp/127.0.0.1/8080; cat <&3"
        self.assertEqual(self.machine.run("timeout", str(PATIENCE), "bash", "-c", script).stdout, "Hello from server\n")

    def test_the_commands_of_the_operators_guide(self):
        """Those of rtctl that docs/operations.md names, on the package as it is installed; not `heap why`, which needs an
        object's address (system.heap asks for one)."""
        plugin = self.machine.out("sh", "-c", "find /usr/lib -name stress.so")
        newer = plugin.replace("stress", "newer")
        self.machine.run("cp", plugin.replace("stress", "workers"), newer)
        self.addCleanup(self.machine.run, "rm", newer)
        for command, said in (
                ("status", "ready"), ("task run --keep --name s1 stress run --param duration=10m", "s1"),
                ("ps", "s1 +.*running"), ("top --batch --frames 1", "s1"), ("events", "task s1 runs"),
                ("task inspect s1", "stress"), ("stacks", "goroutine"), ("stacks --task s1", "goroutine"),
                ("gc run", ".*"), ("gc stats", "default"), ("gc percent 50", "set in default"), ("gc limit 512MiB", "set in"),
                ("heap stats", "s1"), ("heap profile s1 --file /run/heap.pb.gz", ".*"), ("plugin ls", "stress"),
                (f"plugin check {plugin}", "stress"), ("sandbox inspect default", "seccomp"), ("task stop s1", ".*"),
                ("task start --keep s1", ".*"), ("task stop s1 --now", ".*"), ("config reload --wait", ".*"),
                ("task stop workers --now", ".*"), (f"plugin replace workers {newer}", ".*"),
                ("plugin unload workers", ".*"),
                ("sandbox restart default", ".*"), ("task run stress run --param duration=1s --wait", ".*"),
                ("sandbox learn default --seconds 1", "granted"), ("completion bash", "complete"), ("--help", "Usage")):
            with self.subTest(command):
                done = self.rtctl(*command.split(), check=False)
                self.assertEqual(done.returncode, 0, done.stdout)
                self.assertRegex(done.stdout, said)
        self.machine.run("test", "-s", "/run/heap.pb.gz")

    # ---- reload ----

    def test_reload_waits_and_a_bad_file_changes_nothing(self):
        pid = self.main_pid()
        self.configure(lambda config: config["tasks"]["workers"].update(restart={"policy": "always"}))
        self.machine.run("systemctl", "reload", "rtd.service")
        self.assertEqual(self.status()["config"]["generation"], 2)
        self.machine.write(CONFIG, self.shipped.replace('"info"', '"loud"'))
        done = self.machine.run("systemctl", "reload", "rtd.service", check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("/log/level", self.machine.journal("rtd.service"))
        self.assertEqual((self.state(), self.main_pid()), ("active", pid))
        self.assertEqual(self.status()["config"]["generation"], 2)

    # ---- when it goes wrong ----

    def test_a_hung_supervisor_is_killed_and_started_anew(self):
        self.drop_in("[Service]\nWatchdogSec=3s\nTimeoutAbortSec=1s\n")
        self.machine.run("systemctl", "restart", "rtd.service")
        fed = self.machine.properties("rtd.service", "WatchdogTimestampMonotonic")
        wait_for(lambda: self.machine.properties("rtd.service", "WatchdogTimestampMonotonic") != fed, "the watchdog is fed")
        pid, before = self.main_pid(), self.restarts()
        self.signal("SIGSTOP")
        wait_for(lambda: self.restarts() > before and self.state() == "active", "systemd starts it anew")
        self.assertIn("Watchdog timeout", self.machine.journal("rtd.service"))
        self.assertEqual(self.rtctl("status").returncode, 0)
        self.assertNotEqual(self.main_pid(), pid)

    def test_a_killed_supervisor_takes_its_hosts_along(self):
        hosts = self.hosts()
        self.assertTrue(hosts)
        before = self.restarts()
        self.signal("SIGKILL")
        wait_for(lambda: self.restarts() > before and self.state() == "active", "systemd starts it anew")
        self.assertFalse(set(hosts) & set(self.hosts()))
        self.assertEqual(self.rtctl("status").returncode, 0)

    def test_a_bad_configuration_is_not_tried_again(self):
        self.machine.write(CONFIG, "{")
        self.assertNotEqual(self.machine.run("systemctl", "restart", "rtd.service", check=False).returncode, 0)
        self.assertEqual(self.machine.properties("rtd.service", "ActiveState", "ExecMainStatus", "NRestarts"),
                         ["failed", "78", "0"])
        self.assertIn(f"{CONFIG}:1:", self.machine.journal("rtd.service"))

    def test_a_crash_loop_ends_and_can_be_begun_anew(self):
        self.drop_in("[Service]\nRestartSec=10ms\n")
        self.machine.run("systemctl", "restart", "rtd.service")
        for _ in range(10):
            pid = self.main_pid()
            if pid:
                self.signal("SIGKILL", check=False)
            if wait_for(lambda: self.state() == "failed" or self.main_pid() not in (0, pid), "a restart or the end") and \
                    self.state() == "failed":
                break
        self.assertEqual(self.state(), "failed")
        self.assertIn("Start request repeated too quickly", self.machine.journal("rtd.service"))
        self.assertEqual(self.hosts(), [])
        self.machine.run("systemctl", "reset-failed", "rtd.service", *SOCKETS)
        self.machine.run("systemctl", "start", "rtd.service")
        self.assertEqual(self.rtctl("status").returncode, 0)

    def test_a_socket_that_does_not_agree_is_named(self):
        self.configure(lambda config: config["http"].update(listen="127.0.0.1:9999"))
        self.drop_in("[Service]\nRestart=no\n")
        self.assertNotEqual(self.machine.run("systemctl", "restart", "rtd.service", check=False).returncode, 0)
        self.assertIn('it listens at 127.0.0.1:9180, and "http.listen" is "127.0.0.1:9999"',
                      self.machine.journal("rtd.service"))

    # ---- stop ----

    def test_stop_drains(self):
        self.rtctl("task", "run", "stress", "run", "--name", "long", "--param", "duration=1h")
        started = time.monotonic()
        self.machine.run("systemctl", "stop", "rtd.service", *SOCKETS)
        self.assertLess(time.monotonic() - started, PATIENCE)
        self.assertEqual(self.machine.properties("rtd.service", "Result", "ExecMainStatus"), ["success", "0"])
        journal = self.machine.journal("rtd.service")
        # Its tasks were told to stop, and not killed: the host ended by itself.
        self.assertRegex(journal, r"stops: SIGTERM\n(.*\n)*.*default exited with status 0: the sandbox is stopped\n"
                                  r"stopped\n.*Deactivated successfully")
        self.assertEqual(self.hosts(), [])

    def test_it_starts_when_somebody_connects(self):
        self.machine.run("systemctl", "stop", "rtd.service")
        self.assertEqual(self.state(), "inactive")
        self.assertIn("default", self.rtctl("sandbox", "ls").stdout)
        self.wait_active()

    def test_stopping_the_control_socket_stops_it_for_good(self):
        self.machine.run("systemctl", "stop", *SOCKETS)
        wait_for(lambda: self.state() == "inactive", "rtd stops with its socket")
        self.assertEqual(self.rtctl("status", check=False).returncode, 7)

    def test_nobody_is_turned_away_by_a_restart(self):
        with self.machine.beside(KNOCK) as said:
            time.sleep(0.5)
            pid = self.main_pid()
            for _ in range(3):
                self.machine.run("systemctl", "restart", "rtd.service")
                time.sleep(0.3)
        count, failures = json.loads(said[0])
        self.assertNotEqual(self.main_pid(), pid)
        self.assertGreater(count, 50)
        self.assertEqual(failures, [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
