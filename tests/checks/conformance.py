#!/usr/bin/env python3
"""Checks docs/conformance.md: every behaviour and every test of the collector has its row, and what a row names exists.

usage: conformance.py [--root FOLDER] [--self-test]

A row says holds, adapted, does not apply or not yet. One that says holds or adapted names tests in its last column: `b017`
stands for the tests in tests/conformance whose names begin with b017_; a path and the names after it, all in backquotes,
stand for tests of that file. A test with a number has a row that names it; adapted, not yet and does not apply are explained.
Only tests that run count: those of files that the folder's CMakeLists.txt lists, and of them not those called DISABLED_.
Every file of tests there is listed.

The rows below "Tests of the collector" have numbers of their own. What they name may also be an option of RT_DEBUG, behind
the path of the file that reads them, or a row of the benchmarks, behind the path of the file that lists them.
"""
import os
import re
import sys

import tree

TABLE = "docs/conformance.md"
TESTS = os.path.join("tests", "conformance")
BEHAVIOURS = range(1, 108)
COLLECTOR_HEADING = "## Tests of the collector"
COLLECTOR_TESTS = range(1, 51)
OPTIONS = os.path.join("runtime", "os", "debug_options.cpp")
BENCHMARKS = os.path.join("bench", "runner", "rows.py")
VERDICTS = ("holds", "adapted", "does not apply", "not yet")
REGISTERED = re.compile(r"^\s*(\w+_test\.cpp)\b", re.M)
NUMBERED = re.compile(r"\bTEST(?:_[PF])?\(\s*\w+,\s*(b(\d{3})_\w+)\)")


def rows(lines):
    """(line, number, verdict, how, shown by) of each row among the numbered lines."""
    for line, row in lines:
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        if row.startswith("|") and cells[0].isdigit():
            cells += [""] * (5 - len(cells))
            yield line, int(cells[0]), cells[2], cells[3], cells[4]


def parts(text):
    """The numbered lines of the behaviours, and those of the tests of the collector."""
    lines = list(enumerate(text.split("\n"), 1))
    begin = next((i for i, (_, line) in enumerate(lines) if line == COLLECTOR_HEADING), len(lines))
    return lines[:begin], lines[begin:]


def registered_files(root):
    return set(REGISTERED.findall(tree.read(root, os.path.join(TESTS, "CMakeLists.txt"))))


def test_files(root):
    return {path.removeprefix(TESTS + os.sep) for path in tree.files(root, ("_test.cpp",))
            if path.startswith(TESTS + os.sep)}


def numbered_tests(root):
    """The names of the registered tests of each number."""
    tests = {}
    for name in sorted(registered_files(root) & test_files(root)):
        for test, number in NUMBERED.findall(tree.read(root, os.path.join(TESTS, name))):
            tests.setdefault(int(number), []).append(test)
    return tests


def has_test(root, path, name):
    if not os.path.isfile(os.path.join(root, path)):
        return False
    text = tree.read(root, path)
    if path == OPTIONS:
        pattern = rf'{{"{name}",'
    elif path == BENCHMARKS:
        pattern = rf'"{name}"'
    else:
        pattern = rf"\bdef {name}\(" if path.endswith(".py") else rf"\bTEST(?:_[PF])?\(\s*\w+,\s*{name}\)"
    return re.search(pattern, text) is not None


def is_registered(root, path):
    """Whether the file is among those that its folder builds; of files that are no GoogleTest programs nothing is known."""
    if not path.endswith("_test.cpp"):
        return True
    lists = os.path.join(os.path.dirname(path), "CMakeLists.txt")
    wanted = re.compile(rf"\b{re.escape(os.path.basename(path))}\b")
    return os.path.isfile(os.path.join(root, lists)) and wanted.search(tree.read(root, lists)) is not None


def check_collector(root, lines):
    problems, seen = [], set()
    for line, number, verdict, how, shown in rows(lines):
        where = f"{TABLE}:{line}: test {number} of the collector"
        if number in seen:
            problems.append(f"{where}: has a row already")
        seen.add(number)
        if verdict not in VERDICTS:
            problems.append(f"{where}: says {verdict!r}, which is none of {', '.join(VERDICTS)}")
        elif verdict != "holds" and not how:
            problems.append(f"{where}: says {verdict!r} without a word of explanation")
        path, named = None, 0
        for name in re.findall(r"`([^`]+)`", shown):
            if "/" in name:
                path = name
                if not is_registered(root, path):
                    problems.append(f"{where}: names {path}, which its folder does not build")
                continue
            named += 1
            if path is None or not has_test(root, path, name):
                problems.append(f"{where}: names {name}, which is nothing in {path or 'any file'}")
        if verdict in ("holds", "adapted") and named == 0:
            problems.append(f"{where}: says {verdict!r} and names no test")
    return problems + [f"{TABLE}: test {number} of the collector has no row"
                       for number in COLLECTOR_TESTS if number not in seen]


def check(root):
    tests = numbered_tests(root)
    problems = [f"{TESTS}: {name} is not registered" for name in sorted(test_files(root) - registered_files(root))]
    seen = {}
    behaviours, collector = parts(tree.read(root, TABLE))
    for line, number, verdict, how, shown in rows(behaviours):
        where = f"{TABLE}:{line}: behaviour {number}"
        if number in seen:
            problems.append(f"{where}: has a row already, line {seen[number]}")
        seen[number] = line
        if number not in BEHAVIOURS:
            problems.append(f"{where}: there is none with this number")
        if verdict not in VERDICTS:
            problems.append(f"{where}: says {verdict!r}, which is none of {', '.join(VERDICTS)}")
        elif verdict != "holds" and not how:
            problems.append(f"{where}: says {verdict!r} without a word of explanation")
        path, named = None, 0
        for name in re.findall(r"`([^`]+)`", shown):
            if re.fullmatch(r"b\d{3}", name):
                path = None
                if int(name[1:]) != number or number not in tests:
                    problems.append(f"{where}: names {name}, and there is no such test of it in {TESTS}")
                named += 1
            elif "/" in name:
                path = name
            else:
                named += 1
                if path is None or not has_test(root, path, name):
                    problems.append(f"{where}: names {name}, which is no test in {path or 'any file'}")
        if verdict in ("holds", "adapted") and named == 0:
            problems.append(f"{where}: says {verdict!r} and names no test")
        if number in tests and f"`b{number:03}`" not in shown:
            problems.append(f"{where}: does not name its test {tests[number][0]}")
    problems += [f"{TABLE}: behaviour {number} has no row" for number in BEHAVIOURS if number not in seen]
    problems += [f"{TESTS}: {names[0]}: there is no behaviour with this number"
                 for number, names in sorted(tests.items()) if number not in BEHAVIOURS]
    return problems + check_collector(root, collector)


def self_test_cases():
    good = {number: f"| {number} | what | holds | | `b{number:03}` |" for number in BEHAVIOURS}
    collector = {number: f"| {number} | what | holds | | `tests/b.cpp` `y` |" for number in COLLECTOR_TESTS}
    cpp = "".join(f"TEST_P(suite, b{number:03}_name) {{}}\n" for number in BEHAVIOURS)
    cases = [
        ("", {}, ""),
        ("", {7: "| 7 | w | does not apply | none here | |"}, "-b007"),
        ("", {7: "| 7 | w | adapted | how | `tests/a.py` `test_x`; `tests/b.cpp` `y` |"}, "-b007"),
        ("has no row", {7: ""}, "-b007"),
        ("has a row already", {7: good[7] + "\n" + good[7]}, ""),
        ("none of holds", {7: "| 7 | w | perhaps | how | `b007` |"}, ""),
        ("without a word", {7: "| 7 | w | not yet | | `b007` |"}, ""),
        ("names no test", {7: "| 7 | w | holds | | |"}, "-b007"),
        ("no such test", {7: "| 7 | w | holds | | `b007` |"}, "-b007"),
        ("no test in tests/a.py", {7: "| 7 | w | holds | | `tests/a.py` `test_z` |"}, "-b007"),
        ("no test in tests/c.py", {7: "| 7 | w | holds | | `tests/c.py` `test_x` |"}, "-b007"),
        ("does not name its test b007_name", {7: "| 7 | w | holds | | `tests/a.py` `test_x` |"}, ""),
        ("no behaviour with this number", {}, "+b108"),
        ("no such test", {}, "DISABLED_b007"),
        ("y_test.cpp is not registered", {}, "y_test.cpp"),
    ]
    collector_cases = [
        ("", "| 7 | w | holds | | `runtime/os/debug_options.cpp` `gcone`; `bench/runner/rows.py` `row_one` |"),
        ("", "| 7 | w | does not apply | none here | |"),
        ("test 7 of the collector has no row", ""),
        ("has a row already", "| 7 | w | does not apply | none here | |\n| 7 | w | does not apply | none here | |"),
        ("none of holds", "| 7 | w | perhaps | how | |"),
        ("without a word", "| 7 | w | adapted | | `tests/b.cpp` `y` |"),
        ("names no test", "| 7 | w | holds | | |"),
        ("nothing in tests/b.cpp", "| 7 | w | holds | | `tests/b.cpp` `gone` |"),
        ("nothing in runtime/os/debug_options.cpp", "| 7 | w | holds | | `runtime/os/debug_options.cpp` `gctwo` |"),
        ("nothing in bench/runner/rows.py", "| 7 | w | holds | | `bench/runner/rows.py` `row_two` |"),
        ("does not build", "| 7 | w | holds | | `tests/c/lost_test.cpp` `y` |"),
    ]
    made = []
    for expected, changed, test in cases:
        sources = cpp
        files = {}
        if test.startswith("-"):
            sources = sources.replace(f"TEST_P(suite, {test[1:]}_name) {{}}\n", "")
        elif test.startswith("DISABLED_"):
            sources = sources.replace(test.removeprefix("DISABLED_"), test)
        elif test.endswith(".cpp"):
            files[test] = "TEST_P(suite, b007_other) {}\n"
        elif test:
            sources += f"TEST(suite, {test[1:]}_name) {{}}\n"
        files["x_test.cpp"] = sources
        files |= {"x_test.cpp": sources}
        made.append((expected, tree_of([*{**good, **changed}.values()], files, collector)))
    for expected, row in collector_cases:
        made.append((expected, tree_of(good.values(), {"x_test.cpp": cpp}, {**collector, 7: row})))
    return made


def tree_of(behaviours, files, collector):
    return {
        TABLE: "\n".join([*behaviours, COLLECTOR_HEADING, *collector.values()]) + "\n",
        "tests/conformance/CMakeLists.txt": "rtd_test(it\n  SOURCES\n    x_test.cpp)\n",
        "tests/a.py": "    def test_x(self):\n",
        "tests/b.cpp": "TEST(suite, y) {}\n",
        "tests/c/CMakeLists.txt": "rtd_test(it SOURCES built_test.cpp)\n",
        "tests/c/lost_test.cpp": "TEST(suite, y) {}\n",
        OPTIONS: 'constexpr option known[] = {{"gcone", "gcone=1"}};\n',
        BENCHMARKS: 'simple("row_one")\n',
        **{f"tests/conformance/{name}": text for name, text in files.items()}}


if __name__ == "__main__":
    sys.exit(tree.main(check, self_test_cases(), "Checks the table of Go's behaviours.",
                       "conformance: every behaviour and every test of the collector is accounted for"))
