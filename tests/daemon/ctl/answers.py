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
