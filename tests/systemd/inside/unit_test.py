#!/usr/bin/env python3
"""The escape suite and the limits once more, by the installed daemon inside its unit's confinement. It runs in the machine
whose unit that is."""
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "system"))

import control_groups_test  # noqa: E402  (found by the line above)
import harness  # noqa: E402
import sandbox_test  # noqa: E402

UNIT = "rtd.service"


def systemctl(*arguments):
    return subprocess.run(["systemctl", *arguments], check=True, capture_output=True, text=True).stdout.strip()


class Service:
    """The unit as the harness sees a process that it started."""

    def __init__(self):
        self.pid = int(systemctl("show", "--value", "--property=MainPID", UNIT))

    def poll(self):
        return None if systemctl("show", "--value", "--property=MainPID", UNIT) == str(self.pid) else 1


class UnitRtd(harness.Rtd):
    CONFIG = "/etc/rtd/rtd.json"
    SOCKET = "/run/rtd/control.sock"

    def write_config(self, config, raw=False):
        self.config_file, self.socket = self.CONFIG, self.SOCKET
        super().write_config({**config, "http": {"listen": "127.0.0.1:9180"}} if config else config, raw)

    def start(self, wait=True):
        systemctl("stop", UNIT)
        systemctl("reset-failed", UNIT)
        systemctl("start", UNIT)
        self.process = Service()
        self.wait_for_socket()
        if wait:
            self.wait_ready()
        return self

    def stop(self):
        if self.client:
            self.client.close()
            self.client = None
        systemctl("stop", UNIT)
        return int(systemctl("show", "--value", "--property=ExecMainStatus", UNIT))

    def log(self):
        invocation = systemctl("show", "--value", "--property=InvocationID", UNIT)
        return subprocess.run(["journalctl", "--no-pager", "--output=cat", f"_SYSTEMD_INVOCATION_ID={invocation}"],
                              check=True, capture_output=True, text=True).stdout


class InTheUnit:
    """Before a case's class: its daemons are the unit's."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        with open(UnitRtd.CONFIG, encoding="utf-8") as file:
            cls.addClassCleanup(cls.put_back, file.read())

    @staticmethod
    def put_back(config):
        with open(UnitRtd.CONFIG, "w", encoding="utf-8") as file:
            file.write(config)
        systemctl("restart", UNIT)

    def start(self, config, wait=True, **_):
        rtd = UnitRtd({})
        rtd.write_config(config)
        self.addCleanup(rtd.remove)
        self.daemons.append(rtd)
        self.addCleanup(self.finish, rtd)
        return rtd.start(wait)


class EscapesFromTheUnit(InTheUnit, sandbox_test.Escapes):
    # Sandboxes in there get no socket of the internet at all.
    refusals = {**sandbox_test.REFUSED, "connect": "EAFNOSUPPORT", "udp": "EAFNOSUPPORT"}


class BombsInTheUnit(InTheUnit, sandbox_test.Bombs):
    pass


class LimitsInTheUnit(InTheUnit, control_groups_test.ControlGroups):
    @classmethod
    def delegate(cls):
        """systemd has."""

    def disk_folder(self):
        folder = tempfile.mkdtemp(dir="/var/lib/rtd")
        self.addCleanup(shutil.rmtree, folder, True)
        shutil.chown(folder, "rtd")
        return folder


if __name__ == "__main__":
    unittest.main()
