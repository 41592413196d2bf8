#!/usr/bin/env python3
"""Checks what the house asks of every file: no unfinished work, no path of somebody's machine, no file of two concepts.

usage: house.py [--root FOLDER] [--self-test]
"""
import os
import re
import sys

import tree

MAXIMUM_LINES = 700
CODE = (".h", ".cpp", ".c", ".S")
SCRIPTS = (".py", ".sh", ".cmake", "CMakeLists.txt", ".go")
TEXT = CODE + SCRIPTS + (".md", ".json", ".yml", ".yaml", ".in", ".service", ".txt", "dev", "run", "Makefile")

# Words are written in two halves, so that this file does not find itself.
ANYWHERE = [
    (r"(?<![\w.])/(?:wo" + r"rk|ro" + r"ot)/[\w.]", "a path of one machine"),
    (r"(?<![\w.])/ho" + r"me/\w", "a path of one machine"),
    (r"/tmp/bui" + r"ld-", "a path of one machine"),
]
UNFINISHED = [
    (r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b", "unfinished work"),
    (r"(?i)\bfor n" + r"ow\b(?! on)", "unfinished work"),
    (r"(?i)\bplace" + r"holder\b", "unfinished work"),
    (r"(?i)\bnot (?:yet )?imple" + r"mented\b", "unfinished work"),
]


def check(root):
    problems = []
    for path in tree.files(root):
        if not path.endswith(TEXT) or os.path.basename(path) == "LICENSE":
            continue
        try:
            text = tree.read(root, path)
        except UnicodeDecodeError:
            if path.endswith(CODE + SCRIPTS):
                problems.append(f"{path}: is not UTF-8")
            continue
        lines = text.split("\n")
        program = path.endswith(CODE + SCRIPTS)
        for pattern, what in ANYWHERE + (UNFINISHED if program else []):
            for match in re.finditer(pattern, text):
                problems.append(f"{path}:{tree.line_of(text, match.start())}: {match[0]!r}: {what}")
        if not program:
            continue
        if len(lines) - 1 > MAXIMUM_LINES:
            problems.append(f"{path}: {len(lines) - 1} lines; a file of more than {MAXIMUM_LINES} is two concepts")
        for number, line in enumerate(lines, 1):
            if line != line.rstrip() and not path.endswith(".go"):
                problems.append(f"{path}:{number}: blanks at the end of the line")
        if path.endswith(".h") and not re.search(r"^#pragma once$", text, re.MULTILINE):
            problems.append(f"{path}: has no #pragma once")
        if text and not text.endswith("\n"):
            problems.append(f"{path}: does not end with a newline")
    return problems


SELF_TEST = [
    ("", {"a.cpp": "// from now on, work/main, /tmp/x, /usr/lib\nint x;\n"}),
    ("", {"a.md": "A line may be " + "long " * 40 + "and say TO" + "DO.\n"}),
    ("path of one machine", {"a.md": "see /wo" + "rk/main/x\n"}),
    ("path of one machine", {"a.py": "'/ho" + "me/somebody/x'\n"}),
    ("path of one machine", {"dev": "cd /ro" + "ot/x\n"}),
    ("a.cpp:2: 'TO" + "DO'", {"a.cpp": "\n// TO" + "DO: later\n"}),
    ("unfinished", {"a.h": "#pragma once\n// good enough for n" + "ow\n"}),
    ("701 lines", {"a.cpp": "\n" * 701}),
    ("blanks", {"a.cpp": "int x; \n"}),
    ("pragma once", {"a.h": "int x;\n"}),
    ("newline", {"a.cpp": "int x;"}),
]


if __name__ == "__main__":
    sys.exit(tree.main(check, SELF_TEST, "Checks what the house asks of every file.", "house rules: nothing found"))
