#!/usr/bin/env python3
"""The packages in a bare Debian: installed, upgraded under load, removed, installed again, purged."""
import os
import unittest

from installed import SOCKETS, MachineTest, older, package
from machine import wait_for


class PackageTest(MachineTest):
    kinds = ("namespaces",)

    @classmethod
    def also(cls):
        return ["g++", "pkg-config"]

    def test_life_of_the_package(self):
        machine = self.machine
        folder = machine.path("/srv")
        older(package("rtd"), folder, "0.0.9~test")
        before = set(self.files())

        with self.subTest("install"):
            self.apt("install", "/srv/rtd_0.0.9~test.deb")
            self.wait_active()
            self.assertEqual([self.state(unit) for unit in SOCKETS], ["active", "active"])
            self.assertEqual(machine.out("systemctl", "is-enabled", "rtd.service", *SOCKETS).split(), ["enabled"] * 3)
            self.assertIn("rtd daemon", machine.out("getent", "passwd", "rtd"))
            self.assertTrue(machine.out("getent", "group", "rtd-operators"))
            self.assertEqual(machine.out("stat", "-c", "%U:%G %a", "/run/rtd/control.sock"), "rtd:rtd-operators 660")
            self.assertEqual(machine.out("stat", "-c", "%U:%G %a", "/var/lib/rtd"), "rtd:rtd 750")
            self.assertEqual(machine.run("rtd", "--check-config", "/etc/rtd/rtd.json").returncode, 0)
            for file in ("/usr/share/bash-completion/completions/rtctl", "/usr/share/zsh/vendor-completions/_rtctl",
                         "/usr/share/fish/vendor_completions.d/rtctl.fish", "/usr/share/rtd/rtd.schema.json"):
                self.assertGreater(os.path.getsize(machine.path(file)), 500, file)

        with self.subTest("upgrade"):
            config = machine.read("/etc/rtd/rtd.json")
            machine.write("/etc/rtd/rtd.json", config.replace('"level": "info"', '"level": "debug"'))
            sockets = [machine.properties(unit, "InvocationID") for unit in SOCKETS]
            pid = self.main_pid()
            self.apt("install", "/srv/rtd.deb")
            wait_for(lambda: self.state() == "active" and self.main_pid() != pid, "the new daemon runs")
            self.assertEqual([machine.properties(unit, "InvocationID") for unit in SOCKETS], sockets,
                             "the sockets stayed open")
            self.assertIn('"level": "debug"', machine.read("/etc/rtd/rtd.json"), "the operator's change is kept")
            self.assertEqual(self.rtctl("status").returncode, 0)

        with self.subTest("remove"):
            self.apt("remove", "rtd")
            self.assertNotEqual(self.state(), "active")
            for unit in SOCKETS:
                self.assertNotEqual(self.state(unit), "active")
            self.assertFalse(os.path.exists(machine.path("/usr/sbin/rtd")))
            self.assertTrue(os.path.exists(machine.path("/etc/rtd/rtd.json")), "the configuration is for purge")

        with self.subTest("install again"):
            self.apt("install", "/srv/rtd.deb")
            self.wait_active()
            self.assertIn('"level": "debug"', machine.read("/etc/rtd/rtd.json"))

        with self.subTest("purge"):
            self.apt("purge", "rtd")
            left = sorted(file for file in set(self.files()) - before if "rtd" in os.path.basename(file))
            self.assertEqual(left, [])
            for folder in ("/etc/rtd", "/var/lib/rtd", "/run/rtd", "/usr/lib/rtd", "/usr/libexec/rtd"):
                self.assertNotEqual(machine.run("test", "-e", folder, check=False).returncode, 0, folder)
            self.assertEqual(machine.out("systemctl", "--failed", "--no-legend"), "")

    def files(self):
        for top in ("/etc", "/usr", "/lib", "/var/lib/systemd", "/var/lib/dpkg/info"):
            for folder, folders, files in os.walk(self.machine.path(top)):
                for name in folders + files:
                    yield os.path.join(folder, name)

    def test_plugins_are_built_with_rtd_dev(self):
        """As docs/plugins.md says, and taken by the daemon of the other package."""
        machine = self.machine
        self.apt("install", "/srv/rtd.deb", "/srv/rtd-dev.deb", "g++", "pkg-config")
        self.wait_active()
        machine.write("/srv/mine.cpp", '#include <rt/rt.h>\n'
                                       'static void run(rt::task& self) { self.info("this is mine"); }\n'
                                       'RT_PLUGIN("mine", "1.0.0", "Says so")\n'
                                       'RT_ENTRY(run, "Says so")\n')
        machine.run("sh", "-c", "cd /srv && g++ -std=c++20 -shared -o mine.so mine.cpp $(pkg-config --cflags rtd)")
        machine.run("install", "-m", "644", "/srv/mine.so", "/usr/lib/rtd/plugins/mine.so")
        self.assertIn("mine", self.rtctl("plugin", "check", "/usr/lib/rtd/plugins/mine.so").stdout)
        self.apt("purge", "rtd", "rtd-dev")


if __name__ == "__main__":
    unittest.main(verbosity=2)
