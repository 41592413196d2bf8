"""How the real rtd-host dies, and what it says last."""
import os
import select
import signal
import socket
import time
import unittest

import host_link
from host_link import Host


class Crashes(unittest.TestCase):
    def crash(self, entry, expected_status):
        with Host() as host:
            host.load("behaviour")
            host.send_start(entry, "victim")
            report, status = host.crash()
            self.assertEqual(status, expected_status, report)
            self.assertEqual(report["signal"], expected_status)
            for frame in report["stack"]:
                self.assertRegex(frame, r"^(.+\+)?0x[0-9a-f]+( \([^()]+\))?$")
            return report

    def assert_culprit(self, report):
        self.assertEqual(report["task"], "victim")
        self.assertEqual(report["plugin"], "test-behaviour")
        self.assertGreater(report["green_thread"], 0)

    def assert_frames(self, report, *names):
        """The names are in the stack in this order, innermost first."""
        place = 0
        for name in names:
            while place < len(report["stack"]) and name not in report["stack"][place]:
                place += 1
            self.assertLess(place, len(report["stack"]), f"{name} is not in (the rest of) {report['stack']}")

    def test_null_dereference(self):
        report = self.crash("null_dereference", "SIGSEGV")
        self.assert_culprit(report)
        self.assertEqual((report["code"], report["address"]), ("SEGV_MAPERR", "0x0"))
        self.assertFalse(report["stack_overflow"])
        self.assertIn("follow(int volatile*)+0x", report["stack"][0])
        self.assertIn("(test_behaviour.so)", report["stack"][0])
        self.assert_frames(report, "follow", "null_dereference(rt::task&)", "rt::detail::task_state::run()")

    def test_fault_at_a_large_address(self):
        report = self.crash("touch_large_address", "SIGSEGV")
        self.assert_culprit(report)
        self.assertEqual((report["code"], report["address"]), ("SEGV_MAPERR", "0x600000000000"))
        self.assertFalse(report["stack_overflow"])
        self.assert_frames(report, "follow", "touch_large_address(rt::task&)")

    def test_stack_overflow(self):
        report = self.crash("overflow_stack", "SIGSEGV")
        self.assert_culprit(report)
        self.assertTrue(report["stack_overflow"], report)
        self.assertGreaterEqual(report["stack_size"], 262144)  # larger in instrumented builds
        self.assertNotEqual(report["address"], "0x0")
        self.assert_frames(report, "descend", "descend", "descend")
        self.assertLessEqual(len(report["stack"]), 64)

    def test_stack_overflow_of_another_green_thread(self):
        report = self.crash("overflow_child_stack", "SIGSEGV")
        self.assert_culprit(report)
        self.assertTrue(report["stack_overflow"], report)
        self.assertEqual(report["green_thread_name"], "deep")
        self.assertGreaterEqual(report["stack_size"], 1 << 20)

    def test_call_of_a_null_pointer(self):
        report = self.crash("call_nowhere", "SIGSEGV")
        self.assert_culprit(report)
        self.assertEqual(report["address"], "0x0")
        self.assert_frames(report, "call_nowhere(rt::task&)")

    def test_division_by_zero(self):
        report = self.crash("divide_by_zero", "SIGFPE")
        self.assert_culprit(report)
        self.assertEqual(report["code"], "FPE_INTDIV")
        self.assertIn("divide_by_zero(rt::task&)", report["stack"][0])

    def test_abort(self):
        report = self.crash("call_abort", "SIGABRT")
        self.assert_culprit(report)
        self.assert_frames(report, "abort", "call_abort(rt::task&)", "task_state::run")

    def test_crash_of_a_kernel_thread_of_the_plugin(self):
        report = self.crash("crash_in_thread", "SIGSEGV")
        self.assertEqual(report["green_thread"], 0)
        self.assertIn("follow", report["stack"][0])

    def test_crashes_of_many_threads_at_once(self):
        for _ in range(10):
            self.assert_culprit(self.crash("crash_everywhere", "SIGSEGV"))

    def test_signal_from_outside(self):
        with Host() as host:
            os.kill(host.process.pid, signal.SIGSEGV)
            report, status = host.crash()
            self.assertEqual(status, "SIGSEGV")
            self.assertEqual((report["code"], report["address"]), ("SI_USER", "0x0"))

    def test_report_is_whole_while_others_write(self):
        for _ in range(5):
            with Host() as host:
                host.load("behaviour")
                host.start("log_much", "noise")
                host.send_start("null_dereference", "victim")
                report, _ = host.crash()
                self.assertEqual(report["task"], "victim")
                self.assertEqual(host.buffer, b"")

    def fill(self, far_end):
        """Waits until what the host says takes up the link's room, then takes the rest of it."""
        deadline = time.monotonic() + host_link.PATIENCE
        while select.select([], [far_end], [], 0)[1]:
            self.assertLess(time.monotonic(), deadline, "the host does not say enough to fill its link")
            time.sleep(0.01)
        with self.assertRaises(BlockingIOError):
            while True:
                far_end.send(b"x", socket.MSG_DONTWAIT)

    def test_supervisor_that_does_not_read(self):
        with Host(keep_far_end=True) as host:
            host.load("behaviour")
            host.start("log_much", "noise")
            self.fill(host.far_end)
            host.send_without_reading("task.start", id="victim", plugin="test-behaviour", entry="null_dereference",
                                      params={}, stack_size=0)
            began = time.monotonic()
            self.assertEqual(host.process.wait(host_link.PATIENCE), -signal.SIGSEGV)
            self.assertLess(time.monotonic() - began, 10)
            self.assertIn('"event":"crash"', host.rest_of_stderr())

    def test_exit(self):
        with Host() as host:
            host.load("behaviour")
            host.send_start("call_exit", "victim")
            host.drain()
            self.assertEqual(host.process.wait(host_link.PATIENCE), 7)
            line = [event for event in host.events if event["event"] == "log"][-1]
            self.assertEqual((line["task"], line["level"]), ("victim", "error"))
            self.assertIn("exit(7)", line["message"])


if __name__ == "__main__":
    unittest.main()
