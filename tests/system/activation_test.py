#!/usr/bin/env python3
"""Sockets that a service manager opened and passed on: they are used, kept, and outlive the daemon."""
import fcntl
import os
import socket
import unittest

import harness


class Passed(harness.Rtd):
    """A daemon that gets its listeners as a service manager passes them: from number 3 on, named by the environment."""

    def __init__(self, config, arguments=()):
        super().__init__(config, arguments)
        self.listeners = {}

    def listen(self):
        control = socket.socket(socket.AF_UNIX)
        control.bind(self.socket)
        control.listen()
        metrics = socket.create_server(("127.0.0.1", 0))
        self.listeners = {"control": control, "metrics": metrics}
        return "127.0.0.1:%d" % metrics.getsockname()[1]

    def start(self, wait=True, names=None):
        # The shell becomes rtd, with the process id that LISTEN_PID names; its redirections put the sockets in place.
        given = list(self.listeners.items())
        # From high numbers, which no redirection overwrites.
        descriptors = [fcntl.fcntl(listener, fcntl.F_DUPFD, 100) for _, listener in given]
        moves = " ".join(f"{3 + i}<&{number} {number}<&-" for i, number in enumerate(descriptors))
        script = (f'LISTEN_PID=$$ LISTEN_FDS={len(given)} '
                  f'LISTEN_FDNAMES={names or ":".join(name for name, _ in given)} exec "$@" {moves}')
        real = harness.subprocess.Popen

        def popen(command, **options):
            return real(["bash", "-c", script, "bash", *command], pass_fds=descriptors, **options)

        harness.subprocess.Popen = popen
        try:
            return super().start(wait)
        finally:
            harness.subprocess.Popen = real
            for number in descriptors:
                os.close(number)

    def close_listeners(self):
        for listener in self.listeners.values():
            listener.close()


class ActivationTest(harness.RtdTestCase):
    def passed(self, starts=True):
        rtd = Passed({})
        self.addCleanup(rtd.remove)
        if starts:
            self.daemons.append(rtd)
            self.addCleanup(self.finish, rtd)
        self.addCleanup(rtd.close_listeners)
        rtd.config = {"http": {"listen": rtd.listen()}, "tasks": {}}
        rtd.write_config(rtd.config)
        return rtd

    def ended(self, rtd):
        self.assertEqual(rtd.process.wait(harness.PATIENCE), 1)
        return rtd.log()

    def test_they_are_used_and_outlive_the_daemon(self):
        rtd = self.passed().start()
        self.assertEqual(rtd.call("status")["http"], "127.0.0.1:%d" % rtd.listeners["metrics"].getsockname()[1])
        self.assertEqual(rtd.http_get("/livez")[0], 200)
        self.assertEqual(rtd.stop(), 0)
        self.assertTrue(os.path.exists(rtd.socket), "the socket is not the daemon's to remove")

        # Who connects while no daemon runs is answered by the next one.
        waiting = socket.socket(socket.AF_UNIX)
        self.addCleanup(waiting.close)
        waiting.settimeout(harness.PATIENCE)
        waiting.connect(rtd.socket)
        rtd.start()
        self.assertIn(b"rtd.hello", waiting.recv(4096))

    def test_a_reload_cannot_move_them(self):
        rtd = self.passed().start()
        for change, pointer in (({"http": {"listen": "127.0.0.1:0"}}, "/http/listen"),
                                ({"http": {"listen": ""}}, "/http/listen"),
                                ({"control": {"socket": rtd.socket + "2"}}, "/control/socket"),
                                ({"control": {"mode": "0600"}}, "/control/socket")):
            with self.subTest(change=change):
                rtd.write_config({**rtd.config, **change})
                with self.assertRaises(harness.RpcError) as caught:
                    rtd.call("config.reload", wait=True)
                self.assertEqual((caught.exception.kind, caught.exception.data["pointer"]), ("invalid_config", pointer))
                self.assertIn("service manager", str(caught.exception))
                self.assertEqual(rtd.http_get("/livez")[0], 200, "it listens still")
        rtd.write_config({**rtd.config, "log": {"level": "info"}})
        self.assertEqual(rtd.call("config.reload", wait=True)["generation"], 2)

    def test_what_does_not_agree_is_refused(self):
        rtd = self.passed(starts=False)
        rtd.write_config({**rtd.config, "http": {"listen": ""}})
        rtd.start(wait=False)
        self.assertIn('"http.listen" is "" (disable its unit', self.ended(rtd))
        rtd = self.passed(starts=False)
        rtd.write_config({**rtd.config, "control": {"socket": rtd.socket + "2"}})
        rtd.start(wait=False)
        self.assertIn(f'it listens at {rtd.socket}, and "control.socket" is {rtd.socket}2', self.ended(rtd))
        for names, why in (("control:metric", 'the socket "metric": rtd knows no socket of this name'),
                           ("control:control", 'the socket "control": it came twice'),
                           ("metrics:control", 'the socket "control": it is no unix stream socket that listens')):
            with self.subTest(names=names):
                rtd = self.passed(starts=False)
                rtd.start(wait=False, names=names)
                self.assertIn(why, self.ended(rtd))


if __name__ == "__main__":
    unittest.main(verbosity=2)
