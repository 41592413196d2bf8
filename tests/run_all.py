#!/usr/bin/env python3
"""Runs ctest once over a test tree and closes with ctest's own summary.

usage: run_all.py FOLDER [LEFT_OUT…]

FOLDER holds a CTestTestfile.cmake. Before the summary stands, by name and reason, what did not run on this machine: the
parts named by LEFT_OUT, and the cases that skipped themselves. Exit status: ctest's.

Some expectations are about time, on a machine that runs several tests at once and may belong to others as well. So up to
three tests that failed by an expectation alone are run again, ten times each with nothing beside them. Passing each
time, they do not fail the run; they are named at its end, and what they printed is kept, for that is to be looked at.
A crash, a report of a sanitizer or of the runtime itself, and a test that hangs have no second chance.
"""
import os
import re
import shutil
import subprocess
import sys

SUMMARY = re.compile(r"^\d+% tests passed, ", re.MULTILINE)
HEADER = re.compile(r"^\d+/\d+ Testing: (.+)$")
PYTHON_SKIP = re.compile(r"^not run here: (.+)$")
GTEST_SKIP = re.compile(r"^(.+:\d+: )?Skipped$")
GTEST_CASE = re.compile(r"^\[  SKIPPED \] (\S+) \(\d+ ms\)$")
RESULT = re.compile(r"^ *\d+/\d+ Test +#\d+: (\S+) \.*(.*)$")
FAILED = re.compile(r"\*\*\*(?!Skipped|Not Run \(Disabled\))")
BEYOND_EXPECTATIONS = re.compile(r"Sanitizer|runtime error:|\bSIG(ABRT|BUS|ILL|SEGV)\b|core dumped|\brtd runtime: |"
                                 r"\bfatal error: |Valgrind")
MOST_SECOND_CHANCES = 3  # more at once are no accident
TIMES_ALONE = 10  # what fails alone once in four times is found with 94 %; a run of ten costs seconds


def failures(output):
    """(test, by an expectation alone) of each test that failed, from the lines that ctest --output-on-failure prints."""
    found, name = {}, None
    for line in output:
        if match := RESULT.match(line):
            name = match[1] if FAILED.search(match[2]) else None
            if name:
                found[name] = "***Failed" in match[2]
        elif name and BEYOND_EXPECTATIONS.search(line):
            found[name] = False
    return list(found.items())


def run_alone(folder, tests):
    """Runs each of `tests` TIMES_ALONE times, one after the other: whether all passed, and what ctest printed."""
    pattern = "^(" + "|".join(re.escape(test) for test in tests) + ")$"
    ran = subprocess.run(["ctest", "-R", pattern, "--output-on-failure", "--no-tests=error",
                          "--repeat", f"until-fail:{TIMES_ALONE}"],
                         cwd=folder, check=False, stdout=subprocess.PIPE, text=True, errors="replace")
    return ran.returncode == 0, ran.stdout


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
    # One more than there are CPUs: many tests spend their seconds in waiting for something not to happen.
    parallel = str((os.cpu_count() or 1) + 1)
    ctest = subprocess.Popen(["ctest", "--output-on-failure", "--no-tests=error", "--parallel", parallel],
                             cwd=folder, stdout=subprocess.PIPE, text=True, errors="replace")
    output, summary = [], []
    for line in ctest.stdout:
        output.append(line)
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
    print("".join(summary), end="", flush=True)
    failed = failures(output)
    if status == 0 or not 0 < len(failed) <= MOST_SECOND_CHANCES or not all(soft for _, soft in failed):
        return status
    kept = os.path.join(folder, "failed_beside_others.log")
    shutil.copyfile(log, kept)
    tests = [test for test, _ in failed]
    print(f"\nNow {TIMES_ALONE} times alone: {' '.join(tests)}", flush=True)
    passed, text = run_alone(folder, tests)
    if passed:
        print(f"They failed beside other tests only. What they printed is above and in {kept}; please report it.\n")
        text = text[SUMMARY.search(text).start():]
    print(text, end="")
    return 0 if passed else status


if __name__ == "__main__":
    sys.exit(main())
