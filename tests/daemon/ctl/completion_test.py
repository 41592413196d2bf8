#!/usr/bin/env python3
"""The completion scripts, in the shells that they are for."""
import os
import re
import shutil
import subprocess
import tempfile
import unittest

import answers
from client import RTCTL, environment, rtctl
from fake_rtd import FakeRtd
from pseudo_terminal import Terminal


def setUpModule():
    missing = [shell for shell in ("bash", "zsh", "fish") if not shutil.which(shell)]
    if missing:
        raise AssertionError(f"these shells are not installed: {missing}")


class ShellTest(unittest.TestCase):
    def setUp(self):
        self.server = FakeRtd({
            "ps": {"tasks": [answers.task("greeter"), answers.ended("probe", "failed", "failed")]},
            "sandbox.list": {"sandboxes": answers.SANDBOXES},
            "plugin.list": {"plugins": [{"name": "hello", "description": "Greets: all", "entries": [{"name": "serve"}]},
                                        {"name": "\x1b[2J", "entries": []}]}})
        self.addCleanup(self.server.close)
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        os.makedirs(os.path.join(self.folder.name, "files", "config"))
        with open(os.path.join(self.folder.name, "files", "rtd.json"), "w", encoding="utf-8"):
            pass
        path = os.path.dirname(RTCTL) + ":" + os.environ["PATH"]
        self.environment = environment(self.server.path, PATH=path, HOME=self.folder.name, INPUTRC="/dev/null")

    def run_shell(self, *words):
        result = subprocess.run(words, env=self.environment, cwd=os.path.join(self.folder.name, "files"),
                                capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(result.stderr, "")
        self.assertEqual(result.returncode, 0)
        return result.stdout.splitlines()

    def completed(self, ask, nothing):
        """What `ask` returns when rtd was heard: rtctl completes without it when it does not answer within half a second,
        which a busy machine may take."""
        for _ in range(20):
            found = ask()
            if found != nothing:
                break
        return found

    def expect_completed(self, terminal, typed, rest, completed, end):
        """Types a line at a shell, and `rest`, which has the shell print it after an x."""
        without_tab = typed[:-1]

        def seen():
            terminal.send(typed)
            terminal.send(rest)
            return terminal.expect(f"\r\nx({completed}|{re.escape(without_tab)}){end}")[1]

        found = self.completed(seen, None if completed == without_tab else without_tab)
        self.assertRegex(found, f"^{completed}$")


class ProtocolTest(ShellTest):
    def words(self, *words):
        return self.completed(lambda: rtctl(self.server, "__complete", *words).stdout, ":4\n")

    def test_answers_words_descriptions_and_directives(self):
        self.assertEqual(self.words("task", "stop", ""), "greeter\trunning, hello\n:4\n")
        self.assertEqual(self.words("task", "run", ""), "hello\tGreets: all\n:4\n", "a name that is none is not offered")
        self.assertEqual(self.words("task", "run", "hello", ""), "serve\n:4\n")
        self.assertEqual(self.words("sandbox", "restart", ""), "batch\tbackoff\ndefault\tup\n:4\n")

    def test_is_silent_without_rtd(self):
        result = rtctl("/nonexistent", "__complete", "task", "stop", "")
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, ":4\n", ""))
        result = rtctl(self.server, "__complete", "--socket", "/nonexistent", "task", "stop", "")
        self.assertEqual(result.stdout, ":4\n")


class BashTest(ShellTest):
    def complete(self, line):
        """Calls the function as readline does, with its word breaks."""
        script = r'''
            source <(rtctl completion bash)
            complete -p rtctl > /dev/null || exit 1
            COMP_LINE=$1 COMP_POINT=${#1}
            words=$(printf '%s' "$1" | sed -E 's/([=:])/ \1 /g')
            read -ra COMP_WORDS <<< "$words"
            [[ $1 == *[\ =:] ]] && COMP_WORDS+=("")
            COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
            _rtctl
            printf '%s\n' "${COMPREPLY[@]}"'''
        return [line for line in self.run_shell("bash", "--norc", "-c", script, "bash", line) if line]

    def names(self, line):
        return self.completed(lambda: self.complete(line), [])

    def test_function(self):
        self.assertEqual(self.complete("rtctl task st"), ["stop", "start"])
        self.assertEqual(self.names("rtctl task stop "), ["greeter"])
        self.assertEqual(self.names("rtctl -o json task  stop g"), ["greeter"])
        self.assertEqual(self.names("rtctl logs --sandbox=d"), ["default"])
        self.assertEqual(self.complete("rtctl ps --output="), ["table", "wide", "json", "jsonl"])
        self.assertEqual(self.complete(f"rtctl --socket=/nonexistent task stop "), [])
        self.assertEqual(self.names(f"rtctl --socket={self.server.path} task stop "), ["greeter"])
        self.assertEqual(self.complete("rtctl task stop zzz"), [])

    def start(self):
        terminal = Terminal(["bash", "--norc", "--noprofile", "-i"], self.environment)
        self.addCleanup(terminal.__exit__)
        terminal.send("cd ~/files; PS1='> '; bind 'set enable-bracketed-paste off'; source <(rtctl completion bash); echo re''ady\n")
        terminal.expect("ready\r\n> ")
        return terminal

    def test_in_the_shell(self):
        terminal = self.start()
        for typed, completed in [("rtctl task sto\t", "rtctl task stop "), ("rtctl task stop \t", "rtctl task stop greeter "),
                                 ("rtctl logs --sandbox=d\t", "rtctl logs --sandbox=default "),
                                 ("rtctl config check r\t", r"rtctl config check rtd\.json "),
                                 ("rtctl --socket=rt\t", r"rtctl --socket=rtd\.json "),
                                 ("rtctl task stop r\t", "rtctl task stop r")]:
            self.expect_completed(terminal, typed, "#\x01echo 'x\x05'\n", completed, "#\r\n> ")


class ZshTest(ShellTest):
    @classmethod
    def setUpClass(cls):
        # zsh reads all its functions to set completion up, and keeps what it has found in a file.
        cls.known = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.known.cleanup)
        cls.SETUP = f"autoload -Uz compinit; compinit -u -d {cls.known.name}/known; source <(rtctl completion zsh)"

    def test_loads(self):
        self.assertEqual(self.run_shell("zsh", "-f", "-c", self.SETUP + "; print -r -- $_comps[rtctl]; whence -w _rtctl"),
                         ["_rtctl", "_rtctl: function"])

    def start(self, setup):
        terminal = Terminal(["zsh", "-f", "-i"], self.environment)
        self.addCleanup(terminal.__exit__)
        terminal.send(f"cd ~/files; unsetopt zle_bracketed_paste prompt_sp; PS1='> '; {setup}; "
                      "bindkey -e; unset zle_bracketed_paste; print re''ady\n")
        terminal.expect("ready\r\n")
        return terminal

    def check_words(self, terminal):
        for typed, completed in [("rtctl task sto\t", "rtctl task stop "), ("rtctl task stop \t", "rtctl task stop greeter "),
                                 ("rtctl task run h\t", "rtctl task run hello "),
                                 ("rtctl logs --sandbox=d\t", "rtctl logs --sandbox=default "),
                                 ("rtctl config check r\t", r"rtctl config check rtd\.json "),
                                 ("rtctl --socket=rt\t", r"rtctl --socket=rtd\.json "),
                                 ("rtctl task stop r\t", "rtctl task stop r")]:
            self.expect_completed(terminal, typed, "#\x01print -r 'x\x05'\n", completed, "#\r\n")

    def test_in_the_shell(self):
        self.check_words(self.start(self.SETUP))

    def test_as_a_file_in_fpath(self):
        functions = os.path.join(self.folder.name, "functions")
        os.mkdir(functions)
        with open(os.path.join(functions, "_rtctl"), "w", encoding="utf-8") as file:
            file.write(rtctl(self.server, "completion", "zsh").stdout)
        self.check_words(self.start("fpath=(~/functions $fpath); autoload -Uz compinit; compinit -D -u"))

    def test_shows_descriptions(self):
        terminal = self.start(self.SETUP)
        terminal.send("rtctl task run hello --re\t\t")

        def listed():
            terminal.send("\x15rtctl sandbox restart \t")
            try:
                return terminal.expect(r"batch +-- backoff.*default +-- up", timeout=5)
            except AssertionError:
                return None

        self.assertTrue(self.completed(listed, None))


class FishTest(ShellTest):
    def complete(self, line):
        script = "rtctl completion fish | source; complete -C $argv[1]"
        return self.run_shell("fish", "--no-config", "-c", script, line)

    def test_in_the_shell(self):
        def names(line):
            return self.completed(lambda: self.complete(line), [])

        self.assertEqual([line.split("\t")[0] for line in self.complete("rtctl task st")], ["start", "stop"])
        self.assertEqual(names("rtctl task stop "), ["greeter\trunning, hello"])
        self.assertEqual(names("rtctl logs --sandbox=d"), ["--sandbox=default\tup"])
        self.assertEqual(names("rtctl task run hello "), ["serve"])
        self.assertEqual(self.complete("rtctl task stop zzz"), [])
        self.assertEqual(self.complete("rtctl task stop r"), [], "no files where names are wanted")
        self.assertEqual(self.complete("rtctl config check r")[0].split("\t")[0], "rtd.json")
        self.assertEqual(self.complete("rtctl --socket=rt")[0].split("\t")[0], "--socket=rtd.json")


if __name__ == "__main__":
    unittest.main()
