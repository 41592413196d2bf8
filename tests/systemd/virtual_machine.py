"""A Debian with its own kernel, run by qemu: what the machine of machine.py cannot show, because that one shares this
machine's kernel. Here control groups of version 2 have all their controllers, whatever this machine has.

The root is an ext4 file system on a disk that is made anew for each machine; the tests send their commands to an agent in
there, over a port of qemu's. Where the processor cannot virtualise (KVM), qemu emulates it: some ten times slower, which
RTD_SLOWNESS tells to all that waits. It needs root, for the files of the root; the network of the guest is a loopback.
"""
import contextlib
import glob
import json
import os
import shutil
import socket
import subprocess

import harness
from machine import PACKAGES, Failed, Machine, wait_for

HERE = os.path.dirname(os.path.abspath(__file__))
#: Linux of the distribution, what the tests inside are written in, and what systemd-run waits by.
MORE_PACKAGES = ("dbus", "udev", "kmod", "linux-image-amd64", "python3")
PORT = "/dev/virtio-ports/rtd.agent"
AGENT = f"""[Unit]
Description=Runs what the tests send
[Service]
ExecStart=/usr/bin/python3 -B /srv/agent.py {PORT}
Environment=LC_ALL=C.UTF-8 SYSTEMD_PAGER= DEBIAN_FRONTEND=noninteractive
KillMode=process
[Install]
WantedBy=multi-user.target
"""
DISK_SIZE = "4G"
MEMORY = "3G"
#: A command of the tests, at the very most.
LONGEST = 7200


def missing():
    """Why no such machine can be had here; empty when it can."""
    if os.geteuid() != 0:
        return "needs root"
    absent = [tool for tool in ("mmdebstrap", "qemu-system-x86_64", "mkfs.ext4") if not shutil.which(tool)]
    return f"not installed: {', '.join(absent)}" if absent else ""


def accelerator():
    """KVM needs a processor that virtualises; some kernels have /dev/kvm without one, for guests of their own kind."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        flags = set(next((line for line in file if line.startswith("flags")), "").split())
    if flags & {"vmx", "svm"} and os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "kvm"
    return "tcg,thread=multi"


class VirtualMachine(Machine):
    packages = (*PACKAGES, *MORE_PACKAGES)
    archive = "debian-kernel.tar"
    missing = staticmethod(missing)
    # They are installed at once: in an emulated machine that takes minutes.
    apt_options = ()

    def __init__(self, root):
        super().__init__(root)
        self.disk = self.root + ".disk"
        self.console = self.root + ".console"
        self.link = None
        self.buffer = b""

    # ---- its life ----

    def boot(self):
        super().write("/etc/systemd/system/agent.service", AGENT)
        self.put(os.path.join(HERE, "agent.py"), "/srv/agent.py")
        wanted = self.path("/etc/systemd/system/multi-user.target.wants")
        os.makedirs(wanted, exist_ok=True)
        os.symlink("../agent.service", os.path.join(wanted, "agent.service"))
        with contextlib.suppress(FileNotFoundError):
            os.remove(self.disk)
        subprocess.run(["truncate", f"--size={DISK_SIZE}", self.disk], check=True)
        subprocess.run(["mkfs.ext4", "-q", "-d", self.root, self.disk], check=True)
        ours, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                ["qemu-system-x86_64", "-accel", accelerator(), "-cpu", "max", "-smp", "2", "-m", MEMORY,
                 "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", f"file:{self.console}",
                 "-kernel", *glob.glob(self.path("/boot/vmlinuz-*")), "-initrd", *glob.glob(self.path("/boot/initrd.img-*")),
                 "-append", "console=ttyS0 root=/dev/vda rw panic=-1 net.ifnames=0 quiet",
                 "-drive", f"file={self.disk},if=virtio,format=raw,cache=unsafe",
                 "-device", "virtio-rng-pci", "-device", "virtio-serial-pci",
                 "-chardev", f"socket,fd={theirs.fileno()},id=agent,server=off",
                 "-device", "virtserialport,chardev=agent,name=rtd.agent"],
                stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()], preexec_fn=harness.die_with_the_test)
        self.link = ours
        try:
            self.init = "1"
            wait_for(lambda: self.run("systemctl", "is-system-running", check=False).stdout.strip()
                     in ("running", "degraded"), "systemd is up")
        except (OSError, Failed) as error:
            with open(self.console, encoding="utf-8", errors="replace") as file:
                raise Failed(f"it did not start: {error}\n{file.read()[-5000:]}") from None

    def power_off(self):
        if self.process is None:
            return
        self.process.kill()
        self.process.wait()
        self.process = None
        self.link.close()
        os.remove(self.disk)

    # ---- what happens in it ----

    def read_line(self):
        while b"\n" not in self.buffer:
            piece = self.link.recv(1 << 16)
            if not piece:
                raise Failed(f"the machine has ended: exit status {self.process.wait()}")
            self.buffer += piece
        line, self.buffer = self.buffer.split(b"\n", 1)
        return json.loads(line)

    def run(self, *command, check=True, network_alone=False, show=False, given=""):
        """Runs a command in there; `given` is its standard input. Standard error is in stdout, and is shown as it comes
        if so wanted."""
        self.link.settimeout(LONGEST)
        self.link.sendall(json.dumps({"command": command, "input": given}).encode() + b"\n")
        pieces = []
        while "status" not in (answer := self.read_line()):
            pieces.append(answer["piece"])
            if show:
                print(answer["piece"], end="", flush=True)
        done = subprocess.CompletedProcess(command, answer["status"],
                                           "".join(pieces).encode(errors="surrogateescape").decode(errors="replace"))
        if check and done.returncode != 0:
            raise Failed(f"{' '.join(command)}: exit status {done.returncode}:\n{done.stdout}")
        return done

    def write(self, inside, text, mode=0o644):
        if self.process is None:
            super().write(inside, text, mode)
        else:
            self.run("sh", "-c", 'mkdir -p "$(dirname "$1")" && cat >"$1" && chmod "$2" "$1"', "sh", inside, f"{mode:o}",
                     given=text)

    def read(self, inside):
        return super().read(inside) if self.process is None else self.read_inside(inside)

    @contextlib.contextmanager
    def beside(self, script):
        said = []
        self.run("systemd-run", "--quiet", "--unit=beside", "--service-type=exec", "--collect",
                 "--property=StandardOutput=truncate:/run/beside", "python3", "-B", "-c", script, "")
        yield said
        self.run("systemctl", "stop", "beside.service")
        said.append(self.read_inside("/run/beside"))

    def processes(self):
        script = 'cd /proc && for one in [0-9]*; do read -r name <"$one/comm" && echo "$one $name"; done 2>/dev/null || true'
        lines = self.run("sh", "-c", script).stdout.splitlines()
        return [(int(pid), name) for pid, name in (line.split(" ", 1) for line in lines)]

    def http(self, path, address="127.0.0.1:9180"):
        script = "import sys, urllib.request; sys.stdout.write(urllib.request.urlopen(sys.argv[1]).read().decode())"
        return self.run("python3", "-c", script, f"http://{address}{path}").stdout
