"""Drives the real rtd-host over a socketpair, as the supervisor does."""
import json
import os
import select
import signal
import socket
import struct
import subprocess
import time

BIN_DIR = os.environ.get("RTD_BIN_DIR", "")
PLUGIN_DIR = os.environ.get("RTD_PLUGIN_DIR", "")
SANITIZE = os.environ.get("RTD_SANITIZE", "")
# Everything is slower in instrumented builds.
PATIENCE = 60 if SANITIZE else 20


def plugin(name):
    return os.path.join(PLUGIN_DIR, f"test_{name}.so")


class HostError(Exception):
    def __init__(self, error):
        super().__init__(f"{error['kind']}: {error['message']}")
        self.kind = error["kind"]
        self.message = error["message"]


class Host:
    """One rtd-host. Use it as a context manager: the process never outlives it.

    With keep_far_end, the host's end of the link stays open here as well: the test can fill it, and never sees its end.
    """

    def __init__(self, configure=True, sandbox="default", max_procs=2, environment=None, keep_far_end=False):
        self.link, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        command = [os.path.join(BIN_DIR, "rtd-host"), "--link-fd", str(other.fileno()), "--sandbox", sandbox]
        if SANITIZE == "thread":
            command = ["setarch", "-R", *command]
        self.process = subprocess.Popen(command, pass_fds=[other.fileno()], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        env={**os.environ, **(environment or {})})
        self.far_end = other
        if not keep_far_end:
            other.close()
        self.buffer = b""
        self.events = []
        self.answers = {}
        self.next_id = 1
        if configure:
            self.call("host.configure", sandbox=sandbox, max_procs=max_procs, stack_size=262144, log_level="debug")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.link.close()
        self.far_end.close()
        self.process.stdout.close()
        self.process.stderr.close()

    # ---- frames ----

    def send_bytes(self, data):
        # The host does not read while it cannot write, so neither side may wait for the other without reading.
        deadline = time.monotonic() + PATIENCE
        data = memoryview(data)
        while data:
            readable, writable, _ = select.select([self.link], [self.link], [], max(0, deadline - time.monotonic()))
            if not readable and not writable:
                raise TimeoutError("the host does not read its link")
            if readable and not self.read_some(deadline):
                raise ConnectionError(f"the host is gone; its standard error: {self.rest_of_stderr()}")
            if writable:
                try:
                    data = data[self.link.send(data, socket.MSG_DONTWAIT):]
                except BlockingIOError:
                    pass

    def send_payload(self, payload):
        self.send_bytes(struct.pack("<I", len(payload)) + payload)

    def encode(self, method, params):
        """(number, frame) of a request."""
        request = self.next_id
        self.next_id += 1
        payload = json.dumps({"id": request, "method": method, "params": params}).encode()
        return request, struct.pack("<I", len(payload)) + payload

    def send(self, method, **params):
        request, frame = self.encode(method, params)
        self.send_bytes(frame)
        return request

    def send_without_reading(self, method, **params):
        """As send(), but what the host says stays in the link, so a full one stays full."""
        request, frame = self.encode(method, params)
        self.link.sendall(frame)
        return request

    def read_some(self, deadline):
        """Takes what is there, waiting up to the deadline. False at the end of the link."""
        left = max(0, deadline - time.monotonic())
        if not select.select([self.link], [], [], left)[0]:
            raise TimeoutError(f"the host said nothing more; events so far: {self.events[-5:]}")
        try:
            data = self.link.recv(1 << 20)
        except ConnectionResetError:
            return False
        if not data:
            return False
        self.buffer += data
        while len(self.buffer) >= 4:
            length = struct.unpack("<I", self.buffer[:4])[0]
            assert length <= 8 << 20, f"a frame of {length} bytes"
            if len(self.buffer) < 4 + length:
                break
            message = json.loads(self.buffer[4:4 + length])
            self.buffer = self.buffer[4 + length:]
            if "event" in message:
                self.events.append(message)
            else:
                self.answers[message["id"]] = message
        return True

    def answer(self, request, timeout=PATIENCE):
        deadline = time.monotonic() + timeout
        while request not in self.answers:
            if not self.read_some(deadline):
                raise ConnectionError(f"the host is gone; its standard error: {self.rest_of_stderr()}")
        message = self.answers.pop(request)
        if "error" in message:
            raise HostError(message["error"])
        return message["result"]

    def call(self, method, timeout=PATIENCE, **params):
        return self.answer(self.send(method, **params), timeout)

    # ---- events ----

    def wait_event(self, wanted, timeout=PATIENCE):
        """The first event, from the beginning, for which wanted(event) is true."""
        deadline = time.monotonic() + timeout
        looked_at = 0
        while True:
            for event in self.events[looked_at:]:
                if wanted(event):
                    return event
            looked_at = len(self.events)
            if not self.read_some(deadline):
                raise ConnectionError(f"the host is gone; events: {self.events}; {self.rest_of_stderr()}")

    def wait_state(self, task, state, timeout=PATIENCE):
        return self.wait_event(lambda e: e["event"] == "task" and e["id"] == task and e["state"] == state, timeout)

    def wait_log(self, text, timeout=PATIENCE):
        return self.wait_event(lambda e: e["event"] == "log" and text in e["message"], timeout)

    def drain(self, timeout=PATIENCE):
        """Reads up to the end of the link."""
        deadline = time.monotonic() + timeout
        while self.read_some(deadline):
            pass

    def rest_of_stderr(self):
        self.process.wait(PATIENCE)
        return self.process.stderr.read().decode(errors="replace")

    # ---- what tests do often ----

    def load(self, name, timeout=PATIENCE):
        return self.call("plugin.load", timeout=timeout, name="test-" + name.replace("_", "-"), path=plugin(name))

    def send_start(self, entry, task=None, params=None, stack_size=0, **share):
        return self.send("task.start", id=task or entry.replace("_", "-"), plugin="test-behaviour", entry=entry,
                         params=params or {}, stack_size=stack_size, **share)

    def start(self, entry, task=None, params=None, stack_size=0, **share):
        return self.answer(self.send_start(entry, task, params, stack_size, **share))

    def crash(self, timeout=PATIENCE):
        """Waits for the end of a host that crashes: (the crash report, how it ended)."""
        self.drain(timeout)
        status = self.process.wait(timeout)
        reports = [event for event in self.events if event["event"] == "crash"]
        assert len(reports) == 1, f"{len(reports)} crash reports; {self.rest_of_stderr()}"
        return reports[0], signal.Signals(-status).name if status < 0 else status


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
