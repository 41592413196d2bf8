"""Answers as rtd gives them."""
AT = "2026-01-02T03:04:05.678Z"

CRASH = {"signal": "SIGSEGV", "code": "SEGV_MAPERR", "address": "0x0", "green_thread": 7, "task": "greeter",
         "plugin": "hello", "stack_overflow": False, "stack": ["serve+0x1f (hello.so)", "start+0x2 (rtd-host)"]}

SANDBOXES = [
    {"name": "default", "state": "up", "pid": 4242, "restarts": 2, "uptime_seconds": 93784.5, "backoff_seconds": 0.0,
     "procs": 4, "green_threads": 1012, "rss_bytes": 67300000, "layers": ["no_new_privs", "rlimits"], "fatal_reason": "",
     "last_exit": {"reason": "signal", "signal": "SIGSEGV", "code": None, "detail": "", "at": AT, "crash": CRASH}},
    {"name": "batch", "state": "backoff", "pid": None, "restarts": 20, "uptime_seconds": 0.0, "backoff_seconds": 3.2,
     "procs": 0, "green_threads": 0, "rss_bytes": 0, "layers": [], "fatal_reason": "",
     "last_exit": {"reason": "exit", "signal": None, "code": 1, "detail": "", "at": AT, "crash": None}},
]

STATUS = {
    "version": "0.1.0", "pid": 77, "uptime_seconds": 100000.0, "ready": True,
    "config": {"file": "/etc/rtd/rtd.json", "generation": 3, "loaded_at": AT, "last_reload_ok": True},
    "sandboxes": SANDBOXES, "tasks": {"total": 2, "running": 1, "failed": 1, "stopped": 0}, "http": "127.0.0.1:9180",
    "green_threads": 1012, "checks": [{"name": "config", "ok": True, "detail": ""}],
}


def task(name, **changes):
    result = {"name": name, "sandbox": "default", "plugin": "hello", "entry": "serve", "state": "running", "restarts": 0,
              "age_seconds": 150.2, "cpu_seconds": 12.5, "green_threads": 1001, "status": "1000 connections",
              "last_exit": None, "configured": True, "backoff_seconds": 0.0}
    result.update(changes)
    return result


def ended(name, state, reason, error="", **changes):
    return task(name, state=state, age_seconds=0.0, cpu_seconds=0.0, green_threads=0, status="",
                last_exit={"reason": reason, "error": error, "at": AT}, **changes)


TASKS = [task("greeter"), ended("probe", "failed", "failed", "cannot resolve 例え.example", configured=False,
                                plugin="prober", restarts=3)]

LINE = {"seq": 1, "time": AT, "level": "warn", "sandbox": "default", "plugin": "hello", "task": "greeter",
        "source": "task", "message": "hi"}
EVENT = {"seq": 4, "time": AT, "kind": "sandbox_exited", "sandbox": "default", "task": "", "message": "signal SIGSEGV"}

COLLECTOR = {
    "name": "default", "percent": 100, "memory_limit_bytes": None, "live_bytes": 2 << 20, "alloc_bytes": 3 << 20,
    "goal_bytes": 4 << 20, "cycles_total": 7, "cycles_growth_total": 4, "cycles_forced_total": 2,
    "cycles_period_total": 0, "cycles_task_limit_total": 1, "cycles_task_end_total": 0, "is_marking": False,
    "background_seconds_total": 1.5, "idle_seconds_total": 0.0, "assist_seconds_total": 0.25,
    "pause_seconds_total": 0.0123, "cpu_fraction": 0.015, "scanned_stack_bytes": 65536,
    "scanned_global_bytes": 1 << 20, "limit_failures_total": 3, "memory_failures_total": 0,
    "stops": {"bounds_seconds": [0.000001, 0.001], "counts": [9, 5, 0], "sum_seconds": 0.01},
    "begin_pauses": {"bounds_seconds": [0.000001, 0.001], "counts": [9, 0, 5], "sum_seconds": 0.01},
    "end_pauses": {"bounds_seconds": [0.000001, 0.001], "counts": [0, 0, 0], "sum_seconds": 0.0}}

HEAP = dict(COLLECTOR, objects=1200, in_use_bytes=4 << 20, idle_bytes=1 << 20, released_bytes=1 << 19,
            metadata_bytes=96 << 10, large_objects_total=4, large_objects_freed_total=3, tasks=[
    {"name": "greeter", "plugin": "hello", "live_bytes": 1 << 20, "in_use_bytes": 2 << 20, "objects": 1000,
     "allocated_bytes_total": 10 << 20, "soft_limit_bytes": 4 << 20, "hard_limit_bytes": 8 << 20,
     "limit_waits_total": 5, "limit_failures_total": 1},
    {"name": "alpha", "plugin": "hello", "live_bytes": 1024, "in_use_bytes": 8192, "objects": 10,
     "allocated_bytes_total": 2048, "soft_limit_bytes": None, "hard_limit_bytes": None, "limit_waits_total": 0,
     "limit_failures_total": 0}], size_classes=[
    {"size": 16, "allocated_objects_total": 500, "freed_objects_total": 400, "objects": 100},
    {"size": 512, "allocated_objects_total": 2, "freed_objects_total": 0, "objects": 2}])

PATH = {"sandbox": "default", "object": {"address": "0xc000", "size": 64, "offset": 4, "task": ""},
        "root": {"kind": "the stack of a green thread", "address": "0x7f00", "green_thread": 7, "place": ""},
        "steps": [{"address": "0x2000", "size": 32, "offset": 8, "task": "greeter"}], "steps_left_out": 0,
        "objects_looked_at": 12}
