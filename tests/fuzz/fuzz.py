#!/usr/bin/env python3
"""Runs fuzz targets of the preset `fuzz`, as many at once as there are CPUs, and tells what came of each.

usage: fuzz.py BUILD MINUTES TARGET…

BUILD/tests/fuzz holds the programs. Below BUILD: inputs/TARGET gets the inputs that reach new code (the next run begins
with them), findings/TARGET the inputs that broke something, TARGET.log what libFuzzer said. Exit status: 1 when there
is a finding, of this run or of a former one whose input still lies there.
"""
import concurrent.futures
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
# Limits of one input. Most take less than a millisecond, but on a busy machine one was once held up for 12 seconds.
SECONDS_PER_INPUT = 60
MEGABYTES = 2048


def fuzz(build, minutes, target):
    """Runs one target; a line for the table."""
    inputs = os.path.join(build, "inputs", target)
    findings = os.path.join(build, "findings", target)
    for folder in (inputs, findings):
        os.makedirs(folder, exist_ok=True)
    command = [os.path.join(build, "tests/fuzz", "fuzz_" + target), f"-max_total_time={int(minutes * 60)}",
               f"-timeout={SECONDS_PER_INPUT}", f"-report_slow_units={SECONDS_PER_INPUT}",
               f"-rss_limit_mb={MEGABYTES}", "-print_final_stats=1", f"-artifact_prefix={findings}/"]
    words = os.path.join(HERE, target + ".dict")
    if os.path.exists(words):
        command.append(f"-dict={words}")
    log = os.path.join(build, target + ".log")
    with open(log, "wb") as output:
        status = subprocess.run(command + [inputs, os.path.join(HERE, "corpus", target)], stdout=output,
                                stderr=subprocess.STDOUT, check=False).returncode
    with open(log, encoding="utf-8", errors="replace") as file:
        text = file.read()
    executions = re.search(r"^stat::number_of_executed_units:\s+(\d+)", text, re.MULTILINE)
    seconds = re.search(r"^Done \d+ runs in (\d+) second", text, re.MULTILINE)
    edges = re.findall(r"\bcov: (\d+)", text)
    found = sorted(os.listdir(findings))
    line = (f"{target:16} {executions[1] if executions else '?':>10} executions "
            f"{seconds[1] if seconds else '?':>5} s {edges[-1] if edges else '?':>6} edges")
    if status != 0:
        line += f"  FAILED: {log}"
    elif found:
        line += "  findings of former runs"
    return line, status == 0 and not found, [os.path.join(findings, name) for name in found]


def main():
    build, minutes, targets = sys.argv[1], float(sys.argv[2]), sys.argv[3:]
    failed, found = [], []
    with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        runs = {pool.submit(fuzz, build, minutes, target): target for target in targets}
        for run in concurrent.futures.as_completed(runs):
            line, good, files = run.result()
            print(line, flush=True)
            found += files
            if not good:
                failed.append(runs[run])
    for path in found:
        print(f"finding: {path}")
    if failed:
        print(f"fuzz: not without findings: {', '.join(sorted(failed))}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
