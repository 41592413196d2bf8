#!/usr/bin/env python3
"""A run of the daemon under load during which everything goes wrong, in an order that a seed decides.

usage: chaos.py [--seed N] [--minutes M | --seconds S]

Real hosts serve clients, rtctl and raw clients give commands, and one fault follows the other (chaos_faults.py): hosts are
killed, crashed, stopped, frozen and starved, the state's disk is full, descriptors and memory end, configurations good
and bad are loaded, the control socket is flooded, and now and then the daemon itself is ended or killed and its state
file spoiled before it is started again. Meanwhile, and at the end of each life of the daemon when all has settled:

  1. The supervisor's process is the same until the driver ends it, and answers on its socket and on HTTP.
  2. No configured task is lost: `ps` has all of them at any time, and in the end each runs, unless its own policy has
     given it up.
  3. No acknowledged command is lost: what was answered with success is as it was told, after whatever came next, and
     what was to be kept outlives the daemon.
  4. Everything is accounted for (chaos_accounts.py): events have no gaps, each end of a host, reload, refusal and command
     that the driver caused is told of by events, audit lines and counters, and nothing else is.
  5. Nothing is left behind: descriptors and children of the supervisor are as many as before.

The seed decides the faults and their order. How they meet with the load is up to the machine.
"""
import argparse
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

import chaos_accounts
import chaos_faults
import harness
from harness import wait_for

PLUGINS = {"hello": "hello.so", "kvcache": "kvcache.so", "stress": "stress.so", "workers": "workers.so",
           "test-behaviour": "test_behaviour.so", "test-heap": "test_heap.so"}
SPARES = ("spare-0", "spare-1")
#: Who gives commands gives them about these: tasks started by hand, and configured ones that do not start by themselves.
COMMANDED = (("hand-0", "hand-1", "hand-2", "spare-0"), ("hand-3", "hand-4", "hand-5", "spare-1"))
#: In each round one of each, in a random order.
FAULTS = ("kill_host kill_all_hosts_at_once kill_host_while_it_starts kill_first_process_of_namespace crash_host "
          "stop_host_for_a_moment freeze_host ignore_stop starve_host exhaust_descriptors_of_host "
          "exhaust_memory_of_host reach_memory_limit_of_task restart_sandbox stop_supervisor_for_a_moment "
          "exhaust_descriptors_of_supervisor exhaust_memory_of_supervisor fill_disk flood_control_socket reload_good "
          "reload_good reload_bad reload_bad end_daemon kill_daemon").split()
STATE_DAMAGES = ("cut", "flipped", "random", "folder")


def configuration():
    ports = {"greeter": harness.free_port(), "cache": harness.free_port()}

    def task(plugin, entry, sandbox, **more):
        # Long: how fast a starved host ends a task is not what is looked at.
        return {"plugin": plugin, "entry": entry, "sandbox": sandbox, "stop_timeout": "60s",
                "restart": {"initial_delay": "10ms", "max_delay": "500ms"}, **more}

    tasks = {
        "greeter": task("hello", "serve", "serve", params={"listen": f"127.0.0.1:{ports['greeter']}", "delay": "1ms"}),
        "cache": task("kvcache", "serve", "serve", params={"listen": f"127.0.0.1:{ports['cache']}", "memory": "4MiB"}),
        "stress": task("stress", "run", "work", params={"spawns_per_second": 500, "messages_per_second": 1000}),
        "workers": task("workers", "run", "work", params={"workers": 4, "jobs": 100},
                        restart={"policy": "always", "initial_delay": "500ms"}),
        "churner": task("test-heap", "litter", "frail", params={"count": "20"}),
        "flaky": task("test-behaviour", "throw_error", "frail", restart={"initial_delay": "500ms", "max_delay": "1s"}),
        "doomed": task("test-behaviour", "throw_error", "frail", autostart=False,
                       restart={"initial_delay": "10ms", "max_restarts": 2, "window": "1h"}),
        "glutton": task("test-heap", "fill", "frail", autostart=False, restart={"policy": "never"},
                        limits={"heap_hard": "8MiB"}),
    }
    for sandbox in ("serve", "work", "frail"):
        tasks["waiter-" + sandbox] = task("test-behaviour", "wait_for_stop", sandbox)
    for name in SPARES:
        tasks[name] = task("test-behaviour", "wait_for_stop", "work", autostart=False)
    sandbox = {"stop_timeout": "60s", "restart": {"initial_delay": "10ms", "max_delay": "200ms"}}
    return ports, {"log": {"level": "info"}, "plugins": {name: {"path": path} for name, path in PLUGINS.items()},
                   "sandboxes": {name: dict(sandbox) for name in ("serve", "work", "frail")}, "tasks": tasks}


class Run(chaos_faults.Faults):
    cause_of = staticmethod(chaos_accounts.cause_of)

    def __init__(self, seed, seconds):
        self.seed, self.seconds = seed, seconds
        self.random = random.Random(seed)
        self.folder = tempfile.mkdtemp(prefix="rtd-chaos-")
        self.state = os.path.join(self.folder, "state")
        problem = chaos_faults.make_small_disk(self.state)
        self.full_disk = not problem
        if problem:
            print(f"not run here: a full disk (no small file system can be mounted: {problem}); instead the state file "
                  "cannot be written")
        self.ports, self.settings = configuration()
        self.rtd = harness.Rtd(self.settings, ["--state-dir", self.state], self.folder)
        self.in_force = json.dumps(self.settings)
        self.life = None
        self.began = time.monotonic()
        self.failure = None
        self.crashes = self.fulls = 0
        self.busy, self.background = set(), []
        # What was acknowledged of tasks started by hand and of spares: name to (state, whether it is to be kept); the
        # state is None where the daemon could not be asked or said no.
        self.model = {}
        self.model_guard = threading.Lock()
        self.places = {}  # their sandboxes
        self.served = 0
        self.worst_answer = 0.0

    def say(self, text):
        print(f"{time.monotonic() - self.began:7.2f} {text}", flush=True)

    # ---- commands ----

    def change(self, method, tolerate=False, client=None, **params):
        """Gives a command, and enters it into the accounts. Returns "ok" or the kind of the error; only with `tolerate`
        may it be an error."""
        try:
            if client is None:
                with self.rtd.connect() as own:
                    own.call(method, **params)
            else:
                client.call(method, **params)
            code, words = "ok", ""
        except harness.RpcError as error:
            code, words = error.kind, str(error)
            if not tolerate:
                raise AssertionError(f"{method} {params}: {error}") from error
        except (OSError, ConnectionError):
            self.life.lost_answer(method)
            raise
        self.life.answered(method, code, words)
        return code

    def rtctl(self, method, *arguments):
        """The same by rtctl."""
        done = subprocess.run([os.path.join(harness.BIN_DIR, "rtctl"), "--socket", self.rtd.socket, *arguments],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode == 0:
            self.life.answered(method, "ok")
            return "ok"
        if chaos_accounts.NO_MEMORY in done.stderr:
            self.life.answered(method, "unavailable", done.stderr)
        else:
            self.life.lost_answer(method)
        return done.stderr

    def command(self, dice, client, names):
        """One command of the load, about one of these tasks, and what is known after it."""
        name = dice.choice(names)
        with self.model_guard:
            state, keep = self.model.get(name, ("stopped" if name in SPARES else "absent", False))
        wanted = dice.choice(["task.restart", "task.stop"]) if state == "running" else \
            "task.stop" if state is None else "task.start" if name in SPARES else "task.run"
        if wanted == "task.run":
            self.places[name] = dice.choice(["serve", "work", "frail"])
        if self.places.get(name, "work") in self.busy:
            return  # who asks something of a frozen host waits for its end
        kept = dice.random() < 0.5
        by_rtctl = wanted in ("task.stop", "task.restart") and dice.random() < 0.3
        with self.model_guard:
            self.model[name] = (None, keep)
        if by_rtctl:
            code = self.rtctl(wanted, "task", wanted.removeprefix("task."), name)
        elif wanted == "task.run":
            code = self.change(wanted, True, client, name=name, plugin="test-behaviour", entry="wait_for_stop",
                               sandbox=self.places[name], restart="always", keep=kept)
        elif wanted == "task.start":
            code = self.change(wanted, True, client, name=name, keep=kept)
        else:
            code = self.change(wanted, True, client, name=name)
        if code != "ok":
            return
        after = {"task.stop": ("stopped", keep), "task.restart": ("running", keep)}.get(wanted, ("running", kept))
        with self.model_guard:
            self.model[name] = after

    # ---- load and looks, each on a thread of its own ----

    def keep_on(self, action, pause):
        """Calls `action` again and again while this life lasts. What it complains of ends the run."""
        life = self.life

        def loop():
            while not self.quiet.wait(pause):
                try:
                    action()
                except Exception as error:  # pylint: disable=broad-except
                    if self.life is life and not self.quiet.is_set():
                        self.fail(f"{action.__name__}: {error!r}")
                    return

        self.begin(loop, self.load)

    def begin(self, action, group=None):
        def guarded():
            try:
                action()
            except Exception as error:  # pylint: disable=broad-except
                self.fail(repr(error))

        thread = threading.Thread(target=guarded, daemon=True)
        (self.background if group is None else group).append(thread)
        thread.start()

    def fail(self, text):
        self.failure = self.failure or text

    def serve_once(self, task):
        """A client of a server; what it is refused is no failure while faults go on."""
        try:
            with socket.create_connection(("127.0.0.1", self.ports[task]), timeout=0.5) as client:
                if task == "greeter":
                    good = client.recv(100).startswith(b"Hello")
                else:
                    client.sendall(b"set k 0 0 2\r\nok\r\nget k\r\n")
                    answer = b""
                    while not answer.endswith(b"END\r\n"):
                        piece = client.recv(1000)
                        if not piece:
                            return False
                        answer += piece
                    good = answer == b"STORED\r\nVALUE k 0 2\r\nok\r\nEND\r\n"
                self.served += good
                return good
        except OSError:
            return False

    def look(self):
        began = time.monotonic()
        status = self.looker.call("status")
        tasks = {row["name"]: row for row in self.looker.call("ps")["tasks"]}
        self.worst_answer = max(self.worst_answer, time.monotonic() - began)
        if status["pid"] != self.life.pid or self.rtd.process.poll() is not None:
            raise AssertionError(f"another process answers: {status['pid']} instead of {self.life.pid}")
        lost = set(self.settings["tasks"]) - set(tasks) - {"extra"}
        if lost:
            raise AssertionError(f"configured tasks are lost: {lost}")
        given_up = [row for row in tasks.values() if row["state"] == "fatal"
                    and row["name"] not in chaos_accounts.FATAL_BY_POLICY and not row["name"].startswith("crash-")]
        if given_up:
            raise AssertionError(f"tasks are given up: {given_up}")

    def look_at_http(self):
        with urllib.request.urlopen(f"http://{self.http}/livez", timeout=harness.PATIENCE) as answer:
            if answer.status != 200:
                raise AssertionError(f"/livez: {answer.status}")
        self.page()

    def page(self):
        """The metrics, by curl."""
        done = subprocess.run(["curl", "--silent", "--fail", "--max-time", "60", f"http://{self.http}/metrics"],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise AssertionError(f"curl of /metrics: {done.returncode}")
        return chaos_accounts.parse_page(done.stdout)

    # ---- lives ----

    def start_life(self, refused_state=False):
        self.log_begins = os.path.getsize(self.rtd.log_file) if os.path.exists(self.rtd.log_file) else 0
        self.rtd.start(wait=False)
        self.rtd.wait_for_socket()
        self.life = chaos_accounts.Life(self.rtd, refused_state)
        self.http = self.rtd.call("status")["http"]
        self.change("task.start", name="doomed", tolerate=True)
        self.wait_settled()
        self.life.catch_up()  # by a connection that is counted now as in the end
        self.descriptors = chaos_faults.open_files(self.life.pid)
        self.quiet, self.load = threading.Event(), []
        self.looker = self.rtd.connect(120)
        self.clients = [self.looker]
        self.keep_on(self.look, 0.1)
        self.keep_on(self.look_at_http, 0.7)
        for names in COMMANDED:
            dice, client = random.Random(self.random.randrange(1 << 32)), self.rtd.connect(120)
            self.clients.append(client)
            self.keep_on(lambda dice=dice, client=client, names=names: self.command(dice, client, names), 0.02)
        for task in ("greeter", "cache"):
            self.keep_on(lambda task=task: self.serve_once(task), 0.01)

    def wait_up(self, name):
        self.rtd.wait_sandbox("up", name, timeout=60 * harness.SLOWNESS)

    def wait_settled(self):
        """All that is to run runs, and what was acknowledged is so."""
        def strays():
            tasks = self.rtd.tasks()
            wrong = {}
            for name, task in self.settings["tasks"].items():
                row = tasks.get(name, {"state": "lost"})
                good = {"running"} if task.get("autostart", True) else {"running", "stopped", "failed", "completed"}
                if name in ("flaky", "workers"):
                    good = {"starting", "running", "backoff"}
                elif name == "doomed":
                    good = {"fatal"}
                if row["state"] not in good:
                    wrong[name] = row["state"]
            for name, (state, _) in self.model.items():
                told = tasks.get(name, {"state": "absent"})["state"]
                # A task by hand that was stopped may be forgotten after many others.
                if state is not None and told != state and not (state == "stopped" and told == "absent"):
                    wrong[name] = f"{told}, acknowledged as {state}"
            for row in self.rtd.call("sandbox.list")["sandboxes"]:
                if row["state"] != "up":
                    wrong["sandbox " + row["name"]] = row["state"]
            return wrong

        try:
            wait_for(lambda: not strays(), "everything runs again", timeout=60 * harness.SLOWNESS, pause=0.1)
        except AssertionError as error:
            raise AssertionError(f"{error}: {strays()}") from None
        for task in ("greeter", "cache"):
            wait_for(lambda task=task: self.serve_once(task), f"{task} serves", pause=0.1)

    def settle(self):
        """Ends the load of this life, waits until all is well, and compares the accounts."""
        for thread in self.background:
            thread.join()
        self.background.clear()
        self.raise_failure()
        self.quiet.set()
        for thread in self.load:
            thread.join()
        for client in self.clients:
            client.close()
        self.raise_failure()
        self.say("settles")
        self.wait_settled()
        checks = self.rtd.call("status")["checks"]
        troubles = [check for check in checks if not check["ok"] and check["name"] not in ("task-flaky", "task-workers")]
        if troubles:
            raise AssertionError(f"not ready: {troubles}")
        wait_for(lambda: chaos_faults.open_files(self.life.pid) <= self.descriptors,
                 f"the supervisor has its {self.descriptors} descriptors of the beginning again")
        # Two for each sandbox: the host, and the first process of its namespace.
        wait_for(lambda: len(self.children()) <= 6, f"the supervisor's children are its hosts: {self.children()}")
        complaints = self.life.check(self.whole_log(), self.page())
        if complaints:
            raise AssertionError("not accounted for:\n  " + "\n  ".join(complaints))
        self.say(f"accounted for: {len(self.life.watch.events)} events, {sum(self.life.commands.values())} commands, "
                 f"{sum(self.life.exits.values())} ends of hosts")

    def whole_log(self):
        """The log of this life. A thread of its own writes it: when the last audited command is there, all before it is."""
        self.change("log_level", level="info")

        def complete():
            with open(self.rtd.log_file, encoding="utf-8", errors="replace") as file:
                file.seek(self.log_begins)
                log = file.read()
            known = self.life.commands["log_level", "ok"]
            return chaos_accounts.AUDIT.findall(log).count(("log_level", "ok")) >= known and log

        return wait_for(complete, "the log is written")

    def children(self):
        with open(f"/proc/{self.life.pid}/task/{self.life.pid}/children", encoding="ascii") as file:
            return file.read().split()

    def next_life(self, kill):
        damage = self.random.choice(["", *STATE_DAMAGES])
        self.settle()
        self.life.watch.end()
        if kill:
            # Not settled: what was acknowledged a moment ago must be there, too.
            with self.rtd.connect() as client:
                self.command(random.Random(self.random.randrange(1 << 32)), client, COMMANDED[0])
            os.kill(self.life.pid, 9)
            self.rtd.process.wait()
            self.rtd.client.close()
            wait_for(lambda: set(harness.children()) <= self.strangers, "its hosts end with it")
        elif self.rtd.stop() != 0:
            raise AssertionError("the daemon's exit status is not 0")
        if damage:
            self.spoil_state(damage)
        self.say(f"  the daemon is {'killed' if kill else 'ended'}, its state file {damage or 'left alone'}")
        for name, (state, keep) in list(self.model.items()):
            lost = damage or not keep
            if state is None:
                del self.model[name]
            elif name in SPARES:
                self.model[name] = ("stopped", False) if lost else (state, keep)
            elif lost:
                del self.model[name]
        self.start_life(bool(damage))

    def end_daemon(self):
        self.next_life(kill=False)

    def kill_daemon(self):
        self.next_life(kill=True)

    def raise_failure(self):
        if self.failure:
            raise AssertionError(self.failure)

    # ---- the run ----

    def run(self):
        self.say(f"seed {self.seed}, {self.seconds:.0f} s, in {self.folder}")
        self.strangers = set(harness.children())
        self.start_life()
        faults, done = [], 0
        while time.monotonic() - self.began < self.seconds:
            if not faults:
                faults = list(FAULTS)
                self.random.shuffle(faults)
            fault = faults.pop()
            self.say(fault)
            getattr(self, fault)()
            done += 1
            self.raise_failure()
        self.settle()
        self.life.watch.end()
        if self.rtd.stop() != 0:
            raise AssertionError("the daemon's exit status is not 0")
        wait_for(lambda: set(harness.children()) <= self.strangers, "nothing is left of it")
        self.say(f"{done} faults, {self.served} clients served, the slowest answer {self.worst_answer:.2f} s: all is well")

    def report(self, error):
        """What a failure needs to be understood."""
        print(f"\nchaos: FAILED, seed {self.seed}: {error}", flush=True)
        if self.life:
            print("the newest events:")
            for event in self.life.watch.events[-40:]:
                if event:
                    print(f"  {event['seq']} {event['time']} {event['kind']} {event['sandbox']}/{event['task']} "
                          f"{event['message'][:200]}")
        for thread in chaos_faults.threads_of(self.rtd.process.pid) if self.rtd.process else []:
            with open(f"/proc/{self.rtd.process.pid}/task/{thread}/wchan", encoding="ascii") as file:
                print(f"thread {thread} of the supervisor waits in {file.read()}")
        print(f"the log's end (all of it: {self.rtd.log_file}):\n{self.rtd.log()[-6000:]}", flush=True)

    def execute(self):
        """The run; true when all was well."""
        try:
            self.run()
        except (AssertionError, OSError, ConnectionError, harness.RpcError, subprocess.SubprocessError) as error:
            self.report(error)
            if self.rtd.process and self.rtd.process.poll() is None:
                self.rtd.process.kill()
                self.rtd.process.wait()
            return False
        shutil.rmtree(self.folder, ignore_errors=True)
        return True


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seconds", type=float)
    given = parser.parse_args()
    return 0 if Run(given.seed, given.seconds or given.minutes * 60).execute() else 1


if __name__ == "__main__":
    sys.exit(main())
