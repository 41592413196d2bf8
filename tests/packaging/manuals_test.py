#!/usr/bin/env python3
"""The manuals say all that the programs know, and no formatter finds fault with them."""
import json
import os
import re
import shutil
import subprocess
import unittest

BIN_DIR = os.environ["RTD_BIN_DIR"]
SOURCE_DIR = os.environ["RTD_SOURCE_DIR"]
PAGES = [os.path.join(SOURCE_DIR, "docs", "man", page) for page in ("rtd.8", "rtctl.1", "rt.3")]
PAGES.append(os.path.join(os.environ["RTD_BUILD_DIR"], "package", "rtd.json.5"))


def text_of(page):
    with open(page, encoding="utf-8") as file:
        return file.read()


def help_of(*command):
    return subprocess.run([os.path.join(BIN_DIR, command[0]), *command[1:], "--help"], stdout=subprocess.PIPE, check=True,
                          text=True).stdout


def options_in(text):
    return set(re.findall(r"^ +(?:-\w, )?--([a-z][a-z-]+)", text, re.MULTILINE))


class ManualsTest(unittest.TestCase):
    def has_options(self, page, options, where):
        text = text_of(page)
        # "Fl -option" in mdoc is "--option".
        absent = [option for option in sorted(options) if not re.search(rf"\bFl (?:\w , )?-{option}\b|, -{option}\b", text)]
        self.assertEqual(absent, [], f"{os.path.basename(page)} does not name these options of {where}")

    def test_rtd(self):
        self.has_options(PAGES[0], options_in(help_of("rtd")), "rtd")

    def test_rtctl_and_all_its_commands(self):
        top = help_of("rtctl")
        self.has_options(PAGES[1], options_in(top), "rtctl")
        page = re.sub(r" (?:Cm|,) ", " ", text_of(PAGES[1]))
        commands = []
        for words in re.findall(r"^  ([a-z-]+(?: [a-z|-]+)?) {2,}|^  ([a-z]+ [a-z|]+)$", top.split("Options:")[0], re.MULTILINE):
            group, _, rest = (words[0] or words[1]).partition(" ")
            commands += [f"{group} {one}" for one in rest.split("|")] if rest else [group]
        self.assertGreater(len(commands), 20)
        for command in commands:
            with self.subTest(command=command):
                self.assertRegex(page, rf"(?m)^\.It .*\b{command}\b")
                self.has_options(PAGES[1], options_in(help_of("rtctl", *command.split())), command)

    def test_every_header_and_option_of_the_runtime(self):
        page = text_of(PAGES[2])
        includes = re.findall(r'^#include "(rt/\w+\.h)"', text_of(os.path.join(SOURCE_DIR, "runtime", "include", "rt", "rt.h")),
                              re.MULTILINE)
        self.assertGreater(len(includes), 10)
        options = re.findall(r'^    \{"(\w+)", "\1', text_of(os.path.join(SOURCE_DIR, "runtime", "os", "debug_options.cpp")),
                             re.MULTILINE)
        self.assertIn("sched", options)
        self.assertEqual([name for name in includes if f"In {name}" not in page], [])
        self.assertEqual([name for name in options if not re.search(rf"\b{name}\b", page)], [])

    def test_every_key_of_the_configuration(self):
        with open(os.path.join(SOURCE_DIR, "config", "rtd.schema.json"), encoding="utf-8") as file:
            schema = json.load(file)
        text = text_of(PAGES[3])
        keys = [key for node in (schema, *schema["$defs"].values()) for key in self.keys(node)]
        self.assertGreater(len(keys), 40)
        for key in keys:
            self.assertRegex(text, rf"(?m)\bVa [\w.]*{re.escape(key)}\b")

    def keys(self, node):
        for key, value in node.get("properties", {}).items():
            if not key.startswith("$"):
                yield key
                yield from self.keys(value)

    @unittest.skipUnless(shutil.which("mandoc"), "mandoc is not installed")
    def test_mandoc_finds_no_fault(self):
        for page in PAGES:
            done = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", page], stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True)
            self.assertEqual((done.returncode, done.stdout), (0, ""))

    @unittest.skipUnless(shutil.which("man") and shutil.which("groff"), "man or groff is not installed")
    def test_groff_finds_no_fault(self):
        for page in PAGES:
            done = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", page],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                                  env={**os.environ, "LC_ALL": "C.UTF-8", "MANROFFSEQ": ""})
            self.assertEqual(done.stderr, "")


if __name__ == "__main__":
    unittest.main(verbosity=2)
