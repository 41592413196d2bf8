"""Several versions of a plugin in the real rtd-host: loaded beside each other, and unloaded when nothing refers to them."""
import os
import shutil
import signal
import tempfile
import unittest

import host_link
from host_link import Host, HostError, plugin

NAME = "test-replaceable"


def mappings(host, path):
    """How many mappings of the host's are of the file."""
    with open(f"/proc/{host.process.pid}/maps", encoding="utf-8") as file:
        return sum(1 for line in file if path in line)


class Versions(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.host = Host()

    def tearDown(self):
        self.host.__exit__()
        shutil.rmtree(self.folder)

    def file(self, version, name):
        """A copy: another file is another object for the loader."""
        path = os.path.join(self.folder, name)
        shutil.copy(plugin(f"replaceable_{version}"), path + ".new")
        os.rename(path + ".new", path)
        return path

    def load(self, path, beside=False):
        return self.host.call("plugin.load", name=NAME, path=path, beside=beside)

    def run_to_end(self, entry, **params):
        self.host.events.clear()
        self.host.call("task.start", id="short", plugin=NAME, entry=entry,
                       params={key: [value] for key, value in params.items()}, stack_size=0)
        self.host.wait_state("short", "completed")

    def start(self, entry="wait_for_stop", task="long"):
        self.host.call("task.start", id=task, plugin=NAME, entry=entry, params={}, stack_size=0)

    def stop(self, task="long"):
        self.host.events.clear()
        self.host.call("task.stop", id=task, grace_seconds=5)
        self.host.wait_state(task, "cancelled")

    def unload(self, number=0):
        return self.host.call("plugin.unload", name=NAME, number=number)

    def refused(self, number, *texts):
        with self.assertRaises(HostError) as caught:
            self.unload(number)
        self.assertEqual(caught.exception.kind, "referenced", caught.exception.message)
        for text in texts:
            self.assertIn(text, caught.exception.message)

    def test_two_versions_at_once(self):
        first, second = self.file(1, "one.so"), self.file(2, "two.so")
        old = self.load(first)
        self.start()
        self.host.wait_log("version 1")
        new = self.load(second, beside=True)
        self.assertEqual((old["version"], new["version"]), ("1.0.0", "2.0.0"))
        self.assertNotEqual(old["number"], new["number"])
        # Until it is told otherwise the host starts tasks from the old one.
        self.start(task="another")
        self.host.wait_event(lambda e: e["event"] == "log" and e["task"] == "another" and e["message"] == "version 1")
        self.host.call("plugin.use", name=NAME, number=new["number"])
        self.start(task="fresh")
        self.host.wait_log("version 2")
        # The old one is not unloaded under its tasks.
        with self.assertRaises(HostError) as caught:
            self.unload(old["number"])
        self.assertEqual(caught.exception.kind, "busy")
        self.stop()
        self.stop("another")
        self.assertEqual(self.unload(old["number"]), {"unmapped": True})
        self.assertEqual(mappings(self.host, first), 0)
        self.assertGreater(mappings(self.host, second), 0)
        self.start()
        self.host.wait_event(lambda e: e["event"] == "log" and e["task"] == "long" and e["message"] == "version 2")

    def test_the_way_back(self):
        old = self.load(self.file(1, "one.so"))
        new = self.load(self.file(2, "two.so"), beside=True)
        self.host.call("plugin.use", name=NAME, number=new["number"])
        self.host.call("plugin.use", name=NAME, number=old["number"])
        self.unload(new["number"])
        self.start()
        self.host.wait_log("version 1")

    def test_a_new_file_at_the_same_path(self):
        path = self.file(1, "same.so")
        old = self.load(path)
        self.file(2, "same.so")
        new = self.load(path, beside=True)
        self.assertEqual(new["version"], "2.0.0")
        self.host.call("plugin.use", name=NAME, number=new["number"])
        self.unload(old["number"])
        self.start()
        self.host.wait_log("version 2")

    def test_the_very_same_file(self):
        path = self.file(1, "same.so")
        self.load(path)
        with self.assertRaises(HostError) as caught:
            self.load(path, beside=True)
        self.assertEqual(caught.exception.kind, "plugin_load_failed")
        self.assertIn("loaded already", caught.exception.message)

    def test_unknown_numbers(self):
        self.load(self.file(1, "one.so"))
        for call in (lambda: self.unload(77), lambda: self.host.call("plugin.use", name=NAME, number=77)):
            with self.assertRaises(HostError) as caught:
                call()
            self.assertEqual(caught.exception.kind, "no_such_plugin")

    def test_objects_with_destructors_go_first(self):
        path = self.file(1, "one.so")
        self.load(path)
        self.run_to_end("leave_objects")
        self.assertEqual(self.unload(), {"unmapped": True})
        self.assertEqual(mappings(self.host, path), 0)
        # Nothing of it is called later.
        for _ in range(3):
            self.host.call("gc")
        self.load(self.file(2, "two.so"))
        self.run_to_end("leave_objects")
        self.host.call("gc")

    def test_a_root_that_is_never_given_back(self):
        self.load(self.file(1, "one.so"))
        self.run_to_end("leave_a_root")
        self.refused(0, "an object of", "that no running task has made", "refers to", "page")
        # It is as good as before.
        self.start()
        self.host.wait_log("version 1")

    def test_a_root_among_its_variables(self):
        path = self.file(1, "one.so")
        self.load(path)
        for _ in range(3):
            self.run_to_end("leave_a_global_root")
        self.assertEqual(self.unload(), {"unmapped": True})
        self.assertEqual(mappings(self.host, path), 0)
        self.host.call("gc")
        # Its slot serves others.
        self.load(self.file(2, "two.so"))
        self.run_to_end("leave_a_root")
        self.refused(0, "an object of")

    def test_a_root_that_left_its_variables(self):
        self.load(self.file(1, "one.so"))
        self.run_to_end("leave_a_root_that_passed")
        self.refused(0, "an object of", "refers to", "page")

    def test_a_handler_of_a_signal(self):
        self.load(self.file(1, "one.so"))
        self.run_to_end("leave_a_handler")
        self.refused(0, "it handles the signal SIGUSR2")
        self.run_to_end("leave_a_handler", take_back="yes")
        self.assertEqual(self.unload(), {"unmapped": True})

    def test_a_kernel_thread(self):
        self.load(self.file(1, "one.so"))
        self.run_to_end("leave_a_thread")
        self.refused(0, "a kernel thread exists that is none of the runtime's")

    def test_again_and_again(self):
        self.load(self.file(1, "0.so"))
        number = 1
        for turn in range(1, 21):
            self.start()
            fresh = self.load(self.file(1 + turn % 2, f"{turn % 3}.so"), beside=True)
            self.stop()
            self.host.call("plugin.use", name=NAME, number=fresh["number"])
            self.assertEqual(self.unload(number), {"unmapped": True})
            number = fresh["number"]
            if turn == 3:
                before = mappings(self.host, self.folder)
        self.assertEqual(mappings(self.host, self.folder), before)


if __name__ == "__main__":
    unittest.main()
