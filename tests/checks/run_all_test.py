"""run_all.py: what fails a run of the tests, and what gets a second chance."""
import os
import subprocess
import sys
import tempfile
import unittest

RUN_ALL = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "run_all.py")


class RunAll(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def run_all(self, *scripts):
        """Exit status and output of a run over tests that are these shell scripts, named a, b, …"""
        with open(os.path.join(self.folder, "CTestTestfile.cmake"), "w", encoding="utf-8") as file:
            for name, script in zip("abcdefgh", scripts):
                file.write(f"add_test({name} sh -c [==[{script}]==])\n")
            file.write("add_test(skipped false)\nset_tests_properties(skipped PROPERTIES SKIP_RETURN_CODE 1)\n")
            file.write("add_test(disabled false)\nset_tests_properties(disabled PROPERTIES DISABLED TRUE)\n")
        return self.run_run_all()

    def run_run_all(self):
        ran = subprocess.run([sys.executable, "-B", RUN_ALL, self.folder], check=False, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True)
        return ran.returncode, ran.stdout

    def fails_once(self, name, how="exit 1"):
        mark = os.path.join(self.folder, name)
        return f"test -e {mark} || {{ touch {mark}; {how}; }}"

    def test_all_pass(self):
        status, text = self.run_all("true", "true")
        self.assertEqual(status, 0, text)
        self.assertIn("100% tests passed, 0 tests failed out of 3", text)

    def test_what_always_fails(self):
        status, text = self.run_all("true", "echo too late; exit 1")
        self.assertNotEqual(status, 0, text)
        self.assertIn("too late", text)

    def test_what_fails_beside_others_only(self):
        status, text = self.run_all("true", self.fails_once("b", "echo too late; exit 1"))
        self.assertEqual(status, 0, text)
        self.assertIn("too late", text)
        self.assertIn("Now 10 times alone: b\nThey failed beside other tests only.", text)
        with open(os.path.join(self.folder, "failed_beside_others.log"), encoding="utf-8") as file:
            self.assertIn("too late", file.read())

    def test_what_fails_alone_every_third_time(self):
        count = os.path.join(self.folder, "count")
        status, text = self.run_all(f"echo >>{count}; test $(($(wc -l <{count}) % 3)) != 1")
        self.assertNotEqual(status, 0, text)

    def test_crashes_and_reports_have_no_second_chance(self):
        for how in ("kill -SEGV $$", "echo 'ERROR: AddressSanitizer: heap-use-after-free'; exit 1",
                    "echo 'WARNING: ThreadSanitizer: data race'; exit 66", "echo 'rtd runtime: lock ranks'; exit 1",
                    "echo 'fatal error: all green threads are asleep'; exit 1"):
            status, text = self.run_all("true", self.fails_once(f"mark {len(how)}".replace(" ", ""), how))
            self.assertNotEqual(status, 0, text)
            self.assertNotIn("alone", text)

    def test_the_word_for_a_state_of_a_sandbox_is_no_crash(self):
        how = """echo 'wait_sandbox("fatal")'; exit 1"""
        status, text = self.run_all("true", self.fails_once("b", how))
        self.assertEqual(status, 0, text)

    def test_many_at_once_have_no_second_chance(self):
        status, text = self.run_all(*(self.fails_once(name) for name in "abcd"))
        self.assertNotEqual(status, 0, text)
        self.assertNotIn("alone", text)

    def test_a_run_without_tests(self):
        with open(os.path.join(self.folder, "CTestTestfile.cmake"), "w", encoding="utf-8"):
            pass
        status, text = self.run_run_all()
        self.assertNotEqual(status, 0, text)


if __name__ == "__main__":
    unittest.main()
