#!/usr/bin/env python3
"""Compiles every header of the tree alone, with all warnings of the house, by each of the given compilers.

usage: headers_alone.py [--root FOLDER] [--under FOLDER] [--all] [--jobs N] [--self-test] COMPILER…

A header that some source includes first is compiled alone by every build, before anything else that the source includes;
without --all such headers are left out, which saves minutes. --under names the only folder to look at. A compiler that
is not installed is named and left out; if none is there the exit status is 77.
"""
import argparse
import concurrent.futures
import os
import shutil
import subprocess
import sys
import tempfile

import tree

FLAGS = ["-std=c++20", "-Wall", "-Wextra", "-Wshadow", "-Wnon-virtual-dtor", "-Werror", "-fsyntax-only", "-x", "c++"]


def compile_alone(compiler, root, header):
    """The compiler's complaints about a file that includes only this header; empty if there are none."""
    # Included twice: a header without its guard shows itself.
    program = f'#include "{header}"\n#include "{header}"\n'
    command = [compiler, *FLAGS, "-DRT_DEBUG_CHECKS=1", "-I", ".", "-I", "runtime/include", "-"]
    result = subprocess.run(command, input=program, cwd=root, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            check=False)
    return result.stdout if result.returncode else ""


def included_first(root):
    """The headers that a source of the build includes before all else."""
    first = set()
    for path in tree.files(root, (".cpp",)):
        for _, _, name in tree.includes(tree.read(root, path))[:1]:
            first |= {candidate for base in ("", os.path.dirname(path))
                      if os.path.isfile(os.path.join(root, candidate := os.path.normpath(os.path.join(base, name))))}
    return first


def headers(root, under, every):
    left_out = set() if every else included_first(root)
    return [path for path in tree.files(root, (".h",)) if path.startswith(under) and path not in left_out]


def check(root, compilers, chosen, jobs):
    """Complaints as (compiler, header, text), and how many compilations were made."""
    work = [(compiler, header) for compiler in compilers for header in chosen]
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        texts = pool.map(lambda pair: compile_alone(pair[0], root, pair[1]), work)
        return [(*pair, text) for pair, text in zip(work, texts) if text], len(work)


def self_test(compilers):
    cases = {
        "good.h": "#pragma once\n#include <string>\nstruct good { std::string text; };\n",
        "no_include.h": "#pragma once\nstruct bad { std::string text; };\n",
        "no_guard.h": "struct bad {};\n",
        "warns.h": "#pragma once\ninline int bad(int unused) { return 1; }\n",
        "first.h": "#pragma once\nnot C++\n",
        "first.cpp": '#include "first.h"\n#include "no_guard.h"\n',
    }
    with tempfile.TemporaryDirectory() as root:
        for name, text in cases.items():
            with open(os.path.join(root, name), "w", encoding="utf-8") as file:
                file.write(text)
        chosen = headers(root, "", False)
        complaints, _ = check(root, compilers, chosen, 2)
    found = {(compiler, header) for compiler, header, _ in complaints}
    expected = {(compiler, header) for compiler in compilers
                for header in ("no_include.h", "no_guard.h", "warns.h")}
    for pair in sorted(found ^ expected):
        print("wrong about", *pair)
    if "first.h" in chosen:
        print("first.h was not left out")
        return 1
    print("self-test:", "failed" if found != expected else "each bad header found, the good one passed")
    return 0 if found == expected else 1


def main():
    parser = argparse.ArgumentParser(description="Compiles every header of the tree alone.")
    parser.add_argument("compilers", nargs="+")
    parser.add_argument("--root", default=tree.ROOT)
    parser.add_argument("--under", default="")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--self-test", action="store_true")
    arguments = parser.parse_args()
    compilers = []
    for compiler in arguments.compilers:
        if shutil.which(compiler):
            compilers.append(compiler)
        else:
            print(f"not run here: {compiler}: not installed")
    if not compilers:
        return 77
    if arguments.self_test:
        return self_test(compilers)
    complaints, count = check(arguments.root, compilers,
                              headers(arguments.root, arguments.under, arguments.all), arguments.jobs)
    for compiler, header, text in complaints:
        print(f"---- {header} alone, by {compiler}:\n{text}")
    print(f"headers alone: {count} compilations by {', '.join(compilers)}, {len(complaints)} failed")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
