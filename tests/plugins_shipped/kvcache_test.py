#!/usr/bin/env python3
"""kvcache, in the daemon: by a plain socket, and by libmemcached's tools."""
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import unittest

import shipped
from shipped import harness


class Client:
    """A connection that sends lines and reads answers."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.file = self.socket.makefile("rb")

    def ask(self, request, lines=1):
        self.socket.sendall(request.encode() if isinstance(request, str) else request)
        return [self.file.readline().decode().rstrip("\r\n") for _ in range(lines)]

    def set(self, key, value, time=0):
        return self.ask(f"set {key} 0 {time} {len(value)}\r\n{value}\r\n")[0]

    def get(self, key):
        first = self.ask(f"get {key}\r\n")[0]
        if first == "END":
            return None
        size = int(first.split()[3])
        value = self.file.read(size + 2)[:-2].decode()
        assert self.file.readline() == b"END\r\n"
        return value

    def stats(self):
        self.socket.sendall(b"stats\r\n")
        found = {}
        while True:
            words = self.file.readline().decode().split()
            if words == ["END"]:
                return found
            found[words[1]] = words[2]

    def close(self):
        self.file.close()
        self.socket.close()


class KvcacheTest(shipped.PluginTestCase):
    def start_cache(self, **params):
        rtd = self.start_task("kvcache", "serve", {"listen": "127.0.0.1:0", **params})
        line = harness.wait_for(lambda: next((message for _, message in shipped.log_lines(rtd, "it")
                                              if message.startswith("listening on ")), None), "the cache listens")
        return rtd, int(line.split(",")[0].rsplit(":", 1)[1])

    def client(self, port):
        one = Client(port)
        self.addCleanup(one.close)
        return one

    def test_commands(self):
        rtd, port = self.start_cache()
        one = self.client(port)
        self.assertEqual(one.set("k", "value"), "STORED")
        self.assertEqual(one.get("k"), "value")
        self.assertEqual(self.client(port).get("k"), "value")
        self.assertEqual(one.ask("add k 0 0 1\r\nx\r\nreplace k 0 0 2\r\n10\r\nincr k 5\r\ndecr k 20\r\n", 4),
                         ["NOT_STORED", "STORED", "15", "0"])
        self.assertEqual(one.ask("touch k 100\r\ndelete k\r\ndelete k\r\nnonsense\r\n", 4),
                         ["TOUCHED", "DELETED", "NOT_FOUND", "ERROR"])
        self.assertEqual(one.set("short", "x", -1), "STORED")
        self.assertIsNone(one.get("short"))
        self.assertEqual(one.set("large", "x" * (1 << 20)), "STORED")
        self.assertEqual(one.set("larger", "x" * ((1 << 20) + 1)), "SERVER_ERROR object too large for cache")
        self.assertEqual(len(one.get("large")), 1 << 20)
        self.assertEqual(one.ask("flush_all\r\n"), ["OK"])
        self.assertIsNone(one.get("large"))
        self.assertEqual(one.stats()["curr_items"], "0")
        one.socket.sendall(b"quit\r\n")
        self.assertEqual(one.file.read(), b"")
        harness.wait_for(lambda: shipped.Metrics(rtd).one("kvcache_stored_total", task="it") == 4, "four are counted")
        self.assertEqual(shipped.Metrics(rtd).lint(), "")

    def test_time_is_over(self):
        rtd, port = self.start_cache()
        one = self.client(port)
        self.assertEqual(one.set("k", "v", 1), "STORED")
        harness.wait_for(lambda: one.get("k") is None, "its second is over")
        self.assertEqual(one.set("k", "v", 1), "STORED")
        # The number of items may still be that before it was set.
        harness.wait_for(lambda: shipped.Metrics(rtd).one("kvcache_expirations_total", task="it") == 2, "it goes by itself")
        harness.wait_for(lambda: shipped.Metrics(rtd).one("kvcache_items", task="it") == 0, "none is counted")

    def test_memory_is_bounded_whatever_is_stored(self):
        rtd, port = self.start_cache(memory="8MiB", max_value="64KiB")

        def fill(number):
            one = self.client(port)
            for i in range(500):
                self.assertEqual(one.set(f"{number}-{i}", str(i) * 5000 if i % 3 else "x"), "STORED")

        threads = [threading.Thread(target=fill, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        stats = self.client(port).stats()
        self.assertLessEqual(int(stats["bytes"]), 8 << 20)
        self.assertGreater(int(stats["evictions"]), 0)
        self.assertEqual(int(stats["total_items"]), 4000)

    def test_clients_beyond_the_bound_and_silent_ones(self):
        _, port = self.start_cache(max_connections=2, idle_timeout="3s")
        first, second = self.client(port), self.client(port)
        self.assertEqual(first.set("a", "1"), "STORED")
        self.assertEqual(second.get("a"), "1")
        self.assertEqual(self.client(port).file.read(), b"ERROR Too many open connections\r\n")
        self.assertEqual(first.file.read(), b"")  # it was silent for too long
        self.assertEqual(second.file.read(), b"")

    def test_bad_parameters(self):
        rtd = self.start({"plugins": {"kvcache": {"path": "kvcache.so"}}})
        for params, said in [
            ({"memory": "much"}, 'parameter "memory" is "much", but must be a number of bytes'),
            ({"memory": "1MiB"}, 'parameter "max_value": four values of 1048576 bytes do not fit'),
            ({"listen": "nowhere"}, 'parameter "listen" is "nowhere", which is no address'),
            ({"max_connections": 0}, 'parameter "max_connections" is "0", but must be a whole number'),
        ]:
            self.assertIn(said, self.refused_params(rtd, "kvcache", "serve", params))

    @unittest.skipUnless(shutil.which("memccapable"), "libmemcached-tools is not installed")
    def test_tools_of_libmemcached(self):
        _, port = self.start_cache()
        server = f"--servers=127.0.0.1:{port}"

        def tool(*command, wanted=0):
            done = subprocess.run(command, capture_output=True, text=True, timeout=120)
            self.assertEqual(done.returncode, wanted, (command, done.stdout, done.stderr))
            return done.stdout + done.stderr

        tool("memcping", server)
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "greeting")
            with open(path, "w", encoding="ascii") as file:
                file.write("hello from a file\n")
            tool("memccp", server, path)
        self.assertIn("hello from a file", tool("memccat", server, "greeting"))
        self.assertIn("curr_items: 1", tool("memcstat", server))
        tool("memcrm", server, "greeting")
        tool("memcexist", server, "greeting", wanted=1)
        tool("memcflush", server)
        # A test of the protocol, command by command.
        said = tool("memccapable", "-h", "127.0.0.1", "-p", str(port), "-a")
        self.assertNotIn("[FAIL]", said)
        self.assertIn("ascii set noreply", said)


if __name__ == "__main__":
    unittest.main()
