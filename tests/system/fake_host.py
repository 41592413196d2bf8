"""A stand-in for rtd-host that speaks the supervisor-host link, for tests of the supervisor alone.

A test writes a small program that derives from FakeHost, overrides what is to go wrong, and gives it to rtd as
"host_binary" (harness.write_fake_host does this). Left as it is, it loads every plugin, runs every task until it is
stopped, and answers statistics that are plain but true to form.
"""
import json
import os
import socket
import struct
import sys
import time

VERSION = "0.1.0"
ABI = 1


class FakeHost:
    #: What every plugin looks like: entries by name. Entries: "serve" runs until stopped, "once" completes at once,
    #: "fail" fails at once, "stubborn" does not end when it is stopped.
    entries = ("serve", "once", "fail", "stubborn")

    def __init__(self):
        arguments = sys.argv[1:]
        self.sandbox = arguments[arguments.index("--sandbox") + 1]
        self.link = socket.socket(fileno=int(arguments[arguments.index("--link-fd") + 1]))
        self.tasks = {}
        self.plugins = {}

    # ---- the link ----

    def send_bytes(self, data):
        self.link.sendall(data)

    def send_text(self, text):
        data = text if isinstance(text, bytes) else text.encode()
        self.send_bytes(struct.pack("<I", len(data)) + data)

    def send(self, message):
        self.send_text(json.dumps(message))

    def event(self, name, **members):
        self.send({"event": name, **members})

    def log(self, message, task="", plugin="", level="info", when=None):
        self.event("log", task=task, plugin=plugin, level=level, message=message, time=when or time.time())

    def receive_exactly(self, size):
        data = b""
        while len(data) < size:
            piece = self.link.recv(size - len(data))
            if not piece:
                sys.exit(0)
            data += piece
        return data

    def run(self):
        while True:
            size = struct.unpack("<I", self.receive_exactly(4))[0]
            request = json.loads(self.receive_exactly(size))
            self.handle(request["id"], request["method"], request.get("params", {}))

    def handle(self, number, method, params):
        try:
            result = getattr(self, "on_" + method.replace(".", "_"))(params)
        except Refusal as refusal:
            self.send({"id": number, "error": {"kind": refusal.kind, "message": str(refusal)}})
            return
        if result is not None:
            self.send({"id": number, "result": result})
        self.after(method, params)

    def after(self, method, params):
        """Called when a request has been answered."""
        if method == "task.start":
            self.begin_task(params["id"], params["entry"])
        elif method == "task.stop":
            self.stop_task(params["id"])
        elif method == "shutdown":
            sys.exit(0)

    # ---- what it does ----

    def on_host_configure(self, params):
        return {"pid": os.getpid(), "abi": ABI, "version": VERSION}

    def on_plugin_load(self, params):
        name = params["name"] or "checked"
        self.plugins[name] = params["path"]
        return {
            "name": name,
            "version": "1.0.0",
            "description": "a fake",
            "abi": ABI,
            "entries": [{"name": entry, "description": "an entry"} for entry in self.entries],
            "thread_locals": [],
        }

    def on_plugin_unload(self, params):
        self.plugins.pop(params["name"], None)
        return {}

    def on_task_start(self, params):
        self.tasks[params["id"]] = {**params, "started_at": time.time()}
        return {}

    def begin_task(self, task, entry):
        self.event("task", id=task, state="running", error="")
        if entry == "once":
            self.end_task(task, "completed")
        elif entry == "fail":
            self.end_task(task, "failed", "it was to fail")

    def end_task(self, task, state, error=""):
        del self.tasks[task]
        self.event("task", id=task, state=state, error=error)

    def on_task_stop(self, params):
        if params["id"] not in self.tasks:
            raise Refusal("not_found", "no such task")
        return {}

    def stop_task(self, task):
        if self.tasks[task]["entry"] == "stubborn":
            self.event("task", id=task, state="stuck", error="it does not end")
        else:
            self.end_task(task, "cancelled")

    def on_stats(self, params):
        return statistics(self.tasks)

    def on_stacks(self, params):
        return {"text": "goroutine 1 [running]:\nmain()\n"}

    def on_gc(self, params):
        return {"stack_bytes": 4096, "malloc_bytes": 0, "duration_seconds": 0.001}

    def on_set(self, params):
        return {}

    def on_shutdown(self, params):
        return {}


class Refusal(Exception):
    def __init__(self, kind, message):
        super().__init__(message)
        self.kind = kind


#: The members of the runtime's statistics that are single numbers.
RUNTIME_NUMBERS = (
    "procs idle_procs threads threads_running threads_idle threads_blocked threads_spinning threads_created_total "
    "green_threads runnable running waiting blocking created_total global_queue_length switches_total steals_total "
    "steal_failures_total handoffs_total preempt_requests_total preemptions_total wakeups_total stop_the_world_total "
    "stacks_in_use stacks_cached stack_in_use_bytes stack_reserved_bytes stack_limit stack_failures_total timers "
    "timers_fired_total net_descriptors net_waiting_readers net_waiting_writers net_polls_total net_events_total"
).split()


def statistics(tasks):
    runtime = {name: 0 for name in RUNTIME_NUMBERS}
    runtime.update(procs=2, threads=3, green_threads=len(tasks), stack_guard="mprotect", local_queue_lengths=[0, 0],
                   busy_seconds_total=[0.0, 0.0], run_queue_wait_buckets=[0, 0], run_queue_wait_seconds_sum=0.0)
    return {
        "runtime": runtime,
        "wait_bounds": [0.001],
        "tasks": [
            {"id": name, "plugin": task["plugin"], "entry": task["entry"], "state": "running", "green_threads": 1,
             "cpu_seconds": 0.5, "status": "as fake as can be", "started_at": task["started_at"]}
            for name, task in tasks.items()
        ],
        "metrics": [],
        "logs_dropped_total": 0,
        "malloc": {"in_use_bytes": 0, "arena_bytes": 0},
    }
