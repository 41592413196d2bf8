"""What chaos.py keeps of one life of the daemon, and how it is compared with what the daemon tells.

Every deed of the driver is entered here when it is done; at the end of the life (a settled one) `check` wants to find
each of them in the daemon's events, in its audit lines and in its counters, and nothing else in them.
"""
import collections
import re
import threading

import harness

AUDIT = re.compile(r"audit: uid \d+, pid \d+, role admin: ([a-z_.]+)(?: \w+=\S+)*: (\w+)")
SERIES = re.compile(r'^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$')
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')

#: Of an error whose command was not begun.
NO_MEMORY = "the system gives the daemon no memory"
#: Tasks that may fail: these throw, or reach their limit. All others may where a fault left their host short.
MAY_FAIL = {"flaky", "doomed", "glutton"}
FATAL_BY_POLICY = {"doomed"}


def parse_page(text):
    """The series of a metrics page: value by name and labels, the labels as a sorted tuple of pairs."""
    page = {}
    for line in text.splitlines():
        found = SERIES.match(line)
        if found:
            page[found[1], tuple(sorted(LABEL.findall(found[2] or "")))] = float(found[3])
    return page


def total(page, name, **labels):
    """The sum of all series of that name with these labels."""
    return sum(value for (series, own), value in page.items()
               if series == name and labels.items() <= dict(own).items())


def cause_of(event):
    """Why a host ended: "signal SIGKILL", "watchdog", "not started"."""
    end = event["exit"]
    if end["reason"] == "exit":
        return "not started" if end["code"] == 126 else f"exit {end['code']}"
    return f"signal {end['signal']}" if end["reason"] == "signal" else end["reason"]


class EventWatch(threading.Thread):
    """Follows the events of a daemon and keeps all of them. Where the daemon left some out for a follower that was slow,
    it asks for them; `lost` names those that could not be had."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.path = path
        self.events = []
        self.lost = []
        self.changed = threading.Condition()
        self.ended = False
        self.start()

    def run(self):
        while not self.ended:
            try:
                self.follow()
            except (OSError, ConnectionError, ValueError, harness.RpcError):
                if not self.ended:
                    threading.Event().wait(0.05)

    def follow(self):
        with harness.Client(self.path, timeout=2) as client:
            first = client.call("events", follow=True, since_seq=len(self.events), limit=1000)["events"]
            for event in first:
                self.add(event, asked=True)
            while not self.ended:
                try:
                    message = client.notifications.pop(0) if client.notifications else client.read()
                except TimeoutError:
                    continue
                if message["method"] == "rtd.dropped" or (message["method"] == "rtd.event"
                                                          and not self.add(message["params"], asked=False)):
                    return

    def add(self, event, asked):
        """False where events are missing before this one that may still be had."""
        with self.changed:
            if event["seq"] <= len(self.events):
                return True
            if event["seq"] != len(self.events) + 1:
                if not asked:
                    return False
                self.lost.append((len(self.events) + 1, event["seq"] - 1))
                self.events += [None] * (event["seq"] - 1 - len(self.events))
            self.events.append(event)
            self.changed.notify_all()
            return True

    def of(self, kind, **members):
        with self.changed:
            return [event for event in self.events if event and event["kind"] == kind
                    and members.items() <= event.items()]

    def wait(self, kind, more_than, **members):
        """Waits until there are more than so many events of that kind; returns the newest."""
        harness.wait_for(lambda: len(self.of(kind, **members)) > more_than,
                         f"event {kind} {members} after {more_than} others")
        return self.of(kind, **members)[-1]

    def count_when(self, kind, other):
        """How many events of that kind there are, when there are as many of the other, or at last."""
        try:
            harness.wait_for(lambda: len(self.of(kind)) == len(self.of(other)), f"as many {kind} as {other}")
        except AssertionError:
            pass
        return len(self.of(kind))

    def end(self):
        self.ended = True


class Life:
    """The accounts of a daemon from its start until its end."""

    def __init__(self, rtd, refused_state):
        self.rtd = rtd
        self.pid = rtd.process.pid
        self.refused_state = refused_state  # whether its state file was spoiled before
        self.watch = EventWatch(rtd.socket)
        self.guard = threading.Lock()
        self.commands = collections.Counter()  # (method, code): answered so
        self.unanswered = collections.Counter()  # method: sent, and no answer came
        self.refused = collections.Counter()  # method: not begun, since there was no memory; counted, but not audited
        self.exits = collections.Counter()  # (sandbox, cause)
        self.short = set()  # sandboxes whose host was left without memory or descriptors
        self.not_started = False  # whether starts may have failed, any number of times
        self.reloads = collections.Counter()  # "success", "failure"

    def answered(self, method, code, words=""):
        with self.guard:
            if NO_MEMORY in words:
                self.refused[method] += 1
            else:
                self.commands[method, code] += 1

    def lost_answer(self, method):
        with self.guard:
            self.unanswered[method] += 1

    def expect_exit(self, sandbox, cause, times=1):
        with self.guard:
            self.exits[sandbox, cause] += times

    def catch_up(self):
        """Waits until all that has been told so far is here."""
        last = self.rtd.call("events", limit=1)["events"][-1]["seq"]
        harness.wait_for(lambda: len(self.watch.events) >= last, "the last events")

    def exits_of(self, sandbox):
        return len(self.watch.of("sandbox_exited", sandbox=sandbox))

    # ---- comparing ----

    def check(self, log, page):
        """The complaints: texts, none when everything is accounted for."""
        complaints = []

        def same(what, told, known):
            if told != known:
                complaints.append(f"{what}: told {told}, known {known}")

        self.catch_up()
        if self.watch.lost:
            complaints.append(f"events are missing: {self.watch.lost}")
        self.check_exits(page, same)
        self.check_commands(log, page, same)
        for result, kind in (("success", "config_reloaded"), ("failure", "config_rejected")):
            same(f"reloads, {result}, by events", len(self.watch.of(kind)), self.reloads[result])
            same(f"reloads, {result}, by metrics", total(page, "rtd_config_reloads_total", result=result),
                 self.reloads[result])
        same("the configuration's generation", total(page, "rtd_config_generation"), 1 + self.reloads["success"])
        same("state files set aside, by events", len(self.watch.of("state_refused")), int(self.refused_state))
        same("state files set aside, by metrics", total(page, "rtd_state_set_aside_total"), int(self.refused_state))
        same("failures of saving that are over", self.watch.count_when("state_saved", "state_save_failed"),
             len(self.watch.of("state_save_failed")))
        same("sandboxes given up", [e["message"] for e in self.watch.of("sandbox_fatal")], [])
        same("plugins refused", [e["message"] for e in self.watch.of("plugin_refused")], [])
        same("tasks given up", [e["message"] for e in self.watch.of("task_fatal") if e["task"] not in FATAL_BY_POLICY],
             [])
        same("tasks that failed",
             [e["message"] for e in self.watch.of("task_failed")
              if e["task"] not in MAY_FAIL and e["sandbox"] not in self.short and not e["task"].startswith("crash-")],
             [])
        return complaints

    def check_exits(self, page, same):
        told = collections.Counter((e["sandbox"], cause_of(e)) for e in self.watch.of("sandbox_exited"))
        for key in sorted({*told, *self.exits}):
            if key[1] != "not started" or not self.not_started:
                same(f"ends of the host of {key[0]} by {key[1]}", told[key], self.exits[key])
        for sandbox in self.rtd.call("sandbox.list")["sandboxes"]:
            name = sandbox["name"]
            ends = self.watch.of("sandbox_exited", sandbox=name)
            same(f"starts of {name}", total(page, "rtd_sandbox_starts_total", sandbox=name), len(ends) + 1)
            same(f"restarts of {name}", total(page, "rtd_sandbox_restarts_total", sandbox=name), len(ends))
            same(f"restarts of {name} in the list", sandbox["restarts"], len(ends))
            for reason in {e["exit"]["reason"] for e in ends}:
                same(f"restarts of {name} by {reason}",
                     total(page, "rtd_sandbox_restarts_total", sandbox=name, reason=reason),
                     sum(e["exit"]["reason"] == reason for e in ends))

    def check_commands(self, log, page, same):
        audited = collections.Counter()
        for method, code in AUDIT.findall(log):
            audited[method, code] += 1
        methods = {method for method, _ in (*audited, *self.commands)} | set(self.refused)
        for method in sorted(methods):
            codes = {code for other, code in (*audited, *self.commands) if other == method}
            # One that got no answer was carried out or not, and told of or not, with whatever outcome.
            spare = self.unanswered[method]
            for code in sorted(codes):
                surplus = audited[method, code] - self.commands[method, code]
                if not 0 <= surplus <= spare:
                    same(f"{method}, {code}, by audit lines", audited[method, code], self.commands[method, code])
                spare -= max(surplus, 0)
            for code in codes | {"unavailable"}:
                same(f"{method}, {code}, by metrics",
                     total(page, "rtd_control_requests_total", method=method, code=code),
                     audited[method, code] + (self.refused[method] if code == "unavailable" else 0))
