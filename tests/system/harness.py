"""Starts rtd for a test and talks to it: control socket, HTTP, log, processes.

    class MyTest(harness.RtdTestCase):
        def test_it(self):
            rtd = self.start({"plugins": {...}, "tasks": {...}})
            self.assertEqual(rtd.call("ps")["tasks"][0]["state"], "running")

Every daemon that a case started is stopped at its end; the case fails if the daemon does not stop cleanly or leaves a
process behind. ctest gives RTD_BIN_DIR and RTD_PLUGIN_DIR; by hand, set them to build/<preset>/bin and …/plugins.
"""
import ctypes
import http.client
import json
import os
import random
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import unittest

BIN_DIR = os.environ.get("RTD_BIN_DIR", "")
PLUGIN_DIR = os.environ.get("RTD_PLUGIN_DIR", "")
HERE = os.path.dirname(os.path.abspath(__file__))

#: Sanitized programs are slower, an emulated machine is (RTD_SLOWNESS says how much), and a loaded one is; waits are for
#: what should be there at once.
SLOWNESS = int(os.environ.get("RTD_SLOWNESS") or (5 if os.environ.get("RTD_SANITIZE") else 1))
PATIENCE = 30 * SLOWNESS

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
LIBC = ctypes.CDLL(None)
# What rtd leaves behind becomes this process's child, and so can be found.
LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with_the_test():
    """Between fork and exec: a test that is killed leaves no daemon that holds ctest's pipes open."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


class RpcError(Exception):
    def __init__(self, error):
        super().__init__(error.get("message"))
        self.code = error.get("code")
        self.data = error.get("data", {})
        self.kind = self.data.get("kind")


def alive(pid):
    """Whether there is such a process, and it is no zombie."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_for(condition, what, timeout=PATIENCE, pause=0.02):
    """Calls `condition` until it gives something true, which is returned."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {what}")
        time.sleep(pause)


def free_port():
    """A TCP port of this machine that is free and stays so: none of those that the kernel gives to whoever asks for any,
    as every test beside this one does, and the daemon itself for its metrics."""
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
        lowest_given = int(file.read().split()[0])
    while True:
        with socket.socket() as probe:
            try:
                probe.bind(("", random.randrange(10000, lowest_given) if lowest_given > 12000 else 0))
            except OSError:
                continue
            return probe.getsockname()[1]


class Client:
    """A connection to the control socket."""

    def __init__(self, path, timeout=PATIENCE):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(timeout)
        self.connect(path, time.monotonic() + timeout)
        self.buffer = b""
        self.next_id = 1
        self.notifications = []
        self.hello = self.read()

    def connect(self, path, deadline):
        # A unix socket whose queue of clients is full refuses at once where a limit of time is set.
        while True:
            try:
                return self.socket.connect(path)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.01)

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def read_line(self):
        while b"\n" not in self.buffer:
            piece = self.socket.recv(1 << 16)
            if not piece:
                raise ConnectionError("rtd closed the connection")
            self.buffer += piece
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line

    def read(self):
        return json.loads(self.read_line())

    def send(self, method, params=None, number=None):
        number = number if number is not None else self.next_id
        self.next_id += 1
        request = {"jsonrpc": "2.0", "id": number, "method": method, "params": params or {}}
        self.socket.sendall(json.dumps(request).encode() + b"\n")
        return number

    def answer(self, number):
        while True:
            message = self.read()
            if "method" in message:
                self.notifications.append(message)
            elif message.get("id") == number:
                if "error" in message:
                    raise RpcError(message["error"])
                return message["result"]

    def call(self, method, **params):
        return self.answer(self.send(method, params))

    def notification(self, method, accept=lambda params: True):
        """The params of the next notification of that name that is acceptable."""
        while True:
            for i, message in enumerate(self.notifications):
                if message["method"] == method and accept(message["params"]):
                    del self.notifications[i]
                    return message["params"]
            message = self.read()
            if "method" in message:
                self.notifications.append(message)


class Rtd:
    """One daemon in a folder of its own."""

    def __init__(self, config, arguments=(), folder=None):
        self.folder = folder or tempfile.mkdtemp(prefix="rtd-test-")
        self.config_file = os.path.join(self.folder, "rtd.json")
        self.socket = os.path.join(self.folder, "control.sock")
        self.log_file = os.path.join(self.folder, "rtd.log")
        self.arguments = list(arguments)
        self.process = None
        self.client = None
        self.write_config(config)

    # ---- configuration ----

    def complete(self, config):
        """The test's configuration with what every test daemon needs: its own socket, a free port, fast restarts."""
        full = {
            "control": {"socket": self.socket},
            "http": {"listen": "127.0.0.1:0"},
            "log": {"level": "debug", "format": "text"},
            "plugin_dir": PLUGIN_DIR,
            "sandboxes": {"default": {}},
        }
        for key, value in config.items():
            if key in ("control", "log") and isinstance(value, dict):
                full[key].update(value)
            else:
                full[key] = value
        for sandbox in full["sandboxes"].values():
            sandbox.setdefault("isolation", self.default_isolation(full))
            sandbox.setdefault("restart", {"initial_delay": "10ms", "max_delay": "50ms"})
            sandbox.setdefault("stop_timeout", "5s")
        return full

    def default_isolation(self, config):
        """Tests of other things run as confined as the machine allows, with the machine's network. A fake host confines
        nothing of itself, and sanitizers need /proc."""
        if config.get("host_binary") or os.environ.get("RTD_SANITIZE"):
            return {"mode": "none"}
        return {"mode": "best-effort", "seal": False,
                "grants": {"listen": ["*"], "connect": ["*"], "udp": True}}

    def write_config(self, config, raw=False):
        text = config if raw else json.dumps(self.complete(config), indent=2)
        with open(self.config_file, "w", encoding="utf-8") as file:
            file.write(text)

    # ---- life ----

    def start(self, wait=True):
        log = open(self.log_file, "ab")
        self.process = subprocess.Popen(
            [os.path.join(BIN_DIR, "rtd"), "--config", self.config_file, *self.arguments],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder, preexec_fn=die_with_the_test)
        log.close()
        if wait:
            self.wait_for_socket()
            self.wait_ready()
        return self

    def wait_for_socket(self):
        def there():
            if self.process.poll() is not None:
                raise AssertionError(f"rtd ended with {self.process.returncode}:\n{self.log()}")
            try:
                self.client = Client(self.socket)
                return True
            except OSError:
                return False

        wait_for(there, "the control socket")

    def wait_ready(self):
        try:
            wait_for(lambda: self.call("status")["ready"], "rtd is ready")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{json.dumps(self.call('status')['checks'], indent=1)}\n{self.log()}") from None

    def stop(self):
        """Stops the daemon by SIGTERM; returns its exit status."""
        if self.client:
            self.client.close()
            self.client = None
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise AssertionError("rtd did not stop after SIGTERM:\n" + self.log()[-5000:]) from None
        return self.process.returncode if self.process else None

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    # ---- talking ----

    def connect(self, timeout=PATIENCE):
        return Client(self.socket, timeout)

    def call(self, method, **params):
        return self.client.call(method, **params)

    def http_address(self):
        host, port = self.call("status")["http"].rsplit(":", 1)
        return host, int(port)

    def http_get(self, path):
        connection = http.client.HTTPConnection(*self.http_address(), timeout=PATIENCE)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def metric(self, name, **labels):
        """The value of one series on /metrics, or None."""
        for line in self.http_get("/metrics")[1].splitlines():
            if line.startswith(name) and line[len(name)] in " {" and all(f'{k}="{v}"' in line for k, v in labels.items()):
                return float(line.rsplit(" ", 1)[1])
        return None

    def log(self):
        try:
            with open(self.log_file, encoding="utf-8", errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    # ---- looking ----

    def tasks(self):
        return {task["name"]: task for task in self.call("ps")["tasks"]}

    def task(self, name):
        return self.call("task.inspect", name=name)["task"]

    def sandbox(self, name="default"):
        return next(s for s in self.call("sandbox.list")["sandboxes"] if s["name"] == name)

    def host_pid(self, name="default"):
        return self.sandbox(name)["pid"]

    def wait_task(self, name, *states, timeout=PATIENCE):
        def there():
            task = self.tasks().get(name)
            return task if task and task["state"] in states else None

        try:
            return wait_for(there, f"task {name} is {' or '.join(states)}", timeout)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.tasks().get(name)}\n{self.log()[-5000:]}") from None

    def wait_sandbox(self, state, name="default", timeout=PATIENCE):
        return wait_for(lambda: (s := self.sandbox(name))["state"] == state and s, f"sandbox {name} is {state}", timeout)

    def events(self, kind=None):
        return [e for e in self.call("events", limit=1000)["events"] if kind in (None, e["kind"])]


def children():
    """Process ids of this process's children that are not zombies. Hosts of a daemon that was killed became our children;
    those that have ended are reaped here, as a machine's first process would: until then the first process of their pid
    namespace, which the kernel ends after all others, stays. Hosts lead sessions of their own; what we started does
    not, and is its starter's to reap."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as file:
                fields = file.read().rsplit(")", 1)[1].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) != os.getpid():
            continue
        if fields[0] != "Z":
            found.append(int(entry))
        elif int(fields[3]) != os.getsid(0):
            os.waitpid(int(entry), os.WNOHANG)
    return found


class RtdTestCase(unittest.TestCase):
    def setUp(self):
        if not os.path.exists(os.path.join(BIN_DIR, "rtd")):
            raise AssertionError("RTD_BIN_DIR must name the folder of rtd, rtd-host and rtctl")
        self.known_children = set(children())
        self.daemons = []

    def make_folder(self):
        """A folder that is removed after the case."""
        folder = tempfile.mkdtemp(prefix="rtd-test-")
        self.addCleanup(shutil.rmtree, folder, True)
        return folder

    def start(self, config, wait=True, arguments=(), fake=None):
        """Starts a daemon. `fake` is the body of a fake host's class (see fake_host.py)."""
        rtd = Rtd({}, arguments)
        self.daemons.append(rtd)
        self.addCleanup(rtd.remove)
        if fake is not None:
            config = {**config, "host_binary": write_fake_host(rtd.folder, fake)}
        rtd.write_config(config)
        self.addCleanup(self.finish, rtd)
        rtd.start(wait)
        return rtd

    def expected_children(self):
        """The daemons of this case that still run; their hosts are not our children."""
        return self.known_children | {rtd.process.pid for rtd in self.daemons if rtd.process}

    def finish(self, rtd):
        status = rtd.stop()
        if rtd in self.daemons:
            self.daemons.remove(rtd)
        deadline = time.monotonic() + PATIENCE
        while leaked := [pid for pid in children() if pid not in self.expected_children()]:
            if time.monotonic() > deadline:
                break
            time.sleep(0.02)
        names = []
        for pid in leaked:
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    names.append(file.read().replace(b"\0", b" ").decode(errors="replace"))
                os.kill(pid, signal.SIGKILL)
            except (FileNotFoundError, ProcessLookupError):
                continue
        if not self.failed() and sys.stderr is not None:
            self.assertEqual(names, [], "processes were left behind")
            self.assertEqual(status, 0, "rtd's exit status\n" + rtd.log()[-5000:])
            for sign in ("AddressSanitizer", "ThreadSanitizer", "LeakSanitizer", "runtime error:"):
                self.assertNotIn(sign, rtd.log())
        elif os.environ.get("RTD_TEST_VERBOSE"):
            print(rtd.log(), file=sys.stderr)

    def failed(self):
        outcome = getattr(self, "_outcome", None)
        errors = getattr(getattr(outcome, "result", None), "failures", []) + getattr(
            getattr(outcome, "result", None), "errors", [])
        return any(case is self for case, _ in errors) or not getattr(outcome, "success", True)

    def refused(self, kind, action, *arguments, **named):
        """Asserts that a call fails with this kind of error; returns the error."""
        with self.assertRaises(RpcError) as caught:
            action(*arguments, **named)
        self.assertEqual(caught.exception.kind, kind, str(caught.exception))
        return caught.exception


def write_fake_host(folder, body, name="fake-rtd-host"):
    """Writes a host program whose class has `body` (indented by four spaces); returns its path."""
    path = os.path.join(folder, name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(
            "#!/usr/bin/python3 -B\n"
            f"import sys; sys.path.insert(0, {HERE!r})\n"
            "import fake_host\n"
            "import json, os, signal, struct, threading, time\n"
            "from fake_host import Refusal\n\n\n"
            "class Host(fake_host.FakeHost):\n"
            "    kind = 'fake'\n"
            f"{body}\n\n\n"
            "Host().run()\n")
    os.chmod(path, 0o755)
    return path


def fake_plugin(folder, name="fake"):
    """A file that a fake host accepts as a plugin; returns its path."""
    path = os.path.join(folder, name + ".so")
    with open(path, "wb") as file:
        file.write(b"not read by the supervisor")
    os.chmod(path, stat.S_IRUSR | stat.S_IWUSR | stat.S_IRGRP | stat.S_IROTH)
    return path


#: The plugin whose entries do all that a task can do.
BEHAVIOUR = {"test-behaviour": {"path": "test_behaviour.so"}}


class BehaviourCase(RtdTestCase):
    """With the real host and the plugin test_behaviour."""

    def setUp(self):
        super().setUp()
        for path in (os.path.join(BIN_DIR, "rtd-host"), os.path.join(PLUGIN_DIR, "test_behaviour.so")):
            if not os.path.exists(path):
                raise AssertionError(path + " is missing: build rtd-host and rtd_test_plugins")

    def task(self, entry, **more):
        return {"plugin": "test-behaviour", "entry": entry, **more}

    def start_behaviour(self, tasks, **more):
        return self.start({"plugins": BEHAVIOUR, "tasks": tasks, **more})


class FakeHostCase(RtdTestCase):
    def start_fake(self, body="    pass", tasks=None, **more):
        plugin = fake_plugin(self.make_folder())
        wait = more.pop("wait", True)
        return self.start({"plugins": {"fake": {"path": plugin}}, "tasks": tasks or {}, **more}, fake=body, wait=wait)

    def task(self, entry, **more):
        return {"plugin": "fake", "entry": entry, **more}
