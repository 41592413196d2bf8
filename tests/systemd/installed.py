"""A running machine with the packages installed on it, for the tests of this folder.

RTD_PACKAGES names the folder of the .deb files (`./dev package` makes them), RTD_MACHINES one for archives and roots,
RTD_MACHINE the kind of machine: "namespaces" (see machine.py) or "kernel" (see virtual_machine.py).
"""
import glob
import os
import subprocess
import unittest

from machine import Machine, make_root, wait_for
from virtual_machine import VirtualMachine

KINDS = {"namespaces": Machine, "kernel": VirtualMachine}
KIND = os.environ.get("RTD_MACHINE", "namespaces")
PACKAGES = os.environ.get("RTD_PACKAGES", "")
MACHINES = os.environ.get("RTD_MACHINES", "")
SOCKETS = ("rtd.socket", "rtd-metrics.socket")


def package(name):
    found = glob.glob(os.path.join(PACKAGES, f"{name}_*.deb"))
    if len(found) != 1:
        raise AssertionError(f"{len(found)} packages {name}_*.deb in {PACKAGES!r}: run ./dev package first")
    return found[0]


def older(deb, folder, version):
    """The same package under a lower version, as a predecessor to upgrade from."""
    unpacked = os.path.join(folder, "older")
    subprocess.run(["dpkg-deb", "-R", deb, unpacked], check=True)
    control = os.path.join(unpacked, "DEBIAN", "control")
    with open(control, encoding="utf-8") as file:
        lines = [f"Version: {version}\n" if line.startswith("Version:") else line for line in file]
    with open(control, "w", encoding="utf-8") as file:
        file.writelines(lines)
    made = os.path.join(folder, f"rtd_{version}.deb")
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", unpacked, made], check=True, stdout=subprocess.DEVNULL)
    return made


class MachineTest(unittest.TestCase):
    """A machine of its own for each class; its root is thrown away at the end."""
    machine = None
    #: On which kinds of machine these tests can tell something.
    kinds = ("namespaces", "kernel")

    @classmethod
    def setUpClass(cls):
        kind = KINDS[KIND]
        if KIND not in cls.kinds:
            raise unittest.SkipTest(f"{cls.__name__}: for {' and '.join(cls.kinds)} only, not for RTD_MACHINE={KIND}")
        if reason := kind.missing():
            raise unittest.SkipTest(f"{cls.__name__}: {reason}")
        root = os.path.join(MACHINES, cls.__name__)
        make_root(os.path.join(MACHINES, kind.archive), root, kind.packages)
        cls.addClassCleanup(subprocess.run, ["rm", "-rf", root])
        cls.machine = kind(root)
        for name in ("rtd", "rtd-dev"):
            cls.machine.put(package(name), f"/srv/{name}.deb")
        cls.machine.fetch("/srv/rtd.deb", *cls.also())
        cls.prepare()
        cls.machine.boot()
        cls.addClassCleanup(cls.machine.power_off)

    @classmethod
    def also(cls):
        """Further packages that the machine can install."""
        return []

    @classmethod
    def prepare(cls):
        """What else the machine has to have before it runs."""

    def apt(self, *arguments, check=True):
        return self.machine.run("apt-get", "-q", "-y", "--no-install-recommends", *arguments,
                                check=check)

    def state(self, unit="rtd.service"):
        return self.machine.properties(unit, "ActiveState")[0]

    def main_pid(self):
        return int(self.machine.properties("rtd.service", "MainPID")[0])

    def rtctl(self, *arguments, check=True):
        return self.machine.run("rtctl", *arguments, check=check)

    def wait_active(self):
        wait_for(lambda: self.state() == "active", f"rtd.service is active: {self.machine.journal('rtd.service')[-2000:]}")
