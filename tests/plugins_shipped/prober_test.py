#!/usr/bin/env python3
"""prober, in the daemon: against servers that go up, down, slow and wrong while it watches."""
import http.server
import socket
import threading
import time
import unittest

import shipped
from shipped import harness


class Web:
    """An HTTP server on a port of its own that answers as it is told to: `behave(handler)` is called for each GET."""

    def __init__(self, address="127.0.0.1", port=0):
        self.behave = answer()
        self.requests = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                outer.requests.append((self.path, dict(self.headers)))
                outer.behave(self)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
            daemon_threads = True

            def handle_error(self, *_):
                pass  # the prober has gone away: that is what some tests are about

        self.server = Server((address, port), Handler)
        self.host = f"[{address}]" if ":" in address else address
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()

    def url(self, path=""):
        return f"http://{self.host}:{self.port}{path}"

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def answer(status=200, body=b"all is well", length=None, headers=()):
    """A behaviour: answers with this; `length` lies about the body's."""
    def behave(handler):
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers:
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)
        if length is not None:
            handler.close_connection = True
    return behave


def raw(data, then_close=True):
    """A behaviour: sends these bytes and nothing else."""
    def behave(handler):
        handler.wfile.write(data)
        handler.wfile.flush()
        handler.close_connection = then_close
    return behave


def slow(seconds):
    def behave(handler):
        time.sleep(seconds)
        answer()(handler)
    return behave


def stalled_body(seconds):
    def behave(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", "100")
        handler.end_headers()
        handler.wfile.write(b"half")
        handler.wfile.flush()
        time.sleep(seconds)
        handler.close_connection = True
    return behave


class ProberTest(shipped.PluginTestCase):
    # Long enough that a busy machine does not make a good answer late.
    FAST = {"interval": f"{400 * harness.SLOWNESS}ms", "timeout": f"{400 * harness.SLOWNESS}ms", "jitter": "20ms"}
    TOO_LONG = 2 * harness.SLOWNESS

    def web(self, **arguments):
        web = Web(**arguments)
        self.addCleanup(web.close)
        return web

    def probe(self, *targets, **params):
        return self.start_task("prober", "run", {"targets": list(targets), **self.FAST, **params})

    def wait_value(self, rtd, name, value, **labels):
        harness.wait_for(lambda: shipped.Metrics(rtd).one(name, **labels) == value, f"{name}{labels} is {value}")

    def wait_log(self, rtd, text, level=None, after=0):
        """Waits for a line, leaving out the first `after` ones."""
        def there():
            return [message for its_level, message in shipped.log_lines(rtd, "it")[after:]
                    if text in message and level in (None, its_level)]
        try:
            return harness.wait_for(there, f"a log line with {text!r}")
        except AssertionError as error:
            raise AssertionError(f"{error}: {shipped.log_lines(rtd, 'it')}") from None

    def wait_down(self, rtd, web, behave, detail):
        """Lets the server behave so until the target is down for it; returns what is said of it. A busy machine may make
        any answer late: then the target is let up again, and seen how it goes down the next time."""
        def down():
            said = [message for _, message in shipped.log_lines(rtd, "it") if message.startswith(web.url() + " is ")]
            if not said or " is down: " not in said[-1]:
                web.behave = behave
            elif " within " not in said[-1] or (" within " in detail and detail in said[-1]):
                return said[-1]
            else:
                web.behave = answer()
            return None

        return harness.wait_for(down, "the target is down")

    def wait_outcome(self, rtd, web, behave, reason, detail, status):
        """Lets the server behave so; the target must go down for this reason, and up again when it behaves well."""
        failures = shipped.Metrics(rtd).one("probe_failures_total", reason=reason)
        self.assertIn(f"{web.url()} is down: {detail}", self.wait_down(rtd, web, behave, detail))
        self.wait_value(rtd, "probe_up", 0)
        harness.wait_for(lambda: shipped.Metrics(rtd).one("probe_failures_total", reason=reason) > failures,
                         "the failure is counted")
        self.wait_value(rtd, "probe_http_status_code", status)
        known = len(shipped.log_lines(rtd, "it"))
        web.behave = answer()
        self.wait_log(rtd, f"{web.url()} is up again, after ", "info", after=known)
        self.wait_value(rtd, "probe_up", 1)

    def test_up_down_and_up_again(self):
        web = self.web(port=harness.free_port())  # which is still free when it comes back to it
        refused = f"tcp://127.0.0.1:{harness.free_port()}"
        begin = time.time()
        rtd = self.probe(web.url("/health?full=1"), f"tcp://127.0.0.1:{web.port}", refused)
        url, tcp = web.url("/health?full=1"), f"tcp://127.0.0.1:{web.port}"
        for target, up in ((url, 1), (tcp, 1), (refused, 0)):
            self.wait_value(rtd, "probe_up", up, target=target, task="it", plugin="prober", sandbox="default")
        harness.wait_for(lambda: rtd.task("it")["status"] == "3 targets, 1 down", "the status")
        self.wait_value(rtd, "probe_http_status_code", 200, target=url)
        metrics = shipped.Metrics(rtd)
        self.assertIsNone(metrics.one("probe_http_status_code", target=tcp))
        self.assertGreater(metrics.one("probe_duration_seconds", target=url), 0)
        self.assertLess(metrics.one("probe_duration_seconds", target=url), 0.8)
        self.assertGreaterEqual(metrics.one("probe_checks_total", target=url, result="success"), 1)
        self.assertEqual(metrics.one("probe_checks_total", target=refused, result="success"), 0)
        self.assertGreaterEqual(metrics.one("probe_failures_total", reason="connect"), 1)
        self.assertEqual(metrics.one("probe_duration_distribution_seconds_count", target=refused), 0)
        self.assertEqual(metrics.one("probe_duration_distribution_seconds_count", target=url),
                         metrics.one("probe_checks_total", target=url, result="success"))
        went_up = metrics.one("probe_last_change_timestamp_seconds", target=url)
        self.assertTrue(begin - 1 < went_up < time.time() + 1, (begin, went_up))
        self.assertEqual(metrics.lint(), "")
        path, headers = web.requests[0]
        self.assertEqual(path, "/health?full=1")
        self.assertEqual(headers["Host"], f"127.0.0.1:{web.port}")
        self.assertEqual(headers["User-Agent"], "rtd-prober/1.0.0")
        self.assertEqual(headers["Connection"], "close")

        web.server.shutdown()
        web.server.server_close()
        for target in (url, tcp):
            self.wait_value(rtd, "probe_up", 0, target=target)
        # The check that was under way may have seen a reset or, on a busy machine, nothing in time; those after it cannot.
        self.wait_log(rtd, url + " is down: ", "warn")
        failures = metrics.one("probe_failures_total", reason="connect")
        harness.wait_for(lambda: shipped.Metrics(rtd).one("probe_failures_total", reason="connect") > failures + 3,
                         "connections are refused")
        harness.wait_for(lambda: rtd.task("it")["status"] == "3 targets, 3 down", "the status")
        self.assertGreater(shipped.Metrics(rtd).one("probe_last_change_timestamp_seconds", target=url), went_up)
        self.wait_value(rtd, "probe_http_status_code", 0, target=url)

        self.web(port=web.port)
        for target in (url, tcp):
            self.wait_value(rtd, "probe_up", 1, target=target)
        self.wait_log(rtd, url + " is up again, after ", "info")
        harness.wait_for(lambda: rtd.task("it")["status"] == "3 targets, 1 down", "the status")
        # Changes only: one line for the start, one for each time that a target went down or up again.
        time.sleep(0.3)
        about_url = [message for _, message in shipped.log_lines(rtd, "it") if url in message]
        if " within " in about_url[-1]:
            about_url.pop()  # late just now
        down = [" is down: " in message for message in about_url]
        self.assertEqual(down, [True, False] * (len(down) // 2), about_url)
        # Once; and wherever a busy machine made an answer late.
        late = sum(" within " in message for message in about_url)
        self.assertIn(len(down) // 2 - late, (0, 1) if late else (1,), about_url)
        self.assertEqual(len([m for _, m in shipped.log_lines(rtd, "it") if refused in m]), 1)

    def test_wrong_answers(self):
        web = self.web()
        rtd = self.probe(web.url(), expect_text="is well")
        self.wait_value(rtd, "probe_up", 1)
        harness.wait_for(lambda: rtd.task("it")["status"] == "1 target, all up", "the status")
        for behave, reason, detail, status in [
            (answer(500), "status", "answered 500, expected 2xx", 500),
            (answer(302, headers=[("Location", web.url("/elsewhere"))]), "status", "answered 302, expected 2xx", 302),
            (answer(200, b"all is lost"), "body", 'the text "is well" is not in the answer', 200),
            (slow(self.TOO_LONG), "timeout", "no complete answer within ", 0),
            (stalled_body(self.TOO_LONG), "timeout", "no complete answer within ", 200),
            (answer(200, b"all is well", length=100), "protocol", "the answer broke off", 200),
            (raw(b""), "protocol", "closed the connection without an answer", 0),
            (raw(b"SSH-2.0-OpenSSH_9.2p1\r\n"), "protocol", "", 0),
            (raw(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000), "protocol", "header", 0),
        ]:
            with self.subTest(reason=reason, detail=detail):
                self.wait_outcome(rtd, web, behave, reason, detail, status)
        self.assertNotIn("/elsewhere", [path for path, _ in web.requests])
        self.assertEqual(shipped.Metrics(rtd).lint(), "")

    def test_answers_that_are_well(self):
        web = self.web()
        rtd = self.probe(web.url("/x"), expect_text="well", expect_status=["2xx", 404, "300-309"])
        self.wait_value(rtd, "probe_up", 1)
        for what, behave in (
            ("404", answer(404)),
            ("a redirect", answer(302)),
            ("206", answer(206)),
            ("HTTP/1.0", raw(b"HTTP/1.0 200 OK\r\n\r\nall is well until the end")),
            ("chunks", raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                           b"5\r\nall w\r\n3\r\nell\r\n0\r\n\r\n")),
            ("hints first", raw(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
                                b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwell")),
            # Only a megabyte is read of this; it claims to be larger than any memory.
            ("huge", raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9000000000000000\r\n\r\nwell" + b"." * 3_000_000)),
        ):
            with self.subTest(what=what):
                web.behave = behave
                checks = shipped.Metrics(rtd).one("probe_checks_total", result="success")
                # Two more, so that at least one was asked for after the change.
                try:
                    harness.wait_for(
                        lambda: shipped.Metrics(rtd).one("probe_checks_total", result="success") >= checks + 2,
                        "checks go on to succeed")
                except AssertionError as error:
                    raise AssertionError(f"{error}: {shipped.log_lines(rtd, 'it')}") from None
                failed = [message for _, message in shipped.log_lines(rtd, "it") if " is down" in message]
                self.assertEqual([message for message in failed if " within " not in message], [])
        self.assertLess(rtd.sandbox()["rss_bytes"], 100e6 * harness.SLOWNESS)

    def test_text_beyond_the_first_megabyte_is_not_found(self):
        web = self.web()
        web.behave = answer(200, b"." * (1 << 20) + b"needle")
        rtd = self.probe(web.url(), expect_text="needle", interval="2s", timeout="2s", jitter="0ms")
        self.wait_log(rtd, 'the text "needle" is not in the answer')

    def test_ipv6_and_names(self):
        web = self.web(address="::1")
        nowhere = "tcp://does-not-exist.invalid:80"
        rtd = self.probe(web.url("/six"), f"tcp://[::1]:{web.port}", nowhere, timeout="20s", interval="20s")
        for target in (web.url("/six"), f"tcp://[::1]:{web.port}"):
            self.wait_value(rtd, "probe_up", 1, target=target)
        self.assertEqual(web.requests[0][1]["Host"], f"[::1]:{web.port}")
        self.wait_value(rtd, "probe_up", 0, target=nowhere)
        harness.wait_for(lambda: shipped.Metrics(rtd).one("probe_failures_total", reason="lookup") >= 1,
                         "the failure is counted")

    def test_a_slow_target_holds_nobody_up(self):
        # A full backlog: the kernel lets nobody in and refuses nobody.
        with socket.socket() as full:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            crowd = [socket.socket() for _ in range(8)]
            for each in crowd:
                self.addCleanup(each.close)
                each.setblocking(False)
                each.connect_ex(full.getsockname())
            web = self.web()
            stuck = "tcp://127.0.0.1:%d" % full.getsockname()[1]
            rtd = self.probe(stuck, web.url())
            self.wait_log(rtd, stuck + " is down: no connection within ", "warn")
            harness.wait_for(lambda: shipped.Metrics(rtd).one("probe_failures_total", reason="timeout") >= 1,
                             "the failure is counted")
            before = shipped.Metrics(rtd).one("probe_checks_total", target=web.url(), result="success")
            harness.wait_for(lambda: shipped.Metrics(rtd).one("probe_checks_total", target=web.url(), result="success")
                             >= before + 5, "the other target is checked")

    def test_nothing_is_said_before_the_first_check(self):
        web = self.web()
        rtd = self.probe(web.url(), interval="1h", timeout="1s", jitter="1h")
        harness.wait_for(lambda: rtd.task("it")["status"] == "1 target, 0 down, 1 not checked yet", "the status")
        metrics = shipped.Metrics(rtd)
        self.assertIsNone(metrics.one("probe_up"))
        self.assertEqual(metrics.one("probe_checks_total", result="failure"), 0)
        self.assertEqual(rtd.call("task.stop", name="it")["task"]["state"], "stopped")

    def test_the_schedule(self):
        web = self.web()
        rtd = self.probe(web.url(), interval="200ms", timeout="200ms", jitter="0ms")
        begin = time.monotonic()
        first = harness.wait_for(lambda: len(web.requests), "the first check")
        time.sleep(2)
        checks = len(web.requests) - first
        due = (time.monotonic() - begin) / 0.2
        self.assertLessEqual(checks, due + 1)
        self.assertGreaterEqual(checks, due * 0.2)  # a busy machine may hold the server up
        self.assertEqual(rtd.task("it")["state"], "running")

    def test_as_many_targets_as_there_may_be(self):
        web = self.web()
        targets = [web.url(f"/{i}") for i in range(140)]
        rtd = self.probe(*targets, interval="10s", timeout="10s", jitter="1s")
        harness.wait_for(lambda: rtd.task("it")["status"] == "140 targets, all up", "all are up")
        self.assertEqual(sum(shipped.Metrics(rtd).find("probe_up")), 140)


if __name__ == "__main__":
    unittest.main()
