"""What the tests of the shipped plugins share: the harness, and reading /metrics as a whole."""
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))

import harness  # noqa: E402  (found by the line above)

SERIES = re.compile(r'^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$')
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')


class Metrics:
    """One page of /metrics."""

    def __init__(self, rtd):
        status, self.text = rtd.http_get("/metrics")
        assert status == 200, status
        self.series = []
        for line in self.text.splitlines():
            if not line.startswith("#"):
                name, labels, value = SERIES.match(line).groups()
                self.series.append((name, dict(LABEL.findall(labels or "")), float(value)))

    def find(self, name, **labels):
        """Values of the series of that name that have these labels."""
        return [value for series, its_labels, value in self.series
                if series == name and all(its_labels.get(k) == v for k, v in labels.items())]

    def one(self, name, **labels):
        """The value of the only such series, or None."""
        found = self.find(name, **labels)
        assert len(found) < 2, (name, labels, found)
        return found[0] if found else None

    def lint(self):
        """What promtool says against the page; empty when it likes it."""
        return subprocess.run(["promtool", "check", "metrics"], input=self.text, capture_output=True, text=True).stderr


def log_lines(rtd, task):
    """Messages that the task wrote, with their levels."""
    return [(line["level"], line["message"]) for line in rtd.call("logs", limit=1000, task=task)["lines"]
            if line["source"] == "task"]


class PluginTestCase(harness.RtdTestCase):
    def start_task(self, plugin, entry, params, restart="never", name="it", **more):
        rtd = self.start({
            "plugins": {plugin: {"path": plugin + ".so"}},
            "tasks": {name: {"plugin": plugin, "entry": entry, "params": params, "restart": {"policy": restart}}},
            **more})
        return rtd

    def refused_params(self, rtd, plugin, entry, params):
        """Runs a task that must fail; returns its error."""
        name = rtd.call("task.run", plugin=plugin, entry=entry, params=params, restart="never")["task"]["name"]
        task = rtd.wait_task(name, "failed", "completed", "fatal")
        self.assertEqual(task["state"], "failed", (params, task))
        return task["last_exit"]["error"]
