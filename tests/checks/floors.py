#!/usr/bin/env python3
"""Checks who includes whom.

usage: floors.py [--root FOLDER] [--self-test]

1. runtime/ has floors: a file includes its own folder and lower floors, nothing else of the runtime, never daemon/, and
   no library but the C and C++ ones (and Asio's errors in rt/asio.h, which is there to translate into them, for programs
   that use Boost themselves).
2. Public headers (runtime/include/rt) have the floor of the folder that implements them, include public headers up to
   their own floor, and no internal header.
3. daemon/ has folders that may include only those listed; only daemon/host knows the runtime
   (the supervisor asks it for the machine's CPUs).
4. Plugins include public headers, their own folder, and nothing else of the tree.
5. No include circle anywhere.
6. thread_local stands in runtime/os and its public header alone: a green thread may go on with another kernel thread at
   any switch.
"""
import os
import re
import sys

import tree

FLOORS = {"os": 0, "context": 1, "heap": 1, "sched": 2, "gc": 3, "weak": 3, "cleanup": 3, "sync": 3, "net": 4, "posix": 4, "task": 5, "observe": 5}
# Folders of one floor that may be included from another folder of it: (from, to).
PEERS = set()
PUBLIC_FLOORS = {
    "worker_head": 0, "usage_error": 0, "size_class": 1, "make": 1, "ref": 1, "arena": 1, "hash": 1, "string": 1, "vector": 1, "map": 1, "kept": 1,
    "go": 2, "blocking": 2, "runtime": 2, "wait_list": 2, "coroutine_frame": 2,
    "time": 3, "chan": 3, "coroutine": 3, "select": 3, "sync": 3, "context": 3, "gc": 3, "gc_stats": 3, "weak": 3, "cleanup": 3,
    "mutex": 3, "shared_mutex": 3, "condition": 3, "wait_group": 3, "semaphore": 3, "once": 3, "pool": 3, "local": 3,
    "sharded_counter": 3,
    "net": 4, "asio": 4,
    "task": 5, "metrics": 5, "profile": 5, "plugin": 5, "rt": 5, "test": 5,
}
DAEMON = {
    "protocol": set(),
    "config": {"protocol"},
    "sandbox": {"protocol", "config"},
    "metrics": {"protocol"},
    "http": {"protocol"},
    "host": {"protocol", "sandbox"},
    "supervisor": {"protocol", "config", "sandbox", "metrics", "http"},
    "ctl": {"protocol"},
}
KNOWS_RUNTIME = {"host"}
# The quotas of control groups, which a confined host cannot see.
SUPERVISOR_ASKS = "runtime/os/cpu.h"
FOREIGN = re.compile(r"^(boost|spdlog|fmt|nlohmann|prometheus|CLI|gtest|gmock|benchmark|systemd|elfutils)/"
                     r"|^(seccomp|cap-ng|zlib|curl)\.h$")


def resolve(root, path, name):
    """The file of the tree that an include names, relative to the root; None if it names none."""
    for base in (os.path.dirname(path), "", "runtime/include"):
        candidate = os.path.normpath(os.path.join(base, name))
        if os.path.isfile(os.path.join(root, candidate)):
            return candidate
    return None


def place(path):
    """("runtime", folder), ("public", header), ("daemon", folder), ("plugins", name) or (top folder, "")."""
    parts = path.split(os.sep)
    if parts[:3] == ["runtime", "include", "rt"]:
        return "public", os.path.splitext(parts[-1])[0]
    if parts[0] in ("runtime", "daemon", "plugins") and len(parts) > 2:
        return parts[0], parts[1]
    return parts[0], ""


def judge(path, target):
    """Why `path` may not include `target`; None if it may."""
    kind, folder = place(path)
    to_kind, to_folder = place(target)
    if kind == "runtime":
        if folder not in FLOORS:
            return f"runtime/{folder} has no floor: give it one in tests/checks/floors.py"
        if to_kind == "public":
            if to_folder not in PUBLIC_FLOORS:
                return f"the public header has no floor: give it one in tests/checks/floors.py"
            if PUBLIC_FLOORS[to_folder] > FLOORS[folder]:
                return f"floor {FLOORS[folder]} ({folder}) includes a public header of floor {PUBLIC_FLOORS[to_folder]}"
            return None
        if to_kind != "runtime":
            return "the runtime includes nothing of the tree outside runtime/"
        if to_folder == folder or (folder, to_folder) in PEERS:
            return None
        if to_folder not in FLOORS:
            return f"runtime/{to_folder} has no floor: give it one in tests/checks/floors.py"
        if FLOORS[to_folder] > FLOORS[folder]:
            return f"floor {FLOORS[folder]} ({folder}) includes floor {FLOORS[to_folder]} ({to_folder})"
        if FLOORS[to_folder] == FLOORS[folder]:
            return f"{folder} and {to_folder} share floor {FLOORS[folder]} and are not listed as peers"
        return None
    if kind == "public":
        if to_kind != "public":
            return "a public header includes only public ones: plugin authors have no others"
        for header in (folder, to_folder):
            if header not in PUBLIC_FLOORS:
                return f"rt/{header}.h has no floor: give it one in tests/checks/floors.py"
        if PUBLIC_FLOORS[to_folder] > PUBLIC_FLOORS[folder]:
            return f"public header of floor {PUBLIC_FLOORS[folder]} includes one of floor {PUBLIC_FLOORS[to_folder]}"
        return None
    if kind == "daemon":
        if folder not in DAEMON:
            return f"daemon/{folder} is not listed: say in tests/checks/floors.py what it may include"
        if to_kind in ("runtime", "public"):
            if folder not in KNOWS_RUNTIME and (folder, target) != ("supervisor", SUPERVISOR_ASKS):
                return "in the daemon only daemon/host knows the runtime"
            return None
        if to_kind != "daemon":
            return "the daemon includes nothing of the tree but daemon/ (and daemon/host the runtime)"
        if to_folder != folder and to_folder not in DAEMON[folder]:
            return f"daemon/{folder} may include {', '.join(sorted(DAEMON[folder])) or 'no other folder of daemon/'}"
        return None
    if kind == "plugins":
        if to_kind == "public" or (to_kind == "plugins" and to_folder == folder):
            return None
        return "a plugin includes public headers (rt/…) and its own folder, as one outside this tree would"
    return None


def circles(graph):
    """Each include circle once, as the list of its files."""
    found, state = [], {}

    def visit(node, trail):
        state[node] = 1
        for target in sorted(graph.get(node, ())):
            if state.get(target) == 1:
                found.append(trail[trail.index(target):] if target in trail else [node, target])
            elif target not in state:
                visit(target, trail + [target])
        state[node] = 2

    for node in sorted(graph):
        if node not in state:
            visit(node, [node])
    return found


def check(root):
    """All violations below `root`, as "file:line: text"."""
    problems, graph = [], {}
    for path in tree.files(root, (".h", ".cpp", ".c", ".S")):
        text = tree.read(root, path)
        kind, folder = place(path)
        for line, quote, name in tree.includes(text):
            target = resolve(root, path, name)
            where = f"{path}:{line}: includes {name}: "
            if target is None:
                if quote == '"' and kind in ("runtime", "public", "daemon", "plugins"):
                    problems.append(where + "no such file in the tree (write system headers in <…>)")
                elif kind in ("runtime", "public") and FOREIGN.search(name) and (kind, folder) != ("public", "asio"):
                    problems.append(where + "the runtime uses no library but the C and C++ ones")
                continue
            graph.setdefault(path, set()).add(target)
            why = judge(path, target)
            if why:
                problems.append(where + why)
        if kind in ("runtime", "public") and (kind, folder) not in (("runtime", "os"), ("public", "worker_head")):
            code = tree.code_only(text)
            for match in re.finditer(r"\b(thread_local|__thread)\b", code):
                problems.append(f"{path}:{tree.line_of(code, match.start())}: {match[0]} outside runtime/os: a switch can "
                                "make it stale; use the accessor of runtime/os")
    problems += ["include circle: " + " -> ".join([*circle, circle[0]]) for circle in circles(graph)]
    return problems


SELF_TEST = [
    ("", {"runtime/os/clock.h": "#pragma once\n#include <time.h>\nthread_local int x;",
          "runtime/include/rt/go.h": "", "runtime/include/rt/chan.h": '#include "rt/go.h"',
          "runtime/sched/loop.cpp": '#include "runtime/os/clock.h"\n#include "rt/go.h"\n// thread_local, #include "daemon/x.h"',
          "daemon/config/load.cpp": '#include "daemon/protocol/json.h"\n#include <boost/asio.hpp>',
          "daemon/protocol/json.h": "", "daemon/host/main.cpp": '#include <rt/go.h>',
          "plugins/hello/hello.cpp": '#include <rt/go.h>\n#include "own.h"', "plugins/hello/own.h": ""}),
    ("floor 0 (os) includes floor 2 (sched)", {"runtime/os/a.cpp": '#include "runtime/sched/b.h"', "runtime/sched/b.h": ""}),
    ("floor 0 (os) includes floor 2 (sched)", {"runtime/os/a.cpp": '#include "../sched/b.h"', "runtime/sched/b.h": ""}),
    ("share floor 1", {"runtime/context/a.cpp": '#include "runtime/heap/b.h"', "runtime/heap/b.h": ""}),
    ("public header of floor 5", {"runtime/net/a.cpp": '#include "rt/task.h"', "runtime/include/rt/task.h": ""}),
    ("has no floor", {"runtime/attic/a.cpp": '#include "runtime/os/b.h"', "runtime/os/b.h": ""}),
    ("nothing of the tree outside", {"runtime/task/a.cpp": '#include "daemon/config/b.h"', "daemon/config/b.h": ""}),
    ("no library but", {"runtime/task/a.cpp": "#include <nlohmann/json.hpp>"}),
    ("no library but", {"runtime/include/rt/go.h": "  #  include <boost/asio.hpp>"}),
    ("only public ones", {"runtime/include/rt/go.h": '#include "runtime/os/b.h"', "runtime/os/b.h": ""}),
    ("of floor 2 includes one of floor 4", {"runtime/include/rt/go.h": '#include "rt/net.h"', "runtime/include/rt/net.h": ""}),
    ("no other folder", {"daemon/protocol/a.cpp": '#include "daemon/config/b.h"', "daemon/config/b.h": ""}),
    ("only daemon/host knows", {"daemon/supervisor/a.cpp": "#include <rt/go.h>", "runtime/include/rt/go.h": ""}),
    ("daemon/supervisor may include", {"daemon/supervisor/a.cpp": '#include "daemon/ctl/b.h"', "daemon/ctl/b.h": ""}),
    ("as one outside this tree would", {"plugins/a/a.cpp": '#include "runtime/os/b.h"', "runtime/os/b.h": ""}),
    ("as one outside this tree would", {"plugins/a/a.cpp": '#include "plugins/b/b.h"', "plugins/b/b.h": ""}),
    ("no such file", {"daemon/http/a.cpp": '#include "daemon/http/gone.h"'}),
    ("include circle: runtime/os/a.h -> runtime/os/b.h -> runtime/os/a.h",
     {"runtime/os/a.h": '#include "runtime/os/b.h"', "runtime/os/b.h": '#include "runtime/os/a.h"'}),
    ("runtime/sched/a.cpp:2: thread_local", {"runtime/sched/a.cpp": "\nstatic thread_local int x;"}),
    ("__thread outside", {"runtime/include/rt/go.h": "extern __thread int x;"}),
]


if __name__ == "__main__":
    sys.exit(tree.main(check, SELF_TEST, "Checks who includes whom.", "floors and folders: nothing found"))
