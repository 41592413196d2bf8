#!/usr/bin/env python3
"""Runs ctest once over a test tree and closes with ctest's own summary.

usage: run_all.py FOLDER [LEFT_OUT…]

FOLDER holds a CTestTestfile.cmake. Before the summary stands, by name and reason, what did not run on this machine: the
parts named by LEFT_OUT, and the cases that skipped themselves. Exit status: ctest's.
"""
import os
import re
import subprocess
import sys

SUMMARY = re.compile(r"^\d+% tests passed, ")
HEADER = re.compile(r"^\d+/\d+ Testing: (.+)$")
PYTHON_SKIP = re.compile(r"^not run here: (.+)$")
GTEST_SKIP = re.compile(r"^(.+:\d+: )?Skipped$")
GTEST_CASE = re.compile(r"^\[  SKIPPED \] (\S+) \(\d+ ms\)$")


def skipped_cases(log):
    """(test, reason) of each case that skipped itself, from ctest's LastTest.log."""
    test, cases, reason = "", [], None
    for line in log.splitlines():
        line = line.rstrip()
        if match := HEADER.match(line):
            test, reason = match[1], None
        elif match := PYTHON_SKIP.match(line):
            cases.append((test, match[1]))
        elif GTEST_SKIP.match(line):
            reason = []
        elif match := GTEST_CASE.match(line):
            text = " ".join(reason or []) or "no reason given"
            # A test is named after its one case; a whole program registered as one test has several.
            cases.append((test, text if test.endswith(match[1]) else f"{match[1]}: {text}"))
            reason = None
        elif reason is not None and line:
            reason.append(line)
    return cases


def main():
    folder, left_out = sys.argv[1], sys.argv[2:]
    parallel = str(os.cpu_count() or 1)
    ctest = subprocess.Popen(["ctest", "--output-on-failure", "--no-tests=error", "--parallel", parallel],
                             cwd=folder, stdout=subprocess.PIPE, text=True, errors="replace")
    summary = []
    for line in ctest.stdout:
        if summary or SUMMARY.match(line):
            summary.append(line)
        elif not re.match(r"^ +Start +\d+: ", line):
            print(line, end="", flush=True)
    status = ctest.wait()

    cases = []
    log = os.path.join(folder, "Testing", "Temporary", "LastTest.log")
    if os.path.exists(log):
        with open(log, encoding="utf-8", errors="replace") as file:
            cases = skipped_cases(file.read())
    if left_out or cases:
        print("Not run on this machine:")
        for part in left_out:
            print(f"  {part}")
        for test, reason in cases:
            print(f"  {test}: {reason}")
        print()
    print("".join(summary), end="")
    return status


if __name__ == "__main__":
    sys.exit(main())
