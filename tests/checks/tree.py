"""What the checks share: which files the tree has, how C++ is read without its comments and literals, and how a check of
the sources is run and tries itself out."""
import argparse
import os
import re
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
NOT_OURS = {"build", ".git", "__pycache__", ".cache", ".vscode", ".idea"}

_SKIPPED = re.compile(r'//[^\n]*|/\*.*?\*/|R"(?P<mark>[^()\\\s]*)\(.*?\)(?P=mark)"|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'',
                      re.DOTALL)
# A digit separator is no quote.
_SEPARATOR = re.compile(r"(?<=[0-9a-fA-F])'(?=[0-9a-fA-F])")
_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"\n]+)[>"]', re.MULTILINE)


def files(root=ROOT, suffixes=()):
    """Paths relative to `root` of the files that end in one of `suffixes` (all files without), in order."""
    found = []
    for folder, subfolders, names in os.walk(root):
        subfolders[:] = sorted(name for name in subfolders if name not in NOT_OURS)
        for name in sorted(names):
            if not suffixes or name.endswith(tuple(suffixes)):
                found.append(os.path.relpath(os.path.join(folder, name), root))
    return found


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8") as file:
        return file.read()


def code_only(text):
    """The text with comments and literals blanked; lines keep their numbers."""
    text = _SEPARATOR.sub(" ", text)
    return _SKIPPED.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)


def includes(text):
    """(line, '<' or '"', name) of each include that is not in a comment."""
    plain = re.sub(r"//[^\n]*|/\*.*?\*/", lambda match: re.sub(r"[^\n]", " ", match[0]), text, flags=re.DOTALL)
    return [(plain.count("\n", 0, match.start(2)) + 1, match[1], match[2]) for match in _INCLUDE.finditer(plain)]


def line_of(text, position):
    return text.count("\n", 0, position) + 1


def _self_test(check, cases):
    """Each case is (what the only problem must say, {path: text}); nothing to say: none may be found."""
    failures = 0
    for expected, contents in cases:
        with tempfile.TemporaryDirectory() as root:
            for path, text in contents.items():
                os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
                with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                    file.write(text)
            problems = check(root)
        if len(problems) != (1 if expected else 0) or (expected and expected not in problems[0]):
            failures += 1
            print(f"{sorted(contents)}: expected {expected or 'no problem'!r}, found {problems}")
    print(f"{len(cases) - failures} of {len(cases)} cases found as they should be")
    return 1 if failures else 0


def main(check, cases, description, fine):
    """The program of a check: check(root) lists problems, `fine` is said if there are none. Returns the exit status."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--root", default=ROOT)
    parser.add_argument("--self-test", action="store_true")
    arguments = parser.parse_args()
    if arguments.self_test:
        return _self_test(check, cases)
    problems = check(arguments.root)
    print("\n".join(problems) if problems else fine)
    return 1 if problems else 0
