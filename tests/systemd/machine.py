"""A Debian in a folder, run by its own systemd as process 1 of namespaces: what a machine with the packages on it does.

    machine = Machine(folder)      # an unpacked root, see make_root
    machine.boot()
    machine.run("systemctl", "is-active", "rtd").stdout
    machine.power_off()

It has its own network (a loopback and nobody else), processes, mounts and a part of the machine's tree of control
groups; nothing in it reaches what is outside. It needs root.
"""
import contextlib
import os
import shutil
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))

import harness  # noqa: E402  (found by the line above)

SUITE = "bookworm"
#: Beyond what every Debian has. Without dbus and udev: systemctl talks to systemd directly, and there are no devices.
PACKAGES = ("systemd", "systemd-sysv")
#: A machine boots, and its services do.
PATIENCE = 60 * harness.SLOWNESS


def wait_for(condition, what, timeout=PATIENCE, pause=0.1):
    return harness.wait_for(condition, what, timeout, pause)

# Becomes process 1. A process in a chroot may make no user namespace, so the root is really changed.
BOOT = r"""
set -e
root=$1
mount --make-rprivate /
mount --bind "$root" "$root"
mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
mount -t sysfs -o nosuid,nodev,noexec sysfs "$root/sys"
mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755,nosuid,nodev tmpfs "$root/run"
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$root/tmp"
mount -t tmpfs -o mode=755,nosuid tmpfs "$root/dev"
for device in null:3 zero:5 full:7 random:8 urandom:9; do
  mknod -m 666 "$root/dev/${device%:*}" c 1 "${device#*:}"
done
mknod -m 666 "$root/dev/tty" c 5 0
mkdir "$root/dev/pts" "$root/dev/shm" "$root/dev/mqueue" "$root/dev/hugepages"
mount -t devpts -o newinstance,ptmxmode=666,mode=620 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
for link in fd:fd stdin:fd/0 stdout:fd/1 stderr:fd/2; do ln -s "/proc/self/${link#*:}" "$root/dev/${link%:*}"; done
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$root/dev/shm"
cd "$root"
mkdir -p .old
pivot_root . .old
umount -l /.old
exec env -i container=rtd-test PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system \
  --log-target=journal --show-status=false </dev/null
"""


def missing():
    """Why no such machine can be had here; empty when it can."""
    if os.geteuid() != 0:
        return "needs root"
    absent = [tool for tool in ("mmdebstrap", "unshare", "nsenter", "curl") if not shutil.which(tool)]
    if absent:
        return f"not installed: {', '.join(absent)}"
    if cgroup_mount() is None:
        return "no cgroup v2 is mounted"
    return ""


def cgroup_mount():
    with open("/proc/self/mountinfo", encoding="ascii", errors="replace") as file:
        for line in file:
            if " - cgroup2 " in line:
                return line.split()[4]
    return None


def make_root(tar, folder, packages=PACKAGES):
    """An unpacked root in `folder`. The archive `tar` is made when it is missing; that downloads some 50 MB, and what the
    packages need."""
    if not os.path.exists(tar):
        os.makedirs(os.path.dirname(tar), exist_ok=True)
        subprocess.run(["mmdebstrap", "--quiet", "--format=tar", "--variant=minbase", f"--include={','.join(packages)}", SUITE,
                        tar + ".new"], check=True)
        os.rename(tar + ".new", tar)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    subprocess.run(["tar", "-xf", tar, "-C", folder, "--numeric-owner", "--exclude=./dev/*"], check=True)


class Failed(Exception):
    pass


class Machine:
    #: Further packages that every one of them has installed.
    packages = PACKAGES
    #: The archive of its root.
    archive = "debian.tar"
    missing = staticmethod(missing)
    #: What apt does with packages before the machine runs.
    apt_options = ("--download-only",)

    def __init__(self, root):
        self.root = os.path.abspath(root)
        self.process = None  # unshare(1), whose child is process 1 in there
        self.init = None
        self.group = None

    # ---- before it runs ----

    def path(self, inside):
        return self.root + inside

    def write(self, inside, text, mode=0o644):
        os.makedirs(os.path.dirname(self.path(inside)), exist_ok=True)
        with open(self.path(inside), "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(self.path(inside), mode)

    def read(self, inside):
        with open(self.path(inside), encoding="utf-8", errors="replace") as file:
            return file.read()

    def put(self, file, inside):
        os.makedirs(os.path.dirname(self.path(inside)), exist_ok=True)
        shutil.copy(file, self.path(inside))

    def fetch(self, *packages):
        """Has apt download what these packages (names, or paths in the root) need, by the network of this machine."""
        shutil.copy("/etc/resolv.conf", self.path("/etc/resolv.conf"))
        script = ('mount -t proc proc "$1/proc" && mount -t tmpfs tmpfs "$1/dev" && mknod -m 666 "$1/dev/null" c 1 3 '
                  '&& exec chroot "$@"')
        for command in (["apt-get", "-q", "update"], ["apt-get", "-q", "-y", "install", *self.apt_options,
                                                      "--no-install-recommends", *packages]):
            done = subprocess.run(["unshare", "--mount", "--", "sh", "-c", script, "sh", self.root, *command],
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                  env={**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"})
            if done.returncode != 0:
                raise Failed(f"{' '.join(command)}: {done.stdout[-3000:]}")

    # ---- its life ----

    def boot(self):
        self.group = os.path.join(cgroup_mount(), f"rtd-test-{os.getpid()}")
        os.makedirs(self.group, exist_ok=True)
        # In the group first: the namespace's tree begins there.
        self.process = subprocess.Popen(
            ["sh", "-c", 'echo $$ >"$1/cgroup.procs" && shift && exec "$@"', "sh", self.group,
             "unshare", "--mount", "--pid", "--cgroup", "--uts", "--ipc", "--net", "--fork", "--kill-child", "--",
             "bash", "-c", BOOT, "bash", self.root],
            stdin=subprocess.DEVNULL)
        try:
            self.init = wait_for(self.find_init, "process 1 is there")
            wait_for(lambda: self.run("systemctl", "is-system-running", check=False).stdout.strip()
                     in ("running", "degraded"), "systemd is up")
        except AssertionError:
            print(self.run("journalctl", "-b", "--no-pager", check=False).stdout[-5000:])
            raise

    def find_init(self):
        if self.process.poll() is not None:
            raise Failed(f"it did not start: exit status {self.process.returncode}")
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children", encoding="ascii") as file:
            children = file.read().split()
        if not children:
            return None
        with open(f"/proc/{children[0]}/comm", encoding="ascii") as file:
            return children[0] if file.read().strip() == "systemd" else None

    def power_off(self):
        if self.process is None:
            return
        # The kernel ends all processes of the namespace with its first.
        self.process.kill()
        self.process.wait()
        self.process = None
        for folder, _, _ in os.walk(self.group, topdown=False):
            for _ in range(100):
                try:
                    os.rmdir(folder)
                    break
                except OSError:
                    time.sleep(0.02)

    # ---- what happens in it ----

    def enter(self, *command, network_alone=False):
        spaces = ["--net"] if network_alone else ["--mount", "--pid", "--cgroup", "--uts", "--ipc", "--net"]
        return ["nsenter", f"--target={self.init}", *spaces, "--", *command]

    def run(self, *command, check=True, network_alone=False, **options):
        """Runs a command in there; network_alone: one of this machine, in its network. Standard error is in stdout."""
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "SYSTEMD_PAGER": "",
                       "DEBIAN_FRONTEND": "noninteractive"}
        done = subprocess.run(self.enter(*command, network_alone=network_alone), stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True, errors="replace",
                              env=environment, **options)
        if check and done.returncode != 0:
            raise Failed(f"{' '.join(command)}: exit status {done.returncode}:\n{done.stdout}")
        return done

    @contextlib.contextmanager
    def beside(self, script):
        """Runs a Python script in the machine's network meanwhile; its only argument is where the machine's files are
        seen. SIGTERM tells it to end. Gives a list to which what it printed is then added."""
        # This machine's Python, with the other one's network; the path of a unix socket leads through its process 1.
        command = self.enter(sys.executable, "-B", "-c", script, f"/proc/{self.init}/root", network_alone=True)
        said = []
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
            yield said
            process.terminate()
            said.append(process.communicate(timeout=PATIENCE)[0])

    def out(self, *command):
        return self.run(*command).stdout.strip()

    def read_inside(self, path):
        """A file as it is seen in there, /proc and /sys included."""
        return self.run("cat", path).stdout

    def processes(self):
        """Number, as it counts there, and name of each process in there."""
        found = []
        top = os.path.join(f"/proc/{self.init}/root", "proc")
        for entry in os.listdir(top):
            if entry.isdigit():
                try:
                    with open(f"{top}/{entry}/comm", encoding="utf-8", errors="replace") as file:
                        found.append((int(entry), file.read().strip()))
                except (FileNotFoundError, ProcessLookupError):
                    continue
        return found

    def properties(self, unit, *names):
        """Values of a unit's properties, in this order."""
        lines = self.out("systemctl", "show", unit, *(f"--property={name}" for name in names)).splitlines()
        found = dict(line.split("=", 1) for line in lines)
        return [found.get(name, "") for name in names]

    def journal(self, unit):
        return self.out("journalctl", "--no-pager", "-o", "cat", "-u", unit)

    def http(self, path, address="127.0.0.1:9180"):
        return self.run("curl", "-sS", "--max-time", str(PATIENCE), f"http://{address}{path}", network_alone=True).stdout
