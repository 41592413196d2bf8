#!/usr/bin/env python3
"""/metrics of a real daemon: what promtool and a real Prometheus make of it, and that it answers in hard times."""
import gzip
import http.client
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import time
import unittest
import urllib.parse
import urllib.request

import harness

SOURCE_DIR = os.environ.get("RTD_SOURCE_DIR") or os.path.dirname(os.path.dirname(harness.HERE))
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
#: A host has half a second to answer; the rest is for a loaded machine.
PAGE_BOUND = 3 * harness.SLOWNESS

#: Families that a page has only when there is something to say.
SOMETIMES = {
    "rtd_config_last_reload_success_timestamp_seconds",
    "rtd_log_messages_total",
    "rtd_sandbox_denied_syscalls_total",
    "rtd_sandbox_max_fds",
    "rtd_sandbox_group_cpu_throttled_seconds_total",
    "rtd_sandbox_group_cpu_throttles_total",
    "rtd_sandbox_group_io_waited_seconds_total",
    "rtd_sandbox_group_threads_refused_total",
    "rtd_heap_limit_bytes",
    "rtd_gc_last_cycle_timestamp_seconds",
    "rtd_stack_limit",
    "rtd_task_heap_limit_bytes",
    "rtd_task_cpu_limit",
    "rtd_task_log_rate_limit",
    "rtd_task_green_threads_limit",
    "rtd_task_connections_limit",
    "rtd_task_metric_series_dropped_total",
    "go_gc_gomemlimit_bytes",
    "process_virtual_memory_max_bytes",
    "process_max_fds",
}


def behaviour(entry, **params):
    return {"plugin": "test-behaviour", "entry": entry, "params": params}


def configuration(**tasks):
    return {"plugins": {"test-behaviour": {"path": "test_behaviour.so"}}, "tasks": tasks}


def needs(program):
    return unittest.skipUnless(shutil.which(program), f"{program} is not installed (Debian package prometheus)")


def families(page):
    """Types of the page's families by name."""
    return dict(re.findall(r"^# TYPE (\S+) (\S+)$", page, re.MULTILINE))


class MetricsTestCase(harness.RtdTestCase):
    def get(self, rtd, path="/metrics", method="GET", **headers):
        """Status, headers and body; asserts that the answer comes within its bound."""
        connection = http.client.HTTPConnection(*rtd.http_address(), timeout=harness.PATIENCE)
        self.addCleanup(connection.close)
        began = time.monotonic()
        connection.request(method, path, headers={k.replace("_", "-"): v for k, v in headers.items()})
        response = connection.getresponse()
        body = response.read()
        connection.close()
        self.assertLess(time.monotonic() - began, PAGE_BOUND, f"{method} {path}")
        return response.status, response.headers, body

    def page(self, rtd):
        status, headers, body = self.get(rtd)
        self.assertEqual(status, 200)
        self.assertEqual(headers["Content-Type"], CONTENT_TYPE)
        return body.decode()

    def check(self, page):
        if not shutil.which("promtool"):
            return
        checked = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, text=True)
        self.assertEqual((checked.returncode, checked.stdout, checked.stderr), (0, "", ""))

    def value(self, page, series):
        for line in page.splitlines():
            if line.startswith(series + " "):
                return float(line.rsplit(" ", 1)[1])
        return None

    def wait_page(self, rtd, accept):
        """A page on which each of these series has a value that is accepted."""
        def accepted():
            page = self.page(rtd)
            values = {series: self.value(page, series) for series in accept}
            return all(value is not None and accept[series](value) for series, value in values.items()) and page

        return harness.wait_for(accepted, f"a page with {list(accept)}", pause=0.1)

    def wait_value(self, rtd, series, accept, what):
        return harness.wait_for(lambda: accept(self.value(self.page(rtd), series)), what, pause=0.1)


class PageTest(MetricsTestCase):
    def setUp(self):
        super().setUp()
        yearly = behaviour("complete")
        yearly["schedule"] = {"cron": "@yearly"}
        self.rtd = self.start(configuration(exporter=behaviour("export_metrics"), waiter=behaviour("wait_for_stop"),
                                            yearly=yearly), arguments=["--state-dir", self.make_folder()])
        self.wait_value(self.rtd, "rtd_state_last_save_timestamp_seconds", lambda time: time is not None, "the state is saved")
        self.rtd.wait_task("waiter", "running")
        # The last that the task does to its metrics.
        self.wait_value(self.rtd, 'test_job_seconds_sum{sandbox="default",plugin="test-behaviour",task="exporter"}',
                        lambda seconds: seconds == 55.05, "the task's metrics are there")

    @needs("promtool")
    def test_promtool_finds_nothing_to_say(self):
        self.check(self.page(self.rtd))

    def test_has_all_names_and_no_others(self):
        self.get(self.rtd)  # so that the next page has requests to count
        seen = families(self.page(self.rtd))
        with open(os.path.join(SOURCE_DIR, "tests/daemon/metrics/names.txt"), encoding="utf-8") as file:
            listed = dict(line.split()[:2] for line in file)
        ours = {name: kind for name, kind in seen.items() if not name.startswith("test_")}
        self.assertEqual(set(ours) - set(listed), set())
        self.assertEqual(set(listed) - set(ours) - SOMETIMES, set())
        for name, kind in ours.items():
            self.assertEqual(kind, listed[name], name)
        self.assertEqual({name: seen[name] for name in seen if name.startswith("test_")},
                         {"test_jobs_total": "counter", "test_depth": "gauge", "test_job_seconds": "histogram"})

    def test_figures_are_real(self):
        # A busy host may answer a page too late, or be seen before its tasks sleep.
        page = self.wait_page(self.rtd, {
            'rtd_sandbox_up{sandbox="default"}': lambda up: up == 1,
            'rtd_sched_green_threads{sandbox="default",state="waiting"}': lambda n: n >= 2})
        labels = 'sandbox="default",plugin="test-behaviour",task="exporter"'
        self.assertEqual(self.value(page, f'test_jobs_total{{{labels},kind="easy"}}'), 3)
        self.assertEqual(self.value(page, f"test_depth{{{labels}}}"), -1.5)
        self.assertEqual(self.value(page, f'test_job_seconds_bucket{{{labels},le="10"}}'), 2)
        self.assertEqual(self.value(page, f'test_job_seconds_bucket{{{labels},le="+Inf"}}'), 3)
        self.assertEqual(self.value(page, f"test_job_seconds_sum{{{labels}}}"), 55.05)
        self.assertEqual(self.value(page, 'rtd_sandbox_state{sandbox="default",state="up"}'), 1)
        self.assertEqual(self.value(page, 'rtd_sandbox_starts_total{sandbox="default"}'), 1)
        self.assertEqual(self.value(page, f'rtd_task_state{{{labels},state="running"}}'), 1)
        self.assertEqual(self.value(page, f"rtd_task_green_threads{{{labels}}}"), 1)
        self.assertGreaterEqual(self.value(page, 'rtd_sched_procs{sandbox="default"}'), 1)
        self.assertGreater(self.value(page, 'rtd_sandbox_resident_memory_bytes{sandbox="default"}'), 1e6)
        self.assertGreater(self.value(page, "process_resident_memory_bytes"), 1e6)
        self.assertAlmostEqual(self.value(page, "process_start_time_seconds"), time.time(), delta=60 * harness.SLOWNESS)
        # Connections and idle threads come and go between the page and the look.
        self.assertAlmostEqual(self.value(page, "process_open_fds"),
                               len(os.listdir(f"/proc/{self.rtd.process.pid}/fd")), delta=3)
        self.assertAlmostEqual(self.value(page, 'rtd_sandbox_threads{sandbox="default"}'),
                               len(os.listdir(f"/proc/{self.rtd.host_pid()}/task")), delta=3)

    def test_go_names_can_be_switched_off(self):
        self.assertIn("\ngo_goroutines{", self.page(self.rtd))
        rtd = self.start({"metrics": {"go_compat": False}})
        self.assertNotIn("\ngo_", self.page(rtd))

    def test_is_compressed_for_who_asks(self):
        _, headers, packed = self.get(self.rtd, Accept_Encoding="gzip")
        self.assertEqual(headers["Content-Encoding"], "gzip")
        self.assertEqual(headers["Content-Type"], CONTENT_TYPE)
        plain = gzip.decompress(packed).decode()
        self.assertLess(len(packed), len(plain) / 2)
        self.check(plain)

    def test_other_paths_and_methods(self):
        for path in ("/", "/livez", "/readyz", "/readyz?verbose"):
            self.assertEqual(self.get(self.rtd, path)[0], 200, path)
        self.assertEqual(self.get(self.rtd, "/metrics/")[0], 404)
        status, headers, _ = self.get(self.rtd, "/metrics", "POST")
        self.assertEqual((status, headers["Allow"]), (405, "GET, HEAD"))
        status, headers, body = self.get(self.rtd, "/metrics", "HEAD")
        self.assertEqual((status, headers["Content-Type"], body), (200, CONTENT_TYPE, b""))

    def test_requests_are_counted(self):
        self.get(self.rtd, "/nothing")
        self.get(self.rtd, "/livez")
        page = self.page(self.rtd)
        self.assertEqual(self.value(page, 'rtd_http_requests_total{handler="other",code="404"}'), 1)
        self.assertGreaterEqual(self.value(page, 'rtd_http_requests_total{handler="/livez",code="200"}'), 1)
        self.assertGreater(self.value(page, 'rtd_control_requests_total{method="status",code="ok"}'), 0)

    def test_clients_that_only_hold_connections_do_not_keep_prometheus_out(self):
        held = []
        for i in range(400):
            client = socket.create_connection(self.rtd.http_address())
            self.addCleanup(client.close)
            if i % 2:
                client.sendall(b"GET /metrics HTTP/1.1\r\n")
            held.append(client)
        time.sleep(1.2)
        self.assertIn("rtd_sandbox_up", self.page(self.rtd))


class HardTimesTest(MetricsTestCase):
    def test_answers_while_every_processor_computes(self):
        hog = {**behaviour("spin", count="64"), "stop_timeout": "200ms"}  # it does not stop when it is asked to
        rtd = self.start(configuration(hog=hog))
        rtd.wait_task("hog", "running")
        labels = 'sandbox="default",plugin="test-behaviour",task="hog"'
        self.wait_value(rtd, f"rtd_task_green_threads{{{labels}}}", lambda n: n == 64, "64 green threads compute")
        idle = 'rtd_sched_idle_procs{sandbox="default"}'
        # A busy host may answer a page too late, and one whose threads wait for a CPU be seen handing a processor on.
        for _ in range(5):
            self.wait_page(rtd, {'rtd_sandbox_up{sandbox="default"}': lambda up: up == 1, idle: lambda n: n == 0})
        deviations = []

        def adds_up():
            page = self.page(rtd)

            def figure(state):
                return self.value(page, f'rtd_sched_green_threads{{sandbox="default",state="{state}"}}')

            # Whoever waits long for a CPU of a busy machine may be taken for asleep in a call, for the while.
            counted = figure("running") + figure("runnable") + figure("blocking")
            # Reading figures stops nothing: one that moves from a queue that was read to one that was not counts twice.
            deviations.append(abs(counted - 64))
            return counted == 64 and figure("running") == self.value(page, 'rtd_sched_procs{sandbox="default"}') and page

        self.check(harness.wait_for(adds_up, "the 64 green threads are counted"))
        # Half a queue may move at once, but seldom just then.
        self.assertLess(statistics.median_low(deviations), 8, deviations)

    def test_answers_while_a_host_is_frozen(self):
        rtd = self.start(configuration(waiter=behaviour("wait_for_stop")))
        rtd.wait_task("waiter", "running")
        before = self.page(rtd)
        heartbeat = 'rtd_sandbox_last_heartbeat_timestamp_seconds{sandbox="default"}'
        host = rtd.host_pid()
        os.kill(host, signal.SIGSTOP)
        try:
            # An answer of this moment still counts as fresh.
            self.wait_value(rtd, 'rtd_sandbox_up{sandbox="default"}', lambda up: up == 0, "the host is silent")
            frozen = self.page(rtd)
            again = self.page(rtd)
        finally:
            os.kill(host, signal.SIGCONT)
        for page in (frozen, again):
            self.assertEqual(self.value(page, 'rtd_sandbox_up{sandbox="default"}'), 0)
            self.assertEqual(self.value(page, 'rtd_sched_procs{sandbox="default"}'),
                             self.value(before, 'rtd_sched_procs{sandbox="default"}'), "the last figures are shown")
        self.assertAlmostEqual(self.value(frozen, heartbeat), self.value(again, heartbeat), delta=0.01)
        self.check(again)
        self.wait_value(rtd, 'rtd_sandbox_up{sandbox="default"}', lambda up: up == 1, "the host answers again")

    def test_a_killed_host_is_told_of(self):
        rtd = self.start(configuration(waiter=behaviour("wait_for_stop")))
        started = self.value(self.page(rtd), "process_start_time_seconds")
        for times in range(1, 4):
            os.kill(rtd.host_pid(), signal.SIGKILL)
            self.wait_value(rtd, 'rtd_sandbox_starts_total{sandbox="default"}', lambda n: n == times + 1, "a new host")
            rtd.wait_sandbox("up")
        page = self.page(rtd)
        self.assertEqual(self.value(page, 'rtd_sandbox_restarts_total{sandbox="default",reason="signal"}'), 3)
        self.assertEqual(self.value(page, "process_start_time_seconds"), started)
        self.check(page)

    def test_many_scrapes_at_once(self):
        rtd = self.start(configuration(exporter=behaviour("export_metrics")))
        clients = []
        for _ in range(50):
            client = socket.create_connection(rtd.http_address(), timeout=harness.PATIENCE)
            self.addCleanup(client.close)
            client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            clients.append(client)
        for client in clients:
            answer = b""
            while piece := client.recv(1 << 16):
                answer += piece
            self.assertTrue(answer.startswith(b"HTTP/1.1 200"))
            self.assertTrue(answer.endswith(b"\n"))


class HostileHostTest(MetricsTestCase):
    """The host lies; the page stays whole."""

    def start_fake(self, metrics):
        body = f"""
    def on_stats(self, params):
        stats = fake_host.statistics(self.tasks)
        stats["metrics"] = json.loads({json.dumps(metrics)!r})
        return stats
"""
        rtd = self.start({}, fake=body)
        path = harness.fake_plugin(rtd.folder)
        rtd.write_config({"host_binary": os.path.join(rtd.folder, "fake-rtd-host"), "plugins": {"fake": {"path": path}},
                          "tasks": {"liar": {"plugin": "fake", "entry": "serve"}}})
        rtd.call("config.reload", wait=True)
        rtd.wait_task("liar", "running")
        return rtd

    def metric(self, name, value=1.0, task="liar", labels=None, help_text="Lies."):
        return {"task": task, "plugin": "fake", "name": name, "help": help_text, "type": "gauge",
                "series": [{"labels": labels or {}, "value": value}]}

    def test_names_labels_and_help_texts(self):
        rtd = self.start_fake([
            self.metric("rtd_sandbox_up", 7), self.metric("up"), self.metric("process_open_fds"), self.metric("a b"),
            self.metric("fine", 5, labels={"quote": 'a"b\\c\nd 1'}, help_text="line\nrtd_sandbox_up 9 \\ end"),
            self.metric("stolen", labels={"sandbox": "other"}), self.metric("foreign", task="nobody"),
            self.metric("unknown_value", None),
        ])
        page = self.wait_page(rtd, {
            'rtd_task_metric_series_dropped_total{sandbox="default",reason="reserved_name"}': lambda n: n >= 3,
            'rtd_sandbox_up{sandbox="default"}': lambda up: up == 1})
        self.check(page)
        self.assertEqual([line for line in page.splitlines() if line.startswith("rtd_sandbox_up")],
                         ['rtd_sandbox_up{sandbox="default"} 1'])
        seen = families(page)
        self.assertIn("fine", seen)
        self.assertNotIn("stolen", seen)
        self.assertNotIn("foreign", seen)
        self.assertTrue(re.search(r"^unknown_value\{.*\} NaN$", page, re.MULTILINE))

    def test_figures_that_are_none(self):
        rtd = self.start_fake([{"task": "liar", "plugin": "fake", "name": "x", "help": "h", "type": "gauge",
                                "series": "many"}])
        self.wait_value(rtd, 'rtd_sandbox_up{sandbox="default"}', lambda up: up == 0, "the answer is refused")
        self.check(self.page(rtd))
        # One that has not answered in time is not up either.
        harness.wait_for(lambda: "metrics[0].series is not an array" in rtd.log(), "the reason is logged")
        self.assertIsNone(rtd.process.poll())


@needs("prometheus")
class PrometheusTest(MetricsTestCase):
    def start_prometheus(self, target):
        folder = tempfile.mkdtemp(prefix="rtd-prometheus-")
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        with open(os.path.join(folder, "prometheus.yml"), "w", encoding="utf-8") as file:
            # Two seconds: half of one is what a page waits for a host that is late.
            file.write("scrape_configs:\n  - job_name: rtd\n    scrape_interval: 2s\n    scrape_timeout: 2s\n"
                       f"    static_configs:\n      - targets: ['{target}']\n")
        self.address = f"127.0.0.1:{harness.free_port()}"
        log = open(os.path.join(folder, "log"), "wb")
        process = subprocess.Popen(
            ["prometheus", "--config.file", os.path.join(folder, "prometheus.yml"), "--storage.tsdb.path",
             os.path.join(folder, "data"), "--web.listen-address", self.address], stdout=log, stderr=log)
        log.close()

        def end():
            process.terminate()
            process.wait()

        self.addCleanup(end)

    def ask(self, path, **query):
        url = f"http://{self.address}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        try:
            with urllib.request.urlopen(url, timeout=harness.PATIENCE) as answer:
                return json.load(answer)["data"]
        except (OSError, ValueError):  # it is still starting
            return None

    def wait_query(self, expression, accept):
        """Waits until the values of a query are accepted: a scrape that is late leaves a gap."""
        return harness.wait_for(lambda: accept(self.query(expression)), f"{expression} is as it should be", pause=0.2)

    def query(self, expression):
        """Values by their labels; {} while there are none."""
        data = self.ask("query", query=expression)
        return {tuple(sorted(one["metric"].items())): float(one["value"][1]) for one in (data or {}).get("result", [])}

    def test_scrapes_and_answers_queries(self):
        rtd = self.start(configuration(exporter=behaviour("export_metrics"), waiter=behaviour("wait_for_stop")))
        self.start_prometheus("%s:%d" % rtd.http_address())

        def up():
            return 1.0 in self.query('up{job="rtd"}').values()

        try:
            # It is a large program, and takes long to start.
            harness.wait_for(up, "Prometheus finds rtd up", timeout=4 * harness.PATIENCE, pause=0.2)
        except AssertionError as error:
            raise AssertionError(f"{error}: {json.dumps(self.ask('targets'))}") from None
        harness.wait_for(lambda: (found := self.ask("targets")) and found["activeTargets"][0]["lastError"] == "",
                         "a scrape without an error", pause=0.2)
        states = {"runnable", "running", "waiting", "blocking"}
        self.wait_query("rtd_sched_green_threads", lambda found: {dict(labels)["state"] for labels in found} == states
                        and sum(found.values()) >= 2)
        for expression, wanted in (('test_jobs_total{task="exporter",plugin="test-behaviour"}', 3),
                                   ("sum(go_goroutines) == bool sum(rtd_sched_green_threads)", 1),
                                   ('rtd_sandbox_up{sandbox="default"}', 1), ("count(rtd_build_info)", 1),
                                   ("histogram_quantile(0.5, test_job_seconds_bucket)", 5.5)):
            self.wait_query(expression, lambda found, wanted=wanted: list(found.values()) == [wanted])
        meta = harness.wait_for(lambda: self.ask("metadata"), "the metadata", pause=0.2)
        self.assertEqual(meta["rtd_sched_latency_seconds"][0]["type"], "histogram")
        harness.wait_for(lambda: any(v >= 0 for v in self.query("rate(rtd_http_requests_total[1m])").values()),
                         "two scrapes, and so a rate", pause=0.2)


if __name__ == "__main__":
    unittest.main()
