#!/usr/bin/env python3
"""Runs one file of unittest cases for ctest.

usage: run_python_test.py FILE [ARGUMENT…]

Exit status: 0 passed, 1 failed or nothing to run, 77 every case was skipped (ctest then says so). Each skipped case is
named with its reason on a line that begins with "not run here: "; run_all.py gathers these. Further arguments are
unittest's (a case's name, -f, …).
"""
import importlib.util
import os
import sys
import unittest


def main():
    path = os.path.abspath(sys.argv[1])
    name = os.path.splitext(os.path.basename(path))[0]
    sys.path.insert(0, os.path.dirname(path))
    specification = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    try:
        specification.loader.exec_module(module)
    except unittest.SkipTest as reason:
        print(f"not run here: {name}: {reason}")
        return 77
    program = unittest.main(module=module, argv=[path, "--verbose", *sys.argv[2:]], exit=False)
    result = program.result
    for case, reason in result.skipped:
        print(f"not run here: {case.id()}: {reason}")
    if not result.wasSuccessful():
        return 1
    if result.testsRun == 0 and not result.skipped:
        print(f"{path}: no test case in it")
        return 1
    # A class or module that skips itself in its set-up counts as one skip of something that is no case, and as no run.
    skipped_cases = sum(isinstance(case, unittest.TestCase) for case, _ in result.skipped)
    return 77 if result.testsRun == skipped_cases else 0


if __name__ == "__main__":
    sys.exit(main())
