"""Runs rtctl for the tests."""
import os
import subprocess

RTCTL = os.path.join(os.environ["RTD_BIN_DIR"], "rtctl")


def environment(socket=None, **changes):
    variables = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LANG": "C.UTF-8", "TZ": "UTC", "TERM": "xterm"}
    if socket is not None:
        variables["RTD_SOCKET"] = socket
    for name in ("ASAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS"):
        if name in os.environ:
            variables[name] = os.environ[name]
    variables.update(changes)
    return variables


def rtctl(server, *words, timeout=30, stdin=None, **changes):
    """Runs rtctl against a server (or a path, or None for the default socket); the result has returncode, stdout and
    stderr as text."""
    path = getattr(server, "path", server)
    return subprocess.run([RTCTL, *words], env=environment(path, **changes), input=stdin, stdin=None if stdin else
                          subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False)
