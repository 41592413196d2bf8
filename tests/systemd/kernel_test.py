#!/usr/bin/env python3
"""What needs a kernel of its own with control groups of version 2, on Debian's: the escape suite, by daemons that root and
an ordinary user start and inside the unit's confinement; and the limits that control groups enforce."""
import os
import shutil
import unittest

from installed import MachineTest

SOURCE = os.environ.get("RTD_SOURCE_DIR", "")
BUILD = os.path.join(SOURCE, "build", "release")
INSIDE = "/srv/tests/systemd/inside"
SYSTEM = "/srv/tests/system"


class KernelTest(MachineTest):
    kinds = ("kernel",)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.machine.run("apt-get", "-q", "-y", "--no-install-recommends", "install", "/srv/rtd.deb")

    @classmethod
    def prepare(cls):
        """The tests and their plugins, and for daemons that they start themselves the programs of the build."""
        for folder in ("system", "systemd"):
            shutil.copytree(os.path.join(SOURCE, "tests", folder), cls.machine.path(f"/srv/tests/{folder}"),
                            ignore=shutil.ignore_patterns("__pycache__"))
        cls.machine.put(os.path.join(SOURCE, "tests", "run_python_test.py"), "/srv/tests/run_python_test.py")
        for program in ("rtd", "rtd-host", "rtctl"):
            cls.machine.put(os.path.join(BUILD, "bin", program), f"/srv/bin/{program}")
        shutil.copytree(os.path.join(BUILD, "plugins"), cls.machine.path("/srv/plugins"))

    def inside(self, file, *cases):
        """Runs a file of tests in there, in a part of the tree of control groups that is its own."""
        done = self.machine.run(
            "systemd-run", "--quiet", "--wait", "--pipe", "--collect", "--property=Delegate=yes", "--property=TasksMax=infinity",
            "--setenv=RTD_BIN_DIR=/srv/bin", "--setenv=RTD_PLUGIN_DIR=/srv/plugins", "--setenv=LC_ALL=C.UTF-8",
            f"--setenv=RTD_SLOWNESS={os.environ.get('RTD_SLOWNESS', 1)}", "python3", "-B", "/srv/tests/run_python_test.py", file, *cases,
            check=False, show=True)
        self.assertEqual(done.returncode, 0, "above")

    def test_escapes(self):
        self.inside(f"{SYSTEM}/sandbox_test.py")

    def test_escapes_from_the_unit(self):
        self.inside(f"{INSIDE}/unit_test.py")

    def test_limits(self):
        self.inside(f"{SYSTEM}/control_groups_test.py")


if __name__ == "__main__":
    unittest.main(verbosity=2)
