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

    def on_task_share(self, params):
        return {}

    def on_stats(self, params):
        return statistics(self.tasks)

    def on_stacks(self, params):
        return {"text": "goroutine 1 [running]:\nmain()\n"}

    def on_task_limit(self, params):
        return {}

    def on_heap_profile(self, params):
        return {"profile": ""}

    def on_gc(self, params):
        return {"live_bytes": 1000, "heap_bytes": 8192, "stack_bytes": 4096, "malloc_bytes": 0,
                "duration_seconds": 0.001}

    def on_heap_why(self, params):
        if params["address"] == "0":
            return {"problem": "there is no object at 0x0: it is no address of the collected heap"}
        return {"object": {"address": "0x" + params["address"], "size": 64, "offset": 0, "task": "server"},
                "root": {"kind": "the stack of a green thread", "address": "0x7f00", "green_thread": 7, "place": ""},
                "steps": [{"address": "0x2000", "size": 32, "offset": 8, "task": "server"}],
                "steps_left_out": 0, "objects_looked_at": 12}

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
    "procs idle_procs threads threads_running threads_idle threads_blocked threads_spinning threads_frozen "
    "threads_created_total threads_ended_total threads_refused_total green_threads runnable running waiting "
    "blocking created_total global_queue_length switches_total steals_total steal_failures_total handoffs_total "
    "preempt_requests_total preemptions_total preempt_signals_total freezes_total retakes_total os_lock_parks_total "
    "mutex_wait_seconds_total runtime_lock_wait_seconds_total "
    "wakeups_total stop_the_world_total stacks_in_use stacks_cached stack_in_use_bytes stack_reserved_bytes stack_limit "
    "stack_failures_total timers timers_fired_total net_descriptors net_waiting_readers net_waiting_writers "
    "net_polls_total net_events_total"
).split()


#: The same of the heap and its collector, and of each task's part.
HEAP_NUMBERS = (
    "total_alloc mallocs frees heap_alloc heap_sys heap_idle heap_inuse heap_released heap_objects stack_inuse "
    "stack_sys mspan_inuse mspan_sys mcache_inuse mcache_sys buck_hash_sys gc_sys other_sys sys lookups num_gc "
    "num_forced_gc last_gc_seconds pause_total_seconds gc_cpu_fraction"
).split()
GC_NUMBERS = (
    "live_bytes scanned_stack_bytes scanned_global_bytes table_bytes scavenged_bytes_total scavenger_seconds_total "
    "limit_failures_total memory_failures_total large_objects_total large_objects_freed_total cycles_growth_total "
    "cycles_forced_total cycles_period_total cycles_task_limit_total cycles_task_end_total background_seconds_total "
    "idle_seconds_total assist_seconds_total pause_seconds_total marked_bytes_total scanned_bytes_total "
    "stop_seconds_sum begin_pause_seconds_sum end_pause_seconds_sum total_pause_seconds_sum"
).split()
TASK_HEAP_NUMBERS = (
    "allocated_bytes_total allocated_objects_total freed_bytes_total freed_objects_total live_bytes objects "
    "in_use_bytes table_bytes limit_waits_total limit_failures_total"
).split()


def heap_statistics():
    heap = {name: 0 for name in HEAP_NUMBERS}
    heap.update(next_gc=4194304, pause_quantiles=[0.0] * 5, enable_gc=True, debug_gc=False, by_size=[[16, 3, 1]])
    return heap


def collector_statistics():
    collector = {name: 0 for name in GC_NUMBERS}
    collector.update(percent=100, memory_limit=None, goal_bytes=4194304, is_marking=False, is_limited=False,
                     stop_buckets=[0, 0], begin_pause_buckets=[0, 0], end_pause_buckets=[0, 0],
                     total_pause_buckets=[0, 0])
    return collector


def task_limit_statistics():
    return {"green_threads_limit": None, "green_threads_refused_total": 0, "connections": 0, "connections_limit": None,
            "connections_refused_total": 0, "accept_waits_total": 0, "log_rate_limit": None,
            "log_lines_dropped_total": 0, "cpu_limit": None, "cpu_throttles_total": 0, "cpu_throttled_seconds_total": 0.0}


def task_heap_statistics():
    heap = {name: 0 for name in TASK_HEAP_NUMBERS}
    heap.update(in_use_bytes=81920, live_bytes=4096, soft_limit=None, hard_limit=None)
    return heap


def statistics(tasks):
    runtime = {name: 0 for name in RUNTIME_NUMBERS}
    runtime.update(procs=2, threads=3, green_threads=len(tasks), stack_guard="mprotect", local_queue_lengths=[0, 0],
                   busy_seconds_total=[0.0, 0.0], run_queue_wait_buckets=[0, 0], run_queue_wait_seconds_sum=0.0,
                   slice_buckets=[0, 0], slice_seconds_sum=0.0)
    return {
        "runtime": runtime,
        "duration_bounds": [0.001],
        "tasks": [
            {"id": name, "plugin": task["plugin"], "entry": task["entry"], "state": "running", "green_threads": 1,
             "cpu_seconds": 0.5, "queue_waits": 0, "queue_wait_seconds": 0.0, "status": "as fake as can be",
             "started_at": task["started_at"], "heap": task_heap_statistics(),
             "limits": task_limit_statistics()}
            for name, task in list(tasks.items())  # at once: threads of a host that a test writes end tasks meanwhile
        ],
        "metrics": [],
        "logs_dropped_total": 0,
        "malloc": {"in_use_bytes": 0, "arena_bytes": 0},
        "heap": heap_statistics(),
        "gc": collector_statistics(),
    }
