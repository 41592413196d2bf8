"""Loading plugins into the real rtd-host: what is taken, and how each thing that is none is refused."""
import os
import shutil
import subprocess
import tempfile
import unittest

import host_link
from host_link import Host, HostError, plugin


class Refusals(unittest.TestCase):
    """One host for all of them: it goes on after each."""

    @classmethod
    def setUpClass(cls):
        cls.host = Host()
        cls.folder = tempfile.mkdtemp()

    @classmethod
    def tearDownClass(cls):
        cls.host.__exit__()
        shutil.rmtree(cls.folder)

    def refused(self, kind, *texts, name=None, path=None):
        with self.assertRaises(HostError) as caught:
            self.host.call("plugin.load", name=name, path=path)
        self.assertEqual(caught.exception.kind, kind, caught.exception.message)
        for text in texts:
            self.assertIn(text, caught.exception.message)
        self.assertIn(path, caught.exception.message)
        # The host is as good as before.
        self.assertEqual(self.host.load("behaviour")["name"], "test-behaviour")
        return caught.exception.message

    def file(self, name, data):
        path = os.path.join(self.folder, name)
        with open(path, "wb") as file:
            file.write(data)
        return path

    def image(self):
        with open(plugin("behaviour"), "rb") as file:
            return bytearray(file.read())

    def test_file_that_is_not_there(self):
        self.refused("plugin_not_found", "No such file", name="x", path="/nowhere/x.so")

    def test_relative_path(self):
        with self.assertRaises(HostError) as caught:
            self.host.call("plugin.load", name="x", path="x.so")
        self.assertEqual(caught.exception.kind, "plugin_not_found")

    def test_folder(self):
        self.refused("plugin_not_elf", "not a file", name="x", path=self.folder)

    def test_named_pipe_does_not_block(self):
        path = os.path.join(self.folder, "pipe")
        os.mkfifo(path)
        self.refused("plugin_not_elf", "not a file", name="x", path=path)

    def test_text(self):
        self.refused("plugin_not_elf", "not an ELF file", name="x", path=self.file("text.so", b"#!/bin/sh\nexit\n"))

    def test_empty(self):
        self.refused("plugin_not_elf", "is empty", name="x", path=self.file("empty.so", b""))

    def test_32_bit(self):
        image = self.image()
        image[4] = 1
        self.refused("plugin_not_elf", "32-bit", name="x", path=self.file("elf32.so", image))

    def test_big_endian(self):
        image = self.image()
        image[5] = 2
        self.refused("plugin_not_elf", "big-endian", name="x", path=self.file("big.so", image))

    def test_other_machine(self):
        image = self.image()
        image[18:20] = (243).to_bytes(2, "little")
        self.refused("plugin_not_elf", "riscv", name="x", path=self.file("riscv.so", image))

    def test_object_file(self):
        image = self.image()
        image[16] = 1
        self.refused("plugin_not_elf", "an object file", name="x", path=self.file("object.so", image))

    def test_truncated_at_many_places(self):
        image = self.image()
        for length in [1, 3, 4, 5, 17, 63, 64, 100, 500, 5000, 12_000]:
            with self.subTest(length=length):
                path = self.file(f"short{length}.so", image[:length])
                self.refused("plugin_not_elf", name="x", path=path)

    def test_shared_object_that_is_no_plugin(self):
        self.refused("plugin_no_note", "no rtd note", "RT_PLUGIN", name="x", path=plugin("not_a_plugin"))

    def test_damaged_note(self):
        self.refused("plugin_no_note", "damaged", name="test-damaged-note", path=plugin("damaged_note"))

    def test_other_abi(self):
        self.refused("plugin_abi_mismatch", "ABI 999", "ABI 1", "rebuild it against rtd-dev of version 0.1.0",
                     name="test-other-abi", path=plugin("other_abi"))

    def test_other_build(self):
        self.refused("plugin_build_mismatch", "ThreadSanitizer", name="test-other-build", path=plugin("other_build"))

    def test_missing_symbol(self):
        self.refused("plugin_missing_symbols", "rt::function_of_the_future(int)", "rebuild",
                     name="test-missing-symbol", path=plugin("missing_symbol"))

    def test_constructor_throws(self):
        for _ in range(3):  # the loader is left in order, so it can be done again
            self.refused("plugin_constructor_threw", "std::runtime_error: no license file at /etc/license",
                         name="test-constructor-throws", path=plugin("constructor_throws"))

    def test_constructor_throws_and_the_loader_keeps_it(self):
        self.refused("plugin_constructor_threw", "std::runtime_error: still not ready",
                     name="test-constructor-throws-resident", path=plugin("constructor_throws_resident"))
        # The loader would now hand out the object as if it were good.
        self.refused("plugin_constructor_threw", "restart the sandbox",
                     name="test-constructor-throws-resident", path=plugin("constructor_throws_resident"))

    def test_other_name(self):
        self.refused("plugin_name_mismatch", '"test-thread-local"', '"greeter"', name="greeter",
                     path=plugin("thread_local_user"))

    def test_no_entry(self):
        self.refused("plugin_load_failed", "RT_ENTRY", name="test-no-entry", path=plugin("no_entry"))

    def test_no_descriptor(self):
        self.refused("plugin_load_failed", "rt_plugin_v1", name="test-no-descriptor", path=plugin("no_descriptor"))

    def test_library_that_is_not_there(self):
        # The name of the C library as the plugin wants it, replaced by one that nobody has.
        image = self.image().replace(b"libc.so.6\0", b"libq.so.6\0")
        message = self.refused("plugin_load_failed", "libq.so.6", name="test-behaviour2",
                               path=self.file("needs.so", image.replace(b"test-behaviour\0\0", b"test-behaviour2\0")))
        self.assertIn("cannot open shared object file", message)

    def test_second_plugin_of_the_same_name(self):
        path = os.path.join(self.folder, "copy.so")
        shutil.copy(plugin("behaviour"), path)
        self.refused("plugin_load_failed", "unload it first", name="test-behaviour", path=path)


class Loading(unittest.TestCase):
    def test_description(self):
        with Host() as host:
            found = host.call("plugin.load", name="test-thread-local", path=plugin("thread_local_user"))
            self.assertEqual(found["version"], "0.1.0")
            self.assertEqual(found["description"], "Uses thread_local")
            self.assertEqual(found["abi"], 1)
            self.assertEqual(found["entries"], [{"name": "count", "description": "Counts its calls, wrongly"}])
            self.assertEqual(found["thread_locals"], ["cache::last_query", "calls"])

    def test_any_name(self):
        with Host() as host:
            found = host.call("plugin.load", name="", path=plugin("behaviour"))
            self.assertEqual(found["name"], "test-behaviour")
            self.assertEqual(found["thread_locals"], [])
            self.assertEqual(found, host.call("plugin.load", name="", path=plugin("behaviour")))
            self.assertEqual(found, host.load("behaviour"))

    def test_stripped_plugin_still_tells_of_its_thread_storage(self):
        with tempfile.TemporaryDirectory() as folder, Host() as host:
            path = os.path.join(folder, "stripped.so")
            subprocess.run(["strip", "-o", path, plugin("thread_local_user")], check=True)
            found = host.call("plugin.load", name="test-thread-local", path=path)
            self.assertTrue(found["thread_locals"])

    def test_unload(self):
        with Host() as host:
            host.load("behaviour")
            host.start("wait_for_stop", "w")
            with self.assertRaises(HostError) as caught:
                host.call("plugin.unload", name="test-behaviour")
            self.assertEqual(caught.exception.kind, "busy")
            host.call("task.stop", id="w")
            host.wait_state("w", "cancelled")
            self.assertEqual(host.call("plugin.unload", name="test-behaviour"), {"unmapped": True})
            with open(f"/proc/{host.process.pid}/maps", encoding="utf-8") as maps:
                self.assertNotIn("test_behaviour.so", maps.read())
            with self.assertRaises(HostError) as caught:
                host.start("complete")
            self.assertEqual(caught.exception.kind, "no_such_plugin")
            for _ in range(20):
                host.load("behaviour")
                host.start("complete", "again")
                host.wait_state("again", "completed")
                host.events.clear()
                host.call("plugin.unload", name="test-behaviour")

    def test_constructor_that_never_returns_holds_nobody_up(self):
        with Host() as host:
            host.load("behaviour")
            waiting = host.send("plugin.load", name="test-constructor-hangs", path=plugin("constructor_hangs"))
            host.start("complete")
            host.wait_state("complete", "completed")
            self.assertIn("runtime", host.call("stats"))
            self.assertNotIn(waiting, host.answers)

    def test_constructor_that_crashes_is_named(self):
        with Host() as host:
            host.send("plugin.load", name="test-constructor-crashes", path=plugin("constructor_crashes"))
            report, status = host.crash()
            self.assertEqual(status, "SIGSEGV")
            self.assertEqual(report["plugin"], "test-constructor-crashes")
            self.assertEqual(report["task"], "")
            self.assertIn("crasher", report["stack"][0])
            self.assertIn("test_constructor_crashes.so", report["stack"][0])

    def test_crash_elsewhere_while_a_constructor_holds_the_loader(self):
        with Host() as host:
            host.load("behaviour")
            host.send("plugin.load", name="test-constructor-hangs", path=plugin("constructor_hangs"))
            host.send_start("null_dereference")  # its answer may be lost with the host
            report, status = host.crash()
            self.assertEqual(status, "SIGSEGV")
            self.assertEqual(report["plugin"], "test-behaviour")

    @unittest.skipIf(host_link.SANITIZE, "the sanitizer exports its own")
    def test_plugins_see_nothing_of_the_host_but_the_runtime(self):
        output = subprocess.run(["nm", "-D", "--defined-only", f"{host_link.BIN_DIR}/rtd-host"], check=True,
                                capture_output=True, text=True).stdout
        names = [line.split()[-1].split("@")[0] for line in output.splitlines()]
        self.assertIn("_ZN2rt9this_taskEv", names)
        foreign = [name for name in names if not name.startswith(("_ZN2rt", "_ZNK2rt", "_ZTI", "_ZTS", "_ZTV")) and
                   not name.startswith(("_", "pthread_mutex_", "pthread_rwlock_")) and
                   name not in ("exit", "rt_worker_slot", "environ", "stdin", "stdout", "stderr")]
        self.assertEqual(foreign, [])
        self.assertEqual([name for name in names if "nlohmann" in name or "rtd4host" in name], [])


if __name__ == "__main__":
    unittest.main()
