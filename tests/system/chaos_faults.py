"""The harm that chaos.py does to a daemon: each fault is one method of `Faults`, which enters what must follow from it
into the accounts, and returns when it has followed. Faults draw from `self.random` only, so that a seed gives the same
faults in the same order."""
import ctypes
import json
import os
import random
import resource
import signal
import socket
import subprocess
import threading
import time

import chaos_accounts
import harness
from harness import wait_for

CLONE_NEWNS = 0x20000
MS_REC, MS_PRIVATE = 0x4000, 0x40000
SMALL_DISK = 512 * 1024  # bytes of the state folder


def make_small_disk(folder):
    """Mounts a small file system on the folder, for this process and its children only. Returns why that cannot be, or
    an empty text."""
    os.makedirs(folder, exist_ok=True)
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"size={SMALL_DISK},mode=0700".encode()
    for call in (lambda: libc.unshare(CLONE_NEWNS), lambda: libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None),
                 lambda: libc.mount(b"tmpfs", folder.encode(), b"tmpfs", 0, options)):
        if call() != 0:
            return os.strerror(ctypes.get_errno())
    return ""


def threads_of(pid):
    try:
        return [int(entry) for entry in os.listdir(f"/proc/{pid}/task")]
    except (FileNotFoundError, ProcessLookupError):
        return []


def open_files(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def address_space(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[0]) * resource.getpagesize()


def limit(pid, what, soft):
    """Sets the soft limit `what` ("nofile", "as") of a process, as its own user: root alone may not everywhere. Returns
    the former one."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        owner = dict(line.split(None, 2)[:2] for line in file if line.startswith(("Uid:", "Gid:")))
    as_owner = {"user": int(owner["Uid:"]), "group": int(owner["Gid:"]), "extra_groups": []} if os.geteuid() == 0 else {}
    former = subprocess.run(["prlimit", "--pid", str(pid), "--noheadings", "--raw", "--output=SOFT", f"--{what}"],
                            capture_output=True, text=True, check=True, **as_owner).stdout.strip()
    subprocess.run(["prlimit", "--pid", str(pid), f"--{what}={soft}:"], check=True, **as_owner)
    return former


class Faults:
    """Part of chaos.Run, which has: rtd, life, random, settings (the configuration), state (its folder), full_disk,
    background (threads of faults that go on), busy (sandboxes that one of them has), change(), page() and say()."""

    def sandbox(self):
        """A sandbox that is up, and that no other fault has."""
        def pick():
            rows = [s for s in self.rtd.call("sandbox.list")["sandboxes"] if s["name"] not in self.busy]
            return rows if rows and all(row["state"] == "up" for row in rows) else None

        rows = wait_for(pick, "the sandboxes are up")
        return self.random.choice(sorted(rows, key=lambda row: row["name"]))

    def wait_exit(self, sandbox, before):
        self.life.watch.wait("sandbox_exited", before, sandbox=sandbox)

    # ---- hosts ----

    def kill_host(self):
        row = self.sandbox()
        before = self.life.exits_of(row["name"])
        self.life.expect_exit(row["name"], "signal SIGKILL")
        os.kill(row["pid"], signal.SIGKILL)
        self.wait_exit(row["name"], before)

    def kill_all_hosts_at_once(self):
        rows = [s for s in self.rtd.call("sandbox.list")["sandboxes"] if s["state"] == "up" and s["name"] not in self.busy]
        before = {row["name"]: self.life.exits_of(row["name"]) for row in rows}
        for row in rows:
            self.life.expect_exit(row["name"], "signal SIGKILL")
            os.kill(row["pid"], signal.SIGKILL)
        for name, count in before.items():
            self.wait_exit(name, count)

    def kill_host_while_it_starts(self):
        """Twice: a third time in a row would be laid at the door of the plugin that is being loaded."""
        row = self.sandbox()
        name, former = row["name"], row["pid"]
        for _ in range(2):
            before = self.life.exits_of(name)
            self.life.expect_exit(name, "signal SIGKILL")
            os.kill(former, signal.SIGKILL)
            self.wait_exit(name, before)
            former = wait_for(lambda: (s := self.rtd.sandbox(name))["pid"] != former and s["pid"], "a new host", pause=0)

    def kill_first_process_of_namespace(self):
        row = self.sandbox()
        space = os.readlink(f"/proc/{row['pid']}/ns/pid")
        for entry in os.listdir("/proc"):
            try:
                if not entry.isdigit() or os.readlink(f"/proc/{entry}/ns/pid") != space:
                    continue
                with open(f"/proc/{entry}/cmdline", "rb") as file:
                    if b"--reaper" not in file.read():
                        continue
            except OSError:
                continue
            before = self.life.exits_of(row["name"])
            self.life.expect_exit(row["name"], "signal SIGKILL")
            os.kill(int(entry), signal.SIGKILL)
            return self.wait_exit(row["name"], before)
        return self.say("  no pid namespace here")

    def crash_host(self):
        row = self.sandbox()
        entry = self.random.choice(["null_dereference", "call_abort", "overflow_stack", "divide_by_zero"])
        before = self.life.exits_of(row["name"])
        name = {"call_abort": "SIGABRT", "divide_by_zero": "SIGFPE"}.get(entry, "SIGSEGV")
        self.life.expect_exit(row["name"], "signal " + name)
        self.crashes += 1
        self.change("task.run", name=f"crash-{self.crashes}", plugin="test-behaviour", entry=entry, restart="never",
                    sandbox=row["name"], tolerate=True)
        self.wait_exit(row["name"], before)

    def stop_host_for_a_moment(self):
        row = self.sandbox()
        os.kill(row["pid"], signal.SIGSTOP)
        time.sleep(self.random.uniform(0.1, 1.5))
        os.kill(row["pid"], signal.SIGCONT)

    def freeze_host(self):
        """Until the watchdog kills it, while other faults go on."""
        row = self.sandbox()
        before = self.life.exits_of(row["name"])
        self.busy.add(row["name"])
        self.life.expect_exit(row["name"], "watchdog")
        os.kill(row["pid"], signal.SIGSTOP)
        self.say(f"  {row['name']} is frozen")

        def wait():
            self.wait_exit(row["name"], before)
            self.busy.discard(row["name"])

        self.begin(wait)

    def ignore_stop(self):
        """A task that does not end costs its host."""
        row = self.sandbox()
        before = self.life.exits_of(row["name"])
        name = f"stubborn-{before}-{row['name']}"
        self.change("task.run", name=name, plugin="test-behaviour", sandbox=row["name"], restart="never",
                    entry=self.random.choice(["ignore_stop", "spin", "block_for_ever"]))
        wait_for(lambda: self.rtd.task(name)["state"] == "running", f"{name} runs")
        self.life.expect_exit(row["name"], "watchdog")
        self.change("task.stop", name=name, now=True, grace_seconds=0.1)
        self.wait_exit(row["name"], before)

    def starve_host(self):
        """One CPU, which it shares with programs that compute."""
        row = self.sandbox()
        everything = os.sched_getaffinity(0)
        cpu = {min(everything)}
        burners = [subprocess.Popen(["/usr/bin/python3", "-c", "while True: pass"],
                                    preexec_fn=lambda: (harness.die_with_the_test(), os.sched_setaffinity(0, cpu)))
                   for _ in range(4)]
        self.set_affinity(row["pid"], cpu)
        time.sleep(self.random.uniform(0.5, 2))
        for burner in burners:
            burner.kill()
            burner.wait()
        self.set_affinity(row["pid"], everything)

    @staticmethod
    def set_affinity(pid, cpus):
        for thread in threads_of(pid):
            try:
                os.sched_setaffinity(thread, cpus)
            except ProcessLookupError:
                pass

    def exhaust_descriptors_of_host(self):
        row = self.sandbox()
        pid = row["pid"]
        self.life.short.add(row["name"])
        spare = self.random.randrange(3)
        try:
            former = limit(pid, "nofile", open_files(pid) + spare)
        except PermissionError:  # who is not root may not count them: there are more, so this leaves none
            former = limit(pid, "nofile", 8)
        for _ in range(20):
            self.serve_once("greeter")
            self.serve_once("cache")
        limit(pid, "nofile", former)

    def exhaust_memory_of_host(self):
        """The host may end by that, once; it says so and is started again."""
        row = self.sandbox()
        pid, before = row["pid"], self.life.exits_of(row["name"])
        self.life.short.add(row["name"])
        former = limit(pid, "as", address_space(pid) + self.random.randrange(1 << 22))
        self.change("gc.run", sandbox=row["name"], tolerate=True)
        time.sleep(self.random.uniform(0.2, 0.8))
        try:
            limit(pid, "as", former)
        except (OSError, subprocess.CalledProcessError):
            pass  # it has ended
        # Answered when it is as well as before, or has ended: it may be in the middle of that.
        self.change("gc.run", sandbox=row["name"], tolerate=True)
        self.wait_up(row["name"])
        self.life.catch_up()
        ends = self.life.watch.of("sandbox_exited", sandbox=row["name"])[before:]
        if len(ends) > 1:
            raise AssertionError(f"a host without memory ended {len(ends)} times")
        for event in ends:
            self.say(f"  {event['message'][:150]}")
            self.life.expect_exit(row["name"], self.cause_of(event))

    def reach_memory_limit_of_task(self):
        self.change("task.start", name="glutton", tolerate=True)
        task = wait_for(lambda: (t := self.rtd.task("glutton"))["state"] in ("failed", "completed", "stopped") and t,
                        "glutton ends")
        if task["last_exit"]["reason"] == "failed" and "memory" not in task["last_exit"]["error"]:
            raise AssertionError(f"glutton did not end by its limit: {task['last_exit']}")

    def restart_sandbox(self):
        row = self.sandbox()
        before = self.life.exits_of(row["name"])
        self.life.expect_exit(row["name"], "manual")
        self.change("sandbox.restart", name=row["name"])
        self.wait_exit(row["name"], before)

    # ---- the supervisor ----

    def stop_supervisor_for_a_moment(self):
        os.kill(self.rtd.process.pid, signal.SIGSTOP)
        time.sleep(self.random.uniform(0.2, 1.5))
        os.kill(self.rtd.process.pid, signal.SIGCONT)

    def exhaust_descriptors_of_supervisor(self):
        """Hosts cannot be started meanwhile, and clients not accepted."""
        row = self.sandbox()
        pid = self.rtd.process.pid
        self.life.not_started = True
        before = self.life.exits_of(row["name"])
        former = limit(pid, "nofile", open_files(pid) + self.random.randrange(12))
        self.life.expect_exit(row["name"], "signal SIGKILL")
        os.kill(row["pid"], signal.SIGKILL)
        self.wait_exit(row["name"], before)
        clients = []
        for _ in range(20):
            client = socket.socket(socket.AF_UNIX)
            client.setblocking(False)
            client.connect_ex(self.rtd.socket)
            clients.append(client)
        time.sleep(self.random.uniform(0.3, 1.2))
        limit(pid, "nofile", former)
        for client in clients:
            client.close()
        self.wait_up(row["name"])

    def exhaust_memory_of_supervisor(self):
        """Clients that want much of it lose their connections, commands are refused. Hosts that are started meanwhile
        inherit the limit, and abort."""
        self.sandbox()
        pid = self.rtd.process.pid
        before = len(self.life.watch.of("sandbox_exited"))
        former = limit(pid, "as", address_space(pid) + self.random.randrange(1 << 23))
        text = b'{"x":"' + b"x" * self.random.randrange(1 << 18, 1 << 20)
        greedy = []
        for _ in range(20):
            client = socket.socket(socket.AF_UNIX)
            client.settimeout(0.1)
            greedy.append(client)
            try:
                client.connect(self.rtd.socket)
                client.sendall(text)
            except OSError:
                pass
        time.sleep(self.random.uniform(0, 0.5))
        limit(pid, "as", former)
        for client in greedy:
            client.close()
        for name in self.settings["sandboxes"].keys() - self.busy:
            self.wait_up(name)
        self.life.catch_up()
        for event in self.life.watch.of("sandbox_exited")[before:]:
            if self.cause_of(event) == "signal SIGABRT":
                self.life.expect_exit(event["sandbox"], "signal SIGABRT")

    @staticmethod
    def blocks(path):
        """Puts a folder where the state is written before it takes its place; false while it is just being written."""
        try:
            os.mkdir(path)
        except FileExistsError:
            return False
        return True

    def fill_disk(self):
        """A task that is to be kept is refused while the state cannot be saved, or is kept."""
        blocker = os.path.join(self.state, "blocker")
        if self.full_disk:
            with open(blocker, "wb", buffering=0) as file:
                try:
                    while True:
                        file.write(b"x" * 4096)
                except OSError:
                    pass
        else:
            wait_for(lambda: self.blocks(os.path.join(self.state, "state.json.new")), "the state file is blocked")
        self.fulls += 1
        name = f"full-{self.fulls}"
        code = self.change("task.run", name=name, plugin="test-behaviour", entry="wait_for_stop", sandbox="work",
                           keep=True, tolerate=True)
        if code == "ok" and not self.full_disk:
            raise AssertionError(f"{name} is said to be kept, and nothing can be written")
        time.sleep(self.random.uniform(0, 0.7))
        if self.full_disk:
            os.remove(blocker)
        else:
            os.rmdir(os.path.join(self.state, "state.json.new"))
        self.say(f"  {name}: {code}")
        # Saved again with the next change, which this is.
        if self.change("task.stop", name=name, tolerate=True) != "ok":
            raise AssertionError(f"{name} could not be stopped and saved when there was room again")

    def flood_control_socket(self):
        """Garbage, half lines, requests without end whose answers nobody reads, connections without end."""
        ends = time.monotonic() + self.random.uniform(0.3, 1)
        threads = [threading.Thread(target=self.flood, args=(kind, ends, self.random.randrange(1 << 32)))
                   for kind in ("garbage", "half", "requests", "connections")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        # They stand in the queue in front of us, and as long as they are there, others are told that there is no room.
        wait_for(self.lets_us_in, "the flood is over")

    def lets_us_in(self):
        try:
            with self.rtd.connect() as client:
                return client.call("version")
        except (OSError, harness.RpcError):
            return False

    def flood(self, kind, ends, seed):
        dice = random.Random(seed)
        kept = []
        while time.monotonic() < ends:
            try:
                client = socket.socket(socket.AF_UNIX)
                client.settimeout(0.2)
                client.connect(self.rtd.socket)
                if kind == "garbage":
                    for _ in range(20):
                        client.sendall(dice.randbytes(dice.randrange(1, 5000)) + b"\n")
                elif kind == "half":
                    client.sendall(b'{"jsonrpc":"2.0","id":1,"method":"p' + b"x" * dice.randrange(100000))
                elif kind == "requests":
                    line = json.dumps({"jsonrpc": "2.0", "id": 1, "params": {},
                                       "method": dice.choice(["ps", "status", "logs", "rpc.discover", "nonsense"])})
                    for _ in range(200):
                        client.sendall(line.encode() + b"\n")
                if len(kept) < 20:
                    kept.append(client)
                else:
                    client.close()
            except OSError:
                time.sleep(0.01)
        for client in kept:
            client.close()

    # ---- the configuration ----

    def reload_good(self):
        tasks, sandboxes = self.settings["tasks"], self.settings["sandboxes"]
        kind = self.random.choice(["weight", "extra", "params", "procs", "limits"])
        if kind == "weight":
            tasks["stress"]["weight"] = self.random.randrange(1, 1000)
        elif kind == "extra":
            if "extra" in tasks:
                del tasks["extra"]
            else:
                tasks["extra"] = {"plugin": "test-behaviour", "entry": "wait_for_stop", "sandbox": "frail"}
        elif kind == "params":
            tasks["stress"]["params"]["parked"] = self.random.randrange(1000)
        elif kind == "procs":
            sandboxes["work"]["max_procs"] = self.random.randrange(1, 5)
        row, before = None, 0
        if kind == "limits":
            row = self.sandbox()
            before = self.life.exits_of(row["name"])
            sandboxes[row["name"]]["limits"] = {"open_files": self.random.randrange(1000, 2000)}
        self.say(f"  {kind}{' of ' + row['name'] if row else ''}")
        former = getattr(self, "in_force", None)
        self.in_force = json.dumps(self.settings)
        self.rtd.write_config(self.settings)
        if former == self.in_force:
            row = None
        if row:
            self.life.expect_exit(row["name"], "config")
        self.life.reloads["success"] += 1
        if self.random.random() < 0.5:
            self.change("config.reload")
        else:
            count = len(self.life.watch.of("config_reloaded"))
            os.kill(self.rtd.process.pid, signal.SIGHUP)
            self.life.watch.wait("config_reloaded", count)
            # That is told when it begins to be carried out; until it is, the next reload is refused. One that restarts a
            # task of a frozen host waits for the watchdog.
            wait_for(lambda: chaos_accounts.total(self.page(), "rtd_config_reloads_total", result="success")
                     == self.life.reloads["success"], "the reload is carried out", timeout=60 * harness.SLOWNESS)
        if row:
            self.wait_exit(row["name"], before)

    def reload_bad(self):
        good = json.dumps(self.rtd.complete(self.settings))
        broken = json.loads(good)
        kind = self.random.choice(["syntax", "key", "plugin", "entry", "nothing", "garbage", "missing"])
        if kind == "key":
            broken["sandboxes"]["work"]["isolatoin"] = {}
        elif kind == "plugin":
            broken["plugins"]["none"] = {"path": "/nowhere/none.so"}
            broken["tasks"]["none"] = {"plugin": "none", "entry": "run", "sandbox": "work"}
        elif kind == "entry":
            broken["tasks"]["none"] = {"plugin": "test-behaviour", "entry": "nowhere", "sandbox": "work"}
        text = {"syntax": good[:-1], "nothing": "", "garbage": self.random.randbytes(1000).hex()}.get(
            kind, json.dumps(broken))
        self.say(f"  {kind}")
        if kind == "missing":
            os.remove(self.rtd.config_file)
        else:
            self.rtd.write_config(text, raw=True)
        self.life.reloads["failure"] += 1
        count = len(self.life.watch.of("config_rejected"))
        if self.random.random() < 0.5:
            code = self.change("config.reload", tolerate=True)
            if code != "invalid_config":
                raise AssertionError(f"a bad configuration ({kind}) is answered by {code}")
        else:
            os.kill(self.rtd.process.pid, signal.SIGHUP)
        self.life.watch.wait("config_rejected", count)
        self.rtd.write_config(self.settings)

    # ---- the state file ----

    def spoil_state(self, kind):
        """Between two lives of the daemon."""
        path = os.path.join(self.state, "state.json")
        with open(path, "rb") as file:
            text = file.read()
        if kind == "cut":
            text = text[:self.random.randrange(len(text))]
        elif kind == "flipped":
            place = self.random.randrange(len(text))
            text = text[:place] + bytes([text[place] ^ (1 << self.random.randrange(8))]) + text[place + 1:]
        elif kind == "random":
            text = self.random.randbytes(self.random.randrange(1, 5000))
        if kind == "folder":
            os.remove(path)
            os.mkdir(path)
        else:
            with open(path, "wb") as file:
                file.write(text)
